"""How good a model is: by class, by how sure it is, in the plane of two features, and beside another model.

Shapes: N examples, K classes, M points of a curve or bins.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from softmax_regression.plots import look
from softmax_regression.plots.look import Array

_NAMES_WIDTH = 200  # what class names get at most
_CLASS_COLOURS = (look.BLUE, look.ORANGE, look.GREEN, look.PURPLE, look.SKY, look.VERMILLION)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")


@look.styled
def confusion_matrix(matrix: Array, class_names: Sequence[str], *, normalize: bool = False, note: str = "") -> Figure:
    """Draw how often each actual class (row) was predicted as each class (column).

    `matrix` (R, K) counts, a row for each of the first R classes; `note`: which these are, the title's end. The cells
    say the count or, with `normalize`, the percentage of the actual class, whole where cells are small. In both the
    colour shows the square root of that share, so that the few mistakes are seen beside the many hits; a bar below
    says which share each colour is.
    """
    rows, classes = matrix.shape
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    names_width = _names_width(class_names)
    left = look.MARGIN + 30 + names_width + 10
    cell = min((look.WIDTH - left - look.MARGIN) / classes, 130.0)
    upright = look.widest(class_names, look.TEXT) > cell - 8
    top = look.MARGIN + look.LINE * look.TITLE + 6
    side, height = classes * cell, rows * cell
    right, bottom = left + side, top + height
    title = ("Percent of the actual class" if normalize else "Number of examples") + note
    below = bottom + (names_width if upright else look.TEXT) + 58
    canvas = look.Canvas(max(right + look.MARGIN, 420), below + 90, title)
    scale: dict[str, Any] = {"cmap": "Blues", "vmin": 0, "vmax": 1.1}
    canvas.image(left, top, side, height, np.sqrt(share), **scale)
    if normalize:
        digits = 1 if cell >= 40 else 0  # more would be too small to read
        cells = [f"{100 * part:.{digits}f}".replace("100.0", "100") if part else "0" for part in share.flat]
    else:
        cells = [f"{int(count)}" for count in matrix.flat]
    size = min(look.fitting_size(cells, cell - 6, largest=22, smallest=8), cell * 0.6)
    middles = [(i + 0.5) * cell for i in range(classes)]
    for (i, j), words in zip(np.ndindex(rows, classes), cells, strict=True):
        colour = "white" if share[i, j] > 0.45 else look.INK if matrix[i, j] else look.FAINT
        canvas.text(left + middles[j], top + middles[i], words, size, color=colour, ha="center", va="center")
    for index, (middle, name) in enumerate(zip(middles, class_names, strict=True)):
        if index < rows:
            canvas.text(left - 10, top + middle, name, room=names_width, ha="right", va="center")
        canvas.text(left + middle, bottom + 8, name, room=names_width, ha="center", rotation=90 if upright else 0)
    canvas.text(look.MARGIN, (top + bottom) / 2, "actual", color=look.MUTED, va="center", rotation=90)
    canvas.text(left + side / 2, below - 38, "predicted", color=look.MUTED, ha="center")
    canvas.image(left, below + 6, side, 18, np.linspace(0, 1, 257)[None], **scale)
    for part, align in ((0, "left"), (0.1, "center"), (0.4, "center"), (1, "right")):
        canvas.text(left + side * part**0.5, below + 28, f"{part:.0%}", ha=align)
    canvas.text(left + side / 2, below + 56, "colour: share of the actual class", color=look.MUTED, ha="center")
    edges = np.arange(classes + 1) * cell
    grid = [((left, top + edge), (right, top + edge)) for edge in edges[: rows + 1]]
    grid += [((left + edge, top), (left + edge, bottom)) for edge in edges]
    canvas.axes.add_collection(LineCollection(grid, colors="white", linewidths=0.7))
    return canvas.figure


@look.styled
def per_class_bars(precision: Array, recall: Array, f1: Array, class_names: Sequence[str]) -> Figure:
    """Draw precision, recall and F1 of each class, (K,) in [0, 1], as bars; F1 in figures at the right."""
    figure, axes = _class_rows(class_names, right=look.WIDTH - 84, step=66, top=52, below=46)
    bars = ((-0.26, precision, "precision", look.SKY), (0, recall, "recall", look.BLUE), (0.26, f1, "F1", look.INK))
    for offset, values, label, colour in bars:
        axes.barh(np.arange(len(f1)) + offset, values, height=0.24, color=colour, label=label)
    for row, value in enumerate(f1):
        axes.text(1.02, row, f"{value:.2f}", va="center", transform=axes.get_yaxis_transform())
    axes.text(1.02, -0.62, "F1", va="bottom", color=look.MUTED, transform=axes.get_yaxis_transform())
    _legend_above(axes, columns=3)
    return figure


@look.styled
def worst_classes(recall: Array, intervals: Array, support: Array, class_names: Sequence[str]) -> Figure:
    """Draw a histogram of the recall of all classes, and the 15 classes of the lowest with their intervals.

    `recall` (K,), `intervals` (K, 2), `support` (K,): how many examples a class has; one without any is left out. Of
    equal recalls the one that is surely low, by its interval, comes first.
    """
    measured = np.flatnonzero(support)
    worst = measured[np.lexsort((intervals[measured, 1], recall[measured]))][:15]
    names = [class_names[k] for k in worst]
    hits = [f"{round(recall[k] * support[k]):,} of {support[k]:,}" for k in worst]
    right = look.WIDTH - look.MARGIN - 20 - look.widest(hits, look.TEXT)
    figure, axes = _class_rows(names, right=right, step=40, top=330, below=46)
    rows = np.arange(len(worst))
    axes.hlines(rows, *intervals[worst].T, color=look.SKY, linewidth=5)
    axes.plot(recall[worst], rows, color=look.BLUE, linestyle="", marker="o", markersize=6, clip_on=False)
    axes.tick_params(axis="y", pad=9)  # room for a dot at 0
    axes.set_title(f"The {len(worst)} classes of the lowest recall, 95% intervals", x=0)
    for row, words in enumerate(hits):
        axes.text(1, row, f"   {words}", va="center", transform=axes.get_yaxis_transform())
    upper = look.panel(figure, 96, 48, look.WIDTH - 40, 220)
    upper.hist(recall[measured], bins=20, range=(0, 1), color=look.SKY, edgecolor="white")
    upper.set(title=f"Recall of {len(measured):,} classes", xlim=(0, 1), ylabel="classes")
    upper.xaxis.set_major_formatter(PercentFormatter(1))
    upper.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    return figure


@look.styled
def reliability_diagram(confidence: Array, accuracy: Array, counts: Array, *, ece: float) -> Figure:
    """Draw accuracy against confidence in M bins of equal width over [0, 1], and how many examples each bin has.

    `confidence` and `accuracy` (M,): the means of each bin, NaN where it is empty; `counts` (M,); `ece`: the expected
    calibration error, sum over bins of counts / N |accuracy - confidence| (Guo et al. 2017). On the dashed line a
    model is calibrated; below it, it is too sure of itself.
    """
    bins = len(counts)
    said = [f"{int(count):,}" for count in counts]
    room = look.widest(said, look.TEXT) + 12  # above the bars, for these numbers upright
    figure = look.new_figure(look.WIDTH, 760 + room)
    axes = look.panel(figure, 96, 52, look.WIDTH - 24, 520)
    lower = look.panel(figure, 96, 570, look.WIDTH - 24, 686 + room)
    left = np.arange(bins) / bins
    filled = counts > 0
    x, y = confidence[filled], accuracy[filled]
    bars: dict[str, Any] = {"width": 1 / bins, "align": "edge", "edgecolor": "white"}
    axes.bar(left[filled], y, color=look.SKY, label="accuracy", **bars)
    axes.vlines(x, x, y, color=look.VERMILLION, linewidth=2.5, label="gap")
    axes.plot((0, 1), (0, 1), color=look.INK, linestyle="--", linewidth=1.2, label="calibrated")
    axes.plot(x, y, color=look.VERMILLION, linestyle="", marker="o", markersize=5, clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    axes.tick_params(axis="x", labelbottom=False)
    axes.text(1, 1.015, f"ECE {ece:.4f}", transform=axes.transAxes, ha="right", va="bottom")
    _legend_above(axes, columns=3)
    lower.bar_label(lower.bar(left, counts, color=look.FAINT, **bars), said, padding=3, rotation=90)
    lower.set(xlim=(0, 1), xlabel="confidence: probability of the predicted class")
    lower.set(ylim=(0, max(counts) * (1 + room / 116)), yticks=())
    lower.grid(visible=False)
    lower.spines["left"].set_visible(False)
    lower.set_title(f"How many of the {int(counts.sum()):,} examples each bin holds", fontsize=look.TEXT * look.POINT)
    return figure


@look.styled
def risk_coverage(coverage: Array, accuracy: Array) -> Figure:
    """Draw the accuracy on the share of examples that the model answers, if it may abstain where it is least sure.

    `coverage` (M,) in (0, 1], rising; `accuracy` (M,): among the examples answered. Coverage 1 is plain accuracy.
    """
    figure = look.new_figure(look.WIDTH, 560)
    axes = look.panel(figure, 96, 52, look.WIDTH - 84, 486)
    axes.plot(coverage, accuracy, color=look.BLUE)
    low = min(float(np.nanmin(accuracy)), float(accuracy[-1]) - 0.05)
    axes.set(title="Accuracy, if the model answers only where it is surest", xlabel="share of examples answered")
    axes.set(xlim=(0, 1), ylim=(low - 0.15 * (1 - low), 1 + 0.06 * (1 - low)))
    for share in (0.5, 0.8, 1.0):
        point = int(np.argmin(np.abs(coverage - share)))
        x, y = coverage[point], accuracy[point]
        if abs(x - share) <= 0.05:
            axes.plot(x, y, color=look.BLUE, marker="o", markersize=6, clip_on=False, zorder=5)
            axes.text(x, y - 0.02 * (1 - low), f"{y:.1%}  ", ha="right", va="top")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g}%")
    return figure


@look.styled
def decision_regions(
    features: Array,
    labels: Array,
    predict: Callable[[Array], Array],
    class_names: Sequence[str],
    *,
    feature_names: Sequence[str] = ("feature 1", "feature 2"),
    title: str = "",
) -> Figure:
    """Draw two-feature examples over the regions in which the model predicts each class.

    `features` (N, 2), `labels` (N,); `predict` maps (M, 2) float64 features to (M,) classes and is called with a grid
    and with the examples. Classes differ in colour and in marker; a wrongly predicted example has a black edge.
    """
    low, high = features.min(axis=0), features.max(axis=0)
    pad = 0.05 * np.maximum(high - low, 1e-9)
    low, high = low - pad, high + pad
    colours = np.array([to_rgb(_CLASS_COLOURS[k % len(_CLASS_COLOURS)]) for k in range(len(class_names))])
    names_width = _names_width(class_names)
    columns = int(np.clip(700 // (names_width + 80), 1, len(class_names)))  # 80: a marker and the room around it
    lines = -(-len(class_names) // columns)
    top = 16 + (34 if title else 0) + 30 * (lines + 1)
    height = top + 540 + 70
    figure = look.new_figure(look.WIDTH, height)
    axes = look.panel(figure, 78, top, look.WIDTH - 20, top + 540)
    extent = (low[0], high[0], low[1], high[1])
    regions = _region_image(predict, low, high, colours)
    axes.imshow(regions, extent=extent, origin="lower", aspect="auto", interpolation="nearest")
    wrong = predict(features) != labels
    for k, name in enumerate(class_names):
        marks = {"s": 22, "marker": _MARKERS[k % len(_MARKERS)], "color": colours[k]}
        right, missed = features[(labels == k) & ~wrong], features[(labels == k) & wrong]
        label = look.shortened(name, names_width, look.TEXT)
        axes.scatter(*right.T, edgecolor="white", linewidth=0.5, label=label, **marks)
        axes.scatter(*missed.T, edgecolor="black", linewidth=1.3, **marks)
    across, up = (look.shortened(name, 500, look.TEXT) for name in feature_names)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel=across, ylabel=up)
    axes.grid(visible=False)
    note = f"{int(wrong.sum()):,} of {len(labels):,} wrong (black edge)"
    axes.text(0, 1 + (30 * lines + 14) / 540, note, transform=axes.transAxes, va="bottom", color=look.MUTED)
    words = look.shortened(title, look.WIDTH - 2 * look.MARGIN, look.TITLE)
    figure.text(look.MARGIN / look.WIDTH, 1 - 12 / height, words, fontsize=look.TITLE * look.POINT, va="top")
    _legend_above(axes, columns=columns)
    return figure


def _region_image(predict: Callable[[Array], Array], low: Array, high: Array, colours: Array) -> Array:
    """Return an image of the classes predicted from corner `low` to `high`, in thin `colours` (K, 3), with borders."""
    across, up = np.linspace(low[0], high[0], 350), np.linspace(low[1], high[1], 260)
    grid = np.stack(np.meshgrid(across, up), axis=-1)
    classes = predict(grid.reshape(-1, 2)).reshape(260, 350)
    image = 1 - 0.25 * (1 - colours[classes])  # the class colours, thinned with white
    steps = np.diff(classes, axis=0, prepend=classes[:1]), np.diff(classes, axis=1, prepend=classes[:, :1])
    image[(steps[0] != 0) | (steps[1] != 0)] = to_rgb(look.MUTED)  # borders
    return image


@look.styled
def class_differences(
    a: Array, b: Array, class_names: Sequence[str], *, names: tuple[str, str], intervals: Array
) -> Figure:
    """Draw the accuracy of two models, `names` A and B, class by class, and at the right the difference B - A.

    `a` and `b` (K,) in [0, 1]; `intervals` (K, 2): lower and upper bound of the difference, drawn as whiskers, NaN
    where unknown. A bar to the right says that B is better.
    """
    rows = np.arange(len(class_names))
    top, step = 84, 54
    figure, axes = _class_rows(class_names, right=450, step=step, top=top, below=76)
    bars = ((-0.19, a, "A", names[0], look.SKY), (0.19, b, "B", names[1], look.BLUE))
    for offset, values, letter, name, colour in bars:
        label = look.shortened(letter if name == letter else f"{letter} = {name}", 560, look.TEXT)
        axes.barh(rows + offset, np.nan_to_num(values), height=0.36, color=colour, label=label)
    axes.set(xticks=(0, 0.5, 1), xlabel="accuracy")
    _legend_above(axes, columns=1)
    right = look.panel(figure, 520, top, look.WIDTH - 24, top + step * len(rows))
    points, bounds = 100 * (b - a), 100 * intervals
    right.barh(rows, np.nan_to_num(points), height=0.5, color=np.where(points >= 0, look.BLUE, look.VERMILLION))
    right.hlines(rows, bounds[:, 0], bounds[:, 1], color=look.INK, linewidth=1.6)
    reach = 1.1 * float(np.nanmax(np.abs([points, *bounds.T]), initial=0.5))
    right.set(xlim=(-reach, reach), xlabel="B − A, points")
    right.axvline(0, color=look.INK, linewidth=1)
    right.spines["left"].set_visible(False)
    _name_rows(right, [""] * len(rows))
    right.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=(1, 2, 5, 10)))
    return figure


def _class_rows(class_names: Sequence[str], right: float, step: float, top: float, below: float) -> tuple[Figure, Axes]:
    """Return a figure with axes from 0% to 100% and one row for each class, the first on top, names at the left."""
    bottom = top + step * len(class_names)
    figure = look.new_figure(look.WIDTH, bottom + below)
    axes = look.panel(figure, _names_width(class_names) + look.MARGIN + 12, top, right, bottom)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    _name_rows(axes, class_names)
    return figure, axes


def _name_rows(axes: Axes, class_names: Sequence[str]) -> None:
    names = [look.shortened(name, _NAMES_WIDTH, look.TEXT) for name in class_names]
    axes.set(yticks=np.arange(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5))
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


def _names_width(class_names: Sequence[str]) -> float:
    """Return the width of the column of class names; longer names are cut."""
    return min(look.widest(class_names, look.TEXT), _NAMES_WIDTH)


def _legend_above(axes: Axes, columns: int) -> None:
    spacing = {"borderpad": 0.2, "borderaxespad": 0.2, "columnspacing": 1.4, "handlelength": 1.6}
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, frameon=False, **spacing)
