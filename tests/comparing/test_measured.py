"""A run's model is measured on the test set as the evaluate stage does it, when it is asked for."""

from pathlib import Path

import pytest
from small_data import make_parts, write_folder
from trained_project import empty_project, run_stages, small_params

from softmax_regression.comparing.measured import measure
from softmax_regression.data.datasets import FOLDER
from softmax_regression.lineage.provenance import Origin
from softmax_regression.sweep.passes import record, train_passes
from softmax_regression.sweep.plan import Trial
from softmax_regression.tracking.record import RunRecord
from softmax_regression.tracking.run_store import RunStore


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one run that holds a model and no evaluation."""
    root = empty_project(tmp_path, monkeypatch)
    ((one,),) = train_passes([[Trial(small_params(), {})]], root / FOLDER)
    record(RunStore.open(root), one, root / FOLDER, Origin({}), {})
    return root


def only_run(root: Path) -> RunRecord:
    """Return the run."""
    (run,) = RunStore.open(root).runs()
    return run


def test_a_measured_run_holds_what_the_stage_gives(root: Path) -> None:
    """The same tables and figures, by digest; the summary has no pictures that are not there."""
    measure(RunStore.open(root), root, only_run(root), small_params().evaluate)
    measured = only_run(root)
    assert set(measured.outputs) == {"train", "evaluate", "metrics.json"}
    assert "get-artifact" not in measured.tags["mlflow.note.content"]
    run_stages(root, small_params())
    staged = RunStore.open(root).existing(measured.run_id)
    assert staged.outputs.items() > measured.outputs.items()
    assert staged.metrics == measured.metrics
    assert "get-artifact" in staged.tags["mlflow.note.content"]


def test_other_data_are_refused(root: Path) -> None:
    """The prepared data set has the run's name and other examples: one line, and nothing is recorded."""
    write_folder(root / FOLDER, parts=make_parts(train=300, test=51, shape=(6, 6)))
    with pytest.raises(ValueError, match=r"data/prepared holds other data of the name small than small_lr0\.1"):
        measure(RunStore.open(root), root, only_run(root), small_params().evaluate)
    assert set(only_run(root).outputs) == {"train"}


def test_a_run_without_a_model_is_refused(root: Path) -> None:
    """The file that is missing is named."""
    for path in root.glob("mlruns/*/*/artifacts/model.safetensors"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"has no artifact 'model\.safetensors'"):
        measure(RunStore.open(root), root, only_run(root), small_params().evaluate)
