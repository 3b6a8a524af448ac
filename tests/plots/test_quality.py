"""Pictures of a model's quality show the numbers that they are given."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from softmax_regression.plots import quality
from softmax_regression.plots.look import Array

FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
LONG = tuple(f"a class with a very long name indeed, number {k}" for k in range(10))

Words = Callable[[Any], list[str]]


def confusion(class_names: tuple[str, ...] = FASHION, *, normalize: bool = False) -> Any:
    """Return a confusion matrix with large counts on the diagonal."""
    counts = np.random.default_rng(0).integers(0, 200, (len(class_names), len(class_names)))
    return quality.confusion_matrix(counts + 6000 * np.eye(len(counts), dtype=int), class_names, normalize=normalize)


def bars(class_names: tuple[str, ...] = FASHION) -> Any:
    """Return per-class bars of made-up measures."""
    precision, recall, f1 = np.random.default_rng(0).uniform(0, 1, (3, len(class_names)))
    return quality.per_class_bars(precision, recall, f1, class_names)


def differences(class_names: tuple[str, ...] = FASHION) -> Any:
    """Return per-class differences of two made-up models, with intervals."""
    a, b = np.random.default_rng(0).uniform(0.6, 0.9, (2, len(class_names)))
    bounds = np.stack([b - a - 0.02, b - a + 0.02], axis=1)
    return quality.class_differences(a, b, class_names, names=("one", "another"), intervals=bounds)


def nearest_corner(points: Array) -> Array:
    """Predict class 0, 1 or 2 by the larger coordinate, or neither."""
    return np.where(points.max(axis=1) < 0, 2, points.argmax(axis=1))


def regions(class_names: tuple[str, ...] = ("0", "1", "2"), title: str = "") -> Any:
    """Return the decision regions of a rule in the plane."""
    random = np.random.default_rng(0)
    return quality.decision_regions(
        random.normal(0, 1, (80, 2)), random.integers(0, 3, 80), nearest_corner, class_names, title=title
    )


def reliability(bins: int = 10) -> Any:
    """Return a reliability diagram whose first bin is empty."""
    middle = (np.arange(bins) + 0.5) / bins
    middle[0] = np.nan
    counts = np.arange(bins) * 1000
    return quality.reliability_diagram(middle, middle**2, counts, ece=0.0123)


def worst(class_names: tuple[str, ...]) -> Any:
    """Return the worst classes of made-up recalls."""
    recall = np.random.default_rng(0).uniform(0, 1, len(class_names))
    intervals = np.stack([recall * 0.9, 0.1 + recall * 0.9], axis=1)
    return quality.worst_classes(recall, intervals, np.full(len(recall), 1000), class_names)


DRAWN: dict[str, Callable[[], Any]] = {
    "confusion": confusion,
    "confusion, percent": lambda: confusion(normalize=True),
    "confusion, long names": lambda: confusion(LONG),
    "confusion, two classes": lambda: confusion(("no", "yes")),
    "confusion, twenty classes and others": lambda: quality.confusion_matrix(
        np.full((20, 21), 1234), [f"class {k}" for k in range(21)], note=", the 20 most confused of 10,000"
    ),
    "worst": lambda: worst(LONG * 30),
    "worst, two classes": lambda: worst(("no", "yes")),
    "bars": bars,
    "bars, long names": lambda: bars(LONG),
    "differences": differences,
    "regions": lambda: regions(title="made up"),
    "regions, long names": lambda: regions(LONG),
    "reliability": reliability,
    "reliability, 15 bins, millions": lambda: quality.reliability_diagram(
        np.linspace(0, 1, 15), np.ones(15), np.full(15, 1_234_567), ece=0.5
    ),
    "risk": lambda: quality.risk_coverage(np.arange(1, 101) / 100, np.linspace(1, 0.83, 100)),
    "risk, no mistakes": lambda: quality.risk_coverage(np.arange(1, 101) / 100, np.ones(100)),
}


@pytest.mark.parametrize("name", DRAWN)
def test_words_neither_overlap_nor_leave_the_figure(name: str, check_words: Callable[[Any], None]) -> None:
    """With short and long class names, no two texts overlap and none is cut off."""
    check_words(DRAWN[name]())


def test_confusion_cells_hold_counts_or_percent_of_the_actual_class(words: Words) -> None:
    """Rows are actual classes: [[8, 2], [1, 3]] is 80 and 20, 25 and 75 percent; a zero stays '0'."""
    counts = np.array([[8, 2, 0], [1, 3, 0], [0, 0, 0]])
    plain = words(quality.confusion_matrix(counts, ("a", "b", "c")))
    assert [word for word in plain if word.isdigit()] == ["8", "2", "0", "1", "3", "0", "0", "0", "0"]
    share = words(quality.confusion_matrix(counts, ("a", "b", "c"), normalize=True))
    cells = [word for word in share if word[0].isdigit() and word[-1] != "%"]
    assert cells == ["80.0", "20.0", "0", "25.0", "75.0", "0", "0", "0", "0"]
    assert plain.count("a") == share.count("a") == 2


@pytest.mark.parametrize("normalize", [False, True])
def test_the_bar_of_the_confusion_matrix_gives_the_share_of_each_colour(normalize: bool) -> None:
    """Where the bar says 10% it has the colour of a cell with a tenth of the actual class, and so on."""
    figure: Any = quality.confusion_matrix(np.array([[4, 6], [1, 9]]), ("a", "b"), normalize=normalize)
    cells, bar = figure.axes[0].images
    assert (cells.get_cmap().name, cells.get_clim()) == (bar.get_cmap().name, bar.get_clim())
    left, right = bar.get_extent()[:2]
    ticks = {text.get_text(): text.get_position()[0] for text in figure.axes[0].texts if text.get_text().endswith("%")}
    assert list(ticks) == ["0%", "10%", "40%", "100%"]
    for words, share in (("10%", cells.get_array()[1, 0]), ("40%", cells.get_array()[0, 0])):
        place = (ticks[words] - left) / (right - left)
        assert bar.get_array()[0, round(256 * place)] == pytest.approx(share, abs=1 / 256)  # the bar has 257 colours


def test_small_cells_have_whole_percents(words: Words) -> None:
    """Of twenty classes a cell says 17, not 16.7: that could not be read."""
    counts = np.eye(20, dtype=int) * 5
    counts[0, 1] = 1
    share = words(quality.confusion_matrix(counts, [f"c{k}" for k in range(20)], normalize=True))
    assert {"83", "17", "100"} <= set(share)


def test_the_last_column_may_have_no_row(words: Words) -> None:
    """A matrix (2, 3) has two rows, named as the first columns, and three columns."""
    figure: Any = quality.confusion_matrix(np.array([[5, 1, 2], [0, 7, 3]]), ("a", "b", "others"), note=", two of nine")
    shown = words(figure)
    assert [word for word in shown if word.isdigit()] == ["5", "1", "2", "0", "7", "3"]
    assert (shown.count("a"), shown.count("b"), shown.count("others")) == (2, 2, 1)
    assert shown[0] == "Number of examples, two of nine"


def test_the_worst_classes_come_by_recall_then_by_what_is_sure(words: Words) -> None:
    """0 of 40 is surely worse than 0 of 1; a class without examples has no place."""
    recall, support = np.array([0.5, 0.0, 0.0, 0.0]), np.array([10, 1, 40, 0])
    intervals = np.array([[0.2, 0.8], [0, 0.8], [0, 0.1], [0, 1]])
    figure = quality.worst_classes(recall, intervals, support, ("half", "one", "forty", "none"))
    shown = words(figure)
    assert [word for word in shown if word in ("half", "one", "forty", "none")] == ["forty", "one", "half"]
    assert {"0 of 40", "0 of 1", "5 of 10", "Recall of 3 classes"} <= set(shown)


def test_at_most_15_of_the_worst_classes_are_shown(words: Words) -> None:
    """The histogram has them all."""
    figure = worst(tuple(f"kind {k}" for k in range(300)))
    assert sum(word.startswith("kind") for word in words(figure)) == 15
    assert sum(patch.get_height() for patch in figure.axes[1].patches) == 300


def test_bars_are_as_long_as_the_measures(words: Words) -> None:
    """Three bars a class, and its F1 in figures."""
    values = np.array([[0.5, 0.75], [0.25, 0.0], [0.3333, 0.0]])
    figure: Any = quality.per_class_bars(values[0], values[1], values[2], ("a", "b"))
    lengths = np.array([patch.get_width() for patch in figure.axes[0].patches]).reshape(3, 2)
    assert np.array_equal(lengths, values)
    assert {"0.33", "0.00"} <= set(words(figure))


def test_reliability_bars_are_the_accuracy_of_filled_bins(words: Words) -> None:
    """Empty bins have no bar above and none below; the error is written, and how many examples each bin holds."""
    figure = reliability(4)
    heights = [patch.get_height() for patch in figure.axes[0].patches]
    assert heights == pytest.approx([0.375**2, 0.625**2, 0.875**2], abs=1e-12)
    assert [patch.get_height() for patch in figure.axes[1].patches] == [0, 1000, 2000, 3000]
    shown = words(figure)
    assert {"ECE 0.0123", "How many of the 6,000 examples each bin holds"} <= set(shown)
    assert [word for word in shown if word == "0" or word.endswith(",000")] == ["0", "1,000", "2,000", "3,000"]


def test_risk_coverage_names_the_accuracy_of_all_of_80_and_of_50_percent(words: Words) -> None:
    """The curve is the one given, with three points written out."""
    coverage = np.arange(1, 11) / 10
    figure: Any = quality.risk_coverage(coverage, 1 - coverage / 5)
    assert np.array_equal(figure.axes[0].lines[0].get_xydata(), np.stack([coverage, 1 - coverage / 5], axis=1))
    assert {"90.0%", "84.0%", "80.0%"} <= set(words(figure))


def test_decision_regions_paint_what_the_model_predicts(words: Words) -> None:
    """The ground takes the colour of the predicted class; wrong examples are counted and edged in black."""
    points = np.array([[2.0, -1.0], [-1.0, 2.0], [-2.0, -2.0], [2.0, 1.0]])
    figure: Any = quality.decision_regions(points, np.array([0, 1, 2, 1]), nearest_corner, ("a", "b", "c"))
    axes = figure.axes[0]
    picture = axes.images[0].get_array()
    assert len({tuple(np.round(corner, 6)) for corner in (picture[0, -1], picture[-1, 0], picture[0, 0])}) == 3
    edges = [(len(group.get_offsets()), tuple(group.get_edgecolor()[0][:3])) for group in axes.collections]
    assert [count for count, edge in edges if edge == (0, 0, 0)] == [0, 1, 0]
    assert [count for count, edge in edges if edge == (1, 1, 1)] == [1, 1, 1]
    assert "1 of 4 wrong (black edge)" in words(figure)


def test_decision_regions_name_the_features(words: Words) -> None:
    """The axes have the names that are given, else numbers."""
    points, labels = np.array([[2.0, -1.0], [-1.0, 2.0]]), np.array([0, 1])
    named = quality.decision_regions(points, labels, nearest_corner, ("a", "b", "c"), feature_names=("width", "height"))
    assert {"width", "height"} <= set(words(named))
    assert {"feature 1", "feature 2"} <= set(words(regions()))


def test_class_differences_point_to_the_better_model(words: Words) -> None:
    """The bar at the right is B - A in percentage points, right of zero where B is better."""
    figure: Any = quality.class_differences(
        np.array([0.5, 0.8]), np.array([0.75, 0.7]), ("a", "b"), names=("old", "new"), intervals=np.full((2, 2), np.nan)
    )
    lengths = [patch.get_width() for patch in figure.axes[1].patches]
    assert lengths == pytest.approx([25, -10], abs=1e-9)  # differences of decimal fractions are not exact
    assert {"A = old", "B = new"} <= set(words(figure))
