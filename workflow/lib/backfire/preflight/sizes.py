"""What a study asks for beyond its corpus: cut with a line that says so, or refused where it cannot be cut.

Loaded whenever the DAG is built, so it uses the standard library only.
"""

import re
from collections.abc import Collection
from pathlib import Path

from backfire.datasets.catalogue import published_count
from backfire.datasets.layout import qrels_files
from backfire.datasets.sources import input_files, is_folder, is_pydocs
from backfire.errors import BackfireError
from backfire.study.study import Study
from backfire.study.triples import Drawn, Published, Searched, Triples

# Lines of a folder's corpus are counted up to this many bytes, in 30 ms.
COUNTED = 1 << 26
# As in projection.py, which the DAG must not load (a test compares them), and in geometry.py.
FEWEST_ON_A_MAP, FEWEST_IN_A_SPACE = 10, 2
SAMPLING = {"sample_triples", "sample_published"}
# Files of judgments with one on a line.
_JUDGED = (".jsonl", ".tsv", ".txt", ".qrels", ".qrel", ".trec")
_TIMES = {"": 1, "k": 1 << 10, "M": 1 << 20}


def most_passages(study: Study, name: str) -> int | None:
    """Passages that a collection has at most; None where nothing that is quickly read tells.

    By what `ir_datasets` publishes, the lines of a folder's corpus, and `size`; never by what an earlier run left.
    """
    collection = study.collections[name]
    if is_folder(collection.corpus):
        whole = _lines([Path(file) for file in input_files(collection.corpus)])
    else:
        whole = published_count(collection.corpus, "docs")
    known = [count for count in (whole, collection.size) if count is not None]
    return min(known, default=None)


def most_queries(study: Study) -> int | None:
    """Training queries that there are at most; None where nothing that is quickly read tells.

    By what `ir_datasets` publishes of queries and judgments, or the lines of a folder's judgments, since a query
    without a judgment gives no triple.
    """
    collection = study.collections[study.train_on]
    if is_pydocs(collection.train):
        # A query is made of the same docstring as the passage that answers it.
        return most_passages(study, study.train_on)
    if is_folder(collection.corpus):
        return _lines([Path(file) for file in qrels_files(collection.corpus, collection.train)], _JUDGED)
    known = [published_count(collection.train, part) for part in ("queries", "qrels")]
    return min((count for count in known if count is not None), default=None)


