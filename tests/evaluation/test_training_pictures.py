"""The train stage's pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import small_data

from softmax_regression.artifacts.outcome import Epoch, Outcome
from softmax_regression.data.datasets import Dataset, Examples
from softmax_regression.evaluation.training_pictures import live_curves, write_training_pictures

HISTORY = [
    Epoch(epoch=epoch, train_loss=1 / epoch, train_accuracy=0.5, test_loss=1 / epoch, test_accuracy=0.5)
    for epoch in (1, 2, 3)
]


def test_images_get_curves_and_a_series_of_weights(tmp_path: Path) -> None:
    """Curves in both forms, the last weights, and a picture of the weights for every snapshot."""
    train, test = (small_data.make_examples(9, (4, 4), 3, seed=seed) for seed in (1, 2))
    dataset = Dataset("small", ("a", "b", "c"), 255, train, test)
    weight = np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)
    write_training_pictures(tmp_path, Outcome(weight, None, HISTORY, {0: weight * 0, 3: weight}), dataset)
    assert {path.stem for path in (tmp_path / "figures").glob("*.png")} == {"curves", "curves_book", "weights"}
    assert [path.name for path in sorted((tmp_path / "weights").iterdir())] == ["epoch_000.png", "epoch_003.png"]


def test_points_have_no_pictures_of_weights(tmp_path: Path) -> None:
    """For two features only the curves are drawn."""
    points = Examples(np.zeros((4, 2)), np.arange(4, dtype=np.uint8) % 2)
    dataset = Dataset("made", ("a", "b"), 1, points, points)
    weight = np.zeros((2, 2), np.float32)
    write_training_pictures(tmp_path, Outcome(weight, None, HISTORY, {0: weight}), dataset)
    assert {path.stem for path in (tmp_path / "figures").glob("*.png")} == {"curves", "curves_book"}
    assert not (tmp_path / "weights").exists()


def test_live_curves_are_a_png_from_the_first_epoch_on() -> None:
    """A training under way has a picture after one epoch, too."""
    assert live_curves(HISTORY[:1], 10).startswith(b"\x89PNG")
