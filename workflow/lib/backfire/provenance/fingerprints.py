"""Digests of code, files and settings: what decides whether a result is still valid."""

import ast
import hashlib
import json
import platform
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from backfire.errors import BackfireError
from backfire.formats.atomic import write_json
from backfire.formats.sums import file_digest

PACKAGE = "backfire"
# Another way to take digests is another digest.
_SELF = Path(__file__).read_bytes()
# Packages that show, lock, pin threads, or fetch what a checksum is held against: they decide no bytes.
_NEUTRAL = {"filelock", "huggingface_hub", "threadpoolctl", "tqdm"}
# Distributions behind an imported name: its own where that is called otherwise, and those it leaves its sums to.
_DISTRIBUTIONS = {
    "bm25s": ("bm25s", "numba", "scipy"),
    "faiss": ("faiss-cpu", "faiss-gpu"),
    "ir_measures": ("ir_measures", "pytrec_eval-terrier"),
    "sklearn": ("scikit-learn",),
    "umap": ("umap-learn", "numba", "pynndescent", "scikit-learn", "scipy"),
    "yaml": ("PyYAML",),
}
# Positions and spellings that do not change what code does, or differ between Python minors.
_IGNORED_FIELDS = {"ctx", "kind", "type_comment", "type_ignores"}


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    return file_digest(path)


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
    found = {package: _version(package) for package in packages}
    return {"python": platform.python_version()} | {package: found[package] for package in packages if found[package]}


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def fingerprint(script: str | Path, library: str | Path, memory: str | Path | None = None) -> str:
    """What a script computes with: `code_digest`, and the versions of the packages that this code imports.

    As `<digest> numpy==2.4.6 scipy==1.17.1`, so that a dry run shows what was upgraded. Packages that decide no bytes
    are left out (see `_NEUTRAL`), and so are those that are not installed here, as where each rule has an environment
    of its own. A package's build (`+cpu`) does not count, nor does Python's version. Nothing is imported.
    """
    modules = _modules(script, library, memory)
    pins = [f"{name}=={found.split('+')[0]}" for name in _packages(modules) if (found := _version(name))]
    return " ".join([_digest(modules), *pins])


def imported_packages(script: str | Path) -> list[str]:
    """The packages whose versions `fingerprint` tells, for a script that runs with this library; installed or not."""
    return _packages(_modules(script, Path(__file__).parents[2], None))


def _packages(modules: dict[str, tuple[str, list[str]]]) -> list[str]:
    imported = {name.split(".")[0] for _, names in modules.values() for name in names}
    outside = imported - sys.stdlib_module_names - _NEUTRAL - {PACKAGE}
    return sorted({package for name in outside for package in _DISTRIBUTIONS.get(name, (name,))})


def code_digest(script: str | Path, library: str | Path, memory: str | Path | None = None) -> str:
    """Fingerprint of a script and of every library module that it imports, directly or through others.

    `library` is the folder that holds the package. Taken over the syntax trees without positions, comments and
    docstrings, so a comment or a touch keeps it and a change of logic any number of imports away changes it.
    Imports inside functions count; modules from outside the package do not. `memory` names a file that remembers
    what was found in files of the same bytes, which spares parsing them for every dry run; it may be deleted.
    """
    return _digest(_modules(script, library, memory))


def _modules(script: str | Path, library: str | Path, memory: str | Path | None) -> dict[str, tuple[str, list[str]]]:
    """Digest of the tree and names imported, of the script (as `script`) and every library module that it reaches."""
    script, library = Path(script).resolve(), Path(library).resolve()
    known = _Memory.of(memory)
    seen: dict[Path, tuple[str, list[str]]] = {}
    pending = [script]
    while pending:
        path = pending.pop()
        if path not in seen:
            seen[path] = known.facts(path)
            pending.extend(file for name in seen[path][1] for file in known.files(name, library))
    known.save()
    return {"script" if path == script else path.relative_to(library).as_posix(): seen[path] for path in seen}


def _digest(modules: dict[str, tuple[str, list[str]]]) -> str:
    return value_digest({name: digest for name, (digest, _) in modules.items()})


class _Memory:
    """For files of Python, the digest of their tree and the names they import, kept by the digest of their bytes."""

    def __init__(self, path: Path | None):
        self._path, self._new = path, False
        self._found: dict[str, list] = {}
        if path is not None:
            # Whatever is wrong with the file, parsing again is right.
            with suppress(OSError, ValueError):
                self._found = json.loads(path.read_text(encoding="utf-8"))
        self._read, self.files = cache(self._read_file), cache(_package_files)

    @classmethod
    @cache
    def of(cls, path: str | Path | None) -> "_Memory":
        """The memory in a file, read once; without a file, one of this process."""
        return cls(None if path is None else Path(path))

    def facts(self, path: Path) -> tuple[str, list[str]]:
        """Digest of the tree of the file at `path`, and the names of what it imports."""
        return self._read(path)

    def save(self) -> None:
        """Write what was found since the last time; a folder that cannot be written to does no harm."""
        if self._new and self._path is not None:
            with suppress(OSError, BackfireError):
                write_json(self._path, self._found, sealed=False)
            self._new = False

    def _read_file(self, path: Path) -> tuple[str, list[str]]:
        text = path.read_bytes()
        key = hashlib.sha256(_SELF + text).hexdigest()
        if key not in self._found:
            tree = ast.parse(text, filename=str(path))
            digest = hashlib.sha256(repr(_canonical(tree)).encode()).hexdigest()
            self._found[key], self._new = [digest, _imported_names(tree, path)], True
        digest, names = self._found[key]
        return digest, names


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


def _imported_names(tree: ast.Module, path: Path) -> list[str]:
    """What a module imports: modules, or names in them."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{path}: relative import; the package uses absolute imports only")
            names.add(node.module or "")
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return sorted(names)


def _package_files(name: str, library: Path) -> list[Path]:
    """The file of a module or package of ours of that name; none for any other name."""
    if name.split(".")[0] != PACKAGE:
        return []
    module = library.joinpath(*name.split("."))
    return [path for path in (module.with_suffix(".py"), module / "__init__.py") if path.is_file()]
