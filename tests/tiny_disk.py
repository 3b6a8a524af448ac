"""A real disk of a few kilobytes, to be filled: a tmpfs, which only root can mount; elsewhere the test is skipped."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FILLER = "filler"


@contextmanager
def tiny_disk(folder: Path, size: int) -> Iterator[Path]:
    """Yield `folder` as a disk of `size` bytes."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError as error:
        pytest.skip(f"no disk can be mounted: {error}")
    if done.returncode:
        pytest.skip(f"no disk can be mounted: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, leave: int = 0) -> None:
    """Fill the disk with one file, but for `leave` bytes; what filled it before goes."""
    (disk / FILLER).unlink(missing_ok=True)
    (disk / FILLER).write_bytes(bytes(shutil.disk_usage(disk).free - leave))
