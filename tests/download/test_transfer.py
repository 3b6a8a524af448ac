"""Receiving over HTTP: whatever the server does, the bytes or one short reason, in time."""

import io
import socket
import sys
import time
from collections.abc import Iterator
from threading import Event
from typing import Self

import pytest
from loopback import Loopback, serve

from softmax_regression.download import transfer
from softmax_regression.download.transfer import UnavailableError, any_answers, receive

CONTENT = bytes(range(256)) * 2000  # 512 kB: several chunks


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """Serve one file, reached without the proxy of the environment."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve({"file": CONTENT}) as loopback:
        yield loopback


def refused_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return int(closed.getsockname()[1])


def get(url: str, seconds: float = 5.0) -> bytes:
    """Return all that `receive` yields."""
    return b"".join(receive(url, "file", time.monotonic() + seconds))


@pytest.mark.parametrize("behaviour", ["good", "moved", "slow", "labelled"])
def test_the_body_arrives_as_it_is(server: Loopback, behaviour: str) -> None:
    """Byte for byte: behind a redirect, after a wait, and undecoded when the server calls a .gz an encoding."""
    assert get(f"{server.url(behaviour)}/file") == CONTENT


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("gone", "^file: HTTP status 404$"),
        ("members", "^file: HTTP status 401$"),
        ("cut", r"^file: IncompleteRead\(256000 bytes read, 256000 more expected\)$"),
    ],
)
def test_what_does_not_arrive_has_a_reason(server: Loopback, behaviour: str, reason: str) -> None:
    """An error status and a connection that ends early are described in a few words."""
    with pytest.raises(UnavailableError, match=reason):
        get(f"{server.url(behaviour)}/file")


@pytest.mark.parametrize("behaviour", ["silent", "dribble", "dribble_header", "endless"])
def test_the_deadline_holds_whatever_the_server_does(server: Loopback, behaviour: str) -> None:
    """No answer, one of a byte at a time, in the body or in the header, and one without end are all ended in time."""
    started = time.monotonic()
    with pytest.raises(UnavailableError, match=r"^file: not complete at the time limit, \d+ bytes came$"):
        get(f"{server.url(behaviour)}/file", seconds=0.4)
    assert 0.35 < time.monotonic() - started < 1.4  # the limit, and a second for a busy machine


def test_a_refused_connection_is_reported_at_once() -> None:
    """Nobody listens: the system's own words, no waiting, no address with what it may hold."""
    started = time.monotonic()
    with pytest.raises(UnavailableError, match=r"^file: Connection refused$"):
        get(f"http://name:secret@127.0.0.1:{refused_port()}/file")
    assert time.monotonic() - started < 2  # far below the limit of 5 s


def test_an_unknown_host_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that does not resolve gives the resolver's words."""

    def fail(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(UnavailableError, match=r"^file: Name or service not known$"):
        get("http://data.invalid/file")


class Flood:
    """A response that sends as fast as it is taken, without an end; `closed` is set when it is left."""

    ok = True

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.raw = self
        self.chunks = 0
        self.closed = Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()

    def stream(self, size: int, decode_content: bool) -> Iterator[bytes]:
        """Yield chunks and count them."""
        while True:
            self.chunks += 1
            yield b"x"


def test_a_fast_server_waits_for_a_slow_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than the inbox holds is received ahead, so memory stays bounded; who stops reading ends the receiving."""
    flood = Flood()
    monkeypatch.setattr("requests.get", lambda *args, **kwargs: flood)
    monkeypatch.setattr(transfer, "_WAITING", 3)
    chunks = receive("http://fast.invalid/file", "file", time.monotonic() + 5)
    next(chunks)
    time.sleep(0.2)
    assert flood.chunks <= 5  # the one that was read, three that wait, one in the sender's hand
    chunks.close()
    assert flood.closed.wait(2)  # it looks every 0.1 s


def test_a_terminal_sees_a_progress_bar(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a terminal a bar with the file's name, its size and a percentage is drawn."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    get(f"{server.url('good')}/file")
    assert "file" in terminal.getvalue()
    assert "512k" in terminal.getvalue()
    assert "%" in terminal.getvalue()


def test_elsewhere_nothing_is_drawn(server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    """A log file gets no bar."""
    get(f"{server.url('good')}/file")
    assert capsys.readouterr() == ("", "")


def test_one_good_answer_among_bad_ones_counts_at_once(server: Loopback) -> None:
    """A silent server beside a good one delays nothing."""
    started = time.monotonic()
    assert any_answers([f"{server.url(b)}/file" for b in ("silent", "gone", "good")], timeout=5)
    assert time.monotonic() - started < 2  # far below the limit


def test_no_good_answer_is_no(server: Loopback) -> None:
    """404, a refused connection, an unusable URL and silence are no answers, and all of them cost one limit."""
    urls = [f"{server.url(b)}/file" for b in ("gone", "silent", "silent", "dribble_header")]
    urls += [f"http://127.0.0.1:{refused_port()}/file", "http://[broken/file"]
    started = time.monotonic()
    assert not any_answers(urls, timeout=0.8)
    assert time.monotonic() - started < 1.8  # one limit, and a second for a busy machine; one a URL would be 2.4 s
