"""The picture of seeds shows who wins each, the median and its interval."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle

from softmax_regression.plots import look
from softmax_regression.plots.look import Array
from softmax_regression.plots.seeds import seed_differences

LONG = "A (a configuration with a very long name)"


def drawn(seeds: tuple[int, ...], names: tuple[str, str] = ("A (lr0.1)", "B (lr0.2)")) -> Any:
    """Draw so many made-up seeds of each pair, with intervals where there are six or more."""
    random = np.random.default_rng(0)
    differences = [random.standard_t(3, count) / 100 for count in seeds]
    intervals = [(-0.01, 0.02) if count >= 6 else (np.nan, np.nan) for count in seeds]
    return seed_differences([names] * len(seeds), differences, np.array(intervals))


def marks(figure: Any) -> dict[str, list[float]]:
    """Return the points of each marker, from left to right."""
    found: dict[str, list[float]] = {"<": [], "o": [], ">": []}
    for line in figure.axes[0].lines:
        found[line.get_marker()] += np.asarray(line.get_xdata()).tolist()
    return found


@pytest.mark.parametrize(
    "figure",
    [
        lambda: drawn((40,)),
        lambda: drawn((1,)),
        lambda: drawn((1000,), (LONG, LONG)),
        lambda: drawn((3, 40, 6)),
        lambda: drawn((32,) * 25, (LONG, "B")),
        lambda: seed_differences([("A", "B")], [np.zeros(6)], np.zeros((1, 2))),
    ],
)
def test_all_words_can_be_read(figure: Callable[[], Any], check_words: Callable[[Any], None]) -> None:
    """From one seed to 1,000, one pair to 25, long names, no difference at all: nothing overlaps or is cut off."""
    check_words(figure())


def test_marks_point_to_the_better_one(words: Callable[[Any], list[str]]) -> None:
    """-1, -0.5, 0 and 2 points: two for A, one for neither, one for B, in order, and the words count them."""
    figure = seed_differences([("A", "B")], [np.array([0.02, -0.01, 0, -0.005])], np.array([[np.nan, np.nan]]))
    assert marks(figure) == {"<": [-1, -0.5], "o": [0], ">": [2]}
    assert {"A better: 2", "B better: 1"} <= set(words(figure))


def test_the_median_has_a_line_and_its_interval_a_band() -> None:
    """The median of 1, 2 and 6 points at 2, between 1 and 6; without an interval there is no band."""
    differences = [np.array([0.01, 0.06, 0.02])] * 2
    figure = seed_differences([("A", "B"), ("A", "C")], differences, np.array([[0.01, 0.06], [np.nan, np.nan]]))
    lines = [found for found in figure.axes[0].collections if isinstance(found, LineCollection)]
    solid = [found.get_segments()[0][0][0] for found in lines if found.get_linewidth() == [2]]
    assert solid == [2, 2]
    (band,) = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    assert (band.get_x(), band.get_width()) == (1, 5)


def test_zero_and_all_marks_are_inside() -> None:
    """Where one wins every seed the picture still shows 0, and the farthest seed."""
    figure = seed_differences([("A", "B")], [np.array([0.05, 0.09])], np.array([[np.nan, np.nan]]))
    low, high = figure.axes[0].get_xlim()
    assert low < 0
    assert high > 9


def test_the_same_seeds_give_the_same_bytes(pixels: Callable[[Any], Array]) -> None:
    """Drawn twice the file is the same; it is 800 pixels wide."""
    assert look.svg_bytes(drawn((40,))) == look.svg_bytes(drawn((40,)))
    assert pixels(drawn((40,))).shape[1] == look.WIDTH
