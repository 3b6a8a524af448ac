"""The database is made once, whole, is migrated on a copy, and follows its folder."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from softmax_regression.tracking import database
from softmax_regression.tracking.database import (
    Schema,
    create_once,
    database_file,
    database_uri,
    exclusive,
    lock_file,
    migrate,
    relocate,
    tune,
)

SCHEMA = """
CREATE TABLE experiments (experiment_id INTEGER, artifact_location TEXT);
CREATE TABLE runs (run_uuid TEXT, artifact_uri TEXT);
CREATE TABLE logged_models (model_id TEXT, artifact_location TEXT);
CREATE TABLE model_versions (version INTEGER, source TEXT, storage_location TEXT);
CREATE TABLE metrics (value FLOAT);
CREATE TABLE latest_metrics (value FLOAT);
CREATE TABLE params (value TEXT);
CREATE TABLE tags (key TEXT, value TEXT);
CREATE TABLE alembic_version (version_num TEXT);
INSERT INTO alembic_version VALUES ('older');
"""


def create(path: Path) -> None:
    """Make an empty database with those of MLflow's tables that are used here."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA)


def locations(file: Path) -> list[str]:
    """Return all recorded locations: experiments', runs', models', and both of the registered versions'."""
    columns = (
        "artifact_location FROM experiments",
        "artifact_uri FROM runs",
        "artifact_location FROM logged_models",
        "source FROM model_versions",
        "storage_location FROM model_versions",
    )
    query = " UNION ALL ".join(f"SELECT {column}" for column in columns)
    with closing(sqlite3.connect(file)) as connection:
        return [location for (location,) in connection.execute(query)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A store with an experiment, a run that has a file, and a model that is registered, in the folder `old`."""
    path = tmp_path / "old" / "mlflow.db"
    files = path.parent / "mlruns" / "1" / "r1" / "artifacts"
    files.mkdir(parents=True)
    (files / "a.txt").write_text("")
    create(path)
    root = path.parent / "mlruns"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO experiments VALUES (1, ?)", (f"{root}/1",))
        connection.execute("INSERT INTO runs VALUES ('r1', ?)", (f"{root}/1/r1/artifacts",))
        model = f"{root}/1/models/m1/artifacts"
        connection.execute("INSERT INTO logged_models VALUES ('m1', ?)", (model,))
        connection.execute("INSERT INTO model_versions VALUES (1, ?, ?)", (model, model))
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


def test_a_uri_that_may_hold_a_password_is_not_repeated() -> None:
    """A server's address without its scheme looks like a folder: the error hides what stands before the @."""
    with pytest.raises(ValueError, match="a folder, which MLflow 3") as caught:
        database_file("bob:secret@host:5000/x", Path("/root"))
    assert "secret" not in str(caught.value)


def test_awkward_paths_survive_their_uri() -> None:
    """Blanks, signs and accents come back as they were; what MLflow would misread is refused."""
    path = Path("/a b/50% n\u00e9#1/mlflow.db")
    assert database_file(database_uri(path), Path("/root")) == path
    for name in ("a?b", "a%20b", 'a\'s "b"', 'a "b"\'s'):
        with pytest.raises(ValueError, match=r"cannot keep runs in /a.*: move it to a path without"):
            database_uri(Path(f"/{name}/mlflow.db"))


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_database_is_its_owners_alone(tmp_path: Path, mask: int) -> None:
    """Whatever other new files may be: nobody else reads it, nor the logs that SQLite keeps beside it."""
    before = os.umask(mask)
    try:
        create_once(file := tmp_path / "mlflow.db", create)
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("INSERT INTO metrics VALUES (1)")
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("mlflow.db*")}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("mlflow.db", "mlflow.db-wal", "mlflow.db-shm"), 0o600)


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
    """All kinds of location follow the folder, once."""
    new = tmp_path / "it's new" / "mlflow.db"
    file.parent.rename(new.parent)
    root = new.parent / "mlruns"
    relocate(new)
    assert locations(new) == [f"{root}/1", f"{root}/1/r1/artifacts", *[f"{root}/1/models/m1/artifacts"] * 3]
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
    experiment, run, *_ = locations(copy)
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


