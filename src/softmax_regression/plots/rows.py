"""Pictures made of rows of words and bars: what the model says about plain vectors, what it confuses, what it weighs.

Shapes: N examples, K classes, D features, P pairs.
"""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from softmax_regression.plots import look
from softmax_regression.plots.look import Array, Canvas

_LIKELIEST = 3  # classes shown of each example
_PAIRS = 15
_FEATURES, _COLUMNS = 20, 10  # shown of the weights


@look.styled
def prediction_rows(
    numbers: Array, labels: Array, probabilities: Array, class_names: Sequence[str], *, title: str
) -> Figure:
    """Draw a row for each example: its number, its true class, and the likeliest three with their probabilities.

    `numbers` (N,) of the examples, `labels` (N,), `probabilities` (N, K). A wrong prediction is red, with a cross.
    Where there is no example, the title is all.
    """
    if len(labels) == 0:
        return look.message(title)
    likeliest = np.argsort(-probabilities, axis=1, kind="stable")[:, :_LIKELIEST]
    number_width = look.widest([f"{number:,}" for number in numbers], look.SMALL)
    true_width = min(look.widest([class_names[k] for k in labels] + ["true"], look.TEXT), 170)
    first = look.MARGIN + number_width + 14
    start = first + true_width + 30
    cell = (look.WIDTH - look.MARGIN - start) / likeliest.shape[1]
    step, top = 62, look.MARGIN + look.LINE * look.TITLE + 34
    canvas = Canvas(look.WIDTH, top + step * len(labels) + look.MARGIN, title)
    longest = [f"✗ {class_names[k]} 99%" for k in likeliest.ravel().tolist()]
    size = look.fitting_size(longest, cell - 24, largest=look.TEXT, smallest=15)
    for x, words in zip((first, start, start + cell), ("true", "predicted", "next likeliest"), strict=False):
        canvas.text(x, top - 30, words, look.SMALL, color=look.MUTED)
    for row, (number, label) in enumerate(zip(numbers, labels, strict=True)):
        y = top + row * step
        canvas.text(look.MARGIN, y + 2, f"{number:,}", look.SMALL, color=look.MUTED)
        canvas.text(first, y, class_names[label], room=true_width)
        for place, k in enumerate(likeliest[row]):
            x, share, wrong = start + place * cell, probabilities[row, k], place == 0 and k != label
            said = look.percent(share)
            room = cell - 24 - look.text_width(f" {said}", size)
            name = look.shortened(f"✗ {class_names[k]}" if wrong else class_names[k], room, size)
            colour = look.RED if wrong else look.BLUE if k == label else look.MUTED
            canvas.text(x, y, f"{name} {said}", size, color=look.INK if place == 0 and not wrong else colour)
            canvas.box(x, y + 30, (cell - 24) * share, 12, facecolor=colour, linewidth=0)
    return canvas.figure


@look.styled
def confused_pairs(pairs: Array, support: Array, class_names: Sequence[str]) -> Figure:
    """Draw the 15 most confused pairs, actual class → predicted class: how many examples, as a bar.

    `pairs` (P, 3): actual class, predicted class, number of examples, the most confused first; `support` (K,).
    """
    if len(pairs) == 0:
        return look.message(f"No mistakes among {support.sum():,} examples.")
    shown, step = pairs[:_PAIRS], 62
    top = look.MARGIN + look.LINE * look.TITLE + 12
    title = f"Mistakes by pair, actual → predicted; {pairs[:, 2].sum():,} in all"
    canvas = Canvas(look.WIDTH, top + step * len(shown) + look.MARGIN, title)
    for row, (actual, answer, count) in enumerate(shown):
        y, said = top + row * step, f"{count:,} of {support[actual]:,}"
        room = look.WIDTH - 2 * look.MARGIN - look.text_width(said, look.TEXT) - 30
        arrow = look.text_width(" → ", look.TEXT)
        own = min(look.text_width(class_names[actual], look.TEXT), (room - arrow) / 2)
        names = look.shortened(class_names[actual], own, look.TEXT), class_names[answer]
        canvas.text(look.MARGIN, y, " → ".join(names), room=room)
        canvas.text(look.WIDTH - look.MARGIN, y, said, ha="right")
        canvas.box(look.MARGIN, y + 30, (look.WIDTH - 2 * look.MARGIN) * count / shown[0, 2], 12, facecolor=look.SKY)
    return canvas.figure


@look.styled
def feature_weights(weight: Array, feature_names: Sequence[str], class_names: Sequence[str], *, unit: str) -> Figure:
    """Draw the learned weights as a table: a row for a feature, a column for a class, red for the class, blue against.

    `weight` (K, D); `unit`: what a weight is per. Of more than 20 features those with the largest weights are drawn,
    the largest first, and of more than 10 classes those with the largest among these.
    """
    size = np.abs(np.nan_to_num(weight, posinf=0, neginf=0))
    features = np.argsort(-size.max(axis=0), kind="stable")[:_FEATURES]
    classes = np.sort(np.argsort(-size[:, features].max(axis=1), kind="stable")[:_COLUMNS])
    shown, largest = weight[np.ix_(classes, features)].T, float(size.max(initial=0)) or 1.0
    names, columns = [feature_names[j] for j in features], [class_names[k] for k in classes]
    line, widest_cell = 34, 130.0
    names_width = min(look.widest(names, look.TEXT), max(220, look.WIDTH - 60 - widest_cell * len(columns)))
    left = look.MARGIN + names_width + 12
    cell = min((look.WIDTH - left - look.MARGIN) / len(columns), widest_cell)
    upright = look.widest(columns, look.TEXT) > cell - 8
    heads = min(look.widest(columns, look.TEXT), 200) if upright else look.LINE * look.TEXT
    top = look.MARGIN + look.LINE * look.TITLE + 20 + heads
    bottom = top + line * len(names)
    key = [f"Per {unit}."]
    found = zip(shown.shape, weight.T.shape, ("features", "classes"), strict=True)
    if cut := [f"{some} of {known:,} {what}" for some, known, what in found if some < known]:
        key.append(f"With the largest weights: {', '.join(cut)}.")
    height = bottom + 2 * look.MARGIN + look.LINE * look.SMALL * len(key)
    canvas = Canvas(look.WIDTH, height, "Weights: red for the class, blue against it")
    canvas.image(left, top, cell * len(columns), line * len(names), shown, cmap="RdBu_r", vmin=-largest, vmax=largest)
    decimals = max(2, 1 - math.floor(math.log10(largest)))
    cells = [f"{value:+.{decimals}f}".replace("-", "−") for value in shown.flat]
    size_of_letters = look.fitting_size(cells, cell - 6, largest=look.TEXT)
    for (i, j), words in zip(np.ndindex(shown.shape), cells, strict=True):
        colour = "white" if abs(shown[i, j]) > 0.6 * largest else look.INK
        place = left + (j + 0.5) * cell, top + (i + 0.5) * line
        canvas.text(*place, words, size_of_letters, color=colour, ha="center", va="center")
    for i, name in enumerate(names):
        canvas.text(left - 10, top + (i + 0.5) * line, name, room=names_width, ha="right", va="center")
    for j, name in enumerate(columns):
        middle = left + (j + 0.5) * cell
        canvas.text(middle, top - 8, name, room=200, ha="center", va="bottom", rotation=90 if upright else 0)
    for i, words in enumerate(key):
        canvas.text(look.MARGIN, bottom + 10 + i * look.LINE * look.SMALL, words, look.SMALL, color=look.MUTED)
    return canvas.figure
