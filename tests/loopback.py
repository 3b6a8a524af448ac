"""A web server on the loopback interface that behaves well or badly, by the first part of the path."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

USER_INFO = "reader:open-sesame"


class Loopback:
    """`url("good")` is a folder URL under which the files are served that way; `requests` lists what was asked."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files
        self.requests: list[str] = []
        self.stopped = Event()
        outer = self

        class Handler(_Handler):
            loopback = outer

        self.server = _Server(("127.0.0.1", 0), Handler)

    def url(self, behaviour: str, user_info: str = "") -> str:
        """Return the URL of a folder with this behaviour, one of the methods of `_Handler`."""
        return f"http://{user_info}{'@' if user_info else ''}127.0.0.1:{self.server.server_port}/{behaviour}"


@contextlib.contextmanager
def serve(files: Mapping[str, bytes]) -> Iterator[Loopback]:
    """Serve `files` (name -> content) while the context lasts."""
    loopback = Loopback(files)
    thread = Thread(target=loopback.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield loopback
    finally:
        loopback.stopped.set()
        loopback.server.shutdown()
        loopback.server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing when a client hangs up, as it should at its time limit."""


class _Handler(BaseHTTPRequestHandler):
    loopback: Loopback

    def log_message(self, format: str, *args: Any) -> None:
        """Write no log."""

    def do_GET(self) -> None:
        behaviour, _, name = self.path.removeprefix("/").partition("/")
        self.loopback.requests.append(self.path)
        getattr(self, behaviour)(self.loopback.files.get(name))

    def good(self, content: bytes | None) -> None:
        """The file, or 404."""
        if content is None:
            self.send_error(404)
        else:
            self._answer(content, len(content))

    def gone(self, content: bytes | None) -> None:
        """404 for every file."""
        self.send_error(404)

    def wrong(self, content: bytes | None) -> None:
        """Another content under every name."""
        self._answer(b"<html>Please log in</html>", 26)

    def cut(self, content: bytes | None) -> None:
        """Half of the file, then the connection ends."""
        assert content is not None
        self._answer(content[: len(content) // 2], len(content))

    def half(self, content: bytes | None) -> None:
        """Half of the file, as if it were whole."""
        assert content is not None
        self._answer(content[: len(content) // 2], len(content) // 2)

    def moved(self, content: bytes | None) -> None:
        """A redirect to the good file."""
        self.send_response(302)
        self.send_header("Location", self.path.replace("/moved/", "/good/"))
        self.end_headers()

    def members(self, content: bytes | None) -> None:
        """The file for those who give the user name and password of `USER_INFO`, else 401."""
        expected = f"Basic {base64.b64encode(USER_INFO.encode()).decode()}"
        if self.headers["Authorization"] == expected:
            self.good(content)
        else:
            self.send_error(401)

    def labelled(self, content: bytes | None) -> None:
        """The file, called gzip-encoded, as servers do that take .gz for an encoding and not for the content."""
        assert content is not None
        self._answer(content, len(content), {"Content-Encoding": "gzip"})

    def silent(self, content: bytes | None) -> None:
        """Takes the request and never answers."""
        self.loopback.stopped.wait()

    def slow(self, content: bytes | None) -> None:
        """The whole file, after 0.6 s."""
        self.loopback.stopped.wait(0.6)
        self.good(content)

    def dribble(self, content: bytes | None) -> None:
        """A byte of the body every 20 ms."""
        assert content is not None
        self._answer(b"", len(content))
        for byte in content:
            self.wfile.write(bytes([byte]))
            if self.loopback.stopped.wait(0.02):
                return

    def dribble_header(self, content: bytes | None) -> None:
        """A header that never ends, a byte every 20 ms."""
        self.wfile.write(b"HTTP/1.0 200 OK\r\nX-Long: ")
        while not self.loopback.stopped.wait(0.02):
            self.wfile.write(b"x")

    def endless(self, content: bytes | None) -> None:
        """A body without an end."""
        self._answer(b"", None)
        while not self.loopback.stopped.is_set():
            self.wfile.write(b"x" * 1000)
            time.sleep(0.001)

    def _answer(self, content: bytes, length: int | None, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(200)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(content)
