"""Data: every collection as tables of passages, queries and judgments, checked and described."""

from backfire.datasets.packages import package_versions
from backfire.datasets.sources import (
    PARTS,
    is_hub,
    is_pairs,
    is_pydocs,
    needed_parts,
    pairs_files,
    pairs_source,
    place_of,
    source_files,
)


localrules:
    download_collection,
    fetch_pairs,
    describe_collection,


# pydocs is made of installed packages: another version of one is another corpus.
CORPORA = {
    name: {"corpus": place_of(name, collection.corpus), "drop_empty": collection.drop_empty}
    | ({"versions": package_versions()} if is_pydocs(collection.corpus) else {})
    for name, collection in STUDY.collections.items()
}
# What a collection takes from ir_datasets: parts of ids, and the texts in which its passages are read.
DOWNLOADS = {
    name: {
        "corpus": collection.corpus,
        "needs": needed_parts(
            collection.corpus,
            map(collection.source, collection.query_sets),
            STUDY.published.values() if name == STUDY.train_on else [],
        ),
        "texts": STUDY.texts(name),
    }
    for name, collection in STUDY.collections.items()
}
# A folder, or pydocs, needs no download.
DOWNLOADED = {name: [f"data/{name}/download.json"] if DOWNLOADS[name]["needs"] else [] for name in DOWNLOADS}
SHARDED = "|".join(name for name, each in STUDY.collections.items() if not each.whole) or "none"
WHOLE = "|".join(name for name, each in STUDY.collections.items() if each.whole) or "none"
JOINED = "|".join(name for name, each in STUDY.collections.items() if each.of) or "(?!)"

# The shards of every collection's passages.
PASSAGES = {name: per_shard(f"data/{name}/corpus/{{shard}}-of-{{shards}}.parquet", name) for name in STUDY.collections}
# All collections are fetched and checked before a model touches one: what is wrong with the last is told in minutes.
FIRST = 10


rule download_collection:
    """Everything that the collection takes from ir_datasets is downloaded and checked against its published MD5; no other rule needs a network."""
    input:
        # There has to be a plan, and with it room; a newer one is no reason to download again.
        plan=ancient("data/{collection}/plan.json"),
    output:
        "data/{collection}/download.json",
    log:
        "data/{collection}/logs/download_collection.log",
    benchmark:
        "data/{collection}/benchmarks/download_collection.tsv"
    priority: FIRST
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=720,
    params:
        cfg=lambda w: plain(DOWNLOADS[w.collection]),
        code=code("download_collection"),
    script:
        "../scripts/download_collection.py"


rule fetch_pairs:
    """A data set of the hub is fetched, its files of data alone, and saved with its splits; no other rule needs a network for it."""
    output:
        rows=directory("data/{collection}/hub/rows"),
        manifest="data/{collection}/hub/manifest.json",
    log:
        "data/{collection}/logs/fetch_pairs.log",
    benchmark:
        "data/{collection}/benchmarks/fetch_pairs.tsv"
    wildcard_constraints:
        collection="|".join(name for name, each in STUDY.collections.items() if is_hub(each.corpus)) or "(?!)",
    priority: FIRST
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=720,
    params:
        cfg=lambda w: {"source": STUDY.collections[w.collection].corpus},
        code=code("fetch_pairs"),
    script:
        "../scripts/fetch_pairs.py"


