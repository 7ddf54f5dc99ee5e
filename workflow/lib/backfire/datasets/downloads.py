"""What an `ir_datasets` id needs from the network: what is missing, fetching it, and refusing to go on without it.

`ir_datasets` downloads on first use, whichever job that is. Here its handlers are walked for the downloads they would
make, so that one rule fetches them all and every other job can be sure to need no network. A `Download` with a path
stays under the home of `ir_datasets`; one without is temporary, and the `Cache` around it is what stays.
"""

import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ir_datasets
from ir_datasets.datasets.base import ExpectedFile
from ir_datasets.util import Cache, Download, LocalDownload, RequestsDownload, TarExtractAll, ZipExtractCache
from ir_datasets.util.fileio import ReTar
from ir_datasets.util.hash import HashVerificationError

from backfire.datasets.archives import stay_in_folders
from backfire.datasets.handlers import sources_beneath
from backfire.datasets.ids import check_needs, registered
from backfire.datasets.wording import docs_of
from backfire.errors import BackfireError
from backfire.formats.atomic import read_json, write_json
from backfire.formats.sums import file_digest

# What keeps the result of reading something beneath it, and the attribute with the path it is kept at.
KEEPERS = {Cache: "_path", TarExtractAll: "_extract_path", ZipExtractCache: "extract_path", ReTar: "_output_file"}
RECORD = "download.json"
TARGET = f"data/<collection>/{RECORD}"
stay_in_folders()


@dataclass(frozen=True)
class Missing:
    """A file that is not there: where from, where it belongs, its size in bytes where that is known.

    `path` is where a person may put it. `temporary` says that it is only read once, into `keeps`.
    """

    url: str | None
    path: str | None
    bytes: int | None
    temporary: bool
    keeps: str | None
    command: str | None

    def __str__(self) -> str:
        size = f"{ir_datasets.util.format_file_size(self.bytes)}, " if self.bytes else ""
        return f"{self.path or self.keeps} ({size}{self.url or 'not for download: see https://ir-datasets.com'})"


def lacking(needs: Mapping[str, Iterable[str]], texts: Collection[str]) -> list[Missing]:
    """What has to be downloaded before the `needs` {id: parts} can be read (parts: docs, queries, qrels, docpairs).

    `texts` are the text variants that `docs` are read in. Nothing is downloaded. A file that several parts share is
    listed once.
    """
    return _unsettled(_needs(needs, texts))


def missing(source: str, parts: Iterable[str], text: str = "default") -> list[Missing]:
    """What has to be downloaded before the `parts` of one id can be read (see `lacking`)."""
    return lacking({source: parts}, [text])


def require(source: str, parts: Iterable[str], text: str = "default") -> None:
    """Raise one `BackfireError` that lists every missing file with its size, and how to fetch it."""
    sources = list(_needs({source: parts}, [text]))
    if files := _unsettled(sources):
        raise _error(f"'{source}' is not all on this machine", files, TARGET)
    for each in sources:
        each.admit_local_copy()


def fetch(
    needs: Mapping[str, Iterable[str]], texts: Collection[str] = ("default",), target: str = TARGET
) -> list[dict]:
    """Download what `needs` {id: parts} lacks, and describe all of it: file (under the home), bytes, md5, url.

    Files are checked against the MD5 that `ir_datasets` knows, also those that were there; a wrong download leaves no
    file. One process downloads at a time; what a killed one left is overwritten. Raises `BackfireError` that lists
    everything still missing when a download fails.
    """
    from filelock import FileLock

    with FileLock(ir_datasets.util.home_path() / "backfire.lock"):
        sources = list(_needs(needs, texts))
        # What is made from a temporary file may read the others.
        for each in sorted(sources, key=lambda each: each.temporary):
            try:
                each.admit_local_copy()
                each.settle()
            except Exception as error:
                raise _error(_reason(each, error), _unsettled(sources), target) from error
        files = {path: each for each in sources if (path := each.kept_file)}
        return [_description(path, each) for path, each in sorted(files.items())]


def download_collection(corpus: str, needs: Mapping[str, Iterable[str]], texts: Collection[str], output: str) -> None:
    """Fetch everything that a collection needs (see `fetch`), and write to `output` what that is.

    What is no id, lacks a part or belongs to another corpus is told before anything is downloaded.
    """
    check_needs(corpus, needs)
    files = fetch(needs, texts, output)
    write_json(output, {"files": files, "bytes": sum(file["bytes"] for file in files)})


def recorded(output: str, source: str, parts: Iterable[str], text: str = "default") -> dict[str, str]:
    """{file: MD5} of what the `parts` of one id are read from, as `download_collection` wrote it to `output`."""
    names = {_name(path) for each in _needs({source: parts}, [text]) if (path := each.kept_file)}
    return {file["file"]: file["md5"] for file in read_json(output)["files"] if file["file"] in names}