def most_triples(study: Study, triples: Triples) -> int | None:
    """Examples that a set can have at most; None where that is not known before the first job.

    Each training query has at most as many negatives as there are passages but its positive, and as it has candidates.
    How many candidates share a word with a query, or are judged relevant to it, is known once they are mined.
    """
    if isinstance(triples, Published):
        return published_count(triples.source, "docpairs")
    if not isinstance(triples, Drawn):
        return None
    queries, passages = most_queries(study), most_passages(study, study.train_on)
    negatives = [passages - 1] if passages else []
    negatives += [triples.most_ranks] if triples.most_ranks else []
    return None if queries is None or not negatives else queries * (min(negatives) // triples.negatives_per_query)


def check_sizes(study: Study, rules: Collection[str] = ()) -> list[str]:
    """A line for each thing that is cut to the corpus; raises `BackfireError` for what cannot be.

    `rules` are those that will run, where that is known: a corpus too small for a map may do for a run.
    """
    lines = []
    for name in study.collections:
        passages = most_passages(study, name)
        if not passages:  # Not known; or none, which the job that reads the source tells.
            continue
        shards = study.shards_of(name)
        # What a folder holds is told by the job that reads it, which comes first and sees what else is wrong.
        if shards > passages and not is_folder(study.collections[name].corpus):
            raise BackfireError(
                f"encoding.shards: {shards} shards, but '{name}' has {passages} passage(s).",
                "ask for at most as many shards as passages, or set whole for that collection.",
            )
        _check_index(study, name, max(1, passages // shards))
        asked = {"ranking.depth": study.config["ranking"]["depth"]}
        if study.trained and name == study.train_on:
            searched = [each for each in study.triples.values() if isinstance(each, Searched)]
            asked |= {f"{each.where}.depth": each.depth for each in searched}
        lines += [
            f"{where}: {depth} passages a query are asked for and '{name}' has {passages}, so all are ranked."
            for where, depth in asked.items()
            if depth > passages
        ]
        needed = {"measure_geometry": FEWEST_IN_A_SPACE}
        needed |= {"project_embeddings": FEWEST_ON_A_MAP} if name == study.primary[0] else {}
        for rule, fewest in needed.items():
            if rule in rules and passages < fewest:
                raise BackfireError(
                    f"collections.{name}: {passages} passage(s), and {rule} needs at least {fewest}.",
                    "raise the collection's size, or take a larger collection.",
                )
    if not SAMPLING.isdisjoint(rules):
        for name in dict.fromkeys(study.variants[variant].triples for variant in study.trained):
            _check_triples(study, study.triples[name])
    return lines


def cells(factory: str) -> int:
    """Vectors that a FAISS index of that factory string is trained on at least: one for each entry of a codebook."""
    found = [1]
    for part in re.split(r"[,_()]", factory.partition(";")[0].replace(" ", "")):
        if match := re.fullmatch(r"IVF(\d+)([kM]?)", part):
            found.append(int(match[1]) * _TIMES[match[2]])
        elif match := re.fullmatch(r"(?:O?PQ|RQ|LSQ)\d+(?:x(\d+))?[a-z]*", part):
            # OPQ's rotation is found by a quantiser of 8 bits.
            found.append(1 << (int(match[1]) if match[1] else 8))
    return max(found)


def _check_index(study: Study, name: str, smallest: int) -> None:
    factory = study.config["encoding"]["index"]
    if (needed := cells(factory)) > smallest:
        raise BackfireError(
            f"encoding.index: '{factory}' has {needed} cells or codes to be trained, but a shard of '{name}' holds "
            f"{smallest} passage(s).",
            "an index that is trained wants some 40 passages a cell: ask for fewer, for fewer shards, or for Flat.",
        )


def _check_triples(study: Study, triples: Triples) -> None:
    most = most_triples(study, triples)
    if triples.size is None or most is None or triples.size <= most:
        return
    if isinstance(triples, Published):
        why = f"'{triples.source}' has {most}"
    else:
        deep = f" to a depth of {triples.depth}" if isinstance(triples, Searched) else ""
        why = f"at most {most_queries(study)} training queries of '{study.train_on}' give at most {most}"
        why += f" with negatives from {triples.negatives}{deep}"
    several = triples.negatives_per_query > 1
    unit = "example" if several else "triple"
    of = f" of {triples.negatives_per_query} negatives" if several else ""
    raise BackfireError(
        f"{triples.where}.size: {triples.size} {unit}s{of} are asked for, but {why}.",
        f"set it to {most} or less, or to null for {triples.unit.replace('example', unit)}.",
    )


def check_factory(factory: str, dimensions: int, distances: bool = False) -> None:
    """Raise `BackfireError` where FAISS makes no index of inner products of a factory string (see `index`).

    Where `distances` are searched for, vectors have one number more (see `encoders.similarity`).
    """
    structure, _, parameters = factory.partition(";")
    if structure.strip() == "Flat" and not parameters:
        return
    try:
        import faiss  # noqa: F401

        from backfire.formats.index import faiss_reason, made_index
    # An engine that leaves the libraries to the jobs' own environments.
    except ImportError:
        return
    try:
        made_index(factory, dimensions + distances)
    except RuntimeError as error:
        raise BackfireError(
            f"encoding.index: FAISS makes no index '{factory}' of vectors of {dimensions} dimensions "
            f"{'and one more, for Euclidean distances, ' if distances else ''}({faiss_reason(error)}).",
            "set it to a FAISS factory string such as Flat, HNSW32 or 'IVF64,Flat;nprobe=8'.",
        ) from error


def _lines(files: list[Path], kinds: tuple[str, ...] = (".jsonl",)) -> int | None:
    """Lines that are not blank, a header too, of files of some kinds; None for files of others, and for large ones."""
    if any(file.suffix not in kinds for file in files) or sum(file.stat().st_size for file in files) > COUNTED:
        return None
    count = 0
    for file in files:
        with file.open("rb") as stream:
            count += sum(1 for line in stream if line.strip())
    return count
