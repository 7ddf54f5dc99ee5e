"""Choosing among variants by the split that is watched in training, which takes no part in what is reported."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backfire.errors import BackfireError
from backfire.evaluation.perquery import read_store
from backfire.formats.atomic import read_json, write_json
from backfire.formats.tables import read_rows, write_rows

log = logging.getLogger(__name__)


def choose_variants(
    measures: Sequence[str | Path],
    selections: Mapping[str, Mapping[str, Any]],
    watched: Sequence[str],
    output: str | Path,
) -> None:
    """Write the table `selection`: of each choice the candidate with the highest mean is chosen, the first of equals.

    `measures` are tables of that name of all candidates, `selections` {name: {among, measure}}, and `watched` is the
    (collection, split) that alone may be in the tables: values from anywhere else raise `BackfireError`, as do
    candidates measured on different queries.
    """
    store = read_store(*measures)
    for place in store.scores:
        if place[:2] != tuple(watched):
            raise BackfireError(
                f"a choice among variants was handed values of {'/'.join(place[:2])}, but it may see "
                f"{'/'.join(watched)} only.",
                "what is reported must not choose what is reported; delete results/<study>/candidates/ and run again.",
            )
    rows = []
    for name, selection in selections.items():
        place = (*watched, selection["measure"])
        among = [(variant, store.at(place, variant)) for variant in selection["among"]]
        for variant, _ in among:
            store.differences(place, variant, among[0][0])
        means = {variant: float(scores.means.mean()) for variant, scores in among}
        chosen = highest(means)
        rows += [
            {
                "selection": name,
                "variant": variant,
                **dict(zip(("collection", "split", "measure"), place, strict=True)),
                "queries": len(scores.queries),
                "seeds": len(scores.seeds),
                "mean": means[variant],
                "chosen": variant == chosen,
            }
            for variant, scores in among
        ]
    write_rows(output, "selection", rows)


def choose_best(tables: Sequence[str | Path], runs: Sequence[Sequence], measure: str, output: str | Path) -> None:
    """Write, as JSON, which of several trained variants was `chosen`, and by which `values` of the watched `measure`.

    `tables` are the training curves (`dynamics`) of `runs`, (variant, seed) each. A variant's value is that of its last
    look, the mean over its seeds; the highest is chosen, the first of equals. No evaluated split is read.
    """
    values: dict[str, list[float]] = {}
    for path, (variant, _) in zip(tables, runs, strict=True):
        looks = read_rows(path, "dynamics", ["step", f"dev_{measure}"]).drop_null()
        values.setdefault(variant, []).append(looks[f"dev_{measure}"][-1].as_py())
    means = {variant: sum(each) / len(each) for variant, each in values.items()}
    chosen = highest(means)
    log.info("%s of %s", chosen, means)
    write_json(output, {"chosen": chosen, "measure": measure, "values": means})


def highest(means: Mapping[Any, float]) -> Any:
    """The first with the highest mean; means of the same values in another order may differ in the last bit."""
    return next(variant for variant, mean in means.items() if mean >= max(means.values()) - 1e-12)


def chosen_of(best: str | Path, candidates: Sequence[str], files: Sequence[str]) -> list[str]:
    """Those of the `files` that belong to the one that was chosen in `best`: as many one after another for each of the
    `candidates`."""
    each, place = len(files) // len(candidates), candidates.index(read_json(best)["chosen"])
    return list(files[place * each : (place + 1) * each])
