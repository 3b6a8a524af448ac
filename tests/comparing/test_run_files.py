"""What a run lacks is None; what it has is copied once."""

from pathlib import Path

import pytest
from filled_project import CLASS_NAMES, LABELS, NOT_EVALUATED, RATE_05

from softmax_regression.comparing.run_files import RunFiles
from softmax_regression.tracking.record import RunRecord
from softmax_regression.tracking.run_store import RunStore
from softmax_regression.tracking.stage_logs import PREDICTIONS


def named(store: RunStore, name: str) -> RunRecord:
    """Return the one run of this name."""
    (record,) = (record for record in store.runs() if record.name == name)
    return record


def test_a_runs_files_are_read_back(store: RunStore, tmp_path: Path) -> None:
    """Experiment, model facts, history and predictions are those that were logged."""
    files, run = RunFiles(store, tmp_path), named(store, RATE_05)
    experiment, facts = files.experiment(run), files.model_facts(run)
    history, predictions = files.history(run), files.predictions(run)
    assert experiment is not None
    assert experiment.key == run.key
    assert facts is not None
    assert tuple(facts["class_names"]) == CLASS_NAMES
    assert history is not None
    assert history.held_out == "test"
    assert history.columns()["epoch"] == [1, 2, 3]
    assert history.columns()["train_accuracy"] == [0.5, 0.5, 0.5]
    assert predictions is not None
    assert predictions.labels.tolist() == LABELS.tolist()
    assert (~predictions.correct).nonzero()[0].tolist() == list(range(54, 66))


def test_what_a_run_lacks_is_none(store: RunStore, tmp_path: Path) -> None:
    """A run that has not been evaluated has no predictions."""
    files = RunFiles(store, tmp_path)
    assert files.predictions(named(store, NOT_EVALUATED)) is None


@pytest.mark.parametrize("name", ["experiment.json", "model.json", "history.csv", PREDICTIONS])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe{", b"a,b\n1,2\n"])
def test_a_damaged_file_is_one_line_that_names_the_run(
    store: RunStore, tmp_path: Path, name: str, content: bytes
) -> None:
    """And says what to do; the path of the copy is nobody's business."""
    files, run = RunFiles(store, tmp_path), named(store, RATE_05)
    read = {
        "experiment.json": files.experiment,
        "model.json": files.model_facts,
        "history.csv": files.history,
        PREDICTIONS: files.predictions,
    }[name]
    assert read(run) is not None
    copied = next((tmp_path / run.run_id).rglob(Path(name).name))
    copied.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{name} of the run .*{RATE_05}.*; .*run `") as caught:
        read(run)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_a_file_is_copied_once(store: RunStore, tmp_path: Path) -> None:
    """A second question about the same run does not ask the store again."""
    files, run = RunFiles(store, tmp_path), named(store, RATE_05)
    first = files.experiment(run)
    (tmp_path / run.run_id / "experiment.json").touch()
    before = (tmp_path / run.run_id / "experiment.json").stat().st_mtime_ns
    assert files.experiment(run) == first
    assert (tmp_path / run.run_id / "experiment.json").stat().st_mtime_ns == before
