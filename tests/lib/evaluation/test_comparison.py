"""The comparison table: pairing, seeds, families of tests, degenerate data, and what is refused."""

import csv
import random

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.weightstats import ttost_paired

from backfire.errors import BackfireError
from backfire.evaluation.comparison import Design, Rules, compare, compare_variants
from backfire.evaluation.perquery import read_store
from backfire.evaluation.significance.intervals import crossed_interval
from backfire.evaluation.significance.randomisation import sign_flip_tests
from backfire.formats.schemas import SCHEMAS
from backfire.formats.tables import read_rows, write_rows
from backfire.keyed import keyed_rng

PLACES = [("pydocs", "test"), ("pydocs", "unseen")]
NAMES = ["RR@10", "AP"]
PRIMARY = ("pydocs", "test", "RR@10")


def study(variants, queries=50, seeds=(0,), gain=0.1):
    """Rows of `measures`; each trained variant gains `gain` more than the one before."""
    rows = []
    for collection, split in PLACES:
        for name in NAMES:
            random.seed(f"{split}{name}")
            base = {f"q{query}": random.choice([0.0, 0.1, 0.2, 0.25]) for query in range(queries)}
            for step, variant in enumerate(variants):
                for seed in (0,) if variant == "base" else seeds:
                    random.seed(f"{split}{name}{variant}{seed}")
                    for query, value in base.items():
                        moved = 0.0 if variant == "base" else gain * step + random.choice([-0.1, 0, 0.1])
                        rows.append(row(variant, seed, collection, split, name, query, value + moved))
    return rows


def row(variant, seed, collection, split, measure, query_id, value):
    return dict(
        zip(SCHEMAS["measures"].names, (variant, seed, collection, split, measure, query_id, value), strict=True)
    )


def design(variants, places=PLACES, primary=PRIMARY, alternatives=()):
    return Design(variants, places, NAMES, primary, [("pydocs", "unseen")], alternatives=alternatives)


def rules(**options):
    settings = {"alpha": 0.05, "resamples": 2000, "flips": 5000, "seed": 0, "power": 0.8, "against": []}
    return Rules(**settings | {"margins": {"default": 0.01, "RR@10": 0.005}} | options)


@pytest.fixture
def compared(tmp_path):
    """A function that compares what the rows of `measures` hold."""

    def run(rows, variants, passed=frozenset(), primary=PRIMARY, alternatives=(), **options):
        write_rows(tmp_path / "measures.parquet", "measures", rows)
        return compare(
            read_store(tmp_path / "measures.parquet"),
            design(variants, primary=primary, alternatives=alternatives),
            rules(**options),
            passed,
        )

    return run


def values(rows, variant, place=PRIMARY):
    """{seed: {query: value}} of a variant at a place."""
    found = {}
    for each in rows:
        if (each["variant"], each["collection"], each["split"], each["measure"]) == (variant, *place):
            found.setdefault(each["seed"], {})[each["query_id"]] = each["value"]
    return found


def at(rows, variant, place=PRIMARY, reference="base", helpers=False):
    (found,) = (
        each
        for each in rows
        if (each["variant"], each["reference"]) == (variant, reference)
        and (each["collection"], each["split"], each["measure"]) == place
        and (each["family"] == "helpers") == helpers
    )
    return found


def test_rows_follow_the_configuration_and_hold_the_paired_numbers(compared):
    variants = ["base", "full_hard", "lora_hard"]
    rows = study(variants)
    found = compared(rows, variants)
    assert [(each["variant"], each["reference"], each["split"], each["measure"]) for each in found] == [
        *((variant, "base", split, name) for variant in variants for _, split in PLACES for name in NAMES),
        # Both help, and are compared with one another.
        ("lora_hard", "full_hard", "test", "RR@10"),
    ]
    for each in found:
        assert set(each) == set(SCHEMAS["comparison"].names)
        place = each["collection"], each["split"], each["measure"]
        tuned, base = values(rows, each["variant"], place)[0], values(rows, each["reference"], place)[0]
        differences = np.array([tuned[query] - base[query] for query in sorted(base)])
        assert each["mean"] == pytest.approx(np.mean(list(tuned.values())))
        assert each["reference_mean"] == pytest.approx(np.mean(list(base.values())))
        assert each["delta"] == pytest.approx(differences.mean(), abs=1e-12)
        assert (each["wins"], each["losses"]) == ((differences > 1e-9).sum(), (differences < -1e-9).sum())
        assert each["wins"] + each["ties"] + each["losses"] == each["queries"] == 50
        if each["variant"] != "base":
            assert each["ci_low"] < each["delta"] < each["ci_high"]
            assert each["relative"] == pytest.approx(each["delta"] / each["reference_mean"])
            assert each["p_t"] == pytest.approx(scipy.stats.ttest_rel(*paired(tuned, base)).pvalue)
            assert each["d_z"] == pytest.approx(differences.mean() / differences.std(ddof=1))


