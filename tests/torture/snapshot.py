"""What a store holds at this moment, from its tables and files: no client, no cache, none of the project's code."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

READY = 2  # logged_models.status


@dataclass
class StoredModel:
    """A logged model, whether MLflow says that it is ready, and its folder."""

    model_id: str
    ready: bool
    files: Path


@dataclass
class StoredRun:
    """A run of the store that nobody has deleted."""

    run_id: str
    name: str
    status: str
    files: Path
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)  # the latest values
    models: list[StoredModel] = field(default_factory=list)

    @property
    def key(self) -> str:
        """The experiment's key, or nothing."""
        return self.tags.get("experiment.key", "")

    @property
    def config(self) -> str:
        """What was to be trained."""
        return self.tags.get("experiment.config", "")

    @property
    def live(self) -> bool:
        """Whether this run represents its experiment."""
        return self.status == "FINISHED" and self.tags.get("experiment.live") == "true"

    @property
    def repeats(self) -> str:
        """The id of the run that this one repeats, or nothing."""
        return self.tags.get("experiment.reproduces", "")

    def __str__(self) -> str:
        kind = "live" if self.live else f"repeats {self.repeats[:6]}" if self.repeats else self.status
        return f"{self.name} {self.run_id[:6]} ({kind})"


def sqlite_snapshot(root: Path, experiment: str) -> dict[str, StoredRun]:
    """Return the active runs of an experiment in the project's own store, by id."""
    if not (root / "mlflow.db").exists():
        return {}
    with closing(sqlite3.connect(f"file:{root / 'mlflow.db'}?mode=rw", uri=True, timeout=20)) as connection:
        return _runs(connection.execute, experiment, lambda uri: root / "mlruns" / uri.rpartition("/mlruns/")[2])


def postgresql_snapshot(database: str, files: Path, experiment: str) -> dict[str, StoredRun]:
    """Return the active runs of an experiment on the server, by id."""
    import psycopg2  # type: ignore[import-untyped]

    def execute(query: str, values: Iterable[Any] = ()) -> Any:
        cursor.execute(query.replace("?", "%s"), values)
        return cursor

    with closing(psycopg2.connect(database.replace("+psycopg2", ""))) as connection, connection.cursor() as cursor:
        return _runs(execute, experiment, lambda uri: files / uri.partition(":/")[2])


def _runs(execute: Any, experiment: str, folder: Any) -> dict[str, StoredRun]:
    found = execute(
        "SELECT run_uuid, runs.name, status, artifact_uri FROM runs JOIN experiments USING (experiment_id) "
        "WHERE experiments.name = ? AND runs.lifecycle_stage = 'active' ORDER BY start_time",
        (experiment,),
    ).fetchall()
    runs = {run_id: StoredRun(run_id, name, status, folder(uri)) for run_id, name, status, uri in found}
    for run_id, key, value in execute("SELECT run_uuid, key, value FROM tags").fetchall():
        if run_id in runs:
            runs[run_id].tags[key] = value
    for run_id, key, value in execute("SELECT run_uuid, key, value FROM latest_metrics").fetchall():
        if run_id in runs:
            runs[run_id].metrics[key] = value
    models = execute(
        "SELECT source_run_id, model_id, status, artifact_location FROM logged_models WHERE lifecycle_stage = 'active'"
    ).fetchall()
    for run_id, model_id, status, uri in models:
        if run_id in runs:
            runs[run_id].models.append(StoredModel(model_id, status == READY, folder(uri)))
    return runs


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, or nothing where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def key_of(train: Path) -> str:
    """Return the key of the experiment whose training is in the folder `train`, or nothing."""
    return digest(train / "experiment.json")[:16]


def json_of(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds; nothing where there is none."""
    return dict(json.loads(path.read_text())) if path.is_file() else {}
