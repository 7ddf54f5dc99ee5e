"""What each part of a recipe is worth: planted effects are found, parts add up, and what diverged claims nothing."""

from itertools import combinations, permutations

import numpy as np
import pytest

from backfire.evaluation.comparison import Rules
from backfire.evaluation.families import CLAIMS, EXPLORES
from backfire.evaluation.perquery import Scores, Store
from backfire.evaluation.significance.intervals import crossed_interval
from backfire.explaining.attribution import Rungs, attribute_ladder, attributed, interaction_of, part_of
from backfire.formats.atomic import write_json
from backfire.formats.tables import read_rows, write_rows

PLACE, OTHER = ("docs", "test", "RR@10"), ("docs", "unseen", "RR@10")
EFFECTS = {"distance": -0.06, "margin": 0.0, "rate": 0.03}
RULES = Rules(0.05, 1000, 2000, 0, 0.8, {"default": 0.01}, ())


def ladder_of(factors, orders=None):
    names = {
        taken: "start" if not taken else "end" if len(taken) == len(factors) else f"start--{'-'.join(taken)}"
        for count in range(len(factors) + 1)
        for taken in combinations(factors, count)
    }
    orders = orders or list(permutations(factors))
    passed = {frozenset(order[:count]) for order in orders for count in range(len(factors) + 1)}
    rungs = [(name, list(taken)) for taken, name in names.items() if frozenset(taken) in passed]
    return Rungs("start", "end", list(factors), orders, rungs)


def scores_of(values):
    return Scores(list(range(len(values))), [f"q{number:04}" for number in range(values.shape[1])], values)


def store_of(ladder, rng, seeds=1, queries=80, effects=EFFECTS, together=0.0, noise=0.05, places=(PLACE,)):
    """Values of each variant: those of the queries, the effects of its factors on each query, and noise of a run.

    `together` is what the first two factors change beyond one by one. A query's effect varies around the mean.
    """
    scores = {}
    for place in places:
        own = rng.uniform(size=queries)
        moved = {name: effect + 0.1 * rng.normal(size=queries) for name, effect in effects.items()}
        first, second = list(effects)[:2]
        scores[place] = {
            name: scores_of(
                own
                + sum((moved[factor] for factor in taken), np.zeros(queries))
                + together * (first in taken and second in taken)
                + noise * rng.normal(size=(seeds, queries))
            )
            for name, taken in ladder.rungs
        }
    return Store(scores)


def rows_of(rows, part, place=PLACE):
    here = (row for row in rows if (row["collection"], row["split"], row["measure"]) == place)
    return {row["name"]: row for row in here if row["part"] == part}


@pytest.mark.parametrize(("seeds", "queries"), [(1, 80), (3, 40), (1, 2)])
def test_parts_add_up_to_the_total(seeds, queries):
    ladder = ladder_of(EFFECTS)
    store = store_of(ladder, np.random.default_rng(1), seeds, queries, together=-0.05)
    rows = attributed(store, ladder, [PLACE], PLACE, RULES)
    [total] = rows_of(rows, "total").values()
    parts = rows_of(rows, "factor")
    assert list(parts) == list(EFFECTS)
    assert abs(sum(row["delta"] for row in parts.values()) - total["delta"]) < 1e-12
    ends = [store.at(PLACE, name).values.mean() for name in ("start", "end")]
    assert total["delta"] == pytest.approx(ends[1] - ends[0], abs=1e-12)
    assert (total["reference_mean"], total["mean"]) == pytest.approx(tuple(ends))


def test_shares_are_those_of_the_formulas():
    # Shapley's weights: |S|! (n - |S| - 1)! / n! for each set S that the factor is added to.
    shares = part_of("a", list(permutations("abc")))
    assert {"".join(sorted(taken)): float(share) for taken, share in shares.items()} == pytest.approx(
        {"": -1 / 3, "a": 1 / 3, "b": -1 / 6, "ab": 1 / 6, "c": -1 / 6, "ac": 1 / 6, "bc": -1 / 3, "abc": 1 / 3}
    )
    shares = interaction_of("a", "b", "abc")
    assert {"".join(sorted(taken)): float(share) for taken, share in shares.items()} == pytest.approx(
        {"": 0.5, "a": -0.5, "b": -0.5, "ab": 0.5, "c": 0.5, "ac": -0.5, "bc": -0.5, "abc": 0.5}
    )


def test_planted_effects_are_found_and_a_factor_without_effect_is_not():
    ladder = ladder_of(EFFECTS)
    store = store_of(ladder, np.random.default_rng(2), seeds=3, queries=600, together=-0.08, places=(PLACE, OTHER))
    rows = attributed(store, ladder, [PLACE, OTHER], PLACE, RULES)
    parts = rows_of(rows, "factor")
    # What two factors change together is shared between them.
    for name, truth in {"distance": -0.10, "margin": -0.04, "rate": 0.03}.items():
        assert parts[name]["ci_low"] < truth < parts[name]["ci_high"], name
    assert [parts[name]["verdict"] for name in EFFECTS] == ["HARMS", "HARMS", "HELPS"]
    assert parts["margin"]["alone"] == pytest.approx(0.0, abs=0.02)
    assert parts["margin"]["last"] == pytest.approx(-0.08, abs=0.02)
    pairs = rows_of(rows, "interaction")
    assert pairs["distance:margin"]["ci_low"] < -0.08 < pairs["distance:margin"]["ci_high"]
    assert pairs["distance:margin"]["verdict"] == "HARMS"
    assert pairs["margin:rate"]["ci_low"] < 0 < pairs["margin:rate"]["ci_high"]
    # Only the primary place was chosen beforehand, and a part is adjusted for the others.
    assert {row["family"] for row in parts.values()} == {CLAIMS}
    assert {row["family"] for row in rows_of(rows, "factor", OTHER).values()} == {EXPLORES}
    assert all(row["p_adjusted"] >= row["p"] for row in rows if row["p"] is not None)


