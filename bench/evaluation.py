"""Evaluating a model against `InformationRetrievalEvaluator`: encode, search, RR@10, from texts to the mean."""

import math
import os
from collections.abc import Iterator

from backfire.encoders.device import pick_device
from backfire.encoders.encoder import load_encoder
from backfire.encoders.encoding import encode
from backfire.encoders.folders import find_base
from backfire.encoders.settled import multiplied
from backfire.evaluation.measures import score_run
from backfire.retrieval.index import build_index
from backfire.retrieval.search import Shard, search
from backfire.study.measure_names import measure_named
from bench.encoding import BASE, LENGTH
from bench.pairs import Pair, pair
from bench.questions import Questions

MEASURE, DEPTH = "RR@10", 100


def run(arguments) -> Iterator[Pair]:
    """A row in the default precision and one in that of the peer, fp32."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    base, device = find_base(BASE), pick_device()
    threads = arguments.threads or len(os.sched_getaffinity(0))
    asked = Questions(arguments.queries, arguments.passages)
    qrels = {query: {answer: 1} for query, answer in zip(asked.query_ids, asked.answers, strict=True)}
    peer = SentenceTransformer(str(base), device=str(device))
    peer.max_seq_length = LENGTH
    evaluator = InformationRetrievalEvaluator(
        dict(zip(asked.query_ids, asked.queries, strict=True)),
        dict(zip(asked.doc_ids, asked.passages, strict=True)),
        {query: set(judged) for query, judged in qrels.items()},
        mrr_at_k=[10],
        ndcg_at_k=[10],
        accuracy_at_k=[10],
        precision_recall_at_k=[DEPTH],
        map_at_k=[DEPTH],
        name="pydocs",
        write_csv=False,
        main_score_function="cosine",
    )
    for precision in reversed(multiplied()):
        encoder = load_encoder(base, precision, device)

        def ours(encoder=encoder) -> float:
            corpus = encode(encoder, asked.passages, "document", LENGTH)
            shard = Shard(asked.doc_ids, corpus, build_index(corpus, "Flat"))
            queries = encode(encoder, asked.queries, "query", LENGTH)
            found = search(asked.query_ids, queries, [shard], DEPTH, threads)
            values = score_run(found, qrels, {MEASURE: measure_named(MEASURE)})[MEASURE]
            return math.fsum(values.values()) / len(values)

        def theirs() -> float:
            return evaluator(peer)["pydocs_cosine_mrr@10"]

        yield pair(
            f"evaluate, {precision}, {len(asked.queries):,} queries, {len(asked.passages):,} passages",
            ours=ours,
            peer=theirs,
            peer_name="InformationRetrievalEvaluator",
            rounds=arguments.rounds,
            work=float(len(asked.queries) + len(asked.passages)),
            unit="texts",
            agreement=lambda one, two: f"{MEASURE} {one:.5f} against {two:.5f}",
        )
