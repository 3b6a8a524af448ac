"""The benchmarks' plain builds learn what they should: a ratio over a loop that learns nothing says nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from small_data import make_examples

from softmax_regression.data.datasets import Dataset

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import measuring, plain


def test_the_numpy_loop_learns() -> None:
    """On separable images the bare loop ends with nearly all test images right."""
    train, test = make_examples(600, seed=1), make_examples(200, seed=2)
    names = tuple(str(label) for label in range(10))
    accuracy = plain.numpy_loop(Dataset("small", names, 255, train, test), 5, batch_size=32)
    assert accuracy > 0.95  # chance is 0.1


def test_tasks_are_timed_in_turn() -> None:
    """Each task runs as often as asked, in turn, and has a median."""
    calls: list[str] = []
    seconds = measuring.interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert calls == ["a", "b"] * 3
    assert set(seconds) == {"a", "b"}


def test_a_command_that_fails_is_told() -> None:
    """A benchmark's process that fails is a RuntimeError with its last words, not a short time."""
    with pytest.raises(RuntimeError, match="alas"):
        measuring.run([sys.executable, "-c", "raise SystemExit('alas')"], Path())
