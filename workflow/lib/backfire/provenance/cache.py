"""Results of jobs kept outside every study, so that another study or another folder need not compute them again.

The key of an entry is the SHA-256 of all that decides the bytes of a job's outputs: settings, code, versions of
packages, contents of inputs. Inputs and outputs go by their roles, and no path of a study is part of it. Whatever is
wrong with the cache, the job computes.
"""

import errno
import hashlib
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from backfire.errors import BackfireError
from backfire.formats.atomic import read_json, replacing, write_json
from backfire.jobs.locks import alone
from backfire.provenance.fingerprints import file_sha256, imported_packages, installed_versions, plain, value_digest

# The folder of the cache. Not a setting of a study: where results come from must run nothing again.
VARIABLE = "BACKFIRE_CACHE"
# No role has a hyphen, so no output is called that.
MANIFEST = "made-of.json"
# Another layout of entries, or another way to take keys, is another number.
_FORMAT = 1
# What only words the terminal.
_SILENT = {"label"}
_READ = 1 << 20
_ADVICE = f"look at the folder that {VARIABLE} names: its rights, its room, whether its file system has locks"

Files = Mapping[str, str | Sequence[str]]

logger = logging.getLogger(__name__)


class _Damaged(BackfireError):
    """An entry that does not hold what was put into it. No error of the output that is being written from it."""

    def __init__(self, message: str):
        super().__init__(message, _ADVICE)


@contextmanager
def compute(inputs: Files, outputs: Files) -> Iterator[bool]:
    """As `reusing`, without a cache."""
    yield False


@contextmanager
def reusing(
    rule: str,
    cfg: Mapping[str, Any] | None,
    code: str,
    script: str,
    inputs: Files,
    outputs: Files,
    facts: Callable[[], dict[str, Any]] = dict,
    when: bool = True,
) -> Iterator[bool]:
    """Write the `outputs` from the cache and give True, or give False and keep what the body writes to them.

    `inputs` and `outputs` are files by their role, one or several in order. `cfg` and `code` are the rule's params,
    `script` the rule's script, since the packages that it imports may be others here than where the engine runs, and
    `facts()` plain data: whatever else decides the bytes.
    Without a cache, or not `when`, gives False and does nothing else. Of two jobs with the same key the second waits
    for the first. An entry that is damaged is removed and made anew; a cache that cannot be used is a warning.
    """
    root = os.environ.get(VARIABLE)
    if not root or not when:
        yield False
        return
    files = _named(outputs)
    made_of = plain(
        {
            "format": _FORMAT,
            "rule": rule,
            "settings": {name: value for name, value in (cfg or {}).items() if name not in _SILENT},
            "code": code,
            "packages": installed_versions(imported_packages(script)),
            "inputs": {name: file_sha256(path) for name, path in _named(inputs).items()},
            "outputs": list(files),
            "facts": facts(),
        }
    )
    key = value_digest(made_of)
    entry = Path(root).expanduser() / key[:2] / key
    # What is there needs no lock, so that a cache that may only be read is of use.
    if _take(entry, made_of, files):
        yield True
        return
    # Without locks two would compute the same, and no more harm.
    with alone(entry.with_name(f"{key}.lock"), "another job computes the same", _ADVICE):
        found = _take(entry, made_of, files)
        yield found
        if not found:
            _keep(entry, made_of, files)


def reusing_of(script: str, params: Any) -> Callable[..., AbstractContextManager[bool]]:
    """`reusing` for the jobs of a rule's `script`, with the `cfg` and the `code` of its `params`."""
    # The engine runs a copy, with something random and a dot before its name.
    rule = Path(script).stem.rpartition(".")[2]
    return partial(reusing, rule=rule, cfg=params.get("cfg"), code=params.code, script=script)


def _named(files: Files) -> dict[str, Path]:
    """The files by name within an entry: their role, a number where there are several, and their suffix."""
    found = {}
    for role, paths in files.items():
        several = [(role, paths)] if isinstance(paths, str) else [(f"{role}-{n}", p) for n, p in enumerate(paths, 1)]
        found |= {f"{name}{Path(path).suffix}": Path(path) for name, path in several}
    return found


def _take(entry: Path, made_of: dict, files: dict[str, Path]) -> bool:
    """Whether the outputs are now what the entry holds."""
    if not entry.is_dir():
        return False
    try:
        sums = _sums(entry, made_of)
        for name, path in files.items():
            with replacing(path) as temporary:
                if _copied(entry / name, temporary) != sums[name]:
                    raise _Damaged(f"{name} is not the file that was kept")
    except _Damaged as error:
        logger.warning("%s is damaged, is removed and will be made anew: %s", entry, error.message)
        shutil.rmtree(entry, ignore_errors=True)
        return False
    # Tells which entries are in use.
    with suppress(OSError):
        os.utime(entry)
    logger.info("reused from %s", entry)
    return True


def _keep(entry: Path, made_of: dict, files: dict[str, Path]) -> None:
    """Make the entry; if another process was first, leave that one."""
    partial = entry.with_name(f".{entry.name}.{secrets.token_hex(8)}")
    try:
        # What killed jobs left, since no other has the lock.
        for leftover in entry.parent.glob(f".{entry.name}.*"):
            shutil.rmtree(leftover, ignore_errors=True)
        partial.mkdir(parents=True)
        sums = {name: _copied(path, partial / name) for name, path in files.items()}
        write_json(partial / MANIFEST, {"made of": made_of, "files": sums})
        partial.rename(entry)
        logger.info("kept as %s", entry)
    except (OSError, BackfireError) as error:
        if getattr(error, "errno", None) in (errno.EEXIST, errno.ENOTEMPTY):
            logger.info("another job was first to keep %s", entry)
        else:
            logger.warning("not kept as %s: %s; %s", entry, getattr(error, "message", error), _ADVICE)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _sums(entry: Path, made_of: dict) -> dict[str, list]:
    """[SHA-256, bytes] of each file of an entry, after its manifest."""
    try:
        manifest = read_json(entry / MANIFEST)
    except BackfireError as error:
        raise _Damaged(error.message) from error
    if not isinstance(manifest, dict) or manifest.get("made of") != made_of:
        raise _Damaged(f"{MANIFEST} is that of another entry")
    return manifest["files"]


def _copied(source: Path, target: Path) -> list:
    """Copy a file; gives [SHA-256, bytes] of what was read. A copy and no link: an entry must not change with it."""
    found, size = hashlib.sha256(), 0
    with target.open("wb") as stream:
        for block in _blocks(source):
            found.update(block)
            size += stream.write(block)
    return [found.hexdigest(), size]


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            while block := stream.read(_READ):
                yield block
    except OSError as error:
        raise _Damaged(f"{path.name} cannot be read ({error.strerror})") from error
