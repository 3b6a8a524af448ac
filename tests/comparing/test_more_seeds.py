"""The seeds that a verdict lacks: chosen without a look at results, trained as the pipeline would, found again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from trained_project import ROOT, empty_project, run_stages, small_params

from softmax_regression.artifacts.experiment import describe
from softmax_regression.comparing import more_seeds
from softmax_regression.comparing.compare import compare
from softmax_regression.comparing.more_seeds import chosen_seeds, params_of
from softmax_regression.data.datasets import FOLDER, read_report
from softmax_regression.params import load_params
from softmax_regression.sweep.passes import record
from softmax_regression.sweep.plan import parse_axis, plan
from softmax_regression.sweep.sweep import run_sweep
from softmax_regression.tracking.record import RunRecord
from softmax_regression.tracking.run_store import RunStore

SLOW, FAST = "small_lr0.1_b64_e2_s0", "small_lr0.5_b64_e2_s0"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a run each of two learning rates, trained and evaluated by the stages."""
    root = empty_project(tmp_path, monkeypatch)
    for rate in (0.1, 0.5):
        run_stages(root, small_params(**{"optimizer.learning_rate": rate}))
    return root


def by_seed(root: Path, rate: str) -> dict[str, RunRecord]:
    """Return the live runs of a learning rate by seed."""
    live = [run for run in RunStore.open(root).runs() if run.live and run.key]
    return {run.params["train.seed"]: run for run in live if run.params["optimizer.learning_rate"] == rate}


@pytest.mark.parametrize(
    ("held", "count", "chosen"),
    [
        ([{0}, {0}], 3, [0, 1, 2]),
        ([{7, 8}, {8, 9}], 2, [7, 8]),  # 8 is in both, 7 in one, and smaller than 9
        ([{5, 6, 7}, {5, 6, 7}], 2, [5, 6]),
        ([{40}, {41}], 4, [0, 1, 40, 41]),
    ],
)
def test_seeds_that_are_there_come_first(held: list[set[int]], count: int, chosen: list[int]) -> None:
    """Those that all have, then those that some have, then the smallest."""
    assert chosen_seeds(held, count) == chosen


