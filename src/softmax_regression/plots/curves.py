"""Curves over the epochs of a training: as the book draws them, larger in two panels, and of several runs.

A history maps column names to E values each: 'train_loss' (nats per example), 'train_accuracy', 'held_out_loss' and
'held_out_accuracy'; other columns are not drawn. `held_out` is the word for the images that the model did not learn
from: 'test' or 'validation'. What was not measured is NaN and has no line.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from softmax_regression.plots import look
from softmax_regression.plots.look import Array

History = Mapping[str, Sequence[float]]

_PANEL = 260  # height of one of two panels
_RUN_COLOURS = (look.BLUE, look.VERMILLION, look.BLACK, look.GREEN, look.PURPLE, look.ORANGE, look.SKY)
_RUN_STYLES = ("-", "--", "-.", ":", (0, (8, 2)), (0, (4, 1, 1, 1, 1, 1)), (0, (12, 3, 2, 3)))


@look.styled
def training_curves_book(history: History, held_out: str) -> Figure:
    """Draw the curves of the book (d2l 4.4): train loss solid, train acc dashed magenta, test acc dash-dot green.

    y in [0.3, 0.9], as in the book; where a value lies outside, the axis grows by whole tenths until it shows it. The
    book names the axis of epochs alone; what the other one measures is said here, too.
    """
    curves = _finite(history)
    done = len(curves["train_loss"])
    figure = look.new_figure(640, 476)
    axes = look.panel(figure, 106, 16, 620, 400)
    lines = (
        ("train_loss", "train loss", "-", look.BLUE),
        ("train_accuracy", "train acc", "--", "m"),
        ("held_out_accuracy", f"{held_out} acc", "-.", "g"),
    )
    marker = "o" if done == 1 else ""
    for name, label, style, colour in lines:
        axes.plot(np.arange(1, done + 1), curves[name], linestyle=style, color=colour, label=label, marker=marker)
    values = np.concatenate([curves[name] for name, *_ in lines])
    low, high = np.nanmin(values, initial=0.3), np.nanmax(values, initial=0.9)
    axes.set_ylim(np.floor(round(low * 10, 6)) / 10, np.ceil(round(high * 10, 6)) / 10)
    axes.set_ylabel("loss (nats per example), accuracy")
    _epoch_axis(axes, done)
    axes.legend(loc="best")
    return figure


@look.styled
def training_curves(history: History, held_out: str, *, epochs: int | None = None) -> Figure:
    """Draw loss (nats) and accuracy in two panels, train and held out, the last value written at each line's end.

    `epochs`: how many the run will have, so that the axis stays the same while the figure is drawn again each epoch.
    """
    curves = _finite(history)
    done = len(curves["train_loss"])
    total = max(epochs or 0, done)
    splits = (("train", "train", "-", look.BLUE), ("held_out", held_out, "--", look.VERMILLION))
    room = look.widest([f"{word} 0.0000" for _, word, *_ in splits], look.TEXT)
    titles = ("loss (nats per example)", "accuracy")
    figure, panels = _two_panels(titles, total, top=48, right=look.WIDTH - room - 24, height=2 * _PANEL + 164)
    marker = "o" if done == 1 or total <= 30 else ""  # with few epochs a line alone shows little, with one nothing
    for axes, measure in zip(panels, ("loss", "accuracy"), strict=True):
        ends = []
        for split, word, style, colour in splits:
            values = curves[f"{split}_{measure}"]
            if np.isfinite(values).any():
                axes.plot(np.arange(1, done + 1), values, linestyle=style, color=colour, marker=marker)
                last = float(values[np.isfinite(values)][-1])
                ends.append((last, f"{word} {last:.4f}", colour))
        _label_line_ends(axes, done, ends)
    return figure


@look.styled
def compare_curves(histories: Mapping[str, tuple[str, History]]) -> Figure:
    """Draw train loss and held-out accuracy of several runs together; `histories`: run name to (held_out, history).

    A run keeps its colour and its line style in both panels; the legend is below, one line for each run, with the
    run's last accuracy. Runs may differ in length; where some measured validation and some test, the legend says so.
    """
    runs = {name: (held_out, _finite(history)) for name, (held_out, history) in histories.items()}
    total = max(len(curves["train_loss"]) for _, curves in runs.values())
    measured = " / ".join(sorted({held_out for held_out, _ in runs.values()}))
    line = look.LINE * look.TEXT
    height = 2 * _PANEL + 182 + line * len(runs)
    titles = ("train loss (nats per example)", f"{measured} accuracy")
    figure, panels = _two_panels(titles, total, top=44, right=look.WIDTH - 24, height=height)
    for axes, column in zip(panels, ("train_loss", "held_out_accuracy"), strict=True):
        for index, (_, curves) in enumerate(runs.values()):
            steps = np.arange(1, len(curves[column]) + 1)
            axes.plot(steps, curves[column], marker="o" if len(steps) == 1 else "", **_run_look(index))
    legend = look.panel(figure, 0, height - line * len(runs) - 10, look.WIDTH, height - 10)
    legend.set(xlim=(0, look.WIDTH), ylim=(len(runs) - 0.5, -0.5))
    legend.axis("off")
    for index, (name, (held_out, curves)) in enumerate(runs.items()):
        last = curves["held_out_accuracy"][-1]
        note = f"{held_out} {last:.4f}" if np.isfinite(last) else f"{held_out} –"
        words = look.shortened(name, 640 - look.text_width(note, look.TEXT), look.TEXT)
        legend.plot((24, 110), (index, index), **_run_look(index))
        legend.text(124, index, words, va="center_baseline")
        legend.text(look.WIDTH - 24, index, note, va="center_baseline", ha="right")
    return figure


def _finite(history: History) -> dict[str, Array]:
    """Return the columns as float arrays (E,), infinite values as NaN: a run that diverged shows its epochs before."""
    return {name: np.where(np.isinf(values), np.nan, values) for name, values in history.items()}


def _two_panels(
    titles: Sequence[str], epochs: int, *, top: float, right: float, height: float
) -> tuple[Figure, list[Axes]]:
    """Return a figure with two panels, one over the other, and one axis of epochs under both."""
    figure = look.new_figure(look.WIDTH, height)
    panels = []
    for row, title in enumerate(titles):
        upper = top + row * (_PANEL + 50)
        axes = look.panel(figure, 78, upper, right, upper + _PANEL)
        axes.set(title=title, ymargin=0.06)
        _epoch_axis(axes, epochs, named=row == 1)
        panels.append(axes)
    return figure, panels


def _epoch_axis(axes: Axes, epochs: int, *, named: bool = True) -> None:
    axes.set(xlim=(1, epochs) if epochs > 1 else (0.5, 1.5), xlabel="epoch" if named else "")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))
    axes.tick_params(axis="x", labelbottom=named)


def _label_line_ends(axes: Axes, x: float, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write at most two (value, words, colour) right of `x`, at the height of their values but without overlap."""
    low, high = axes.get_ylim()
    ends = sorted(ends)
    places = [(value - low) / (high - low) for value, _, _ in ends]
    overlap = 1.25 * look.TEXT / _PANEL - (places[-1] - places[0] if len(places) > 1 else np.inf)
    if overlap > 0:
        places = [places[0] - overlap / 2, places[-1] + overlap / 2]
    for place, (_, words, colour) in zip(places, ends, strict=True):
        axes.text(x, low + place * (high - low), f"  {words}", color=colour, va="center")


def _run_look(index: int) -> dict[str, Any]:
    """Return colour and line style of a run: both differ among the first seven, the pair among the first 49."""
    turn, place = divmod(index, len(_RUN_COLOURS))
    return {"color": _RUN_COLOURS[place], "linestyle": _RUN_STYLES[(place + turn) % len(_RUN_STYLES)]}
