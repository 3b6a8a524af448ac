"""Figures of one model: against scikit-learn, by hand, and at the edges."""

import math
import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix as sklearn_confusion
from sklearn.metrics import precision_recall_fscore_support

from softmax_regression.artifacts.model import cross_entropy
from softmax_regression.artifacts.outcome import Epoch
from softmax_regression.evaluation import metrics
from softmax_regression.evaluation.metrics import Answers, headline

# Sums of some hundred float64 terms of size 1: a few units in the last place.
ROUNDING = 1e-12
LAST = Epoch(10, train_loss=0.4, train_accuracy=0.9, held_out_loss=0.5, held_out_accuracy=0.8, learning_rate=0.1)


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in every run."""
    return np.random.default_rng(0)


def test_import_loads_numpy_alone() -> None:
    """Importing the module, and statistics/, which it uses, loads neither scipy nor torch."""
    code = (
        "import sys, softmax_regression.evaluation.metrics, softmax_regression.statistics.seeds\n"
        "assert 'numpy' in sys.modules\n"
        "print([m for m in ('scipy', 'torch', 'sklearn') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_books_example() -> None:
    """The book's two examples give accuracy 0.5 and cross-entropies 2.3026 and 0.6931 (mean 1.4979)."""
    probabilities, labels = np.array([[0.1, 0.3, 0.6], [0.3, 0.2, 0.5]]), np.array([0, 2])
    losses = cross_entropy(np.log(probabilities), labels)
    answers = Answers(labels, probabilities.argmax(axis=1), probabilities.max(axis=1), np.array([0.1, 0.5]), losses)
    numbers = headline(answers, LAST)
    assert numbers["test_accuracy"] == 0.5
    # The book's figures have four decimals.
    assert numbers["test_loss"] == pytest.approx((2.3026 + 0.6931) / 2, abs=1e-4)


def test_the_headline_is_as_worked_by_hand() -> None:
    """Three of four right at 0.9, one wrong at 0.8 with 0.2 for its label: each number from its formula."""
    of_label = np.array([0.9, 0.9, 0.9, 0.2])
    predictions, sure = np.array([0, 1, 0, 0]), np.array([0.9, 0.9, 0.9, 0.8])
    numbers = headline(Answers(np.array([0, 1, 0, 1]), predictions, sure, of_label, -np.log(of_label)), LAST)
    assert list(numbers) == [
        *("test_accuracy", "test_accuracy_low", "test_accuracy_high", "test_loss", "test_ece"),
        *("train_loss", "train_accuracy"),
    ]
    assert numbers["test_accuracy"] == 0.75
    # Wilson's interval for 3 of 4, from the formula with z = 1.959964
    assert (numbers["test_accuracy_low"], numbers["test_accuracy_high"]) == pytest.approx((0.3006, 0.9544), abs=1e-4)
    assert numbers["test_loss"] == pytest.approx(-(3 * math.log(0.9) + math.log(0.2)) / 4, rel=ROUNDING)
    # Two bins: three at 0.9 with accuracy 1, one at 0.8 with accuracy 0.
    assert numbers["test_ece"] == pytest.approx((3 * 0.1 + 0.8) / 4, rel=ROUNDING)
    assert (numbers["train_loss"], numbers["train_accuracy"]) == (0.4, 0.9)


def test_the_mean_loss_does_not_depend_on_the_order(rng: np.random.Generator) -> None:
    """The losses' sum is rounded once: shuffled, they have the same mean, to the last bit."""
    labels, half, losses = np.zeros(999, np.int64), np.full(999, 0.5), rng.exponential(size=999) * 1e3
    shuffled = (Answers(labels, labels, half, half, rng.permutation(losses)) for _ in range(9))
    means = {headline(answers, LAST)["test_loss"] for answers in shuffled}
    assert means == {math.fsum(losses) / 999}


def test_confusion_and_its_figures_match_scikit_learn(rng: np.random.Generator) -> None:
    """Confusion matrix and per-class figures equal scikit-learn's, a class never predicted included."""
    labels, predictions = rng.integers(0, 5, 400), rng.integers(0, 4, 400)
    table = metrics.confusion_matrix(labels, predictions, 5)
    assert table.dtype == np.int64
    np.testing.assert_array_equal(table, sklearn_confusion(labels, predictions, labels=range(5)))
    found = metrics.per_class(labels, predictions, 5)
    wanted = precision_recall_fscore_support(labels, predictions, labels=range(5), zero_division=0)
    for ours, theirs in zip((found.precision, found.recall, found.f1, found.support), wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=ROUNDING)
    assert found.precision[4] == found.recall[4] == found.f1[4] == 0


def test_confusion_counts_labels_stored_as_bytes() -> None:
    """Labels in uint8 are counted right where label * K exceeds 255."""
    labels, predictions = np.array([99, 50], np.uint8), np.array([98, 99], np.uint8)
    table = metrics.confusion_matrix(labels, predictions, 100)
    assert table[99, 98] == table[50, 99] == 1
    assert table.sum() == 2


