"""What the terms of the page mean, for a reader who has met none of them."""

from collections.abc import Iterable

from backfire.explaining.geometry import NEIGHBOURS
from backfire.report.numbers import names
from backfire.study.measure_names import is_binary, measure_named

GEOMETRY = {
    "mean_cosine": (
        "Mean cosine",
        "How alike two passages picked at random look to the model; near 1, all passages crowd into one corner and "
        "are hard to tell apart.",
    ),
    "participation_ratio": (
        "Participation ratio",
        "In how many directions of the space the passages really spread, large directions counting most; a fall means "
        "that the space has flattened.",
    ),
    "effective_rank": (
        "Effective rank",
        "The same question, with small directions counting more; always at least the participation ratio.",
    ),
    "uniformity": (
        "Uniformity",
        "How evenly passages cover the sphere; 0 when they all coincide, about \N{MINUS SIGN}4 when they spread "
        "evenly, so lower is more even.",
    ),
    "alignment": (
        "Alignment",
        "Mean squared distance from a query to a passage judged relevant to it; lower is closer.",
    ),
    "relevant_cosine": ("Relevant cosine", "How alike a query and its relevant passage look to the model."),
    "random_cosine": ("Random cosine", "How alike a query and any passage of the corpus look to the model."),
    "margin": (
        "Margin",
        "Relevant cosine less random cosine: how far a relevant passage stands out from the corpus, which is what "
        "ranking lives on.",
    ),
    "base_cosine": (
        "Cosine to base",
        "How alike a passage's vector and its vector under base are, on average; 1 is a model that has not moved.",
    ),
    "neighbours_kept": (
        "Neighbours kept",
        f"The share of a passage's {NEIGHBOURS} nearest passages under base that are still among its nearest; 1 is a "
        "space in which nobody has changed places.",
    ),
}
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
    "query_latency_p50": "Query latency, median",
    "query_latency_p95": "Query latency, 95th percentile",
    "query_latency_p50_unmerged": "Median, adapter not merged",
    "query_latency_p95_unmerged": "95th percentile, adapter not merged",
    "reranking_time": "Reranking a query, mean",
}
"""Heading of each quantity in the table `cost`."""

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
