"""The local store as files: a database and a folder of artifacts, created once, migrated, corrected after a move.

MLflow keeps every artifact location as an absolute path, creates its database unsafely when several processes start
at once, and alters an older version's in place. This is dealt with here, below MLflow, with sqlite3 and a lock file.
"""

import os
import re
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from softmax_regression.files import atomic_path, no_room
from softmax_regression.redaction import HIDDEN

DATABASE, ARTIFACTS = "mlflow.db", "mlruns"
_PREFIX = "sqlite:///"
_MISREAD = re.compile(r"""\?|%[0-9a-fA-F]{2}|'.*"|".*'""", re.DOTALL)
# Seconds for which another process may hold the database; MLflow itself waits as long.
_BUSY = 20.0
# Table, column of the location, column of the row's id, and how many folders the location lies below `mlruns`:
# mlruns/<experiment>, mlruns/<experiment>/<run>/artifacts, mlruns/<experiment>/models/<model>/artifacts.
_LOCATIONS = (
    ("experiments", "artifact_location", "experiment_id", 1),
    ("runs", "artifact_uri", "run_uuid", 3),
    ("logged_models", "artifact_location", "model_id", 4),
    ("model_versions", "source", "rowid", 4),
    ("model_versions", "storage_location", "rowid", 4),
)
_INDEX = "softmax_regression_tags"
_KEPT = ("experiments", "runs", "metrics", "params", "tags")  # tables of which a migration may lose no row


class Schema(NamedTuple):
    """What an MLflow knows of its databases: their revisions, newest first, and how to bring a file to the newest."""

    version: str  # MLflow's
    revisions: Sequence[str]
    upgrade: Callable[[Path], None]


def database_file(uri: str, root: Path) -> Path | None:
    """Return the file behind an `sqlite:///` URI, taken from `root` if relative; None for any other store.

    Raises ValueError for a `file:` store or a bare folder, which MLflow no longer opens.
    """
    if uri.startswith(_PREFIX):
        return root.absolute() / uri.removeprefix(_PREFIX).partition("?")[0]
    if uri.startswith("file:") or "://" not in uri:
        _, at, place = uri.rpartition("@")  # before it, a password of an address without its scheme
        raise ValueError(
            f"MLFLOW_TRACKING_URI is {HIDDEN * bool(at) + at + place!r}, a folder, which MLflow 3 no longer takes: "
            "unset it, or set it to sqlite:///<file> or http://<server>"
        )
    return None


def database_uri(database: Path) -> str:
    """Return the URI that opens `database`.

    Raises ValueError for a path that MLflow takes for another one: it cuts at `?` and decodes `%20`; and for one with
    both kinds of quotes, with which MLflow makes a database without its default experiment.
    """
    if _MISREAD.search(str(database)):
        raise ValueError(
            f"MLflow cannot keep runs in {database.parent}: move it to a path without ?, % and both kinds of quotes"
        )
    return _PREFIX + str(database)


def artifact_root(database: Path) -> Path:
    """Return the folder of the artifacts of `database`, where a bare `mlflow ui` looks for them, too."""
    return database.parent / ARTIFACTS


def private_folder(database: Path, experiment_id: str) -> None:
    """Make the folder of an experiment's artifacts, its owner's alone; one that is there stays as it is."""
    (artifact_root(database) / experiment_id).mkdir(mode=0o700, parents=True, exist_ok=True)


def create_once(database: Path, create: Callable[[Path], None]) -> None:
    """Make `database` by `create(temporary file)`, by one process only, so that it is whole or not there.

    It is its owner's alone, whatever the umask: runs hold people's code. Who wants to share it opens it by hand.
    """
    if _has_tables(database):
        return
    with exclusive(lock_file(database)):
        if not _has_tables(database):
            with atomic_path(database) as temporary:
                temporary.chmod(0o600)  # SQLite's logs beside it take that on
                create(temporary)


def lock_file(database: Path) -> Path:
    """Return the file by whose lock processes that use `database` take turns."""
    return artifact_root(database) / ".lock"


