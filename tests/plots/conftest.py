"""What a reader sees of a drawn figure: its words with their places, and its pixels."""

import io
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from softmax_regression.plots import look
from softmax_regression.plots.look import Array


def _written(figure: Any) -> list[tuple[str, Any]]:
    renderer = FigureCanvasAgg(figure).get_renderer()
    seen: list[Any] = []
    draw_text = renderer.draw_text

    def recorded(*args: Any, mtext: Any = None, **kwargs: Any) -> None:
        seen.append(mtext)
        draw_text(*args, mtext=mtext, **kwargs)

    renderer.draw_text = recorded
    figure.draw(renderer)
    return [(text.get_text().strip(), text.get_window_extent(renderer)) for text in seen if text.get_text().strip()]


@pytest.fixture
def written() -> Callable[[Any], list[tuple[str, Any]]]:
    """Draw a figure and return (words, place) for each text that reaches the renderer."""
    return _written


@pytest.fixture
def words() -> Callable[[Any], list[str]]:
    """Return all texts of a drawn figure, in drawing order."""
    return lambda figure: [text for text, _ in _written(figure)]


@pytest.fixture
def pixels() -> Callable[[Any], Array]:
    """Return the PNG file of a figure as an array (height, width, 3) uint8."""
    return lambda figure: np.asarray(Image.open(io.BytesIO(look.png_bytes(figure))).convert("RGB"))


@pytest.fixture
def check_words() -> Callable[[Any], None]:
    """Fail where a figure has no words, where two texts overlap, or where one is cut off."""
    return _check_words


def _check_words(figure: Any) -> None:
    texts = _written(figure)
    assert texts
    width, height = figure.canvas.get_width_height()
    for text, box in texts:
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
        assert inside, f"{text!r} leaves the figure: {box} in {width} x {height}"
    for (one, first), (other, second) in combinations(texts, 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        down = min(first.y1, second.y1) - max(first.y0, second.y0)
        # Boxes hold the room for accents and descenders: one pixel of it may be shared.
        assert min(across, down) <= 1, f"{one!r} overlaps {other!r} by {across:.1f} x {down:.1f} pixels"
