"""Every picture of the project, and the only file that knows matplotlib.

A function takes arrays and plain values, draws on a `Figure` of its own (no pyplot, no global state) and returns
it; `save`, `png_bytes`, `svg_bytes` and `pixels` turn a figure into files or arrays, always the same bytes for the
same input. The file is long because it is the only one that may import matplotlib: one section a kind of picture,
and every picture stands alone on the blocks of the first two sections.

The look, in one place: an opaque white ground, so that light and dark pages show the same; the colours of Okabe and
Ito (2008), which colour-blind people can tell apart, and never colour alone: line styles, marks or words say the
same. Figures are 800 pixels wide with letters of 20 pixels, so that they can be read at 350 pixels too.

Shapes: N examples, K classes, D features, E epochs, M points of a curve or bins. Lengths are in pixels.
All functions raise ValueError, in one line, for arrays whose shapes do not fit together.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator, PercentFormatter

from softmax_regression.files import write_atomically

Array = npt.NDArray[Any]
History = Mapping[str, Sequence[float]]
P = ParamSpec("P")

# ---------------------------------------------------------------------------------------------------- the look

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"  # Okabe and Ito (2008), but for yellow,
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"  # which is too pale for lines on white
RED = "#C8102E"  # for what is wrong; dark enough for small letters, and always beside a mark or a word
_RUN_COLOURS = (BLUE, VERMILLION, BLACK, GREEN, PURPLE, ORANGE, SKY)
_RUN_STYLES = ("-", "--", "-.", ":", (0, (8, 2)), (0, (4, 1, 1, 1, 1, 1)), (0, (12, 3, 2, 3)))
_CLASS_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
_INK, _MUTED, _FAINT, _PALE = "#222222", "#666666", "#B8B8B8", "#E4E4E4"

_DPI = 160
_POINT = 72 / _DPI  # points in a pixel
_WIDTH = 800
_MARGIN = 12
_TEXT = 20  # height of letters, in pixels
_SMALL = 17
_TITLE = 23
_LINE = 1.3  # distance of two lines of text, in letter heights

# All of matplotlib's defaults, so that a person's own matplotlibrc changes nothing here, and then ours.
_STYLE = {
    name: mpl.rcParamsDefault[name]
    for name in mpl.rcParamsDefault
    if not name.startswith(("backend", "interactive", "toolbar", "webagg", "timezone"))
} | {
    "figure.dpi": _DPI,
    "font.size": _TEXT * _POINT,
    "axes.titlesize": _TITLE * _POINT,
    "axes.titlelocation": "left",
    "axes.titlepad": 5,
    "axes.edgecolor": _MUTED,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _PALE,
    "text.color": _INK,
    "text.parse_math": False,  # a dollar sign in a class name is a dollar sign
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "lines.linewidth": 1.6,
    "lines.markersize": 3.5,
    "hatch.linewidth": 0.6,
    "legend.framealpha": 0.85,
    "image.composite_image": False,  # in SVG each image keeps its own pixels
    "svg.hashsalt": "softmax-regression",  # ids in SVG from the content, not from chance
}


def save(figure: Figure, stem: Path) -> None:
    """Write `figure` to `<stem>.png` and `<stem>.svg`, each whole or not at all; same figure, same bytes."""
    write_atomically(stem.with_name(f"{stem.name}.png"), png_bytes(figure))
    write_atomically(stem.with_name(f"{stem.name}.svg"), svg_bytes(figure))


def png_bytes(figure: Figure) -> bytes:
    """Return `figure` as a PNG file without a date or a version in it."""
    return _rendered(figure, "png", {"Software": None})


def svg_bytes(figure: Figure) -> bytes:
    """Return `figure` as an SVG file, letters as outlines (no font needed), without a date or a version in it.

    In a page, embed it as an image (a `data:` address), not as elements: ids of two figures may be equal.
    """
    return _rendered(figure, "svg", {"Date": None, "Creator": None})


def pixels(figure: Figure) -> Array:
    """Return `figure` as an array (height, width, 3) uint8: what an image series in MLflow takes."""
    with mpl.rc_context(_STYLE):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.array(canvas.buffer_rgba())[..., :3]


def _rendered(figure: Figure, kind: str, metadata: dict[str, str | None]) -> bytes:
    with mpl.rc_context(_STYLE):
        file = io.BytesIO()
        figure.savefig(file, format=kind, metadata=metadata)
        return file.getvalue()


def _styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with mpl.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return styled


# ---------------------------------------------------------------------------------------------------- the blocks


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width / _DPI, height / _DPI))
    FigureCanvasAgg(figure)
    return figure


def _panel(figure: Figure, left: float, top: float, right: float, bottom: float) -> Any:
    """Add axes between these edges, in pixels from the upper left corner: margins by hand, nothing to solve."""
    width, height = figure.get_size_inches() * _DPI
    return figure.add_axes((left / width, 1 - bottom / height, (right - left) / width, (bottom - top) / height))


def _heading(figure: Figure, y: float, words: str, size: float = _TITLE) -> None:
    """Write one line at the left edge, its upper end `y` pixels below the upper edge."""
    words = _shortened(words, _WIDTH - 2 * _MARGIN, size)
    width, height = figure.get_size_inches() * _DPI
    figure.text(_MARGIN / width, 1 - y / height, words, fontsize=size * _POINT, va="top")


class _Canvas:
    """A blank figure measured in pixels from its upper left corner, for pictures made of images and words.

    One set of axes however many images there are: that is what makes 64 of them cheap.
    """

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = round(width), round(height)
        self.figure = _figure(self.width, self.height)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, self.width), ylim=(self.height, 0))
        self.axes.axis("off")

    def text(self, x: float, y: float, words: str, size: float = _TEXT, **options: Any) -> None:
        options = {"color": _INK, "va": "top"} | options
        self.axes.text(x, y, words, fontsize=size * _POINT, **options)

    def image(self, x: float, y: float, width: float, height: float, image: Array, **options: Any) -> None:
        options = {"interpolation": "none", "aspect": "auto"} | options
        self.axes.imshow(image, extent=(x, x + width, y + height, y), **options)

    def box(self, x: float, y: float, width: float, height: float, **options: Any) -> None:
        self.axes.add_patch(Rectangle((x, y), width, height, **options))


@functools.lru_cache(maxsize=4096)
def _text_width(words: str, size: float) -> float:
    """Return the width of one line of text, in pixels, 3% added for the rounding of letters to pixels."""
    font = FontProperties(family="DejaVu Sans", size=size)
    return 1.03 * float(text_to_path.get_text_width_height_descent(words, font, False)[0])


def _widest(words: Sequence[str], size: float) -> float:
    return max((_text_width(word, size) for word in words), default=0.0)


def _fitting_size(words: Sequence[str], width: float, largest: float, smallest: float = 11) -> float:
    """Return the letter height, within the two bounds, at which the longest of `words` fills at most `width`."""
    return float(np.clip(largest * width / max(_widest(words, largest), 1.0), smallest, largest))


def _shortened(words: str, width: float, size: float) -> str:
    """Return `words`, cut and ended with an ellipsis where they are wider than `width`."""
    if _text_width(words, size) <= width + 0.01:
        return words
    cut = len(words)
    while cut > 1 and _text_width(words[:cut] + "…", size) > width:
        cut -= 1
    return words[:cut].rstrip() + "…"


def _wrapped(words: str, width: float, size: float) -> list[str]:
    """Return `words` as lines not wider than `width`, broken at blanks and at line ends."""
    lines: list[str] = []
    for paragraph in words.splitlines():
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if line and _text_width(longer, size) > width:
                lines.append(line)
                line = word
            else:
                line = longer
        lines.append(line)
    return [_shortened(line, width, size) for line in lines]


def _percent(share: float) -> str:
    """Return 0.8312 as '83%', and never as 100% or 0% what is not quite that."""
    if not np.isfinite(share):
        return "–"
    if 0.995 <= share < 1:
        return ">99%"
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def _notice(words: str) -> Figure:
    """Return a figure that only says why there is nothing to see."""
    lines = _wrapped(words, _WIDTH - 4 * _MARGIN, _TITLE)
    canvas = _Canvas(_WIDTH, 160 + _LINE * _TITLE * (len(lines) - 1))
    for row, line in enumerate(lines):
        canvas.text(_WIDTH / 2, 68 + row * _LINE * _TITLE, line, _TITLE, color=_MUTED, ha="center")
    return canvas.figure


def _same_length(what: str, **columns: Sequence[Any] | Array | None) -> None:
    lengths = {name: len(column) for name, column in columns.items() if column is not None}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ValueError(f"{what} must have the same length, found {found}: pass one value for each")


def _check_classes(class_names: Sequence[str], **columns: Array) -> None:
    for name, column in columns.items():
        if not np.issubdtype(column.dtype, np.integer):
            raise ValueError(f"{name} must be integers, found {column.dtype}: pass the class index of each example")
        if len(column) and (np.min(column) < 0 or np.max(column) >= len(class_names)):
            raise ValueError(
                f"{name} must lie in [0, {len(class_names)}), one of the class names, "
                f"found {np.min(column)} to {np.max(column)}: check the data set and its class names"
            )


# ---------------------------------------------------------------------------------------------------- curves


@dataclass(frozen=True)
class _Curves:
    """A history, checked: one float array (E,) for each of 'train_loss', 'test_accuracy' and so on."""

    columns: dict[str, Array]
    held_out: str  # 'validation' or 'test': which images the accuracy beside the training's is measured on

    @property
    def epochs(self) -> int:
        return len(self.columns["train_loss"])


def _curves(history: History) -> _Curves:
    held_out = "validation" if "validation_accuracy" in history else "test"
    for name in ("train_loss", "train_accuracy", f"{held_out}_accuracy"):
        if name not in history:
            raise ValueError(f"history must have the column {name}, found {', '.join(history) or 'none'}")
    wanted = [f"{split}_{measure}" for split in ("train", held_out) for measure in ("loss", "accuracy")]
    columns = {name: np.array(history[name], dtype=float) for name in wanted if name in history}
    _same_length("columns of history", **columns)
    if len(columns["train_loss"]) == 0:
        raise ValueError("history must have at least one epoch, found 0: draw it after the first epoch")
    for column in columns.values():
        column[~np.isfinite(column)] = np.nan  # a run that blew up still shows the epochs before
    return _Curves(columns, held_out)


def _epoch_axis(axes: Any, epochs: int, *, named: bool = True) -> None:
    axes.set_xlim((1, epochs) if epochs > 1 else (0.5, 1.5))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))
    axes.tick_params(axis="x", labelbottom=named)
    if named:
        axes.set_xlabel("epoch")


def _marker(epochs: int, total: int) -> str:
    """Return a dot for few epochs, where a line alone shows little or, at one epoch, nothing."""
    return "o" if epochs == 1 or total <= 30 else ""


def _label_line_ends(axes: Any, height: float, x: float, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write at most two (value, words, colour) right of `x`, in axes of `height` pixels, a line's height apart."""
    low, high = axes.get_ylim()
    ends = sorted(ends)
    places = [(value - low) / (high - low) for value, _, _ in ends]
    overlap = 1.25 * _TEXT / height - (places[-1] - places[0] if len(places) > 1 else np.inf)
    if overlap > 0:
        places = [places[0] - overlap / 2, places[-1] + overlap / 2]
    for place, (_, words, colour) in zip(places, ends, strict=True):
        axes.text(x, low + place * (high - low), f"  {words}", color=colour, va="center")