def paired(tuned, base):
    queries = sorted(base)
    return [tuned[query] for query in queries], [base[query] for query in queries]


def test_rows_of_base_claim_nothing(compared):
    found = [each for each in compared(study(["base", "a"]), ["base", "a"]) if each["variant"] == "base"]
    for each in found:
        assert (each["delta"], each["wins"], each["ties"], each["losses"]) == (0, 0, 50, 0)
        empty = ("ci_low", "ci_high", "p", "p_adjusted", "p_holm", "p_equivalence", "family", "mde", "retention")
        assert {each[column] for column in empty} == {None}
        assert each["verdict"] == "BASE"


def test_verdicts_where_the_answer_is_known(compared):
    verdicts = {
        gain: {each["verdict"] for each in compared(study(["base", "tuned"], gain=gain), ["base", "tuned"])[4:]}
        for gain in (0.1, 0.0, -0.1)
    }
    assert verdicts == {0.1: {"HELPS"}, 0.0: {"INCONCLUSIVE"}, -0.1: {"HARMS"}}


def test_a_sure_difference_below_the_margin_is_no_claim(compared):
    rows = study(["base", "tuned"], gain=0.1)
    assert at(compared(rows, ["base", "tuned"]), "tuned")["verdict"] == "HELPS"
    large = at(compared(rows, ["base", "tuned"], margins={"default": 0.5}), "tuned")
    assert large["p_adjusted"] < 0.05 and large["verdict"] == "EQUIVALENT"


def test_equivalence_is_statsmodels_and_takes_enough_queries(compared):
    for queries, verdict in ((597, "INCONCLUSIVE"), (598, "EQUIVALENT")):
        rows = [
            row(
                variant,
                0,
                *place,
                measure,
                f"q{number}",
                0.5 + (0.01 if variant == "tuned" and number % 40 == 0 else 0),
            )
            for place in PLACES
            for measure in NAMES
            for variant in ("base", "tuned")
            for number in range(queries)
        ]
        found = at(compared(rows, ["base", "tuned"], resamples=200, flips=200), "tuned")
        assert found["verdict"] == verdict
        pair = paired(values(rows, "tuned")[0], values(rows, "base")[0])
        if verdict == "EQUIVALENT":
            expected = ttost_paired(*map(np.array, pair), -0.005, 0.005)[0]
            assert found["p_equivalence"] == pytest.approx(expected, abs=1e-12)
        else:
            assert found["p_equivalence"] is None


def test_text_that_was_not_trained_on_is_kept_or_forgotten(compared):
    for gain, word in ((0.1, "keeps"), (-0.1, "forgets"), (0.0, "open")):
        found = compared(study(["base", "tuned"], gain=gain), ["base", "tuned"])
        assert at(found, "tuned", ("pydocs", "unseen", "AP"))["retention"] == word
        assert at(found, "tuned", ("pydocs", "test", "AP"))["retention"] is None


def test_a_loss_that_is_excluded_is_kept_though_the_two_cannot_be_told_apart(compared):
    """Gains of unknown size: no claim, not equivalent, yet no loss that matters."""
    rng = np.random.default_rng(1)
    for queries, word in ((597, "open"), (700, "keeps")):
        gains = 0.004 + 0.06 * rng.standard_normal(queries)
        rows = [
            row(variant, 0, *place, measure, f"q{number}", 0.5 + (gains[number] if variant == "tuned" else 0))
            for place in PLACES
            for measure in NAMES
            for variant in ("base", "tuned")
            for number in range(queries)
        ]
        found = at(compared(rows, ["base", "tuned"], resamples=200, flips=200), "tuned", ("pydocs", "unseen", "RR@10"))
        assert found["verdict"] == "INCONCLUSIVE" and found["fewest_queries"] == 598
        assert found["retention"] == word
        assert found["one_sided_low"] > -0.005
        assert (found["p_noninferiority"] is None) == (queries < 598)
    assert found["p_noninferiority"] == pytest.approx(
        scipy.stats.ttest_1samp(gains, -0.005, alternative="greater").pvalue
    )
    assert found["p_noninferiority"] <= found["p_noninferiority_adjusted"] < 0.05 < found["p_equivalence_adjusted"]