def execute(file: Path, *statements: str) -> None:
    """Change a database."""
    with closing(sqlite3.connect(file)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def upgrade(file: Path) -> None:
    """Upgrade a database as MLflow does, in place."""
    execute(file, "ALTER TABLE runs ADD COLUMN fresh INTEGER", "UPDATE alembic_version SET version_num = 'newest'")


def schema(how: Callable[[Path], None] = upgrade) -> Schema:
    """Return what a made-up MLflow knows."""
    return Schema("9.9", ("newest", "older", "oldest"), how)


def around(file: Path) -> dict[str, bytes]:
    """Return the files beside a database, itself included."""
    return {path.name: path.read_bytes() for path in file.parent.iterdir() if path.is_file()}


def test_a_database_of_this_mlflow_is_left_alone(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the schema is the newest, no byte changes and nothing is said."""
    upgrade(file)
    before = around(file)
    migrate(file, schema())
    assert around(file) == before
    assert capsys.readouterr().err == ""


def test_an_older_database_is_migrated_on_a_copy(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The new file has the newest schema, all rows and the old rights; the old one is kept; one line says so."""
    file.chmod(0o600)
    old, recorded = file.read_bytes(), locations(file)
    migrate(file, schema())
    assert locations(file) == recorded
    assert around(file) == {file.name: file.read_bytes(), "mlflow.db.before-older": old}
    assert file.read_bytes() != old
    assert file.stat().st_mode & 0o777 == 0o600
    assert capsys.readouterr().err == (
        f"{file} is of an older MLflow (schema older): migrating it to MLflow 9.9 (schema newest); the old file is "
        "kept as mlflow.db.before-older\n"
    )


def test_what_was_kept_is_never_overwritten(file: Path) -> None:
    """An old file that was brought back is migrated again, and kept under the next name."""
    old = file.read_bytes()
    for _ in range(2):
        migrate(file, schema())
        file.write_bytes(old)
    assert around(file) == dict.fromkeys(("mlflow.db", "mlflow.db.before-older", "mlflow.db.before-older-2"), old)


def fail(_: Path) -> None:
    """Fail as no one expects."""
    raise KeyError("a bug\nof theirs")


def lose_rows(file: Path) -> None:
    """Upgrade, and lose a run."""
    upgrade(file)
    execute(file, "DELETE FROM runs")


def damage(file: Path) -> None:
    """Upgrade, and leave a part."""
    upgrade(file)
    file.write_bytes(file.read_bytes()[:-4096])


def fill_the_disk(_: Path) -> None:
    """Find no room."""
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (fail, r"a bug\\nof theirs"),
        (lambda file: None, "the migrated copy lacks rows, or tables; go on with"),
        (lose_rows, "the migrated copy lacks rows, or tables; go on with"),
        (damage, "mlflow.db.* cannot be read: "),
        (fill_the_disk, r"mlflow.db cannot be written: it needs more than [\d,]+ bytes, and the disk is full"),
    ],
)
def test_a_migration_that_fails_leaves_all_as_it_was(file: Path, how: Callable[[Path], None], message: str) -> None:
    """Whatever goes wrong, the old file stays, nothing lies beside it, and one line says why."""
    before = around(file)
    with pytest.raises(RuntimeError, match=f"{file} is as it was, not migrated: .*{message}") as caught:
        migrate(file, schema(how))
    assert "\n" not in str(caught.value)
    assert around(file) == before


def test_a_schema_that_is_not_known_is_refused(file: Path) -> None:
    """What a newer MLflow wrote is named, with the way out, and not touched."""
    execute(file, "UPDATE alembic_version SET version_num = 'later'")
    before = around(file)
    with pytest.raises(RuntimeError, match=r"has the schema later, which MLflow 9\.9 does not know: .*; install that"):
        migrate(file, schema())
    assert around(file) == before


