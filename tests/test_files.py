"""Files are whole or not there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from softmax_regression.files import atomic_path, md5_of, sha256_of, write_atomically


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """An error while writing keeps the file as it was and removes the temporary one."""
    path = tmp_path / "figures" / "a.txt"
    write_atomically(path, "old")
    with pytest.raises(FileNotFoundError, match="absent"), atomic_path(path) as temporary:
        temporary.write_bytes((tmp_path / "absent").read_bytes())
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_replaces_the_file_and_is_readable_by_others(tmp_path: Path) -> None:
    """The file has the new content, text as UTF-8, and the permissions of an ordinary new file."""
    path = tmp_path / "a.txt"
    write_atomically(path, "née")
    ordinary = tmp_path / "b.txt"
    ordinary.write_text("")
    assert path.read_bytes() == "née".encode()
    assert path.stat().st_mode == ordinary.stat().st_mode


def test_digests_are_those_of_hashlib(tmp_path: Path) -> None:
    """MD5 and SHA-256 of a file equal those of its bytes."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"softmax")
    assert md5_of(path) == hashlib.md5(b"softmax", usedforsecurity=False).hexdigest()
    assert sha256_of(path) == hashlib.sha256(b"softmax").hexdigest()
