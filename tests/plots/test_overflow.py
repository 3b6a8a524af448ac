"""The picture of an overflow shows each step's logits and losses, the limit, and where it was passed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from softmax_regression.plots import look
from softmax_regression.plots.look import Array
from softmax_regression.plots.overflow import overflow


def drawn(count: int, last: float = 120.0, first: int = -1, lowest: float = -60.0) -> Any:
    """Draw `count` steps whose logits grow to `lowest` and `last`; those after `first` are NaN."""
    growth = np.linspace(0, 1, count) ** 3
    values = np.array([lowest * growth, last * growth, 2.3 + last * growth / 4, 2.3 + 1.2 * last * growth])
    first %= count
    values[:, first + 1 :] = np.nan
    smallest, largest, mean, worst = values
    return overflow(np.arange(1, count + 1), (smallest, largest), (mean, worst), 88.72, first)


@pytest.mark.parametrize(
    "figure",
    [
        lambda: drawn(2),
        lambda: drawn(2, last=165.0, lowest=-121.0),
        lambda: drawn(3, last=82.7, first=-2),
        lambda: drawn(3, last=59.9, lowest=-278.1),
        lambda: drawn(2, last=123456.0, lowest=-123456.0),
        lambda: drawn(16384, last=99.9, first=-2),
        lambda: overflow(np.array([7]), (np.zeros(1), np.ones(1)), (np.ones(1), np.full(1, 90.0)), 88.72, 0),
        lambda: overflow(np.array([1]), (np.full(1, -np.inf), np.full(1, np.inf)), (np.ones(1), np.ones(1)), 88.72, 0),
    ],
)
def test_all_words_can_be_read(figure: Callable[[], Any], check_words: Callable[[Any], None]) -> None:
    """From one step to the most that are kept, logits just above the limit or far beyond it."""
    check_words(figure())


def test_band_limit_and_mark_are_where_they_belong(words: Callable[[Any], list[str]]) -> None:
    """The band reaches from the smallest to the largest logit, the mark is on the largest values of that step."""
    figure = drawn(4, first=2)
    upper, lower = figure.axes
    (band,) = upper.collections
    corners = band.get_paths()[0].vertices
    at_3 = corners[corners[:, 0] == 3][:, 1]
    assert (at_3.min(), at_3.max()) == pytest.approx((-60 * 8 / 27, 120 * 8 / 27))
    for axes, value in ((upper, 120 * 8 / 27), (lower, 2.3 + 1.2 * 120 * 8 / 27)):
        mark = axes.lines[-1]
        assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (3, pytest.approx(value))
        assert any(list(line.get_ydata()) == [88.72, 88.72] for line in axes.lines)
        assert axes.get_ylim()[1] > 88.72
    found = words(figure)
    assert found.count("NaN") == 2
    assert "Logits z, smallest to largest: in step 3 up to 35.56" in found


def test_what_is_far_beyond_leaves_the_picture() -> None:
    """A logit of a million does not press the limit onto zero: the axes end, with the mark on their edge."""
    upper, lower = drawn(2, last=1e6).axes
    for axes in (upper, lower):
        assert axes.get_ylim()[1] < 400
        assert axes.lines[-1].get_ydata()[0] == axes.get_ylim()[1]


def test_the_same_figures_give_the_same_bytes(pixels: Callable[[Any], Array]) -> None:
    """Drawn twice the files are the same; they are 800 pixels wide."""
    assert look.png_bytes(drawn(50)) == look.png_bytes(drawn(50))
    assert pixels(drawn(50)).shape[1] == look.WIDTH
