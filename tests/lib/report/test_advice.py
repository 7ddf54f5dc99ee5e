"""Headline and advice: each rule where it must speak, and where it must be silent."""

from dataclasses import replace

import ir_datasets
import pytest
import yaml
from example_study import PRIMARY, VERDICTS, Example, example_config

from backfire.formats.tables import read_rows
from backfire.report.advice import ELSEWHERE, RULES, advise
from backfire.report.curves import Curve, Ends, Watched, ends, read_curves, window
from backfire.report.findings import Findings, headline
from backfire.study.settings import checked
from backfire.study.study import Study


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
        given = Findings(rows, PRIMARY, config["variants"], Study(config).triples, 0.05, [config["train_on"]])
        return replace(given, systems=read_rows(study.recommendation(), "recommendation").to_pylist(), query_time=50.0)

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
    title = next(iter(said(found)))
    assert title.startswith(f"Use full_hard: RR@10 {row['delta']:+.4f} [")


def order(found):
    """Variants that help, the highest mean first."""
    return sorted(found.having("HELPS"), key=lambda name: -found.claims[name]["mean"])


def test_the_advice_compares_what_is_recommended_with_the_others_that_help(findings):
    given = verdicts("HELPS", "HELPS", "HELPS", "HARMS")
    best, second, third = order(findings(given))
    found = findings(given, among={(best, third): "HELPS", (best, second): "EQUIVALENT"})
    title, text = next(iter(said(found).items()))
    assert title.startswith(f"Use {best}: ")
    assert "compared by query and as a family of 3: " in text and f"{best} is better than {third} (" in text
    assert f"{best} is equivalent to {second} (" in text and f"{second} and {third}" not in text
    (row,) = (row for row in found.helpers if (row["variant"], row["reference"]) == (best, third))
    assert f"{row['delta']:+.4f}" in text


def test_two_variants_that_the_study_compares_anyway_are_told_once(findings):
    found = findings(verdicts("HELPS", "HELPS"))
    (pair,) = found.helpers
    assert found.others == [pair]
    asked = pair | {"variant": pair["reference"], "reference": pair["variant"], "family": "claims"}
    found.rows.append(asked)
    assert found.others == [asked]


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


def test_forgetting_is_a_gain_here_and_a_fall_on_other_text(findings):
    def forgets(row):
        return {"verdict": "HARMS"} if (row["variant"], row["collection"]) == ("full_bm25", "vaswani") else {}

    given = verdicts("HELPS", "HARMS")
    text = said(findings(given, change=forgets))["Watch out for forgetting: full_bm25."]
    assert "full_bm25 helps on pydocs/test but falls on vaswani/test" in text
    assert not any("forgetting" in title for title in said(findings(given)))


def test_a_fall_on_held_out_text_of_the_same_collection_is_not_called_forgetting(findings):
    found = findings(verdicts("HELPS", "HARMS"), overrides={("full_bm25", "unseen"): "HARMS"})
    text = said(found)["The gain does not carry over: full_bm25."]
    assert "full_bm25 helps on pydocs/test but falls on pydocs/unseen" in text


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


def trained(found: Findings, cosine=0.99, kept=0.85, change=0.02, active=0.4, seeds=1) -> Findings:
    """The findings with curves and geometry, the same for every variant."""
    moved = [
        {"variant": name, "seed": 0, "collection": "pydocs", "quantity": quantity, "value": value}
        for name in found.claims
        for quantity, value in (("base_cosine", cosine), ("neighbours_kept", kept))
    ]
    watched = {"RR@10": Watched(0.62, 0.62 + change, 0.63, 8)}
    curves = [
        Curve(
            name,
            seed,
            15,
            Ends(0.02, 0.01, 0.01, 0.01, 5),
            Ends(0.5, 0.1, active, 0.1, 5),
            0.0005,
            watched,
            "the last step",
            None,
        )
        for name in found.claims
        for seed in range(seeds)
    ]
    return replace(found, curves=curves, moved=moved)


def test_a_variant_that_did_not_move_is_called_hardly_trained(findings):
    given = findings(verdicts("EQUIVALENT", "INCONCLUSIVE"))
    text = said(trained(given, 0.9999, 0.98, 0.0006))["Hardly trained: full_bm25 and full_hard."]
    assert "Raise the learning rate or the number of steps before judging the method" in text
    assert "cosine to base 0.9999, neighbours kept 0.98, change on the development queries at most 0.0006" in text
    assert "after 15 steps at a learning rate of 0.00002" in text
    for moves in ({"cosine": 0.99}, {"kept": 0.9}, {"change": 0.03}, {"change": -0.03}):
        still = {"cosine": 0.9999, "kept": 0.98, "change": 0.0} | moves
        assert not any("Hardly" in title for title in said(trained(given, **still)))


def test_what_hardly_moved_is_no_evidence_for_its_method_or_negatives(findings):
    given = findings(verdicts("INCONCLUSIVE", "HARMS", "INCONCLUSIVE", "HARMS"), change=apart)
    assert "Train on bm25 negatives, not on hard ones." in said(trained(given))
    spoken = said(trained(given, 0.9999, 0.98, 0.0))
    assert "Hardly trained: full_bm25 and lora_bm25." in spoken
    assert not any("negatives" in title or "LoRA" in title for title in spoken)


