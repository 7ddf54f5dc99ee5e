"""Tables as comma-separated text, for people and spreadsheets; the Parquet file beside it is the one that is read."""

import csv
from collections.abc import Iterable
from pathlib import Path

from backfire.formats.atomic import replacing
from backfire.formats.tables import SCHEMAS


def write_csv(path: str | Path, kind: str, rows: Iterable[dict]) -> None:
    """Write rows of the table `kind` under a header, atomically; None becomes an empty field."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, SCHEMAS[kind].names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
