"""The train stage's pictures: curves as the book draws them and larger, and the weights, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from softmax_regression.artifacts.outcome import Epoch, Outcome, columns
from softmax_regression.data.datasets import Dataset
from softmax_regression.files import write_atomically
from softmax_regression.plots import figures


def write_training_pictures(folder: Path, outcome: Outcome, dataset: Dataset) -> None:
    """Draw the curves and, for images, the weights into `folder`/figures, and the weights' series into /weights.

    All pictures of the series have one scale of colours, so that they compare.
    """
    curves = columns(outcome.history)
    figures.save(figures.training_curves(curves), folder / "figures" / "curves")
    figures.save(figures.training_curves_book(curves), folder / "figures" / "curves_book")
    if not dataset.is_image:
        return
    height, width = dataset.example_shape
    shape, names = (height, width), dataset.class_names
    figures.save(figures.weight_images(outcome.weight, shape, names), folder / "figures" / "weights")
    largest = max(float(np.quantile(np.abs(weight), 0.995)) for weight in outcome.snapshots.values())
    for epoch, weight in sorted(outcome.snapshots.items()):
        picture = figures.weight_images(weight, shape, names, epoch=epoch, vmax=largest)
        write_atomically(folder / "weights" / f"epoch_{epoch:03}.png", figures.png_bytes(picture))


def live_curves(history: Sequence[Epoch], epochs: int) -> bytes:
    """Return the curves of a training under way as PNG; the axis is as long as the training will be."""
    return figures.png_bytes(figures.training_curves(columns(history), epochs=epochs))
