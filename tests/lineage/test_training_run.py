"""The run of a training: started, fed, resumed, ended, in a real SQLite store."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.artifacts.outcome import Epoch
from softmax_regression.lineage.restore import belongs_to, record, restore
from softmax_regression.lineage.training_run import TrainingRun
from softmax_regression.tracking.client import Store

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # MLflow's own

PARAMS = {
    "data.name": "digits",
    "model.implementation": "scratch",
    "optimizer.learning_rate": 0.1,
    "optimizer.momentum": 0.0,
    "optimizer.nesterov": False,
    "optimizer.schedule": "constant",
    "optimizer.warmup_epochs": 0,
    "optimizer.weight_decay": 0.0,
    "train.batch_size": 256,
    "train.epochs": 2,
    "train.seed": 0,
    "train.solver": "sgd",
}
EPOCHS = [
    Epoch(epoch=n, train_loss=1 / n, train_accuracy=0.5, test_loss=1 / n, test_accuracy=0.5, learning_rate=0.1)
    for n in (1, 2)
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a project with an empty store, once; each test has a configuration of its own."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        Store.open(folder)
    return folder


@pytest.fixture
def experiment(root: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Experiment:
    """Return the configuration of this test, in the project."""
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    monkeypatch.chdir(root)
    return Experiment(params=PARAMS, data={}, code={"test": request.node.name})


def test_an_error_ends_the_run_at_once(root: Path, experiment: Experiment) -> None:
    """FAILED, with what the training had told so far."""
    with pytest.raises(RuntimeError, match="not finite"), TrainingRun(experiment, resume=True) as training:
        training.on_epoch(EPOCHS[:1])
        training.on_epoch(EPOCHS)
        raise RuntimeError("the loss is not finite")
    (run,) = Store.open(root).attempts(experiment.config_key)
    assert run.status == "FAILED"
    assert run.metrics["curves/train_loss"] == 0.5
    assert "not finite" in run.tags["experiment.error"]


def test_sigterm_ends_the_run_as_ctrl_c_does(root: Path, experiment: Experiment) -> None:
    """KILLED, and the handlers of the process are what they were."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), TrainingRun(experiment, resume=True):
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    assert Store.open(root).attempts(experiment.config_key)[0].status == "KILLED"
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


@pytest.mark.parametrize("resume", [True, False])
def test_a_checkpoint_leads_back_to_its_run(root: Path, experiment: Experiment, resume: bool) -> None:
    """What left a checkpoint is gone on with, unless train.resume is false: then there is a second attempt."""
    with pytest.raises(KeyboardInterrupt), TrainingRun(experiment, resume=True) as first:
        assert first.checkpoint is not None
        (first.checkpoint / "last.ckpt").touch()
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), TrainingRun(experiment, resume=resume) as second:
        assert (second.run.run_id == first.run.run_id) == resume
        raise KeyboardInterrupt


def test_a_free_lock_proves_that_the_writer_is_gone(root: Path, experiment: Experiment) -> None:
    """A run of another host, RUNNING, whose checkpoint nobody holds here, is taken up."""
    with pytest.raises(KeyboardInterrupt), TrainingRun(experiment, resume=True) as first:
        assert first.checkpoint is not None
        (first.checkpoint / "last.ckpt").touch()
        raise KeyboardInterrupt
    store = Store.open(root)
    store.set_tags(first.run.run_id, {"writer": "another-host boot 1 1"})
    store.client.update_run(first.run.run_id, status="RUNNING")
    with pytest.raises(KeyboardInterrupt), TrainingRun(experiment, resume=True) as second:
        assert second.run.run_id == first.run.run_id
        raise KeyboardInterrupt


def test_twins_do_not_share_a_checkpoint(
    root: Path, experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
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


def write_history(folder: Path, epochs: list[Epoch]) -> None:
    """Write a history.csv."""
    folder.mkdir()
    names = list(epochs[0])
    rows = [",".join(str(row[name]) for name in names) for row in epochs]  # type: ignore[literal-required]
    (folder / "history.csv").write_text("\n".join([",".join(names), *rows]) + "\n")


@pytest.mark.parametrize(("factor", "same"), [(1.0, True), (2.0, False)])
def test_a_run_that_was_cut_off_is_completed(
    root: Path, experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float, same: bool
) -> None:
    """If its curves are the beginning of the outputs'; a run with others is left alone, a new one is made."""
    from softmax_regression.lineage.provenance import Origin

    monkeypatch.setattr(logbook, "log_training", lambda *arguments, **options: None)
    with pytest.raises(KeyboardInterrupt), TrainingRun(experiment, resume=True) as training:
        training.on_epoch(EPOCHS[:1])
        raise KeyboardInterrupt
    history = [Epoch(**{**row, "train_loss": row["train_loss"] * factor}) for row in EPOCHS]
    write_history(tmp_path / "train", history)
    store = Store.open(root)
    run = restore(store, replace(experiment, model="11"), tmp_path / "train", {}, Origin({}))
    assert (run.run_id == training.run.run_id) == same
    found = store.run(run.run_id)
    assert found is not None
    assert found.live
    assert found.tags["experiment.restored"] == ("completed" if same else "true")


def test_no_store_is_one_line_for_a_late_stage(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A late stage goes on without its server, and says once what fills MLflow in."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    record(experiment, tmp_path, tmp_path, lambda run: pytest.fail("there is no run"))
    text = capsys.readouterr().err
    assert text.startswith("not recorded in MLflow")
    assert text.count("\n") == 1
    assert text.endswith("`softmax-regression sync` fills MLflow in from the DVC outputs\n")


def test_a_run_names_all_experiments_that_share_it(root: Path, experiment: Experiment) -> None:
    """The first keeps its place; another is added, each once."""
    with pytest.raises(KeyboardInterrupt), TrainingRun(experiment, resume=True) as training:
        raise KeyboardInterrupt
    found = Store.open(root).run(training.run.run_id)
    assert found is not None
    assert belongs_to(found, {"dvc.exp.name": "a"}) == {"dvc.exp.name": "a"}
    found = replace(found, tags={"dvc.exp.name": "a"})
    assert belongs_to(found, {"dvc.exp.name": "a"}) == {}
    assert belongs_to(found, {}) == {}
    assert belongs_to(found, {"dvc.exp.name": "b"}) == {"dvc.exp.also": "b"}
    found = replace(found, tags={"dvc.exp.name": "a", "dvc.exp.also": "b"})
    assert belongs_to(found, {"dvc.exp.name": "c"}) == {"dvc.exp.also": "b c"}
