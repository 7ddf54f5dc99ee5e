"""What no file in UTF-8 can carry."""

from backfire.errors import BackfireError


def half_a_pair(where: object, error: UnicodeEncodeError) -> BackfireError:
    """The error for a text that cannot be encoded; `where` is the file or the column."""
    start = max(0, error.start - 20)
    return BackfireError(
        f"{where}: the text {ascii(error.object[start : start + 40])} holds half of a surrogate pair.",
        "it was cut inside an escaped character such as an emoji; repair it at its origin.",
    )
