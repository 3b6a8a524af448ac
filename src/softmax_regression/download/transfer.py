"""Receiving a file over HTTP within a time limit, whatever the server does. The only file that knows requests.

It is imported, with the progress bar, when a URL is tried: who has the files in a folder does not wait for it.
"""

import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from queue import Empty, Full, Queue, SimpleQueue
from threading import Event, Thread

from softmax_regression.redaction import redact

CONNECT_TIMEOUT = 10.0  # seconds; a server that is there answers in one or two round trips
_CHUNK = 2**16  # bytes
_WAITING = 64  # chunks, 4 MiB: how far a fast server may be ahead of a slow disk
_HEADERS = {"Accept-Encoding": "identity"}  # the files are compressed already: they are wanted as they are


class UnavailableError(Exception):
    """The source serves nothing now; the message says why in a few words, without credentials."""


def receive(url: str, name: str, deadline: float) -> Generator[bytes, None, None]:
    """Yield the body of `url` in chunks until `deadline` (on the clock of time.monotonic), else raise UnavailableError.

    A thread receives and this one keeps the time: a socket's own time-out ends neither an answer that comes a byte a
    second nor a slow name look-up. At the deadline the thread is left alone; it owns no file and does not keep the
    program from ending. In a terminal a progress bar under `name` shows how far it is.
    """
    from tqdm import tqdm

    inbox: Queue[int | bytes | Exception | None] = Queue(_WAITING)  # length, chunks ..., None at the end
    abandoned = Event()

    def deliver(item: int | bytes | Exception | None) -> bool:
        """Put `item` into the inbox as soon as there is room; return False, without it, when all is abandoned."""
        while not abandoned.is_set():
            with suppress(Full):
                inbox.put(item, timeout=0.1)
                return True
        return False

    Thread(target=_receive, args=(url, deadline, deliver), daemon=True).start()
    received = 0
    with tqdm(desc=name, unit="B", unit_scale=True, leave=False, disable=not sys.stderr.isatty()) as bar:
        try:
            while (remaining := deadline - time.monotonic()) > 0:
                item = inbox.get(timeout=remaining)
                if item is None:
                    return
                if isinstance(item, Exception):
                    raise UnavailableError(f"{name}: {_reason(item)}") from item
                if isinstance(item, int):
                    bar.reset(total=item or None)
                    continue
                received += len(item)
                bar.update(len(item))
                yield item
        except Empty:
            pass
        finally:
            abandoned.set()
    raise UnavailableError(f"{name}: not complete at the time limit, {received} bytes came")


def any_answers(urls: Sequence[str], timeout: float) -> bool:
    """Say within `timeout` seconds whether any of `urls` answers with status 200; all are asked at the same time."""
    answers: SimpleQueue[bool] = SimpleQueue()
    deadline = time.monotonic() + timeout
    for url in urls:
        Thread(target=_ask, args=(url, timeout, answers), daemon=True).start()
    try:
        return any(answers.get(timeout=max(0.0, deadline - time.monotonic())) for _ in urls)
    except Empty:
        return False


def _receive(url: str, deadline: float, deliver: Callable[[int | bytes | Exception | None], bool]) -> None:
    try:
        import requests

        wait = max(0.001, deadline - time.monotonic())  # requests takes no zero
        limits = (min(CONNECT_TIMEOUT, wait), wait)
        with requests.get(url, stream=True, timeout=limits, headers=_HEADERS) as response:
            if not response.ok:
                raise UnavailableError(f"HTTP status {response.status_code}")
            deliver(int(response.headers.get("Content-Length", 0)))
            for chunk in response.raw.stream(_CHUNK, decode_content=False):
                if not deliver(chunk):
                    return
        deliver(None)
    except Exception as error:  # whatever it is, the other side raises it
        deliver(error)


def _ask(url: str, timeout: float, answers: SimpleQueue[bool]) -> None:
    import requests

    try:
        with requests.get(url, stream=True, timeout=timeout, headers=_HEADERS) as response:
            answers.put(response.status_code == 200)
    except Exception:  # whatever it is, this is no answer
        answers.put(False)


def _reason(error: BaseException) -> str:
    """Return the innermost cause in a few words; the outer ones repeat the URL with all that it holds."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return redact(str(error) or type(error).__name__)
