"""Headline and advice: each rule where it must speak, and where it must be silent."""

import pytest
from example_study import PRIMARY, VERDICTS, Example, example_config

from backfire.formats.tables import read_rows
from backfire.report.advice import advise
from backfire.report.findings import Findings, headline


@pytest.fixture
def findings(tmp_path, root):
    """A function that makes findings with the verdicts given, and the table changed by `change`, row by row."""

    def make(verdicts, overrides=None, seeds=1, change=None, among=None):
        study = Example(tmp_path, verdicts=dict(verdicts), overrides=overrides or {}, seeds=seeds, among=among or {})
        rows = read_rows(study.comparison(), "comparison").to_pylist()
        for row in rows:
            if change is not None:
                row.update(change(row))
        config = example_config(root, verdicts, seeds)
        return Findings(rows, PRIMARY, config["variants"], config["triples"], 0.05)

    return make


def said(found: Findings) -> dict[str, str]:
    return {advice.title: advice.text for advice in advise(found)}


def verdicts(*values: str) -> dict[str, str]:
    return dict(zip(VERDICTS, values, strict=False))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((), "Nothing was fine-tuned: this study measures the base model alone."),
        (("HARMS",), "The one fine-tuned variant, full_bm25, backfires."),
        (("HELPS", "HELPS"), "All 2 fine-tuned variants help: full_bm25 and full_hard."),
        (
            ("INCONCLUSIVE", "INCONCLUSIVE"),
            "No fine-tuned variant can be told apart from base: full_bm25 and full_hard.",
        ),
        (
            ("HELPS", "HARMS", "INCONCLUSIVE", "HARMS"),
            "Of 4 fine-tuned variants, 1 helps (full_bm25), 2 backfire (full_hard, lora_hard) and 1 cannot be told "
            "apart from base (lora_bm25).",
        ),
    ],
)
def test_headline(findings, given, expected):
    assert headline(findings(verdicts(*given))) == expected


def test_all_harm_keeps_base_and_blames_no_part_of_the_recipe(findings):
    titles = list(said(findings(verdicts("HARMS", "HARMS", "HARMS", "HARMS"))))
    assert titles == ["Keep the base model.", "One seed: query sampling only."]


def test_one_helper_is_used_and_its_numbers_are_given(findings):
    found = findings(verdicts("HARMS", "HELPS"))
    row = found.claims["full_hard"]
    assert f"{row['delta']:+.4f}" in said(found)["Use full_hard."]


def order(found):
    """Variants that help, the highest mean first."""
    return sorted(found.having("HELPS"), key=lambda name: -found.claims[name]["mean"])


def test_cost_decides_between_helpers_that_cannot_be_told_apart(findings):
    found = findings(verdicts("HELPS", "HELPS", "HARMS"))
    best, other = order(found)
    text = said(found)["Use full_bm25 or full_hard."]
    assert f"They were compared with each other, paired by query: {best} and {other} cannot be told apart (" in text
    assert "Let cost decide between full_bm25 and full_hard." in text and "not against each other" not in text


def test_a_helper_that_another_is_better_than_is_not_advised(findings):
    given = verdicts("HELPS", "HELPS", "HELPS", "HARMS")
    best, second, third = order(findings(given))
    found = findings(given, among={(best, third): "HELPS", (best, second): "EQUIVALENT"})
    (title,) = (title for title in said(found) if title.startswith("Use "))
    assert title == f"Use {' or '.join(name for name in found.having('HELPS') if name != third)}."
    text = said(found)[title]
    assert "paired by query and as a family of 3: " in text and f"{best} is better than {third} (" in text
    assert f"{best} and {second} are equivalent (" in text and f"{second} and {third} cannot be told apart (" in text
    (row,) = (row for row in found.helpers if (row["variant"], row["reference"]) == (best, third))
    assert f"{row['delta']:+.4f}" in text


def test_two_variants_that_the_study_compares_anyway_are_told_once(findings):
    found = findings(verdicts("HELPS", "HELPS"))
    (pair,) = found.helpers
    assert found.others == [pair]
    asked = pair | {"variant": pair["reference"], "reference": pair["variant"], "family": "claims"}
    found.rows.append(asked)
    assert found.others == [asked]


