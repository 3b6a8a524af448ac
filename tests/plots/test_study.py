"""The pictures of a search show each trial, the best so far, and what share of the importance each axis has."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from softmax_regression.plots import look
from softmax_regression.plots.look import Array
from softmax_regression.plots.study import importances, search_history

NUMBERS = np.array([0, 1, 2, 5, 6])
ACCURACIES = np.array([0.80, 0.82, 0.815, 0.83, 0.79])
NONE = np.zeros(5, bool)
SHARES = {"optimizer.learning_rate": 0.7, "optimizer.momentum": 0.25, "optimizer.weight_decay": 0.05}


def made_up(count: int) -> Any:
    """Draw so many made-up trials, some pruned, some far below the others."""
    random = np.random.default_rng(0)
    accuracies = 0.85 - random.exponential(0.03, count)
    accuracies[::7] = 0.1
    return search_history(np.arange(count), accuracies, random.random(count) < 0.3)


@pytest.mark.parametrize(
    "figure",
    [
        lambda: made_up(500),
        lambda: made_up(3),
        lambda: search_history(NUMBERS, ACCURACIES, NONE),
        lambda: search_history(np.array([0]), np.array([1.0]), np.array([False])),
        lambda: search_history(np.array([3]), np.array([0.5]), np.array([True])),
        lambda: search_history(np.array([], int), np.array([]), np.array([], bool)),
        lambda: importances(SHARES),
        lambda: importances({"model.init_std": 1.0}),
        lambda: importances({f"optimizer.a_key_with_a_very_long_name_{n}": 1 / 8 for n in range(8)}),
        lambda: importances({}),
    ],
)
def test_all_words_can_be_read(figure: Callable[[], Any], check_words: Callable[[Any], None]) -> None:
    """From no trial to 500, one axis to eight: nothing overlaps or is cut off."""
    check_words(figure())


def drawn(figure: Any) -> dict[str, list[tuple[float, float]]]:
    """Return the points of each kind of mark, and the corners of the line."""
    found: dict[str, list[tuple[float, float]]] = {}
    for line in figure.axes[0].lines:
        kind = f"{'hollow ' if line.get_markerfacecolor() == 'none' else ''}{line.get_marker()}"
        found[kind] = [(float(x), float(y)) for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]
    return found


def test_the_line_is_the_best_so_far() -> None:
    """In percent, from trial to trial, to the last one; a pruned trial is hollow and no part of it."""
    marks = drawn(search_history(NUMBERS, ACCURACIES, np.array([False, False, False, True, False])))
    assert marks["None"] == [(0, 80), (1, 82), (2, 82), (6, 82), (6, 82)]
    assert marks["o"] == [(0, 80), (1, 82), (2, 81.5), (6, 79)]
    assert marks["hollow o"] == [(5, 83)]


def test_what_is_far_below_is_an_arrow(words: Callable[[Any], list[str]]) -> None:
    """Two of seven that learned nothing do not press the others together; how far down they are is said."""
    accuracies = np.array([0.80, 0.1, 0.82, 0.815, 0.2, 0.83, 0.81])
    figure = search_history(np.arange(7), accuracies, np.zeros(7, bool))
    (low, _), *_ = marks = drawn(figure)["v"]
    assert [x for x, _ in marks] == [1, 4]
    assert low == 1
    floor = marks[0][1]
    assert 70 < floor < 80
    assert f"arrows: below {floor:.0f}%" in words(figure)


def test_bars_are_as_long_as_their_shares(words: Callable[[Any], list[str]]) -> None:
    """In the order given, with the share in percent at the end."""
    figure = importances(SHARES)
    bars = [bar for bar in figure.axes[0].patches if isinstance(bar, Rectangle)]
    assert [bar.get_width() for bar in bars] == list(SHARES.values())
    assert [word for word in words(figure) if "%" in word] == ["70%", "25%", "5%"]
    assert [word for word in words(figure) if "." in word] == list(SHARES)


def test_the_same_trials_give_the_same_bytes(pixels: Callable[[Any], Array]) -> None:
    """Drawn twice the files are the same; they are 800 pixels wide."""
    for draw in (lambda: made_up(50), lambda: importances(SHARES)):
        assert look.svg_bytes(draw()) == look.svg_bytes(draw())
        assert pixels(draw()).shape[1] == look.WIDTH
