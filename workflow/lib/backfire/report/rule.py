"""Writes the rule of the verdict into a page of the documentation: `python -m backfire.report.rule <page> <study>`."""

import re
import sys
from pathlib import Path
from typing import Any

import yaml

from backfire.errors import BackfireError
from backfire.evaluation.verdict import words

_BLOCK = re.compile(r"(<!-- rule -->\n).*(<!-- /rule -->)", re.DOTALL)


def with_rule(text: str, config: dict[str, Any]) -> str:
    """The page with the rule, in the numbers of a configuration, between its marks.

    Raises `BackfireError` where the marks are missing.
    """
    told = words(config["comparison"], config["primary"]["measure"])
    lines = [f"- **{outcome}**: {meaning}." for outcome, meaning in told["meanings"].items()]
    lines += ["", told["margin"], told["fewest"], told["uncorrected"], told["one_sided"], ""]
    found, count = _BLOCK.subn(lambda marks: marks[1] + "\n".join(lines) + marks[2], text)
    if count != 1:
        raise BackfireError(
            f"the page has {count} places for the rule.", "put it between the lines <!-- rule --> and <!-- /rule -->."
        )
    return found


if __name__ == "__main__":
    page, study = map(Path, sys.argv[1:])
    told = with_rule(page.read_text(encoding="utf-8"), yaml.safe_load(study.read_text(encoding="utf-8")))
    page.write_text(told, encoding="utf-8")
