"""Pictures made of images: predictions, mistakes, the weights of each class, and a person's own picture.

Shapes: N examples, K classes, D features. `images` are (N, height, width), grey, or (N, height, width, 3), in colour;
`labels` and `predicted` (N,) integers in [0, K); `confidence` (N,) is the probability that the model gave to what it
predicted. The pictures of mistakes take all N examples, the rightly predicted ones too.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from matplotlib.figure import Figure

from softmax_regression.plots import look
from softmax_regression.plots.look import Array, Canvas

MISTAKES = 24  # how many of the surest ones are shown
_OUTLINE: dict[str, Any] = {"fill": False, "edgecolor": look.FAINT, "linewidth": look.POINT}  # of what may be white


class Images(Protocol):
    """N images, as an array or made when they are asked for by index."""

    def __len__(self) -> int: ...

    def __getitem__(self, chosen: Any, /) -> Array: ...


@look.styled
def prediction_grid(images: Array, labels: Array, predicted: Array, class_names: Sequence[str]) -> Figure:
    """Draw the book's row of images, true label over predicted label; a wrong one has a red frame and a cross."""
    tiles = []
    for image, label, answer in zip(_as_rgb(images), labels, predicted, strict=True):
        wrong = bool(label != answer)
        above = ((class_names[label], look.INK), (class_names[answer], look.RED if wrong else look.MUTED))
        tiles.append(_Tile(image, above=above, wrong=wrong))
    key = "Above: true label, then predicted label." + (" ✗: wrong." if any(labels != predicted) else "")
    return _image_grid(_in_rows(tiles), key)


@look.styled
def confident_mistakes(
    images: Images, labels: Array, predicted: Array, confidence: Array, class_names: Sequence[str]
) -> Figure:
    """Draw the 24 wrong predictions that the model was surest of, the surest first; all where there are fewer."""
    mistakes = surest_mistakes(labels, predicted, confidence)
    if len(mistakes) == 0:
        return look.message(f"No mistakes among {len(images):,} images.")
    shown = mistakes[:MISTAKES]
    tiles = []
    for i, image in zip(shown, _as_rgb(images[shown]), strict=True):
        above = ((class_names[labels[i]], look.INK), (class_names[predicted[i]], look.RED))
        tiles.append(_Tile(image, above=above, below=look.percent(confidence[i])))
    title = f"The surest {len(shown):,} of {len(mistakes):,} mistakes"
    key = "Above: true label, then predicted label. Below: its probability."
    return _image_grid(_in_rows(tiles), key, title)


@look.styled
def mistakes_by_pair(
    images: Images, labels: Array, predicted: Array, class_names: Sequence[str], *, confidence: Array
) -> Figure:
    """Draw a row of the 8 surest mistakes for each of the 6 most confused pairs, actual class → predicted class."""
    mistakes = surest_mistakes(labels, predicted, confidence)
    if len(mistakes) == 0:
        return look.message(f"No mistakes among {len(images):,} images.")
    by_pair: dict[tuple[int, int], list[int]] = {}
    for i in mistakes:
        by_pair.setdefault((labels[i], predicted[i]), []).append(i)
    rows = []
    for (actual, answer), found in sorted(by_pair.items(), key=lambda item: (-len(item[1]), item[0]))[:6]:
        shown = zip(_as_rgb(images[found[:8]]), confidence[found[:8]], strict=True)
        tiles = [_Tile(image, below=look.percent(share)) for image, share in shown]
        heading = f"{class_names[actual]} → {class_names[answer]}   {len(found):,} of {np.sum(labels == actual):,}"
        rows.append((heading, tiles))
    key = "Actual class → predicted class, so many of all images of the actual class."
    key += " Below: the probability of the predicted class."
    return _image_grid(rows, key, f"{len(mistakes):,} mistakes, by pair")


