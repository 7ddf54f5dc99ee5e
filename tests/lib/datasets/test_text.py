import pytest

from backfire.datasets.text import normalised


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Return the\n\tMEAN. ", "return the mean"),
        ("numpy.linalg_norm(x, ord=2)", "numpy linalg norm x ord 2"),
        ("ﬁt the model²", "fit the model2"),
        ("Gauß–Newton, Éric", "gauß newton éric"),
        ("--- !?", ""),
    ],
)
def test_normalised_form(text, expected):
    assert normalised(text) == expected
    assert normalised(expected) == expected