def test_many_at_once_migrate_once(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of four that open an older database, one migrates it and the others wait."""

    def slowly(path: Path) -> None:
        time.sleep(0.1)
        upgrade(path)

    threads = [threading.Thread(target=migrate, args=(file, schema(slowly))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(around(file)) == {"mlflow.db", "mlflow.db.before-older"}
    assert capsys.readouterr().err.count("migrating") == 1


def test_no_write_is_lost_in_a_migration(file: Path) -> None:
    """Who has the database open cannot write into the file that is being copied, nor later into the one that was."""
    with closing(sqlite3.connect(file, timeout=0.05)) as other:

        def write(message: str) -> None:
            with pytest.raises(sqlite3.OperationalError, match=message):
                other.execute("INSERT INTO metrics VALUES (1)")

        def while_they_wait(path: Path) -> None:
            write("database is locked")
            assert other.execute("SELECT count(*) FROM runs").fetchone() == (1,)
            upgrade(path)

        migrate(file, schema(while_they_wait))
        write("attempt to write a readonly database")


def test_a_write_ahead_log_belongs_to_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in a log alone is migrated, too, and no log is left for the new file; in use, it is refused."""
    monkeypatch.setattr(database, "_BUSY", 0.05)
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("INSERT INTO metrics VALUES (1)")
        other.commit()
        with pytest.raises(RuntimeError, match=r"not migrated: .* cannot be used: database is locked; see who"):
            migrate(file, schema())
        copy = Path(shutil.copytree(file.parent, file.parents[1] / "copy")) / file.name  # as a killed process leaves it
    migrate(copy, schema())
    assert set(around(copy)) == {"mlflow.db", "mlflow.db.before-older"}
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM metrics").fetchone() == (1,)


def test_a_link_to_a_database_stays_a_link(file: Path, tmp_path: Path) -> None:
    """The file that it leads to is migrated, and kept, in its own folder."""
    link = tmp_path / "mlflow.db"
    link.symlink_to(file)
    migrate(link, schema())
    assert link.is_symlink()
    assert set(around(file)) == {"mlflow.db", "mlflow.db.before-older"}


def test_a_tag_is_found_by_its_value_through_an_index(file: Path) -> None:
    """SQLite plans so; again, nothing is written; a migration works on tables without it."""
    tune(file)
    before = file.read_bytes()
    tune(file)
    assert file.read_bytes() == before
    with closing(sqlite3.connect(file)) as connection:
        plan = connection.execute("EXPLAIN QUERY PLAN SELECT * FROM tags WHERE key = ? AND value = ?", ("k", "v"))
        assert "INDEX softmax_regression_tags (key=? AND value=?)" in str(plan.fetchall())

    def upgrade_without(new: Path) -> None:
        with closing(sqlite3.connect(new)) as connection:
            assert "softmax_regression" not in str(connection.execute("SELECT name FROM sqlite_schema").fetchall())
        upgrade(new)

    migrate(file, schema(upgrade_without))


def test_rows_are_counted_again_when_there_are_twice_as_many_runs(file: Path) -> None:
    """SQLite plans by these counts."""

    def counted() -> str:
        with closing(sqlite3.connect(file)) as connection:
            return str(connection.execute("SELECT stat FROM sqlite_stat1 WHERE tbl = 'runs'").fetchone()[0])

    for more, expected in (("2", "2"), ("3", "2"), ("4", "4")):
        execute(file, f"INSERT INTO runs VALUES ('r{more}', '')")
        tune(file)
        assert counted() == expected


def test_a_store_that_cannot_be_written_is_left_as_it_is(file: Path) -> None:
    """It answers more slowly."""
    before = file.read_bytes()
    with closing(sqlite3.connect(file)) as holder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("softmax_regression.tracking.database._BUSY", 0.0)
        holder.execute("BEGIN EXCLUSIVE")
        tune(file)
    assert file.read_bytes() == before