@_styled
def training_curves_book(history: History, *, epochs: int | None = None) -> Figure:
    """Draw the curves of the book (d2l 4.4): train loss solid, train acc dashed magenta, test acc dash-dot green.

    x = epoch in [1, epochs] (`epochs`: how many the run will have; default, how many it has); y in [0.3, 0.9], as
    in the book; where a value lies outside, the axis grows by whole tenths until it shows it.
    `history`: 'train_loss' (nats), 'train_accuracy', and 'validation_accuracy' or else 'test_accuracy', (E,) each.
    """
    curves = _curves(history)
    total = max(epochs or 0, curves.epochs)
    figure = _figure(640, 476)
    axes = _panel(figure, 62, 16, 620, 400)
    lines = (
        ("train_loss", "train loss", "-", BLUE),
        ("train_accuracy", "train acc", "--", "m"),
        (f"{curves.held_out}_accuracy", f"{curves.held_out} acc", "-.", "g"),
    )
    steps = np.arange(1, curves.epochs + 1)
    marker = "o" if curves.epochs == 1 else ""
    for name, label, style, colour in lines:
        axes.plot(steps, curves.columns[name], linestyle=style, color=colour, label=label, marker=marker)
    values = np.concatenate([curves.columns[name] for name, *_ in lines])
    low, high = np.nanmin(values, initial=0.3), np.nanmax(values, initial=0.9)
    axes.set_ylim(np.floor(round(low * 10, 6)) / 10, np.ceil(round(high * 10, 6)) / 10)
    _epoch_axis(axes, total)
    axes.legend(loc="best")
    return figure


