"""How good is one trained model on one test set: the headline numbers, counts, calibration, abstention.

Shapes: N examples, K classes, M bins. Inputs are arrays of NumPy or whatever `numpy.asarray` reads. An empty
input, unequal lengths, a NaN or a value out of its range is a ValueError of one line, in every function here.
Is one model better than another? See comparing/statistics.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmax_regression.artifacts.outcome import Epoch

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Interval(NamedTuple):
    """A confidence interval, both ends included."""

    low: float
    high: float


@dataclass(frozen=True)
class Answers:
    """A model's answers on N test examples: labels and predictions (N,), probabilities (N, K)."""

    labels: IntArray
    predictions: IntArray
    probabilities: FloatArray

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Which predictions are right, (N,)."""
        return np.equal(self.labels, self.predictions)

    @property
    def confidences(self) -> FloatArray:
        """The probability that the model gave to what it predicted, (N,)."""
        return np.asarray(self.probabilities.max(axis=1), dtype=np.float64)

    @property
    def of_label(self) -> FloatArray:
        """The probability that the model gave to the true label, (N,)."""
        picked: FloatArray = np.take_along_axis(self.probabilities, self.labels[:, None], axis=1)
        return picked[:, 0]


def headline(answers: Answers, last: Epoch) -> dict[str, float]:
    """Return the numbers of metrics.json; losses in nats, accuracies with their 95% Wilson interval.

    A new metric is a line here: it reaches metrics.json, DVC's tables and the MLflow run (as final/<name>).
    """
    count, correct = len(answers.labels), int(answers.correct.sum())
    interval = wilson_interval(correct, count)
    return {
        "test_accuracy": correct / count,
        "test_accuracy_low": interval.low,
        "test_accuracy_high": interval.high,
        "test_loss": cross_entropy(np.log(np.maximum(answers.probabilities, 1e-300)), answers.labels),
        "test_ece": reliability(answers.confidences, answers.correct).expected_calibration_error,
        "train_loss": last.train_loss,
        "train_accuracy": last.train_accuracy,
    }


def wilson_interval(correct: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of an accuracy of `correct` out of `n` examples.

    (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n) with p = correct/n (Wilson 1927). It covers the
    images' share of the uncertainty: other images like these, the same trained model.
    """
    if n < 1 or not 0 <= correct <= n:
        raise ValueError(f"an accuracy needs 0 <= correct <= n and n >= 1, found {correct} of {n}")
    z = normal_quantile(confidence)
    p = correct / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5 / (1 + z * z / n)
    # The ends are exactly 0 at p = 0 and 1 at p = 1; rounding would miss them.
    return Interval(centre - half if correct > 0 else 0.0, centre + half if correct < n else 1.0)


