"""The comparison table: pairing, seeds, families of tests, and what is refused."""

import csv
import random

import numpy as np
import pytest

from backfire.comparison import compare, compare_variants
from backfire.errors import BackfireError
from backfire.formats.tables import SCHEMAS, read_rows, write_rows
from backfire.keyed import keyed_rng
from backfire.significance.intervals import bootstrap_interval

PLACES = [["pydocs", "dev"], ["pydocs", "test"]]
NAMES = ["RR@10", "AP"]
PRIMARY = ["pydocs", "test", "RR@10"]


def study(variants, queries=50, seeds=(0,), gain=0.1):
    """{(collection, split, measure): {variant: {seed: {query_id: value}}}}; each trained variant gains `gain` more."""
    values = {}
    for collection, split in PLACES:
        for name in NAMES:
            place = values.setdefault((collection, split, name), {})
            random.seed(f"{split}{name}")
            base = {f"q{query}": random.choice([0.0, 0.1, 0.2, 0.25]) for query in range(queries)}
            for step, variant in enumerate(variants):
                for seed in (0,) if variant == "base" else seeds:
                    random.seed(f"{split}{name}{variant}{seed}")
                    place.setdefault(variant, {})[seed] = {
                        query: value if variant == "base" else value + gain * step + random.choice([-0.1, 0, 0.1])
                        for query, value in base.items()
                    }
    return values


def compared(values, variants, **options):
    settings = {"alpha": 0.05, "resamples": 2000, "seed": 0, **options}
    return compare(values, variants, PLACES, NAMES, PRIMARY, **settings)


def test_rows_follow_the_configuration_and_hold_the_paired_numbers():
    variants = ["base", "full_hard", "lora_hard"]
    values = study(variants)
    rows = compared(values, variants)
    assert [(row["variant"], row["split"], row["measure"]) for row in rows] == [
        (variant, split, name) for variant in variants for _, split in PLACES for name in NAMES
    ]
    for row in rows:
        place = values[row["collection"], row["split"], row["measure"]]
        tuned, base = place[row["variant"]][0], place["base"][0]
        differences = np.array([tuned[query] - base[query] for query in sorted(base)])
        assert row["mean"] == pytest.approx(np.mean(list(tuned.values())))
        assert row["base_mean"] == pytest.approx(np.mean(list(base.values())))
        assert row["delta"] == pytest.approx(differences.mean(), abs=1e-12)
        assert (row["wins"], row["losses"]) == ((differences > 1e-9).sum(), (differences < -1e-9).sum())
        assert row["wins"] + row["ties"] + row["losses"] == row["queries"] == 50
        if row["variant"] != "base":
            assert row["ci_low"] < row["delta"] < row["ci_high"]


def test_rows_of_base_claim_nothing():
    rows = [row for row in compared(study(["base", "full_hard"]), ["base", "full_hard"]) if row["variant"] == "base"]
    for row in rows:
        assert (row["delta"], row["wins"], row["ties"], row["losses"]) == (0, 0, 50, 0)
        assert {row[column] for column in ("ci_low", "ci_high", "p", "p_adjusted")} == {None}
        assert row["verdict"] == "BASE"


def test_verdicts_where_the_answer_is_known():
    verdicts = {
        gain: {row["verdict"] for row in compared(study(["base", "tuned"], gain=gain), ["base", "tuned"])[4:]}
        for gain in (0.1, 0.0, -0.1)
    }
    assert verdicts == {0.1: {"HELPS"}, 0.0: {"INCONCLUSIVE"}, -0.1: {"HARMS"}}


def test_an_identical_variant_cannot_be_told_apart():
    values = study(["base", "tuned"])
    for place in values.values():
        place["tuned"] = {seed: dict(place["base"][0]) for seed in (0, 1, 2)}
    for row in compared(values, ["base", "tuned"])[4:]:
        assert (row["delta"], row["ci_low"], row["ci_high"], row["p"], row["p_adjusted"]) == (0, 0, 0, 1, 1)
        assert (row["ties"], row["verdict"]) == (50, "INCONCLUSIVE")


def test_seeds_are_averaged_per_query_before_pairing():
    values = study(["base", "tuned"], seeds=(0, 3))
    row = compared(values, ["base", "tuned"])[6]
    place = values["pydocs", "test", "RR@10"]
    queries = sorted(place["base"][0])
    means = np.mean([[place["tuned"][seed][query] for query in queries] for seed in (0, 3)], axis=0)
    differences = means - np.array([place["base"][0][query] for query in queries])
    assert (row["seeds"], row["queries"]) == (2, 50)
    expected = bootstrap_interval(differences, 0.95, 2000, keyed_rng("bootstrap", 0, "tuned", *PRIMARY))
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(expected, abs=1e-12)


