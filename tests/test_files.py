"""Files are whole or not there; YAML and folders' digests are as DVC has them; the project's root is found."""

import errno
import hashlib
import os
import re
import resource
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from dvc.utils.serialize import loads_yaml
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.meta import Meta
from dvc_data.hashfile.tree import Tree
from safetensors.numpy import save_file
from tiny_disk import FILLER, fill, tiny_disk

from softmax_regression.files import (
    atomic_path,
    md5_of,
    md5_of_folder,
    no_room,
    parse_json,
    project_root,
    read_text,
    read_yaml,
    sha256_of,
    text_of,
    write_atomically,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """An error while writing keeps the file as it was and removes the temporary one."""
    path = tmp_path / "figures" / "a.txt"
    write_atomically(path, "old")
    with pytest.raises(FileNotFoundError, match="absent"), atomic_path(path) as temporary:
        temporary.write_bytes((tmp_path / "absent").read_bytes())
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def save_table(path: Path) -> None:
    """Write rows with SQLite, as MLflow does."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE rows (value BLOB)")
        connection.execute("INSERT INTO rows VALUES (zeroblob(100000))")


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(bytes(100_000)),
        lambda path: np.zeros(100_000, np.uint8).tofile(path),
        lambda path: save_file({"a": np.zeros(100_000, np.uint8)}, path),
        save_table,
    ],
    ids=["bytes", "NumPy", "safetensors", "SQLite"],
)
def test_a_full_disk_is_told_whoever_writes(tmp_path: Path, write: Callable[[Path], object]) -> None:
    """The file, what it needs, what is free and the way out, in one line; the old file stays, and nothing else."""
    with tiny_disk(tmp_path / "disk", 2**17) as disk:
        write_atomically(disk / "a.txt", "old")
        fill(disk, leave=40_960)
        with (
            pytest.raises(
                OSError,
                match=r"a\.txt cannot be written: it needs more than [\d,]+ bytes, and the disk is full \([\d,]+ bytes "
                rf"are free in {disk}\); make room there, or move the project to a larger disk$",
            ),
            atomic_path(disk / "a.txt") as temporary,
        ):
            write(temporary)
        assert (disk / "a.txt").read_text() == "old"
        assert {path.name for path in disk.iterdir()} - {FILLER} == {"a.txt"}


def test_a_file_larger_than_may_be_is_told(tmp_path: Path) -> None:
    """A limit of the system ends a write as a full disk does, on any machine; the size is told where it is known."""
    path = tmp_path / "a.txt"
    write_atomically(path, "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))  # Python ignores the signal that would come
    try:
        with pytest.raises(OSError, match=r"a\.txt cannot be written: it needs 100,000 bytes, and a file may not be"):
            write_atomically(path, bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_half_written_goes_with_the_next_write(tmp_path: Path) -> None:
    """A file that another process may still be writing stays, and so does one that only looks alike."""
    names = (f".a.csv.{'0' * 32}.csv", f".a.csv.{'1' * 32}.csv", ".a.csv.old.csv")
    old, new, other = (tmp_path / name for name in names)
    for path in (old, new, other):
        path.touch()
    two_hours_ago = time.time() - 7200
    for path in (old, other):
        os.utime(path, (two_hours_ago, two_hours_ago))
    write_atomically(tmp_path / "a.csv", "whole")
    assert set(tmp_path.iterdir()) == {new, other, tmp_path / "a.csv"}


def test_a_full_disk_of_temporary_files_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is the fuller one, it is named, with its own way out."""
    with tiny_disk(tmp_path / "disk", 2**17) as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        words = no_room(OSError(errno.ENOSPC, "No space left on device"), tmp_path)
    free = rf"\(131,072 bytes are free in {disk}\)"
    assert re.fullmatch(rf"the disk is full {free}; make room there, or set TMPDIR to a folder on a larger disk", words)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full ("),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "your quota is used up ("),
        (sqlite3.OperationalError("database or disk is full"), "the disk is full ("),
        (OSError("91968 requested and 28656 written"), "the disk is full ("),
        (OSError(errno.EACCES, "Permission denied"), ""),
        (ValueError("a bug"), ""),
    ],
)
def test_no_room_is_told_from_other_errors(tmp_path: Path, error: Exception, words: str) -> None:
    """By the system's number, or by the words of those who give none; any other error is nobody's lack of room."""
    assert no_room(error, tmp_path).startswith(words)
    assert bool(no_room(error, tmp_path)) == bool(words)


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


def write_files(folder: Path, *names: str) -> Path:
    """Write files that hold their own names; return the folder."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_the_digest_of_a_folder_is_dvcs(tmp_path: Path) -> None:
    """The digest is the one that DVC's own tree of the files has, whose order is that of whole paths."""
    names = ("b", "a/b", "a-b", "a.b", "a/c/d", "ä")  # by parts "a/b" would come before "a-b"
    write_files(tmp_path, *names)
    tree = Tree()  # type: ignore[no-untyped-call]  # DVC's own
    for name in names:
        tree.add(tuple(name.split("/")), Meta(), HashInfo("md5", md5_of(tmp_path / name)))
    tree.digest()
    assert md5_of_folder(tmp_path) == tree.oid
    assert md5_of_folder(tmp_path).endswith(".dir")


def test_pythons_caches_are_no_part_of_a_folder(tmp_path: Path) -> None:
    """What running the code leaves beside it changes no digest; another file does."""
    write_files(tmp_path, "a.py", "inner/b.py")
    before = md5_of_folder(tmp_path)
    write_files(tmp_path, "__pycache__/a.cpython-311.pyc", "inner/__pycache__/b.cpython-311.pyc")
    assert md5_of_folder(tmp_path) == before
    write_files(tmp_path, "inner/c.py")
    assert md5_of_folder(tmp_path) != before


TEXTS = ("1e-3", "010", "yes", "1e-05", "1.0e-3", "0o10", "0x10", "1_000", "on", "null", "~", "true", "[1, a]", "'1'")


@pytest.mark.parametrize("text", TEXTS)
def test_yaml_is_read_as_dvc_reads_it(text: str) -> None:
    """Every value is the one that DVC sees, of the same type."""
    ours, dvcs = read_yaml(f"a: {text}", "params.yaml"), loads_yaml(f"a: {text}")
    assert ours == dvcs
    assert type(ours["a"]) is type(dvcs["a"])


def test_the_dialect_is_yaml_1_2() -> None:
    """`1e-3` is a number, `010` is ten, `yes` is a word: what PyYAML would make of them is text, 8 and true."""
    found = read_yaml("{a: 1e-3, b: 010, c: yes, d: 1e-05}", "params.yaml")
    assert found == {"a": 0.001, "b": 10, "c": "yes", "d": 0.00001}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", 'in line 3: found duplicate key "a"'),
        ("s:\n  a: 1\n  a: 2\n", 'in line 3: found duplicate key "a"'),
        ("s:\n  a: 1\nt: 0\ns:\n  b: 2\n", 'in line 4: found duplicate key "s"'),
        ("a: [", "in line 1: expected"),
        ("a: 1\nb: c: d", "in line 2: mapping values are not allowed here"),
        ("a: 1\n\tb: 2", "in line 2: found character"),
        ("a: \x01", "unacceptable character"),
        ("a: !!python/object:os.system b", "in line 1: could not determine a constructor"),
        ("a: 2020-13-45", "month must be in 1..12"),
    ],
)
def test_broken_yaml_is_one_line_that_names_its_origin(text: str, message: str) -> None:
    """Keys given twice, unfinished and foreign texts: where it is, what is wrong, what to do."""
    with pytest.raises(ValueError, match=r"^some/params\.yaml is not valid YAML.*; correct it$") as caught:
        read_yaml(text, "some/params.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 9)
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        BOMB.replace("[*", "{<<: [*").replace("]\n", "]}\n").replace("[x, x, x, x, x, x, x, x, x]}", "{x: 1}"),
        "a: " + "[" * 10**5,
    ],
)
def test_a_text_that_stands_for_gigabytes_is_refused_unread(text: str) -> None:
    """Lists of lists, nine times nine, are 500 bytes that stand for 9^9 words, mappings merged so too; and depths."""
    message = r"^params\.yaml is not valid YAML: more than 16 repetitions \(\*name\), or 50 levels; correct it$"
    with pytest.raises(ValueError, match=message):
        read_yaml(text, "params.yaml")