def normal_quantile(confidence: float) -> float:
    """Return z > 0 such that a standard normal variable lies in (-z, z) with probability `confidence`."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie strictly between 0 and 1 (0.95 is usual), found {confidence}")
    # The lower tail keeps its digits where 1 - tail would round to 1.
    return -NormalDist().inv_cdf((1 - confidence) / 2)


def confusion_matrix(labels: ArrayLike, predictions: ArrayLike, num_classes: int) -> IntArray:
    """Count examples by class: (K, K) int64, a row per actual class, a column per predicted class."""
    actual, predicted = _class_indices(labels, predictions, num_classes)
    counts = np.bincount(actual * num_classes + predicted, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes).astype(np.int64)


@dataclass(frozen=True)
class PerClass:
    """Figures of each class, every array (K,); support is the number of examples of the class."""

    precision: FloatArray
    recall: FloatArray
    f1: FloatArray
    support: IntArray


def per_class(confusion: ArrayLike) -> PerClass:
    """Precision, recall and F1 of each class from a confusion matrix (K, K), rows actual.

    precision = TP/(TP+FP), recall = TP/(TP+FN), F1 = 2TP/(2TP+FP+FN), the harmonic mean of the two. 0/0
    counts as 0: the precision of a class that is never predicted, the recall of one without examples
    (scikit-learn's `zero_division=0`).
    """
    counts = np.asarray(confusion)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.size == 0:
        raise ValueError(f"a confusion matrix is square, (K, K), found shape {counts.shape}")
    hits = np.diagonal(counts).astype(np.float64)
    predicted = counts.sum(axis=0, dtype=np.int64)
    support = counts.sum(axis=1, dtype=np.int64)
    return PerClass(
        precision=_ratio(hits, predicted),
        recall=_ratio(hits, support),
        f1=_ratio(2 * hits, predicted + support),
        support=support,
    )


def cross_entropy(log_probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Mean of -log p(label), in nats per example, summed in float64; d2l 4.1.

    `log_probabilities` (N, K), the output of log-softmax, `labels` (N,) in [0, K). A label to which the model
    gives no probability at all (-inf) makes the mean infinite. Logits passed by mistake are refused.
    """
    table = np.asarray(log_probabilities, dtype=np.float64)
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(f"log-probabilities have shape (N, K), found {table.shape}")
    # 1e-3: float32 rows miss the sum 1 by about K * 6e-8; logits miss it by far more. NaN fails too.
    if not np.all(table <= 1e-3) or not np.all(np.abs(np.exp(table).sum(axis=1) - 1) <= 1e-3):
        raise ValueError("rows of exp(log-probabilities) do not sum to 1; pass the output of log-softmax")
    actual, _ = _class_indices(labels, labels, table.shape[1])
    if len(actual) != len(table):
        raise ValueError(f"one label per row is needed, found {len(actual)} labels and {len(table)} rows")
    return float(-np.mean(table[np.arange(len(actual)), actual]))


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy in M bins: `edges` (M+1,), the rest (M,); an empty bin holds NaN."""

    edges: FloatArray
    count: IntArray
    confidence: FloatArray
    accuracy: FloatArray
    expected_calibration_error: float


def reliability(confidences: ArrayLike, correct: ArrayLike, bins: int = 15) -> Reliability:
    """Bin predictions by confidence and compare the mean confidence of each bin with its accuracy.

    `confidences` (N,) are the probabilities of the predicted classes, `correct` (N,) bool. Bins have equal
    width and are closed on the right, ((m-1)/M, m/M]. Expected calibration error = sum over bins of
    count/N * |accuracy - confidence|, with M = 15 as in Guo et al. 2017.
    """
    sure, right = _confidences(confidences, correct)
    if bins < 1:
        raise ValueError(f"at least one bin is needed, found {bins}")
    edges = np.linspace(0.0, 1.0, bins + 1)
    index = np.searchsorted(edges[1:-1], sure, side="left")
    count = np.bincount(index, minlength=bins).astype(np.int64)
    filled = count > 0
    mean_confidence = _ratio(np.bincount(index, sure, bins), count)
    mean_accuracy = _ratio(np.bincount(index, right, bins), count)
    error = float(np.sum(count / len(sure) * np.abs(mean_accuracy - mean_confidence)))
    return Reliability(
        edges,
        count,
        np.where(filled, mean_confidence, np.nan),
        np.where(filled, mean_accuracy, np.nan),
        error,
    )


@dataclass(frozen=True)
class RiskCoverage:
    """What a model does that may abstain; every array (N,), entry k-1 when it answers its k surest examples.

    `coverage` is k/N, `accuracy` that of the answers, `threshold` the confidence of the k-th surest; `area`
    (AURC) is the mean of 1 - accuracy over all k, 0 for a model without errors.
    """

    coverage: FloatArray
    accuracy: FloatArray
    threshold: FloatArray
    area: float


def risk_coverage(confidences: ArrayLike, correct: ArrayLike) -> RiskCoverage:
    """Accuracy when the model abstains on its least confident examples (Geifman & El-Yaniv 2017).

    `confidences` (N,) are the probabilities of the predicted classes, `correct` (N,) bool. No threshold parts
    examples of equal confidence, so each counts with the mean of its ties: the expected curve over random
    orders of the tied. The result does not depend on the order of the examples.
    """
    sure, right = _confidences(confidences, correct)
    levels, index, count = np.unique(-sure, return_inverse=True, return_counts=True)
    tied_mean = np.bincount(index, weights=right) / count
    answered = np.arange(1, len(sure) + 1)
    selective = np.cumsum(np.repeat(tied_mean, count)) / answered
    return RiskCoverage(answered / len(sure), selective, np.repeat(-levels, count), float(np.mean(1.0 - selective)))


def _class_indices(
    labels: ArrayLike, predictions: ArrayLike, num_classes: int | None = None
) -> tuple[IntArray, IntArray]:
    columns = []
    for what, values in (("labels", labels), ("predictions", predictions)):
        column = np.asarray(values)
        if column.ndim != 1 or column.size == 0 or column.dtype.kind not in "iu":
            raise ValueError(f"{what} are integers (N,), N >= 1, found {column.dtype} of shape {column.shape}")
        # int64 before any arithmetic: label * K overflows in the uint8 in which labels are stored.
        column = column.astype(np.int64)
        if num_classes is not None and not (column.min() >= 0 and column.max() < num_classes):
            raise ValueError(f"{what} lie in [0, {num_classes}), found values from {column.min()} to {column.max()}")
        columns.append(column)
    actual, predicted = columns
    if len(actual) != len(predicted):
        raise ValueError(f"one prediction per label is needed, found {len(predicted)} for {len(actual)} labels")
    return actual, predicted


def _confidences(confidences: ArrayLike, correct: ArrayLike) -> tuple[FloatArray, NDArray[np.bool_]]:
    sure = np.asarray(confidences, dtype=np.float64)
    right = np.asarray(correct)
    if sure.ndim != 1 or sure.size == 0 or right.shape != sure.shape or right.dtype != np.bool_:
        raise ValueError(
            "confidences (N,) and correct (N,) bool, N >= 1, are needed, found shapes "
            f"{sure.shape} and {right.shape} {right.dtype}"
        )
    # 1e-6: a softmax in float32 may round to a little over 1.
    if not (sure.min() >= 0 and sure.max() <= 1 + 1e-6):
        raise ValueError(f"confidences are probabilities, found values from {sure.min()} to {sure.max()}")
    return sure, right


def _ratio(top: FloatArray | IntArray, bottom: IntArray) -> FloatArray:
    """Divide, with 0 where the divisor is 0."""
    return np.divide(top, bottom, out=np.zeros(len(top)), where=bottom > 0)