def test_primary_rows_are_one_family_and_all_others_another():
    variants = ["base", "a", "b", "c"]
    rows = compared(study(variants, gain=0.01), variants)
    trained = [row for row in rows if row["variant"] != "base"]
    claims = [row for row in trained if [row["collection"], row["split"], row["measure"]] == PRIMARY]
    others = [row for row in trained if row not in claims]
    assert (len(claims), len(others)) == (3, 9)
    ordered = sorted(claims, key=lambda row: row["p"])
    assert ordered[0]["p_adjusted"] == pytest.approx(min(1, 3 * ordered[0]["p"]))
    assert max(others, key=lambda row: row["p"])["p_adjusted"] == pytest.approx(max(row["p"] for row in others))
    assert all(row["p_adjusted"] >= row["p"] for row in trained)


def test_one_more_variant_changes_no_interval_and_no_p():
    few, many = ["base", "full_hard"], ["base", "new", "full_hard"]
    values = study(many)

    def pick(rows):
        columns = ("split", "measure", "mean", "delta", "ci_low", "ci_high", "p")
        return [[row[column] for column in columns] for row in rows if row["variant"] == "full_hard"]

    assert pick(compared(values, few)) == pick(compared(values, many))
    assert pick(compared(values, few)) != pick(compared(values, few, seed=1))


def test_order_of_queries_does_not_matter():
    values = study(["base", "tuned"])
    backwards = {
        place: {
            variant: {seed: dict(reversed(run.items())) for seed, run in runs.items()}
            for variant, runs in found.items()
        }
        for place, found in values.items()
    }
    assert compared(values, ["base", "tuned"]) == compared(backwards, ["base", "tuned"])


def test_a_single_query_gives_no_interval():
    row = compared(study(["base", "tuned"], queries=1, gain=0.5), ["base", "tuned"])[-1]
    assert (row["ci_low"], row["ci_high"], row["p"], row["verdict"]) == (None, None, 1, "INCONCLUSIVE")


def test_what_cannot_be_compared_is_refused():
    values = study(["base", "tuned"])
    with pytest.raises(BackfireError, match="lora_hard has no values of RR@10 on pydocs/dev"):
        compared(values, ["base", "lora_hard"])
    with pytest.raises(BackfireError, match=r"primary: pydocs/test/nDCG@10 is not among"):
        compare(values, ["base"], PLACES, NAMES, ["pydocs", "test", "nDCG@10"], 0.05, 100, 0)
    del values["pydocs", "test", "AP"]["tuned"][0]["q7"]
    with pytest.raises(BackfireError, match="pydocs/test/AP: tuned was measured on 49 queries, base on 50"):
        compared(values, ["base", "tuned"])


def test_files(tmp_path):
    variants = ["base", "tuned"]
    values = study(variants, queries=12, seeds=(0, 1))
    rows = [
        {
            **dict(zip(("collection", "split", "measure"), place, strict=True)),
            "variant": variant,
            "seed": seed,
            "query_id": query,
            "value": value,
        }
        for place, found in values.items()
        for variant, runs in found.items()
        for seed, run in runs.items()
        for query, value in run.items()
    ]
    write_rows(tmp_path / "measures.parquet", "measures", rows)
    for name in ("first", "second"):
        parquet, text = tmp_path / f"{name}.parquet", tmp_path / f"{name}.csv"
        compare_variants(tmp_path / "measures.parquet", variants, PLACES, NAMES, PRIMARY, 0.05, 500, 0, parquet, text)
    expected = compared(values, variants, resamples=500)
    assert read_rows(tmp_path / "first.parquet", "comparison").to_pylist() == expected
    with (tmp_path / "first.csv").open(encoding="utf-8", newline="") as stream:
        read = list(csv.DictReader(stream))
    assert list(read[0]) == SCHEMAS["comparison"].names
    assert [row["ci_low"] for row in read[:4]] == [""] * 4
    assert [float(row["delta"]) for row in read] == [row["delta"] for row in expected]
    for suffix in ("parquet", "csv"):
        assert (tmp_path / f"first.{suffix}").read_bytes() == (tmp_path / f"second.{suffix}").read_bytes()
