"""What commands cost in a store of 10,000 runs, over what they cost in one of 100: SQLite, and a server's PostgreSQL.

Beside made-up runs each store has three configurations whose files are there, to compare, and the run of a workspace.
"""

from __future__ import annotations

import functools
import os
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.measuring import ROOT, Figure, interleaved
from softmax_regression.comparing.compare import compare
from softmax_regression.comparing.leaderboard import leaderboard
from softmax_regression.lineage.best import best_run
from softmax_regression.lineage.naming import find_record
from softmax_regression.lineage.sync import sync
from softmax_regression.tracking.record import CONFIGURATION
from softmax_regression.tracking.run_store import RunStore

SIZES = (100, 10_000)  # runs
REPEATS = 5
COMMANDS = ("leaderboard", "show best", "sync", "show workspace")
MOST = 2.0
_URI = "MLFLOW_TRACKING_URI"


def of_runs(
    sizes: tuple[int, int] = SIZES, repeats: int = REPEATS, commands: tuple[str, ...] = COMMANDS
) -> list[Figure]:
    """Fill stores of both kinds and sizes, and measure each operation in both sizes by turns."""
    sys.path.insert(0, str(ROOT / "tests"))  # what fills a store, and starts servers
    from servers import why_no_postgresql

    figures = []
    for kind, place in {"SQLite": in_the_project, "PostgreSQL": on_a_server}.items():
        if kind == "PostgreSQL" and (reason := why_no_postgresql()):
            print(f"no figures of PostgreSQL: {reason}", flush=True)
            continue
        with ExitStack() as stack:
            places = [stack.enter_context(place(size)) for size in sizes]
            tasks = [operations(*where) | whole_commands(*where, commands) for where in places]
            for name in tasks[0]:
                pair = {str(size): task[name] for size, task in zip(sizes, tasks, strict=True)}
                small, large = interleaved(pair, repeats).values()
                detail = f"{1000 * small:.0f} ms with {sizes[0]:,} runs, {1000 * large:.0f} ms with {sizes[1]:,}"
                figures.append(Figure(f"{kind}: {name}", f"{large / small:.2f}", f"at most {MOST:g}", detail))
    return figures


def operations(root: Path, uri: str) -> dict[str, Callable[[], object]]:
    """Return what is measured in this process, by name; each opens no store but `sync`."""
    from filled_project import RATE_01, RATE_05

    store = _opened(root, uri)
    run = next(run for run in store.runs("params.`train.seed` = '3'") if run.live)

    def fresh() -> RunStore:
        store.__dict__.pop("_untagged", None)  # what one command asks once
        return store

    def start_and_end() -> None:
        name = uuid.uuid4().hex[:16]
        started = store.start_run(name, name, {"seed": 0}, {CONFIGURATION: name})
        started.log_metrics({"curves/loss": 1.0})
        started.finish(key=name)

    def synced() -> None:
        with _environment(uri):
            lines = list(sync(root))
        assert lines == ["nothing to do: MLflow holds a complete run for each state"], lines

    return {
        "start and end a run": start_and_end,
        "find by key": lambda: fresh().find(run.key),
        "find by name": lambda: find_record(fresh(), run.name),
        "best": lambda: best_run(fresh()),
        "compare": lambda: compare(fresh(), root, [RATE_01, RATE_05]),
        "leaderboard, top 20": lambda: leaderboard(fresh(), top=20),
        "sync": synced,
    }


def whole_commands(root: Path, uri: str, commands: tuple[str, ...]) -> dict[str, Callable[[], object]]:
    """Return commands as a person types them, each a new process."""
    from scratch_project import Project

    project = Project(root, {"PYTHONPATH": str(ROOT / "src")} | ({_URI: uri} if uri else {}))
    return {f"`{command}`": functools.partial(project.own, *command.split()) for command in commands}


@contextmanager
def in_the_project(size: int) -> Iterator[tuple[Path, str]]:
    """Yield a project with so many runs in its own store, and no URI."""
    with tempfile.TemporaryDirectory() as folder:
        yield _filled(Path(folder) / "project", "", "", size), ""


@contextmanager
def on_a_server(size: int) -> Iterator[tuple[Path, str]]:
    """Yield a project with so many runs on an `mlflow server`, and its URI."""
    from torture.stores import mlflow_server

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(mlflow_server(Path(sys.executable).parent, folder / "server"))
        yield _filled(folder / "project", server.uri, server.database, size), server.uri


def _filled(root: Path, uri: str, database: str, size: int) -> Path:
    from filled_project import WRONG, add_run
    from many_runs import fill
    from scratch_project import commit, write_lock, write_training

    write_training(root / "artifacts/train")
    write_lock(root)
    commit(root)
    with _environment(uri):
        list(sync(root))
    store = _opened(root, uri)
    for (rate, seed), wrong in WRONG.items():
        add_run(store, wrong, optimizer__learning_rate=rate, train__seed=seed)
    fill(store, size - len(store.runs()), database or store.uri)
    return root


def _opened(root: Path, uri: str) -> RunStore:
    with _environment(uri):
        return RunStore.open(root)


@contextmanager
def _environment(uri: str) -> Iterator[None]:
    """Let a server be the store, or the project's own file where `uri` is empty."""
    before = os.environ.pop(_URI, None)
    try:
        os.environ |= {_URI: uri} if uri else {}
        yield
    finally:
        os.environ.pop(_URI, None)
        os.environ |= {} if before is None else {_URI: before}
