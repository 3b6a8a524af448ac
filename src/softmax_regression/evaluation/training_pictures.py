"""Pictures of a training: its curves as the book draws them and larger, and the weights, epoch by epoch."""

from pathlib import Path

import numpy as np

from softmax_regression.artifacts.outcome import History, Trained
from softmax_regression.evaluation.evaluation import feature_names
from softmax_regression.files import write_atomically
from softmax_regression.plots import curves, images, look, rows


def write_training_pictures(figures: Path, trained: Trained) -> None:
    """Draw the curves and, for a linear model, the weights into `figures`.

    The weights of images are a series, too, of the kept epochs, `figures`/series/weights/<epoch>.png, all with one
    scale of colours, so that they compare.
    """
    history, model = trained.history, trained.model
    columns = history.columns()
    look.save(curves.training_curves(columns, history.held_out), figures / "curves")
    look.save(curves.training_curves_book(columns, history.held_out), figures / "curves_book")
    if not model.is_linear:
        return
    shape, names, weight = model.example_shape, model.class_names, model.tensors["weight"]
    if not model.is_of_images:
        unit = "standard deviation of a feature" if model.standardisation else "unit of a feature"
        look.save(rows.feature_weights(weight, feature_names(model), names, unit=unit), figures / "weights")
        return
    look.save(images.weight_images(weight, shape, names), figures / "weights")
    largest = max(float(np.quantile(np.abs(weight), 0.995)) for weight in trained.snapshots.values())
    for epoch, weight in sorted(trained.snapshots.items()):
        picture = images.weight_images(weight, shape, names, epoch=epoch, vmax=largest)
        write_atomically(figures / "series" / "weights" / f"{epoch:03}.png", look.png_bytes(picture))


def live_curves(history: History, epochs: int) -> bytes:
    """Return the curves of a training under way as PNG; the axis is as long as the training will be."""
    return look.png_bytes(curves.training_curves(history.columns(), history.held_out, epochs=epochs))