def test_one_that_is_better_than_all_other_helpers_is_used(findings):
    given = verdicts("HELPS", "HELPS")
    best, other = order(findings(given))
    text = said(findings(given, among={(best, other): "HELPS"}))[f"Use {best}."]
    assert f"{best} is better than {other} (" in text and "cost" not in text


def test_inconclusive_keeps_base_for_now_and_shows_what_remains_possible(findings):
    found = findings(verdicts("INCONCLUSIVE"))
    spoken = said(found)
    assert next(iter(spoken)) == "Keep the base model for now."
    assert f"{found.claims['full_bm25']['ci_high']:+.4f}" in spoken["Inconclusive is not equal."]


def apart(row):
    """Intervals so narrow that those of different verdicts cannot overlap."""
    if row["variant"] == "base":
        return {}
    return {"ci_low": row["delta"] - 0.001, "ci_high": row["delta"] + 0.001}


def wide(row):
    """Intervals so wide that all overlap."""
    return {} if row["variant"] == "base" else {"ci_low": row["delta"] - 0.5, "ci_high": row["delta"] + 0.5}


def test_negatives_are_a_finding_only_where_intervals_are_apart(findings):
    given = verdicts("INCONCLUSIVE", "HARMS", "INCONCLUSIVE", "HARMS")
    text = said(findings(given, change=apart))["Train on bm25 negatives, not on hard ones."]
    assert text.count("do not overlap") == 2 and "hint" not in text
    spoken = said(findings(given, change=wide))
    assert "Train on bm25 negatives, not on hard ones." not in spoken
    assert "this is a hint and not a finding" in spoken["Try bm25 negatives before hard ones."]


def test_without_an_interval_nothing_is_a_finding(findings):
    bare = findings(verdicts("INCONCLUSIVE", "HARMS"), change=lambda row: {"ci_low": None, "ci_high": None})
    assert "Try bm25 negatives before hard ones." in said(bare)


def test_negatives_are_not_blamed_when_the_sources_contradict_each_other(findings):
    # hard is the worse source for one method and the better one for the other
    spoken = said(findings(verdicts("HELPS", "HARMS", "HARMS", "HELPS"), change=apart))
    assert not any("negatives" in title for title in spoken)


def test_method_is_named_when_it_alone_differs(findings):
    spoken = said(findings(verdicts("HARMS", "HARMS", "HELPS", "HELPS"), change=apart))
    assert "Prefer LoRA to full fine-tuning." in spoken
    assert not any("negatives" in title for title in spoken)


def test_method_is_not_named_when_something_else_differs_too(findings):
    found = findings(verdicts("HARMS", "HARMS", "HELPS", "HELPS"), change=apart)
    for name in ("lora_bm25", "lora_hard"):
        found.variants[name]["epochs"] = 5
    assert not any("LoRA" in title for title in said(found))


def test_forgetting_is_a_gain_here_and_a_fall_elsewhere(findings):
    given = verdicts("HELPS", "HARMS")
    text = said(findings(given, overrides={("full_bm25", "unseen"): "HARMS"}))["Watch out for forgetting: full_bm25."]
    assert "full_bm25 helps on pydocs/test but falls on pydocs/unseen" in text
    assert not any("forgetting" in title for title in said(findings(given)))


def test_gain_at_the_top_that_costs_recall_is_told(findings):
    def lose_recall(row):
        if (row["variant"], row["split"], row["measure"]) == ("full_bm25", "test", "R@100"):
            return {"verdict": "HARMS", "delta": -0.1, "ci_low": -0.12, "ci_high": -0.08}
        return {}

    text = said(findings(verdicts("HELPS"), change=lose_recall))["Check the measure that your use depends on."]
    assert "full_bm25 gains in RR@10 but loses in R@100" in text


def test_seeds_are_said_to_be_one_or_averaged(findings):
    assert "One seed: query sampling only." in said(findings(verdicts("HELPS")))
    assert "3 seeds: covered by the intervals." in said(findings(verdicts("HELPS"), seeds=3))


def test_base_alone_asks_for_a_variant(findings):
    assert list(said(findings({}))) == ["Add a variant to compare."]