rule read_pairs:
    """A file of pairs becomes a collection: its distinct passages and queries, its judgments, and splits by a hash of the query, near-duplicate queries on one side."""
    input:
        pairs=lambda w: pairs_files(STUDY.collections[w.collection].corpus),
        hub=lambda w: (
            [
                pairs_source(w.collection, STUDY.collections[w.collection].corpus),
                f"data/{w.collection}/hub/manifest.json",
            ]
            if is_hub(STUDY.collections[w.collection].corpus)
            else []
        ),
    output:
        corpus="data/{collection}/pairs/corpus.parquet",
        queries=expand("data/{collection}/pairs/queries/{part}.parquet", part=PARTS, allow_missing=True),
        qrels=expand("data/{collection}/pairs/qrels/{part}.parquet", part=PARTS, allow_missing=True),
        manifest="data/{collection}/pairs/manifest.json",
    log:
        "data/{collection}/logs/read_pairs.log",
    benchmark:
        "data/{collection}/benchmarks/read_pairs.tsv"
    priority: FIRST
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=asked("read_pairs", "mem_mb"),
        runtime=asked("read_pairs", "runtime"),
    params:
        cfg=lambda w: plain(
            {
                "source": pairs_source(w.collection, STUDY.collections[w.collection].corpus),
                "named": STUDY.collections[w.collection].columns,
                "held_out": STUDY.collections[w.collection].held_out,
            }
        ),
        code=code("read_pairs"),
    script:
        "../scripts/read_pairs.py"


rule join_passages:
    """The passages of several collections, one after another, become those of one; an id tells which it is from."""
    input:
        lambda w: [path for part in STUDY.collections[w.collection].of for path in PASSAGES[part]],
    output:
        "data/{collection}/joined/corpus.parquet",
    log:
        "data/{collection}/logs/join_passages.log",
    benchmark:
        "data/{collection}/benchmarks/join_passages.tsv"
    wildcard_constraints:
        collection=JOINED,
    priority: FIRST
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=asked("join_passages", "mem_mb"),
        runtime=asked("join_passages", "runtime"),
    params:
        cfg=lambda w: {"parts": {part: STUDY.shards_of(part) for part in STUDY.collections[w.collection].of}},
        code=code("join_passages"),
    script:
        "../scripts/join_passages.py"


rule join_queries:
    """The queries and judgments of several collections, those of one query set of each, become those of one; what is judged in one of them is not trained on in the wording of another."""
    input:
        queries=lambda w: expand(
            "data/{part}/queries/{split}.parquet", part=STUDY.collections[w.collection].of, split=w.split
        ),
        qrels=lambda w: expand(
            "data/{part}/qrels/{split}.parquet", part=STUDY.collections[w.collection].of, split=w.split
        ),
        judged=lambda w: [
            f"data/{name}/queries/{split}.parquet" for name, split in STUDY.judged_beside(w.collection, w.split)
        ],
    output:
        queries="data/{collection}/joined/queries/{split}.parquet",
        qrels="data/{collection}/joined/qrels/{split}.parquet",
        manifest="data/{collection}/joined/manifests/{split}.json",
    log:
        "data/{collection}/logs/join_queries/{split}.log",
    benchmark:
        "data/{collection}/benchmarks/join_queries/{split}.tsv"
    wildcard_constraints:
        collection=JOINED,
    priority: FIRST
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=asked("join_queries", "mem_mb"),
        runtime=asked("join_queries", "runtime"),
    params:
        cfg=lambda w: {"parts": list(STUDY.collections[w.collection].of)},
        code=code("join_queries"),
    script:
        "../scripts/join_queries.py"


rule export_corpus:
    """Passages in the order of their source, in shards of near-equal length; where a size is set, those with the smallest hash of their id. Empty passages stop the study or are dropped and counted, as the collection says; repeated ids stop it."""
    input:
        lambda w: DOWNLOADED[w.collection] + source_files(w.collection, STUDY.collections[w.collection].corpus),
    output:
        shards=expand(
            "data/{collection}/corpus/{shard}-of-{shards}.parquet",
            shard=range(1, STUDY.shards + 1),
            shards=STUDY.shards,
            allow_missing=True,
        ),
        manifest="data/{collection}/corpus/manifest.json",
    log:
        "data/{collection}/logs/export_corpus.log",
    benchmark:
        "data/{collection}/benchmarks/export_corpus.tsv"
    wildcard_constraints:
        collection=SHARDED,
    priority: FIRST
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=asked("export_corpus", "mem_mb"),
        runtime=asked("export_corpus", "runtime"),
    params:
        cfg=lambda w: plain(
            CORPORA[w.collection]
            | {
                "size": STUDY.collections[w.collection].size,
                "text": w.get("text", STUDY.collections[w.collection].text),
            }
        ),
        code=code("export_corpus"),
    script:
        "../scripts/export_corpus.py"


