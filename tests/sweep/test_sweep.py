"""A sweep from plan to winner: runs in MLflow, the table, the patch, the command."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from trained_project import ROOT, empty_project, run_stages

from softmax_regression.artifacts.experiment import read_experiment
from softmax_regression.files import read_yaml
from softmax_regression.params import load_params, plain
from softmax_regression.sweep.plan import Trial, parse_axis, plan, with_seeds
from softmax_regression.sweep.sweep import best_yaml, command, run_sweep
from softmax_regression.tracking.record import RunRecord
from softmax_regression.tracking.run_store import RunStore


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a small data set and no run."""
    return empty_project(tmp_path, monkeypatch)


def configurations(*axes: str, data: str = "small") -> list[Trial]:
    """Return the grid over these axes on the small data set, or another."""
    fixed = (f"data.name={data}", "data.validation_size=50", "train.epochs=2", "train.batch_size=64")
    return plan(load_params(ROOT / "params.yaml"), [parse_axis(axis) for axis in (*fixed, *axes)])


def test_a_sweep_is_recorded_ranked_and_written(project: Path, tmp_path: Path) -> None:
    """Each configuration is a run of one parent, with params, curve and files; one that left its range is FAILED."""
    grid = configurations("optimizer.learning_rate=0.01,0.5,1e38")
    text = run_sweep(project, grid, 2, project / "reports")
    store = RunStore.open(project)
    records = store.runs()
    (parent,) = [record for record in records if "mlflow.parentRunId" not in record.tags]
    children = [record for record in records if record is not parent]
    assert {record.tags["mlflow.parentRunId"] for record in children} == {parent.run_id}
    assert {record.tags["sweep"] for record in children} == {"sweep of 6 small"}
    found = sorted((r.params["optimizer.learning_rate"], r.params["train.seed"], r.status) for r in children)
    assert found == [
        *[("0.01", seed, "FINISHED") for seed in "01"],
        *[("0.5", seed, "FINISHED") for seed in "01"],
        *[("1e+38", seed, "FAILED") for seed in "01"],
    ]
    finished = next(record for record in children if record.status == "FINISHED")
    curve = store.history(finished.run_id, ["curves/validation_accuracy"])["curves/validation_accuracy"]
    assert [step for step, _ in curve] == [1, 2]
    assert finished.metrics["final/validation_accuracy"] == curve[-1][1]
    assert not any("test" in name for record in records for name in record.metrics)
    assert "experiment.json" in store.artifacts(finished.run_id)
    written = load_params(store.download(finished.run_id, "params.yaml", tmp_path / "copy"))
    assert store.find(finished.key) == finished
    assert written in [one.params for one in with_seeds(grid, 2)]
    assert plain(written.optimizer.learning_rate) == finished.params["optimizer.learning_rate"]
    failed = next(record for record in children if record.status == "FAILED")
    assert "sums are not exact in epoch 1" in failed.tags["experiment.error"]
    assert failed.key == ""
    assert {"best.yaml", "table.csv", "answers.npz"} <= set(store.artifacts(parent.run_id))
    rows = list(csv.DictReader((project / "reports" / "table.csv").read_text().splitlines()))
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["optimizer.learning_rate"] == "0.5"
    assert "sums are not exact" in rows[2]["failure"]
    assert "dvc exp run" in text
    assert "1 of 3 did not stay finite" in text
    assert "picked as the best of 2, it is expected to be " in text


def test_what_is_said_of_the_winner_is_kept_with_the_run(project: Path, tmp_path: Path) -> None:
    """The printed figures are metrics of the parent and in the first row; answers.npz gives every accuracy back."""
    text = run_sweep(project, configurations("optimizer.learning_rate=0.1,0.5"), 2, project / "reports")
    store = RunStore.open(project)
    parent = next(one for one in store.runs() if "mlflow.parentRunId" not in one.tags)
    metrics = {name.removeprefix("validation_best/"): value for name, value in parent.metrics.items()}
    assert metrics.keys() == {"accuracy", "accuracy_low", "accuracy_high", "accuracy_sd", "optimism", "loss"}
    first, _ = csv.DictReader((project / "reports/table.csv").read_text().splitlines())
    for name, value in metrics.items():
        column = name if name == "optimism" else f"validation_{name}"
        assert float(first[column]) == pytest.approx(value, abs=1e-6)  # six digits in the table
    assert f"{metrics['accuracy_low']:.4f} to {metrics['accuracy_high']:.4f}" in text
    assert f"{100 * metrics['optimism']:.2f} points too high" in text
    file = np.load(store.download(parent.run_id, "answers.npz", tmp_path / "copy"))
    answers = np.unpackbits(file["answers"], axis=2, count=file["examples"])
    found = {
        (str(json.loads(changes)["optimizer.learning_rate"]), str(seed)): answers[i, j].mean()
        for i, changes in enumerate(file["configurations"])
        for j, seed in enumerate(file["seeds"])
    }
    assert found == {
        (one.params["optimizer.learning_rate"], one.params["train.seed"]): pytest.approx(
            one.metrics["final/validation_accuracy"],
            abs=1e-9,  # the same count of 50
        )
        for one in children(project)
    }