def test_lists_where_rules_hand_them_over_are_the_tuples_that_the_library_compares(compared, tmp_path):
    rows = study(["base", "tuned"])
    write_rows(tmp_path / "lists.parquet", "measures", rows)
    lists = Design(["base", "tuned"], [list(pair) for pair in PLACES], NAMES, list(PRIMARY), [["pydocs", "unseen"]])
    found = compare(read_store(tmp_path / "lists.parquet"), lists, rules())
    assert found == compared(rows, ["base", "tuned"])
    assert {each["family"] for each in found} == {None, "claims", "explores"}
    assert {each["split"] for each in found if each["retention"]} == {"unseen"}


def test_variants_that_help_are_compared_with_one_another_as_a_family(compared):
    variants = ["base", "a", "b", "worse", "c"]
    rows = study(variants[:3], seeds=(0,))
    rows += [each | {"variant": "worse", "value": each["value"] - 0.3} for each in rows if each["variant"] == "base"]
    rows += [each | {"variant": "c", "value": each["value"] + 0.01} for each in rows if each["variant"] == "b"]
    found = compared(rows, variants)
    among = [each for each in found if each["family"] == "helpers"]
    assert [(each["variant"], each["reference"]) for each in among] == [("c", "b"), ("c", "a"), ("b", "a")]
    assert {(each["split"], each["measure"]) for each in among} == {("test", "RR@10")}
    assert {each["retention"] for each in among} == {None}
    place = {name: values(rows, name)[0] for name in ("a", "b", "c")}
    queries = sorted(place["a"])
    paired = np.array([[place[x][query] - place[y][query] for x, y in ("cb", "ca", "ba")] for query in queries])
    paired[np.abs(paired) < 1e-12] = 0
    _, family = sign_flip_tests(paired, 5000, keyed_rng("sign flip", 0, *PRIMARY))
    assert [each["p_adjusted"] for each in among] == pytest.approx(list(family))
    assert all(each["p_adjusted"] >= each["p"] and each["p_holm"] >= each["p"] for each in among)
    assert [each["verdict"] for each in among] == ["HELPS"] * 3
    # Whoever was passed over in a choice makes no claim, and takes no part.
    assert not [each for each in compared(rows, variants, passed={"a", "b"}) if each["family"] == "helpers"]


def test_one_query_that_moves_does_not_prove_that_none_matters(compared):
    """The t tests alone would call it equivalent: one difference tells them too little of the spread."""
    rows = [
        row(variant, 0, *place, measure, f"q{number}", float(variant == "tuned" and number == 0))
        for place in PLACES
        for measure in NAMES
        for variant in ("base", "tuned")
        for number in range(299)
    ]
    found = at(compared(rows, ["base", "tuned"], flips=200), "tuned", ("pydocs", "test", "AP"))
    assert found["p_equivalence_adjusted"] < 0.05 and found["ci_high"] > found["margin"] == 0.01
    assert found["verdict"] == "INCONCLUSIVE"


def test_an_identical_variant_cannot_be_told_apart(compared):
    rows = [each for each in study(["base"]) if each["variant"] == "base"]
    rows += [each | {"variant": "tuned", "seed": seed} for each in rows for seed in (0, 1, 2)]
    for each in compared(rows, ["base", "tuned"])[4:]:
        assert (each["delta"], each["ci_low"], each["ci_high"]) == (0, 0, 0)
        assert (each["p"], each["p_adjusted"], each["p_t"], each["d_z"]) == (1, 1, 1, 0)
        # Fifty queries on which nothing differs do not prove that nothing does.
        assert (each["ties"], each["verdict"], each["seed_share"]) == (50, "INCONCLUSIVE", None)


def test_seeds_are_averaged_for_tests_and_crossed_for_intervals(compared):
    rows = study(["base", "tuned"], seeds=(0, 3))
    found = at(compared(rows, ["base", "tuned"]), "tuned")
    tuned, base = values(rows, "tuned"), values(rows, "base")[0]
    queries = sorted(base)
    differences = np.array([[tuned[seed][query] - base[query] for query in queries] for seed in (0, 3)])
    differences[np.abs(differences) < 1e-12] = 0
    assert (found["seeds"], found["queries"]) == (2, 50)
    expected = crossed_interval(differences, 0.95, 2000, keyed_rng("bootstrap", 0, "tuned", "base", *PRIMARY))
    assert (found["ci_low"], found["ci_high"]) == pytest.approx(expected, abs=1e-12)
    assert found["p_t"] == pytest.approx(scipy.stats.ttest_1samp(differences.mean(axis=0), 0).pvalue)
    assert 0 <= found["seed_share"] <= 1 and found["seeds_needed"] >= 2


