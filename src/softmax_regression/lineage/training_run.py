"""The MLflow run of a training, while it trains."""

import shutil
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Self
from uuid import uuid4

from filelock import FileLock, Timeout

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.artifacts.outcome import History
from softmax_regression.artifacts.overflow import OverflowedError
from softmax_regression.files import project_root, text_of, write_atomically
from softmax_regression.lineage.overflow import keep_overflow
from softmax_regression.lineage.provenance import Origin, config_key, origin_here
from softmax_regression.lineage.restore import CHECKPOINTS, report_lost, resume, start
from softmax_regression.tracking import stage_logs
from softmax_regression.tracking.record import CHECKPOINT, PROCESSES, RESTORED
from softmax_regression.tracking.run import Run
from softmax_regression.tracking.run_store import RunStore

TOKEN = "token"  # the file in a checkpoint's folder
FLUSH_SECONDS = 1.0  # between two batches of metrics: a watched curve grows, a fast training is not slowed down
DRAW_AFTER_SECONDS = 3.0
DRAW_SHARE = 0.05  # of the training's time that redrawing the curves may take


class TrainingRun:
    """The MLflow run of a training: started or resumed, fed epoch by epoch, ended with the outputs.

    As a context manager it starts the run, and marks it FAILED on an error, KILLED on Ctrl-C and SIGTERM. Of one that
    overflowed it keeps what was measured.
    `checkpoint` is the folder where the training keeps what it needs to resume: in the real checkout, so that a
    temporary workspace does not take it along when it is deleted; None while another process trains the same there.
    """

    def __init__(self, experiment: Experiment, resume: bool, processes: int = 1) -> None:
        self.experiment = experiment
        self.processes = processes  # that train, on all machines
        self.checkpoint: Path | None = None
        self._resume = resume
        self._history: History | None = None
        self._sent = 0  # epochs

    def __enter__(self) -> Self:
        """Open the store and start the run. Raises RuntimeError if it is not there: nothing has been computed."""
        root = project_root()
        store = RunStore.open(root)
        for line in store.end_dead_runs():
            print(line, flush=True)
        checkpoint = root / CHECKPOINTS / config_key(self.experiment)
        checkpoint.mkdir(mode=0o700, parents=True, exist_ok=True)  # weights, and the token of the run
        with ExitStack() as held:
            try:
                held.enter_context(FileLock(checkpoint / ".lock", timeout=0))
                self.checkpoint = checkpoint
            except Timeout:
                print("another process trains the same: this one keeps no checkpoint", file=sys.stderr, flush=True)
            on_sigterm = signal.signal(signal.SIGTERM, signal.default_int_handler)  # it ends as on Ctrl-C
            held.callback(signal.signal, signal.SIGTERM, on_sigterm)
            origin = origin_here()
            self.run = self._resumed(store, origin) or start(store, self.experiment, origin, self._tags())
            self._held = held.pop_all()  # until the end; given back at once if the run could not be started
        self._flushed = time.monotonic()
        return self

    def _resumed(self, store: RunStore, origin: Origin) -> Run | None:
        """Return the run of this store that a killed training of the same left, to go on with it, if there is one.

        The run has the token that lies with the checkpoint: it is there before the run is, whatever kills it when. Or
        it was being rebuilt from the outputs of the same when that was cut off.
        """
        token = text_of(self.checkpoint / TOKEN) if self.checkpoint else ""
        left = store.runs(f"tags.`{CHECKPOINT}` = '{token}'") if token else []
        for record in left:
            if record.status == "RUNNING":  # its process held the lock as long as it lived, in whatever container
                store.kill(record, "its process has ended")
        if not self._resume:
            return None
        if left:
            print(f"resuming the run {left[0].name}", flush=True)
            run = resume(store, left[0], self.experiment, origin)
            run.set_tags({PROCESSES: str(self.processes)})
            return run
        attempts = store.attempts(config_key(self.experiment)) if self.checkpoint else []
        for record in attempts:
            if record.status in ("KILLED", "FAILED") and record.tags.get(RESTORED) == "true":
                print(f"completing the run {record.name}, whose restoration was cut off", flush=True)
                run = resume(store, record, self.experiment, origin)
                run.set_tags({RESTORED: "", **self._tags()})
                return run
        return None

    def _tags(self) -> dict[str, str]:
        """Return the tags of a new run: how many processes train, and what leads to it from the checkpoint."""
        tags = {PROCESSES: str(self.processes)}
        if self.checkpoint is None:
            return tags
        token = uuid4().hex
        write_atomically(self.checkpoint / TOKEN, token)
        return tags | {CHECKPOINT: token}

    def on_epoch(self, history: History) -> None:
        """Record the epoch that has just ended: the last row of `history`."""
        now = time.monotonic()
        if self._history is None:  # counted from here: before it the process has imported for seconds
            self._next_draw = now + DRAW_AFTER_SECONDS
        self._history = history
        if now - self._flushed >= FLUSH_SECONDS or history.last.epoch == 1:
            self._flush()
        if now >= self._next_draw and self.run.lost is None:
            from softmax_regression.evaluation.training_pictures import live_curves

            self.run.log_bytes(live_curves(history, self.experiment.params["train.epochs"]), stage_logs.LIVE_CURVES)
            drawn = time.monotonic()
            self._next_draw = drawn + (drawn - now) / DRAW_SHARE

    def _flush(self) -> None:
        if self._history is not None:
            self.run.log_steps(stage_logs.curve_steps(self._history, after=self._sent))
            self._sent = self._history.last.epoch
        self._flushed = time.monotonic()

    def complete(self, experiment: Experiment, folder: Path) -> None:
        """Record the outputs in `folder`, end the run as FINISHED, and forget the checkpoint."""
        stage_logs.log_training(self.run, folder)
        self.run.finish("FINISHED", key=experiment.key)
        report_lost(self.run)
        if self.checkpoint and not self.run.lost:  # else the same training, done again, completes this run
            shutil.rmtree(self.checkpoint, ignore_errors=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """End the run if the training did not, and release the checkpoint."""
        with self._held as held:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is ending already
            held.callback(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, signal.SIG_IGN))
            if kind is not None:
                self._flush()
                if isinstance(error, OverflowedError):
                    keep_overflow(self.run, error.overflow, project_root())
                self.run.__exit__(kind, error, trace)
