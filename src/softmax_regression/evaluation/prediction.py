"""The predict stage: what the model says about single test examples, the same examples in every run.

Shapes: N examples, K classes, D features.
"""

from collections.abc import Iterator, Sequence
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
    """Return header and rows: an example's number, its features as they were given, its true class, the answer."""
    names, shown = model.class_names, model.example_shape[0] * (model.example_shape[0] <= _FEATURES)
    features = _as_given(model, examples.images)[:, :shown]
    answers = answer_cells(model.probabilities(examples.images), names)
    rows = (
        [number, *(float(f"{x:.4g}") for x in own), names[label], *cells]  # packing keeps four digits
        for number, (own, label, cells) in enumerate(zip(features, examples.labels, answers, strict=True))
    )
    return ["index", *feature_names(model)[:shown], "true", *answer_columns(names)], rows


def answer_columns(class_names: Sequence[str]) -> list[str]:
    """Return the columns of a table of answers: "label", the likeliest class, and "P(name)" of each class.

    Of more than 100 classes they are the label's "probability", and "label 2", "probability 2", ... of the next ones. A
    served model names them so, too.
    """
    if len(class_names) <= FEW_CLASSES:
        return ["label", *(f"P({name})" for name in class_names)]
    later = (f"{column} {rank}" for rank in range(2, BEST + 1) for column in ("label", "probability"))
    return ["label", "probability", *later]


def answer_cells(probabilities: Floats, class_names: Sequence[str]) -> Iterator[list[object]]:
    """Yield the cells of each example under `answer_columns`, from probabilities (N, K), to six digits."""
    for best, shares in zip(likeliest(probabilities).tolist(), np.round(probabilities, 6), strict=True):
        if len(class_names) <= FEW_CLASSES:
            yield [class_names[best[0]], *shares.tolist()]
        else:
            yield [cell for k in best for cell in (class_names[k], shares[k].item())]
