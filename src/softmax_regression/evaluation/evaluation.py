"""The evaluate stage: one trained model on the test set, once, and the files that keep what came out.

Shapes: N test examples, K classes.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from softmax_regression.artifacts.outcome import Epoch, Model
from softmax_regression.data.datasets import Examples
from softmax_regression.evaluation import metrics
from softmax_regression.files import write_atomically
from softmax_regression.params import ClosingChecks
from softmax_regression.plots import figures


@dataclass(frozen=True)
class Evaluation:
    """A model's answers on N test examples: labels and predictions (N,), probabilities (N, K)."""

    labels: npt.NDArray[np.int64]
    predictions: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """Which predictions are right, (N,)."""
        return np.equal(self.labels, self.predictions)

    @property
    def confidences(self) -> npt.NDArray[np.float64]:
        """The probability that the model gave to what it predicted, (N,)."""
        return np.asarray(self.probabilities.max(axis=1), dtype=np.float64)


def evaluate(model: Model, examples: Examples) -> Evaluation:
    """Ask the model about every example, once."""
    probabilities = model.probabilities(examples.images)
    return Evaluation(examples.labels.astype(np.int64), probabilities.argmax(axis=1), probabilities)


def headline(evaluation: Evaluation, history: Sequence[Epoch]) -> dict[str, float]:
    """Return metrics.json: few keys, short names; losses in nats, accuracies with their 95% Wilson interval."""
    correct = int(evaluation.correct.sum())
    interval = metrics.wilson_interval(correct, len(evaluation.labels))
    calibration = metrics.reliability(evaluation.confidences, evaluation.correct)
    loss = metrics.cross_entropy(np.log(np.maximum(evaluation.probabilities, 1e-300)), evaluation.labels)
    return {
        "test_accuracy": correct / len(evaluation.labels),
        "test_accuracy_low": interval.low,
        "test_accuracy_high": interval.high,
        "test_loss": loss,
        "test_ece": calibration.expected_calibration_error,
        "train_loss": history[-1]["train_loss"],
        "train_accuracy": history[-1]["train_accuracy"],
    }


def write_evaluation(
    folder: Path, evaluation: Evaluation, model: Model, examples: Examples, report: Sequence[str]
) -> None:
    """Write the tables, the pictures and the report (lines of text) of an evaluation into `folder`."""
    names = model.class_names
    labels, predictions = evaluation.labels, evaluation.predictions
    shown = [np.round(column, 6) for column in (evaluation.confidences, _of_label(evaluation))]
    write_atomically(
        folder / "predictions.csv",
        _csv("index label predicted probability label_probability", range(len(labels)), labels, predictions, *shown),
    )
    confusion = metrics.confusion_matrix(labels, predictions, len(names))
    write_atomically(
        folder / "confusion.csv",
        _csv("actual predicted", [names[k] for k in labels], [names[k] for k in predictions]),
    )
    scores = metrics.per_class(confusion)
    write_atomically(
        folder / "per_class.csv",
        _csv("class precision recall f1 support", names, scores.precision, scores.recall, scores.f1, scores.support),
    )
    write_atomically(folder / "report.txt", "".join(f"{line}\n" for line in report))
    bins = metrics.reliability(evaluation.confidences, evaluation.correct)
    risk = metrics.risk_coverage(evaluation.confidences, evaluation.correct)
    pictures = {
        "confusion_matrix": figures.confusion_matrix(confusion, names),
        "confusion_matrix_normalized": figures.confusion_matrix(confusion, names, normalize=True),
        "per_class": figures.per_class_bars(scores.precision, scores.recall, scores.f1, names),
        "reliability": figures.reliability_diagram(
            bins.confidence, bins.accuracy, bins.count, ece=bins.expected_calibration_error
        ),
        "risk_coverage": figures.risk_coverage(risk.coverage, risk.accuracy),
    }
    if examples.images[0].size == 2:
        pictures["decision_regions"] = figures.decision_regions(
            examples.images, labels, lambda points: model.logits(points).argmax(axis=1), names
        )
    for name, figure in pictures.items():
        figures.save(figure, folder / "figures" / name)


def findings(
    settings: Mapping[str, Any], history: Sequence[Epoch], headline: Mapping[str, float]
) -> metrics.BandReport:
    """Say whether the result lies in the reference bands of the book's recipe, and whether it must be a leak."""
    return metrics.reference_bands(
        settings,
        [row["train_loss"] for row in history],
        [row["train_accuracy"] for row in history],
        headline["test_accuracy"],
    )


def failed_checks(checks: ClosingChecks | None, headline: Mapping[str, float]) -> list[str]:
    """Return the closing checks that failed, each as what, found, wanted; without checks none fails."""
    if checks is None:
        return []
    return metrics.closing_checks(
        train_loss=headline["train_loss"],
        train_accuracy=headline["train_accuracy"],
        test_accuracy=headline["test_accuracy"],
        **checks.model_dump(),
    )


def metrics_json(values: Mapping[str, float]) -> str:
    """Return the text of metrics.json; seven digits tell 1 of 10,000 images and leave out the noise."""
    return json.dumps({name: round(value, 7) for name, value in values.items()}, indent=2) + "\n"


def _of_label(evaluation: Evaluation) -> npt.NDArray[np.float64]:
    """Return the probability that the model gave to the true label, (N,)."""
    picked: npt.NDArray[np.float64] = np.take_along_axis(evaluation.probabilities, evaluation.labels[:, None], axis=1)
    return picked[:, 0]


def _csv(header: str, *columns: Any) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header.split())
    writer.writerows(zip(*columns, strict=True))
    return text.getvalue()