use rule export_corpus as export_whole_corpus with:
    output:
        shards=["data/{collection}/corpus/1-of-1.parquet"],
        manifest="data/{collection}/corpus/manifest.json",
    wildcard_constraints:
        collection=WHOLE,


use rule export_corpus as export_corpus_text with:
    output:
        shards=expand(
            "data/{collection}/texts/{text}/corpus/{shard}-of-{shards}.parquet",
            shard=range(1, STUDY.shards + 1),
            shards=STUDY.shards,
            allow_missing=True,
        ),
        manifest="data/{collection}/texts/{text}/corpus/manifest.json",
    log:
        "data/{collection}/texts/{text}/logs/export_corpus.log",
    benchmark:
        "data/{collection}/texts/{text}/benchmarks/export_corpus.tsv"
    wildcard_constraints:
        collection=SHARDED,


use rule export_corpus_text as export_whole_corpus_text with:
    output:
        shards=["data/{collection}/texts/{text}/corpus/1-of-1.parquet"],
        manifest="data/{collection}/texts/{text}/corpus/manifest.json",
    wildcard_constraints:
        collection=WHOLE,


rule export_queries:
    """Queries and judgments of a split, restricted to the passages kept; queries without a relevant passage among them are left out and counted. Judgments of queries or passages that the source lacks stop the study or are dropped and counted, as the collection says."""
    input:
        lambda w: (
            DOWNLOADED[w.collection]
            + source_files(
                w.collection,
                STUDY.collections[w.collection].corpus,
                STUDY.collections[w.collection].source(w.split),
            )
        ),
        shards=shards_of("data/{collection}/corpus/{shard}-of-{shards}.parquet"),
        manifest="data/{collection}/corpus/manifest.json",
    output:
        queries="data/{collection}/queries/{split}.parquet",
        qrels="data/{collection}/qrels/{split}.parquet",
        manifest="data/{collection}/queries/{split}.json",
    log:
        "data/{collection}/logs/export_queries/{split}.log",
    benchmark:
        "data/{collection}/benchmarks/export_queries/{split}.tsv"
    priority: FIRST
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=asked("export_queries", "mem_mb"),
        runtime=asked("export_queries", "runtime"),
    params:
        cfg=lambda w: plain(
            CORPORA[w.collection]
            | {
                "split": STUDY.collections[w.collection].source(w.split),
                "missing": STUDY.collections[w.collection].missing,
                "part": STUDY.collections[w.collection].part(w.split),
            }
        ),
        code=code("export_queries"),
    script:
        "../scripts/export_queries.py"


rule describe_collection:
    """One manifest for each collection: sources, counts kept and dropped with reasons, and digests."""
    input:
        corpus="data/{collection}/corpus/manifest.json",
        pairs=lambda w: (
            [f"data/{w.collection}/pairs/manifest.json"] if is_pairs(STUDY.collections[w.collection].corpus) else []
        ),
        joined=lambda w: [
            f"data/{w.collection}/joined/manifests/{source}.json"
            for source in sorted(STUDY.collections[w.collection].sources)
            if STUDY.collections[w.collection].of
        ],
        splits=lambda w: expand(
            "data/{collection}/queries/{split}.json",
            split=STUDY.collections[w.collection].query_sets,
            allow_missing=True,
        ),
    output:
        "data/{collection}/manifest.json",
    log:
        "data/{collection}/logs/describe_collection.log",
    benchmark:
        "data/{collection}/benchmarks/describe_collection.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("describe_collection"),
    script:
        "../scripts/describe_collection.py"
