"""Files are whole or not there; YAML and folders' digests are as DVC has them; the project's root is found."""

import hashlib
from pathlib import Path

import pytest
from dvc.utils.serialize import loads_yaml
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.meta import Meta
from dvc_data.hashfile.tree import Tree

from softmax_regression.files import (
    atomic_path,
    md5_of,
    md5_of_folder,
    project_root,
    read_yaml,
    sha256_of,
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
