"""Files: whole or not there, read in one dialect, found from the project's root.

A file is written beside its place and renamed into it. YAML is read as DVC reads it (ruamel.yaml, YAML 1.2), so that
params.yaml means the same to DVC and to the stages: `1e-3` is 0.001, `010` is 10, `yes` is text.
"""

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it to `path` on success, remove it on error.

    The folder is made if it is missing. Readers see the old file or the new one, never a part.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}{path.suffix}")
    temporary.touch()  # with the permissions of an ordinary new file, whoever writes it
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write `content` (text as UTF-8) to `path` in one step."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


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


def text_of(path: Path) -> str:
    """Return the text of a file; nothing where there is no such file."""
    return path.read_text() if path.is_file() else ""


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
    """Return what a YAML text holds; `origin` names it in errors. Raises ValueError where it is not valid YAML."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe").load(text)
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
