"""Finding the run that a stage writes into: one experiment, one live MLflow run, whatever DVC did or did not run.

The training starts the run, or goes on with the one that a killed training left. Later stages ask the store for the
live run with the experiment's key; where there is none (a wiped store, outputs pulled on another machine) they rebuild
it from the training's outputs and mark it as restored.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from softmax_regression import logbook
from softmax_regression.experiment import Experiment, experiment_name
from softmax_regression.files import write_atomically
from softmax_regression.outcome import Epoch
from softmax_regression.provenance import code_diff, dvc_experiment_tags, project_root, provenance_tags
from softmax_regression.recording import Run
from softmax_regression.tracking import Store

CHECKPOINTS = Path("checkpoints")
RESTORED = "experiment.restored"
FLUSH_SECONDS = 1.0  # between two batches of metrics: a watched curve grows, a fast training is not slowed down
DRAW_AFTER_SECONDS = 3.0
DRAW_SHARE = 0.05  # of the training's time that redrawing the curves may take


class TrainingRun(AbstractContextManager["TrainingRun"]):
    """The MLflow run of a training: started or resumed, fed epoch by epoch, ended with the outputs.

    As a context manager it marks the run FAILED on an error and KILLED on Ctrl-C. `checkpoint` is the folder where
    the training keeps what it needs to go on, in the real checkout, so that a temporary workspace does not take it
    along when it is deleted.
    """

    def __init__(self, experiment: Experiment, resume: bool) -> None:
        """Open the store (raises RuntimeError if it is not there: nothing has been computed) and start the run."""
        root = project_root()
        self.experiment = experiment
        self.checkpoint = root / CHECKPOINTS / experiment.config_key
        self._started = self._flushed = time.monotonic()
        self._next_draw = self._started + DRAW_AFTER_SECONDS
        self._pending: list[Epoch] = []
        store = Store.open(root)
        for dead in store.sweep_dead_runs():
            print(f"the run {dead.name} was left behind by a process that is gone: now KILLED", flush=True)
        self.run = (self._resumed(store) if resume else None) or start(store, experiment)
        write_atomically(self.checkpoint / "run", self.run.run_id)

    def _resumed(self, store: Store) -> Run | None:
        note = self.checkpoint / "run"
        record = store.run(note.read_text()) if note.is_file() and any(self.checkpoint.glob("*.ckpt")) else None
        if record is None or record.status == "FINISHED" or record.config_key != self.experiment.config_key:
            return None
        print(f"going on with the run {record.name} from its last checkpoint", flush=True)
        return store.resume_run(record.run_id)

    def on_epoch(self, history: Sequence[Epoch]) -> None:
        """Take the figures of the epoch that has just ended: the last row of `history`."""
        self._pending.append(history[-1])
        now = time.monotonic()
        if now - self._flushed >= FLUSH_SECONDS or len(history) == 1:
            self._flush()
        if now >= self._next_draw and self.run.lost is None:
            self._draw(history)
            drawn = time.monotonic()
            self._next_draw = drawn + (drawn - now) / DRAW_SHARE

    def _draw(self, history: Sequence[Epoch]) -> None:
        from softmax_regression.drawing import live_curves

        epochs = int(self.experiment.params["train.epochs"])
        self.run.log_bytes(live_curves(history, epochs), "figures/curves.png")

    def _flush(self) -> None:
        logbook.log_curves(self.run, self._pending)
        self._pending.clear()
        self._flushed = time.monotonic()

    def complete(self, experiment: Experiment, folder: Path, report: Mapping[str, Any]) -> None:
        """Record the outputs in `folder`, end the run as FINISHED, and forget the checkpoint."""
        self._flush()
        logbook.log_training(self.run, folder, experiment, report)
        self.run.finish("FINISHED", key=experiment.key)
        tell_lost(self.run)
        for path in self.checkpoint.glob("*"):
            path.unlink()
        self.checkpoint.rmdir()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is not None:
            self._flush()
            self.run.__exit__(kind, error, trace)


def start(store: Store, experiment: Experiment, extra_tags: Mapping[str, str] | None = None) -> Run:
    """Start a run of `experiment` with its params, its provenance and the code's difference to the commit."""
    tags = provenance_tags() | {"data": str(experiment.params["data.name"])} | (extra_tags or {})
    run = store.start_run(
        experiment_name(experiment.params), experiment.config_key, logbook.run_params(experiment), tags
    )
    if diff := code_diff():
        run.log_text(diff, "code.diff")
    if Path("params.yaml").is_file():
        run.log_file(Path("params.yaml"))
    return run


def record(experiment: Experiment, train: Path, data: Path, log: Callable[[Run], None]) -> None:
    """Let `log` write into the experiment's live run, rebuilt from the outputs in `train` if the store has none.

    A store that cannot be reached is told in one line: the stage's own outputs do not depend on it, and `sync` fills
    it in later.
    """
    try:
        store = Store.open(project_root())
        store.sweep_dead_runs()
        run = find_or_restore(store, experiment, train, read_report(data))
    except RuntimeError as error:
        _say(f"not recorded in MLflow: {error}")
        return
    log(run)
    run.finish()
    tell_lost(run)


def find_or_restore(store: Store, experiment: Experiment, train: Path, report: Mapping[str, Any]) -> Run:
    """Return the live run of `experiment`; rebuild it from the train stage's outputs if there is none."""
    found = store.find(experiment.key)
    if found is not None:
        run = store.continue_run(found.run_id)
        if tags := dvc_experiment_tags():
            run.set_tags(tags)
        return run
    return restore(store, experiment, train, report)


def restore(store: Store, experiment: Experiment, train: Path, report: Mapping[str, Any]) -> Run:
    """Build the run of an experiment anew from the train stage's outputs, marked as restored."""
    run = start(store, experiment, {RESTORED: "true"})
    logbook.log_training(run, train, experiment, report)
    run.finish("FINISHED", key=experiment.key)
    _say(f"the run {run.name} was not in the MLflow store: restored from the outputs")
    return store.continue_run(run.run_id)


def read_report(data: Path) -> dict[str, Any]:
    """Return what the download stage reported on the data set in the folder `data`."""
    report: dict[str, Any] = json.loads((data / "report.json").read_text())
    return report


def tell_lost(run: Run) -> None:
    """Say in one line if MLflow did not take everything."""
    if run.lost:
        _say(f"MLflow did not take everything ({run.lost})")


def _say(text: str) -> None:
    print(f"{text}; `softmax-regression sync` fills MLflow in from the DVC outputs", file=sys.stderr, flush=True)
