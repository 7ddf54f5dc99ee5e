"""The table `recommendation`: every system of a study side by side, and which one to use."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backfire.evaluation.families import HELPERS
from backfire.evaluation.verdict import Verdict
from backfire.formats.atomic import read_json
from backfire.formats.delimited import write_csv
from backfire.formats.tables import read_rows, write_rows
from backfire.recommending.costs import Cost, Costs
from backfire.recommending.rules import choose, front
from backfire.recommending.systems import System, systems_of

CHOSEN, RUNNER_UP, OTHER = "recommended", "runner-up", "other"


def recommend(
    comparison: str | Path,
    cost: str | Path,
    manifest: str | Path,
    indexes: Sequence[str | Path],
    best: Mapping[str, str | Path],
    systems: Sequence[Mapping[str, Any]],
    primary: Sequence[str],
    query_time: float | None,
    parquet: str | Path,
    csv: str | Path,
) -> None:
    """Write the table `recommendation` twice, a row for base and for each variant that makes a claim.

    From the tables `comparison` and `cost`; `manifest` is that of the primary collection's passages, `indexes` theirs
    under the first seed of every variant that has vectors, `best` the files of choices, by variant that takes the best
    one, `systems` what each is made of (see `Lineage.made_of`), and `primary` the (collection, split, measure) of the
    claims. See `rules.choose` for the rules and `query_time`.
    """
    rows = read_rows(comparison, "comparison").to_pylist()
    chosen = {name: read_json(path)["chosen"] for name, path in best.items()}
    costs = Costs(systems, cost, read_json(manifest)["kept"], indexes, chosen)
    table = weighed(rows, primary, {each["variant"]: costs.of(each["variant"]) for each in systems}, query_time)
    write_rows(parquet, "recommendation", table)
    write_csv(csv, "recommendation", table)


def weighed(
    rows: Sequence[Mapping[str, Any]], primary: Sequence[str], costs: Mapping[str, Cost], query_time: float | None
) -> list[dict[str, Any]]:
    """Rows of the table `recommendation` from rows of `comparison`, and what each system takes (see `rules.choose`)."""
    systems = systems_of(rows, primary, costs)
    better = {
        (row["variant"], row["reference"])
        for row in rows
        if row["family"] == HELPERS and row["verdict"] == Verdict.HELPS
    }
    choice = choose(systems, better, query_time)
    on_front = front(systems)
    standing = {choice.chosen: CHOSEN, choice.runner_up: RUNNER_UP}
    return [
        _row(system)
        | {
            "standing": standing.get(system.name, OTHER),
            "reason": str(choice.reasons[system.name]),
            "front": system.name in on_front,
        }
        for system in systems
    ]


def _row(system: System) -> dict[str, Any]:
    return {
        "variant": system.name,
        "verdict": system.verdict.value,
        "delta": system.delta,
        "ci_low": system.low,
        "ci_high": system.high,
        "falls": ", ".join(system.falls),
        "open": ", ".join(system.open),
        "training_time": system.cost.training,
        "passages": system.cost.passages,
        "setup_time": system.cost.setup,
        "query_time": system.cost.query,
        "index_size": system.cost.vectors,
    }
