"""Files of figures are whole, the same bytes every time and without dates; the style is ours alone."""

import hashlib
import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from softmax_regression import plots
from softmax_regression.plots import curves, images, look
from softmax_regression.plots.look import Array


def drawn() -> tuple[Any, Any]:
    """Return a grid of three images, one of them wrong, and the curves of two epochs."""
    pixels = (np.arange(3 * 64) % 256).astype(np.uint8).reshape(3, 8, 8)
    names = ("train_loss", "train_accuracy", "held_out_loss", "held_out_accuracy")
    history = {name: [0.7, 0.8] for name in names}
    return (
        images.prediction_grid(pixels, np.array([0, 1, 1]), np.array([0, 1, 0]), ["cat", "dog"]),
        curves.training_curves(history, "test"),
    )


def test_save_writes_both_files_whole_and_nothing_else(tmp_path: Path) -> None:
    """`save` writes <stem>.png and <stem>.svg, keeps dots in the stem, and leaves no other file."""
    look.save(drawn()[0], tmp_path / "new" / "lr_0.1")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["lr_0.1.png", "lr_0.1.svg"]
    assert (tmp_path / "new" / "lr_0.1.png").read_bytes().startswith(b"\x89PNG")
    root = ElementTree.fromstring((tmp_path / "new" / "lr_0.1.svg").read_text())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"


def test_files_hold_no_date_and_no_version() -> None:
    """Neither file says when or with which version it was made."""
    figure = drawn()[0]
    png, svg = look.png_bytes(figure), look.svg_bytes(figure)
    assert b"tEXt" not in png
    assert b"tIME" not in png
    for word in (b"<dc:date>", b"Matplotlib v", b"<dc:creator>"):
        assert word not in svg


CHILD = """
import hashlib, sys
from test_look import drawn
from softmax_regression.plots import look
for figure in drawn():
    print(hashlib.sha256(look.png_bytes(figure)).hexdigest(), hashlib.sha256(look.svg_bytes(figure)).hexdigest())
print("matplotlib.pyplot" in sys.modules)
"""


def test_the_same_input_gives_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    """Hash seed, a person's own matplotlibrc and a second drawing change no byte; pyplot is never imported."""
    (tmp_path / "matplotlibrc").write_text("font.size: 30\naxes.facecolor: black\nsvg.fonttype: none\n")
    sources = os.pathsep.join([str(Path(look.__file__).parents[2]), str(Path(__file__).parent)])
    surroundings = os.environ | {"PYTHONPATH": sources, "PYTHONHASHSEED": "7", "MATPLOTLIBRC": str(tmp_path)}
    child = subprocess.run(
        [sys.executable, "-c", CHILD], env=surroundings, capture_output=True, text=True, check=True, timeout=60
    )
    for figure, line in zip(drawn(), child.stdout.splitlines(), strict=False):
        for attempt in range(2):
            pair = (look.png_bytes(figure), look.svg_bytes(figure))
            assert " ".join(hashlib.sha256(file).hexdigest() for file in pair) == line, attempt
    assert child.stdout.splitlines()[-1] == "False"


def test_drawing_leaves_matplotlibs_settings_alone() -> None:
    """The style holds for our figures only: the process's settings are as before."""
    before = dict(matplotlib.rcParams)
    look.png_bytes(drawn()[0])
    assert dict(matplotlib.rcParams) == before


def test_pixels_are_opaque_white_around_the_picture(pixels: Callable[[Any], Array]) -> None:
    """A PNG file has the figure's size, and its ground is white, so that it looks alike on any page."""
    figure = drawn()[0]
    image = pixels(figure)
    assert image.shape == (*reversed(figure.canvas.get_width_height()), 3)
    assert (image[0] == 255).all()
    assert (image[:, -1] == 255).all()


def test_every_picture_is_drawn_in_our_style() -> None:
    """All public functions of plots/ that return a figure are styled."""
    modules = [
        importlib.import_module(f"{plots.__name__}.{found.name}") for found in pkgutil.iter_modules(plots.__path__)
    ]
    drawing = {
        f"{module.__name__}.{name}": function
        for module in modules
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if name[0] != "_" and name != "new_figure" and "Figure" in str(inspect.signature(function).return_annotation)
    }
    assert len(drawing) > 10
    assert [name for name, function in drawing.items() if not hasattr(function, "__wrapped__")] == []
