"""The evaluate stage: one trained model on the test set, once, and the files that keep what came out.

Shapes: N test examples, K classes, D features.
"""

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from softmax_regression.artifacts.model import Model, cross_entropy, softmax
from softmax_regression.artifacts.outcome import Convergence, Trained
from softmax_regression.data.datasets import Examples
from softmax_regression.evaluation import metrics, reference
from softmax_regression.evaluation.confusion import confused_pairs, confusion
from softmax_regression.evaluation.metrics import Answers
from softmax_regression.files import write_atomically, write_csv
from softmax_regression.params import EvaluateParams
from softmax_regression.plots import look, quality, rows
from softmax_regression.statistics.intervals import wilson_interval

_BLOCK = 2**21  # logits, or features, that are in memory at once: 16 MB in float64
_POINTS = 2000  # drawn over the decision regions


@dataclass(frozen=True)
class Evaluation:
    """What was found: the answers, the numbers of metrics.json, the reference bands, the closing checks that failed."""

    answers: Answers
    numbers: dict[str, float]
    bands: reference.BandReport
    failed: tuple[str, ...]
    guessing: tuple[str, ...] = ()  # a line, where the model is worse than a guess
    convergence: Convergence | None = None  # of a solver that ends by itself

    @property
    def words(self) -> tuple[str, ...]:
        """The findings, a line each."""
        ended = (self.convergence.words,) if self.convergence else ()
        return (*self.guessing, *ended, *self.bands.words, *self.failed)


def answer(model: Model, examples: Examples) -> Answers:
    """Ask the model about every example, once, in blocks: memory may not hold N x K probabilities."""
    found = []
    size = max(1, _BLOCK // max(len(model.class_names), examples.images[0].size))
    for start in range(0, len(examples), size):
        labels = examples.labels[start : start + size].astype(np.int64)
        logits = model.logits(examples.images[start : start + size])
        probabilities = softmax(logits)
        of_label = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
        losses = cross_entropy(logits, labels)
        found.append((labels, probabilities.argmax(axis=1), probabilities.max(axis=1), of_label, losses))
    return Answers(*map(np.concatenate, zip(*found, strict=True)))


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
    guessing = reference.worse_than_guessing(
        numbers["test_loss"], len(trained.model.class_names), standardised=trained.model.standardisation is not None
    )
    return Evaluation(answers, shown, bands, tuple(failed), tuple(guessing), trained.convergence)


def write_evaluation(folder: Path, evaluation: Evaluation, class_names: Sequence[str]) -> None:
    """Write the tables and the findings of an evaluation into `folder`.

    findings.json is what the MLflow run shows of them: metrics, tags, a summary and notes.
    """
    answers, names = evaluation.answers, class_names
    labels, predictions = answers.labels, answers.predictions
    shown = [np.round(column, 6) for column in (answers.confidences, answers.of_label)]
    header = ["index", "label", "predicted", "probability", "label_probability"]
    table = zip(range(len(labels)), labels, predictions, *shown, strict=True)
    write_csv(folder / "predictions.csv", header, table)
    matrix = confusion(labels, predictions, names, look.CLASSES)
    # Every cell, those of nothing too, in the order of the labels: DVC draws rows and columns as they come.
    pairs = itertools.product(matrix.names[: len(matrix.matrix)], matrix.names)
    cells = ((*pair, n) for pair, n in zip(pairs, matrix.matrix.flat, strict=True))
    write_csv(folder / "confusion.csv", ["actual", "predicted", "examples"], cells)
    if matrix.note:  # which has not all classes
        counted = ((names[actual], names[answer], n) for actual, answer, n in confused_pairs(labels, predictions))
        write_csv(folder / "confused_pairs.csv", ["actual", "predicted", "count"], counted)
    scores = metrics.per_class(labels, predictions, len(names))
    table = zip(names, scores.precision, scores.recall, scores.f1, scores.support, strict=True)
    write_csv(folder / "per_class.csv", ["class", "precision", "recall", "f1", "support"], table)
    write_atomically(folder / "report.txt", "".join(f"{line}\n" for line in evaluation.words))
    write_atomically(folder / "findings.json", json.dumps(_findings(evaluation), indent=2) + "\n")


def write_pictures(folder: Path, answers: Answers, model: Model, examples: Examples) -> None:
    """Draw an evaluation of `examples` into `folder`."""
    for name, figure in _pictures(answers, model, examples).items():
        look.save(figure, folder / name)


def _pictures(answers: Answers, model: Model, examples: Examples) -> dict[str, Any]:
    """Draw the evaluation: by class, or the worst classes and pairs where there are many, and by confidence."""
    labels, names, bins = answers.labels, model.class_names, metrics.reliability(answers.confidences, answers.correct)
    matrix = confusion(labels, answers.predictions, names, look.CLASSES)
    scores = metrics.per_class(labels, answers.predictions, len(names))
    counts, note = matrix.matrix, matrix.note
    pictures = {
        "confusion_matrix": quality.confusion_matrix(counts, matrix.names, note=note),
        "confusion_matrix_normalized": quality.confusion_matrix(counts, matrix.names, normalize=True, note=note),
        "reliability": quality.reliability_diagram(
            bins.confidence, bins.accuracy, bins.count, ece=bins.expected_calibration_error
        ),
        "risk_coverage": quality.risk_coverage(*metrics.risk_coverage(answers.confidences, answers.correct)),
    }
    if note:
        found = zip(scores.hits.tolist(), scores.support.tolist(), strict=True)
        intervals = np.array([wilson_interval(hits, max(count, 1)) for hits, count in found])
        pictures["per_class"] = quality.worst_classes(scores.recall, intervals, scores.support, names)
        pairs = confused_pairs(labels, answers.predictions)
        pictures["confused_pairs"] = rows.confused_pairs(pairs, scores.support, names)
        return pictures
    pictures["per_class"] = quality.per_class_bars(scores.precision, scores.recall, scores.f1, names)
    if examples.images[0].size == 2:
        done = ", standardised" if model.standardisation else ""
        pictures["decision_regions"] = quality.decision_regions(
            model.features(examples.images[:_POINTS]),
            labels[:_POINTS],
            lambda points: model.logits(points).argmax(axis=1),
            names,
            feature_names=[f"{name}{done}" for name in feature_names(model)],
            title=f"The first {_POINTS:,} test examples" if len(labels) > _POINTS else "",
        )
    return pictures


def feature_names(model: Model) -> Sequence[str]:
    """Return the features' names; where they have none, their numbers from 1."""
    return model.feature_names or [f"feature {number}" for number in range(1, 1 + math.prod(model.example_shape))]


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
            "worse_than_guessing": str(bool(evaluation.guessing)).lower(),
            **({"converged": str(evaluation.convergence.at_optimum).lower()} if evaluation.convergence else {}),
            "checks.failed": "; ".join(evaluation.failed) or "none",
        },
        "summary": (
            f"**Test accuracy {numbers['test_accuracy']:.4f}** (95% interval {numbers['test_accuracy_low']:.4f} to "
            f"{numbers['test_accuracy_high']:.4f}), test loss {numbers['test_loss']:.4f}, "
            f"train accuracy {numbers['train_accuracy']:.4f}"
            + ("; **worse than guessing**" if evaluation.guessing else "")
        ),
        "notes": list(evaluation.words),
    }
