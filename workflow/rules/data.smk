"""Data: every collection as tables of passages, queries and judgments, checked and described."""

from backfire.datasets.packages import package_versions
from backfire.datasets.sources import input_files, is_pydocs

# pydocs is made of installed packages: another version of one is another corpus.
CORPORA = {
    name: {"corpus": collection.corpus} | ({"versions": package_versions()} if is_pydocs(collection.corpus) else {})
    for name, collection in STUDY.collections.items()
}


rule export_corpus:
    """Passages in the order of their source, in shards of near-equal length; where a size is set, those with the smallest hash of their id. Empty passages and repeated ids stop the study."""
    input:
        lambda w: input_files(STUDY.collections[w.collection].corpus),
    output:
        shards=expand(
            "data/{collection}/corpus/{shard}-of-{shards}.parquet",
            shard=range(1, STUDY.shards + 1),
            shards=STUDY.shards,
            allow_missing=True,
        ),
        manifest="data/{collection}/corpus/manifest.json",
    wildcard_constraints:
        collection="|".join(name for name in STUDY.collections if not STUDY.collections[name].whole) or "none",
    log:
        "data/{collection}/logs/export_corpus.log",
    benchmark:
        "data/{collection}/benchmarks/export_corpus.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        cfg=lambda w: plain(CORPORA[w.collection] | {"size": STUDY.collections[w.collection].size}),
        code=code("export_corpus"),
    script:
        "../scripts/export_corpus.py"


use rule export_corpus as export_whole_corpus with:
    output:
        shards="data/{collection}/corpus/1-of-1.parquet",
        manifest="data/{collection}/corpus/manifest.json",
    wildcard_constraints:
        collection="|".join(name for name in STUDY.collections if STUDY.collections[name].whole) or "none",


rule export_queries:
    """Queries and judgments of a split, restricted to the passages kept; queries without a relevant passage among them are left out and counted."""
    input:
        lambda w: input_files(STUDY.collections[w.collection].corpus, STUDY.collections[w.collection].source(w.split)),
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
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        cfg=lambda w: plain(CORPORA[w.collection] | {"split": STUDY.collections[w.collection].source(w.split)}),
        code=code("export_queries"),
    script:
        "../scripts/export_queries.py"


rule describe_collection:
    """One manifest for each collection: sources, counts kept and dropped with reasons, and digests."""
    input:
        corpus="data/{collection}/corpus/manifest.json",
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
