"""A function that makes values of base and of variants, as they are read from the table `measures`."""

import numpy as np
import pytest

from backfire.explaining.queries.paired import Paired


@pytest.fixture
def pair():
    """`pair(base, name=values)`: values of one measure on queries q000, q001, ...; several seeds as rows."""

    def make(base, **variants) -> Paired:
        names = [f"q{number:03}" for number in range(len(base))]
        rows = {name: np.atleast_2d(np.asarray(values, dtype=float)) for name, values in variants.items()}
        return Paired(names, np.asarray(base, dtype=float), rows)

    return make
