"""Archives are extracted without leaving their folder, by the extractors of ir_datasets themselves."""

import io
import shlex
import tarfile
import zipfile
from contextlib import contextmanager

import pytest
from ir_datasets.util import RequestsDownload, TarExtractAll, ZipExtractCache

from backfire.datasets.downloads import _Source


class Archive:
    """A download that has come."""

    def __init__(self, path):
        self._path = path

    def path(self):
        return self._path

    @contextmanager
    def stream(self):
        with self._path.open("rb") as stream:
            yield stream


def member(name, kind=tarfile.REGTYPE, target=""):
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, target
    return found


def packed(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for each in members:
            content = b"text" if each.isreg() else b""
            each.size = len(content)
            archive.addfile(each, io.BytesIO(content))
    return Archive(path)


@pytest.mark.parametrize("globs", [None, ["*"]])
@pytest.mark.parametrize(
    "members",
    [
        [member("../out.txt")],
        [member("in/../../out.txt")],
        [member("link", tarfile.SYMTYPE, ".."), member("link/out.txt")],
        [member("link", tarfile.SYMTYPE, "/etc/passwd")],
        [member("link", tarfile.LNKTYPE, "../out.txt")],
        [member("device", tarfile.CHRTYPE)],
    ],
)
def test_a_member_that_would_leave_the_folder_is_an_error(tmp_path, members, globs):
    archive = packed(tmp_path / "a.tar.gz", [member("fine.txt"), *members])
    with pytest.raises(tarfile.TarError):
        TarExtractAll(archive, str(tmp_path / "deep/folder"), path_globs=globs).path()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.tar.gz", "deep"]


def test_an_absolute_name_stays_in_the_folder(tmp_path):
    archive = packed(tmp_path / "a.tar.gz", [member(f"{tmp_path}/out.txt")])
    TarExtractAll(archive, str(tmp_path / "folder")).path()
    assert not (tmp_path / "out.txt").exists()
    assert len(list((tmp_path / "folder").rglob("out.txt"))) == 1


def test_a_zip_stays_in_its_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("../out.txt", f"{tmp_path}/out.txt", "fine.txt"):
            archive.writestr(name, "text")
    ZipExtractCache(Archive(tmp_path / "a.zip"), str(tmp_path / "deep/folder")).path()
    assert {path.parent for path in tmp_path.glob("*.txt")} == set()
    assert (tmp_path / "deep/folder/fine.txt").is_file()
    assert not list((tmp_path / "deep").glob("*.txt"))


def test_the_command_that_fetches_by_hand_is_safe_to_paste():
    class Node:
        mirrors = [RequestsDownload("http://x.org/a?b=1&c=$(touch pwned)", headers={"A": "it's"})]
        _cache_path, expected_md5 = "/home/a user/$(id).gz", None

    command = _Source(Node(), ()).missing().command
    assert shlex.split(command) == [
        *("curl", "-fL", "--create-dirs", "-H", "A: it's", "-o", "/home/a user/$(id).gz"),
        "http://x.org/a?b=1&c=$(touch pwned)",
    ]
