"""When two texts count as the same."""

import re
import unicodedata

_SEPARATORS = re.compile(r"[\W_]+")


def normalised(text: str) -> str:
    """Lower-case NFKC form of `text` with every run of characters that are no letters or digits as one space."""
    return _SEPARATORS.sub(" ", unicodedata.normalize("NFKC", text).lower()).strip()
