"""The one exception a user is meant to read."""

from collections.abc import Iterable
from difflib import get_close_matches


class BackfireError(Exception):
    """A problem the user can fix: what was found, what was expected, and a hint that says what to do.

    `str()` gives the message followed by a last line that begins with `Hint:`.
    """

    def __init__(self, message: str, hint: str):
        self.message = message
        self.hint = hint
        super().__init__(f"{message}\nHint: {hint}")

    def __reduce__(self):
        return type(self), (self.message, self.hint)


def nearest(name: str, known: Iterable[str]) -> str:
    """A clause that names the known word nearest to `name`, or lists the known words."""
    known = sorted(map(str, known))
    close = get_close_matches(str(name), known, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(known)}." if known else "none is defined."