def test_missing_seeds_are_trained_as_the_pipeline_would(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is a run with the key, and byte for byte the outputs, that the stages give it; next time it is there."""
    found = compare(RunStore.open(project), project, [SLOW, FAST], seeds=3)
    assert "training 4 runs, about " in capsys.readouterr().out
    assert [one.seeds for one in found.configurations] == [("0", "1", "2")] * 2
    trained = by_seed(project, "0.5")["2"]
    again = run_stages(project, small_params(**{"optimizer.learning_rate": 0.5, "train.seed": 2}))
    first = RunStore.open(project).existing(trained.run_id)
    assert again.key == trained.key
    assert again.tags["experiment.reproduces"] == trained.run_id
    for output in ("train", "evaluate", "metrics.json"):
        assert trained.outputs[output] == first.outputs[output]  # the stage has recorded the same digest again
    assert set(first.outputs) == {"train", "evaluate", "figures", "metrics.json"}
    assert trained.metrics["final/test_accuracy"] == first.metrics["final/test_accuracy"]
    count = len(RunStore.open(project).runs())
    assert [one.seeds for one in compare(RunStore.open(project), project, [SLOW, FAST], seeds=3).configurations] == [
        ("0", "1", "2")
    ] * 2
    assert len(RunStore.open(project).runs()) == count
    assert "training" not in capsys.readouterr().out


def test_what_more_seeds_would_cost_is_said(project: Path) -> None:
    """Nothing is trained without being asked: 31 seeds of each are missing of 32, after eight of 32 it is 24."""
    found = compare(RunStore.open(project), project, [SLOW, FAST])
    assert found.offer is not None
    assert (found.offer.seeds, found.offer.runs) == (32, 62)
    assert found.offer.seconds > 62 * 0.1
    assert len(RunStore.open(project).runs()) == 2


def test_no_more_is_offered_than_can_be_asked_for(project: Path) -> None:
    """Of 600 common seeds twice as many would be next, but `--seeds` takes 1000."""
    found = compare(RunStore.open(project), project, [SLOW, FAST])
    offered = more_seeds.offer(project, found.configurations, 600)
    assert offered is not None
    assert (offered.seeds, offered.runs, offered.unmeasured) == (1000, 2 * 999, 0)


def test_without_the_data_nothing_is_offered(project: Path) -> None:
    """The answer on what is there stands all the same."""
    configurations = compare(RunStore.open(project), project, [SLOW, FAST]).configurations
    (project / FOLDER / "report.json").unlink()
    assert more_seeds.offer(project, configurations, 1) is None


def test_what_is_done_stays_done(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C after some runs: those are there, whole, and only the others are trained the next time."""
    done: list[Any] = []

    def interrupted(*arguments: Any) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        record(*arguments)
        done.append(arguments)

    with monkeypatch.context() as patch:
        patch.setattr(more_seeds, "record", interrupted)
        with pytest.raises(KeyboardInterrupt):
            compare(RunStore.open(project), project, [SLOW, FAST], seeds=3)
    before = {run.run_id for run in RunStore.open(project).runs()}
    assert len(before) == 4
    compare(RunStore.open(project), project, [SLOW, FAST], seeds=3)
    assert len({run.run_id for run in RunStore.open(project).runs()} - before) == 2
    assert {run.status for run in RunStore.open(project).runs()} == {"FINISHED"}


def test_runs_of_a_sweep_are_measured(project: Path) -> None:
    """A sweep does not test its runs: one that is named gets measured, and so do the seeds that are asked for."""
    axes = [parse_axis(text) for text in ("data.name=small", "train.epochs=2", "train.batch_size=64")]
    axes += [parse_axis(text) for text in ("data.validation_size=50", "optimizer.learning_rate=0.1,0.5")]
    run_sweep(project, plan(load_params(ROOT / "params.yaml"), axes), 2, project / "reports")
    runs = [run for run in RunStore.open(project).runs() if "mlflow.parentRunId" in run.tags]
    named = sorted((run for run in runs if run.params["train.seed"] == "0"), key=lambda run: run.name)
    assert not any("evaluate" in run.outputs for run in runs)
    found = compare(RunStore.open(project), project, [run.run_id for run in named])
    assert [one.note[:18] for one in found.configurations] == ["seed 1 not counted"] * 2
    assert all(note.endswith("held no test predictions: it was measured now") for note in found.notes)
    assert found.offer is not None
    assert (found.offer.runs, found.offer.unmeasured) == (2 * 30, 2)
    count = len(RunStore.open(project).runs())
    found = compare(RunStore.open(project), project, [run.run_id for run in named], seeds=2)
    assert [one.seeds for one in found.configurations] == [("0", "1")] * 2
    assert len(RunStore.open(project).runs()) == count


def test_the_best_of_a_sweep_is_compared_with_the_workspace(project: Path) -> None:
    """`compare workspace best` after a sweep answers: best may hold no predictions yet."""
    axes = [parse_axis(text) for text in ("data.name=small", "train.epochs=2", "train.batch_size=64")]
    axes += [parse_axis(text) for text in ("data.validation_size=50", "optimizer.learning_rate=0.1,1")]
    run_sweep(project, plan(load_params(ROOT / "params.yaml"), axes), 1, project / "reports")
    found = compare(RunStore.open(project), project, [FAST, "best"])
    assert found.runs[1].experiment.params["data.validation_size"] == 50


def test_a_seed_that_fails_is_named(project: Path) -> None:
    """A rate at which the sums leave their range on every seed: no run counts, and a line says so."""
    slow = compare(RunStore.open(project), project, [SLOW, FAST]).configurations[0]
    experiment = replace(slow.experiment, params={**slow.experiment.params, "optimizer.learning_rate": 1e38})
    wild = replace(slow, experiment=experiment, seeds=())
    lines = more_seeds.add_seeds(RunStore.open(project), project, [wild], 1)
    assert len(lines) == 1
    assert lines[0].startswith("a seed that failed does not count: 0, a weight times its largest feature")


def test_the_params_of_an_experiment_are_found_again(project: Path) -> None:
    """Its own where it has any, those of params.yaml elsewhere; other data are refused in a line."""
    params = small_params(**{"optimizer.momentum": 0.9, "train.seed": 4})
    report = read_report(project / FOLDER)
    experiment = describe(params.data, params.model, params.optimizer, params.train, report)
    assert params_of(experiment, small_params(), project).model_dump() == params.model_dump()
    other = replace(experiment, data={**experiment.data, "train-images": "0"})
    with pytest.raises(ValueError, match="data/prepared holds other data of the name small, or this version trains"):
        params_of(other, small_params(), project)