@_styled
def training_curves(history: History, *, epochs: int | None = None, title: str | None = None) -> Figure:
    """Draw loss (nats) and accuracy in two panels, one line a split, the last value written at its end.

    `history`: as for `training_curves_book`, with 'validation_loss' or 'test_loss' where measured. `epochs`: how
    many the run will have, so that the axis stands still while the figure is redrawn each epoch.
    """
    curves = _curves(history)
    total = max(epochs or 0, curves.epochs)
    top = 54 if title else 14
    panel = 260
    figure = _figure(_WIDTH, top + 2 * panel + 150)
    if title:
        _heading(figure, 14, title)
    steps = np.arange(1, curves.epochs + 1)
    splits = {"train": ("-", BLUE), curves.held_out: ("--", VERMILLION)}
    widest = _widest([f"{split} 0.0000" for split in splits], _TEXT)
    for row, measure in enumerate(("loss", "accuracy")):
        upper = top + 34 + row * (panel + 50)
        axes = _panel(figure, 78, upper, _WIDTH - widest - 24, upper + panel)
        ends = []
        for split, (style, colour) in splits.items():
            values = curves.columns.get(f"{split}_{measure}")
            if values is None:
                continue
            axes.plot(steps, values, linestyle=style, color=colour, marker=_marker(curves.epochs, total))
            if np.isfinite(values).any():
                last = values[np.isfinite(values)][-1]
                ends.append((float(last), f"{split} {last:.4f}", colour))
        axes.set_title("loss (nats per example)" if measure == "loss" else "accuracy")
        axes.margins(y=0.06)
        _epoch_axis(axes, total, named=row == 1)
        _label_line_ends(axes, panel, curves.epochs, ends)
    return figure


@_styled
def compare_curves(histories: Mapping[str, History]) -> Figure:
    """Draw train loss and held-out accuracy of several runs together; `histories` by run name, as above.

    A run keeps its colour and its line style in both panels; the legend stands below, one line a run, with the
    run's last accuracy. Runs may differ in length; where some measured validation and some test, the legend tells.
    """
    if not histories:
        raise ValueError("histories must hold at least one run, found 0: name the runs to compare")
    runs = {name: _curves(history) for name, history in histories.items()}
    kinds = sorted({curves.held_out for curves in runs.values()})
    total = max(curves.epochs for curves in runs.values())
    panel, line = 260, _LINE * _TEXT
    height = 48 + 2 * panel + 50 + 84 + line * len(runs)
    figure = _figure(_WIDTH, height)
    for row, title in enumerate(("train loss (nats per example)", " / ".join(kinds) + " accuracy")):
        upper = 44 + row * (panel + 50)
        axes = _panel(figure, 78, upper, _WIDTH - 24, upper + panel)
        for index, curves in enumerate(runs.values()):
            values = curves.columns["train_loss" if row == 0 else f"{curves.held_out}_accuracy"]
            marker = "o" if curves.epochs == 1 else ""
            axes.plot(np.arange(1, curves.epochs + 1), values, marker=marker, **_run_look(index))
        axes.set_title(title)
        axes.margins(y=0.06)
        _epoch_axis(axes, total, named=row == 1)
    legend = _panel(figure, 0, height - line * len(runs) - 10, _WIDTH, height - 10)
    legend.set(xlim=(0, _WIDTH), ylim=(len(runs) - 0.5, -0.5))
    legend.axis("off")
    for index, (name, curves) in enumerate(runs.items()):
        last = curves.columns[f"{curves.held_out}_accuracy"][-1]
        note = f"{curves.held_out} {last:.4f}" if np.isfinite(last) else f"{curves.held_out} –"
        legend.plot((24, 110), (index, index), **_run_look(index))
        legend.text(124, index, _shortened(name, 640 - _text_width(note, _TEXT), _TEXT), va="center_baseline")
        legend.text(_WIDTH - 24, index, note, va="center_baseline", ha="right")
    return figure


def _run_look(index: int) -> dict[str, Any]:
    """Return colour and line style of a run: both differ among the first seven, the pair among the first 49."""
    turn, place = divmod(index, len(_RUN_COLOURS))
    return {"color": _RUN_COLOURS[place], "linestyle": _RUN_STYLES[(place + turn) % len(_RUN_STYLES)]}


# ---------------------------------------------------------------------------------------------------- images


@dataclass(frozen=True)
class _Tile:
    """One image with (words, colour) lines over and under it; a wrong one is framed and marked."""

    image: Array
    above: tuple[tuple[str, str], ...] = ()
    below: tuple[tuple[str, str], ...] = ()
    wrong: bool = False


def _columns(count: int) -> int:
    """Return how many images stand in a row: all up to 8; beyond, the fewest holes, then the widest grid."""
    if count <= 8:
        return max(count, 1)
    least = max(int(np.ceil(np.sqrt(count))), 5)
    return min(range(least, max(least, 8) + 1), key=lambda columns: (-count % columns, -columns))


def _fitted(shape: tuple[int, ...], room: float) -> tuple[float, float]:
    """Return (width, height) of an image in a square of side `room`: whole pixels a pixel where there is room."""
    largest = max(shape[:2])
    scale = room // largest if room >= largest else room / largest
    return shape[1] * scale, shape[0] * scale


def _as_rgb(images: Array) -> Array:
    """Return grey images (..., H, W) as RGB uint8; white is 255 for uint8, else the largest value of them all."""
    if images.dtype != np.uint8:
        low, high = float(images.min(initial=0)), float(images.max(initial=0))
        images = np.round((images - low) * (255 / (high - low or 1))).astype(np.uint8)
    return np.repeat(images[..., None], 3, axis=-1)


