"""Mining hard negatives from texts against `mine_hard_negatives`: encode, search, drop what is relevant, take the best.

The peer runs as its documentation shows it, with `use_faiss`; both encode the same docstrings, cut at the same length.
"""

import os

import numpy as np

from backfire.encoders.device import pick_device, pick_gpu
from backfire.encoders.encoder import load_encoder
from backfire.encoders.encoding import encode
from backfire.encoders.folders import find_base
from backfire.encoders.settled import multiplied
from backfire.retrieval.index import build_index
from backfire.retrieval.search import Shard, search
from bench.encoding import BASE, LENGTH
from bench.pairs import Pair, pair
from bench.questions import Questions

DEPTH, NEGATIVES = 20, 5


def run(arguments) -> list[Pair]:
    """One row, from texts to negatives."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import mine_hard_negatives

    base, device = find_base(BASE), pick_device()
    threads = arguments.threads or len(os.sched_getaffinity(0))
    asked = Questions(arguments.queries, arguments.passages)
    encoder = load_encoder(base, multiplied()[-1], device)
    peer = SentenceTransformer(str(base), device=str(device))
    peer.max_seq_length = LENGTH

    def ours() -> list[set[str]]:
        corpus = encode(encoder, asked.passages, "document", LENGTH)
        shard = Shard(asked.doc_ids, corpus, build_index(corpus, "Flat"))
        queries = encode(encoder, asked.queries, "query", LENGTH)
        found = search(asked.query_ids, queries, [shard], DEPTH, threads, device=pick_gpu())
        text = dict(zip(asked.doc_ids, asked.passages, strict=True))
        return [
            {text[doc_id] for doc_id, _ in [hit for hit in ranking if hit[0] != answer][:NEGATIVES]}
            for (_, ranking), answer in zip(found, asked.answers, strict=True)
        ]

    def theirs() -> list[set[str]]:
        rows = {place: text for place, text in zip(asked.doc_ids, asked.passages, strict=True)}
        mined = mine_hard_negatives(
            Dataset.from_dict({"query": asked.queries, "answer": [rows[answer] for answer in asked.answers]}),
            peer,
            corpus=asked.passages,
            range_max=DEPTH,
            num_negatives=NEGATIVES,
            use_faiss=True,
            output_format="n-tuple",
            verbose=False,
        )
        by_query = {row["query"]: {row[f"negative_{n}"] for n in range(1, NEGATIVES + 1)} for row in mined}
        return [by_query.get(query, set()) for query in asked.queries]

    return [
        pair(
            f"mine, {len(asked.queries):,} queries, {len(asked.passages):,} passages",
            ours=ours,
            peer=theirs,
            peer_name="mine_hard_negatives",
            rounds=arguments.rounds,
            work=float(len(asked.queries) + len(asked.passages)),
            unit="texts",
            agreement=lambda one, two: (
                f"{np.mean([len(a & b) / len(a) for a, b in zip(one, two, strict=True)]):.2%} of negatives in common"
            ),
        )
    ]
