"""Digests of code, files and settings: what decides whether a result is still valid."""

import ast
import hashlib
import json
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGE = "backfire"
# Positions and spellings that do not change what code does, or differ between Python minors.
_IGNORED_FIELDS = {"ctx", "kind", "type_comment", "type_ignores"}


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def value_digest(value: Any) -> str:
    """SHA-256 of plain data (dicts, lists, strings, numbers, booleans, None), independent of key order."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def plain(value: Any) -> Any:
    """A copy of plain data with every dict's keys in sorted order: Snakemake compares params by their `repr`."""
    if isinstance(value, dict):
        return {key: plain(value[key]) for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def installed_versions(packages: list[str]) -> dict[str, str]:
    """Versions of Python and of those packages that are installed."""
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def code_digest(script: str | Path, library: str | Path) -> str:
    """Fingerprint of a script and of every library module that it imports, directly or through others.

    `library` is the folder that holds the package. Taken over the syntax trees without positions, comments and
    docstrings, so a comment or a touch keeps it and a change of logic any number of imports away changes it.
    Imports inside functions count; modules from outside the package do not.
    """
    script, library = Path(script).resolve(), Path(library).resolve()
    seen: set[Path] = set()
    pending = [script]
    while pending:
        path = pending.pop()
        if path not in seen:
            seen.add(path)
            pending.extend(_imports(path, library))
    modules = {
        "script" if path == script else path.relative_to(library).as_posix(): _tree_digest(path) for path in seen
    }
    return value_digest(modules)


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def _tree_digest(path: Path) -> str:
    return hashlib.sha256(repr(_canonical(_tree(path))).encode()).hexdigest()


def _canonical(node: Any) -> Any:
    """The tree as nested tuples, without whatever does not change its meaning."""
    if isinstance(node, list):
        return tuple(_canonical(item) for item in node)
    if not isinstance(node, ast.AST):
        return (type(node).__name__, repr(node))
    fields = []
    for name, value in ast.iter_fields(node):
        if name in _IGNORED_FIELDS or value is None or value == []:
            continue
        if name == "body" and _has_docstring(node):
            value = value[1:]
        fields.append((name, _canonical(value)))
    return (type(node).__name__, *fields)


def _has_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and bool(node.body)
        and isinstance(node.body[0], ast.Expr)
        and isinstance(node.body[0].value, ast.Constant)
        and isinstance(node.body[0].value.value, str)
    )


@cache
def _imports(path: Path, library: Path) -> tuple[Path, ...]:
    """Files of the package that the module at `path` imports."""
    names: set[str] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{path}: relative import; the package uses absolute imports only")
            names.add(node.module or "")
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    found = []
    for name in sorted(names):
        parts = name.split(".")
        if parts[0] != PACKAGE:
            continue
        module = library.joinpath(*parts)
        for candidate in (module.with_suffix(".py"), module / "__init__.py"):
            if candidate.is_file():
                found.append(candidate)
    return tuple(found)
