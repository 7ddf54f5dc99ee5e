"""P-values corrected for the number of comparisons that they were picked from."""

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted to bound the chance of any false claim in the family (Holm 1979)."""
    return _adjusted(p_values, "holm")


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted to bound the expected share of false claims (Benjamini and Hochberg 1995)."""
    return _adjusted(p_values, "fdr_bh")


def _adjusted(p_values: Sequence[float], method: str) -> list[float]:
    from statsmodels.stats.multitest import multipletests

    return multipletests(p_values, method=method)[1].tolist() if len(p_values) else []
