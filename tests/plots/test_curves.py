"""Curves show what was measured: the book's lines and axes, the last values, several runs side by side."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from softmax_regression.plots import curves, look

Words = Callable[[Any], list[str]]


def history(epochs: int, start: float = 0.8) -> dict[str, list[float]]:
    """Return the curves of a run of the book's kind."""
    steps = np.arange(1, epochs + 1)
    return {
        "train_loss": list(start / steps**0.2),
        "train_accuracy": list(0.85 - 0.1 / steps),
        "held_out_loss": list(start / steps**0.18),
        "held_out_accuracy": list(0.83 - 0.05 / steps),
    }


RUNS = {f"run {k} " * 9: ("test", history(10, start=1 + k / 9)) for k in range(12)}
DRAWN: dict[str, Callable[[], Any]] = {
    "curves": lambda: curves.training_curves(history(10), "test"),
    "curves, one epoch": lambda: curves.training_curves(history(1), "test"),
    "curves, 3 of 40": lambda: curves.training_curves(history(3), "validation", epochs=40),
    "book": lambda: curves.training_curves_book(history(10), "test"),
    "book, large losses": lambda: curves.training_curves_book(history(4, start=2.27), "validation"),
    "book, one epoch": lambda: curves.training_curves_book(history(1), "test"),
    "compare": lambda: curves.compare_curves(RUNS),
}


@pytest.mark.parametrize("name", DRAWN)
def test_words_neither_overlap_nor_leave_the_figure(name: str, check_words: Callable[[Any], None]) -> None:
    """With one epoch or many, one run or many, no two texts overlap and none is cut off."""
    check_words(DRAWN[name]())


def test_the_book_figure_has_the_books_lines_and_axes() -> None:
    """Train loss solid, train acc dashed magenta, test acc dash-dot green, over [1, epochs] x [0.3, 0.9], a grid."""
    figure: Any = curves.training_curves_book(history(10), "test")
    axes = figure.axes[0]
    magenta, green = (0.75, 0, 0.75, 1), (0, 0.5, 0, 1)
    looks = [(line.get_label(), line.get_linestyle(), line.get_color()) for line in axes.lines]
    assert looks == [("train loss", "-", look.BLUE), ("train acc", "--", "m"), ("test acc", "-.", "g")]
    assert [to_rgba(colour) for colour in "mg"] == [magenta, green]
    assert axes.get_xlim() == (1, 10)
    assert axes.get_ylim() == (0.3, 0.9)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["train loss", "train acc", "test acc"]
    assert axes.get_xgridlines()[0].get_visible()
    assert axes.get_ygridlines()[0].get_visible()


def test_the_book_figure_names_both_axes(words: Words) -> None:
    """The book's own name for epochs; loss and accuracy share the other axis."""
    assert {"epoch", "loss (nats per example), accuracy"} <= set(words(curves.training_curves_book(history(3), "test")))


def test_the_book_figure_grows_its_axis_to_show_every_value() -> None:
    """Values outside [0.3, 0.9] (digits: loss 1.63 and 0.24) extend the axis by whole tenths."""
    columns = history(3) | {"train_loss": [1.63, 0.5, 0.24]}
    figure = curves.training_curves_book(columns, "test")
    assert figure.axes[0].get_ylim() == pytest.approx((0.2, 1.7), abs=1e-12)


def test_the_book_figure_names_validation_where_it_is_that(words: Words) -> None:
    """Held-out training images are called 'validation acc'."""
    assert "validation acc" in words(curves.training_curves_book(history(2), "validation"))


def test_the_axis_of_a_training_under_way_reaches_its_last_epoch() -> None:
    """After 2 of 10 epochs both panels already go from 1 to 10."""
    figure: Any = curves.training_curves(history(2), "test", epochs=10)
    assert [axes.get_xlim() for axes in figure.axes] == [(1, 10)] * 2


def test_training_curves_write_the_last_values_and_whole_epochs(words: Words) -> None:
    """Loss and accuracy are apart, each line ends with its last value, and epochs are whole numbers."""
    figure: Any = curves.training_curves(history(3) | {"train_loss": [0.8, 0.6, 0.51234]}, "test")
    assert len(figure.axes) == 2
    shown = words(figure)
    assert "train 0.5123" in shown
    assert "test 0.8133" in shown  # 0.83 - 0.05 / 3
    assert [text for text in shown if text.isdigit()] == ["1", "2", "3"]


def test_a_held_out_loss_that_was_not_measured_has_no_line(words: Words) -> None:
    """Where the column is NaN, the picture shows the training's loss alone."""
    figure: Any = curves.training_curves(history(3) | {"held_out_loss": [np.nan] * 3}, "test")
    assert [len(axes.lines) for axes in figure.axes] == [1, 2]
    assert len([text for text in words(figure) if text.startswith("test ")]) == 1


def test_a_run_that_blew_up_is_still_drawn(words: Words) -> None:
    """Infinite and undefined losses are left out; the label is the last finite value."""
    figure: Any = curves.training_curves(history(3) | {"train_loss": [0.9, np.inf, np.nan]}, "test")
    assert "train 0.9000" in words(figure)
    assert all(np.isfinite(figure.axes[0].get_ylim()))
    nothing = history(1) | {"train_loss": [np.nan]}
    assert curves.training_curves_book(nothing, "test").axes[0].get_ylim() == (0.3, 0.9)


def test_compared_runs_differ_in_more_than_colour(words: Words) -> None:
    """Seven runs have seven colours and seven line styles; 20 runs have 20 looks, the same in both panels."""
    figure: Any = curves.compare_curves({f"run {k}": ("test", history(2 + k % 3)) for k in range(20)})
    looks = [[(line.get_color(), line._dash_pattern) for line in axes.lines] for axes in figure.axes[:2]]
    assert looks[0] == looks[1]
    assert len({str(look) for look in looks[0]}) == 20
    assert len({colour for colour, _ in looks[0][:7]}) == 7
    assert len({str(style) for _, style in looks[0][:7]}) == 7
    assert {f"run {k}" for k in range(20)} <= set(words(figure))


def test_compared_runs_say_what_they_were_measured_on(words: Words) -> None:
    """Where one run has a validation curve and another a test curve, title and legend say so."""
    shown = words(curves.compare_curves({"a": ("test", history(2)), "b": ("validation", history(2))}))
    assert {"test / validation accuracy", "test 0.8050", "validation 0.8050"} <= set(shown)  # 0.83 - 0.05 / 2
