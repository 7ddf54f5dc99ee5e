"""Which files of a local folder hold its passages, queries and judgments.

BEIR's names come first (corpus.jsonl, queries.jsonl, qrels/<split>.tsv); read are those of other tools too, as long as
there is one answer. Two files that could each be meant are refused, and so is a corpus of which a piece is missing.
Loaded whenever the DAG is built, so it uses the standard library only.
"""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path

from backfire.errors import BackfireError

# Endings of what is read; each but Parquet may be followed by .gz.
RECORDS = (".jsonl", ".json", ".parquet", ".tsv", ".csv")
JUDGMENTS = (".tsv", ".csv", ".txt", ".qrels", ".qrel", ".trec", ".jsonl", ".json", ".parquet")
# Names of the files, or folders of pieces, that hold all passages, or queries of every split.
CORPUS, QUERIES = ("corpus", "collection"), ("queries", "topics")
# Names of pieces that say nothing about a split, as those that Spark and the hub's datasets write.
_PIECES = {"", *QUERIES, "query", "part", "data", "chunk", "shard"}
_PIECE = re.compile(r"(?P<base>.*?)[-_.]?(?P<number>\d{1,9})(?:-of-(?P<of>\d{1,9}))?")
# Other names that people give to what belongs in such a file.
_ALIKE = {
    "corpus": {"documents", "document", "docs", "passages", "articles", "corpora", "data"},
    "queries": {"query", "questions", "question", "topic", "claims"},
}
# Beside data, and none themselves.
_ASIDE = re.compile(r"[._].*|readme.*|licen[cs]e.*|.*\.(md|crc|sha256|md5)", re.IGNORECASE)
_OTHERWISE = {
    ".arrow": "save it as Parquet (`dataset.to_parquet(...)`)",
    ".zip": "unpack it",
    ".tar": "unpack it",
    ".tgz": "unpack it",
    ".gz": "unpack it",
    ".bz2": "unpack it, or pack it with gzip",
    ".xz": "unpack it, or pack it with gzip",
    ".zst": "unpack it, or pack it with gzip",
    ".xml": "write its texts as JSON lines with _id and text",
}
_LAYOUT = (
    "a folder in BEIR layout holds corpus.jsonl, queries.jsonl and qrels/<split>.tsv; splits in the configuration name "
    "the files under qrels/ without .tsv. docs/inputs.md shows all that is read."
)


def corpus_files(folder: str) -> list[str]:
    """The files that hold the passages of a folder, in their order.

    Raises `BackfireError`, as all functions here do, when there are none, when it cannot be told which are meant, and
    when one of several pieces is missing; it lists what the folder holds.
    """
    root = Path(folder)
    found = [group for name in CORPUS for group in (*_named(root, name, RECORDS), _within(root / name))]
    return _only(found, folder, "corpus.jsonl", RECORDS)


def queries_files(folder: str, split: str) -> list[str]:
    """The files that hold the queries of a split: those of all splits, or its own."""
    root, name = Path(folder), _name(split)
    found = []
    for each in QUERIES:
        for stem in (each, *_joined(each, name)):
            found += _named(root, stem, RECORDS)
        found += _named(root / each, name, RECORDS)
        pieces = [path for path in _files(root / each) if ending(path, RECORDS)]
        found.append([path for path in pieces if _kin(path) in _PIECES - {name}])
    return _only(found, folder, "queries.jsonl", RECORDS)


def qrels_files(folder: str, split: str) -> list[str]:
    """The files that hold the judgments of a split, which is a name under qrels/, or the path of a file in the folder.

    Where qrels/ has none the file may lie beside the corpus, or in the folders that the hub's datasets have.
    """
    root, name = Path(folder), _name(split)
    if name != split and (root / split).is_file():
        return [f"{folder}/{split}"]
    found = _named(root / "qrels", name, JUDGMENTS)
    for stem in _joined("qrels", name):
        found += _named(root, stem, JUDGMENTS)
    if not any(found):
        found = [group for place in (root, root / "default", root / "data") for group in _named(place, name, JUDGMENTS)]
    return _only(found, folder, f"qrels/{name}.tsv", JUDGMENTS)


def ending(path: str | Path, known: Iterable[str]) -> str | None:
    """How the name of a file ends, without .gz, where it is one of `known`; None where it is not."""
    name = Path(path).name
    plain = name.removesuffix(".gz")
    return next((each for each in known if plain.endswith(each) and not (each == ".parquet" and plain != name)), None)


def _name(split: str) -> str:
    """The name of a split that may be given as the path of its file."""
    kind = ending(split, JUDGMENTS)
    return Path(split).name.removesuffix(".gz").removesuffix(kind) if kind else split


def _joined(part: str, split: str) -> list[str]:
    """Names of a file of one part and split, as queries.dev.tsv or dev-qrels.tsv."""
    return [f"{first}{sign}{last}" for first, last in ((part, split), (split, part)) for sign in ".-_"]


def _stem(path: Path, known: Iterable[str]) -> str:
    return path.name.removesuffix(".gz").removesuffix(ending(path, known) or "")


def _kin(path: Path) -> str:
    """What the name of a piece begins with, as queries of queries-00000-of-00002.parquet."""
    piece = _PIECE.fullmatch(_stem(path, RECORDS))
    return piece["base"].split("-")[0] if piece else _stem(path, RECORDS)


