"""The evaluate stage: one trained model on the test set, once, and the files that keep what came out.

Shapes: N test examples, K classes.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from softmax_regression.artifacts.model import Model, cross_entropy, softmax
from softmax_regression.artifacts.outcome import Trained
from softmax_regression.data.datasets import Examples
from softmax_regression.evaluation import metrics, reference
from softmax_regression.evaluation.metrics import Answers
from softmax_regression.files import write_atomically, write_csv
from softmax_regression.params import EvaluateParams
from softmax_regression.plots import look, quality


@dataclass(frozen=True)
class Evaluation:
    """What was found: the answers, the numbers of metrics.json, the reference bands, the closing checks that failed."""

    answers: Answers
    numbers: dict[str, float]
    bands: reference.BandReport
    failed: tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """The findings, a line each."""
        return (*self.bands.words, *self.failed)


def answer(model: Model, examples: Examples) -> Answers:
    """Ask the model about every example, once."""
    labels = examples.labels.astype(np.int64)
    logits = model.logits(examples.images)
    return Answers(labels, softmax(logits), cross_entropy(logits, labels))


def evaluate(trained: Trained, examples: Examples, params: EvaluateParams) -> Evaluation:
    """Measure a trained model on the test examples, and hold the result against the bands and the closing checks."""
    answers = answer(trained.model, examples)
    numbers = metrics.headline(answers, trained.history.last)
    bands = reference.reference_bands(
        trained.experiment.params, trained.history, numbers["test_accuracy"], linear=trained.model.is_linear
    )
    checks = params.checks.get(trained.model.data)
    failed = reference.closing_checks(numbers, checks) if checks else []
    # Seven digits: enough for 1 of 10,000 images, without the noise.
    shown = {name: round(value, 7) for name, value in numbers.items()}
    return Evaluation(answers, shown, bands, tuple(failed))


def write_evaluation(folder: Path, figures: Path, evaluation: Evaluation, model: Model, examples: Examples) -> None:
    """Write the tables and the findings of an evaluation into `folder`, its pictures into `figures`.

    findings.json is what the MLflow run shows of them: metrics, tags, a summary and notes.
    """
    answers, names = evaluation.answers, model.class_names
    labels, predictions = answers.labels, answers.predictions
    shown = [np.round(column, 6) for column in (answers.confidences, answers.of_label)]
    header = ["index", "label", "predicted", "probability", "label_probability"]
    rows = zip(range(len(labels)), labels, predictions, *shown, strict=True)
    write_csv(folder / "predictions.csv", header, rows)
    pairs = ((names[label], names[prediction]) for label, prediction in zip(labels, predictions, strict=True))
    write_csv(folder / "confusion.csv", ["actual", "predicted"], pairs)
    confusion = metrics.confusion_matrix(labels, predictions, len(names))
    scores = metrics.per_class(confusion)
    rows = zip(names, scores.precision, scores.recall, scores.f1, scores.support, strict=True)
    write_csv(folder / "per_class.csv", ["class", "precision", "recall", "f1", "support"], rows)
    write_atomically(folder / "report.txt", "".join(f"{line}\n" for line in evaluation.words))
    write_atomically(folder / "findings.json", json.dumps(_findings(evaluation), indent=2) + "\n")
    bins = metrics.reliability(answers.confidences, answers.correct)
    pictures = {
        "confusion_matrix": quality.confusion_matrix(confusion, names),
        "confusion_matrix_normalized": quality.confusion_matrix(confusion, names, normalize=True),
        "per_class": quality.per_class_bars(scores.precision, scores.recall, scores.f1, names),
        "reliability": quality.reliability_diagram(
            bins.confidence, bins.accuracy, bins.count, ece=bins.expected_calibration_error
        ),
        "risk_coverage": quality.risk_coverage(*metrics.risk_coverage(answers.confidences, answers.correct)),
    }
    if examples.images[0].size == 2:
        pictures["decision_regions"] = quality.decision_regions(
            model.features(examples.images), labels, lambda points: model.logits(points).argmax(axis=1), names
        )
    for name, figure in pictures.items():
        look.save(figure, figures / name)


def metrics_json(evaluation: Evaluation) -> str:
    """Return the text of metrics.json."""
    return json.dumps(evaluation.numbers, indent=2) + "\n"


def _findings(evaluation: Evaluation) -> dict[str, Any]:
    numbers, bands = evaluation.numbers, evaluation.bands
    return {
        "metrics": numbers,
        "tags": {
            "reference.bands": {True: "inside", False: "outside", None: "do not apply"}[bands.inside],
            "reference.leak": str(bands.leak).lower(),
            "checks.failed": "; ".join(evaluation.failed) or "none",
        },
        "summary": (
            f"**Test accuracy {numbers['test_accuracy']:.4f}** (95% interval {numbers['test_accuracy_low']:.4f} to "
            f"{numbers['test_accuracy_high']:.4f}), test loss {numbers['test_loss']:.4f}, "
            f"train accuracy {numbers['train_accuracy']:.4f}"
        ),
        "notes": list(evaluation.words),
    }
