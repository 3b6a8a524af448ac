"""The run of a training: started, fed, resumed, ended, in a real SQLite store."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from scratch_project import CURVES, write_training

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.artifacts.outcome import History
from softmax_regression.lineage import training_run
from softmax_regression.lineage.provenance import Origin, config_key
from softmax_regression.lineage.restore import restore
from softmax_regression.lineage.training_run import TrainingRun
from softmax_regression.tracking import database
from softmax_regression.tracking.connection import StoreUnavailableError
from softmax_regression.tracking.record import RunRecord
from softmax_regression.tracking.run_store import RunStore

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # MLflow's own

FIRST, BOTH = History("test", CURVES[:1]), History("test", CURVES)


def attempts(store: RunStore, experiment: Experiment) -> list[RunRecord]:
    """Return the runs of this test's configuration, newest first."""
    return store.attempts(config_key(experiment))


def test_a_training_is_a_run_from_its_first_epoch_to_its_outputs(
    store: RunStore, experiment: Experiment, tmp_path: Path
) -> None:
    """Params and origin at the start, a point an epoch, then the outputs, the key and no checkpoint any more."""
    with TrainingRun(experiment, resume=True) as training:
        (run,) = attempts(store, experiment)
        assert (run.status, run.live, run.key) == ("RUNNING", False, "")
        assert run.params["optimizer.learning_rate"] == "0.1"
        assert {"git.commit", "machine", "versions", "data"} <= run.tags.keys()
        assert training.checkpoint is not None
        assert training.checkpoint.name == config_key(experiment)
        assert training.checkpoint.stat().st_mode & 0o777 == 0o700
        training.on_epoch(FIRST)
        assert store.existing(run.run_id).metrics["curves/train_loss"] == 1.0
        training.on_epoch(BOTH)
        finished = write_training(tmp_path, test=experiment.params["test"])
        training.complete(finished, tmp_path)
        assert not training.checkpoint.exists()
    (run,) = attempts(store, experiment)
    assert (run.live, run.key) == (True, finished.key)
    assert store.history(run.run_id, ["curves/train_loss"]) == {"curves/train_loss": [(1, 1.0), (2, 0.5)]}
    assert "outputs.train" in run.tags
    assert "model.safetensors" in store.artifacts(run.run_id)


def test_the_same_training_again_is_a_repetition(store: RunStore, experiment: Experiment, tmp_path: Path) -> None:
    """The second attempt ends with the same weights: the first stays live, and says that it was reproduced."""
    finished = write_training(tmp_path, test=experiment.params["test"])
    for _ in range(2):
        with TrainingRun(experiment, resume=True) as training:
            training.on_epoch(BOTH)
            training.complete(finished, tmp_path)
    again, first = attempts(store, experiment)
    assert (first.live, again.live, again.attempt) == (True, False, 2)
    assert again.tags["experiment.reproduces"] == first.run_id
    assert first.tags["experiment.reproduced"].startswith("1 time, last on 20")