def test_per_class_by_hand() -> None:
    """Counts [[3, 1], [2, 4]], rows actual: recall 3/4 and 4/6, precision 3/5 and 4/5, F1 2/3 and 8/11."""
    labels, predictions = np.repeat([0, 0, 1, 1], [3, 1, 2, 4]), np.repeat([0, 1, 0, 1], [3, 1, 2, 4])
    found = metrics.per_class(labels, predictions, 2)
    np.testing.assert_allclose(found.recall, [3 / 4, 4 / 6], rtol=ROUNDING)
    np.testing.assert_allclose(found.precision, [3 / 5, 4 / 5], rtol=ROUNDING)
    np.testing.assert_allclose(found.f1, [2 / 3, 8 / 11], rtol=ROUNDING)
    np.testing.assert_array_equal(found.support, [4, 6])
    np.testing.assert_array_equal(found.hits, [3, 4])


def test_reliability_by_hand() -> None:
    """Two bins: (0.3, 0.5] falls left, 0.9 right; the error is 2/3 * |0.5 - 0.4| + 1/3 * |0 - 0.9|."""
    found = metrics.reliability(np.array([0.3, 0.5, 0.9]), np.array([True, False, False]), bins=2)
    np.testing.assert_array_equal(found.count, [2, 1])
    np.testing.assert_allclose(found.confidence, [0.4, 0.9], rtol=ROUNDING)
    np.testing.assert_allclose(found.accuracy, [0.5, 0.0], rtol=ROUNDING)
    assert found.expected_calibration_error == pytest.approx(2 / 3 * 0.1 + 0.9 / 3, rel=ROUNDING)


def test_reliability_of_a_calibrated_model(rng: np.random.Generator) -> None:
    """A model that is right as often as it says has a small error; bins add up; empty bins hold NaN."""
    sure = rng.uniform(0.5, 1.0, 20_000)
    found = metrics.reliability(sure, rng.random(20_000) < sure)
    assert found.count.sum() == 20_000
    np.testing.assert_array_equal(np.isnan(found.accuracy), found.count == 0)
    assert np.isnan(found.confidence[0])
    # Bins of 2,700: standard error of a bin's accuracy below 0.5 / sqrt(2700) = 0.0096; a mean of such is less.
    assert found.expected_calibration_error < 0.01
    overconfident = metrics.reliability(sure, rng.random(20_000) < sure - 0.2)
    # The true error is 0.2; the same standard error.
    assert overconfident.expected_calibration_error == pytest.approx(0.2, abs=0.01)


def test_reliability_takes_a_softmax_rounded_above_one() -> None:
    """A float32 confidence one step above 1 counts in the last bin."""
    found = metrics.reliability(np.array([np.nextafter(np.float32(1), np.float32(2))]), np.array([True]))
    assert found.count[-1] == 1


def test_risk_coverage_by_hand() -> None:
    """Right, wrong, right by falling confidence: accuracies 1, 1/2, 2/3 at coverages 1/3, 2/3, 1."""
    coverage, accuracy = metrics.risk_coverage(np.array([0.5, 0.9, 0.7]), np.array([True, True, False]))
    np.testing.assert_allclose(coverage, [1 / 3, 2 / 3, 1], rtol=ROUNDING)
    np.testing.assert_allclose(accuracy, [1, 1 / 2, 2 / 3], rtol=ROUNDING)


def test_risk_coverage_averages_over_the_order_of_ties(rng: np.random.Generator) -> None:
    """With ties the curve is the mean of the curves over random orders, and the input's order does not matter."""
    sure = np.array([0.9, 0.8, 0.8, 0.8, 0.6, 0.6])
    right = np.array([True, False, True, True, False, True])
    _, accuracy = metrics.risk_coverage(sure, right)
    curves = []
    for _ in range(4000):
        order = np.lexsort((rng.random(6), -sure))
        curves.append(np.cumsum(right[order]) / np.arange(1, 7))
    # Standard error of the mean of 4000 curves: at most 0.5 / sqrt(4000) = 0.008; three of them.
    np.testing.assert_allclose(accuracy, np.mean(curves, axis=0), atol=0.024)
    shuffled = rng.permutation(6)
    _, again = metrics.risk_coverage(sure[shuffled], right[shuffled])
    np.testing.assert_allclose(again, accuracy, rtol=ROUNDING)


def test_risk_coverage_at_full_coverage_is_the_accuracy(rng: np.random.Generator) -> None:
    """The last point is the plain accuracy; so is every point of a confidence that knows nothing."""
    right = rng.random(500) < 0.8
    assert metrics.risk_coverage(rng.random(500), right)[1][-1] == pytest.approx(right.mean(), rel=ROUNDING)
    np.testing.assert_allclose(metrics.risk_coverage(np.full(500, 0.3), right)[1], right.mean(), rtol=ROUNDING)
    assert (metrics.risk_coverage(rng.random(500), np.ones(500, bool))[1] == 1).all()
