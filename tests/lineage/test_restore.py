"""A stage finds the run of its experiment, whatever became of the store; what is not there is filled in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from scratch_project import CURVES, write_lock, write_training

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.artifacts.outcome import History
from softmax_regression.files import md5_of_folder
from softmax_regression.lineage import restore as module
from softmax_regression.lineage.provenance import Origin, config_key
from softmax_regression.lineage.restore import RESTORE_LOCK, belongs_to, find_or_restore, record, restore, start
from softmax_regression.lineage.training_run import TrainingRun
from softmax_regression.tracking.database import exclusive
from softmax_regression.tracking.record import RunRecord
from softmax_regression.tracking.run_store import RunStore

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # MLflow's own


@pytest.fixture
def train(tmp_path: Path) -> Path:
    """The folder of a train stage's outputs."""
    return tmp_path / "train"


@pytest.fixture
def trained(experiment: Experiment, train: Path) -> Experiment:
    """The configuration of this test, with outputs in `train`."""
    return write_training(train, test=experiment.params["test"])


def outputs(folder: Path) -> Path:
    """Write a late stage's outputs; return their folder."""
    folder.mkdir()
    (folder / "findings.json").write_text('{"metrics": {"test_accuracy": 0.5}}')
    return folder


def cut_off(experiment: Experiment) -> str:
    """Record a training that is killed after its first epoch; return the id of its run."""
    with pytest.raises(KeyboardInterrupt), TrainingRun(experiment, resume=True) as training:
        training.on_epoch(History("test", CURVES[:1]))
        raise KeyboardInterrupt
    return training.run.run_id


def test_a_run_starts_with_where_it_comes_from(store: RunStore, experiment: Experiment) -> None:
    """Params, configuration, origin, diff of the code, params.yaml; the name of DVC's experiment is part of its own."""
    origin = Origin({"git.commit": "abc", "dvc.exp.name": "wavy-cats"}, diff="+x\n", params="a: 1\n")
    run = start(store, experiment, origin)
    found = store.existing(run.run_id)
    assert found.name == "small_lr0.1_e2_s0"
    assert found.config_key == config_key(experiment)
    assert found.configuration == experiment.configuration
    assert found.tags.items() >= {"git.commit": "abc", "data": "small"}.items()
    assert set(store.artifacts(run.run_id)) == {"code.diff", "params.yaml"}


def test_a_late_stage_is_recorded_in_the_run_of_its_training(
    store: RunStore, trained: Experiment, train: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run that the training left is continued: its files and metrics join, its end stays."""
    with TrainingRun(trained, resume=True) as training:
        training.complete(trained, train)
    before = store.existing(training.run.run_id)
    record(train, outputs(tmp_path / "evaluate"))
    after = store.existing(training.run.run_id)
    assert after.metrics["final/test_accuracy"] == 0.5
    assert after.tags["outputs.evaluate"] == md5_of_folder(tmp_path / "evaluate")
    assert (after.status, after.end_time, after.live) == ("FINISHED", before.end_time, True)
    assert capsys.readouterr().err == ""


def test_a_run_that_the_store_lacks_is_rebuilt(
    store: RunStore,
    trained: Experiment,
    train: Path,
    tmp_path: Path,
    root: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Outputs without a run, as after a pull: the stage makes the run from them, says so in a line, and joins it."""
    write_training(root / "artifacts/train", test=trained.params["test"])
    write_lock(root)
    record(train, outputs(tmp_path / "evaluate"))
    found = store.find(trained.key)
    assert found is not None
    assert found.live
    assert found.tags["experiment.restored"] == "true"
    assert {"outputs.train", "outputs.evaluate"} <= found.tags.keys()
    assert found.metrics["final/train_loss"] == 0.5
    assert store.history(found.run_id, ["curves/test_accuracy"])["curves/test_accuracy"] == [(1, 0.4), (2, 0.7)]
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert "was not in the MLflow store, or not complete: filled in from the outputs" in text
    run = find_or_restore(store, trained, train)
    assert run.run_id == found.run_id


@pytest.mark.parametrize("same", [True, False])
def test_a_run_that_was_cut_off_is_completed(store: RunStore, experiment: Experiment, train: Path, same: bool) -> None:
    """If its curves are the beginning of the outputs'; a run with others is left alone, a new one is made."""
    killed = cut_off(experiment)
    curves = CURVES if same else tuple(replace(row, train_loss=2 * row.train_loss) for row in CURVES)
    trained = write_training(train, epochs=curves, test=experiment.params["test"])
    run = restore(store, trained, train, Origin({}), {})
    assert (run.run_id == killed) == same
    found = store.existing(run.run_id)
    assert found.live
    assert found.key == trained.key
    assert found.tags["experiment.restored"] == ("completed" if same else "true")
    assert store.existing(killed).status == ("FINISHED" if same else "KILLED")
    points = store.history(run.run_id, ["curves/train_loss"])["curves/train_loss"]
    assert points == [(row.epoch, row.train_loss) for row in curves]


def test_a_run_that_an_earlier_version_began_is_completed(store: RunStore, experiment: Experiment, train: Path) -> None:
    """The learning rate stood among the curves then; what is not recorded today does not count against it."""
    killed = cut_off(experiment)
    store.log_batch(killed, [("curves/learning_rate", 1, 0.1)])
    trained = write_training(train, test=experiment.params["test"])
    assert restore(store, trained, train, Origin({}), {}).run_id == killed


def test_no_store_is_one_line_for_a_late_stage(
    trained: Experiment,
    train: Path,
    tmp_path: Path,
    here: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A late stage goes on without its server, and says once what fills MLflow in."""
    here.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    here.setenv("NO_PROXY", "127.0.0.1")
    record(train, tmp_path / "absent")
    text = capsys.readouterr().err
    assert text.startswith("not recorded in MLflow")
    assert text.count("\n") == 1
    assert text.endswith("`softmax-regression sync` fills MLflow in from the DVC outputs\n")


def test_a_lock_that_is_not_granted_is_one_line_too(
    store: RunStore,
    trained: Experiment,
    train: Path,
    root: Path,
    here: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """While another process rebuilds runs and does not end, nothing is rebuilt a second time."""
    here.setattr(module, "exclusive", lambda lock: exclusive(lock, wait=0.1))
    with FileLock(root / RESTORE_LOCK):
        record(train, tmp_path / "absent")
    assert store.find(trained.key) is None
    text = capsys.readouterr().err
    assert text.startswith(f"not recorded in MLflow: another process has held {root / RESTORE_LOCK} for")
    assert text.count("\n") == 1


def test_a_run_names_all_experiments_that_share_it() -> None:
    """The first keeps its place; another is added, each once."""
    found = RunRecord("1", "a", "FINISHED", 0, 0, {}, {}, {})
    assert belongs_to(found, {"dvc.exp.name": "a"}) == {"dvc.exp.name": "a"}
    found = replace(found, tags={"dvc.exp.name": "a"})
    assert belongs_to(found, {"dvc.exp.name": "a"}) == {}
    assert belongs_to(found, {}) == {}
    assert belongs_to(found, {"dvc.exp.name": "b"}) == {"dvc.exp.also": "b"}
    found = replace(found, tags={"dvc.exp.name": "a", "dvc.exp.also": "b"})
    assert belongs_to(found, {"dvc.exp.name": "c"}) == {"dvc.exp.also": "b c"}
