"""The parity table as a command: on the params' data set, in a project of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from scratch_project import ROOT

from softmax_regression.commands.parity import parity_report
from softmax_regression.data.datasets import FOLDER
from softmax_regression.download.prepare import download
from softmax_regression.params import load_params
from softmax_regression.tracking.run_store import RunStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a project on the digits, with momentum and a schedule."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"]["name"] = "digits"
    params["optimizer"].update(momentum=0.9, nesterov=True, schedule="cosine")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    download(
        "digits", tmp_path / FOLDER, load_params(tmp_path / "params.yaml").download, datasets=tmp_path, root=tmp_path
    )
    return tmp_path


@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-10), ("float32", 1e-4)])
def test_the_table_shows_that_all_agree(root: Path, dtype: str, bound: float) -> None:
    """Digits with momentum, two epochs: a row an epoch, weights apart by rounding only, equal accuracies."""
    heading, *rows = parity_report(root, dtype, 2, log=False).splitlines()
    assert heading.split()[:7] == ["epoch", "exact", "-", "library", "scratch", "-", "library"]
    assert len(rows) == 2
    for row in rows:
        _, exact, scratch, explained, *accuracies = row.split()
        assert float(scratch) < bound  # 12 steps; float32 rounding grows with each
        assert float(exact) < (float(explained) if dtype == "float64" else bound)
        assert len(accuracies) == 3
        assert len(set(accuracies)) == 1
    assert not (root / "mlflow.db").exists()


def test_the_table_is_a_run_of_its_own_where_that_is_asked_for(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Params, a point an epoch and the table are recorded; the run is no experiment of the pipeline's."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    text = parity_report(root, "float64", 2, log=True)
    store = RunStore.open(root)
    (run,) = store.runs()
    assert (run.name, run.status, run.key, run.tags["kind"]) == ("parity float64", "FINISHED", "", "parity")
    assert run.params["optimizer.momentum"] == "0.9"
    names = sorted(name for name in run.metrics if "weight" in name)
    assert names == ["parity/exact_weight_difference", "parity/scratch_weight_difference"]
    for name, points in store.history(run.run_id, names).items():
        assert [step for step, _ in points] == [1, 2], name
    assert store.download(run.run_id, "parity.txt", root / "out").read_text() == f"{text}\n"


def test_lbfgs_is_refused(root: Path) -> None:
    """Where the params name a solver without steps to compare the error says which one to set."""
    path = root / "params.yaml"
    path.write_text(path.read_text().replace("solver: sgd", "solver: lbfgs"))
    with pytest.raises(ValueError, match=r"found lbfgs; set train\.solver: sgd$"):
        parity_report(root, "float64", 2, log=False)
