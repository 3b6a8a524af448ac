"""A search in pictures: how good its trials were, in their order, and which axes decided it. Shapes: T trials."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from softmax_regression.plots import look
from softmax_regression.plots.look import Array


@look.styled
def search_history(numbers: Array, accuracies: Array, pruned: Array) -> Figure:
    """Draw each trial's validation accuracy over its number, and the best one so far as steps.

    `numbers` (T,), in ascending order; `accuracies` (T,) as fractions; `pruned` (T,) bool: hollow marks, at what they
    had when they were stopped, and no part of the best. Where some are far below the others the axis shows the upper
    part, and arrows at its foot stand for the rest.
    """
    if not len(numbers):
        return look.message("No trial has an accuracy.")
    points = 100 * accuracies
    low, high = _shown(points)
    figure = look.new_figure(look.WIDTH, 460)
    axes = look.panel(figure, 84, 58, look.WIDTH - 20, 384)
    finished = ~pruned
    below = points < low
    for own, marker, colour, fill in (
        (finished & ~below, "o", look.BLUE, look.BLUE),
        (pruned & ~below, "o", look.MUTED, "none"),
        (below, "v", look.MUTED, look.MUTED),
    ):
        heights = np.maximum(points[own], low)
        axes.plot(numbers[own], heights, marker, color=colour, markerfacecolor=fill, markersize=5)
    if finished.any():
        best = np.maximum.accumulate(points[finished])
        ends = np.append(numbers[finished], numbers[-1])
        axes.step(ends, np.append(best, best[-1]), where="post", color=look.VERMILLION)
    pad = max(0.05 * (high - low), 0.1)
    axes.set(xlim=(numbers[0] - 0.5, numbers[-1] + 0.5), ylim=(low - pad, high + pad))
    axes.set_xlabel("trial", loc="left")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))
    axes.set_title("Validation accuracy, %; line: best so far", x=-0.09, pad=8)
    words = ["hollow: stopped early"] * bool(pruned.any()) + [f"arrows: below {low:.0f}%"] * bool(below.any())
    if words:
        axes.text(1, -0.12, "; ".join(words), transform=axes.transAxes, ha="right", va="top", color=look.MUTED)
    return figure


@look.styled
def importances(shares: Mapping[str, float]) -> Figure:
    """Draw what share of the importance each axis has, in the order given, as bars; the shares add up to 1."""
    if not shares:
        return look.message("The trials do not tell which axes matter.")
    names = [look.shortened(name, 300, look.TEXT) for name in shares]
    left, row, top = 24 + look.widest(names, look.TEXT), 44, 52
    bottom = top + row * len(names)
    figure = look.new_figure(look.WIDTH, bottom + 24)
    axes = look.panel(figure, left, top, look.WIDTH - 84, bottom)
    places = list(range(len(names)))
    axes.barh(places, list(shares.values()), color=look.BLUE, height=0.62)
    for place, share in enumerate(shares.values()):
        axes.text(share, place, f" {look.percent(share)}", va="center_baseline")
    axes.set(yticks=places, yticklabels=names, xlim=(0, max(shares.values())), ylim=(len(names) - 0.5, -0.5), xticks=())
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines["bottom"].set_visible(False)
    axes.set_title("Importance: share of the accuracies' variance", x=(24 - left) / (look.WIDTH - 84 - left))
    return figure


def _shown(points: Array) -> tuple[float, float]:
    """Return the range of the axis: from the lowest, or three times the upper half's spread below the median."""
    median, high = float(np.median(points)), float(points.max())
    lowest = float(points.min())
    return max(lowest, min(median, float(np.floor(median - 3 * max(high - median, 0.5))))), high
