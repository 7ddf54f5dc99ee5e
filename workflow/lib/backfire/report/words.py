"""What the terms of the page mean, for a reader who has met none of them."""

from collections.abc import Iterable

from backfire.explaining.statistics import STATISTICS
from backfire.report.numbers import names
from backfire.study.measure_names import is_binary, measure_named

GEOMETRY = {name: (each.heading, each.meaning) for name, each in STATISTICS.items() if each.meaning}
"""Heading and explanation of each quantity in the table `geometry`."""

COST = {
    "training_time": "Training time",
    "training_peak_memory": "Peak memory in training",
    "training_peak_gpu_memory": "Peak memory of the GPU in training",
    "trainable_parameters": "Trainable parameters",
    "total_parameters": "All parameters",
    "encoding_rate": "Encoding rate",
    "encoding_peak_memory": "Peak memory in encoding",
    "encoding_peak_gpu_memory": "Peak memory of the GPU in encoding",
    "search_time": "Searching for a query, mean",
    "reranking_time": "Reranking a query, mean",
}
"""Heading of each quantity in the table `cost`, but for those of latency, which have a table of their own."""

_MEASURES = {
    "RR": "reciprocal rank: 1 divided by the rank of the first relevant passage, 0 when none is found; its mean is MRR",
    "nDCG": "normalised discounted cumulative gain: rewards relevant passages by their grade, the more so the higher "
    "they are ranked",
    "R": "recall: the share of the relevant passages that were found",
    "P": "precision: the share of the passages found that are relevant",
    "AP": "average precision: precision at each relevant passage's rank, averaged; its mean is MAP",
    "Success": "1 when a relevant passage was found, else 0",
}


def measure_meaning(measure: str) -> str:
    """What a measure by its ir_measures name says, as `RR@10`; the name's own page for one that is not known here."""
    family, _, cutoff = measure.partition("@")
    meaning = _MEASURES.get(family.partition("(")[0], "see the documentation of ir_measures")
    return f"{meaning}; over the first {cutoff} results" if cutoff.isdigit() else meaning


def relevance_note(measures: Iterable[str], grade: int) -> str:
    """Which of the measures count passages from `grade` up as relevant; empty where every grade counts."""
    measures = list(measures)
    binary = [name for name in measures if is_binary(measure_named(name))]
    if grade == 1 or not binary:
        return ""
    rest = [name for name in measures if name not in binary]
    others = f"; {names(rest)} {'does' if len(rest) == 1 else 'do'} not depend on it" if rest else ""
    return f"{names(binary)} {'counts' if len(binary) == 1 else 'count'} grade {grade} and above as relevant{others}."