@contextmanager
def exclusive(lock: Path, wait: float = 60.0) -> Iterator[None]:
    """Hold the lock. Raises RuntimeError where another process does not release it within `wait` seconds."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=wait):
            yield
    except Timeout:
        raise RuntimeError(
            f"another process has held {lock} for {wait:.0f} seconds: end it, or wait, and start again"
        ) from None


def migrate(database: Path, schema: Schema) -> None:
    """Bring a database that an older MLflow wrote to the newest schema, and say so; the old file is kept beside it.

    A copy is upgraded, checked and renamed into place; until then, and on any error, nothing changes. Meanwhile others
    can read, and wait to write. A program that still has the old file open goes on reading that, and SQLite refuses
    what it writes ("attempt to write a readonly database"): nothing is lost unseen.

    Raises RuntimeError for a schema that this MLflow does not know, and where the migration fails.
    """
    if (revision := _revision(database)) == schema.revisions[0]:
        return
    if revision not in schema.revisions:
        raise RuntimeError(
            f"{database} has the schema {revision}, which MLflow {schema.version} does not know: a newer MLflow wrote "
            "it, or another program; install that version, or name another file in MLFLOW_TRACKING_URI"
        )
    with exclusive(lock_file(database)):
        if _revision(database) == revision:  # or another process was faster
            try:
                _migrate(database.resolve(), revision, schema)
            except Exception as error:  # a migration may raise anything
                reason = (str(error) or type(error).__name__).splitlines()[0]
                raise RuntimeError(
                    f"{database} is as it was, not migrated: {reason}; or name another file in MLFLOW_TRACKING_URI"
                ) from error


def _migrate(database: Path, revision: str, schema: Schema) -> None:
    old = f"{database.name}.before-{revision}"
    names = (database.with_name(old if number == 1 else f"{old}-{number}") for number in count(1))
    kept = next(name for name in names if not name.exists())
    print(
        f"{database} is of an older MLflow (schema {revision}): migrating it to MLflow {schema.version} (schema "
        f"{schema.revisions[0]}); the old file is kept as {kept.name}",
        file=sys.stderr,
        flush=True,
    )
    with _opened(database) as holder:
        holder.execute("PRAGMA journal_mode = DELETE")  # or a write-ahead log here would be taken for the new file's
        holder.execute("BEGIN IMMEDIATE")
        with atomic_path(database) as new:
            rows = _rows(database)
            with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(new)) as copy:
                source.backup(copy)
                copy.execute(f"DROP INDEX IF EXISTS {_INDEX}")  # ours, which no migration knows; see `tune`
                copy.commit()
            schema.upgrade(new)
            lost = any(now < was for now, was in zip(_rows(new), rows, strict=True))
            if lost or _revision(new) != schema.revisions[0]:
                raise RuntimeError("the migrated copy lacks rows, or tables; go on with the MLflow that wrote it")
            shutil.copymode(database, new)
            os.link(database, kept)
        holder.rollback()  # a commit would wait for readers


def tune(database: Path) -> None:
    """Let SQLite answer MLflow's questions in time that does not grow with the square of the number of runs.

    MLflow has no index by the value of a tag: with one, a run among 10,000 is found in 3 ms, not 16. And without
    statistics on its tables SQLite joins runs and a metric pair by pair: 5 s, not 0.06, at 10,000. They are counted
    again when there are twice as many runs, in 0.1 s. A store that cannot be written does without.
    """
    with closing(sqlite3.connect(database, timeout=_BUSY)) as connection, suppress(sqlite3.OperationalError):
        connection.execute(f"CREATE INDEX IF NOT EXISTS {_INDEX} ON tags (key, value)")
        (runs,) = connection.execute("SELECT coalesce(max(rowid), 0) FROM runs").fetchone()
        known = None
        if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_stat1'").fetchone():
            known = connection.execute("SELECT stat FROM sqlite_stat1 WHERE tbl = 'runs'").fetchone()
        if runs >= 2 * int(known[0].split()[0] if known else 1):
            connection.execute("ANALYZE runs")
            connection.execute("PRAGMA analysis_limit = 400")  # rows of an index: an estimate
            for table in ("latest_metrics", "metrics", "params", "tags"):
                connection.execute(f"ANALYZE {table}")


def relocate(database: Path) -> None:
    """Point the locations in `database` into its own folder after the folder was moved or copied.

    A run or model stays where it is recorded if its files are there and not here, as when the database was copied
    alone.
    """
    here = artifact_root(database)
    with _opened(database) as connection:
        for table, column, row_id, depth in _LOCATIONS:
            elsewhere = f"instr({column}, '/') = 1 AND instr({column}, ?) <> 1"  # absolute paths, not below `here`
            query = f"SELECT {row_id}, {column} FROM {table} WHERE {elsewhere}"
            for identifier, recorded in connection.execute(query, (f"{here}/",)).fetchall():
                old = Path(recorded)
                if len(old.parents) < depth or old.parents[depth - 1].name != ARTIFACTS:
                    continue  # a location of somebody's choice
                new = here / old.relative_to(old.parents[depth - 1])
                if table == "experiments" or new.exists() or not old.exists():
                    connection.execute(f"UPDATE {table} SET {column} = ? WHERE {row_id} = ?", (str(new), identifier))


def _has_tables(database: Path) -> bool:
    if not database.exists():
        return False
    with _opened(database) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables and not {"experiments", "alembic_version"} <= tables:
        raise RuntimeError(f"{database} is a database, but not MLflow's: move it away, or name another file")
    return bool(tables)


def _revision(database: Path) -> str:
    """Return the revision of the schema, as MLflow's migrations (Alembic's) record it."""
    with _opened(database) as connection:
        return str(connection.execute("SELECT max(version_num) FROM alembic_version").fetchone()[0])


def _rows(database: Path) -> list[int]:
    """Return how many rows the tables have that hold the runs. Raises RuntimeError if the file is damaged."""
    with _opened(database) as connection:
        (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        return [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in _KEPT]


@contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection whose changes are kept together or not at all; its errors become RuntimeError."""
    try:
        with closing(sqlite3.connect(database, timeout=_BUSY)) as connection, connection:
            yield connection
    except sqlite3.OperationalError as error:  # locked, read-only, no permission, a full disk
        reason = no_room(error, database.parent) or f"{error}; see who else has it open, and its rights"
        raise RuntimeError(f"{database} cannot be used: {reason}") from None
    except sqlite3.DatabaseError as error:  # not a database, damaged
        raise RuntimeError(
            f"{database} cannot be read: {error}; restore it from a copy, or move it away and let sync fill a new one"
        ) from None
