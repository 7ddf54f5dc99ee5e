"""The installed packages whose docstrings make up `pydocs`: their versions and their source files.

Loaded whenever the DAG is built, so it uses the standard library only; no package is imported.
"""

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from pathlib import Path

from backfire.errors import BackfireError

# Distribution -> top-level folder of its modules. Each has the same Python sources on every platform (see pydocs).
PACKAGES = {
    "accelerate": "accelerate",
    "datasets": "datasets",
    "huggingface_hub": "huggingface_hub",
    "matplotlib": "matplotlib",
    "networkx": "networkx",
    "numpy": "numpy",
    "pandas": "pandas",
    "peft": "peft",
    "scikit-learn": "sklearn",
    "scipy": "scipy",
    "sentence-transformers": "sentence_transformers",
    "statsmodels": "statsmodels",
    "sympy": "sympy",
    "torch": "torch",
    "transformers": "transformers",
}
# The held-out packages: no training, dev or test query comes from these; their queries are the split `unseen`.
UNSEEN = ("networkx", "sympy")
ABSENT = "absent"

# Tests, code copied from other projects, generated code, and what is installed on some platforms only.
_SKIPPED = re.compile(
    r"/(tests?|_?testing|test_utils|test-examples|_examples|externals|_?vendor|vendored|distutils|_antlr|_generated"
    r"|array_api_compat|array_api_extra|cobyqa|pyprima|clipboard|templates)/"
    r"|^pandas/util/version/"
    r"|/(__config__|_distributor_init|_docscrape|_pep440|_?version|conftest|test_[^/]*)\.py$"
)


def package_versions() -> dict[str, str]:
    """Installed version of every package of `pydocs`, `absent` where there is none."""
    return {name: _version(name) for name in PACKAGES}


def source_files(name: str) -> list[tuple[str, Path]]:
    """(path as `package/folder/module.py`, file) of the modules of a distribution, sorted by that path.

    Taken from the list of installed files, so that stray files in its folder do not count. Raises `BackfireError`
    when the distribution is missing or has no such list.
    """
    files = _distribution(name).files
    if files is None:
        raise BackfireError(
            f"the installed package {name} has no list of its files (RECORD).",
            f"reinstall it with `pip install --force-reinstall {name}=={_version(name)}`.",
        )
    chosen = {entry.as_posix(): entry for entry in files if _wanted(entry.as_posix(), PACKAGES[name])}
    return [(path, Path(chosen[path].locate())) for path in sorted(chosen)]


def _version(name: str) -> str:
    try:
        return version(name).split("+")[0]
    except PackageNotFoundError:
        return ABSENT


def _distribution(name: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError as error:
        raise BackfireError(
            f"the collection pydocs is made of installed packages, and {name} is not installed.",
            "install Backfire with its dependencies into this environment.",
        ) from error


def _wanted(path: str, package: str) -> bool:
    return path.startswith(f"{package}/") and path.endswith(".py") and not _SKIPPED.search(path)
