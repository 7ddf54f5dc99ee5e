"""Exact search against FAISS, BEIR and sentence-transformers, over vectors in memory.

Ours scores every candidate again in float64, so that a ranking does not depend on shards, blocks or threads; the peers
do not. On a GPU all search there, vectors brought to it each time, FAISS if it is built for GPUs with its index there.
Vectors are those of docstrings with noise added until there are enough, so that they lie as embeddings do. FLOP are
those of the product of queries and passages.
"""

import logging
import os
from collections.abc import Iterator

import numpy as np

from backfire.encoders.device import pick_gpu
from backfire.encoders.encoder import load_encoder
from backfire.encoders.encoding import encode
from backfire.encoders.folders import find_base
from backfire.encoders.settled import multiplied
from backfire.retrieval.index import build_index
from backfire.retrieval.search import Shard, search
from bench.encoding import BASE, LENGTH, passages
from bench.pairs import Pair, pair

# (queries, passages, depth); a few queries are the case of a development set.
# Docstrings that vectors are drawn around.
AROUND = 2000
SIZES = [(1000, 62_500, 10), (1000, 62_500, 100), (1000, 62_500, 1000), (100, 250_000, 100), (1000, 250_000, 100)]


def vectors(count: int, seed: int, around: np.ndarray, noise: float = 0.5) -> np.ndarray:
    """Unit vectors (count, dimensions), each some vector of `around` and noise of that length."""
    rng = np.random.default_rng(seed)
    scale = noise / np.sqrt(around.shape[1])
    found = around[rng.integers(0, len(around), count)]
    found += scale * rng.standard_normal(found.shape, dtype=np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def run(arguments) -> Iterator[Pair]:
    """Rows for every peer and size."""
    import faiss
    import torch
    from sentence_transformers.util import dot_score, semantic_search

    threads = arguments.threads or len(os.sched_getaffinity(0))
    faiss.omp_set_num_threads(threads)
    device = pick_gpu()
    faiss_on_gpu = device is not None and hasattr(faiss, "index_cpu_to_all_gpus")
    around = encode(load_encoder(find_base(BASE), multiplied()[-1]), passages(AROUND), "document", LENGTH)
    for count, size, k in SIZES:
        corpus, queries = vectors(size, 0, around), vectors(count, 1, around)
        doc_ids, query_ids = [f"d{row}" for row in range(size)], [f"q{row}" for row in range(count)]
        index = build_index(corpus, "Flat")

        def ours(query_ids=query_ids, queries=queries, doc_ids=doc_ids, corpus=corpus, index=index, k=k):
            shard = Shard(doc_ids, corpus, index)
            return [
                [doc_id for doc_id, _ in found] for _, found in search(query_ids, queries, [shard], k, threads, device)
            ]

        searched = faiss.index_cpu_to_all_gpus(index, ngpu=1) if faiss_on_gpu else index

        def by_faiss(queries=queries, index=searched, doc_ids=doc_ids, k=k):
            return [[doc_ids[row] for row in found] for found in index.search(queries, k)[1]]

        def by_semantic_search(queries=queries, corpus=corpus, doc_ids=doc_ids, k=k):
            given = [torch.from_numpy(each).to(device or "cpu") for each in (queries, corpus)]
            return [
                [doc_ids[hit["corpus_id"]] for hit in found]
                for found in semantic_search(*given, top_k=k, score_function=dot_score)
            ]

        def by_beir(queries=queries, corpus=corpus, doc_ids=doc_ids, query_ids=query_ids, k=k):
            return _beir(query_ids, queries, doc_ids, corpus, k)

        peers = {
            f"faiss.{type(searched).__name__}": by_faiss,
            "sentence_transformers.util.semantic_search": by_semantic_search,
        }
        if (count, k) == (1000, 100):
            peers["BEIR DenseRetrievalExactSearch"] = by_beir
        for name, peer in peers.items():
            found = pair(
                f"search, {count:,} queries, {size:,} passages, {k} deep",
                ours=ours,
                peer=peer,
                peer_name=name,
                rounds=arguments.rounds,
                work=float(count),
                unit="queries",
                agreement=lambda ours, theirs: f"{_overlap(ours, theirs):.4%} of passages in common",
            )
            found.flop = 2.0 * count * size * corpus.shape[1]
            yield found


def _overlap(ours: list[list[str]], theirs: list[list[str]]) -> float:
    """Share of the passages of the first that the second has too; order does not count."""
    common = sum(len({*one} & {*two}) for one, two in zip(ours, theirs, strict=True))
    return common / sum(map(len, ours))


def _beir(query_ids, queries, doc_ids, corpus, k) -> list[list[str]]:
    from beir.retrieval.search.dense import DenseRetrievalExactSearch

    logging.getLogger("beir").setLevel(logging.ERROR)

    class Stored:
        """A model that knows its texts by heart: a text is the row of its vector."""

        def encode_queries(self, texts, **_):
            return _rows(queries, texts)

        def encode_corpus(self, documents, **_):
            return _rows(corpus, [document["text"] for document in documents])

    # Numbers of one width, so that sorting by length leaves their order.
    searched = DenseRetrievalExactSearch(Stored()).search(
        {doc_id: {"text": f"{row:09}"} for row, doc_id in enumerate(doc_ids)},
        {query_id: f"{row:09}" for row, query_id in enumerate(query_ids)},
        k,
        "dot",
    )
    return [list(searched[query_id]) for query_id in query_ids]


def _rows(matrix: np.ndarray, texts: list[str]):
    import torch

    return torch.from_numpy(matrix[np.array([int(text) for text in texts])])
