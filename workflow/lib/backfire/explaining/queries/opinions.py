"""Whether the answer of a lost query was ranked worse, or a passage before it deserves its place and has no label.

A cross-encoder reads the query with the answer and with the passage that took its place. Where it prefers a passage
that nobody judged, the loss may be one of the labels (Arabzadeh et al. 2022, "Shallow pooling for sparse labels",
Information Retrieval Journal 25; Thakur et al. 2025, arXiv 2505.16967, label training data anew so).
It is an opinion: how often it prefers what gave up its place, where a variant gains, stands beside it.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from backfire.datasets.passages import texts_by_id
from backfire.evaluation.measures import read_qrels
from backfire.evaluation.significance.families import benjamini_hochberg
from backfire.explaining.queries.replaced import GAIN, LOSS
from backfire.formats.tables import read_rows, write_rows
from backfire.negatives.teacher import score_pairs

log = logging.getLogger(__name__)


def judge_exchanges(
    exchanges: str | Path,
    qrels: str | Path,
    queries: str | Path,
    corpus: Sequence[str | Path],
    model: str | Path,
    kind: str,
    max_length: int | None,
    own: Sequence[str],
    alpha: float,
    label: str,
    opinions: str | Path,
    missing_labels: str | Path,
) -> None:
    """Write the tables `opinions` and `missing_labels` of the table `exchanges`.

    `model` is the judge's folder and `kind` what it is (see `negatives.teacher`); variants in `own` are left out, since
    their order is its own. Each pair of a query and a passage is scored once. Memory: the texts of all exchanges.
    """
    rows = [row for row in read_rows(exchanges, "exchanges").to_pylist() if row["variant"] not in own]
    pairs = list(dict.fromkeys((row["query_id"], row[name]) for row in rows for name in ("answer_id", "passage_id")))
    asked = texts_by_id([queries], "queries", {query_id for query_id, _ in pairs})
    texts = texts_by_id(corpus, "corpus", {doc_id for _, doc_id in pairs})
    worded = [(asked[query_id], texts[doc_id]) for query_id, doc_id in pairs]
    found = score_pairs(str(model), kind, max_length, worded, label) if pairs else []
    scores = dict(zip(pairs, (float(score) for some in found for score in some), strict=True))
    judged = read_qrels(qrels)
    said = [
        {name: row[name] for name in ("variant", "direction", "query_id", "answer_id", "passage_id")}
        | {
            "grade": judged[row["query_id"]].get(row["passage_id"]),
            "answer_score": scores[row["query_id"], row["answer_id"]],
            "passage_score": scores[row["query_id"], row["passage_id"]],
        }
        for row in rows
    ]
    write_rows(opinions, "opinions", said)
    write_rows(missing_labels, "missing_labels", list(counted(said, alpha)))


def counted(opinions: Iterable[dict[str, Any]], alpha: float) -> Iterator[dict[str, Any]]:
    """Rows of the table `missing_labels`: losses and gains of each variant with a passage to name.

    Intervals are Wilson's, of the level 1 - `alpha`. `p` is Fisher's exact test that a preferred passage without a
    label is as common among losses as among gains, two-sided, None where there are none of either; `p_adjusted` by
    Benjamini-Hochberg over the variants.
    """
    from scipy.stats import binomtest, fisher_exact

    groups: dict[str, dict[str, list[bool]]] = {}
    for row in opinions:
        both = groups.setdefault(row["variant"], {LOSS: [], GAIN: []})
        both[row["direction"]].append(row["grade"] is None and row["passage_score"] > row["answer_score"])
    tests = {
        variant: float(fisher_exact([[sum(each), len(each) - sum(each)] for each in both.values()]).pvalue)
        for variant, both in groups.items()
        if all(both.values())
    }
    adjusted = dict(zip(tests, benjamini_hochberg(list(tests.values())), strict=True)) if tests else {}
    for variant, both in groups.items():
        for direction, each in both.items():
            row = {"variant": variant, "direction": direction, "queries": len(each), "preferred": sum(each)}
            row |= {"p": tests.get(variant), "p_adjusted": adjusted.get(variant)}
            if each:
                interval = binomtest(sum(each), len(each)).proportion_ci(1 - alpha, method="wilson")
                row |= {"share": sum(each) / len(each), "ci_low": interval.low, "ci_high": interval.high}
                log.info("%s, %s: %d of %d preferred without a label", variant, direction, sum(each), len(each))
            yield row
