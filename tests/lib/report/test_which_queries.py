"""What the page says of kinds of queries: nothing of long queries unless the test of dependence says so."""

import pytest
from example_study import VERDICTS, Example

from backfire.formats.tables import read_rows, write_rows
from backfire.report.queries import claims, which_queries

ALPHA = 0.05


def strata(deltas, rho, p_adjusted, factor="length", half=0.02):
    """Strata of one variant; intervals of that half width."""
    return [
        {"variant": "full_bm25", "factor": factor, "stratum": f"s{place}", "place": place, "queries": 80}
        | {"delta": delta, "ci_low": delta - half, "ci_high": delta + half}
        # Small before it is adjusted, which counts for nothing.
        | {"rho": rho, "p": 0.001, "p_adjusted": p_adjusted}
        for place, delta in enumerate(deltas, 1)
    ]


def said(*groups):
    return claims({rows[0]["factor"]: {"full_bm25": rows} for rows in groups}, ALPHA)


@pytest.mark.parametrize("p_adjusted", [0.05, 0.3, None])
def test_large_differences_between_strata_are_no_claim_without_the_test(p_adjusted):
    (sentence,) = said(strata([0.1, 0, -0.3], -0.4, p_adjusted))
    assert sentence.startswith("It was not shown that the effect of any variant depends on query length:")
    assert "hurts" not in sentence and "does not mean that there is no such dependence" in sentence


@pytest.mark.parametrize(
    ("deltas", "rho", "half", "expected"),
    [
        ([-0.05, -0.1, -0.3], -0.3, 0.02, "full_bm25 hurts long queries more than short queries: "),
        ([0.01, -0.1, -0.3], -0.3, 0.02, "full_bm25 hurts long queries more than short queries: "),
        ([0.10, -0.1, -0.3], -0.3, 0.02, "full_bm25 hurts long queries and helps short queries: "),
        ([0.01, 0.1, 0.3], 0.3, 0.02, "full_bm25 helps long queries more than short queries: "),
        ([-0.3, 0.0, 0.01], 0.3, 0.02, "full_bm25 hurts short queries more than long queries: "),
        ([0.01, 0.0, -0.01], -0.3, 0.02, "full_bm25 does worse on long queries than on short queries: "),
        ([0.01, 0.0, 0.02], -0.3, 0.02, "The effect of full_bm25 depends on query length (rank correlation"),
    ],
)
def test_words_follow_the_direction_and_the_intervals(deltas, rho, half, expected):
    (sentence,) = said(strata(deltas, rho, 0.012, half=half))
    assert sentence.startswith(expected)
    assert "adjusted p 0.012" in sentence and "0.30, " in sentence


def test_numbers_of_both_ends_are_told():
    (sentence,) = said(strata([0.01, -0.1, -0.3], -0.3, 0.012))
    minus = "\N{MINUS SIGN}"
    assert f"{minus}0.3000 [{minus}0.3200, {minus}0.2800] at s3 and +0.0100 [{minus}0.0100, +0.0300] at s1" in sentence


def test_an_end_without_an_interval_is_not_said_to_be_hurt():
    rows = strata([0.1, -0.1, -0.3], -0.3, 0.012)
    for row in rows:
        row |= {"ci_low": None, "ci_high": None}
    (sentence,) = said(rows)
    assert sentence.startswith("full_bm25 does worse on long queries than on short queries: ")
    assert sentence.count("no interval") == 2


def test_by_bases_rank_nothing_is_said_whatever_the_table_holds():
    by_rank = strata([-0.4, 0.2, 0.3], -0.6, 0.001, "base_rank")
    (sentence,) = said(by_rank, strata([-0.4, 0.2, 0.3], 0.1, 0.4, "overlap"))
    assert sentence.startswith(
        "It was not shown that the effect of any variant depends on words shared with the answer:"
    )


def test_a_study_where_one_variant_hurts_long_queries(tmp_path):
    study = Example(tmp_path)
    found = which_queries(study.moved(), study.strata(dependent="full_hard"), study.replaced(), study.variants, ALPHA)
    assert found["variants"] == list(VERDICTS)
    hurt, rest = found["claims"]
    assert hurt.startswith("full_hard hurts long queries more than short queries: ")
    assert rest.startswith("For the other 7 pairs of variant and property no dependence was shown")
    length = found["factors"][0]
    assert [test["said"] for test in length["tests"]] == ["not shown", "depends", "not shown", "not shown"]
    assert [row["stratum"] for row in length["rows"]] == ["2-5 words", "6-9 words", "10-31 words"]
    assert length["rows"][0]["queries"] == "81 queries"
    (loss,), (gain,) = found["moved"][0]["losses"], found["moved"][0]["gains"]
    assert loss["ranks"] == "2 \N{RIGHTWARDS ARROW} 4" and gain["ranks"] == "2 \N{RIGHTWARDS ARROW} not found"
    assert [passage["ranks"] for passage in loss["passages"]] == [
        "3 \N{RIGHTWARDS ARROW} 1",
        "not found \N{RIGHTWARDS ARROW} 1,234",
    ]


def test_a_study_of_base_alone_has_nothing_to_show(tmp_path):
    study = Example(tmp_path, verdicts={})
    assert which_queries(study.moved(), study.strata(), study.replaced(), study.variants, ALPHA) is None


def test_a_variant_without_a_test_is_told_so(tmp_path):
    study = Example(tmp_path)
    rows = read_rows(study.strata(), "strata").to_pylist()
    for row in rows:
        row |= {"rho": None, "p": None, "p_adjusted": None}
    write_rows(study.path("none.parquet"), "strata", rows)
    found = which_queries(study.moved(), study.path("none.parquet"), study.replaced(), study.variants, ALPHA)
    assert [(each["title"], each["tested"]) for each in found["factors"]][-1] == ("Base's rank of the answer", False)
    assert {test["said"] for each in found["factors"] for test in each["tests"]} == {"no test"}
