"""Configurations seed by seed: which of two is better with each seed, and by how much. Shapes: P pairs, S seeds."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from softmax_regression.plots import look
from softmax_regression.plots.look import Array


@look.styled
def seed_differences(names: Sequence[tuple[str, str]], differences: Sequence[Array], intervals: Array) -> Figure:
    """Draw for each pair A, B the differences B - A of its seeds in order, with their median and its interval.

    `differences`: for each of the P pairs (S,), as fractions, S > 0; `intervals` (P, 2): of the median, NaN where there
    is none. A triangle to the left says that A is better with this seed, one to the right that B is, a dot neither.
    """
    strip, side = 240 if len(names) == 1 else 110, 34  # beside the axes there is room for half a tick's figure
    head, step, top, points = look.LINE * look.TEXT + 10, look.LINE * look.TEXT + strip + 24, 56, 100 * intervals
    figure = look.new_figure(look.WIDTH, top + step * len(names) + 74)
    axes = look.panel(figure, side, top, look.WIDTH - side, top + step * len(names))
    for row, (pair, of_seeds) in enumerate(zip(names, differences, strict=True)):
        ordered, low = 100 * np.sort(of_seeds), row * step + head
        if not np.isnan(points[row]).any():
            start, end = points[row]
            axes.add_patch(Rectangle((start, low), end - start, strip, color=look.FAINT, alpha=0.45, linewidth=0))
        axes.vlines(0, low, low + strip, color=look.INK, linestyle="--", linewidth=1)
        axes.vlines(np.median(ordered), low, low + strip, color=look.INK, linewidth=2)
        heights = low + strip * (np.arange(len(ordered)) + 0.5) / len(ordered)
        for sign, colour, marker in ((-1, look.VERMILLION, "<"), (0, look.MUTED, "o"), (1, look.BLUE, ">")):
            own = np.sign(ordered) == sign
            axes.plot(ordered[own], heights[own], color=colour, marker=marker, markersize=4.5, linestyle="")
        sides = ((0, "left", ordered < 0, look.VERMILLION), (1, "right", ordered > 0, look.BLUE))
        for name, (x, align, won, colour) in zip(pair, sides, strict=True):
            words = f"{look.shortened(name, 240, look.TEXT)} better: {int(won.sum())}"
            place = axes.get_yaxis_transform()
            axes.text(x, row * step, words, ha=align, va="top", color=colour, transform=place)
    reach = np.concatenate([[0.0], *(100 * one for one in differences), points[~np.isnan(points)]])
    pad = 0.04 * max(float(np.ptp(reach)), 1.0)
    axes.set(xlim=(reach.min() - pad, reach.max() + pad), ylim=(step * len(names), -8), yticks=())
    axes.set_xlabel("difference of test accuracy, right minus left, points")
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, steps=(1, 2, 5, 10)))
    axes.set_title("One mark a seed; line: median, band: its 95% interval", x=0)
    return figure
