"""Starts of Snakemake that do not wait for its imports, which take two thirds of a dry run: one process imports it and
forks for each run.

`python engines.py NUMBER` is that process; its requests come over the socket with this file descriptor, and it ends
with the process that holds the other end. A run is what `python -m snakemake` would be in the folder, with the
environment and with the pipes of its request: a process of its own, which reads the whole workflow anew. Jobs are
started as ever. The library is never imported beforehand, since each copy of the workflow has its own.
"""

import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

# What a run imports sooner or later, beside the library.
IMPORTED = ("snakemake.cli", "snakemake.notebook", "snakemake.profiles", "snakemake.report.html_reporter")
IMPORTED += ("snakemake.storage", "argparse_dataclass", "jsonschema", "nbformat", "packaging.version", "platformdirs")
IMPORTED += ("smart_open",)
# Arrow and OpenBLAS start threads as they are imported, which a forked process would not have.
ONE_THREAD = {"JE_ARROW_MALLOC_CONF": "background_thread:false", "OPENBLAS_NUM_THREADS": "1"}
_LARGEST = 1 << 20


class Engines:
    """The process that forks, seen from the tests; it runs one engine at a time."""

    def __init__(self):
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | ONE_THREAD
        command, passed = [sys.executable, __file__, str(theirs.fileno())], [theirs.fileno()]
        self._process = subprocess.Popen(command, env=environment, pass_fds=passed, stdout=subprocess.DEVNULL)
        theirs.close()
        self._turn = threading.Lock()

    def run(
        self, arguments: list[str], cwd: Path, stderr: int = subprocess.PIPE, more: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess:
        """What `subprocess.run` gives for `python -m snakemake` with its output captured as text.

        `stderr` may be STDOUT; `more` is put into the environment.
        """
        request = {"arguments": arguments, "cwd": str(cwd), "environment": os.environ | (more or {})}
        with self._turn, ThreadPoolExecutor(2) as readers:
            pipes = [os.pipe() for _ in range(2 if stderr == subprocess.PIPE else 1)]
            socket.send_fds(self._socket, [json.dumps(request).encode()], [pipes[0][1], pipes[-1][1]])
            for _, end in pipes:
                os.close(end)
            texts = [readers.submit(_read, end) for end, _ in pipes]
            pid = self._answer()
            try:
                status = self._answer()
            except BaseException:
                os.kill(pid, signal.SIGKILL)
                self._answer()
                raise
            printed = [text.result() for text in texts]
        return subprocess.CompletedProcess(arguments, status, *printed)

    def _answer(self) -> int:
        """The next number that it tells."""
        answer = self._socket.recv(_LARGEST)
        if not answer:
            raise ChildProcessError("the process that starts engines has ended")
        return int(answer)


@cache
def engines() -> Engines:
    """The one that serves all tests of this process."""
    return Engines()


def _read(end: int) -> str:
    """All that comes out of a pipe until no process holds its other end."""
    with os.fdopen(end, encoding="utf-8") as stream:
        return stream.read()


def _serve(channel: socket.socket) -> list[str]:
    """Fork for each request and tell how it ended; in the fork, become what was asked for and give the arguments."""
    imported_from = sys.path[1:]
    interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
    while True:
        text, ends, _, _ = socket.recv_fds(channel, _LARGEST, 2)
        if not text:
            sys.exit()
        if not (pid := os.fork()):
            break
        for end in ends:
            os.close(end)
        channel.send(str(pid).encode())
        channel.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
    channel.close()
    gc.unfreeze()
    signal.signal(signal.SIGINT, interrupted)
    for number, end in enumerate(ends, start=1):
        os.dup2(end, number)
        os.close(end)
    request = json.loads(text)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    tempfile.tempdir = None
    folders = dict.fromkeys([*filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), *imported_from])
    here = str(Path.cwd())
    sys.path[:] = [here, *folders]
    # It notes where it is as it is imported.
    sys.modules["snakemake.workflow"].Workflow._rundir = here
    return request["arguments"]


if __name__ == "__main__":
    for name in IMPORTED:
        __import__(name)
    assert len([*Path("/proc/self/task").iterdir()]) == 1, "a fork would leave a thread behind"
    sys.argv[1:] = _serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module("snakemake", run_name="__main__", alter_sys=True)