def _image_grid(
    groups: Sequence[tuple[str, Sequence[_Tile]]], *, columns: int, title: str | None = None, key: str | None = None
) -> Figure:
    """Draw groups of tiles, each under its heading (empty: none), and the `key` to the captions at the bottom."""
    tiles = [tile for _, group in groups for tile in group]
    cell = min(240.0, (_WIDTH - 2 * _MARGIN) / columns)
    width = max(columns * cell + 2 * _MARGIN, 400)
    left = (width - columns * cell) / 2
    image_width, image_height = _fitted(tiles[0].image.shape, cell - 10)
    captions = [words for tile in tiles for words, _ in tile.above + tile.below]
    size = _fitting_size(captions, cell - 8, largest=_TEXT)
    line = size * _LINE
    above = line * max(len(tile.above) for tile in tiles)
    below = line * max(len(tile.below) for tile in tiles)
    row_height = above + image_height + below + 18
    heading_height = _LINE * _TEXT + 8 if any(heading for heading, _ in groups) else 0
    title_lines = _wrapped(title, width - 2 * _MARGIN, _TITLE) if title else []
    key_lines = _wrapped(key, width - 2 * _MARGIN, _SMALL) if key else []
    rows = sum(-(-len(group) // columns) for _, group in groups)
    words_height = _LINE * (_TITLE * len(title_lines) + _SMALL * len(key_lines)) + heading_height * len(groups)
    height = 2 * _MARGIN + words_height + rows * row_height
    canvas = _Canvas(width, height)
    y = float(_MARGIN)
    for words in title_lines:
        canvas.text(_MARGIN, y, words, _TITLE)
        y += _LINE * _TITLE
    for heading, group in groups:
        if heading_height:
            canvas.text(_MARGIN, y + 8, _shortened(heading, width - 2 * _MARGIN, _TEXT))
            y += heading_height
        for start in range(0, len(group), columns):
            for column, tile in enumerate(group[start : start + columns]):
                middle = left + (column + 0.5) * cell
                place = (round(middle - image_width / 2), round(y + above), image_width, image_height)
                canvas.image(*place, tile.image)
                if tile.wrong:
                    _frame_wrong(canvas, *place)
                for upper, lines in ((y, tile.above), (y + above + image_height + 6, tile.below)):
                    for row, (words, colour) in enumerate(lines):
                        words = _shortened(words, cell - 8, size)
                        canvas.text(middle, upper + row * line, words, size, color=colour, ha="center")
            y += row_height
    for words in key_lines:
        canvas.text(_MARGIN, y, words, _SMALL, color=_MUTED)
        y += _LINE * _SMALL
    return canvas.figure


def _frame_wrong(canvas: _Canvas, x: float, y: float, width: float, height: float) -> None:
    """Mark the image at this place as wrong: a red frame around it, a white cross in its upper right corner."""
    edge, mark = max(width / 28, 3), max(width * 0.2, 14)
    look = {"fill": False, "edgecolor": RED, "linewidth": edge * _POINT, "joinstyle": "miter"}
    canvas.box(x - edge / 2, y - edge / 2, width + edge, height + edge, **look)
    canvas.box(x + width - mark, y, mark, mark, facecolor=RED, linewidth=0)
    canvas.text(x + width - mark / 2, y + mark / 2, "✗", mark * 0.9, color="white", ha="center", va="center")


def _check_images(images: Array, class_names: Sequence[str], **columns: Array) -> None:
    if images.ndim != 3:
        raise ValueError(f"images must have the shape (N, height, width), found {images.shape}: grey images only")
    _same_length("images and what is said of them", images=images, **columns)
    classes = {name: column for name, column in columns.items() if name in ("labels", "predicted", "a", "b")}
    _check_classes(class_names, **classes)


@_styled
def prediction_grid(
    images: Array,
    labels: Array,
    predicted: Array,
    class_names: Sequence[str],
    *,
    title: str | None = None,
    probabilities: Array | None = None,
) -> Figure:
    """Draw the book's row of images, true label over predicted label; a wrong one has a red frame and a cross.

    `images` (N, height, width), `labels` and `predicted` (N,) integers in [0, K); `probabilities` (N,), of the
    predicted class, are written under the images. Up to 8 images stand in one row, more in a grid without holes
    where the number allows.
    """
    images, labels, predicted = np.asarray(images), np.asarray(labels), np.asarray(predicted)
    extra = {} if probabilities is None else {"probabilities": np.asarray(probabilities)}
    _check_images(images, class_names, labels=labels, predicted=predicted, **extra)
    if len(images) == 0:
        return _notice("No images to show.")
    grey = _as_rgb(images)
    tiles = []
    for i in range(len(images)):
        wrong = bool(labels[i] != predicted[i])
        above = ((class_names[labels[i]], _INK), (class_names[predicted[i]], RED if wrong else _MUTED))
        below = () if probabilities is None else ((_percent(probabilities[i]), _MUTED),)
        tiles.append(_Tile(grey[i], above, below, wrong))
    key = "Above: true label, then predicted label."
    if probabilities is not None:
        key += " Below: its probability."
    if any(tile.wrong for tile in tiles):
        key += " ✗: wrong."
    return _image_grid([("", tiles)], columns=_columns(len(tiles)), title=title, key=key)


@_styled
def confident_mistakes(
    images: Array, labels: Array, predicted: Array, confidence: Array, class_names: Sequence[str], *, count: int = 24
) -> Figure:
    """Draw the `count` wrong predictions that the model was surest of, the surest first.

    Shapes as for `prediction_grid`; `confidence` (N,): the probability that the model gave to what it predicted.
    All N examples are passed, right ones too; with fewer mistakes than `count` all of them are shown.
    """
    images, labels, predicted = np.asarray(images), np.asarray(labels), np.asarray(predicted)
    confidence = np.asarray(confidence)
    _check_images(images, class_names, labels=labels, predicted=predicted, confidence=confidence)
    mistakes = np.flatnonzero(labels != predicted)
    if len(mistakes) == 0:
        return _notice(f"No mistakes among {len(images):,} images.")
    shown = mistakes[np.argsort(-confidence[mistakes], kind="stable")][:count]
    tiles = [
        _Tile(
            image,
            ((class_names[labels[i]], _INK), (class_names[predicted[i]], RED)),
            ((_percent(confidence[i]), _MUTED),),
        )
        for i, image in zip(shown, _as_rgb(images[shown]), strict=True)
    ]
    return _image_grid(
        [("", tiles)],
        columns=_columns(len(tiles)),
        title=f"The surest {len(shown):,} of {len(mistakes):,} mistakes",
        key="Above: true label, then predicted label. Below: its probability.",
    )


@_styled
def mistakes_by_pair(
    images: Array,
    labels: Array,
    predicted: Array,
    class_names: Sequence[str],
    *,
    confidence: Array | None = None,
    pairs: int = 6,
    examples: int = 8,
) -> Figure:
    """Draw one row for each of the `pairs` most confused pairs, actual class → predicted class, most mistakes first.

    Shapes as for `confident_mistakes`. A row shows up to `examples` images: the surest mistakes where `confidence`
    is given (and written under them), else the first.
    """
    images, labels, predicted = np.asarray(images), np.asarray(labels), np.asarray(predicted)
    extra = {} if confidence is None else {"confidence": np.asarray(confidence)}
    _check_images(images, class_names, labels=labels, predicted=predicted, **extra)
    mistakes = np.flatnonzero(labels != predicted)
    if len(mistakes) == 0:
        return _notice(f"No mistakes among {len(images):,} images.")
    classes = len(class_names)
    codes = labels[mistakes].astype(np.int64) * classes + predicted[mistakes]
    counts = np.bincount(codes, minlength=classes**2)
    groups = []
    for code in np.argsort(-counts, kind="stable")[:pairs]:
        if counts[code] == 0:
            break
        actual, said = divmod(int(code), classes)
        shown = mistakes[codes == code]
        if confidence is not None:
            shown = shown[np.argsort(-extra["confidence"][shown], kind="stable")]
        shown = shown[:examples]
        tiles = [
            _Tile(image, (), () if confidence is None else ((_percent(confidence[i]), _MUTED),))
            for i, image in zip(shown, _as_rgb(images[shown]), strict=True)
        ]
        of = int(np.sum(labels == actual))
        heading = f"{class_names[actual]} → {class_names[said]}   {counts[code]:,} of {of:,}"
        groups.append((heading, tiles))
    columns = max(min(examples, 4), *(len(tiles) for _, tiles in groups))
    key = "Actual class → predicted class, so many of all images of the actual class."
    if confidence is not None:
        key += " Below: the probability of the predicted class."
    return _image_grid(groups, columns=columns, title=f"{len(mistakes):,} mistakes, by pair", key=key)


@_styled
def disagreements(
    images: Array,
    labels: Array,
    predicted_a: Array,
    predicted_b: Array,
    class_names: Sequence[str],
    *,
    names: tuple[str, str] = ("A", "B"),
    examples: int = 6,
) -> Figure:
    """Draw images on which two models disagree, one row each: only A is right, only B is right, neither is.

    `images` (N, height, width); `labels`, `predicted_a`, `predicted_b` (N,); `names`: the two runs. Each row shows
    its first `examples` images, with the true label above and both predictions below.
    """
    images, labels = np.asarray(images), np.asarray(labels)
    a, b = np.asarray(predicted_a), np.asarray(predicted_b)
    _check_images(images, class_names, labels=labels, a=a, b=b)
    differ = a != b
    if not differ.any():
        return _notice(f"{names[0]} and {names[1]} predict the same for all {len(images):,} images.")
    kinds = (
        ("Only A is right", differ & (a == labels)),
        ("Only B is right", differ & (b == labels)),
        ("Both are wrong, but differ", differ & (a != labels) & (b != labels)),
    )
    groups = []
    for heading, chosen in kinds:
        tiles = []
        shown = np.flatnonzero(chosen)[:examples]
        for i, image in zip(shown, _as_rgb(images[shown]), strict=True):
            said = [(letter, class_names[p[i]], p[i] == labels[i]) for letter, p in (("A", a), ("B", b))]
            below = tuple((f"{letter} {name}", BLUE if right else RED) for letter, name, right in said)
            tiles.append(_Tile(image, ((class_names[labels[i]], _INK),), below))
        groups.append((f"{heading}: {int(chosen.sum()):,} images", tiles))
    title = f"A = {names[0]}\nB = {names[1]}"
    key = "Above: true label. Below: what A and B predict, blue right, red wrong."
    return _image_grid(groups, columns=examples, title=title, key=key)


@_styled
def weight_images(
    weight: Array,
    image_shape: tuple[int, int],
    class_names: Sequence[str],
    *,
    epoch: int | None = None,
    vmax: float | None = None,
) -> Figure:
    """Draw the learned weights as one image per class: red speaks for the class, blue against it, white is 0.

    `weight` (K, D) with D = height x width; `image_shape` (height, width); two rows of five for ten classes. All
    classes share one scale from -vmax to vmax; pass the same `vmax` for every epoch of a series, so that its images
    compare. Default: the size that 99.5% of these weights do not exceed. Larger ones than `vmax` look as `vmax`.
    """
    weight = np.asarray(weight)
    if weight.shape != (len(class_names), image_shape[0] * image_shape[1]):
        raise ValueError(
            f"weight must have the shape ({len(class_names)}, {image_shape[0] * image_shape[1]}), classes by pixels "
            f"of {image_shape[0]} x {image_shape[1]} images, found {weight.shape}: transpose it or check image_shape"
        )
    if vmax is None:
        vmax = float(np.quantile(np.abs(weight[np.isfinite(weight)]), 0.995)) if np.isfinite(weight).any() else 0.0
    scale = {"cmap": "RdBu_r", "vmin": -vmax or -1.0, "vmax": vmax or 1.0}
    columns = _columns(len(class_names))
    rows = -(-len(class_names) // columns)
    bar_width = 96
    cell = min(240.0, (_WIDTH - 2 * _MARGIN - bar_width) / columns)
    image_width, image_height = _fitted(image_shape, cell - 6)
    size = _fitting_size(class_names, cell - 14, largest=_TITLE)
    title = "Weights" if epoch is None else f"Weights, epoch {epoch}"
    title += ": red for the class, blue against it"
    top = _MARGIN + _LINE * _TITLE + 4
    row_height = size * _LINE + image_height + 10
    width = max(columns * cell + 2 * _MARGIN + bar_width, 300)
    canvas = _Canvas(width, top + rows * row_height + _MARGIN)
    canvas.text(_MARGIN, _MARGIN, _shortened(title, width - 2 * _MARGIN, _TITLE), _TITLE)
    for index, name in enumerate(class_names):
        row, column = divmod(index, columns)
        middle, y = _MARGIN + (column + 0.5) * cell, top + row * row_height
        x, upper = round(middle - image_width / 2), round(y + size * _LINE)
        canvas.text(middle, y, _shortened(name, cell - 14, size), size=size, ha="center")
        canvas.image(x, upper, image_width, image_height, weight[index].reshape(image_shape), **scale)
        canvas.box(x, upper, image_width, image_height, fill=False, edgecolor=_FAINT, linewidth=_POINT)
    bar_left, bar_top = width - bar_width, round(top + size * _LINE)
    bar_height = canvas.height - _MARGIN - 14 - bar_top
    canvas.image(bar_left, bar_top, 20, bar_height, np.linspace(vmax, -vmax, 129)[:, None], **scale)
    for share, value in ((0.0, f"{vmax:+.2g}"), (0.5, "0"), (1.0, f"{-vmax:+.2g}")):
        canvas.text(bar_left + 26, bar_top + share * bar_height, value.replace("-", "−"), _SMALL, va="center")
    return canvas.figure


@_styled
def own_picture(original: Array, seen: Array, probabilities: Array, class_names: Sequence[str]) -> Figure:
    """Draw a person's own picture, what the model saw of it, and the probability of each class.

    `original` (height, width), RGB (height, width, 3) or RGBA; uint8, or float in [0, 1]. `seen` (height, width):
    the grey image as the model got it. `probabilities` (K,).
    """
    original, seen, probabilities = np.asarray(original), np.asarray(seen), np.asarray(probabilities)
    if original.ndim not in (2, 3) or seen.ndim != 2:
        raise ValueError(
            f"original must be (height, width) or (height, width, 3) and seen (height, width), "
            f"found {original.shape} and {seen.shape}: pass one picture"
        )
    _same_length("probabilities and class_names", probabilities=probabilities, class_names=class_names)
    side, gap = 224, 40
    bars_left = 2 * _MARGIN + side + gap
    names_width = min(_widest(class_names, _TEXT), 190)
    line = float(np.clip(2 * (side + 22) / max(len(class_names), 1), 26, 52))
    height = max(2 * (side + 40) + 24, len(class_names) * line + 64 + _MARGIN) + 8
    canvas = _Canvas(_WIDTH, height)
    captions = (
        (f"your picture, {original.shape[1]} × {original.shape[0]}", original),
        (f"what the model saw, {seen.shape[1]} × {seen.shape[0]}", _as_rgb(seen)),
    )
    for row, (caption, image) in enumerate(captions):
        y = _MARGIN + row * (side + 52)
        stride = -(-max(image.shape[:2]) // 1000)  # a photograph of 12 megapixels is not resampled whole
        image = image[::stride, ::stride]
        image = _as_rgb(image) if image.ndim == 2 else image
        width, tall = _fitted(image.shape, side)
        canvas.text(_MARGIN, y, _shortened(caption, side + gap, _SMALL), _SMALL, color=_MUTED)
        small = max(image.shape[:2]) <= side
        canvas.image(_MARGIN, y + 28, width, tall, image, interpolation="none" if small else "antialiased")
        canvas.box(_MARGIN, y + 28, width, tall, fill=False, edgecolor=_FAINT, linewidth=_POINT)
    best = int(np.argmax(probabilities))
    headline = _shortened(f"{class_names[best]}, {_percent(probabilities[best])}", 500, 28)
    canvas.text(bars_left, _MARGIN, headline, 28)
    start = bars_left + names_width + 14
    room = _WIDTH - _MARGIN - start - _text_width(" >99%", _TEXT) - 8
    for index, name in enumerate(class_names):
        middle = 64 + (index + 0.5) * line
        share, chosen = float(probabilities[index]), index == best
        words = _shortened(name, names_width, _TEXT)
        canvas.text(start - 14, middle, words, ha="right", va="center", weight="bold" if chosen else "normal")
        canvas.box(start, middle - line * 0.3, room * share, line * 0.6, facecolor=BLUE if chosen else SKY)
        canvas.text(start + room * share + 8, middle, _percent(share), va="center")
    canvas.axes.plot((start, start), (64, 64 + line * len(class_names)), color=_MUTED, linewidth=1)
    return canvas.figure


# ---------------------------------------------------------------------------------------------------- evaluation


@_styled
def confusion_matrix(matrix: Array, class_names: Sequence[str], *, normalize: bool = False) -> Figure:
    """Draw how often each actual class (row) was predicted as each class (column).

    `matrix` (K, K) counts. The cells say the count or, with `normalize`, the percentage of the actual class; the
    colour shows in both the square root of that share, so that the few mistakes are seen beside the many hits.
    """
    matrix = np.asarray(matrix)
    classes = len(class_names)
    if matrix.shape != (classes, classes):
        raise ValueError(
            f"matrix must have the shape ({classes}, {classes}), actual by predicted, found {matrix.shape}"
        )
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    names_width = min(_widest(class_names, _TEXT), 200)
    left = _MARGIN + 30 + names_width + 10
    cell = min((_WIDTH - left - _MARGIN) / classes, 130.0)
    upright = _widest(class_names, _TEXT) > cell - 8
    top = _MARGIN + _LINE * _TITLE + 6
    bottom = top + classes * cell
    width = max(left + classes * cell + _MARGIN, 420)
    canvas = _Canvas(width, bottom + (names_width if upright else _TEXT) + 58)
    title = "Percent of the actual class" if normalize else "Number of examples"
    canvas.text(_MARGIN, _MARGIN, title, _TITLE)
    canvas.image(left, top, classes * cell, classes * cell, np.sqrt(share), cmap="Blues", vmin=0, vmax=1.1)
    cells = [[_cell_words(matrix[i, j], share[i, j], normalize) for j in range(classes)] for i in range(classes)]
    size = _fitting_size([words for row in cells for words in row], cell - 6, largest=22, smallest=8)
    size = min(size, cell * 0.6)
    for i, j in np.ndindex(classes, classes):
        colour = "white" if share[i, j] > 0.45 else _INK if matrix[i, j] else _FAINT
        x, y = left + (j + 0.5) * cell, top + (i + 0.5) * cell
        canvas.text(x, y, cells[i][j], size, color=colour, ha="center", va="center")
    for i, name in enumerate(class_names):
        words, place = _shortened(name, names_width, _TEXT), (i + 0.5) * cell
        canvas.text(left - 10, top + place, words, ha="right", va="center")
        canvas.text(left + place, bottom + 8, words, ha="center", rotation=90 if upright else 0)
    canvas.text(_MARGIN, (top + bottom) / 2, "actual", color=_MUTED, va="center", rotation=90)
    canvas.text(left + classes * cell / 2, canvas.height - 38, "predicted", color=_MUTED, ha="center")
    edges = np.arange(classes + 1) * cell
    grid = [((left, top + e), (left + classes * cell, top + e)) for e in edges]
    grid += [((left + e, top), (left + e, bottom)) for e in edges]
    canvas.axes.add_collection(LineCollection(grid, colors="white", linewidths=0.7))
    return canvas.figure


def _cell_words(count: float, share: float, normalize: bool) -> str:
    if not normalize:
        return f"{int(count)}"
    percent = f"{100 * share:.1f}"
    return "0" if count == 0 else "100" if percent == "100.0" else percent


@_styled
def per_class_bars(precision: Array, recall: Array, f1: Array, class_names: Sequence[str]) -> Figure:
    """Draw precision, recall and F1 of each class, (K,) in [0, 1], as bars; F1 in figures at the right.

    A value that is not defined (NaN: a class that was never predicted has no precision) has no bar.
    """
    measures = {"precision": np.asarray(precision, float), "recall": np.asarray(recall, float)}
    measures["F1"] = np.asarray(f1, float)
    _same_length("measures and class_names", **measures, class_names=class_names)
    classes = len(class_names)
    figure, axes = _class_rows(class_names, right=_WIDTH - 84, step=66, top=52, below=46)
    for index, (name, values) in enumerate(measures.items()):
        look = ({"color": SKY}, {"color": BLUE}, {"color": _INK})[index]
        y = np.arange(classes) + (index - 1) * 0.26
        axes.barh(y, np.nan_to_num(values), height=0.24, label=name, **look)
    for row, value in enumerate(measures["F1"]):
        words = f"{value:.2f}" if np.isfinite(value) else "–"
        axes.text(1.02, row, words, va="center", transform=axes.get_yaxis_transform())
    axes.text(1.02, -0.62, "F1", va="bottom", color=_MUTED, transform=axes.get_yaxis_transform())
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    _legend_above(axes, columns=3)
    return figure


def _class_rows(
    class_names: Sequence[str], *, right: float, step: float, top: float, below: float = 76
) -> tuple[Figure, Any]:
    """Return a figure with axes for one row a class, the first on top, names at the left."""
    names_width = min(_widest(class_names, _TEXT), 200)
    classes = len(class_names)
    figure = _figure(_WIDTH, top + step * classes + below)
    axes = _panel(figure, names_width + _MARGIN + 12, top, right, top + step * classes)
    _name_rows(axes, class_names, names_width)
    return figure, axes


def _name_rows(axes: Any, class_names: Sequence[str], width: float) -> None:
    axes.set_yticks(np.arange(len(class_names)), [_shortened(name, width, _TEXT) for name in class_names])
    axes.set_ylim(len(class_names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


def _legend_above(axes: Any, columns: int) -> None:
    look = {"frameon": False, "borderpad": 0.2, "borderaxespad": 0.2, "columnspacing": 1.4, "handlelength": 1.6}
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, **look)


@_styled
def reliability_diagram(confidence: Array, accuracy: Array, counts: Array, *, ece: float) -> Figure:
    """Draw accuracy against confidence in M bins of equal width over [0, 1], and how many examples lie in each.

    `confidence` and `accuracy` (M,): the means of each bin, NaN where it is empty; `counts` (M,); `ece`: the expected
    calibration error, sum over bins of counts / N |accuracy - confidence| (Guo et al. 2017). On the dashed line a
    model is calibrated; below it, it is too sure of itself.
    """
    confidence, accuracy = np.asarray(confidence, float), np.asarray(accuracy, float)
    counts = np.asarray(counts)
    _same_length("bins", confidence=confidence, accuracy=accuracy, counts=counts)
    bins = len(counts)
    figure = _figure(_WIDTH, 800)
    axes = _panel(figure, 96, 52, _WIDTH - 24, 520)
    lower = _panel(figure, 96, 570, _WIDTH - 24, 726)
    left = np.arange(bins) / bins
    filled = counts > 0
    bars = {"width": 1 / bins, "align": "edge", "edgecolor": "white"}
    axes.bar(left[filled], accuracy[filled], color=SKY, label="accuracy", **bars)
    axes.vlines(confidence[filled], confidence[filled], accuracy[filled], color=VERMILLION, linewidth=2.5, label="gap")
    axes.plot((0, 1), (0, 1), color=_INK, linestyle="--", linewidth=1.2, label="calibrated")
    axes.plot(
        confidence[filled], accuracy[filled], color=VERMILLION, linestyle="", marker="o", markersize=5, clip_on=False
    )
    axes.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    axes.tick_params(axis="x", labelbottom=False)
    axes.text(0.03, 0.95, f"ECE {ece:.4f}", transform=axes.transAxes, va="top", fontsize=_TITLE * _POINT)
    _legend_above(axes, columns=3)
    lower.bar(left, counts, color=_FAINT, **bars)
    lower.set(xlim=(0, 1), xlabel="confidence: probability of the predicted class")
    lower.set_title(f"{int(counts.sum()):,} examples, by confidence", fontsize=_TEXT * _POINT)
    lower.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    lower.yaxis.set_major_formatter("{x:,.0f}")
    return figure


@_styled
def risk_coverage(coverage: Array, accuracy: Array) -> Figure:
    """Draw the accuracy on the share of examples that the model answers, if it may abstain where it is least sure.

    `coverage` (M,) in (0, 1], rising; `accuracy` (M,): among the examples answered. Coverage 1 is plain accuracy.
    """
    coverage, accuracy = np.asarray(coverage, float), np.asarray(accuracy, float)
    _same_length("points", coverage=coverage, accuracy=accuracy)
    if len(coverage) == 0:
        raise ValueError("coverage must have at least one point, found 0: evaluate at least one example")
    figure = _figure(_WIDTH, 560)
    axes = _panel(figure, 96, 52, _WIDTH - 84, 486)
    axes.plot(coverage, accuracy, color=BLUE)
    low = min(float(np.nanmin(accuracy)), float(accuracy[-1]) - 0.05)
    axes.set(xlim=(0, 1), ylim=(low - 0.15 * (1 - low), 1 + 0.06 * (1 - low)))
    for share in (0.5, 0.8, 1.0):
        point = int(np.argmin(np.abs(coverage - share)))
        if abs(coverage[point] - share) > 0.05:
            continue
        axes.plot(coverage[point], accuracy[point], color=BLUE, marker="o", markersize=6, clip_on=False, zorder=5)
        words = f"{accuracy[point]:.1%}  "
        axes.text(coverage[point], accuracy[point] - 0.02 * (1 - low), words, ha="right", va="top")
    axes.set_title("Accuracy, if the model answers only where it is surest")
    axes.set_xlabel("share of examples answered")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g}%")
    return figure


@_styled
def decision_regions(
    features: Array,
    labels: Array,
    predict: Callable[[Array], Array],
    class_names: Sequence[str],
    *,
    title: str | None = None,
) -> Figure:
    """Draw two-feature examples over the regions in which the model predicts each class.

    `features` (N, 2), `labels` (N,); `predict` maps (M, 2) float64 features to (M,) classes and is called on a grid
    and on the examples. Classes differ in colour and in marker; a wrongly predicted example has a black edge.
    """
    features, labels = np.asarray(features, float), np.asarray(labels)
    if features.ndim != 2 or features.shape[1] != 2 or len(features) == 0:
        raise ValueError(f"features must have the shape (N, 2) with N > 0, found {features.shape}: two features only")
    _same_length("features and labels", features=features, labels=labels)
    _check_classes(class_names, labels=labels)
    low, high = features.min(axis=0), features.max(axis=0)
    pad = 0.05 * np.maximum(high - low, 1e-9)
    low, high = low - pad, high + pad
    across, up = np.linspace(low[0], high[0], 350), np.linspace(low[1], high[1], 260)
    grid = np.stack(np.meshgrid(across, up), axis=-1)
    regions = np.asarray(predict(grid.reshape(-1, 2))).reshape(260, 350)
    colours = np.array([_rgb(_CLASS_COLOURS[k % len(_CLASS_COLOURS)]) for k in range(len(class_names))])
    picture = 1 - 0.25 * (1 - colours[regions])  # the class colours, thinned with white
    border = np.zeros(regions.shape, bool)
    border[:, 1:] |= regions[:, 1:] != regions[:, :-1]
    border[1:] |= regions[1:] != regions[:-1]
    picture[border] = _rgb(_MUTED)
    names_width = min(_widest(class_names, _TEXT), 200)
    columns = int(np.clip(700 // (names_width + 80), 1, len(class_names)))  # 80: a marker and the room around it
    lines = -(-len(class_names) // columns)
    top = 16 + (34 if title else 0) + 30 * (lines + 1)
    figure = _figure(_WIDTH, top + 540 + 70)
    axes = _panel(figure, 78, top, _WIDTH - 20, top + 540)
    extent = (low[0], high[0], low[1], high[1])
    axes.imshow(picture, extent=extent, origin="lower", aspect="auto", interpolation="nearest")
    wrong = np.asarray(predict(features)) != labels
    for k, name in enumerate(class_names):
        look = {"s": 22, "marker": _MARKERS[k % len(_MARKERS)], "color": colours[k]}
        right, missed = features[(labels == k) & ~wrong], features[(labels == k) & wrong]
        axes.scatter(*right.T, edgecolor="white", linewidth=0.5, label=_shortened(name, names_width, _TEXT), **look)
        axes.scatter(*missed.T, edgecolor="black", linewidth=1.3, **look)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel="feature 1", ylabel="feature 2")
    axes.grid(visible=False)
    note = f"{int(wrong.sum()):,} of {len(labels):,} wrong (black edge)"
    axes.text(0, 1 + (30 * lines + 14) / 540, note, transform=axes.transAxes, va="bottom", color=_MUTED)
    if title:
        _heading(figure, 12, title)
    _legend_above(axes, columns=columns)
    return figure


def _rgb(colour: str) -> Array:
    return np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])


@_styled
def class_differences(
    a: Array,
    b: Array,
    class_names: Sequence[str],
    *,
    names: tuple[str, str] = ("A", "B"),
    intervals: Array | None = None,
    measure: str = "accuracy",
) -> Figure:
    """Draw a measure of two models class by class, and at the right the difference B - A.

    `a` and `b` (K,) in [0, 1]; `intervals` (K, 2): lower and upper bound of the difference, drawn as whiskers. A bar
    to the right says that B is better.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    _same_length("measures and class_names", a=a, b=b, class_names=class_names)
    classes = len(class_names)
    if intervals is not None and np.shape(intervals) != (classes, 2):
        raise ValueError(f"intervals must have the shape ({classes}, 2), low and high, found {np.shape(intervals)}")
    top = 84
    figure, axes = _class_rows(class_names, right=450, step=54, top=top)
    labels = [letter if name == letter else f"{letter} = {name}" for letter, name in zip("AB", names, strict=True)]
    for offset, values, label, colour in ((-0.19, a, labels[0], SKY), (0.19, b, labels[1], BLUE)):
        label = _shortened(label, 560, _TEXT)
        axes.barh(np.arange(classes) + offset, np.nan_to_num(values), height=0.36, color=colour, label=label)
    axes.set_xlim(0, 1)
    axes.set_xticks((0, 0.5, 1))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel(measure)
    _legend_above(axes, columns=1)
    right = _panel(figure, 520, top, _WIDTH - 24, top + 54 * classes)
    points = 100 * (b - a)
    colours = [BLUE if value >= 0 else VERMILLION for value in points]
    right.barh(np.arange(classes), np.nan_to_num(points), height=0.5, color=colours)
    if intervals is not None:
        bounds = 100 * np.asarray(intervals, float)
        right.hlines(np.arange(classes), bounds[:, 0], bounds[:, 1], color=_INK, linewidth=1.6)
        points = np.concatenate([points, bounds.ravel()])
    reach = 1.1 * max(float(np.nanmax(np.abs(points), initial=0.0)), 0.5)
    right.set_xlim(-reach, reach)
    right.axvline(0, color=_INK, linewidth=1)
    right.spines["left"].set_visible(False)
    _name_rows(right, [""] * classes, 1)
    right.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=(1, 2, 5, 10)))
    right.set_xlabel("B − A, points")
    return figure
