"""The early warning: whether a training does harm that chance does not explain, told as soon as it can be known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backfire.evaluation.significance.sequential import SequentialFall

HARM, BOUNDARY = "harm", "harm_boundary"
"""Columns of a look: the statistic of the test and what it must exceed (see `SequentialFall`)."""


@dataclass(frozen=True)
class Alarm:
    """The step of the look that gave it, and the mean change of the measure since the start, over the queries."""

    step: int
    change: float


class Watch:
    """Looks at the development queries' values of one measure, those before the first step being what it compares with.

    Over a training of `looks` looks that does no harm the chance of an alarm is at most `false_alarms`. After an alarm
    it goes on looking and gives no other.
    """

    def __init__(self, measure: str, looks: int, false_alarms: float):
        self._measure, self._looks, self._chance = measure, looks, false_alarms
        self._test: SequentialFall | None = None
        self._start: dict[str, float] = {}
        self._followed = 0
        self.alarm: Alarm | None = None

    def follow(self, rows: Sequence[dict[str, Any]], look: str) -> None:
        """See the rows of a training that were not seen yet, and write the columns of each look into its row.

        `look` is where a row keeps {measure: {query id: value}}.
        """
        for row in rows[self._followed :]:
            if look in row:
                self._see(row, row[look][self._measure])
        self._followed = len(rows)

    def _see(self, row: dict[str, Any], values: dict[str, float]) -> None:
        if self._test is None:
            self._start, self._test = values, SequentialFall(len(values), self._looks, self._chance)
            return
        differences = np.array([values[query_id] - self._start[query_id] for query_id in sorted(self._start)])
        seen = self._test.look(differences)
        row[HARM] = seen.statistic
        # A table holds no infinity for what cannot be exceeded.
        row[BOUNDARY] = seen.boundary if np.isfinite(seen.boundary) else None
        if seen.alarm and self.alarm is None:
            self.alarm = Alarm(row["step"], float(differences.mean()))
