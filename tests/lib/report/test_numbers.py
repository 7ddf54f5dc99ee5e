"""How numbers are written."""

import pytest

from backfire.report import numbers


def test_values_and_differences():
    assert numbers.plain(0.55) == "0.5500"
    assert numbers.plain(-3.0166, 3) == "\N{MINUS SIGN}3.017"
    assert numbers.signed(0.0388) == "+0.0388"
    assert numbers.signed(-0.08434) == "\N{MINUS SIGN}0.0843"
    assert numbers.interval(-0.01, 0.02) == "[\N{MINUS SIGN}0.0100, +0.0200]"


def test_what_is_missing_is_not_a_zero():
    assert numbers.plain(None) == numbers.signed(None) == numbers.p_value(None) == "\N{EM DASH}"
    assert numbers.quantity(None, "s") == "\N{EM DASH}"
    assert numbers.interval(None, 0.1) == "no interval"


@pytest.mark.parametrize(
    ("p", "text"), [(0.0, "< 0.0001"), (0.00009, "< 0.0001"), (0.00164, "0.0016"), (0.312, "0.31"), (1.0, "1")]
)
def test_p_values_have_no_exponent_and_are_never_zero(p, text):
    assert numbers.p_value(p) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (107.4, "s", "107 s"),
        (600, "s", "10.0 min"),
        (9000, "s", "2.5 h"),
        (22713216, "count", "22,713,216"),
        (6.21, "ms", "6.21 ms"),
        (8192, "MiB", "8.0 GiB"),
        (812.4, "passages/s", "812 passages/s"),
    ],
)
def test_quantities_read_well(value, unit, text):
    assert numbers.quantity(value, unit) == text.replace(" ", "\N{NO-BREAK SPACE}")


def test_words():
    assert numbers.count(1, "query", "queries") == "1 query"
    assert numbers.count(6980, "query", "queries") == "6,980 queries"
    assert numbers.names(["a"]) == "a" and numbers.names("abc") == "a, b and c" and numbers.names([]) == ""
    assert numbers.rate(2e-5) == "0.00002" and numbers.rate(1.0) == "1"
