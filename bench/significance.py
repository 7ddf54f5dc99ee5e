"""The randomisation test of a family at the size of MS MARCO's dev/small, against scipy's, one variant at a time."""

import numpy as np

from backfire.evaluation.significance.randomisation import sign_flip_tests
from backfire.keyed import keyed_rng
from bench.calibration import Truth, draw
from bench.pairs import Pair, pair

# The development set of MS MARCO, and more variants than most studies have.
QUERIES, VARIANTS, FLIPS = 6980, 10, 100_000
# scipy tests one variant at a time with draws of its own; a twentieth of the flips is enough to see its speed.
PEER_FLIPS = FLIPS // 20


def run(arguments) -> list[Pair]:
    """One row: all variants at once, step-down maxT included; the peer has no family."""
    from scipy.stats import permutation_test

    place = ("simulated", "test", "RR@10")
    store = draw(Truth(QUERIES, VARIANTS), 0.0, np.random.default_rng(0))
    differences = np.stack([store.differences(place, f"v{each}", "base")[0] for each in range(VARIANTS)], axis=1)

    def ours() -> np.ndarray:
        return sign_flip_tests(differences, FLIPS, keyed_rng("bench"))[0]

    def theirs() -> np.ndarray:
        found = [
            permutation_test(
                (differences[:, each],),
                lambda values, axis: values.mean(axis=axis),
                permutation_type="samples",
                n_resamples=PEER_FLIPS,
                vectorized=True,
                batch=500,
                rng=0,
            ).pvalue
            for each in range(VARIANTS)
        ]
        return np.array(found)

    row = pair(
        f"{FLIPS:,} flips, {QUERIES:,} queries, {VARIANTS} variants",
        ours,
        theirs,
        work=1,
        unit="families",
        agreement=lambda mine, other: f"p differs by at most {np.abs(mine - other).max():.3f}",
        peer_name=f"scipy permutation_test, {PEER_FLIPS:,} flips",
        rounds=arguments.rounds,
    )
    return [row]
