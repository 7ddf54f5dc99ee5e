"""Per-query data with known truth: reciprocal ranks of a base and of variants that move each query's rank."""

import numpy as np

# A query's own difficulty and what one model adds to it, in the logarithm of the rank; chosen so that RR@10 of base is
# about 0.6 and that some four in ten queries do not change, as in the default study's full fine-tuning.
DIFFICULTY, SPREAD, MODEL, TUNED = 0.8, 1.6, 0.6, 0.9
# Gains that make RR@10 of tuned models equal to that of base in expectation, found by bisection over 4 million queries.
NO_EFFECT = -0.0115


def reciprocal_ranks(log_rank: np.ndarray) -> np.ndarray:
    """RR@10 of the first rank at least as large as exp(`log_rank`)."""
    rank = np.ceil(np.exp(np.maximum(log_rank, -5)))
    return np.where(rank <= 10, 1 / rank, 0.0)


def rr_differences(rng: np.random.Generator, queries: int, variants: int = 1, gain: float = NO_EFFECT) -> np.ndarray:
    """Differences from base, shape (queries, variants): correlated through base, discrete, with many zeros and skew.

    Each variant's ranks spread more than base's, so that differences are not symmetric even where means are equal.
    """
    difficulty = rng.normal(DIFFICULTY, SPREAD, (queries, 1))
    base = reciprocal_ranks(difficulty + rng.normal(0, MODEL, (queries, 1)))
    return reciprocal_ranks(difficulty + rng.normal(0, TUNED, (queries, variants)) - gain) - base


def few_values(seed: int, count: int) -> np.ndarray:
    """Like per-query differences of RR@10: many zeros, the rest differences of reciprocal ranks."""
    rng = np.random.default_rng(seed)
    values = [0.0, 1.0, 1 / 2, 1 / 3, 1 / 5, 1 / 10]
    return np.where(rng.random(count) < 0.5, 0, rng.choice(values, count) - rng.choice(values, count) + 0.02)
