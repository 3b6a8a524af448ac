"""How the textbook's formulas leave float32: the logits and the losses of each step, up to the limit and beyond."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from softmax_regression.plots import look
from softmax_regression.plots.look import Array

_LEFT, _RIGHT, _PANEL, _GAP = 78, look.WIDTH - 168, 240, 64
_FEW = 40  # steps, of which each is a dot
_FAR = 4  # limits from 0 is where the axes end: lines leave the picture there


@look.styled
def overflow(
    steps: Array, logits: tuple[Array, Array], losses: tuple[Array, Array], limit: float, first: int
) -> Figure:
    """Draw the range of the logits over the steps (S,) as a band, and below it the mean and the largest loss, in nats.

    `logits`: the smallest and the largest of each step; `losses`: the mean and the largest of its examples; NaN from
    where the weights are. `limit`, the largest x whose exp(x) there is, is a line in both; the largest values at the
    place `first` are marked, red where they are above it, and written out.
    """
    figure = look.new_figure(look.WIDTH, 2 * _PANEL + _GAP + 120)
    upper, lower = [look.panel(figure, _LEFT, top, _RIGHT, top + _PANEL) for top in (50, 50 + _PANEL + _GAP)]
    _draw(upper, steps, logits, limit, first, ("Logits z, smallest to largest: in", "exp(z)"))
    upper.fill_between(steps, *logits, color=look.SKY, alpha=0.35, linewidth=0)
    _draw(lower, steps, losses, limit, first, ("Loss -log p, mean (dashed) and largest: in", "1 / p"), "--", look.GREEN)
    upper.tick_params(axis="x", labelbottom=False)
    lower.set_xlabel("step")
    return figure


def _draw(
    axes: Axes,
    steps: Array,
    values: tuple[Array, Array],
    limit: float,
    first: int,
    words: tuple[str, str],
    style: str = "-",
    colour: str = look.BLUE,
) -> None:
    """Draw two lines, the first in a `style` and `colour` of its own, the limit, and the mark on the second line."""
    marker = "o" if len(steps) <= _FEW else ""
    axes.plot(steps, values[0], linestyle=style, marker=marker, color=colour)
    axes.plot(steps, values[1], marker=marker, color=look.BLUE)
    title, overflows = words
    largest = values[1][first]
    axes.set_title(
        f"{title} step {steps[first]:,} up to {largest:,.2f}", x=(look.MARGIN - _LEFT) / (_RIGHT - _LEFT), pad=8
    )
    low = max(float(np.nanmin(values[0])), -_FAR * limit)
    high = min(max(float(np.nanmax(values[1])), 1.25 * limit), _FAR * limit)
    aside, beyond = 0.04 * (steps[-1] - steps[0]) + 0.1, 0.06 * (high - low)
    axes.set(xlim=(steps[0] - aside, steps[-1] + aside), ylim=(low - beyond, high + beyond))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axes.axhline(limit, color=look.VERMILLION, linestyle="-.")
    for line, word in enumerate((f"above {limit:.2f}", overflows, "overflows")):
        axes.annotate(
            word,
            (1, limit),
            xycoords=("axes fraction", "data"),
            xytext=(8, -look.LINE * line * look.TEXT * look.POINT),
            textcoords="offset points",
            va="top",
            color=look.VERMILLION,
        )
    colour = look.RED if largest > limit else look.BLUE
    axes.plot(steps[first], min(largest, high + beyond), "o", color=colour, markersize=6, clip_on=False)
    for step in steps[np.isnan(values[1])] if len(steps) <= _FEW else ():
        axes.text(step, (low + high) / 2, "NaN", ha="center", va="center", color=look.RED)
