"""A store of thousands of made-up runs, written as rows into the tables that MLflow made: 10,000 in a quarter minute.

    fill(store, 1000, store.uri)

Each has as much on record as a real one (25 params, 60 metrics, 25 tags), and no files. The accuracies of a
configuration's seeds have a standard deviation of half a point, the configurations' means, around 0.84, one of a point.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from softmax_regression.artifacts.experiment import digest
from softmax_regression.tracking.record import ATTEMPT, CONFIG, CONFIGURATION, KEY, LIVE, OUTPUTS, RunRecord
from softmax_regression.tracking.run_store import RunStore, unsettled

SEEDS = 8
DATA = "made"
_AGAIN = 50  # of so many runs one is repeated, and one superseded
_AT_ONCE = 500  # runs whose rows are in memory
_STAGES = ("train", "evaluate", "predict", "figures")


def fill(store: RunStore, count: int, database: str) -> None:
    """Add `count` runs to the store, whose tables are at the URI `database`."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(database)
    place = store.mlflow.get_experiment(store.experiment_id).artifact_location
    runs = made_runs(count)
    with engine.begin() as connection:
        for start in range(0, count, _AT_ONCE):
            for table, rows in _rows(runs[start : start + _AT_ONCE], store.experiment_id, place):
                values, names = [tuple(row.values()) for row in rows], ", ".join(rows[0])
                if engine.dialect.name == "sqlite":
                    marks = ", ".join("?" * len(rows[0]))
                    connection.exec_driver_sql(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)
                else:  # PostgreSQL: ten times faster than INSERT
                    text = io.StringIO()
                    csv.writer(text).writerows(values)
                    text.seek(0)
                    connection.connection.cursor().copy_expert(f"COPY {table} ({names}) FROM STDIN CSV", text)
        if engine.dialect.name != "sqlite":
            connection.exec_driver_sql("ANALYZE")  # as it does by itself in a while
    engine.dispose()


@contextmanager
def counted(store: RunStore) -> Iterator[list[int]]:
    """Yield the number of runs of each page that is fetched, query by query."""
    pages: list[int] = []
    mlflow = store.mlflow

    class Noting:
        def __getattr__(self, name: str) -> Any:
            return noted if name == "search_runs" else getattr(mlflow, name)

    def noted(*arguments: Any) -> Any:
        found = mlflow.search_runs(*arguments)
        pages.append(len(found))
        return found

    store.mlflow = Noting()  # type: ignore[assignment]  # it answers as the one it wraps
    try:
        yield pages
    finally:
        store.mlflow = mlflow


def two_stores(folder: Path) -> tuple[RunStore, RunStore]:
    """Return a store with 100 runs and one with 1,000."""
    small, large = (RunStore.open(folder / name) for name in ("small", "large"))
    for store, count in ((small, 100), (large, 1000)):
        fill(store, count, store.uri)
    return small, large


def made_runs(count: int) -> list[RunRecord]:
    """Return the runs, seed by seed of one configuration after the other, tagged as settled."""
    runs = list(itertools.islice(_made(), count))
    changes = unsettled(runs)
    return [replace(run, tags={**run.tags, **changes.get(run.run_id, {})}) for run in runs]


def _made() -> Iterator[RunRecord]:
    rng = np.random.default_rng(0)
    numbers = itertools.count()
    for place in itertools.count():
        name, mean = f"{DATA} lr{place / 10_000:.4f} b256 e10", rng.normal(0.84, 0.01)
        for seed in range(SEEDS):
            config, again = digest(f"{name} {seed}"), (place * SEEDS + seed) % _AGAIN
            for attempt in (1, 2) if again < 2 else (1,):
                key = digest(f"{config} {attempt * again}")  # again = 1: with other weights
                tags = {CONFIG: config, CONFIGURATION: digest(name), KEY: key, ATTEMPT: str(attempt)}
                called = f"{name} s{seed}{f' #{attempt}' if attempt > 1 else ''}"
                yield _run(next(numbers), called, seed, tags, round(float(rng.normal(mean, 0.005)), 4))


def _run(number: int, name: str, seed: int, tags: dict[str, str], accuracy: float) -> RunRecord:
    start = 1_700_000_000_000 + number * 60_000
    metrics = {f"final/{part}_accuracy": accuracy for part in ("test", "validation")}
    metrics |= {f"final/{part}_loss": 1 - accuracy for part in ("train", "test", "validation")}
    metrics |= {"final/test_accuracy_low": accuracy - 0.007, "final/test_accuracy_high": accuracy + 0.007}
    metrics |= {f"curves/figure_{place}": accuracy for place in range(53)}
    params = {"data.name": DATA, "train.seed": str(seed)} | {f"a.param_{place}": str(number) for place in range(23)}
    tags = tags | {f"{OUTPUTS}{stage}": f"{number}{stage}.dir" for stage in _STAGES}
    tags |= {LIVE: "true", "writer": "host boot 1 1", "writer.seen": str(start), "mlflow.runName": name}
    tags |= {f"a.tag_{place}": "a word" for place in range(13)}
    return RunRecord(digest(f"{number}") * 2, name, "FINISHED", start, start + 5_000, params, metrics, tags)


def _rows(runs: Sequence[RunRecord], experiment: str, artifacts: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield tables and rows of them, as MLflow's store writes them."""
    empty = dict.fromkeys(("source_name", "entry_point_name", "source_version"), "")
    yield (
        "runs",
        [
            {
                "run_uuid": run.run_id,
                "name": run.name,
                "source_type": "UNKNOWN",
                "user_id": "somebody",
                "status": run.status,
                "start_time": run.start_time,
                "end_time": run.end_time,
                "lifecycle_stage": "active",
                "artifact_uri": f"{artifacts}/{run.run_id}/artifacts",
                "experiment_id": int(experiment),
                **empty,
            }
            for run in runs
        ],
    )
    for table in ("tags", "params"):
        pairs = ((run.run_id, *pair) for run in runs for pair in getattr(run, table).items())
        yield table, [{"run_uuid": run_id, "key": key, "value": value} for run_id, key, value in pairs]
    points = [
        {"run_uuid": run.run_id, "key": key, "value": value, "timestamp": run.end_time, "step": 0, "is_nan": False}
        for run in runs
        for key, value in run.metrics.items()
    ]
    yield "latest_metrics", points
    yield "metrics", points
