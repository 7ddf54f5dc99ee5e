"""Protocol: what each choice in the evaluation of base is worth, one factor at a time against the study's own."""

CHOICES = STUDY.choices
# Lists of one, as `expand` takes them.
PLACE = {"collection": STUDY.protocol[:1], "split": STUDY.protocol[1:]}
# Not a setting of the study, so not among its choices: the name of the run, its factor, the study's way and the other.
OWN_IDS, IDENTICAL = "own-ids-dropped", ("identical ids", "kept", "dropped")


wildcard_constraints:
    choice="|".join(CHOICES) or "none",


rule compare_protocols:
    """Base is evaluated again with one factor of the protocol set otherwise, with passages left out whose id is that of the query (others follow them up to the depth), and with equal scores in their best and worst order; differences are paired by query and get a BCa bootstrap interval."""
    input:
        run=expand("results/{study}/runs/base/seed-0/{collection}/{split}.trec", **PLACE, allow_missing=True),
        qrels=expand("data/{collection}/qrels/{split}.parquet", **PLACE),
        choices=expand(
            "results/{study}/protocol/{choice}/runs/base/seed-0/{collection}/{split}.trec",
            **PLACE,
            choice=[*CHOICES, OWN_IDS],
            allow_missing=True,
        ),
    output:
        parquet="results/{study}/protocol.parquet",
        csv=report(
            "results/{study}/protocol.csv",
            caption="../report/protocol.rst",
            category="Explanations",
            labels={"figure": "what the protocol is worth"},
        ),
    log:
        "results/{study}/logs/compare_protocols.log",
    benchmark:
        "results/{study}/benchmarks/compare_protocols.tsv"
    conda:
        "../../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=asked("compare_protocols", "mem_mb"),
        runtime=asked("compare_protocols", "runtime"),
    params:
        cfg=lambda w: plain(
            {
                **STUDY.resampling,
                "depth": STUDY.config["ranking"]["depth"],
                "choices": [*((choice.factor, choice.value) for choice in CHOICES.values()), IDENTICAL[::2]],
                "measures": STUDY.config["measures"],
                "own": STUDY.own_choices | dict([IDENTICAL[:2]]),
                "place": STUDY.protocol,
                "relevant_from": STUDY.collections[STUDY.protocol[0]].relevant_from(STUDY.protocol[1]),
            }
        ),
        code=code("compare_protocols"),
    script:
        "../scripts/compare_protocols.py"


# The study's own chain again under protocol/<choice>/, laid out as there. Vectors and indexes go when it is ranked.
use rule encode_corpus as encode_corpus_of_choice with:
    input:
        arithmetic=ARITHMETIC,
        model="results/{study}/models/{variant}/seed-{seed}",
        tokens=lambda w: [
            "results/{{study}}/tokens/base/{text}-{max_length}/{{collection}}/{{shard}}-of-{{shards}}.parquet".format(
                **STUDY.chosen(w.choice)
            )
        ],
    output:
        embeddings=temp(
            [
                "results/{study}/protocol/{choice}/embeddings/{variant}/seed-{seed}/{collection}/corpus/{shard}-of-{shards}.parquet"
            ]
        ),
        cost=[
            "results/{study}/protocol/{choice}/cost/{variant}/seed-{seed}/encoding-{collection}-{shard}-of-{shards}.json"
        ],
    log:
        "results/{study}/logs/encode_corpus_of_choice/{choice}/{variant}/seed-{seed}/{collection}-{shard}-of-{shards}.log",
    benchmark:
        "results/{study}/benchmarks/encode_corpus_of_choice/{choice}/{variant}/seed-{seed}/{collection}-{shard}-of-{shards}.tsv"
    params:
        cfg=lambda w: ENCODING
        | {
            "precision": STUDY.chosen(w.choice)["precision"],
            "label": f"encode {w.variant} {w.collection}, {w.choice},",
        },


in_batches("encode_corpus_of_choice")


use rule encode_queries as encode_queries_of_choice with:
    output:
        embeddings=temp(
            "results/{study}/protocol/{choice}/embeddings/{variant}/seed-{seed}/{collection}/queries/{split}.parquet"
        ),
    log:
        "results/{study}/logs/encode_queries_of_choice/{choice}/{variant}/seed-{seed}/{collection}-{split}.log",
    benchmark:
        "results/{study}/benchmarks/encode_queries_of_choice/{choice}/{variant}/seed-{seed}/{collection}-{split}.tsv"
    params:
        cfg=lambda w: ENCODING
        | {
            "precision": STUDY.chosen(w.choice)["precision"],
            "max_length": STUDY.chosen(w.choice)["max_length"],
            "label": f"encode {w.variant} queries {w.collection}/{w.split}, {w.choice}",
        },


use rule index_shard as index_shard_of_choice with:
    input:
        embeddings=[
            "results/{study}/protocol/{choice}/embeddings/{variant}/seed-{seed}/{collection}/corpus/{shard}-of-{shards}.parquet"
        ],
    output:
        index=temp(
            ["results/{study}/protocol/{choice}/index/{variant}/seed-{seed}/{collection}/{shard}-of-{shards}.faiss"]
        ),
    log:
        "results/{study}/logs/index_shard_of_choice/{choice}/{variant}/seed-{seed}/{collection}-{shard}-of-{shards}.log",
    benchmark:
        "results/{study}/benchmarks/index_shard_of_choice/{choice}/{variant}/seed-{seed}/{collection}-{shard}-of-{shards}.tsv"


in_batches("index_shard_of_choice")


use rule rank as rank_of_choice with:
    input:
        queries="results/{study}/protocol/{choice}/embeddings/{variant}/seed-{seed}/{collection}/queries/{split}.parquet",
        embeddings=shards_of(
            "results/{study}/protocol/{choice}/embeddings/{variant}/seed-{seed}/{collection}/corpus/{shard}-of-{shards}.parquet"
        ),
        indexes=shards_of(
            "results/{study}/protocol/{choice}/index/{variant}/seed-{seed}/{collection}/{shard}-of-{shards}.faiss"
        ),
    output:
        run="results/{study}/protocol/{choice}/runs/{variant}/seed-{seed}/{collection}/{split}.trec",
    log:
        "results/{study}/logs/rank_of_choice/{choice}/{variant}/seed-{seed}/{collection}-{split}.log",
    benchmark:
        "results/{study}/benchmarks/rank_of_choice/{choice}/{variant}/seed-{seed}/{collection}-{split}.tsv"


use rule rank as rank_without_own_ids with:
    output:
        run=f"results/{{study}}/protocol/{OWN_IDS}/runs/{{variant}}/seed-{{seed}}/{{collection}}/{{split}}.trec",
    log:
        "results/{study}/logs/rank_without_own_ids/{variant}/seed-{seed}/{collection}-{split}.log",
    benchmark:
        "results/{study}/benchmarks/rank_without_own_ids/{variant}/seed-{seed}/{collection}-{split}.tsv"
    params:
        cfg=lambda w: {"depth": STUDY.config["ranking"]["depth"], "drop_own_ids": True},