@look.styled
def weight_images(
    weight: Array,
    image_shape: tuple[int, ...],
    class_names: Sequence[str],
    *,
    epoch: int | None = None,
    vmax: float | None = None,
) -> Figure:
    """Draw the learned weights as one image per class: red speaks for the class, blue against it, white is 0.

    `weight` (K, D) with D = height x width; `image_shape` (height, width); two rows of five for ten classes. All
    classes share one scale from -vmax to vmax; pass the same `vmax` for every epoch of a series, so that its images
    compare. Default: the size that 99.5% of these weights do not exceed. Larger ones than `vmax` look as `vmax`.
    With an `image_shape` (height, width, 3) the images are in colour, from dark, against the class, over grey, 0, to
    bright, red for the weights of red and so on. Of more than 20 classes the first 20 are drawn.
    """
    if vmax is None:
        vmax = float(np.quantile(np.abs(weight[np.isfinite(weight)]), 0.995)) if np.isfinite(weight).any() else 0.0
    known, class_names = len(class_names), class_names[: look.CLASSES]
    in_colour = len(image_shape) == 3
    scale: dict[str, Any] = {"cmap": "gray" if in_colour else "RdBu_r", "vmin": -vmax or -1.0, "vmax": vmax or 1.0}
    columns = _columns(len(class_names))
    rows = -(-len(class_names) // columns)
    bar_width = 96
    cell = min(240.0, (look.WIDTH - 2 * look.MARGIN - bar_width) / columns)
    image_width, image_height = _fitted(image_shape, cell - 6)
    size = look.fitting_size(class_names, cell - 14, largest=look.TITLE, smallest=15)
    what = "bright for the class, dark against it" if in_colour else "red for the class, blue against it"
    if known > len(class_names):
        what = f"the first {len(class_names)} of {known:,} classes"
    title = f"Weights{'' if epoch is None else f', epoch {epoch}'}: {what}"
    top = look.MARGIN + look.LINE * look.TITLE + 4
    row_height = size * look.LINE + image_height + 10
    width = 2 * look.MARGIN + max(columns * cell + bar_width, look.text_width(title, look.TITLE) + 1)
    canvas = Canvas(width, top + rows * row_height + look.MARGIN, title)
    for index, name in enumerate(class_names):
        row, column = divmod(index, columns)
        middle, y = look.MARGIN + (column + 0.5) * cell, top + row * row_height
        place = (round(middle - image_width / 2), round(y + size * look.LINE), image_width, image_height)
        canvas.text(middle, y, name, size, room=cell - 14, ha="center")
        shown = weight[index].reshape(image_shape)
        if in_colour:
            shown = np.clip(np.nan_to_num(0.5 + shown / (2 * scale["vmax"]), nan=0.5), 0, 1)
        canvas.image(*place, shown, **scale)
        canvas.box(*place, **_OUTLINE)
    bar_left, bar_top = width - bar_width, round(top + size * look.LINE)
    bar_height = canvas.height - look.MARGIN - 14 - bar_top
    canvas.image(bar_left, bar_top, 20, bar_height, np.linspace(vmax, -vmax, 129)[:, None], **scale)
    for share, value in ((0.0, f"{vmax:+.2g}"), (0.5, "0"), (1.0, f"{-vmax:+.2g}")):
        canvas.text(bar_left + 26, bar_top + share * bar_height, value.replace("-", "−"), look.SMALL, va="center")
    return canvas.figure


@look.styled
def own_picture(
    original: Array, seen: Array, probabilities: Array, class_names: Sequence[str], *, size: tuple[int, int]
) -> Figure:
    """Draw a person's own picture, what the model saw of it, and the probability of each class.

    `original` (height, width), RGB (height, width, 3) or RGBA, uint8; `seen` (height, width), grey, or RGB, uint8;
    `probabilities` (K,); `size`: width and height of the picture as it came, which `original` may show smaller.
    """
    side, bars_left = 224, 288
    names_width = min(look.widest(class_names, look.TEXT), 190)
    line = float(np.clip(492 / len(class_names), 26, 52))
    canvas = Canvas(look.WIDTH, max(560, len(class_names) * line + 84))
    shown = (("your picture", original, size), ("what the model saw", seen, seen.shape[1::-1]))
    for row, (whose, image, (wide, high)) in enumerate(shown):
        y = look.MARGIN + row * (side + 52)
        place = (look.MARGIN, y + 28, *_fitted(image.shape, side))
        canvas.text(look.MARGIN, y, f"{whose}, {wide} × {high}", look.SMALL, room=264, color=look.MUTED)
        pixels = _as_rgb(image) if image.ndim == 2 else image
        canvas.image(*place, pixels, interpolation="none" if max(image.shape[:2]) <= side else "antialiased")
        canvas.box(*place, **_OUTLINE)
    best = int(np.argmax(probabilities))
    canvas.text(bars_left, look.MARGIN, f"{class_names[best]}, {look.percent(probabilities[best])}", 28, room=500)
    start = bars_left + names_width + 14
    room = look.WIDTH - look.MARGIN - start - look.text_width(" >99%", look.TEXT) - 8
    for index, (name, share) in enumerate(zip(class_names, probabilities, strict=True)):
        middle = 64 + (index + 0.5) * line
        weight, colour = ("bold", look.BLUE) if index == best else ("normal", look.SKY)
        canvas.text(start - 14, middle, name, room=names_width, ha="right", va="center", weight=weight)
        canvas.box(start, middle - line * 0.3, room * share, line * 0.6, facecolor=colour)
        canvas.text(start + room * share + 8, middle, look.percent(share), va="center")
    canvas.axes.plot((start, start), (64, 64 + line * len(class_names)), color=look.MUTED, linewidth=1)
    return canvas.figure


class _Tile(NamedTuple):
    """One image with lines of (words, colour) above it and a line below; a wrong one is framed and marked."""

    image: Array
    above: tuple[tuple[str, str], ...] = ()
    below: str = ""
    wrong: bool = False


def _image_grid(rows: Sequence[tuple[str, Sequence[_Tile]]], key: str, title: str = "") -> Figure:
    """Draw rows of (heading, tiles), where all headings may be empty, and the `key` to the captions at the bottom."""
    tiles = [tile for _, row in rows for tile in row]
    headed = any(heading for heading, _ in rows)
    columns = max(4 if headed else 1, *(len(row) for _, row in rows))  # a heading needs the width of four images
    cell = min(240.0, (look.WIDTH - 2 * look.MARGIN) / columns)
    width = max(columns * cell + 2 * look.MARGIN, 400)
    left = (width - columns * cell) / 2
    room = width - 2 * look.MARGIN
    image_width, image_height = _fitted(tiles[0].image.shape, cell - 10)
    captions = [tile.below for tile in tiles] + [words for tile in tiles for words, _ in tile.above]
    size = look.fitting_size(captions, cell - 8, largest=look.TEXT)
    line = size * look.LINE
    above = line * max(len(tile.above) for tile in tiles)
    row_height = above + image_height + line * any(tile.below for tile in tiles) + 18
    heading_height = look.LINE * look.TEXT + 8 if headed else 0
    title_height = look.LINE * look.TITLE if title else 0
    key_lines = _wrapped(key, room, look.SMALL)
    words_height = title_height + look.LINE * look.SMALL * len(key_lines) + heading_height * len(rows)
    canvas = Canvas(width, 2 * look.MARGIN + words_height + len(rows) * row_height, title)
    y = look.MARGIN + title_height
    for heading, row in rows:
        canvas.text(look.MARGIN, y + 8, heading, room=room)
        y += heading_height
        for column, tile in enumerate(row):
            middle = left + (column + 0.5) * cell
            place = (round(middle - image_width / 2), round(y + above), image_width, image_height)
            canvas.image(*place, tile.image)
            if tile.wrong:
                _frame_wrong(canvas, *place)
            for index, (words, colour) in enumerate(tile.above):
                canvas.text(middle, y + index * line, words, size, room=cell - 8, color=colour, ha="center")
            below = y + above + image_height + 6
            canvas.text(middle, below, tile.below, size, room=cell - 8, color=look.MUTED, ha="center")
        y += row_height
    for words in key_lines:
        canvas.text(look.MARGIN, y, words, look.SMALL, color=look.MUTED)
        y += look.LINE * look.SMALL
    return canvas.figure


def _frame_wrong(canvas: Canvas, x: float, y: float, width: float, height: float) -> None:
    """Mark the image at this place as wrong: a red frame around it, a white cross in its upper right corner."""
    edge, mark = max(width / 28, 3), max(width * 0.2, 14)
    frame = {"fill": False, "edgecolor": look.RED, "linewidth": edge * look.POINT, "joinstyle": "miter"}
    canvas.box(x - edge / 2, y - edge / 2, width + edge, height + edge, **frame)
    canvas.box(x + width - mark, y, mark, mark, facecolor=look.RED, linewidth=0)
    canvas.text(x + width - mark / 2, y + mark / 2, "✗", mark * 0.9, color="white", ha="center", va="center")


def _in_rows(tiles: Sequence[_Tile]) -> list[tuple[str, Sequence[_Tile]]]:
    columns = _columns(len(tiles))
    return [("", tiles[start : start + columns]) for start in range(0, len(tiles), columns)]


def _columns(count: int) -> int:
    """Return how many images a row has: all up to 8; beyond, the number with the fewest holes, then the widest."""
    if count <= 8:
        return count
    least = max(int(np.ceil(np.sqrt(count))), 5)
    return min(range(least, max(least, 8) + 1), key=lambda columns: (-count % columns, -columns))


def _fitted(shape: tuple[int, ...], room: float) -> tuple[float, float]:
    """Return (width, height) of an image in a square of side `room`: enlarged by a whole number where there is room."""
    largest = max(shape[:2])
    scale = room // largest if room >= largest else room / largest
    return shape[1] * scale, shape[0] * scale


def _as_rgb(images: Array) -> Array:
    """Return images as RGB uint8; white is 255 for uint8, else the largest value of them all."""
    if images.dtype != np.uint8:
        low, high = float(images.min(initial=0)), float(images.max(initial=0))
        images = np.round((images - low) * (255 / (high - low or 1))).astype(np.uint8)
    return images if images.ndim == 4 else np.repeat(images[..., None], 3, axis=-1)


def _wrapped(words: str, width: float, size: float) -> list[str]:
    """Return `words` as lines not wider than `width`, broken at blanks."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".lstrip()
        lines[-1:] = [longer] if look.text_width(longer, size) <= width else [lines[-1], word]
    return lines


def surest_mistakes(labels: Array, predicted: Array, confidence: Array) -> Array:
    """Return the indices of the wrong predictions, the surest first."""
    wrong = np.flatnonzero(labels != predicted)
    return wrong[np.argsort(-confidence[wrong], kind="stable")]
