"""Passes side by side, and trainings that cannot share one: the same outcomes as alone, and nothing left behind."""

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from trained_project import die, empty_project, small_params

from softmax_regression.data.datasets import FOLDER
from softmax_regression.sweep import passes
from softmax_regression.sweep.passes import prepared, train_passes
from softmax_regression.sweep.plan import Trial
from softmax_regression.training.solving import solve


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a small prepared data set."""
    return empty_project(tmp_path, monkeypatch) / FOLDER


def configuration(**changes: object) -> Trial:
    """Return a configuration with these changes to the small params; '__' stands for the point."""
    return Trial(small_params(**{key.replace("__", "."): value for key, value in changes.items()}), {})


def alone(one: Trial, folder: Path) -> dict[str, np.ndarray]:
    """Return the arrays that the train stage gives this configuration."""
    params = one.params
    dataset = prepared(folder, params.data.name, None)
    settings = params.model, params.optimizer, params.train
    size = params.data.validation_size
    return dict(solve(dataset, size, *settings, on_epoch=lambda _: None, checkpoint=None, show=False).tensors)


def test_small_passes_go_side_by_side_to_the_same_bits(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Two seeds of two configurations, one of them by a solver that shares no pass: each as the train stage has it."""
    rates, solvers = (0.1, 0.5), ("sgd", "lbfgs")
    groups = [
        *[[configuration(optimizer__learning_rate=rate, train__seed=seed) for rate in rates] for seed in (0, 1)],
        [configuration(train__solver="lbfgs")],
    ]
    found = [one for done in train_passes(groups, folder) for one in done]
    assert len(found) == 5
    assert {one.trial.params.train.solver for one in found} == set(solvers)
    for one in found:
        expected = alone(one.trial, folder)
        for name, array in one.outcome.tensors.items():
            np.testing.assert_array_equal(array, expected[name], strict=True)
    assert "epoch" not in capfd.readouterr().out  # no lines of each training


def test_a_large_pass_names_the_configuration_that_leads(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line an epoch: the best validation accuracy, and whose it is, by what differs between the configurations."""
    rates, momenta = (0.0001, 0.001, 0.01, 0.1, 0.3), (0.0, 0.9)
    group = [
        configuration(data__validation_size=50, optimizer__learning_rate=rate, optimizer__momentum=momentum)
        for rate in rates
        for momentum in momenta
    ]
    ((*found,),) = train_passes([group], folder)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "pass 1/1: 10 configurations"
    best = max(found, key=lambda one: one.outcome.history.last.held_out_accuracy)
    optimizer = best.trial.params.optimizer
    said = f"{best.outcome.history.last.held_out_accuracy:.4f} leads: learning rate {optimizer.learning_rate}, momentum"
    assert f"validation accuracy {said} {optimizer.momentum} (" in lines[-1]
    assert len(lines) == 1 + group[0].params.train.epochs
    assert max(map(len, lines)) < 120


def test_a_pass_of_one_configuration_names_none(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing that it could lead: its figures are shown."""
    list(train_passes([[configuration(data__validation_size=50)]], folder))
    text = capsys.readouterr().out
    assert "train loss" in text
    assert "leads" not in text


def test_the_answers_of_a_pass_are_those_of_its_models(folder: Path) -> None:
    """Which validation examples are right in the end is what the last accuracy counts."""
    ((one,),) = train_passes([[configuration(data__validation_size=50)]], folder)
    assert one.answers is not None
    assert len(one.answers) == 50
    assert one.answers.mean() == one.outcome.history.last.held_out_accuracy


@pytest.mark.parametrize("passes_of", [1, 2])
def test_halving_prunes_in_each_pass(folder: Path, passes_of: int) -> None:
    """One pass of four, or two of two side by side, of four epochs: who goes on has the bits of the train stage."""
    rates = (0.0001, 0.001, 0.1, 0.3)
    group = [configuration(optimizer__learning_rate=rate, train__epochs=4) for rate in rates]
    groups = [group[place::passes_of] for place in range(passes_of)]
    found = [one for done in train_passes(groups, folder, halving=True) for one in done]
    left = [one for one in found if one.pruned is None]
    assert len(left) == passes_of
    assert all(one.trial.params.optimizer.learning_rate >= 0.1 for one in left)
    for one in left:
        np.testing.assert_array_equal(one.outcome.tensors["weight"], alone(one.trial, folder)["weight"], strict=True)
    assert all(
        "pruned after epoch" in (one.pruned or "") and not one.outcome.tensors for one in found if one not in left
    )


@pytest.mark.parametrize("implementation", ["exact", "scratch"])
def test_a_training_that_fails_says_why(folder: Path, implementation: str) -> None:
    """With others in a pass, or alone: a line, and no arrays."""
    failing = configuration(model__implementation=implementation, optimizer__learning_rate=1e38)
    ((one,),) = train_passes([[failing]], folder)
    assert one.failure is not None
    assert "epoch 1" in one.failure
    assert not one.outcome.tensors


def test_a_process_that_dies_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has ended a process is not known; that what is done is kept, is."""
    monkeypatch.setattr(passes, "_train", die)
    groups = [[configuration(train__seed=seed)] for seed in (0, 1)]
    with pytest.raises(RuntimeError, match="a process that trained has died, of too little memory maybe; what is done"):
        list(train_passes(groups, folder))


def alive(pids: Sequence[int]) -> list[int]:
    """Return the processes that are still there after 20 s, at once when there are none."""
    deadline = time.monotonic() + 20
    while (left := [pid for pid in pids if Path(f"/proc/{pid}").exists()]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def test_who_stops_early_leaves_no_process(folder: Path) -> None:
    """The first outcome is enough: the processes are ended, those in the middle of a training, too."""
    groups = [[configuration(train__seed=seed, train__epochs=1 if seed == 0 else 10_000)] for seed in range(3)]
    trained = train_passes(groups, folder)
    next(trained)
    pids = [process.pid for process in multiprocessing.active_children() if process.pid]
    trained.close()  # type: ignore[attr-defined]
    assert pids
    assert not alive(pids)


KILLED = """
import multiprocessing, os, signal, sys
from pathlib import Path
from trained_project import small_params
from softmax_regression.sweep.passes import train_passes
from softmax_regression.sweep.plan import Trial

if __name__ == "__main__":
    changes = [{"train.seed": seed, "train.epochs": 10_000 if seed else 1} for seed in range(3)]
    groups = [[Trial(small_params(**own), {})] for own in changes]
    next(train_passes(groups, Path(sys.argv[1])))
    print(*(process.pid for process in multiprocessing.active_children()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_who_is_killed_leaves_no_process(folder: Path, tmp_path: Path) -> None:
    """The processes that train end with the one that has begun them, however that ends."""
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    path = os.pathsep.join(sys.path)
    found = subprocess.run(
        [sys.executable, script, folder], env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, check=False
    )
    pids = [int(word) for word in found.stdout.split()[-2:]]
    assert len(pids) == 2
    assert not alive(pids)