def test_a_verdict_needs_no_movement_to_count(findings):
    spoken = said(trained(findings(verdicts("HELPS", "INCONCLUSIVE")), 0.9999, 0.98, 0))
    assert "Hardly trained: full_hard." in spoken


def test_curves_that_end_satisfied_say_what_would_teach_more(findings):
    given = findings(verdicts("INCONCLUSIVE", "INCONCLUSIVE"))
    text = said(trained(given, active=0.04))["Little left to learn from these triples: full_bm25 and full_hard."]
    assert "4 % (full_bm25) and 4 % (full_hard)" in text and "use harder negatives" in text
    assert not any("Little left" in title for title in said(trained(given, active=0.15)))
    hard = replace(
        given,
        **{
            table: [row for row in getattr(given, table) if row["variant"] != "full_bm25"]
            for table in ("rows", "systems")
        },
    )
    text = said(trained(hard, active=0.04))["Little left to learn from these triples: full_hard."]
    assert "a smaller depth" in text and "use harder" not in text


def test_curves_that_end_violated_say_so(findings):
    given = findings(verdicts("HARMS"))
    assert "100 % (full_bm25)" in said(trained(given, active=1.0))["The margin was hardly ever met: full_bm25."]
    assert not any("ever met" in title for title in said(trained(given, active=0.9)))


def test_a_study_of_one_collection_says_that_forgetting_elsewhere_was_not_tested(findings, root):
    given = findings(verdicts("HELPS"))
    assert not any("not tested" in title for title in said(given))
    alone = replace(given, rows=[row for row in given.rows if row["collection"] == "pydocs"])
    (advice,) = [advice for advice in advise(alone) if advice.title == "Forgetting elsewhere was not tested."]
    assert advice.settings == ELSEWHERE
    spoken = said(alone)
    assert "Nothing lost on held-out text of the same kind: full_bm25." in spoken
    assert not any("forgotten" in title for title in spoken)
    assert "Nothing forgotten: full_bm25." in said(given)


def test_the_lines_that_test_forgetting_are_a_study(root):
    """As an overlay of the default study they are accepted, and their ids are those of a collection that exists."""
    study = yaml.safe_load((root / "config.yaml").read_text(encoding="utf-8"))
    study["collections"] |= yaml.safe_load(ELSEWHERE)["collections"]
    schema = yaml.safe_load((root / "workflow/schemas/config.yaml").read_text(encoding="utf-8"))
    found = Study(checked(study, schema))
    assert ("scifact", "test") in found.elsewhere
    for name in ("beir/scifact", "beir/scifact/train"):
        assert ir_datasets.registry[name].has_docs()
    assert ir_datasets.registry["beir/scifact/train"].has_qrels()


def test_every_rule_speaks_on_some_study(findings):
    """No rule is dead: each gives its advice on one of these."""
    given = findings(verdicts("INCONCLUSIVE", "HARMS", "INCONCLUSIVE", "HARMS"))
    alone = replace(given, rows=[row for row in given.rows if row["collection"] == "pydocs"])

    def lose_recall(row):
        lost = (row["variant"], row["split"], row["measure"]) == ("full_bm25", "test", "R@100")
        return {"verdict": "HARMS"} if lost else {}

    studies = [
        given,
        alone,
        trained(given, 0.9999, 0.98, 0, active=0.02),
        trained(given, active=1.0),
        findings(verdicts("HARMS", "HARMS", "HELPS", "HELPS")),
        findings(verdicts("HELPS"), overrides={("full_bm25", "unseen"): "HARMS"}),
        findings(verdicts("HELPS"), change=lose_recall),
        findings(verdicts("HELPS")),
    ]
    silent = [rule.__name__ for rule in RULES if not any(rule(found) for found in studies)]
    assert silent == []


@pytest.mark.parametrize(("steps", "expected"), [(1, 1), (2, 1), (15, 5), (30, 8), (79, 8), (100, 10), (5000, 500)])
def test_a_window_is_no_single_step_where_there_are_more(steps, expected):
    assert window(steps) == expected


def test_ends_are_means_with_their_spread(findings, tmp_path):
    study = Example(tmp_path)
    curves = read_curves(study.dynamics(), study.runs, study.folders())
    assert [(curve.variant, curve.seed, curve.steps) for curve in curves] == [(*run, 120) for run in study.runs]
    losses = read_rows(tmp_path / "dynamics-0.parquet", "dynamics")["loss"].to_numpy()[1:]
    loss = curves[0].loss
    assert loss.window == 12
    assert (loss.first, loss.last) == pytest.approx((losses[:12].mean(), losses[-12:].mean()))
    assert loss.last_spread == pytest.approx(losses[-12:].std(ddof=1))
    assert curves[0].watched["RR@10"].first == 0.62
    assert ends(losses[:0]) is None and ends(losses[:1]).last_spread == 0