def test_seeds_that_disagree_make_no_claim(compared):
    """Each seed alone would be a claim, and so would the mean over the seeds by its queries alone."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(400):
        value = rng.choice([0.2, 0.25, 0.5])
        for place in PLACES:
            for measure in NAMES:
                rows.append(row("base", 0, *place, measure, f"q{number}", value))
                for seed, gain in enumerate((-0.05, 0.02, 0.12)):
                    rows.append(row("tuned", seed, *place, measure, f"q{number}", value + gain + 0.05 * rng.normal()))
    found = at(compared(rows, ["base", "tuned"]), "tuned")
    assert found["p"] < 0.001 and found["p_t"] < 0.001 and found["delta"] > 0.02
    assert found["p_adjusted"] == found["p_seeds"] > 0.2
    assert (found["verdict"], found["ci_low"] < 0 < found["ci_high"]) == ("INCONCLUSIVE", True)
    assert found["seed_share"] > 0.9 and (found["seeds_needed"] is None or found["seeds_needed"] > 3)


def test_variants_named_in_the_configuration_are_references_too(compared):
    variants = ["base", "a", "b"]
    rows = study(variants, seeds=(0, 1))
    found = compared(rows, variants, against=["a"])
    assert [(each["variant"], each["family"]) for each in found if each["reference"] == "a"] == [
        ("b", "claims"), *[("b", "explores")] * 3, ("b", "helpers"),
    ]  # fmt: skip
    row_ = at(found, "b", reference="a")
    a, b = values(rows, "a"), values(rows, "b")
    expected = np.mean([b[seed][query] - a[seed][query] for seed in (0, 1) for query in a[0]])
    assert row_["delta"] == pytest.approx(expected) and row_["reference_mean"] == pytest.approx(at(found, "a")["mean"])
    # A family of its own: what is compared with base is not adjusted for it.
    alone = compared(rows, variants)
    assert at(found, "b")["p_adjusted"] == at(alone, "b")["p_adjusted"] and row_["p_adjusted"] == row_["p"]


def test_primary_rows_are_one_family_and_all_others_another(compared):
    variants = ["base", "a", "b", "c"]
    found = compared(study(variants, gain=0.01), variants)
    trained = [each for each in found if each["variant"] != "base"]
    claims = [each for each in trained if (each["collection"], each["split"], each["measure"]) == PRIMARY]
    others = [each for each in trained if each not in claims]
    assert (len(claims), len(others)) == (3, 9)
    assert {each["family"] for each in claims} == {"claims"} and {each["family"] for each in others} == {"explores"}
    ordered = sorted(claims, key=lambda each: each["p"])
    assert ordered[0]["p_holm"] == pytest.approx(min(1, 3 * ordered[0]["p"]))
    assert max(others, key=lambda each: each["p"])["p_adjusted"] == pytest.approx(max(each["p"] for each in others))
    assert all(each["p_adjusted"] >= each["p"] for each in trained)


def test_alternatives_are_a_family_of_their_own_and_help_beside_the_others(compared):
    variants = ["base", "a", "b", "c", "d"]
    rows = study(variants, gain=0.3)
    found, alone = compared(rows, variants, alternatives=["c", "d"]), compared(study(variants, gain=0.3), variants[:3])
    claims = {each["variant"]: each for each in found if each["family"] == "claims"}
    instead = {each["variant"]: each for each in found if each["family"] == "alternatives"}
    assert (list(claims), list(instead)) == (["a", "b"], ["c", "d"])
    for name in claims:
        assert claims[name]["p_adjusted"] == at(alone, name)["p_adjusted"]
    first = min(instead.values(), key=lambda each: each["p"])
    assert first["p_holm"] == pytest.approx(min(1, 2 * first["p"]))
    helping = {each["variant"] for each in [*claims.values(), *instead.values()] if each["verdict"] == "HELPS"}
    pairs = [each for each in found if each["family"] == "helpers"]
    assert len(helping) > 2 and len(pairs) == len(helping) * (len(helping) - 1) / 2


def test_candidates_that_were_passed_over_make_no_claim(compared):
    variants = ["base", "a", "b", "c"]
    rows = study(variants, gain=0.01)
    found = compared(rows, variants, passed={"b", "c"})
    assert [each["variant"] for each in found if each["family"] == "claims"] == ["a"]
    assert at(found, "a")["p_adjusted"] == at(found, "a")["p"]


def test_one_more_variant_changes_no_interval_and_no_p(compared):
    few, many = ["base", "full_hard"], ["base", "new", "full_hard"]
    rows = study(many)

    def pick(found):
        columns = ("split", "measure", "mean", "delta", "ci_low", "ci_high", "p")
        chosen = [each for each in found if (each["variant"], each["reference"]) == ("full_hard", "base")]
        return [[each[column] for column in columns] for each in chosen]

    assert pick(compared(rows, few)) == pick(compared(rows, many))
    assert pick(compared(rows, few)) != pick(compared(rows, few, seed=1))


def test_order_of_rows_does_not_matter(compared):
    rows = study(["base", "tuned"])
    assert compared(rows, ["base", "tuned"]) == compared(rows[::-1], ["base", "tuned"])


@pytest.mark.filterwarnings("error")
def test_a_single_query_claims_nothing(compared):
    found = at(compared(study(["base", "tuned"], queries=1, gain=0.5), ["base", "tuned"]), "tuned")
    assert (found["ci_low"], found["ci_high"], found["p"], found["verdict"]) == (None, None, 1, "INCONCLUSIVE")
    assert {found[column] for column in ("p_t", "d_z", "p_equivalence", "mde", "queries_needed", "seed_share")} == {
        None
    }


@pytest.mark.filterwarnings("error")
def test_equal_differences_have_no_spread_and_are_judged_by_their_signs(compared):
    rows = [each for each in study(["base"], queries=30) if each["variant"] == "base"]
    rows += [each | {"variant": "tuned", "value": each["value"] + 0.25} for each in rows]
    found = at(compared(rows, ["base", "tuned"]), "tuned")
    assert (found["ci_low"], found["ci_high"]) == pytest.approx((0.25, 0.25))
    assert (found["p_t"], found["d_z"]) == (None, None)
    assert (found["p"], found["verdict"]) == (1 / 5001, "HELPS")


def test_what_cannot_be_compared_is_refused(compared):
    rows = study(["base", "tuned"])
    with pytest.raises(BackfireError, match="lora_hard has no values of RR@10 on pydocs/test"):
        compared(rows, ["base", "lora_hard"])
    with pytest.raises(BackfireError, match=r"primary: pydocs/test/nDCG@10 is not among"):
        compared(rows, ["base"], primary=("pydocs", "test", "nDCG@10"))
    missing = [
        each
        for each in rows
        if (each["variant"], each["split"], each["measure"], each["query_id"]) != ("tuned", "test", "AP", "q7")
    ]
    with pytest.raises(BackfireError, match=r"pydocs/test/AP: tuned was measured on 49 queries, base on 50.*'q7'"):
        compared(missing, ["base", "tuned"])


def test_files(tmp_path, compared):
    variants = ["base", "a", "b"]
    rows = study(variants, queries=12, seeds=(0, 1))
    options = {"resamples": 500, "flips": 700}
    expected = compared(rows, variants, **options)
    for name in ("first", "second"):
        parquet, text = tmp_path / f"{name}.parquet", tmp_path / f"{name}.csv"
        compare_variants(tmp_path / "measures.parquet", None, design(variants), rules(**options), parquet, text)
    assert read_rows(tmp_path / "first.parquet", "comparison").to_pylist() == expected
    with (tmp_path / "first.csv").open(encoding="utf-8", newline="") as stream:
        read = list(csv.DictReader(stream))
    assert list(read[0]) == SCHEMAS["comparison"].names
    assert [each["ci_low"] for each in read[:4]] == [""] * 4
    assert [float(each["delta"]) for each in read] == [each["delta"] for each in expected]
    for suffix in ("parquet", "csv"):
        assert (tmp_path / f"first.{suffix}").read_bytes() == (tmp_path / f"second.{suffix}").read_bytes()
    selection = {"selection": "x", "collection": "pydocs", "split": "dev", "measure": "RR@10", "queries": 1, "seeds": 2}
    table = [selection | {"variant": name, "mean": 0.1, "chosen": name == "a"} for name in ("a", "b")]
    write_rows(tmp_path / "selection.parquet", "selection", table)
    compare_variants(
        tmp_path / "measures.parquet", tmp_path / "selection.parquet", design(variants), rules(**options), parquet, text
    )
    assert read_rows(parquet, "comparison").to_pylist() == compared(rows, variants, passed={"b"}, **options)
