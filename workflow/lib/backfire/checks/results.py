"""The results of a study, held to what a reader relies on: nothing empty, nothing that contradicts something else.

Each check is a function of the study's files that gives a sentence for everything that is wrong.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backfire.checks.choices import check_protocols, check_selections
from backfire.checks.exchanges import check_exchanges, check_opinions
from backfire.checks.forensics import check_doses, check_forensics
from backfire.checks.ladder import check_ladder
from backfire.checks.models import (
    check_cost,
    check_curves,
    check_geometry,
    check_kept,
    check_layers,
    check_maps,
    check_weights,
)
from backfire.checks.page import check_page
from backfire.checks.recommendation import check_recommendation
from backfire.checks.verdicts import check_comparison, check_main_table, check_queries, check_strata, check_ties
from backfire.errors import BackfireError
from backfire.formats.atomic import read_json, write_json
from backfire.formats.tables import read_rows
from backfire.study.study import Study

log = logging.getLogger(__name__)
TABLES = (
    "measures",
    "ties",
    "comparison",
    "geometry",
    "cost",
    "moved",
    "strata",
    "replaced",
    "exchanges",
    "projection",
    "maps",
    "recommendation",
)
# Of studies that choose among variants, that try other protocols, that have a ladder, that train, whose labels are
# wrong on purpose, and that name a judge.
OPTIONAL = ("selection", "protocol", "ladder", "forensics", "filter_curves", "doses", "opinions", "missing_labels")
CHECKS = (
    check_queries,
    check_ties,
    check_comparison,
    check_main_table,
    check_strata,
    check_exchanges,
    check_opinions,
    check_selections,
    check_protocols,
    check_ladder,
    check_forensics,
    check_doses,
    check_curves,
    check_layers,
    check_kept,
    check_weights,
    check_geometry,
    check_cost,
    check_maps,
    check_recommendation,
    check_page,
)
SHOWN = 20


@dataclass(frozen=True)
class Results:
    """What a study has left, and what its configuration says should be there."""

    study: Study
    tables: Mapping[str, Any]
    """The tables in `TABLES` and those in `OPTIONAL` that the study has, as data frames, and `csv` and `main`, the
    comparison and the main table in CSV."""
    dynamics: Mapping[tuple[str, int], Any]
    """Training curves as a data frame, for each trained (variant, seed)."""
    layers: Mapping[tuple[str, int], Any]
    """How their layers moved, likewise."""
    models: Mapping[tuple[str, int], Path]
    """Model folders."""
    manifests: Mapping[str, Any]
    page: str
    """The HTML of the report."""


def check_results(
    tables: Mapping[str, str | Path],
    csv: str | Path,
    main: str | Path,
    dynamics: Mapping[tuple[str, int], str | Path],
    layers: Mapping[tuple[str, int], str | Path],
    models: Mapping[tuple[str, int], str | Path],
    manifests: Mapping[str, str | Path],
    page: str | Path,
    config: dict[str, Any],
    output: str | Path,
) -> None:
    """Run every check over the files of a study and write how many there were; `tables` names those in `TABLES` and,
    where the study has them, in `OPTIONAL`.

    Raises `BackfireError` that lists what is wrong, where anything is.
    """
    import pandas as pd

    found = Results(
        study=Study(config),
        tables={name: read_rows(path, name).to_pandas() for name, path in tables.items()}
        # A variant may be called nan.
        | {
            name: pd.read_csv(path, keep_default_na=False, na_values=[""])
            for name, path in (("csv", csv), ("main", main))
        },
        dynamics={run: read_rows(path, "dynamics").to_pandas() for run, path in dynamics.items()},
        layers={run: read_rows(path, "layers").to_pandas() for run, path in layers.items()},
        models={run: Path(path) for run, path in models.items()},
        manifests={name: read_json(path) for name, path in manifests.items()},
        page=Path(page).read_text(encoding="utf-8"),
    )
    faults = list(faults_of(found))
    if faults:
        more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
        raise BackfireError(
            "the results are not what they must be:\n- " + "\n- ".join(faults[:SHOWN] + more),
            "this is a fault of Backfire or of files that were changed by hand: delete the table that is named and run "
            "again; if it comes back, report it with this message.",
        )
    log.info("%d checks passed", len(CHECKS))
    write_json(output, {"passed": [check.__name__ for check in CHECKS]})


def faults_of(found: Results) -> Iterator[str]:
    """A sentence for everything that is wrong, by all checks."""
    for check in CHECKS:
        yield from (f"{check.__name__}: {fault}" for fault in check(found))
