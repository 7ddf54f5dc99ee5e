"""A disk that fails on demand: a folder seen through FUSE, on which chosen calls end in an error of the system's.

`python failingdisk.py SOURCE MOUNT FAULTS` shows the folder SOURCE at MOUNT until it is unmounted. FAULTS is a JSON
file that is read again at each call, a list of faults: `call` (open, read, write, fsync, close, rename), `name` (a glob
of file names), `errno`, and `beyond`, the bytes of the file from which on it fails (0). On close and on fsync a network
disk tells of data that it could not keep.
"""

import contextlib
import errno
import fnmatch
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path


class NoFuse(Exception):
    """What stands in the way of mounting."""


@contextlib.contextmanager
def failing_disk(folder: Path) -> Iterator[tuple[Path, Callable[..., None]]]:
    """Mount an empty such disk below `folder`: its place, and a function that sets its faults, none to mend it.

    Raises `NoFuse` where the system has no FUSE, or does not let this user mount.
    """
    source, mount, faults = folder / "kept", folder / "disk", folder / "faults.json"
    source.mkdir()
    mount.mkdir()
    faults.write_text("[]")
    command = [sys.executable, __file__, *map(str, (source, mount, faults))]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def fail(*wanted: dict) -> None:
        temporary = faults.with_suffix(".new")
        temporary.write_text(json.dumps(wanted))
        temporary.rename(faults)

    try:
        while not mount.is_mount():
            if server.poll() is not None:
                raise NoFuse(server.stderr.read().decode(errors="replace").strip().rpartition("\n")[2])
            time.sleep(0.02)
        yield mount, fail
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], check=False, capture_output=True)
        server.terminate()
        server.wait()
        server.stderr.close()


def serve(source: str, mount: str, faults: str) -> None:
    """Show `source` at `mount`, in this process."""
    from mfusepy import FUSE, FuseOSError, Operations

    class Disk(Operations):
        use_ns = True

        def place(self, path: str) -> Path:
            return Path(source + path)

        def meet(self, call: str, path: str, end: int = 0) -> None:
            """Fail where a fault is set for this call on bytes up to `end`."""
            for fault in json.loads(Path(faults).read_text()):
                name = fnmatch.fnmatch(path.rpartition("/")[2], fault["name"])
                if fault["call"] == call and name and end >= fault.get("beyond", 0):
                    raise FuseOSError(fault["errno"])

        def getattr(self, path, fh=None):
            found = os.lstat(self.place(path)) if fh is None else os.fstat(fh)
            kept = ("mode", "nlink", "size", "uid", "gid", "ino", "blocks")
            times = {f"st_{each}": getattr(found, f"st_{each}_ns") for each in ("atime", "mtime", "ctime")}
            return {f"st_{each}": getattr(found, f"st_{each}") for each in kept} | times

        def readdir(self, path, fh):
            return [".", "..", *(each.name for each in self.place(path).iterdir())]

        def readlink(self, path):
            return str(self.place(path).readlink())

        def mkdir(self, path, mode):
            return self.place(path).mkdir(mode)

        def rmdir(self, path):
            return self.place(path).rmdir()

        def unlink(self, path):
            return self.place(path).unlink()

        def symlink(self, target, source):
            return self.place(target).symlink_to(source)

        def link(self, target, source):
            return self.place(target).hardlink_to(self.place(source))

        def rename(self, old, new):
            self.meet("rename", new)
            self.place(old).rename(self.place(new))

        def chmod(self, path, mode):
            return self.place(path).chmod(mode)

        def chown(self, path, uid, gid):
            return os.chown(self.place(path), uid, gid)

        def utimens(self, path, times=None):
            return os.utime(self.place(path), ns=times)

        def statfs(self, path):
            found = os.statvfs(self.place(path))
            names = ("bsize", "frsize", "blocks", "bfree", "bavail", "files", "ffree", "favail", "flag", "namemax")
            return {f"f_{each}": getattr(found, f"f_{each}") for each in names}

        def access(self, path, amode):
            if not os.access(self.place(path), amode):
                raise FuseOSError(errno.EACCES)
            return 0

        def open(self, path, flags):
            self.meet("open", path)
            return os.open(self.place(path), flags)

        def create(self, path, mode, fi=None):
            self.meet("open", path)
            return os.open(self.place(path), os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode)

        def truncate(self, path, length, fh=None):
            return os.truncate(self.place(path), length)

        def read(self, path, size, offset, fh):
            self.meet("read", path, offset + size)
            return os.pread(fh, size, offset)

        def write(self, path, data, offset, fh):
            self.meet("write", path, offset + len(data))
            return os.pwrite(fh, data, offset)

        def fsync(self, path, datasync, fh):
            self.meet("fsync", path)
            return os.fsync(fh)

        def flush(self, path, fh):
            self.meet("close", path, os.fstat(fh).st_size)
            return 0

        def release(self, path, fh):
            return os.close(fh)

    options = {"default_permissions": True} | ({} if os.geteuid() else {"allow_other": True})
    FUSE(Disk(), mount, foreground=True, nothreads=True, **options)


if __name__ == "__main__":
    serve(*sys.argv[1:])
