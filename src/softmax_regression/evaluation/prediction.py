"""The predict stage: what the model says about single test images, as grids that are the same images in every run."""

from __future__ import annotations

from pathlib import Path

from softmax_regression.artifacts.outcome import Model
from softmax_regression.data.datasets import Examples
from softmax_regression.evaluation.evaluation import evaluate
from softmax_regression.plots import figures


def write_predictions(folder: Path, model: Model, examples: Examples, count: int) -> None:
    """Write the book's grid of the first `count` test images and two grids of mistakes into `folder`.

    The first images and the order in which mistakes are sought do not depend on the run, so runs compare image by
    image. Data without images have no grid: their first `count` points lie in a picture of the decision regions.
    """
    answers = evaluate(model, examples)
    if len(model.example_shape) != 2:
        picture = figures.decision_regions(
            examples.images[:count],
            answers.labels[:count],
            lambda points: model.logits(points).argmax(axis=1),
            model.class_names,
            title=f"The first {count} test examples",
        )
        figures.save(picture, folder / "first")
        return
    images, names = examples.images, model.class_names
    labels, predicted, confidence = answers.labels, answers.predictions, answers.confidences
    grids = {
        "first": figures.prediction_grid(images[:count], labels[:count], predicted[:count], names),
        "confident_mistakes": figures.confident_mistakes(images, labels, predicted, confidence, names),
        "mistakes_by_pair": figures.mistakes_by_pair(images, labels, predicted, names, confidence=confidence),
    }
    for name, figure in grids.items():
        figures.save(figure, folder / name)