@pytest.mark.parametrize("seeds", [1, 3])
def test_intervals_hold_the_planted_truth_in_95_percent_of_a_thousand_studies(seeds):
    # Queries and runs are drawn anew each time, so the truth is the mean over all queries that there could be. Only the
    # intervals of the parts are taken, as `attributed` takes them: the whole table takes ten times as long.
    effects = {"distance": -0.06, "margin": 0.0}
    ladder = ladder_of(effects)
    held = dict.fromkeys(effects, 0)
    for number in range(1000):
        store = store_of(ladder, np.random.default_rng([seeds, number]), seeds, 60, effects)
        values = {taken: store.at(PLACE, name).values for taken, name in ladder.names.items()}
        for name, truth in effects.items():
            part = sum(float(share) * values[taken] for taken, share in part_of(name, ladder.orders).items())
            low, high = crossed_interval(part, 0.95, 400, np.random.default_rng(number))
            held[name] += low <= truth <= high
    assert all(930 <= count <= 970 for count in held.values()), held


def test_orders_through_a_variant_that_diverged_are_left_out():
    ladder = ladder_of(EFFECTS)
    store = store_of(ladder, np.random.default_rng(3), queries=400, together=-0.05)
    rows = attributed(store, ladder, [PLACE], PLACE, RULES, {"start--distance": "seed 0: loss nan"})
    [total], parts = rows_of(rows, "total").values(), rows_of(rows, "factor")
    assert {row["orders"] for row in parts.values()} == {4}
    assert sum(row["delta"] for row in parts.values()) == pytest.approx(total["delta"], abs=1e-12)
    assert parts["distance"]["alone"] is None and parts["distance"]["last"] is not None
    # What cannot be said without it is not said; what can be is.
    pairs = rows_of(rows, "interaction")
    assert all(row["delta"] is None and row["verdict"] is None for row in pairs.values())
    rung = rows_of(rows, "rung")["start--distance"]
    assert rung["diverged"] == "seed 0: loss nan" and rung["mean"] is None


def test_without_an_order_no_part_is_claimed():
    ladder = ladder_of({"distance": 0.0, "rate": 0.0})
    store = store_of(ladder, np.random.default_rng(4), effects={"distance": -0.1, "rate": 0.0})
    lost = dict.fromkeys(("start--distance", "start--rate"), "seed 0: loss nan")
    rows = attributed(store, ladder, [PLACE], PLACE, RULES, lost)
    [total], parts = rows_of(rows, "total").values(), rows_of(rows, "factor")
    assert total["delta"] is not None and total["verdict"] == "HARMS"
    assert all(row["orders"] == 0 and row["delta"] is None and row["verdict"] is None for row in parts.values())


def test_drawn_orders_add_up_too():
    factors = dict.fromkeys("abcde", -0.01)
    orders = [tuple("abcde"), tuple("edcba"), tuple("cadbe"), tuple("ebdac")]
    ladder = ladder_of(factors, orders)
    assert len(ladder.rungs) < 32
    store = store_of(ladder, np.random.default_rng(5), effects=factors)
    rows = attributed(store, ladder, [PLACE], PLACE, RULES)
    [total], parts = rows_of(rows, "total").values(), rows_of(rows, "factor")
    assert sum(row["delta"] for row in parts.values()) == pytest.approx(total["delta"], abs=1e-12)
    # Two of five factors side by side take more variants than these orders pass through.
    assert all(row["delta"] is None for row in rows_of(rows, "interaction").values())


def test_a_single_query_has_parts_and_no_interval():
    ladder = ladder_of(EFFECTS)
    rows = attributed(store_of(ladder, np.random.default_rng(6), queries=1), ladder, [PLACE], PLACE, RULES)
    for row in rows_of(rows, "factor").values():
        assert row["delta"] is not None and row["ci_low"] is None and row["verdict"] == "INCONCLUSIVE"


def test_the_table_follows_from_the_runs_and_from_what_trainings_noted(tmp_path):
    ladder = ladder_of({"distance": -0.1, "rate": 0.0})
    store = store_of(ladder, np.random.default_rng(7), seeds=2, queries=50, effects={"distance": -0.1, "rate": 0.0})
    paths, models = [], {}
    for name, _ in ladder.rungs:
        scores = store.at(PLACE, name)
        for seed in scores.seeds:
            rows = [
                {"variant": name, "seed": seed, "query_id": query, "value": value}
                | dict(zip(("collection", "split", "measure"), PLACE, strict=True))
                for query, value in zip(scores.queries, scores.values[seed], strict=True)
            ]
            paths.append(tmp_path / f"{name}-{seed}.parquet")
            write_rows(paths[-1], "measures", rows)
            if name.startswith("start--"):
                models[name, seed] = tmp_path / "models" / f"{name}-{seed}"
                models[name, seed].mkdir(parents=True)
                said = {"diverged": "loss nan after step 3"} if (name, seed) == ("start--rate", 1) else {}
                write_json(models[name, seed] / "training.json", said)
    files = tmp_path / "ladder.parquet", tmp_path / "ladder.csv"
    attribute_ladder(paths, models, ladder, [PLACE], PLACE, RULES, *files)
    rows = read_rows(files[0], "ladder").to_pylist()
    assert rows == attributed(store, ladder, [PLACE], PLACE, RULES, {"start--rate": "seed 1: loss nan after step 3"})
    assert rows_of(rows, "rung")["start--rate"]["diverged"] == "seed 1: loss nan after step 3"
    assert len(files[1].read_text().splitlines()) == 1 + len(rows)