def test_the_curves_are_drawn_while_it_trains(
    store: RunStore, experiment: Experiment, here: pytest.MonkeyPatch
) -> None:
    """After some seconds the run shows its curves where the evaluate stage will put them."""
    here.setattr(training_run, "DRAW_AFTER_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt), TrainingRun(experiment, resume=True) as training:
        training.on_epoch(FIRST)
        assert store.artifacts(training.run.run_id, "evaluation/figures") == ["evaluation/figures/curves.png"]
        raise KeyboardInterrupt


def test_an_error_ends_the_run_at_once(store: RunStore, experiment: Experiment) -> None:
    """FAILED, with all epochs that the training had reported."""
    with pytest.raises(RuntimeError, match="not finite"), TrainingRun(experiment, resume=True) as training:
        training.on_epoch(FIRST)
        training.on_epoch(BOTH)
        raise RuntimeError("the loss is not finite")
    (run,) = attempts(store, experiment)
    assert run.status == "FAILED"
    assert run.metrics["curves/train_loss"] == 0.5
    assert "not finite" in run.tags["experiment.error"]


def test_sigterm_ends_the_run_as_ctrl_c_does(store: RunStore, experiment: Experiment) -> None:
    """KILLED, and the handlers of the process are what they were."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), TrainingRun(experiment, resume=True):
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    assert attempts(store, experiment)[0].status == "KILLED"
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_start_that_fails_leaves_nothing_behind(experiment: Experiment, here: pytest.MonkeyPatch) -> None:
    """Where the store does not take the run, SIGTERM means what it did, and the checkpoint is free for another."""

    def refuse(*_: object) -> None:
        raise RuntimeError("the store does not take it")

    before = signal.getsignal(signal.SIGTERM)
    failed = TrainingRun(experiment, resume=True)
    with here.context() as patch:
        patch.setattr(RunStore, "start_run", refuse)
        with pytest.raises(RuntimeError, match="does not take it"), failed:
            pytest.fail("it has begun")
    assert signal.getsignal(signal.SIGTERM) == before
    with pytest.raises(KeyboardInterrupt), TrainingRun(experiment, resume=True) as again:
        assert again.checkpoint == failed.checkpoint
        raise KeyboardInterrupt


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("checkpoint", [True, False])
def test_a_killed_training_goes_on_in_its_run(
    store: RunStore, experiment: Experiment, resume: bool, checkpoint: bool
) -> None:
    """With a checkpoint and without one yet, unless train.resume is false: then there is a second attempt."""
    with pytest.raises(KeyboardInterrupt), TrainingRun(experiment, resume=True) as first:
        assert first.checkpoint is not None
        if checkpoint:
            (first.checkpoint / "last.ckpt").touch()
        first.on_epoch(FIRST)
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), TrainingRun(experiment, resume=resume) as second:
        assert (second.run.run_id == first.run.run_id) == resume
        if resume:
            second.on_epoch(BOTH)  # the first epoch is recorded already
        raise KeyboardInterrupt
    points = store.history(first.run.run_id, ["curves/train_loss"])["curves/train_loss"]
    assert points == ([(1, 1.0), (2, 0.5)] if resume else [(1, 1.0)])
    assert len(attempts(store, experiment)) == (1 if resume else 2)


def test_a_training_killed_while_its_run_starts_goes_on_in_it(
    store: RunStore, experiment: Experiment, here: pytest.MonkeyPatch
) -> None:
    """Whatever kills it after the store has made the run: the next start finds it."""

    def die(*_: object, **__: object) -> None:
        raise SystemExit

    with here.context() as patch:
        patch.setattr(RunStore, "log_batch", die)
        with pytest.raises(SystemExit), TrainingRun(experiment, resume=True):
            pytest.fail("it has begun")
    (begun,) = attempts(store, experiment)
    with pytest.raises(KeyboardInterrupt), TrainingRun(experiment, resume=True) as second:
        assert second.run.run_id == begun.run_id
        raise KeyboardInterrupt
    (run,) = attempts(store, experiment)
    assert run.params["optimizer.learning_rate"] == "0.1"


def test_a_training_whose_store_was_lost_completes_its_run_when_it_is_done_again(
    store: RunStore, experiment: Experiment, here: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As after an edit of a comment: the run that did not get its end is gone on with, and there is no second."""
    finished = write_training(tmp_path, test=experiment.params["test"])

    def lose(*_: object) -> None:
        raise StoreUnavailableError("the server does not answer")

    for _ in range(2):
        with TrainingRun(experiment, resume=True) as training, here.context() as patch:
            if not attempts(store, experiment)[0].metrics:
                patch.setattr(RunStore, "end_run", lose)
            training.on_epoch(BOTH)
            training.complete(finished, tmp_path)
    (run,) = attempts(store, experiment)
    assert (run.live, run.key) == (True, finished.key)


def test_a_training_completes_a_restore_that_was_cut_off(
    store: RunStore, experiment: Experiment, here: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A run that was being rebuilt when the store went away is gone on with: it is no stump beside the live run."""
    finished = write_training(tmp_path, test=experiment.params["test"])

    def lose(*_: object) -> None:
        raise StoreUnavailableError("the server does not answer")

    with here.context() as patch, pytest.raises(RuntimeError, match="does not answer"):
        patch.setattr(RunStore, "log_model", lose)
        restore(store, finished, tmp_path, Origin({}), {})
    (begun,) = attempts(store, experiment)
    store.kill(begun, "its process has ended")
    with TrainingRun(experiment, resume=True) as training:
        assert training.run.run_id == begun.run_id
        training.on_epoch(BOTH)
        training.complete(finished, tmp_path)
    (run,) = attempts(store, experiment)
    assert (run.live, run.key, run.tags["experiment.restored"]) == (True, finished.key, "")


def test_a_run_that_was_deleted_is_none(store: RunStore, experiment: Experiment) -> None:
    """Killed, its run deleted in MLflow: the next start goes on from the checkpoint, in a new run."""
    first = killed(experiment)
    store.mlflow.delete_run(first.run.run_id)
    with pytest.raises(KeyboardInterrupt), TrainingRun(experiment, resume=True) as second:
        assert second.checkpoint == first.checkpoint
        second.on_epoch(BOTH)
        raise KeyboardInterrupt
    (run,) = attempts(store, experiment)
    assert run.run_id != first.run.run_id
    assert store.history(run.run_id, ["curves/train_loss"]) == {"curves/train_loss": [(1, 1.0), (2, 0.5)]}


def test_a_run_of_another_mlflow_experiment_is_none(
    store: RunStore, experiment: Experiment, root: Path, here: pytest.MonkeyPatch
) -> None:
    """Killed, started again under another MLFLOW_EXPERIMENT_NAME: its run is there, the old one stays as it is."""
    first = killed(experiment)
    with here.context() as patch:
        patch.setenv("MLFLOW_EXPERIMENT_NAME", "another")
        with pytest.raises(KeyboardInterrupt), TrainingRun(experiment, resume=True):
            raise KeyboardInterrupt
        (run,) = attempts(RunStore.open(root), experiment)
    (old,) = attempts(store, experiment)
    assert (old.run_id, old.status) == (first.run.run_id, "KILLED")
    assert run.run_id != old.run_id


def killed(experiment: Experiment) -> TrainingRun:
    """Return a training that was killed after its first epoch and left a checkpoint."""
    with pytest.raises(KeyboardInterrupt), TrainingRun(experiment, resume=True) as training:
        assert training.checkpoint is not None
        (training.checkpoint / "last.ckpt").touch()
        training.on_epoch(FIRST)
        raise KeyboardInterrupt
    return training


def test_a_free_lock_proves_that_the_writer_is_gone(store: RunStore, experiment: Experiment) -> None:
    """A run of another host, RUNNING, whose checkpoint nobody holds here, is taken up."""
    with pytest.raises(KeyboardInterrupt), TrainingRun(experiment, resume=True) as first:
        assert first.checkpoint is not None
        (first.checkpoint / "last.ckpt").touch()
        raise KeyboardInterrupt
    store.set_tags(first.run.run_id, {"writer": "another-host boot 1 1"})
    store.mlflow.update_run(first.run.run_id, status="RUNNING")
    with pytest.raises(KeyboardInterrupt), TrainingRun(experiment, resume=True) as second:
        assert second.run.run_id == first.run.run_id
        raise KeyboardInterrupt


def test_twins_do_not_share_a_checkpoint(experiment: Experiment, capsys: pytest.CaptureFixture[str]) -> None:
    """The second process on one configuration goes without a checkpoint and says so, and has a run of its own."""
    with pytest.raises(KeyboardInterrupt), TrainingRun(experiment, resume=True) as first:
        with pytest.raises(KeyboardInterrupt), TrainingRun(experiment, resume=True) as second:
            assert second.checkpoint is None
            assert second.run.run_id != first.run.run_id
            raise KeyboardInterrupt
        assert first.checkpoint is not None
        assert first.checkpoint.is_dir()
        raise KeyboardInterrupt
    assert "keeps no checkpoint" in capsys.readouterr().err


def test_no_store_is_an_error_before_any_work(experiment: Experiment, here: pytest.MonkeyPatch) -> None:
    """A server that does not answer stops the training before it begins; so does a lock that is not granted."""
    here.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    here.setenv("NO_PROXY", "127.0.0.1")
    with (
        pytest.raises(RuntimeError, match="does not answer"),
        TrainingRun(replace(experiment, model="never begun"), resume=True),
    ):
        pytest.fail("it has begun")
    here.delenv("MLFLOW_TRACKING_URI")

    def held(lock: Path, wait: float = 60) -> None:
        raise RuntimeError("another process has held the lock")

    here.setattr(database, "exclusive", held)
    with pytest.raises(RuntimeError, match="has held the lock"), TrainingRun(experiment, resume=True):
        pytest.fail("it has begun")
