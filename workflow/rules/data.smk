"""Data: every collection as tables of passages, queries and judgments, checked and described."""

from backfire.datasets.packages import package_versions
from backfire.datasets.sources import corpus_file, is_folder, is_pydocs, qrels_file, queries_file

PYDOCS_VERSIONS = package_versions()


def corpus_source(w):
    """What decides the corpus of a collection; for pydocs the versions of the packages that it is made of."""
    source = STUDY.collections[w.collection].corpus
    return {"corpus": source, "versions": PYDOCS_VERSIONS} if is_pydocs(source) else {"corpus": source}


def split_source(w):
    """The source of a query set: an ir_datasets id, or for a folder the name under qrels/."""
    collection = STUDY.collections[w.collection]
    return collection.train if w.split == TRAIN else collection.splits[w.split]


def split_names(w):
    """Names of all query sets of a collection, that for training included."""
    collection = STUDY.collections[w.collection]
    return [*([TRAIN] if collection.train else []), *collection.splits]


def corpus_files(w):
    """The file of the passages, when the corpus is a folder: an edit runs the study again."""
    source = STUDY.collections[w.collection].corpus
    return [corpus_file(source)] if is_folder(source) else []


def split_files(w):
    """The files of queries and judgments, when the corpus is a folder."""
    source = STUDY.collections[w.collection].corpus
    return [queries_file(source), qrels_file(source, split_source(w))] if is_folder(source) else []


rule export_corpus:
    """Passages in the order of their source, in shards of near-equal length; where a size is set, those with the smallest SHA-256 of their id. Empty passages and repeated ids stop the study."""
    input:
        corpus_files,
    output:
        shards=per_shard("data/{collection}/corpus/{shard}-of-{shards}.parquet"),
        manifest="data/{collection}/corpus/manifest.json",
    log:
        "data/{collection}/logs/export_corpus.log",
    benchmark:
        "data/{collection}/benchmarks/export_corpus.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        cfg=lambda w: plain({**corpus_source(w), "size": STUDY.collections[w.collection].size}),
        code=code("export_corpus"),
    script:
        "../scripts/export_corpus.py"


rule export_queries:
    """Queries and judgments of a split, restricted to the passages kept; queries without a relevant passage among them are left out and counted."""
    input:
        split_files,
        shards=per_shard("data/{collection}/corpus/{shard}-of-{shards}.parquet"),
        manifest="data/{collection}/corpus/manifest.json",
    output:
        queries="data/{collection}/queries/{split}.parquet",
        qrels="data/{collection}/qrels/{split}.parquet",
        manifest="data/{collection}/queries/{split}.json",
    log:
        "data/{collection}/logs/export_queries/{split}.log",
    benchmark:
        "data/{collection}/benchmarks/export_queries/{split}.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        cfg=lambda w: plain({**corpus_source(w), "split": split_source(w)}),
        code=code("export_queries"),
    script:
        "../scripts/export_queries.py"


rule describe_collection:
    """One manifest for each collection: sources, counts kept and dropped with reasons, and digests."""
    input:
        corpus="data/{collection}/corpus/manifest.json",
        splits=lambda w: expand("data/{collection}/queries/{split}.json", split=split_names(w), allow_missing=True),
    output:
        "data/{collection}/manifest.json",
    log:
        "data/{collection}/logs/describe_collection.log",
    benchmark:
        "data/{collection}/benchmarks/describe_collection.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("describe_collection"),
    script:
        "../scripts/describe_collection.py"
