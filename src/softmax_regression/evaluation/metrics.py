"""How good is one trained model on one test set: the headline numbers, counts, calibration, abstention.

Shapes: N examples (one or more), K classes, M bins. Is one model better than another? See statistics/.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softmax_regression.artifacts.outcome import Epoch
from softmax_regression.statistics.intervals import wilson_interval

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Answers:
    """A model's answers on N test examples: labels (N,), and what its logits come to, every array (N,).

    predictions: the most probable classes; confidences: their probabilities; of_label: those of the true labels;
    losses: the cross-entropy of each in nats.
    """

    labels: IntArray
    predictions: IntArray
    confidences: FloatArray
    of_label: FloatArray
    losses: FloatArray

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Which predictions are right, (N,)."""
        return np.equal(self.labels, self.predictions)


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
        "test_loss": math.fsum(answers.losses) / count,
        "test_ece": reliability(answers.confidences, answers.correct).expected_calibration_error,
        "train_loss": last.train_loss,
        "train_accuracy": last.train_accuracy,
    }


def confusion_matrix(labels: NDArray[np.integer], predictions: NDArray[np.integer], num_classes: int) -> IntArray:
    """Count examples by class: (K, K) int64, a row per actual class, a column per predicted class."""
    # int64 before any arithmetic: label * K overflows in the uint8 in which labels are stored.
    cells = labels.astype(np.int64) * num_classes + predictions
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


@dataclass(frozen=True)
class PerClass:
    """Figures of each class, every array (K,); of its `support` examples `hits` are predicted right."""

    precision: FloatArray
    recall: FloatArray
    f1: FloatArray
    support: IntArray
    hits: IntArray


def per_class(labels: IntArray, predictions: IntArray, num_classes: int) -> PerClass:
    """Precision, recall and F1 of each class from labels and predictions (N,).

    precision = TP/(TP+FP), recall = TP/(TP+FN), F1 = 2TP/(2TP+FP+FN), the harmonic mean of the two. 0/0
    counts as 0: the precision of a class that is never predicted, the recall of one without examples
    (scikit-learn's `zero_division=0`).
    """
    chosen = (labels[labels == predictions], predictions, labels)
    hits, predicted, support = (np.bincount(classes, minlength=num_classes) for classes in chosen)
    return PerClass(
        precision=_ratio(hits, predicted),
        recall=_ratio(hits, support),
        f1=_ratio(2 * hits, predicted + support),
        support=support,
        hits=hits,
    )


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy in M bins, every array (M,); an empty bin holds NaN."""

    count: IntArray
    confidence: FloatArray
    accuracy: FloatArray
    expected_calibration_error: float


def reliability(confidences: FloatArray, correct: NDArray[np.bool_], bins: int = 15) -> Reliability:
    """Bin predictions by confidence and compare the mean confidence of each bin with its accuracy.

    `confidences` (N,) are the probabilities of the predicted classes, `correct` (N,) bool. Bins have equal
    width and are closed on the right, ((m-1)/M, m/M]. Expected calibration error = sum over bins of
    count/N * |accuracy - confidence|, with M = 15 as in Guo et al. 2017.
    """
    index = np.searchsorted(np.linspace(0.0, 1.0, bins + 1)[1:-1], confidences, side="left")
    count = np.bincount(index, minlength=bins)
    confidence = _ratio(np.bincount(index, confidences, bins), count, empty=np.nan)
    accuracy = _ratio(np.bincount(index, correct, bins), count, empty=np.nan)
    error = float(np.nansum(count / len(correct) * np.abs(accuracy - confidence)))
    return Reliability(count, confidence, accuracy, error)


def risk_coverage(confidences: FloatArray, correct: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """Coverage and accuracy of a model that abstains where it is least sure (Geifman & El-Yaniv 2017).

    `confidences` (N,) are the probabilities of the predicted classes, `correct` (N,) bool. Entry k-1 of both results,
    (N,), is about the k surest examples answered: k/N, and their accuracy. No threshold parts examples of equal
    confidence, so each counts with the mean of its ties: the expected curve over random orders of the tied. The result
    does not depend on the order of the examples.
    """
    _, index, count = np.unique(-confidences, return_inverse=True, return_counts=True)
    tied_mean = np.bincount(index, weights=correct) / count
    answered = np.arange(1, len(correct) + 1)
    return answered / len(correct), np.cumsum(np.repeat(tied_mean, count)) / answered


def _ratio(top: FloatArray | IntArray, bottom: IntArray, empty: float = 0.0) -> FloatArray:
    """Divide, with `empty` where the divisor is 0."""
    return np.asarray(np.divide(top, bottom, out=np.full(len(top), empty), where=bottom > 0))
