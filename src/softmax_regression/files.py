"""Files: whole or not there, read in one dialect, found from the project's root.

A file is written beside its place and renamed into it. YAML is read as DVC reads it (ruamel.yaml, YAML 1.2), so that
params.yaml means the same to DVC and to the stages: `1e-3` is 0.001, `010` is 10, `yes` is text.
"""

import csv
import errno
import glob
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# The same as SQLite, NumPy and safetensors say it, which give no number.
_NO_ROOM_IN_WORDS = re.compile(r"disk is full|requested and \d+ written|No space left on device")
_ABANDONED = 3600.0  # seconds after which nobody goes on writing a file
_DEEPEST = 50  # levels of a YAML text; params.yaml has three
_MOST_ALIASES = 16  # of a YAML text: each may stand for all before it, so that 80 of them stand for gigabytes


@contextmanager
def atomic_path(path: Path, size: int = 0) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it to `path` on success, remove it on error.

    The folder is made if it is missing. Readers see the old file or the new one, never a part. What a process that was
    killed had begun to write is removed, once it has lain for an hour. `size`: in bytes, if it is known. Raises
    OSError, which says how much is needed and how much is free, where there is no room for the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}{path.suffix}")
    try:
        temporary.touch()  # with the permissions of an ordinary new file, whoever writes it
        yield temporary
        temporary.replace(path)
        _remove_begun(path)
    except Exception as error:
        written = temporary.stat().st_size if temporary.exists() else 0
        temporary.unlink(missing_ok=True)  # before the free room is looked up
        if full := no_room(error, path.parent):
            needed = f"{size:,}" if size else f"more than {written:,}"
            raise OSError(f"{path} cannot be written: it needs {needed} bytes, and {full}") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _remove_begun(path: Path) -> None:
    for other in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 32}{glob.escape(path.suffix)}"):
        with suppress(OSError):  # another process was faster
            if time.time() - other.stat().st_mtime > _ABANDONED:
                other.unlink()


def no_room(error: BaseException, folder: Path) -> str:
    """Return what to say where `error` means that there is no room in `folder`; nothing for any other error.

    Libraries write temporary files on the way there, so that it may be their disk that is full.
    """
    code = getattr(error, "errno", None)
    if code not in _NO_ROOM and not _NO_ROOM_IN_WORDS.search(str(error)):
        return ""
    if code == errno.EFBIG:
        return "a file may not be that large here; raise the limit (`ulimit -f`), or move the project to another disk"
    full = "your quota is used up" if code == errno.EDQUOT else "the disk is full"
    disks = {path.stat().st_dev: path for path in (Path(tempfile.gettempdir()), folder)}  # one path a disk
    free, place = min((shutil.disk_usage(path).free, path) for path in disks.values())
    way = "move the project to" if place == folder else "set TMPDIR to a folder on"
    return f"{full} ({free:,} bytes are free in {place}); make room there, or {way} a larger disk"


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write `content` (text as UTF-8) to `path` in one step."""
    content = content.encode() if isinstance(content, str) else content
    with atomic_path(path, len(content)) as temporary:
        temporary.write_bytes(content)


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a table in one step; floats keep every bit, lines end in a newline alone on every system."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_atomically(path, text.getvalue())


def existing(path: Path, remedy: str) -> Path:
    """Return `path`. Raises FileNotFoundError, which says the remedy, where there is no such file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found; {remedy}")
    return path


def read_text(path: Path) -> str:
    """Return the text of a file, UTF-8. Raises ValueError, which names the file, for another encoding."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from None


def text_of(path: Path) -> str:
    """Return the text of a file, see `read_text`; nothing where there is no such file."""
    return read_text(path) if path.is_file() else ""


def parse_json(text: str) -> dict[str, Any]:
    """Return what a JSON text holds by name. Raises ValueError for anything else, and for what no float64 holds."""
    try:
        content = json.loads(text, parse_int=_whole)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(content, dict):
        raise ValueError(f"expected {{...}}, found {text[:20].strip()!r}")
    return content


def _whole(digits: str) -> int:
    if len(digits) > 300:
        raise ValueError(f"it holds a number of {len(digits)} digits")
    return int(digits)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def md5_of(path: Path) -> str:
    """Return the MD5 of a file as 32 hexadecimal digits, as dvc.lock records it (no security rests on it)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def md5_of_folder(folder: Path) -> str:
    """Return the digest of a folder as dvc.lock records it: that of the list of its files with their MD5s.

    Python's caches do not count: .dvcignore names them.
    """
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    files = sorted((path.relative_to(folder).as_posix(), path) for path in found)
    listed = json.dumps([{"md5": md5_of(path), "relpath": name} for name, path in files])
    return f"{hashlib.md5(listed.encode(), usedforsecurity=False).hexdigest()}.dir"


def read_yaml(text: str, origin: str) -> Any:
    """Return what a YAML text holds; `origin` names it in errors.

    Raises ValueError where it is not valid YAML, and where it is nested deeply, or repeats parts of itself (`*name`) so
    often that a short text may stand for more than memory holds.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

    reader, aliases, depth = YAML(typ="safe"), 0, 0
    try:
        for event in reader.parse(text):
            aliases += isinstance(event, AliasEvent)
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            if aliases > _MOST_ALIASES or depth > _DEEPEST:
                raise ValueError(f"more than {_MOST_ALIASES} repetitions (*name), or {_DEEPEST} levels")
        return reader.load(text)
    except (YAMLError, ValueError) as error:  # ValueError: what looks like a date and is none
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise ValueError(f"{origin} is not valid YAML{line}: {problem}; correct it") from None


def project_root() -> Path:
    """Return the real checkout: DVC names it even to a stage that runs in a temporary copy of the workspace.

    Outside DVC it is the nearest folder upwards that holds dvc.yaml. Raises FileNotFoundError when there is none.
    """
    if declared := os.environ.get("DVC_ROOT"):
        return Path(declared).resolve()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file():
            return folder
    raise FileNotFoundError(f"no dvc.yaml in {here} or above it; run from inside the project")
