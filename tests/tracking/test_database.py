"""The database is made once, whole, and follows its folder."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from softmax_regression.tracking import database
from softmax_regression.tracking.database import (
    create_once,
    database_file,
    database_uri,
    exclusive,
    lock_file,
    relocate,
)

SCHEMA = """
CREATE TABLE experiments (experiment_id INTEGER, artifact_location TEXT);
CREATE TABLE runs (run_uuid TEXT, artifact_uri TEXT);
CREATE TABLE logged_models (model_id TEXT, artifact_location TEXT);
"""


def create(path: Path) -> None:
    """Make an empty database with MLflow's three tables of locations."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA)


def locations(file: Path) -> list[str]:
    """Return all recorded locations: experiments', runs', models'."""
    query = "SELECT artifact_location FROM experiments UNION ALL SELECT artifact_uri FROM runs"
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute(f"{query} UNION ALL SELECT artifact_location FROM logged_models").fetchall()
    return [row[0] for row in rows]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A store with an experiment, a run that has a file, and a model, in the folder `old`."""
    path = tmp_path / "old" / "mlflow.db"
    files = path.parent / "mlruns" / "1" / "r1" / "artifacts"
    files.mkdir(parents=True)
    (files / "a.txt").write_text("")
    create(path)
    root = path.parent / "mlruns"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO experiments VALUES (1, ?)", (f"{root}/1",))
        connection.execute("INSERT INTO runs VALUES ('r1', ?)", (f"{root}/1/r1/artifacts",))
        connection.execute("INSERT INTO logged_models VALUES ('m1', ?)", (f"{root}/1/models/m1/artifacts",))
    return path


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sqlite:///mlflow.db", "/root/mlflow.db"),
        ("sqlite:///sub/x.db?timeout=3", "/root/sub/x.db"),
        ("sqlite:////abs/x.db", "/abs/x.db"),
        ("http://host", None),
        ("postgresql://host/db", None),
    ],
)
def test_a_database_is_found_from_the_root(uri: str, expected: str | None) -> None:
    """A relative file is meant from the project's root, wherever a stage runs; servers have no file."""
    assert database_file(uri, Path("/root")) == (None if expected is None else Path(expected))


@pytest.mark.parametrize("uri", ["file:///tmp/mlruns", "./mlruns", "mlruns"])
def test_a_folder_is_no_store(uri: str) -> None:
    """MLflow's former kind of store is refused with what to do."""
    with pytest.raises(ValueError, match=r"a folder, which MLflow 3 no longer takes: unset it, or"):
        database_file(uri, Path("/root"))


def test_awkward_paths_survive_their_uri() -> None:
    """Blanks, signs and accents come back as they were; what MLflow would misread is refused."""
    path = Path("/a b/50% n\u00e9#1/mlflow.db")
    assert database_file(database_uri(path), Path("/root")) == path
    for name in ("a?b", "a%20b"):
        with pytest.raises(ValueError, match=r"cannot keep runs in /a.*: move it to a path without"):
            database_uri(Path(f"/{name}/mlflow.db"))


def test_many_at_once_create_one_database(tmp_path: Path) -> None:
    """Of eight that want a store, one makes it and the others wait until it is whole."""
    made = []

    def slowly(path: Path) -> None:
        made.append(path)
        time.sleep(0.1)
        create(path)

    file = tmp_path / "mlflow.db"
    threads = [threading.Thread(target=create_once, args=(file, slowly)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert locations(file) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow.db", "mlruns"]


def test_an_interrupted_creation_leaves_nothing(tmp_path: Path) -> None:
    """A creation that fails leaves no database behind, and the next one succeeds; so does one on an empty file."""
    file = tmp_path / "mlflow.db"

    def fail(path: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create_once(file, fail)
    assert not file.exists()
    file.touch()
    create_once(file, create)
    assert locations(file) == []


def test_a_creation_that_hangs_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another holds the lock, a clear error comes after a time, and nothing is made."""
    file = tmp_path / "mlflow.db"
    lock = lock_file(file)
    monkeypatch.setattr(database, "exclusive", partial(exclusive, wait=0.1))
    with (
        exclusive(lock),
        pytest.raises(RuntimeError, match=f"another process has held {lock} for 0 seconds: end it, or wait, and"),
    ):
        create_once(file, create)
    assert not file.exists()


def test_a_turn_ends_with_its_block(tmp_path: Path) -> None:
    """A lock is free again after the block that held it, also where an error ended it."""
    lock = tmp_path / "folder" / "lock"
    with pytest.raises(ZeroDivisionError), exclusive(lock):
        raise ZeroDivisionError
    with exclusive(lock, wait=0):
        pass


@pytest.mark.parametrize(("content", "message"), [(b"no database" * 100, "cannot be read"), (None, "not MLflow's")])
def test_a_foreign_file_is_not_touched(tmp_path: Path, content: bytes | None, message: str) -> None:
    """A file that is no database, or another program's, is refused by name and stays as it is."""
    file = tmp_path / "mlflow.db"
    if content is None:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("CREATE TABLE other (x)")
    else:
        file.write_bytes(content)
    before = file.read_bytes()
    with pytest.raises(RuntimeError, match=message):
        create_once(file, create)
    assert file.read_bytes() == before


def test_a_store_in_its_place_is_not_changed(file: Path) -> None:
    """Correcting what is right changes no byte."""
    before = file.read_bytes()
    relocate(file)
    assert file.read_bytes() == before


def test_a_moved_store_points_to_its_new_place(file: Path, tmp_path: Path) -> None:
    """All three kinds of location follow the folder, once."""
    new = tmp_path / "it's new" / "mlflow.db"
    file.parent.rename(new.parent)
    root = new.parent / "mlruns"
    relocate(new)
    assert locations(new) == [f"{root}/1", f"{root}/1/r1/artifacts", f"{root}/1/models/m1/artifacts"]
    before = new.read_bytes()
    relocate(new)
    assert new.read_bytes() == before


def test_a_copied_store_leaves_the_original_alone(file: Path, tmp_path: Path) -> None:
    """The copy points to its own files, the original to its own."""
    copy = tmp_path / "copy" / "mlflow.db"
    shutil.copytree(file.parent, copy.parent)
    before = locations(file)
    relocate(copy)
    assert locations(copy)[:2] == [f"{copy.parent}/mlruns/1", f"{copy.parent}/mlruns/1/r1/artifacts"]
    assert locations(file) == before


def test_files_that_stayed_behind_are_still_found(file: Path, tmp_path: Path) -> None:
    """Where the database alone was copied, old runs keep their files there, new ones write here."""
    copy = tmp_path / "copy" / "mlflow.db"
    copy.parent.mkdir()
    shutil.copy(file, copy)
    relocate(copy)
    experiment, run, _ = locations(copy)
    assert experiment == f"{copy.parent}/mlruns/1"
    assert run == f"{file.parent}/mlruns/1/r1/artifacts"


@pytest.mark.parametrize("location", ["/data/team/1", "s3://bucket/mlruns/1", "mlflow-artifacts:/1", "/mlruns"])
def test_a_location_of_somebodys_choice_stays(file: Path, location: str) -> None:
    """Only locations in a folder mlruns beside a database are ours to change."""
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE experiments SET artifact_location = ?", (location,))
    relocate(file)
    assert locations(file)[0] == location


def test_a_locked_database_is_an_error(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that another program does not let go is named in one line."""
    monkeypatch.setattr(database, "_BUSY", 0.05)
    with closing(sqlite3.connect(file)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RuntimeError, match=r"mlflow\.db cannot be used: database is locked; see who"):
            relocate(file)