def _named(place: Path, stem: str, known: tuple[str, ...]) -> list[list[Path]]:
    """Files of that name in a folder, and the numbered pieces of it."""
    files = [path for path in _files(place, deep=False) if ending(path, known)]
    pieces = {path: _PIECE.fullmatch(_stem(path, known)) for path in files}
    return [
        [path for path in files if _stem(path, known) == stem],
        [path for path, piece in pieces.items() if piece and piece["base"] == stem],
    ]


def _within(place: Path) -> list[Path]:
    """All files of a folder that holds nothing but pieces of one thing; none where there is no such folder."""
    files = list(_files(place))
    if not any(ending(path, RECORDS) for path in files):
        return []
    for path in files:
        if ending(path, RECORDS) is None:
            raise BackfireError(
                f"{path}: lies among the pieces of {place} and is of no kind that is read.",
                f"{_OTHERWISE.get(path.suffix, 'move it elsewhere, or write it as the other pieces are')}; read are "
                f"{', '.join(RECORDS)}, also packed with gzip (.gz).",
            )
    return files


def _files(place: Path, deep: bool = True) -> Iterator[Path]:
    """The files below a folder, or in it alone, that could be data, in the order of their names, 2 before 10."""
    found = place.rglob("*") if deep else place.glob("*")
    names = {path.relative_to(place).as_posix(): path for path in found if path.is_file()}
    for name in sorted(names, key=_natural):
        if not any(_ASIDE.fullmatch(part) for part in Path(name).parts):
            yield names[name]


def _natural(name: str) -> list[tuple[int, str]]:
    # A run of digits by its value; what is between them as text.
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _only(found: list[list[Path]], folder: str, expected: str, known: tuple[str, ...]) -> list[str]:
    """The one group of files among those found, whole, as paths."""
    groups = list(dict.fromkeys(tuple(group) for group in found if group))
    if not groups:
        raise _nothing(folder, expected, known)
    first = groups[0]
    rivals = _rivals(first, known) or tuple(group[0] for group in groups[:2])
    if len(rivals) > 1:
        one, other = (f"{folder}/{path.relative_to(folder).as_posix()}" for path in rivals)
        raise BackfireError(
            f"{one} and {other} are both there, and one of them would be passed over.",
            "remove or rename the one that is not meant.",
        )
    _check_whole(first, known)
    return [f"{folder}/{path.relative_to(folder).as_posix()}" for path in first]


def _rivals(group: tuple[Path, ...], known: tuple[str, ...]) -> tuple[Path, ...]:
    """Two files of a group that may be the same thing twice: plain and packed, or of two kinds."""
    seen: dict[tuple[Path, str], Path] = {}
    for path in group:
        if ending(path, known) != ending(group[0], known):
            return group[0], path
        place = path.parent, _stem(path, known)
        if place in seen:
            return seen[place], path
        seen[place] = path
    return ()


def _check_whole(group: tuple[Path, ...], known: tuple[str, ...]) -> None:
    """Raise where numbered pieces have a gap, or are fewer than their names say."""
    numbered: dict[tuple, set[int]] = {}
    for path in group:
        if piece := _PIECE.fullmatch(_stem(path, known)):
            numbered.setdefault((path.parent, piece["base"], piece["of"]), set()).add(int(piece["number"]))
    for (place, base, of), numbers in numbered.items():
        first, last = min(numbers), max(numbers)
        if of is not None:
            # They count from 0, or from 1.
            first = int(0 not in numbers and int(of) in numbers)
            last = first + int(of) - 1
        if lacking := sorted(set(range(first, last + 1)) - numbers):
            raise BackfireError(
                f"{place}: of the pieces {base or '<number>'}... there are the numbers "
                f"{', '.join(map(str, sorted(numbers)[:8]))}{', ...' if len(numbers) > 8 else ''}, and {lacking[0]} is "
                f"missing{f' ({len(lacking)} are)' if len(lacking) > 1 else ''}{f' of {int(of)}' if of else ''}.",
                "fetch what is missing; where the numbers mean something else, rename the files.",
            )


def _nothing(folder: str, expected: str, known: tuple[str, ...]) -> BackfireError:
    """What to say where nothing is found: what the folder holds, and what comes nearest."""
    files = [path.relative_to(folder).as_posix() for path in _files(Path(folder))]
    holds = ", ".join(files[:12]) + (f" and {len(files) - 12} more" if len(files) > 12 else "")
    return BackfireError(
        f"{folder}/{expected}: there is no such file, nor another one that is read in its place; the folder holds "
        f"{holds or 'none of that kind'}.",
        f"{_nearest(files, expected, known)}{_LAYOUT}",
    )


def _nearest(files: list[str], expected: str, known: tuple[str, ...]) -> str:
    """The start of a hint: what to do with the file that comes nearest to the expected one; empty where none does."""
    stems = {name: _stem(Path(name), known) for name in files if ending(name, known)}
    if expected.startswith("qrels/"):
        judged = [stem for name, stem in stems.items() if name.startswith("qrels")]
        if judged:
            near = get_close_matches(Path(expected).stem, judged, 1)
            return f"did you mean '{near[0]}'? " if near else f"qrels that are there: {', '.join(judged[:8])}; "
    else:
        part = Path(expected).stem
        for name, stem in stems.items():
            if stem.lower() in _ALIKE[part] or get_close_matches(stem.lower(), [part], 1, 0.7):
                return f"if {name} is meant, name it {part}{Path(name).name[len(stem) :]}; "
    for name in files:
        if Path(name).suffix in _OTHERWISE and not ending(name, known):
            return f"if {name} is meant, {_OTHERWISE[Path(name).suffix]}; "
    return ""
