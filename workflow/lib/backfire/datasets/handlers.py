"""Inside `ir_datasets`: what a part of a dataset reads from."""

from collections.abc import Iterator
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import ir_datasets
from ir_datasets.datasets.base import Concat, Dataset
from ir_datasets.util import DownloadConfig, Lazy
from ir_datasets.util.registry import Registry

PARTS = ("docs", "queries", "qrels", "docpairs")
_Found = tuple[Any, tuple[Any, ...]]


def sources_beneath(
    node: Any, parts: tuple[str, ...], kinds: tuple[type, ...], keepers: tuple[type, ...], around: tuple[Any, ...] = ()
) -> Iterator[_Found]:
    """Every object of `kinds` that `node` may read from, with the `keepers` around it, outermost first.

    `node` is a handler. Walked are the attributes of `ir_datasets`' own classes, containers, and what deferred
    functions (as those that tell the queries of a filtered set) mention; of a dataset within, its `parts`.
    """
    return _walk(node, parts, kinds, keepers, around, set())


def _walk(node, parts, kinds, keepers, around, seen) -> Iterator[_Found]:
    here = (id(node), parts, tuple(map(id, around)))
    if here in seen or any(node is each for each in around):
        return
    seen.add(here)
    children: list[tuple[Any, tuple[str, ...]]] = []
    if isinstance(node, kinds):
        yield node, around
    elif isinstance(node, Dataset):
        children = [(each, (part,)) for part in parts for each in _providers(node, part)]
    elif isinstance(node, (list, tuple, set, frozenset)):
        children = [(each, parts) for each in node]
    elif isinstance(node, dict):
        children = [(each, parts) for each in node.values()]
    elif isinstance(node, MethodType):
        children = [(node.__self__, parts)]
    elif isinstance(node, FunctionType):
        children = list(_mentioned(node))
    elif isinstance(node, Lazy):
        children = [(node._fn, parts)]
    elif _is_theirs(node):
        around = (*around, node) if isinstance(node, keepers) else around
        children = [(each, parts) for each in vars(node).values()]
    for child, wanted in children:
        yield from _walk(child, wanted, kinds, keepers, around, seen)


def _providers(dataset: Dataset, part: str) -> Iterator[Any]:
    """What a dataset takes a part from: the first constituent that has it, or all where they are concatenated."""
    for each in dataset._constituents:
        if hasattr(each, f"{part}_handler"):
            yield each if isinstance(each, Dataset) else getattr(each, f"{part}_handler")()
            if not isinstance(dataset, Concat):
                return


def _is_theirs(node: Any) -> bool:
    """Whether an object is one of `ir_datasets` or ours with attributes to follow; a table of all ids is not."""
    theirs = type(node).__module__.split(".")[0] in ("ir_datasets", "backfire")
    return theirs and hasattr(node, "__dict__") and not isinstance(node, (Registry, type(DownloadConfig)))


def _mentioned(function: FunctionType) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """(object, parts) that a function reads: its free and global variables, and datasets by their id.

    Of a table (datasets of a family, downloads) those entries that a string constant of the function names; the parts
    are those whose methods it names (`qrels_iter`), all of them where it names none.
    """
    codes = list(_codes(function.__code__))
    names = {name for code in codes for name in code.co_names}
    constants = [text for code in codes for text in code.co_consts if isinstance(text, str)]
    parts = tuple(part for part in PARTS if any(name.split("_")[0] == part for name in names)) or PARTS
    variables = [function.__globals__[name] for name in names if name in function.__globals__]
    for cell in function.__closure__ or ():
        try:
            variables.append(cell.cell_contents)
        except ValueError:  # not assigned yet
            continue
    for value in variables:
        if isinstance(value, dict):
            yield from ((value[text], parts) for text in constants if text in value)
        elif isinstance(value, type(DownloadConfig)):
            yield from ((value[text], parts) for text in constants if text in value.contents())
        elif not isinstance(value, (ModuleType, type)):
            yield value, parts
    if constants:
        known = set(ir_datasets.registry)
        yield from ((ir_datasets.load(text), parts) for text in constants if text in known)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
