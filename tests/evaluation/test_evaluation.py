"""The evaluate stage: figures worked by hand, files that DVC reads, checks that fail when they should."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from softmax_regression.artifacts.outcome import Epoch, Model
from softmax_regression.data.datasets import Examples
from softmax_regression.evaluation.evaluation import (
    Evaluation,
    evaluate,
    failed_checks,
    findings,
    headline,
    metrics_json,
    write_evaluation,
)
from softmax_regression.params import ClosingChecks, flatten, load_params

HISTORY = [Epoch(epoch=1, train_loss=0.4, train_accuracy=0.9)]
# Two features, two classes: class 1 where the second is larger. The logits are 10 times the features.
MODEL = Model(np.eye(2, dtype=np.float32) * 10, None, "made", ("left", "right"), (2,), 1.0)
EXAMPLES = Examples(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 2.0]]), np.array([0, 1, 1, 1], dtype=np.uint8))


def test_the_headline_is_as_worked_by_hand() -> None:
    """Three of four are right; the loss is the mean of log(1 + e^-10) thrice, 10 more once, and e^-20 for the last."""
    answers = evaluate(MODEL, EXAMPLES)
    assert answers.predictions.tolist() == [0, 1, 0, 1]
    numbers = headline(answers, HISTORY)
    assert numbers["test_accuracy"] == 0.75
    expected = (3 * np.log1p(np.exp(-10)) + 10 + np.log1p(np.exp(-20))) / 4
    assert numbers["test_loss"] == pytest.approx(expected, rel=1e-9)  # float64 after exact float32 logits
    # Wilson's interval for 3 of 4, from the formula with z = 1.959964
    assert (numbers["test_accuracy_low"], numbers["test_accuracy_high"]) == pytest.approx((0.3006, 0.9544), abs=1e-4)
    assert numbers["train_accuracy"] == 0.9


def test_a_label_without_any_probability_keeps_the_loss_finite() -> None:
    """A probability that underflows to zero counts as 1e-300: metrics.json must stay JSON."""
    answers = Evaluation(np.array([0]), np.array([1]), np.array([[0.0, 1.0]]))
    assert headline(answers, HISTORY)["test_loss"] == pytest.approx(300 * np.log(10))


def test_the_files_are_those_that_dvc_and_people_read(tmp_path: Path) -> None:
    """A row an example in predictions.csv and confusion.csv; scores a class; pictures; the report's lines."""
    answers = evaluate(MODEL, EXAMPLES)
    write_evaluation(tmp_path, answers, MODEL, EXAMPLES, ["first finding", "second"])
    with (tmp_path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["predicted"] for row in rows] == ["0", "1", "0", "1"]
    assert [row["label"] for row in rows] == ["0", "1", "1", "1"]
    assert float(rows[2]["label_probability"]) == pytest.approx(4.5e-05, abs=1e-6)
    with (tmp_path / "confusion.csv").open() as file:
        pairs = Counter((row["actual"], row["predicted"]) for row in csv.DictReader(file))
    assert pairs == {("left", "left"): 1, ("right", "right"): 2, ("right", "left"): 1}
    assert "right,1.0,0.666" in (tmp_path / "per_class.csv").read_text()
    assert (tmp_path / "report.txt").read_text() == "first finding\nsecond\n"
    assert (tmp_path / "figures" / "decision_regions.png").is_file()
    assert (tmp_path / "figures" / "confusion_matrix.svg").is_file()


def test_equal_evaluations_write_equal_bytes(tmp_path: Path) -> None:
    """Nothing random or dated is in the files, pictures included."""
    answers = evaluate(MODEL, EXAMPLES)
    for folder in ("first", "second"):
        write_evaluation(tmp_path / folder, answers, MODEL, EXAMPLES, [])
    for path in (tmp_path / "first").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "second" / path.relative_to(tmp_path / "first")).read_bytes()


def test_closing_checks_fail_with_what_found_and_wanted() -> None:
    """A bound that is not kept is told; no checks, no failure."""
    numbers = {"train_loss": 0.6, "train_accuracy": 0.8, "test_accuracy": 0.65}
    checks = ClosingChecks(max_train_loss=0.5, min_train_accuracy=0.7, min_test_accuracy=0.7)
    assert failed_checks(checks, numbers) == [
        "train loss: found 0.6, wanted below 0.5",
        "test accuracy: found 0.65, wanted above 0.7 and at most 1",
    ]
    assert failed_checks(None, numbers) == []


def test_a_leak_is_flagged() -> None:
    """A test accuracy above 0.86 on Fashion-MNIST is a leak, whatever the recipe."""
    settings = flatten(load_params(Path(__file__).parents[2] / "params.yaml")) | {"train.epochs": 50}
    report = findings(settings, HISTORY, {"test_accuracy": 0.88})
    assert report.leak
    assert report.words[0].startswith("LEAK")


def test_metrics_json_is_short() -> None:
    """Seven digits, a newline at the end."""
    assert metrics_json({"test_accuracy": 1 / 3}) == '{\n  "test_accuracy": 0.3333333\n}\n'
