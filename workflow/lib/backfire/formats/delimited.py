"""Tables as comma-separated text, for people and spreadsheets; the Parquet file beside it is the one that is read."""

import csv
from collections.abc import Iterable
from pathlib import Path

from backfire.formats.atomic import replacing
from backfire.formats.schemas import SCHEMAS
from backfire.formats.text import half_a_pair


def write_csv(path: str | Path, kind: str, rows: Iterable[dict]) -> None:
    """Write rows of the table `kind` under a header, atomically; None becomes an empty field."""
    names = SCHEMAS[kind].names
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, names, lineterminator="\n")
        # Python quotes a carriage return only where lines end with one.
        quoting = csv.DictWriter(stream, names, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writeheader()
        for row in rows:
            try:
                (quoting if any("\r" in str(value) for value in row.values()) else writer).writerow(row)
                stream.flush()
            except UnicodeEncodeError as error:
                raise half_a_pair(path, error) from error
