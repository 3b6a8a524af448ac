"""Fetching files from an ordered list of folders and URLs: checked by digest, within a time limit, never in part.

A digest is written "sha256:<hex>" or "md5:<hex>". Only a file whose bytes have that digest gets its name in the
destination, wherever it came from.
"""

import hashlib
import sys
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from softmax_regression.download.transfer import UnavailableError, any_answers, receive
from softmax_regression.files import atomic_path
from softmax_regression.redaction import redact


class NoSourceError(RuntimeError):
    """No source served all files; the message says what was tried and why each failed."""


class _RefusedError(Exception):
    """This one file is missing or wrong here; the source may still have the others."""


def fetch(
    files: Mapping[str, str], sources: Sequence[str], root: Path, timeout: float, destination: Path, largest: int
) -> None:
    """Put every file of `files` (name -> digest) into the folder `destination`, from the first source that has it.

    `sources`: folders (relative ones count from `root`) and http(s) URLs of folders. `timeout`: seconds that one
    URL may take for all its files together, answers that never come or trickle in included. `largest`: bytes that a
    file may have; of a larger one no more than these are received and written.
    A source that cannot be reached is left at once, for all files; a file with the wrong digest is refused and
    looked for in the next source. Progress goes to stderr, a line a file, with a progress bar in a terminal.

    Raises ValueError for a source of unknown kind, NoSourceError when a file is left over, OSError when the
    destination cannot be written.
    """
    _check(sources)
    missing = dict(files)
    failures: list[str] = []
    for source in sources:
        deadline = time.monotonic() + timeout
        shown = _shown(source, root)
        for name, digest in list(missing.items()):
            try:
                with closing(_chunks(source, root, name, deadline)) as chunks:
                    size = _store(chunks, digest, destination / name, largest)
            except (_RefusedError, UnavailableError) as error:
                failures.append(f"{shown}: {error}")
                print(f"not from {failures[-1]}", file=sys.stderr, flush=True)
                if isinstance(error, UnavailableError):
                    break
            else:
                del missing[name]
                checked = f"{digest.partition(':')[0]} as published"
                print(f"{name}: {size:,} bytes from {shown}, {checked}", file=sys.stderr, flush=True)
        if not missing:
            return
    tried = "; ".join(failures) or "nothing, the list of sources is empty"
    raise NoSourceError(f"no source serves {', '.join(missing)}; tried: {tried}")


def reachable(names: Sequence[str], sources: Sequence[str], root: Path, timeout: float) -> bool:
    """Say within `timeout` seconds whether any source can be reached at all.

    A folder counts when it has one of the files, right or wrong, a URL when it answers 200 for the first of them.
    """
    if any((_folder(source, root) / name).is_file() for source in sources if not is_url(source) for name in names):
        return True
    return any_answers([_url(source, names[0]) for source in sources if is_url(source)], timeout)


def is_url(source: str) -> bool:
    """Say whether `source` is an http(s) URL; anything else is a folder."""
    return source.startswith(("http://", "https://"))


def _check(sources: Sequence[str]) -> None:
    for number, source in enumerate(sources, start=1):
        scheme, separator, _ = source.partition("://")
        if separator and not is_url(source):
            raise ValueError(f"source {number} is neither a folder nor an http(s) URL: it begins with {scheme}://")
        try:
            _ = urlsplit(source).port if separator else None
        except ValueError:  # not repeated: what could not be parsed may be a password
            raise ValueError(
                f"source {number} is no valid URL; write / and @ in a user name or password as %2F and %40"
            ) from None


def _folder(source: str, root: Path) -> Path:
    return root / Path(source).expanduser()


def _url(source: str, name: str) -> str:
    return f"{source.rstrip('/')}/{name}"


def _shown(source: str, root: Path) -> str:
    """Return the source as a person may see it: without user name and password, a folder with its full path."""
    if is_url(source):
        return redact(source)
    path = _folder(source, root).resolve()
    return str(path) if str(path) == source else f"{source} ({path})"


def _store(chunks: Iterable[bytes], digest: str, path: Path, largest: int) -> int:
    """Write the chunks to `path`; return the size in bytes. Raises _RefusedError for another digest, or too many."""
    algorithm, _, expected = digest.partition(":")
    hasher = hashlib.new(algorithm, usedforsecurity=False)
    with atomic_path(path) as temporary:
        with temporary.open("wb") as file:
            for chunk in chunks:
                if file.tell() + len(chunk) > largest:
                    raise _RefusedError(f"{path.name} refused: expected at most {largest:,} bytes, found more")
                hasher.update(chunk)
                file.write(chunk)
            size = file.tell()
        if hasher.hexdigest() != expected:
            raise _RefusedError(
                f"{path.name} refused: expected {algorithm} {expected}, found {hasher.hexdigest()} ({size} bytes)"
            )
    return size


def _chunks(source: str, root: Path, name: str, deadline: float) -> Generator[bytes, None, None]:
    """Yield the bytes of the file `name` at `source`.

    Raises UnavailableError when the whole source serves nothing, _RefusedError when this file is missing.
    """
    if is_url(source):
        yield from receive(_url(source, name), name, deadline)
        return
    path = _folder(source, root) / name
    if not path.parent.is_dir():
        raise UnavailableError("no such folder")
    if not path.is_file():
        raise _RefusedError(f"{name} is not there")
    try:
        with path.open("rb") as file:
            yield from iter(lambda: file.read(2**20), b"")
    except OSError as error:
        raise _RefusedError(f"{name} cannot be read: {error.strerror}") from error