def test_a_few_repetitions_are_read() -> None:
    """As people use them."""
    assert read_yaml("a: &rate 0.1\nb: [*rate, *rate]\n", "params.yaml") == {"a": 0.1, "b": [0.1, 0.1]}


def test_text_in_another_encoding_is_named(tmp_path: Path) -> None:
    """UTF-16, as some editors save it: the file, the place and what to do; UTF-8 is read, whatever the locale."""
    path = tmp_path / "params.yaml"
    path.write_bytes("ä".encode("utf-16"))
    with pytest.raises(ValueError, match=rf"^{path} is no UTF-8 text \(invalid start byte at byte 0\); save it as"):
        read_text(path)
    path.write_bytes("ä".encode())
    assert read_text(path) == text_of(path) == "ä"
    assert text_of(tmp_path / "nowhere") == ""


@pytest.mark.parametrize("text", ["[1]", "3", "null", '"a"', "", "{", "[" * 10**5, f'{{"a": {10**400}}}'])
def test_what_is_no_json_with_names_is_refused(text: str) -> None:
    """A list, a number, nothing, half a text, one nested too deeply: a ValueError."""
    assert parse_json('{"a": 1}') == {"a": 1}
    with pytest.raises(
        ValueError, match=r"^(expected \{\.\.\.\}, found |Expect|it is nested|it holds a number of 401)"
    ):
        parse_json(text)


def test_the_root_is_the_nearest_folder_with_dvc_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From any folder inside the project the root is found; a project inside another is its own."""
    monkeypatch.delenv("DVC_ROOT", raising=False)
    write_files(tmp_path, "dvc.yaml", "src/package/module.py", "inner/dvc.yaml", "inner/src/module.py")
    for here, root in (("", ""), ("src/package", ""), ("inner/src", "inner")):
        monkeypatch.chdir(tmp_path / here)
        assert project_root() == tmp_path / root


def test_under_dvc_the_root_is_what_dvc_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage in a temporary copy of the workspace still names the real checkout."""
    copy, real = write_files(tmp_path / "copy", "dvc.yaml"), write_files(tmp_path / "real", "dvc.yaml")
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(real))
    assert project_root() == real


def test_outside_a_project_there_is_no_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a dvc.yaml above the error says where it was looked for and what to do."""
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"no dvc.yaml in {tmp_path} or above it; run from inside the project"):
        project_root()