def children(root: Path) -> list[RunRecord]:
    """Return the runs that sweeps have made of configurations, newest first."""
    return [one for one in RunStore.open(root).runs() if "mlflow.parentRunId" in one.tags]


def test_the_pipeline_repeats_what_a_sweep_has_trained(project: Path) -> None:
    """The same params come to the same key: the sweep's run stays the experiment's, and gets the test figures."""
    grid = configurations("optimizer.learning_rate=0.1,0.3", "optimizer.momentum=0,0.9", "optimizer.schedule=cosine")
    run_sweep(project, grid, 1, project / "reports")
    params = grid[1].params  # with momentum
    wanted = {"optimizer.learning_rate": "0.1", "optimizer.momentum": "0.9"}
    (first,) = [one for one in children(project) if wanted.items() <= one.params.items()]
    assert first.live
    again = run_stages(project, params)
    store = RunStore.open(project)
    first = store.existing(first.run_id)
    assert (again.key, again.config_key) == (first.key, first.config_key)
    assert again.key == read_experiment(project / "artifacts/train/experiment.json").key
    assert again.tags["outputs.train"] == first.tags["outputs.train"]  # the same files, byte for byte
    assert (first.live, again.live, again.tags["experiment.reproduces"]) == (True, False, first.run_id)
    assert "final/test_accuracy" in first.metrics
    assert "final/test_accuracy" not in again.metrics
    assert again.metrics.items() <= first.metrics.items()


def test_a_sweep_repeats_what_the_pipeline_has_trained(project: Path) -> None:
    """The pipeline's run stays live; a second sweep's runs are repetitions of the first's, and it chooses the same."""
    grid = configurations("optimizer.learning_rate=0.1,0.3")
    stage = run_stages(project, grid[0].params)
    assert stage.live
    first = run_sweep(project, grid, 1, project / "reports")
    assert "seed noise: unknown with one seed" in first
    assert not any("accuracy_sd" in name for one in RunStore.open(project).runs() for name in one.metrics)
    assert run_sweep(project, grid, 1, project / "reports") == first
    live = {one.params["optimizer.learning_rate"]: one for one in RunStore.open(project).runs() if one.live and one.key}
    assert live["0.1"].run_id == stage.run_id
    for child in children(project):
        representative = live[child.params["optimizer.learning_rate"]]
        assert child.key == representative.key
        assert child.live or child.tags["experiment.reproduces"] == representative.run_id
    assert [one.live for one in children(project)].count(True) == 1


def test_nothing_finite_is_an_error(project: Path) -> None:
    """A sweep without a winner is a RuntimeError with the reason, and its parent run is FAILED."""
    with pytest.raises(RuntimeError, match="no configuration stayed finite"):
        run_sweep(project, configurations("optimizer.learning_rate=1e38"), 1, project / "reports")
    assert {record.status for record in RunStore.open(project).runs()} == {"FAILED"}
    assert not (project / "reports" / "best.yaml").exists()


def test_without_data_nothing_is_begun(tmp_path: Path) -> None:
    """Where the download stage has not run the error says so, and no store is made."""
    with pytest.raises(FileNotFoundError, match="run `dvc repro download`"):
        run_sweep(tmp_path, configurations("optimizer.learning_rate=0.1"), 1, tmp_path / "reports")
    assert list(tmp_path.iterdir()) == []


def test_with_another_data_set_nothing_is_begun(project: Path) -> None:
    """Where data/prepared holds another data set than data.name the error says so, and no store is made."""
    before = set(project.rglob("*"))
    with pytest.raises(ValueError, match="holds small, not mnist; run `dvc repro download`"):
        run_sweep(project, configurations("train.seed=1", data="mnist"), 1, project / "reports")
    assert set(project.rglob("*")) == before


def test_the_patch_leaves_out_how_it_was_chosen() -> None:
    """validation_size and seed stay as params.yaml has them; the command and the patch hold the rest."""
    changes = {
        "data.validation_size": 5000,
        "train.seed": 4,
        "optimizer.weight_decay": 1e-5,
        "optimizer.nesterov": True,
    }
    assert command(changes) == "dvc exp run -S optimizer.weight_decay=1e-05 -S optimizer.nesterov=true"
    assert read_yaml(best_yaml(changes), "best.yaml") == {"optimizer": {"weight_decay": 1e-5, "nesterov": True}}
