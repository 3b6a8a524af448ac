"""The local store as files: a database and a folder of artifacts, created once and corrected after a move.

MLflow keeps every artifact location as an absolute path, and creates its database unsafely when several
processes start at once. Both are dealt with here, below MLflow, with sqlite3 and a lock file.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from softmax_regression.files import atomic_path

DATABASE, ARTIFACTS = "mlflow.db", "mlruns"
_PREFIX = "sqlite:///"
_MISREAD = re.compile(r"\?|%[0-9a-fA-F]{2}")
# Seconds for which another process may hold the database; MLflow itself waits as long.
_BUSY = 20.0
# Table, column of the location, column of the row's id, and how many folders the location lies below `mlruns`:
# mlruns/<experiment>, mlruns/<experiment>/<run>/artifacts, mlruns/<experiment>/models/<model>/artifacts.
_LOCATIONS = (
    ("experiments", "artifact_location", "experiment_id", 1),
    ("runs", "artifact_uri", "run_uuid", 3),
    ("logged_models", "artifact_location", "model_id", 4),
)


def database_file(uri: str, root: Path) -> Path | None:
    """Return the file behind an `sqlite:///` URI, taken from `root` if relative; None for any other store.

    Raises ValueError for a `file:` store or a bare folder, which MLflow no longer opens.
    """
    if uri.startswith(_PREFIX):
        return root.absolute() / uri.removeprefix(_PREFIX).partition("?")[0]
    if uri.startswith("file:") or "://" not in uri:
        raise ValueError(
            f"MLFLOW_TRACKING_URI is {uri!r}, a folder, which MLflow 3 no longer takes: "
            "unset it, or set it to sqlite:///<file> or http://<server>"
        )
    return None


def database_uri(database: Path) -> str:
    """Return the URI that opens `database`.

    Raises ValueError for a path that MLflow takes for another one: it cuts at `?` and decodes `%20`.
    """
    if _MISREAD.search(str(database)):
        raise ValueError(f"MLflow cannot keep runs in {database.parent}: move it to a path without ? and %")
    return _PREFIX + str(database)


def artifact_root(database: Path) -> Path:
    """Return the folder of the artifacts of `database`, where a bare `mlflow ui` looks for them, too."""
    return database.parent / ARTIFACTS


def create_once(database: Path, create: Callable[[Path], None]) -> None:
    """Make `database` by `create(temporary file)`, by one process only, so that it is whole or not there."""
    if _has_tables(database):
        return
    with exclusive(lock_file(database)):
        if not _has_tables(database):
            with atomic_path(database) as temporary:
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
    if tables and "experiments" not in tables:
        raise RuntimeError(f"{database} is a database, but not MLflow's: move it away, or name another file")
    return bool(tables)


@contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection whose changes are kept together or not at all; its errors become RuntimeError."""
    try:
        with closing(sqlite3.connect(database, timeout=_BUSY)) as connection, connection:
            yield connection
    except sqlite3.OperationalError as error:  # locked, read-only, no permission
        raise RuntimeError(f"{database} cannot be used: {error}; see who else has it open, and its rights") from None
    except sqlite3.DatabaseError as error:  # not a database, damaged
        raise RuntimeError(
            f"{database} cannot be read: {error}; restore it from a copy, or move it away and let sync fill a new one"
        ) from None
