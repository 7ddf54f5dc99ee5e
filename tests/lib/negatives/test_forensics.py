"""What the negatives of a set are, on real text and the real model: planted answers, copies and a teacher are found."""

import numpy as np
import pytest

from backfire.evaluation.significance.shares import clustered_share
from backfire.explaining.forensics import MARGINS, TripleSet, examine_triples
from backfire.explaining.triple_facts import FACTS, SAMPLE
from backfire.formats.tables import read_rows, write_rows
from backfire.negatives.filters import Filter
from backfire.planning import measured
from backfire.report.forensics import forensics_section
from backfire.study.triples import triples_named


@pytest.fixture
def collection(pydocs, vectors, shards, queries, tmp_path):
    """Scores (queries, passages), ids, and functions: one writes a set of places, one examines sets."""
    files, scores = shards(2), vectors[1].astype(np.float64) @ vectors[0].astype(np.float64).T
    passages, asked = [doc_id for doc_id, _ in pydocs[0]], [query_id for query_id, _ in pydocs[1]]

    def write(name, places, ranks=None):
        rows = [
            {
                "example": number,
                "query_id": asked[query],
                "positive_id": passages[positive],
                "negative_id": passages[negative],
                "source": "hard",
                "rank": None if ranks is None else ranks[number],
                "base_score": float(scores[query, negative]),
            }
            for number, (query, positive, negative) in enumerate(places)
        ]
        write_rows(tmp_path / f"{name}.triples", "triples", rows)
        return str(tmp_path / f"{name}.triples")

    def examine(*sets):
        facts, filters = tmp_path / "facts", tmp_path / "filters"
        examine_triples(
            sets, files["corpus"], queries["embeddings"], files["embeddings"], 0.05, str(facts), str(filters)
        )
        return facts, filters

    return scores, passages, asked, write, examine


def told(path, name):
    rows = read_rows(path, "forensics").to_pylist()
    return {row["fact"]: row for row in rows if row["triples"] == name}


def test_scores_ranks_and_shares_are_those_of_a_plain_count(collection):
    scores, passages, asked, write, examine = collection
    rng = np.random.default_rng(3)
    plain = [place for place, doc_id in enumerate(passages) if not doc_id.endswith(".again")]
    places = []
    for query in range(len(asked)):
        positive, *negatives = rng.choice(plain, 4, replace=False)
        places += [(query, int(positive), int(negative)) for negative in negatives]
    ranks = rng.integers(1, 200, len(places)).tolist()
    facts, filters = examine(TripleSet("drawn", write("drawn", places, ranks), None))
    found = told(facts, "drawn")
    assert list(found) == list(FACTS) and {row["judge"] for row in found.values()} == {"base"}
    own = np.array([scores[query, positive] for query, positive, _ in places])
    negative = np.array([scores[query, negative] for query, _, negative in places])
    values = {name: row["value"] for name, row in found.items()}
    assert values["negatives"] == len(places) and values["rank"] == np.median(ranks)
    for name, expected in {
        "score": np.median(negative),
        "score_high": np.percentile(negative, 90),
        "positive_score": np.median(own),
    }.items():
        assert values[name] == pytest.approx(expected, abs=1e-6)
    clusters = np.array([query for query, _, _ in places])
    shares = {"above_positive": negative >= own, "likely_answer": negative > own - 0.05 * abs(own)}
    for name, true in shares.items():
        expected = clustered_share(true, clusters, 0.05)
        assert 0 < expected.value < 1
        assert (found[name]["value"], found[name]["ci_low"], found[name]["ci_high"]) == pytest.approx(expected)
    assert values["near_duplicate"] == 0
    curve = {row["relative_margin"]: row for row in read_rows(filters, "filter_curves").to_pylist()}
    assert list(curve) == list(MARGINS)
    for margin, row in curve.items():
        # The filter that sampling uses, of which tests hold each setting equal to sentence-transformers'.
        kept = [
            bool(Filter({"relative_margin": margin}, {"q": score}).kept("q", [("d", None)], [other]))
            for score, other in zip(own, negative, strict=True)
        ]
        assert row["kept"] == pytest.approx(np.mean(kept)) and row["answers"] is None
        assert row["score"] == pytest.approx(np.median(negative[kept]), abs=1e-6)


def test_copies_of_the_positive_are_found_and_counted(collection):
    _, passages, _, write, examine = collection
    again = {doc_id.removesuffix(".again"): place for place, doc_id in enumerate(passages) if doc_id.endswith(".again")}
    first = {
        passages[place].removesuffix(".again"): place for place in range(len(passages)) if passages[place] in again
    }
    pairs = [(first[name], again[name]) for name in sorted(again)][:10]
    others = [place for place, doc_id in enumerate(passages) if doc_id not in again and not doc_id.endswith(".again")]
    places = [(query, positive, copy) for query, (positive, copy) in enumerate(pairs)]
    places += [(query, pairs[0][0], others[query]) for query in range(10, 40)]
    facts, _ = examine(TripleSet("copied", write("copied", places), None))
    found = told(facts, "copied")
    assert found["near_duplicate"]["value"] == 10 / 40
    assert found["near_duplicate"]["ci_low"] < 0.25 < found["near_duplicate"]["ci_high"]
    assert found["rank"]["value"] is None and found["above_positive"]["value"] >= 10 / 40


def test_a_teacher_tells_what_answers_and_what_a_filter_would_leave(collection, tmp_path):
    scores, passages, asked, write, examine = collection
    order = np.argsort(-scores, axis=1)
    # The base is fooled by every second negative; the teacher takes every fourth one for an answer.
    places = [(query, int(order[query, 40]), int(order[query, 10 if query % 2 else 100])) for query in range(40)]
    rows = []
    for query, positive, negative in places:
        rows.append({"query_id": asked[query], "doc_id": passages[positive], "teacher_score": 2.0})
        rows.append(
            {"query_id": asked[query], "doc_id": passages[negative], "teacher_score": 1.0 + 2 * (query % 4 == 1)}
        )
    write_rows(tmp_path / "teacher", "teacher", rows)
    path = write("taught", places)
    facts, filters = examine(TripleSet("taught", path, str(tmp_path / "teacher")), TripleSet("alone", path, None))
    found = told(facts, "taught")
    assert found["above_positive"]["value"] == 0.5 and found["likely_answer"]["value"] == 0.25
    assert {row["judge"] for row in found.values()} == {"teacher"}
    assert told(facts, "alone")["likely_answer"]["value"] > 0.25
    curve = [row for row in read_rows(filters, "filter_curves").to_pylist() if row["triples"] == "taught"]
    assert (curve[0]["kept"], curve[0]["answers"], curve[0]["ci_low"]) == (0.5, 0.0, 0.0) and 0 < curve[0][
        "ci_high"
    ] < 0.3
    sets = {
        "taught": triples_named("taught", {"negatives": "hard", "teacher": {"model": "a/teacher"}}),
        "alone": triples_named("alone", {"negatives": "hard"}),
    }
    page = forensics_section(facts, filters, sets)
    assert page["sets"] == ["taught", "alone"] and page["judged"]
    assert page["sentences"][0].startswith("taught: 25.0 % of the negatives (")
    assert "by its teacher a/teacher" in page["sentences"][0] and "of these 0.0 % are likely" in page["sentences"][0]
    assert "by the base's own scores, which is a guess" in page["sentences"][1]


def test_a_large_set_is_looked_at_by_queries_and_the_plan_knows_how_many():
    assert measured.EXAMINED == SAMPLE
