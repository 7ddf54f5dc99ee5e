"""How the learning rate goes over a training, under the names that transformers' `get_scheduler` has for them.

Each is a function of the peak rate, the step from 0, the steps of the warm-up and those in all, so that any step can be
started from.
"""

import math
from collections.abc import Callable

Schedule = Callable[[float, int, int, int], float]
# The time scale of an inverse square root that no warm-up gives one.
_SCALE = 10_000


def _warmed(after: Schedule) -> Schedule:
    """Rising linearly from 0 over the warm-up, then as `after` says."""

    def rate(peak: float, step: int, warm_up: int, steps: int) -> float:
        return peak * step / warm_up if step < warm_up else after(peak, step, warm_up, steps)

    return rate


SCHEDULES: dict[str, Schedule] = {
    "linear": _warmed(lambda peak, step, warm_up, steps: peak * (steps - step) / max(1, steps - warm_up)),
    "cosine": _warmed(
        lambda peak, step, warm_up, steps: (
            peak * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))
        )
    ),
    "inverse_sqrt": _warmed(
        lambda peak, step, warm_up, _: peak / math.sqrt(1 + (step - warm_up) / (warm_up or _SCALE))
    ),
    "constant_with_warmup": _warmed(lambda peak, *_: peak),
    "constant": lambda peak, *_: peak,
}