@dataclass(frozen=True)
class _Source:
    """A download (or a file that a person has to provide) and the keepers around it, outermost first."""

    node: Any
    keepers: tuple[Any, ...]

    @property
    def own_path(self) -> str | None:
        path = self.node._path if isinstance(self.node, ExpectedFile) else self.node._cache_path
        return None if path is None else str(path)

    @property
    def local_copy(self) -> Path | None:
        """Where `ir_datasets` looks for a copy that a person provides."""
        md5 = getattr(self.node, "expected_md5", None)
        return ir_datasets.util.home_path() / "downloads" / md5 if md5 else None

    @property
    def temporary(self) -> bool:
        return self.own_path is None

    @property
    def place(self) -> str | None:
        return self.own_path or (str(self.local_copy) if self.local_copy else None)

    @property
    def keeps(self) -> str | None:
        return _kept(self.keepers[0]) if self.keepers else None

    @property
    def settled(self) -> bool:
        """Whether reading needs no network."""
        there = [self.own_path, self.local_copy, *map(_kept, self.keepers)]
        return any(path is not None and Path(path).exists() for path in there)

    def settle(self) -> None:
        """Download, unless what stays of it is there."""
        if any(Path(_kept(keeper)).exists() for keeper in self.keepers):
            return
        if not self.temporary:
            self.node.path()
            return
        if not self.keepers:
            # Nothing of it would stay: it becomes a copy that a person could have provided.
            Download(self.node.mirrors, str(self.local_copy), self.node.expected_md5).path()
        elif isinstance(self.keepers[0], ReTar):
            with self.keepers[0].stream():
                pass
        else:
            self.keepers[0].path()

    def admit_local_copy(self) -> None:
        """Let `ir_datasets` take a provided copy of a small file too, which it does for large ones only."""
        if (
            self.temporary
            and self.local_copy
            and not any(isinstance(mirror, LocalDownload) for mirror in self.node.mirrors)
        ):
            self.node.mirrors.insert(0, LocalDownload(self.local_copy, mkdir=False))

    @property
    def kept_file(self) -> str | None:
        """The file that stays: the download itself, else what was made of it."""
        paths = [self.own_path, *map(_kept, self.keepers), self.local_copy]
        return next((str(path) for path in paths if path is not None and Path(path).is_file()), None)

    @property
    def request(self) -> RequestsDownload | None:
        mirrors = getattr(self.node, "mirrors", [])
        return next((mirror for mirror in mirrors if isinstance(mirror, RequestsDownload)), None)

    def missing(self) -> Missing:
        command = None
        if self.request and self.place:
            headers = [f"-H {shlex.quote(f'{name}: {value}')} " for name, value in (self.request.headers or {}).items()]
            command = (
                f"curl -fL --create-dirs {''.join(headers)}-o {shlex.quote(self.place)} {shlex.quote(self.request.url)}"
            )
        return Missing(
            url=self.request.url if self.request else None,
            path=self.place,
            bytes=getattr(self.node, "_size_hint", None),
            temporary=self.temporary,
            keeps=self.keeps,
            command=command,
        )


def _needs(needs: Mapping[str, Iterable[str]], texts: Collection[str]) -> Iterator[_Source]:
    for source, parts in needs.items():
        parts = list(parts)
        dataset = registered(source, *parts)
        for part in parts:
            for text in texts if part == "docs" else ["default"]:
                node = docs_of(dataset, source, text) if part == "docs" else dataset
                for found, keepers in sources_beneath(node, (part,), (Download, ExpectedFile), tuple(KEEPERS)):
                    yield _Source(found, keepers)


def _unsettled(sources: Iterable[_Source]) -> list[Missing]:
    found = {each.place or each.keeps: each.missing() for each in sources if not each.settled}
    return list(found.values())


def _kept(keeper: Any) -> str:
    return str(next(getattr(keeper, name) for kind, name in KEEPERS.items() if isinstance(keeper, kind)))


def _description(path: str, source: _Source) -> dict[str, Any]:
    md5 = file_digest(path, "md5")
    expected = getattr(source.node, "expected_md5", None)
    if path in (source.own_path, str(source.local_copy)) and expected and md5 != expected.lower():
        raise BackfireError(
            f"{path}: MD5 is {md5}, expected {expected}.", "it is cut short or another file; delete it and run again."
        )
    url = source.request.url if source.request else None
    return {"file": _name(path), "bytes": Path(path).stat().st_size, "md5": md5, "url": url}


def _name(path: str) -> str:
    """A file as a record names it: by its path under the home of `ir_datasets`."""
    home = ir_datasets.util.home_path()
    return Path(path).relative_to(home).as_posix() if Path(path).is_relative_to(home) else path


def _reason(source: _Source, error: Exception) -> str:
    """Why a download failed, in a clause; where several mirrors failed, why each did."""
    errors = error.args[1] if len(error.args) == 2 and isinstance(error.args[1], list) else [(None, error)]
    # What urllib3 wraps says it without the repetition of the address.
    causes = [
        (type(each), getattr(next(iter(each.args), None), "reason", each))
        for mirror, each in errors
        if not isinstance(mirror, LocalDownload)
    ]
    told = "; ".join(f"{kind.__name__}: {cause}" for kind, cause in causes)
    if any(issubclass(kind, HashVerificationError) for kind, _ in causes):
        # ir_datasets takes what a server says about an error for the file.
        told += "; what came is not the published file: an error page, or another version"
    return f"{source.missing().url or source.place} cannot be fetched ({told or error})"


def _error(what: str, files: list[Missing], target: str) -> BackfireError:
    listed = "".join(f"\n  {file}" for file in files)
    commands = "".join(f"\n  {file.command}" for file in files if file.command)
    home = shlex.quote(str(ir_datasets.util.home_path()))
    return BackfireError(
        f"{what}.{f' Missing:{listed}' if files else ''}",
        f"where there is a network, run `snakemake --cores 1 {target}` with this study's --configfile and "
        f"IR_DATASETS_HOME={home}{f', or fetch by hand:{commands}' if commands else '.'}",
    )
