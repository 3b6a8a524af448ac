"""The predict stage: what the model says about single test examples, the same examples in every run.

Shapes: N examples, K classes, D features.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from softmax_regression.artifacts.model import BEST, FEW_CLASSES, Floats, Model, likeliest
from softmax_regression.data.datasets import Array, Examples
from softmax_regression.evaluation.confusion import confused_pairs
from softmax_regression.evaluation.evaluation import answer, feature_names
from softmax_regression.evaluation.metrics import IntArray
from softmax_regression.files import write_csv
from softmax_regression.plots import images, look, rows

_ROWS = 1000  # of the table; evaluate's predictions.csv has all
_FEATURES = 50  # so many have a column each in the table; more have none


def write_predictions(folder: Path, model: Model, examples: Examples, count: int) -> None:
    """Write three pictures into `folder`: the first `count` test examples, the surest mistakes, mistakes by pair.

    The first examples and the order in which mistakes are sought do not depend on the run, so runs compare example by
    example. Pictures stand in grids; plain vectors in rows, and the first thousand in a table, first.csv.
    """
    answers, names, stored = answer(model, examples), model.class_names, examples.images
    labels, predicted, confidence = answers.labels, answers.predictions, answers.confidences
    if model.is_of_images:
        pictures = _Pictures(model, stored)
        figures = {
            "first": images.prediction_grid(pictures[:count], labels[:count], predicted[:count], names),
            "confident_mistakes": images.confident_mistakes(pictures, labels, predicted, confidence, names),
            "mistakes_by_pair": images.mistakes_by_pair(pictures, labels, predicted, names, confidence=confidence),
        }
    else:
        write_csv(folder / "first.csv", *_table(model, Examples(stored[:_ROWS], labels[:_ROWS])))

        def in_rows(chosen: IntArray, title: str) -> Any:
            return rows.prediction_rows(chosen, labels[chosen], model.probabilities(stored[chosen]), names, title=title)

        first, mistakes = np.arange(len(labels))[:count], images.surest_mistakes(labels, predicted, confidence)
        surest, support = mistakes[: images.MISTAKES], np.bincount(labels, minlength=len(names))
        none = f"No mistakes among {len(labels):,} examples."
        figures = {
            "first": in_rows(first, f"The first {len(first)} test examples"),
            "confident_mistakes": in_rows(
                surest, f"The surest {len(surest)} of {len(mistakes):,} mistakes" if len(surest) else none
            ),
            "mistakes_by_pair": rows.confused_pairs(confused_pairs(labels, predicted), support, names),
        }
    for name, figure in figures.items():
        look.save(figure, folder / name)


@dataclass(frozen=True)
class _Pictures:
    """Stored pictures as they look, uint8 from 0 to 255 or, where real numbers were packed, these."""

    model: Model
    stored: Array

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, chosen: Any) -> Array:
        pixels: Array = self.stored[chosen]
        if not isinstance(self.model.scale, tuple):
            return np.rint(pixels * (255 / self.model.scale)).astype(np.uint8)
        return _as_given(self.model, pixels.reshape(len(pixels), -1)).reshape(pixels.shape)


def _as_given(model: Model, stored: Array) -> Floats:
    """Return the features (N, D) before they were standardised, if they were."""
    features = model.features(stored)
    if model.standardisation is None:
        return features
    return features * model.standardisation.deviation + model.standardisation.mean


def _table(model: Model, examples: Examples) -> tuple[list[str], Iterator[list[object]]]:
    """Return header and rows: an example's number, its features as they were given, its class, the model's answer.

    The answer is the probability of each class, or of the likeliest where there are many.
    """
    names, shown = model.class_names, model.example_shape[0] * (model.example_shape[0] <= _FEATURES)
    features = _as_given(model, examples.images)[:, :shown]
    probabilities = model.probabilities(examples.images)
    best = likeliest(probabilities)
    chances = np.round(probabilities, 6)
    if len(names) <= FEW_CLASSES:
        columns, answers = [f"P({name})" for name in names], chances.tolist()
    else:
        columns = [
            "probability",
            *(f"{what} {rank}" for rank in range(2, BEST + 1) for what in ("class", "probability")),
        ]
        pairs = zip(best, np.take_along_axis(chances, best, axis=1), strict=True)
        answers = [[x for k, chance in zip(*pair, strict=True) for x in (names[k], chance)][1:] for pair in pairs]
    rows = (
        [number, *(float(f"{x:.4g}") for x in own), names[label], names[order[0]], *said]  # packing keeps four digits
        for number, (own, label, order, said) in enumerate(zip(features, examples.labels, best, answers, strict=True))
    )
    return ["index", *feature_names(model)[:shown], "true", "predicted", *columns], rows
