"""How numbers are written on the page: enough digits to compare, a real minus sign, units that read well."""

from collections.abc import Iterable, Mapping
from typing import Any

from backfire.evaluation import verdict

MINUS = "\N{MINUS SIGN}"
MISSING = "\N{EM DASH}"
ARROW = "\N{RIGHTWARDS ARROW}"
SPACE = "\N{NO-BREAK SPACE}"


def plain(value: float | None, digits: int = 4) -> str:
    """A value with a fixed number of decimals; a dash when there is none."""
    return MISSING if value is None else f"{value:.{digits}f}".replace("-", MINUS)


def signed(value: float | None, digits: int = 4) -> str:
    """A difference, always with its sign."""
    return MISSING if value is None else f"{value:+.{digits}f}".replace("-", MINUS)


def interval(low: float | None, high: float | None, digits: int = 4) -> str:
    """An interval of a difference, or the words that there is none."""
    if low is None or high is None:
        return "no interval"
    return f"[{signed(low, digits)}, {signed(high, digits)}]"


def difference(row: Mapping[str, Any]) -> str:
    """A row's `delta` with its interval."""
    return f"{signed(row['delta'])} {interval(row['ci_low'], row['ci_high'])}"


def p_value(p: float | None) -> str:
    """Two digits, never an exponent and never a bare zero; a dash when there is none."""
    return MISSING if p is None else verdict.p_value(p)


def count(number: int | float, noun: str = "", many: str | None = None) -> str:
    """A whole number with thousands separated, and its noun in singular or plural."""
    text = f"{number:,.0f}"
    return f"{text} {noun if number == 1 else many or noun + 's'}" if noun else text


def rate(value: float) -> str:
    """A learning rate in full: `0.00002`."""
    return f"{value:.12f}".rstrip("0").rstrip(".")


def quantity(value: float | None, unit: str) -> str:
    """A cost with its unit: `1.6 min`, `22,713,216`, `6.2 ms`."""
    if value is None:
        return MISSING
    if unit == "count":
        return count(value)
    if unit == "s" and value >= 7200:
        return f"{value / 3600:.1f}{SPACE}h"
    if unit == "s" and value >= 120:
        return f"{value / 60:.1f}{SPACE}min"
    if unit == "MiB" and value >= 4096:
        return f"{value / 1024:.1f}{SPACE}GiB"
    return f"{value:,.0f}{SPACE}{unit}" if value >= 100 else f"{value:.3g}{SPACE}{unit}"


def names(items: Iterable[str], conjunction: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    items = list(items)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {conjunction} {items[-1]}" if items else ""
