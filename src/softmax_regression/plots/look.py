"""The look of all pictures: colours, letter sizes, files, and the blocks that every picture is built from.

A function that draws takes arrays and plain values, draws on a `Figure` of its own (no pyplot, no global state) and
returns it; `save`, `png_bytes` and `svg_bytes` turn a figure into files, always the same bytes for the same input.

The ground is opaque white, so that light and dark pages show the same. The colours are those of Okabe and Ito
(2008), which colour-blind people can distinguish, and colour is never alone: line styles, marks or words say the
same. Figures are 800 pixels wide with letters of 20 pixels, so that they can also be read at 350 pixels. Lengths
are in pixels.
"""

import functools
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path

from softmax_regression.files import write_atomically

Array = npt.NDArray[Any]

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"  # Okabe and Ito (2008) without yellow,
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"  # which is too pale for lines on white
RED = "#C8102E"  # for what is wrong; dark enough for small letters, and always beside a mark or a word
INK, MUTED, FAINT, _PALE = "#222222", "#666666", "#B8B8B8", "#E4E4E4"

_DPI = 160
POINT = 72 / _DPI  # points in a pixel
WIDTH, MARGIN = 800, 12
TEXT, SMALL, TITLE = 20, 17, 23  # heights of letters
LINE = 1.3  # distance of two lines of text, in letter heights
CLASSES = 20  # what a picture has room for; of more classes it shows some, and says so

# All of matplotlib's defaults, so that a person's own matplotlibrc changes nothing here, and then ours.
_STYLE = {name: mpl.rcParamsDefault[name] for name in mpl.rcParamsDefault if not name.startswith("backend")} | {
    "figure.dpi": _DPI,
    "font.size": TEXT * POINT,
    "axes.titlesize": TITLE * POINT,
    "axes.titlelocation": "left",
    "axes.titlepad": 5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _PALE,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a class name is a dollar sign
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.6,
    "lines.markersize": 3.5,
    "legend.framealpha": 0.85,
    "image.composite_image": False,  # in SVG each image keeps its own pixels
    "svg.hashsalt": "softmax-regression",  # ids in SVG from the content, not from chance
}
styled = mpl.rc_context(_STYLE)  # a decorator: what it decorates runs in our style, and the process keeps its own


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


@styled
def _rendered(figure: Figure, kind: str, metadata: dict[str, str | None]) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=kind, metadata=metadata)
    return file.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size."""
    return Figure(figsize=(width / _DPI, height / _DPI))


def panel(figure: Figure, left: float, top: float, right: float, bottom: float) -> Axes:
    """Add axes between these edges, measured from the upper left corner: margins by hand, no layout engine."""
    width, height = figure.get_size_inches() * _DPI
    return figure.add_axes((left / width, 1 - bottom / height, (right - left) / width, (bottom - top) / height))


class Canvas:
    """A blank figure measured in pixels from its upper left corner, for pictures made of images and words.

    It has one set of axes however many images there are, which makes a grid of 64 images fast to draw.
    """

    def __init__(self, width: float, height: float, title: str = "") -> None:
        self.width, self.height = round(width), round(height)
        self.figure = new_figure(self.width, self.height)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, self.width), ylim=(self.height, 0))
        self.axes.axis("off")
        self.text(MARGIN, MARGIN, title, TITLE, room=self.width - 2 * MARGIN)

    def text(self, x: float, y: float, words: str, size: float = TEXT, room: float = np.inf, **options: Any) -> None:
        """Write one line, cut at a width of `room`, right of `x` and below `y` unless `options` align it otherwise."""
        self.axes.text(x, y, shortened(words, room, size), fontsize=size * POINT, **({"va": "top"} | options))

    def image(self, x: float, y: float, width: float, height: float, image: Array, **options: Any) -> None:
        """Draw `image` with its upper left corner at (x, y), stretched to `width` and `height`."""
        options = {"interpolation": "none"} | options
        self.axes.imshow(image, extent=(x, x + width, y + height, y), aspect="auto", **options)

    def box(self, x: float, y: float, width: float, height: float, **options: Any) -> None:
        """Draw a rectangle with its upper left corner at (x, y)."""
        self.axes.add_patch(Rectangle((x, y), width, height, **options))


def percent(share: float) -> str:
    """Return 0.8312 as '83%', but 100% and 0% only where it is exactly that."""
    if 0.995 <= share < 1:
        return ">99%"
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


@styled
def message(words: str) -> Figure:
    """Return a figure that has nothing to show but a line of words."""
    canvas = Canvas(WIDTH, 160)
    canvas.text(WIDTH / 2, 68, words, TITLE, color=MUTED, ha="center")
    return canvas.figure


@functools.lru_cache(maxsize=4096)
def text_width(words: str, size: float) -> float:
    """Return the width of one line of text, 3% added for the rounding of letters to pixels."""
    font = FontProperties(family="DejaVu Sans", size=size)
    return 1.03 * float(text_to_path.get_text_width_height_descent(words, font, False)[0])


def widest(words: Sequence[str], size: float) -> float:
    """Return the width of the widest of `words`; 0 where there are none."""
    return max((text_width(word, size) for word in words), default=0.0)


def fitting_size(words: Sequence[str], width: float, largest: float, smallest: float = 11) -> float:
    """Return the letter height, within the two bounds, at which the widest of `words` fills at most `width`."""
    return float(np.clip(largest * width / max(widest(words, largest), 1.0), smallest, largest))


def shortened(words: str, width: float, size: float) -> str:
    """Return `words`, cut and ended with an ellipsis where they are wider than `width`."""
    if text_width(words, size) <= width + 0.01:
        return words
    fitting = (n for n in range(len(words), 1, -1) if text_width(words[:n] + "…", size) <= width)
    return words[: next(fitting, 1)].rstrip() + "…"
