"""What is told of the negatives of a training set: each fact's name, heading and meaning, in the order of the page."""

from dataclasses import dataclass

from backfire.datasets.duplicates import THRESHOLD

SAMPLE = 5000
"""Queries of a set that are looked at, with all their negatives; all of a set that has fewer."""
LIKELY = 0.05
"""A negative that the base scores above the positive's score less this share of it is a likely answer."""
BASE, TEACHER = "base", "teacher"
"""By whom a likely answer is told."""


@dataclass(frozen=True)
class Fact:
    """`share`: it is a share of the negatives and has an interval."""

    heading: str
    meaning: str
    share: bool = False


FACTS = {
    "negatives": Fact("Negatives", "How many were looked at."),
    "rank": Fact("Rank, median", "Where the search that found them has them for the query."),
    "score": Fact("Base's score, median", "How alike base finds the query and a negative: how hard the set is."),
    "score_high": Fact("Base's score, 90th percentile", "One negative in ten is harder than this."),
    "positive_score": Fact(
        "Base's score of the positive, median", "What the scores of negatives are to be held against."
    ),
    "above_positive": Fact(
        "Above the positive",
        "The share that base scores at least as high as the query's own positive: there base is wrong, or the label.",
        share=True,
    ),
    "near_duplicate": Fact(
        "Nearly the positive's text",
        "The share whose runs of three words are nearly the positive's (Jaccard similarity of at least "
        f"{THRESHOLD:g}): the same text is pulled and pushed at once.",
        share=True,
    ),
    "likely_answer": Fact(
        "Likely answers",
        "The share that is likely to answer the query, so that training pushes a right answer away. By a teacher: what "
        "it scores at least as high as the positive. By base, where there is no teacher: what it scores above the "
        f"positive's score less {LIKELY:.0%} of its size, which is a guess, since base is what is to be mended.",
        share=True,
    ),
}
