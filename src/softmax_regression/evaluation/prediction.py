"""The predict stage: what the model says about single test images, as grids that are the same images in every run."""

from pathlib import Path

from softmax_regression.artifacts.model import Model
from softmax_regression.data.datasets import Examples
from softmax_regression.evaluation.evaluation import answer
from softmax_regression.plots import images, look, quality


def write_predictions(folder: Path, model: Model, examples: Examples, count: int) -> None:
    """Write the book's grid of the first `count` test images and two grids of mistakes into `folder`.

    The first images and the order in which mistakes are sought do not depend on the run, so runs compare image by
    image. Data without images have no grid: their first `count` points lie in a picture of the decision regions.
    """
    answers, names, pixels = answer(model, examples), model.class_names, examples.images
    labels, predicted, confidence = answers.labels, answers.predictions, answers.confidences
    if model.is_of_images:
        pictures = {
            "first": images.prediction_grid(pixels[:count], labels[:count], predicted[:count], names),
            "confident_mistakes": images.confident_mistakes(pixels, labels, predicted, confidence, names),
            "mistakes_by_pair": images.mistakes_by_pair(pixels, labels, predicted, names, confidence=confidence),
        }
    else:
        regions = quality.decision_regions(
            model.features(pixels[:count]),
            labels[:count],
            lambda points: model.logits(points).argmax(axis=1),
            names,
            title=f"The first {count} test examples",
        )
        pictures = {"first": regions}
    for name, figure in pictures.items():
        look.save(figure, folder / name)
