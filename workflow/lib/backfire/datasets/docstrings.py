"""Docstrings of a Python source as (query, passage) pairs, read from its syntax tree without importing it."""

import ast
import re
import warnings
from collections.abc import Iterator
from typing import NamedTuple

MIN_PASSAGE_WORDS = 15
QUERY_WORDS = range(3, 65)

_BLANK_LINE = re.compile(r"\n[ \t]*\n")
# A first paragraph that is a section of the docstring, or the first of a list of arguments, sums nothing up.
_SECTION = re.compile(
    r"(Arg|Argument|Attribute|Example|Input|Kwarg|Note|Option|Output|Parameter|Raise|Return|Usage|Yield)s?"
    r"\s*(:|-{3}|={3}|~{3})|\*{0,2}\w+ \(`"
)


class Pair(NamedTuple):
    """A documented object: its qualified name, its summary as a query, and the rest of its docstring."""

    name: str
    query: str
    passage: str


def pairs(source: bytes, path: str) -> Iterator[Pair]:
    """Pairs of the modules, classes and functions of `source` in source order.

    `path` is the file as `package/folder/module.py`. The query is the first paragraph and the passage all that follows,
    both with white space collapsed; where the passage repeats the query word for word, the repetition is cut out.
    Docstrings whose first paragraph is no summary (see `QUERY_WORDS`, `_SECTION`) or that have fewer than
    `MIN_PASSAGE_WORDS` words left are passed over, and so are sources that do not parse.
    """
    if b'"""' not in source and b"'''" not in source:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes: some Python minors warn, others do not
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for name, docstring in _docstrings(tree, module_name(path)):
        pair = split_docstring(docstring)
        if pair is not None:
            yield Pair(name, *pair)


def module_name(path: str) -> str:
    """`numpy/linalg/__init__.py` as `numpy.linalg`."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def split_docstring(docstring: str) -> tuple[str, str] | None:
    """(query, passage) of a docstring, or None where there is no summary or too little text after it."""
    # Lines need no dedent since white space is collapsed; `inspect.cleandoc` differs between Python minors.
    first, *rest = _BLANK_LINE.split(docstring.strip(), maxsplit=1)
    query = " ".join(first.split())
    if not rest or len(query.split()) not in QUERY_WORDS or _SECTION.match(query):
        return None
    passage = " ".join(rest[0].split())
    if query in passage:
        passage = " ".join(re.sub(rf"(?<!\w){re.escape(query)}(?!\w)", " ", passage).split())
    return (query, passage) if len(passage.split()) >= MIN_PASSAGE_WORDS else None


def _docstrings(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    """(qualified name, raw docstring) of a tree and of what is defined in it, in source order."""
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        match node.body:
            case [ast.Expr(value=ast.Constant(value=str(docstring))), *_]:
                yield name, docstring
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _docstrings(child, f"{name}.{child.name}")
        elif isinstance(child, (ast.stmt, ast.excepthandler, ast.match_case)):
            yield from _docstrings(child, name)
