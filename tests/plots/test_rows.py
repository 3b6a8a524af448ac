"""Pictures made of rows of words and bars show the numbers that they are given."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from softmax_regression.plots import look, rows

LONG = tuple(f"a class with a very long name indeed, number {k}" for k in range(300))
SHORT = ("no", "yes")

Words = Callable[[Any], list[str]]


def predictions(class_names: tuple[str, ...], count: int = 24) -> Any:
    """Return rows of made-up predictions."""
    random = np.random.default_rng(0)
    chances = random.dirichlet(np.ones(len(class_names)), count)
    numbers, labels = np.arange(count) + 199_000, random.integers(0, len(class_names), count)
    return rows.prediction_rows(numbers, labels, chances, class_names, title="made up")


def pairs(class_names: tuple[str, ...], count: int) -> Any:
    """Return the most confused of made-up pairs."""
    found = np.stack([np.zeros(count, int), np.arange(count) + 1, np.arange(count)[::-1] + 1], axis=1)
    return rows.confused_pairs(found, np.full(len(class_names), 1234), class_names)


def weights(features: tuple[str, ...], class_names: tuple[str, ...]) -> Any:
    """Return the table of made-up weights."""
    weight = np.random.default_rng(0).normal(0, 30, (len(class_names), len(features)))
    return rows.feature_weights(weight, features, class_names, unit="standard deviation of a feature")


DRAWN: dict[str, Callable[[], Any]] = {
    "predictions": lambda: predictions(SHORT),
    "predictions, long names": lambda: predictions(LONG),
    "no predictions": lambda: predictions(SHORT, 0),
    "pairs": lambda: pairs(SHORT, 1),
    "pairs, long names": lambda: pairs(LONG, 299),
    "no pairs": lambda: pairs(SHORT, 0),
    "weights": lambda: weights(("age", "height"), SHORT),
    "weights, long names": lambda: weights(LONG, LONG),
    "weights, ten classes": lambda: weights(LONG[:3], tuple(f"class {k}" for k in range(10))),
}


@pytest.mark.parametrize("name", DRAWN)
def test_words_neither_overlap_nor_leave_the_figure(name: str, check_words: Callable[[Any], None]) -> None:
    """With short and long names, few and many, no two texts overlap and none is cut off."""
    check_words(DRAWN[name]())


def test_a_row_names_the_true_class_and_the_likeliest_three(words: Words) -> None:
    """The likeliest comes first, each with its probability; a wrong one has a cross."""
    chances = np.array([[0.1, 0.6, 0.25, 0.05], [0.7, 0.1, 0.1, 0.1]])
    figure: Any = rows.prediction_rows(np.array([5, 12]), np.array([2, 0]), chances, ("a", "b", "c", "d"), title="two")
    assert words(figure)[4:] == ["5", "c", "✗ b 60%", "c 25%", "a 10%", "12", "a", "a 70%", "b 10%", "c 10%"]
    bars = [patch.get_width() for patch in figure.axes[0].patches]
    assert np.array(bars[:3]) / bars[0] == pytest.approx([1, 0.25 / 0.6, 0.1 / 0.6])


def test_names_of_a_usual_length_are_whole(words: Words) -> None:
    """Letters get smaller before the end of a name is cut, which often is what tells two classes apart."""
    classes = tuple(f"species {k}" for k in range(100, 400))
    assert not [shown for shown in words(predictions(classes)) if shown.startswith("✗") and "…" in shown]


def test_wrong_predictions_are_red() -> None:
    """The bar of a wrong prediction is red, that of the true class blue."""
    figure: Any = rows.prediction_rows(np.array([0]), np.array([1]), np.array([[0.8, 0.2]]), SHORT, title="one")
    colours = [patch.get_facecolor()[:3] for patch in figure.axes[0].patches]
    assert colours == [tuple(int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)) for c in (look.RED, look.BLUE)]


def test_pairs_say_how_many_of_how_many(words: Words) -> None:
    """15 pairs at most, the title counts all mistakes; bars are as long as the numbers."""
    found = np.array([[1, 0, 8], [0, 1, 2]])
    figure: Any = rows.confused_pairs(found, np.array([10, 9]), SHORT)
    assert words(figure) == [
        "Mistakes by pair, actual → predicted; 10 in all",
        "yes → no",
        "8 of 9",
        "no → yes",
        "2 of 10",
    ]
    bars = [patch.get_width() for patch in figure.axes[0].patches]
    assert bars[1] / bars[0] == pytest.approx(2 / 8)
    assert sum(" of " in word for word in words(pairs(LONG, 299))) == 15


def test_the_features_with_the_largest_weights_come_first(words: Words) -> None:
    """A row a feature, the largest weight first, of either sign; a column a class."""
    weight = np.array([[0.5, -2.0, 0.0], [0.25, 1.0, 1.5]])
    figure: Any = rows.feature_weights(weight, ("age", "height", "width"), SHORT, unit="unit of a feature")
    shown = words(figure)
    assert [word for word in shown if word in ("age", "height", "width")] == ["height", "width", "age"]
    assert [word for word in shown if word[0] in "+−"] == ["−2.00", "+1.00", "+0.00", "+1.50", "+0.50", "+0.25"]
    assert shown[-1] == "Per unit of a feature."
    assert np.array_equal(figure.axes[0].images[0].get_array(), weight[:, [1, 2, 0]].T)


@pytest.mark.parametrize(("largest", "written"), [(123.4, "+123.40"), (0.5, "+0.50"), (0.00123, "+0.0012")])
def test_small_weights_keep_two_digits(largest: float, written: str, words: Words) -> None:
    """Two decimals, more where the largest weight would have fewer than two digits."""
    weight = np.array([[largest, 0.0], [0.0, -largest]])
    assert written in words(rows.feature_weights(weight, ("a", "b"), SHORT, unit="unit"))


def test_of_many_features_and_classes_those_with_the_largest_weights_are_drawn(words: Words) -> None:
    """20 features and 10 classes, of so many as the last line says."""
    weight = np.zeros((300, 50))
    weight[7, 3], weight[9, 4] = 5, -4
    names = tuple(f"f{k}" for k in range(50))
    shown = words(rows.feature_weights(weight, names, tuple(f"c{k}" for k in range(300)), unit="unit"))
    assert [word for word in shown if word in names][:2] == ["f3", "f4"]
    assert {"c7", "c9"} <= set(shown)
    assert "With the largest weights: 20 of 50 features, 10 of 300 classes." in shown


@pytest.mark.parametrize("weight", [np.zeros((2, 3)), np.full((2, 3), np.nan)])
def test_weights_that_are_zero_or_undefined_are_still_drawn(weight: Any) -> None:
    """A start from zero, or a run that blew up, gives a figure and no warning."""
    figure = rows.feature_weights(weight, ("a", "b", "c"), SHORT, unit="unit")
    assert look.png_bytes(figure).startswith(b"\x89PNG")
