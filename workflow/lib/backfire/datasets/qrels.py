"""Judgments as the files of a folder hold them: BEIR's, TREC's, with the headers of other tools, as JSON or Parquet."""

import logging
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ir_datasets.formats import BaseQrels, GenericQrel

from backfire.datasets.layout import ending
from backfire.datasets.records import Record, lines, records, rows, short
from backfire.errors import BackfireError

# trec_eval counts the passages of each grade up to the highest one: a grade of 2^31 - 1 takes 16 GiB.
HIGHEST = 1_000_000
# Names of columns, in lower case with hyphens. Of those in one row the first that names an id holds it.
QUERY = ("query-id", "queryid", "qid", "q-id", "topic-id", "topicid"), ("query", "topic")
DOC = (
    ("corpus-id", "corpusid", "doc-id", "docid", "docno", "did", "document-id", "passage-id", "passageid", "pid"),
    ("doc", "document", "passage"),
)
GRADE = (("score", "relevance", "rel", "relevance-score", "grade", "label", "judgment", "judgement"),)
_NUMBER = re.compile(r"([+-]?[0-9]+)(?:\.0+)?")
_FORMS = (
    "read are query-id, corpus-id and score, separated by tabs, with a header or without; the four columns of TREC "
    "(query 0 passage grade); and any order of columns under a header that names them, as qid, docid, relevance."
)

Form = tuple[int, int, int | None]
"""Columns of query, passage and grade; None where there are no grades."""

_logger = logging.getLogger(__name__)


class FolderQrels(BaseQrels):
    """The judgments of one split."""

    def __init__(self, paths: list[str]):
        self._paths = paths

    def qrels_iter(self) -> Iterator[GenericQrel]:
        """All judgments, in the order of the files. Raises `BackfireError` that names the line of a broken one."""
        for path in self._paths:
            for where, query_id, doc_id, grade in judgments(path):
                yield GenericQrel(_identifier(where, query_id), _identifier(where, doc_id), parsed_grade(where, grade))

    def qrels_path(self) -> str:
        """The file, or the first of several."""
        return self._paths[0]

    def qrels_defs(self) -> dict[int, str]:
        """What the grades mean: the layout does not tell."""
        return {}


def judgments(path: str) -> Iterator[tuple[str, Any, Any, Any]]:
    """(where it stands, query id, doc id, grade) of every judgment of a file, as they are written."""
    if ending(path, (".parquet", ".jsonl", ".json")):
        yield from _of_records(path, records(path, lambda name: bool(_roles([name])), list))
        return
    form: Form | None = None
    width = 0
    for where, row in _rows(path):
        if form is None:
            width, form = len(row), _form(path, where, row)
            if form is not None:
                continue
            form = {3: (0, 1, 2), 4: (0, 2, 3)}.get(width)
            if form is None:
                raise _refused(where, row, f"found {width} column(s)")
            if not any(character.isdigit() for character in row[-1]):
                raise _refused(where, row, f"found the grade {short(row[-1])} (or a header without known names)")
        if len(row) != width:
            raise _refused(where, row, f"found {len(row)} column(s) after lines of {width}")
        yield where, *_picked(row, form)


def parsed_grade(where: str, grade: Any) -> int:
    """A grade as a number: digits with a sign, perhaps with .0 behind. Raises `BackfireError` for anything else."""
    whole = isinstance(grade, int) and not isinstance(grade, bool)
    if isinstance(grade, float) and grade.is_integer():
        whole, grade = True, int(grade)
    found = _NUMBER.fullmatch(grade) if isinstance(grade, str) else None
    if not whole and not found:
        raise BackfireError(
            f"{where}: found the grade {short(grade) if isinstance(grade, str) else grade}, expected a whole number.",
            "a grade says how relevant the passage is: 0 not at all, 1 or more relevant, written in digits (1.0 counts "
            "as 1).",
        )
    # More digits than any grade has would be refused by Python itself.
    digits = grade if whole else found[1]
    number = int(digits) if whole or len(digits) < 20 else HIGHEST + 1
    if abs(number) > HIGHEST:
        raise BackfireError(
            f"{where}: found the grade {grade}, expected one between -{HIGHEST} and {HIGHEST}.",
            "a grade says how relevant a passage is (0, 1, 2, ...); is this column something else, as a time or an id?",
        )
    return number


def _rows(path: str) -> Iterator[tuple[str, list[str]]]:
    """The columns of every line: by commas in .csv, else by tabs where the first line has one, else by white space."""
    if ending(path, (".csv",)):
        yield from rows(path, ",")
        return
    separator, begun = None, False
    for number, line in lines(path):
        if not begun:
            separator, begun = "\t" if "\t" in line else None, True
        yield f"{path}:{number}", line.split(separator)


def _of_records(path: str, found: Iterator[Record]) -> Iterator[tuple[str, Any, Any, Any]]:
    known: list[str] = []
    form: Form | None = None
    for where, entry in found:
        if form is None or list(entry) != known:
            known = list(entry)
            form = _form(path, where, known, told=form is not None)
            if form is None:
                raise _refused(where, known, "found the names")
        yield where, *_picked(list(entry.values()), form)


def _form(path: str, where: str, names: Sequence[str], told: bool = False) -> Form | None:
    """Which columns hold query, passage and grade, where names say so; None where they do not."""
    roles = _roles(names)
    if 0 not in roles or 1 not in roles:
        return None
    for role, columns in roles.items():
        if len(columns) > 1:
            raise BackfireError(
                f"{where}: the columns {' and '.join(names[column] for column in columns)} could both be the "
                f"{('query', 'passage', 'grade')[role]}.",
                f"leave one of them out; {_FORMS}",
            )
    if 2 not in roles and not told:
        _logger.warning("%s: there is no column of grades; every pair counts as relevant, with grade 1.", path)
    return roles[0][0], roles[1][0], roles[2][0] if 2 in roles else None


def _picked(row: Sequence[Any], form: Form) -> tuple[Any, Any, Any]:
    query, doc, grade = form
    return row[query], row[doc], 1 if grade is None else row[grade]


def _roles(names: Sequence[str]) -> dict[int, list[int]]:
    """Columns by role (0 query, 1 passage, 2 grade): those whose names say so, the plainer names where no better is."""
    plain = [re.sub(r"[ _]", "-", name.strip().casefold()) for name in names]
    roles = {}
    for role, tiers in enumerate((QUERY, DOC, GRADE)):
        for tier in tiers:
            if columns := [column for column, name in enumerate(plain) if name in tier]:
                roles[role] = columns
                break
    return roles


def _identifier(where: str, found: Any) -> str:
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    if not isinstance(found, str) or not found:
        raise BackfireError(
            f"{where}: found the id {found!r}, expected text.",
            "every judgment names a query and a passage; an id that became a number with a point has to be written "
            "again as text.",
        )
    return found


def _refused(where: str, row: Sequence[str], what: str) -> BackfireError:
    run = "; six columns are a run, not judgments" if len(row) == 6 else ""
    return BackfireError(f"{where}: {what} in {short(' | '.join(row))}{run}.", _FORMS)
