"""The benchmarks run, and their plain builds learn what they should: a loop that learns nothing is no yardstick.

Here they run on small data, so the figures mean nothing; the real ones are `make bench`.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from small_data import make_examples

from benchmarks import large, measuring, pipeline_speed, plain, search, training_speed, verdicts
from benchmarks.measuring import Figure
from softmax_regression.data.datasets import Dataset
from softmax_regression.params import Params, load_params
from softmax_regression.sweep.plan import parse_axis, plan

ROOT = Path(__file__).parents[1]
SMALL = Dataset("small", tuple(map(str, range(10))), 255, make_examples(600, seed=1), make_examples(200, seed=2))


@pytest.fixture
def params() -> Params:
    """Return the project's own params."""
    return load_params(ROOT / "params.yaml")


def test_the_numpy_loop_learns() -> None:
    """On separable images the bare loop ends with nearly all test images right."""
    assert plain.numpy_loop(SMALL, 5, batch_size=32) > 0.95  # chance is 0.1


MEASUREMENTS: dict[str, Callable[[Params], list[Figure]]] = {
    "numpy": lambda params: training_speed.over_numpy(SMALL, params, 1),
    "step": lambda params: training_speed.parts_of_a_step(SMALL, params, 2),
    "lightning": lambda params: training_speed.over_plain_lightning(SMALL, params),
    "sklearn": lambda params: training_speed.to_accuracy(SMALL, params, iterations=1),
    "size": lambda params: training_speed.against_size(SMALL, params, 1, (1, 2)),
    "torch": lambda params: large.against_plain_torch(params, 600, 1),
    "together": lambda params: large.of_a_sweep(params, 600, 5, 3),
    "search": lambda params: search.compared(SMALL, params, 100, (16,), 2),
}


# The plain Lightning build is as tutorials have it, Lightning's notices included.
NOTICES = {"lightning": pytest.mark.filterwarnings("ignore::Warning")}


@pytest.mark.parametrize("name", [pytest.param(name, marks=NOTICES.get(name, ())) for name in MEASUREMENTS])
def test_a_measurement_of_training_gives_its_figure(params: Params, name: str) -> None:
    """Each one trains through the interface that the train stage uses and returns a number beside its target."""
    for figure in MEASUREMENTS[name](params):
        assert any(digit in figure.value for digit in "0123456789")
        assert figure.target.startswith(("at most", "at least", "within", "none"))


@pytest.mark.slow  # three processes that import torch
def test_a_measurement_in_a_process_gives_its_figures(params: Params) -> None:
    """Memory, time by example and L-BFGS against scikit-learn's: numbers beside targets, on small data."""
    for figure in (*large.against_number(params, 2000, 500), *large.against_scikit_learn(600, 20, 5)):
        assert any(digit in figure.value for digit in "0123456789")
        assert figure.target.startswith(("at most", "within"))


def test_verdicts_are_measured_over_seeds(params: Params, tmp_path: Path) -> None:
    """Seeds are trained once and kept; each pair of recipes has shares; the noise of the book's recipe is a table."""
    brief = params.model_copy(update={"train": params.train.model_copy(update={"epochs": 1})})
    correct, training = verdicts.trained(SMALL, brief, 6, tmp_path)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.npz")}
    again, _ = verdicts.trained(SMALL, brief, 6, tmp_path)
    np.testing.assert_array_equal(again, correct)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.npz")} == before
    assert (correct.shape, training.shape, len(before)) == ((6, 12, 200), (6, 12, 2, 2), 6)
    shares = verdicts.judged(correct, sizes=(8,), samples=40)
    assert {values.shape for values in shares.values()} == {(66,)}
    # Six seeds are a small population, and 40 samples few: the mean over pairs alone is worth a bound.
    assert np.mean(shares[verdicts.TRUTHS[0], 8, verdicts.QUESTIONS[0]]) < 0.05
    assert verdicts.seed_noise(correct, training).count("\n") == 2 + 5


def test_embeddings_are_made_as_they_are_downloaded(tmp_path: Path) -> None:
    """Packed float16 of every class in mapped files: a linear model finds the classes, and the same call the same."""
    large.make(tmp_path, 3000, 64, 7)
    dataset = large.made(tmp_path)
    assert isinstance(dataset.train.images, np.memmap)
    assert (dataset.train.images.dtype, dataset.train.images.shape, dataset.num_classes) == (np.int16, (3000, 64), 7)
    halves = dataset.train.images / np.array(dataset.scale)
    np.testing.assert_array_equal(halves, halves.astype(np.float16))
    assert abs(halves.std() - 1.03) < 0.02  # noise of 1 and centres of 1/4: the root of 1 + 1/16
    before = np.array(dataset.train.images)
    large.make(tmp_path, 3000, 64, 7)
    np.testing.assert_array_equal(large.made(tmp_path).train.images, before)


def test_the_plain_torch_loop_learns(tmp_path: Path) -> None:
    """After an epoch over separable embeddings its loss is far below ln 3."""
    large.make(tmp_path, 3000, 64, 3)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # one batch's loss depends on the order: a fourth of all seeds end above
        assert large.torch_loop(large.made(tmp_path), batch_size=16) < 0.5


def test_memory_that_was_taken_is_seen() -> None:
    """An array of 50 MB that lived within is in the peak, after it has gone."""
    with large._anonymous_memory() as peak:
        array = np.ones(50 * 10**6 // 8)
        time.sleep(0.2)
        del array
    assert 45e6 < peak() < 70e6


def test_the_script_for_memory_imports_what_is_there() -> None:
    """The script runs in a process of its own, where neither mypy nor an import of this file would find a slip."""
    for node in ast.walk(ast.parse(training_speed.PEAK_SCRIPT)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{name}" for name in names if (node.module, name) != ("pathlib", "Path")]
        for name in names:
            assert (ROOT / "pipeline" / f"{name}.py").is_file() or importlib.util.find_spec(name), name


def test_the_edits_are_edits_of_params_yaml() -> None:
    """What the pipeline's benchmark replaces is in params.yaml, once, and is there with what it writes."""
    text = (ROOT / "params.yaml").read_text()
    for what, before, after, _ in pipeline_speed.EDITS:
        if before:
            assert text.count(before) == 1, what
            assert after not in text, what


def test_the_sweep_is_of_64_configurations(params: Params) -> None:
    """The sweep that is measured is one that `softmax-regression sweep` takes, and as large as is said."""
    assert len(plan(params, [parse_axis(axis) for axis in pipeline_speed.SWEEP])) == 64


def test_tasks_are_timed_in_turn() -> None:
    """Each task runs as often as asked, in turn, and has a median."""
    calls: list[str] = []
    seconds = measuring.interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert calls == ["a", "b"] * 3
    assert set(seconds) == {"a", "b"}


def test_a_command_that_fails_is_an_error() -> None:
    """A benchmark's process that fails is a RuntimeError with its last words, not a short time."""
    with pytest.raises(RuntimeError, match="alas"):
        measuring.run([sys.executable, "-c", "raise SystemExit('alas')"], Path())
