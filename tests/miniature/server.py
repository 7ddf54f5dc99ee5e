"""An HTTP server on the loopback address that hands out a folder, and misbehaves when it is told to."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Files:
    """What is served from `folder` and how; `requests` lists (file name, value of the Range header) in order.

    `cut` maps a file name to a number of bytes after which the connection is closed, at most `cuts` times;
    `instead` a file name to bytes that are served for it; files in `absent` are not found. With `pause` set to an
    event, a connection that was to be cut waits for that event first, so that the other side can be stopped.
    """

    folder: Path
    ranges: bool = True
    cut: dict[str, int] = field(default_factory=dict)
    cuts: int = 1
    instead: dict[str, bytes] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    pause: threading.Event | None = None
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""

    def asked(self, name: str) -> list[str | None]:
        """The Range headers of the requests for a file; None for a request of the whole file."""
        return [sought for file, sought in self.requests if file == name]


class _Handler(BaseHTTPRequestHandler):
    files: Files

    def do_GET(self):
        files, name, sought = self.files, Path(self.path).name, self.headers.get("Range")
        files.requests.append((name, sought))
        path = files.folder / name
        if name in files.absent or not path.is_file():
            self.send_error(404)
            return
        content = files.instead.get(name) or path.read_bytes()
        start = int(re.fullmatch(r"bytes=(\d+)-", sought).group(1)) if sought and files.ranges else 0
        if start >= len(content) and start:
            self.send_error(416)
            return
        self.send_response(206 if sought and files.ranges else 200)
        if files.ranges:
            self.send_header("Accept-Ranges", "bytes")
        if sought and files.ranges:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if name in files.cut and files.cuts > 0:
            files.cuts -= 1
            self.wfile.write(content[start : start + files.cut[name]])
            self.wfile.flush()
            if files.pause:
                files.pause.wait()
            self.close_connection = True
        else:
            self.wfile.write(content[start:])

    def log_message(self, format, *args):
        """Requests are kept in `Files.requests`."""


@contextmanager
def serving(folder: Path) -> Iterator[Files]:
    """A server of `folder` for as long as the context lasts; gives what it serves, with its `url`."""
    files = Files(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"files": files}))
    server.daemon_threads = True
    files.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield files
    finally:
        if files.pause:
            files.pause.set()
        server.shutdown()
        server.server_close()
        thread.join()
