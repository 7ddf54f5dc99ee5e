"""Encoding: every passage becomes token ids, once; every passage and query becomes a unit vector, and each shard of vectors an index."""

ENCODING = {key: STUDY.config["encoding"][key] for key in ("precision", "batch_tokens")}
LENGTH = STUDY.config["encoding"]["max_length"]


def filled(path, shard):
    """A path of a rule with the study, the shard and the number of shards filled in; the engine's flags stay."""
    values = {"{study}": STUDY.name, "{shard}": str(shard), "{shards}": str(STUDY.shards)}
    text = path
    for name, value in values.items():
        text = text.replace(name, value)
    return getattr(path, "new_from", str)(text)


def in_batches(name: str) -> None:
    """Repeat a rule of one shard for each run of shards that one job takes (`encoding.shards_per_job`).

    The outputs of a rule must share their wildcards, so each run has a rule of its own, which lists its files. Here
    stands what `use rule NAME as OTHER with:` is compiled to, since that takes no computed name. The study is filled in
    too: the engine looks rules up by what stands before their first wildcard.
    """
    said, settings = workflow.get_rule(name).ruleinfo, workflow.resource_settings

    def listed(item, shards):
        if isinstance(item, str):
            return filled(item, "")
        if callable(item):
            return lambda w: [filled(path, shard) for shard in shards for path in item(w)]
        return [filled(path, shard) for shard in shards for path in item]

    for shards in STUDY.batches:
        copy, run = batch_name(name, shards), f"{shards[0]}-to-{shards[-1]}"
        info = workflow.run(None)
        workflow.input(**{key: listed(item, shards) for key, item in said.input.kwpaths.items()})(info)
        workflow.output(**{key: listed(item, shards) for key, item in said.output.kwpaths.items()})(info)
        workflow.log(*(filled(path, run) for path in said.log.paths))(info)
        workflow.benchmark(filled(said.benchmark.paths, run))(info)
        workflow.userule(rules=[name], name_modifier=copy)(info)
        # What is set for the rule by --set-threads and --set-resources is meant for its copies.
        resources = workflow.get_rule(copy).resources
        resources.update(settings._parsed_overwrite_resources.get(name, {}))
        if name in settings._parsed_overwrite_threads:
            resources["_cores"] = settings._parsed_overwrite_threads[name]


rule tokenize_corpus:
    """Passages are turned into token ids, cut at `encoding.max_length`, once for all variants and seeds, which share the base's tokenizer."""
    input:
        model="results/{study}/models/base/seed-0",
        corpus=lambda w: [f"{STUDY.collections[w.collection].passages(w.text)}/{{shard}}-of-{{shards}}.parquet"],
    output:
        tokens=["results/{study}/tokens/{text}-{max_length}/{collection}/{shard}-of-{shards}.parquet"],
    log:
        "results/{study}/logs/tokenize_corpus/{text}-{max_length}/{collection}-{shard}-of-{shards}.log",
    benchmark:
        "results/{study}/benchmarks/tokenize_corpus/{text}-{max_length}/{collection}-{shard}-of-{shards}.tsv"
    conda:
        "../../envs/encode.yaml"
    threads: 1
    resources:
        mem_mb=asked("tokenize_corpus", "mem_mb"),
        runtime=asked("tokenize_corpus", "runtime"),
    params:
        cfg=lambda w: {"max_length": int(w.max_length)},
        code=code("tokenize_corpus"),
    script:
        "../scripts/tokenize_corpus.py"


in_batches("tokenize_corpus")


rule encode_corpus:
    """Tokenised passages are encoded and scaled to unit length, shard by shard."""
    input:
        model="results/{study}/models/{variant}/seed-{seed}",
        tokens=lambda w: [
            f"results/{{study}}/tokens/{STUDY.collections[w.collection].text}-{LENGTH}/{{collection}}/{{shard}}-of-{{shards}}.parquet"
        ],
    output:
        embeddings=["results/{study}/embeddings/{variant}/seed-{seed}/{collection}/corpus/{shard}-of-{shards}.parquet"],
        cost=["results/{study}/cost/{variant}/seed-{seed}/encoding-{collection}-{shard}-of-{shards}.json"],
    log:
        "results/{study}/logs/encode_corpus/{variant}/seed-{seed}/{collection}-{shard}-of-{shards}.log",
    benchmark:
        "results/{study}/benchmarks/encode_corpus/{variant}/seed-{seed}/{collection}-{shard}-of-{shards}.tsv"
    conda:
        "../../envs/encode.yaml"
    threads: THREADS
    resources:
        mem_mb=asked("encode_corpus", "mem_mb"),
        runtime=asked("encode_corpus", "runtime"),
        gpu=GPU,
    params:
        cfg=lambda w: ENCODING | {"label": f"encode {w.variant} seed {w.seed} {w.collection}"},
        code=code("encode_corpus"),
    script:
        "../scripts/encode_corpus.py"


in_batches("encode_corpus")


rule encode_queries:
    """Queries go through the same model and length limit, without a template unless the model names one."""
    input:
        model="results/{study}/models/{variant}/seed-{seed}",
        queries="data/{collection}/queries/{split}.parquet",
    output:
        embeddings="results/{study}/embeddings/{variant}/seed-{seed}/{collection}/queries/{split}.parquet",
    log:
        "results/{study}/logs/encode_queries/{variant}/seed-{seed}/{collection}-{split}.log",
    benchmark:
        "results/{study}/benchmarks/encode_queries/{variant}/seed-{seed}/{collection}-{split}.tsv"
    conda:
        "../../envs/encode.yaml"
    threads: THREADS
    resources:
        mem_mb=asked("encode_queries", "mem_mb"),
        runtime=asked("encode_queries", "runtime"),
        gpu=GPU,
    params:
        cfg=lambda w: ENCODING
        | {
            "label": f"encode {w.variant} seed {w.seed} queries {w.collection}/{w.split}",
            "max_length": LENGTH,
        },
        code=code("encode_queries"),
    script:
        "../scripts/encode_queries.py"
