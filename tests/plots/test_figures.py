"""The figures say what they should, fit on their ground, and are the same bytes every time."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from softmax_regression.plots import figures
from softmax_regression.plots.figures import Array

FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
DIGITS = tuple("0123456789")
LONG = tuple(f"a class with a very long name indeed, number {k}" for k in range(10))
RED = figures.RED
TWO = np.array([0, 1])
IMAGES = np.zeros((2, 8, 8), np.uint8)


def examples(count: int, seed: int = 0, shape: tuple[int, int] = (28, 28)) -> tuple[Array, Array, Array, Array]:
    """Return images (N, H, W) uint8, labels, predictions (about one in four wrong) and probabilities of these."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, *shape), dtype=np.uint8)
    labels = random.integers(0, 10, count)
    predicted = np.where(random.random(count) < 0.25, random.integers(0, 10, count), labels)
    return images, labels, predicted, random.uniform(0.1, 1, count)


def history(epochs: int, held_out: str = "test", start: float = 0.8) -> dict[str, list[float]]:
    """Return the curves of a run of the book's kind."""
    steps = np.arange(1, epochs + 1)
    return {
        "train_loss": list(start / steps**0.2),
        "train_accuracy": list(0.85 - 0.1 / steps),
        f"{held_out}_loss": list(start / steps**0.18),
        f"{held_out}_accuracy": list(0.83 - 0.05 / steps),
    }


def grid(count: int, class_names: tuple[str, ...] = FASHION, *, sure: bool = False) -> Any:
    """Return the prediction grid of `count` made-up images."""
    images, labels, predicted, probability = examples(count)
    given = probability if sure else None
    return figures.prediction_grid(images, labels, predicted, class_names, probabilities=given)


def pairs(class_names: tuple[str, ...] = FASHION) -> Any:
    """Return the mistakes by pair of 300 made-up examples."""
    images, labels, predicted, confidence = examples(300)
    return figures.mistakes_by_pair(images, labels, predicted, class_names, confidence=confidence)


def mistakes(class_names: tuple[str, ...] = FASHION) -> Any:
    """Return the confident mistakes of 300 made-up examples."""
    images, labels, predicted, confidence = examples(300)
    return figures.confident_mistakes(images, labels, predicted, confidence, class_names)


def compared(class_names: tuple[str, ...] = FASHION) -> Any:
    """Return the disagreements of two made-up models."""
    images, labels, a, _ = examples(300)
    b = examples(300, seed=1)[2]
    return figures.disagreements(images, labels, a, b, class_names, names=("a first run", "x" * 200))


def confusion(class_names: tuple[str, ...] = FASHION, *, normalize: bool = False) -> Any:
    """Return a confusion matrix with large counts on the diagonal."""
    counts = np.random.default_rng(0).integers(0, 200, (len(class_names), len(class_names)))
    return figures.confusion_matrix(counts + 6000 * np.eye(len(counts), dtype=int), class_names, normalize=normalize)


def weights(class_names: tuple[str, ...] = FASHION, **options: Any) -> Any:
    """Return the weight images of made-up weights."""
    weight = np.random.default_rng(0).normal(0, 0.1, (len(class_names), 784))
    return figures.weight_images(weight, (28, 28), class_names, **options)


def bars(class_names: tuple[str, ...] = FASHION) -> Any:
    """Return per-class bars of made-up measures."""
    precision, recall, f1 = np.random.default_rng(0).uniform(0, 1, (3, len(class_names)))
    return figures.per_class_bars(precision, recall, f1, class_names)


def differences(class_names: tuple[str, ...] = FASHION) -> Any:
    """Return per-class differences of two made-up models, with intervals."""
    a, b = np.random.default_rng(0).uniform(0.6, 0.9, (2, len(class_names)))
    bounds = np.stack([b - a - 0.02, b - a + 0.02], axis=1)
    return figures.class_differences(a, b, class_names, names=("one", "another"), intervals=bounds)


def own(class_names: tuple[str, ...] = FASHION, shape: tuple[int, ...] = (300, 400, 3)) -> Any:
    """Return a person's own picture of noise."""
    random = np.random.default_rng(0)
    share = random.dirichlet(np.ones(len(class_names)))
    original = random.integers(0, 256, shape, dtype=np.uint8)
    return figures.own_picture(original, examples(1)[0][0], share, class_names)


def nearest_corner(points: Array) -> Array:
    """Predict class 0, 1 or 2 by the larger coordinate, or neither."""
    return np.where(points.max(axis=1) < 0, 2, points.argmax(axis=1))


def regions(class_names: tuple[str, ...] = ("0", "1", "2"), title: str | None = None) -> Any:
    """Return the decision regions of a rule in the plane."""
    random = np.random.default_rng(0)
    return figures.decision_regions(
        random.normal(0, 1, (80, 2)), random.integers(0, 3, 80), nearest_corner, class_names, title=title
    )


def reliability(bins: int = 10) -> Any:
    """Return a reliability diagram whose first bin is empty."""
    middle = (np.arange(bins) + 0.5) / bins
    middle[0] = np.nan
    counts = np.arange(bins) * 1000
    return figures.reliability_diagram(middle, middle**2, counts, ece=0.0123)


DRAWN: dict[str, Callable[[], Any]] = {
    **{f"grid of {n}": lambda n=n: grid(n) for n in (1, 2, 6, 8, 9, 17, 24)},  # type: ignore[misc]  # n is bound now
    "grid of 64": lambda: grid(64, sure=True),
    "grid of 6, sure": lambda: grid(6, sure=True),
    "grid, digits": lambda: grid(17, DIGITS, sure=True),
    "grid, long names": lambda: grid(17, LONG),
    "mistakes": mistakes,
    "pairs": pairs,
    "pairs, long names": lambda: pairs(LONG),
    "disagreements": compared,
    "confusion": confusion,
    "confusion, percent": lambda: confusion(normalize=True),
    "confusion, long names": lambda: confusion(LONG),
    "confusion, two classes": lambda: confusion(("no", "yes")),
    "weights": lambda: weights(epoch=3),
    "weights, long names": lambda: weights(LONG),
    "weights, two classes": lambda: weights(("no", "yes"), epoch=0, vmax=1.0),
    "bars": bars,
    "bars, long names": lambda: bars(LONG),
    "differences": differences,
    "own picture": own,
    "own picture, long names": lambda: own(LONG, (28, 28)),
    "own picture, two classes": lambda: own(("no", "yes"), (64, 30, 4)),
    "regions": lambda: regions(title="made up"),
    "regions, long names": lambda: regions(LONG),
    "reliability": reliability,
    "risk": lambda: figures.risk_coverage(np.arange(1, 101) / 100, np.linspace(1, 0.83, 100)),
    "risk, no mistakes": lambda: figures.risk_coverage(np.arange(1, 101) / 100, np.ones(100)),
    "curves": lambda: figures.training_curves(history(10), title="a run"),
    "curves, one epoch": lambda: figures.training_curves(history(1)),
    "curves, 3 of 40": lambda: figures.training_curves(history(3, "validation"), epochs=40),
    "book": lambda: figures.training_curves_book(history(10)),
    "book, one epoch": lambda: figures.training_curves_book(history(1)),
    "compare": lambda: figures.compare_curves({f"run {k} " * 9: history(10, start=1 + k / 9) for k in range(12)}),
    "no mistakes": lambda: figures.mistakes_by_pair(examples(9)[0], np.arange(9), np.arange(9), FASHION),
}


def written(figure: Any) -> list[tuple[str, Any]]:
    """Draw `figure` and return (words, place) for each text that reached the renderer: what a reader sees."""
    renderer = figure.canvas.get_renderer()
    seen: list[Any] = []
    draw_text = renderer.draw_text

    def recorded(*args: Any, mtext: Any = None, **kwargs: Any) -> None:
        seen.append(mtext)
        draw_text(*args, mtext=mtext, **kwargs)

    renderer.draw_text = recorded
    figure.draw(renderer)
    return [(text.get_text().strip(), text.get_window_extent(renderer)) for text in seen if text.get_text().strip()]


def words(figure: Any) -> list[str]:
    """Return all texts of a drawn figure, in drawing order."""
    return [text for text, _ in written(figure)]


def red_frames(figure: Any) -> int:
    """Return how many unfilled red rectangles a figure has."""
    red = tuple(int(RED[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return sum(not patch.get_fill() and patch.get_edgecolor()[:3] == red for patch in figure.axes[0].patches)


def rows_of_images(figure: Any) -> list[int]:
    """Return how many images stand in each row, from the top."""
    tops = [image.get_extent()[3] for image in figure.axes[0].images]
    return [tops.count(top) for top in sorted(set(tops))]


@pytest.mark.parametrize("name", DRAWN)
def test_words_neither_overlap_nor_leave_the_figure(name: str) -> None:
    """At 1 to 64 images, with short and long class names, no two texts overlap and none is cut off."""
    figure = DRAWN[name]()
    texts = written(figure)
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


def test_save_writes_both_files_whole_and_nothing_else(tmp_path: Path) -> None:
    """`save` writes <stem>.png and <stem>.svg, keeps dots in the stem, and leaves no other file."""
    figures.save(grid(2), tmp_path / "new" / "lr_0.1")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["lr_0.1.png", "lr_0.1.svg"]
    assert (tmp_path / "new" / "lr_0.1.png").read_bytes().startswith(b"\x89PNG")
    root = ElementTree.fromstring((tmp_path / "new" / "lr_0.1.svg").read_text())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"


def test_files_hold_no_date_and_no_version() -> None:
    """Neither file says when or with which version it was made."""
    figure = grid(1)
    png, svg = figures.png_bytes(figure), figures.svg_bytes(figure)
    assert b"tEXt" not in png
    assert b"tIME" not in png
    for word in (b"<dc:date>", b"Matplotlib v", b"<dc:creator>"):
        assert word not in svg


CHILD = """
import hashlib, sys
import numpy as np
from softmax_regression.plots import figures
images = (np.arange(3 * 64) % 256).astype(np.uint8).reshape(3, 8, 8)
grid = figures.prediction_grid(images, np.array([0, 1, 1]), np.array([0, 1, 0]), ["cat", "dog"])
curve = {"train_loss": [0.7, 0.5], "train_accuracy": [0.7, 0.8], "test_accuracy": [0.72, 0.79]}
for figure in (grid, figures.training_curves(curve)):
    print(hashlib.sha256(figures.png_bytes(figure)).hexdigest(), hashlib.sha256(figures.svg_bytes(figure)).hexdigest())
print("matplotlib.pyplot" in sys.modules)
"""


def test_the_same_input_gives_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    """Hash seed, a person's own matplotlibrc and a second drawing change no byte; pyplot is never imported."""
    (tmp_path / "matplotlibrc").write_text("font.size: 30\naxes.facecolor: black\nsvg.fonttype: none\n")
    source = str(Path(figures.__file__).parents[2])
    surroundings = os.environ | {"PYTHONPATH": source, "PYTHONHASHSEED": "7", "MATPLOTLIBRC": str(tmp_path)}
    child = subprocess.run(
        [sys.executable, "-c", CHILD], env=surroundings, capture_output=True, text=True, check=True, timeout=60
    )
    images = (np.arange(3 * 64) % 256).astype(np.uint8).reshape(3, 8, 8)
    curve = {"train_loss": [0.7, 0.5], "train_accuracy": [0.7, 0.8], "test_accuracy": [0.72, 0.79]}
    drawn = (
        figures.prediction_grid(images, np.array([0, 1, 1]), np.array([0, 1, 0]), ["cat", "dog"]),
        figures.training_curves(curve),
    )
    for figure, line in zip(drawn, child.stdout.splitlines(), strict=False):
        for attempt in range(2):
            pair = (figures.png_bytes(figure), figures.svg_bytes(figure))
            assert " ".join(hashlib.sha256(file).hexdigest() for file in pair) == line, attempt
    assert child.stdout.splitlines()[-1] == "False"


def test_drawing_leaves_matplotlibs_settings_alone() -> None:
    """The style holds for our figures only: the process's settings are as before."""
    before = dict(matplotlib.rcParams)
    figures.pixels(grid(2))
    assert dict(matplotlib.rcParams) == before


def test_pixels_are_opaque_white_around_the_picture() -> None:
    """`pixels` returns RGB bytes of the figure's size, the ground white, so that it looks alike on any page."""
    figure = grid(2)
    image = figures.pixels(figure)
    assert image.dtype == np.uint8
    assert image.shape == (*reversed(figure.canvas.get_width_height()), 3)
    assert (image[0] == 255).all()
    assert (image[:, -1] == 255).all()


# ---------------------------------------------------------------------------------------------------- curves


def test_the_book_figure_has_the_books_lines_and_axes() -> None:
    """Train loss solid, train acc dashed magenta, test acc dash-dot green, over [1, epochs] x [0.3, 0.9], a grid."""
    figure: Any = figures.training_curves_book(history(10))
    axes = figure.axes[0]
    magenta, green = (0.75, 0, 0.75, 1), (0, 0.5, 0, 1)
    looks = [(line.get_label(), line.get_linestyle(), line.get_color()) for line in axes.lines]
    assert looks == [("train loss", "-", figures.BLUE), ("train acc", "--", "m"), ("test acc", "-.", "g")]
    assert [to_rgba(colour) for colour in "mg"] == [magenta, green]
    assert axes.get_xlim() == (1, 10)
    assert axes.get_ylim() == (0.3, 0.9)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["train loss", "train acc", "test acc"]
    assert axes.get_xgridlines()[0].get_visible()
    assert axes.get_ygridlines()[0].get_visible()


def test_the_book_figure_grows_its_axis_to_show_every_value() -> None:
    """Values outside [0.3, 0.9] (digits: loss 1.63 and 0.24) extend the axis by whole tenths."""
    curves = history(3) | {"train_loss": [1.63, 0.5, 0.24]}
    assert figures.training_curves_book(curves).axes[0].get_ylim() == pytest.approx((0.2, 1.7), abs=1e-12)


def test_the_book_figure_names_validation_where_it_is_that() -> None:
    """Held-out training images are called 'validation acc', and the axis reaches the last epoch to come."""
    figure: Any = figures.training_curves_book(history(2, "validation"), epochs=10)
    assert "validation acc" in words(figure)
    assert figure.axes[0].get_xlim() == (1, 10)


def test_training_curves_write_the_last_values_and_whole_epochs() -> None:
    """Loss and accuracy stand apart, each line ends with its last value, and epochs are whole numbers."""
    figure: Any = figures.training_curves(history(3) | {"train_loss": [0.8, 0.6, 0.51234]})
    assert len(figure.axes) == 2
    shown = words(figure)
    assert "train 0.5123" in shown
    assert "test 0.8133" in shown  # 0.83 - 0.05 / 3
    assert [text for text in shown if text.isdigit()] == ["1", "2", "3"]


def test_a_run_that_blew_up_is_still_drawn() -> None:
    """Infinite and undefined losses are left out; the label is the last finite value."""
    figure: Any = figures.training_curves(history(3) | {"train_loss": [0.9, np.inf, np.nan]})
    assert "train 0.9000" in words(figure)
    assert all(np.isfinite(figure.axes[0].get_ylim()))
    nothing = history(1) | {"train_loss": [np.nan]}
    assert figures.training_curves_book(nothing).axes[0].get_ylim() == (0.3, 0.9)


def test_compared_runs_differ_in_more_than_colour() -> None:
    """Seven runs have seven colours and seven line styles; 20 runs have 20 looks, the same in both panels."""
    figure: Any = figures.compare_curves({f"run {k}": history(2 + k % 3) for k in range(20)})
    looks = [[(line.get_color(), line._dash_pattern) for line in axes.lines] for axes in figure.axes[:2]]
    assert looks[0] == looks[1]
    assert len({str(look) for look in looks[0]}) == 20
    assert len({colour for colour, _ in looks[0][:7]}) == 7
    assert len({str(style) for _, style in looks[0][:7]}) == 7
    assert {f"run {k}" for k in range(20)} <= set(words(figure))


def test_compared_runs_say_what_they_were_measured_on() -> None:
    """Where one run has a validation curve and another a test curve, title and legend tell."""
    shown = words(figures.compare_curves({"a": history(2), "b": history(2, "validation")}))
    assert {"test / validation accuracy", "test 0.8050", "validation 0.8050"} <= set(shown)  # 0.83 - 0.05 / 2


# ---------------------------------------------------------------------------------------------------- images


def test_the_grid_titles_each_image_with_the_true_over_the_predicted_label() -> None:
    """The true label stands above the predicted one, both above the image; the wrong one alone is framed and marked."""
    images = examples(3)[0]
    figure: Any = figures.prediction_grid(images, np.array([9, 2, 6]), np.array([9, 2, 0]), FASHION)
    places = dict(written(figure))
    assert words(figure)[:2] == ["Ankle boot", "Ankle boot"]
    assert places["Shirt"].y0 >= places["T-shirt/top"].y1 - 1
    assert places["Shirt"].x0 + places["Shirt"].width / 2 == pytest.approx(
        places["T-shirt/top"].x0 + places["T-shirt/top"].width / 2, abs=1.5
    )  # centred alike, to the pixel to which letters are rounded
    assert red_frames(figure) == 1
    assert words(figure).count("✗") == 1


@pytest.mark.parametrize("predicted", [[0, 1, 2], [1, 2, 0]])
def test_frames_and_marks_count_the_wrong_ones(predicted: list[int]) -> None:
    """No frame where all are right, one for each where all are wrong."""
    figure: Any = figures.prediction_grid(examples(3)[0], np.arange(3), np.array(predicted), FASHION)
    wrong = int(np.sum(np.arange(3) != predicted))
    assert red_frames(figure) == words(figure).count("✗") == wrong


@pytest.mark.parametrize(
    ("count", "rows"),
    [(1, [1]), (6, [6]), (8, [8]), (9, [5, 4]), (10, [5, 5]), (17, [6, 6, 5]), (24, [8] * 3), (64, [8] * 8)],
)
def test_up_to_eight_images_stand_in_one_row_as_in_the_book(count: int, rows: list[int]) -> None:
    """Beyond eight, the grid with the fewest holes is taken."""
    assert rows_of_images(grid(count)) == rows


@pytest.mark.parametrize("shape", [(28, 28), (8, 8), (12, 20)])
def test_images_are_drawn_upright_pixel_by_pixel(shape: tuple[int, int]) -> None:
    """Each pixel of an image becomes a square of equal pixels on the figure, rows from top to bottom."""
    image = examples(1, shape=shape)[0][0]
    figure: Any = figures.prediction_grid(image[None], np.array([3]), np.array([3]), FASHION)
    left, right, bottom, top = (int(edge) for edge in figure.axes[0].images[0].get_extent())
    scale = (right - left) // shape[1]
    assert scale > 1
    drawn = figures.pixels(figure)[top:bottom, left:right, 0]
    assert np.array_equal(drawn, np.kron(image, np.ones((scale, scale), np.uint8)))


def test_other_scales_than_bytes_are_drawn_from_black_to_white() -> None:
    """Pixels from 0 to 16, as in digits, use the whole range of greys."""
    image = np.linspace(0, 16, 64).reshape(1, 8, 8)
    figure: Any = figures.prediction_grid(image, np.array([1]), np.array([1]), DIGITS)
    grey = np.asarray(figure.axes[0].images[0].get_array())
    assert (grey.min(), grey.max()) == (0, 255)
    assert np.array_equal(grey[..., 0].ravel(), np.round(image.ravel() * 255 / 16))


def test_probabilities_never_claim_certainty() -> None:
    """0.999 is written '>99%', not '100%'; 0.002 '<1%', not '0%'."""
    images, labels, _, _ = examples(4)
    chances = np.array([0.999, 1.0, 0.002, 0.8312])
    shown = words(figures.prediction_grid(images, labels, labels, FASHION, probabilities=chances))
    assert [word for word in shown if word.endswith("%")] == [">99%", "100%", "<1%", "83%"]


def test_a_dollar_sign_in_a_class_name_is_a_dollar_sign() -> None:
    """Class names are words, never formulas: '$ab$' is drawn with its dollar signs, wider than 'ab'."""
    places = dict(written(figures.prediction_grid(IMAGES, TWO, TWO, ("$ab$", "ab"))))
    assert places["$ab$"].width > 1.5 * places["ab"].width  # a formula would leave out the signs


def test_letters_of_the_books_row_can_be_read_at_half_size() -> None:
    """The captions of six images are at least 16 pixels high at a width of 800: 7 at 350, where cells are that wide."""
    figure = grid(6)
    sizes = {text.get_fontsize() for text in figure.axes[0].texts if text.get_text() in FASHION}
    assert min(sizes) / figures._POINT >= 16


def test_confident_mistakes_are_the_wrong_ones_in_order_of_confidence() -> None:
    """Right predictions are left out however sure; the surest mistake comes first; `count` limits."""
    images, labels = examples(5)[0], np.array([0, 1, 2, 3, 4])
    predicted, confidence = np.array([0, 2, 3, 4, 5]), np.array([0.99, 0.5, 0.7, 0.6, 0.4])
    figure: Any = figures.confident_mistakes(images, labels, predicted, confidence, FASHION, count=3)
    assert [word for word in words(figure) if word.endswith("%")] == ["70%", "60%", "50%"]
    assert "The surest 3 of 4 mistakes" in words(figure)
    assert [np.array_equal(shown.get_array()[..., 0], images[i]) for shown, i in zip(
        figure.axes[0].images, (2, 3, 1), strict=True
    )] == [True] * 3  # fmt: skip
    fewer = figures.confident_mistakes(images, labels, predicted, confidence, FASHION, count=24)
    assert rows_of_images(fewer) == [4]


@pytest.mark.parametrize("count", [0, 5])
def test_no_mistakes_make_a_friendly_figure(count: int) -> None:
    """Where nothing is wrong the figure says so, with the number of images looked at."""
    images, labels, _, confidence = examples(count)
    message = [f"No mistakes among {count} images."]
    assert words(figures.confident_mistakes(images, labels, labels, confidence, FASHION)) == message
    assert words(figures.mistakes_by_pair(images, labels, labels, FASHION)) == message


def test_mistakes_by_pair_rank_the_pairs() -> None:
    """Pairs come by number of mistakes, with that number and the size of the class; a row shows the surest first."""
    labels = np.array([6, 6, 6, 6, 0, 2, 2])
    predicted = np.array([0, 0, 2, 6, 0, 4, 4])
    confidence = np.array([0.4, 0.9, 0.5, 1, 1, 0.3, 0.2])
    figure: Any = figures.mistakes_by_pair(examples(7)[0], labels, predicted, FASHION, confidence=confidence, pairs=2)
    shown = words(figure)
    assert [word for word in shown if "→" in word][:2] == ["Pullover → Coat   2 of 2", "Shirt → T-shirt/top   2 of 4"]
    assert [word for word in shown if word.endswith("%")] == ["30%", "20%", "90%", "40%"]
    assert "5 mistakes, by pair" in shown
    assert rows_of_images(figure) == [2, 2]


def test_disagreements_are_sorted_by_who_is_right() -> None:
    """Each group is counted in full, and its tiles tell the truth and both predictions."""
    labels = np.array([0, 0, 1, 2, 3])
    a, b = np.array([0, 0, 2, 3, 3]), np.array([1, 2, 1, 4, 3])
    figure: Any = figures.disagreements(examples(5)[0], labels, a, b, FASHION, names=("old", "new"), examples=1)
    shown = words(figure)
    assert {"Only A is right: 2 images", "Only B is right: 1 images", "Both are wrong, but differ: 1 images"} <= set(
        shown
    )
    assert {"A = old", "B = new", "A Pullover", "B Trouser"} <= set(shown)
    assert rows_of_images(figure) == [1, 1, 1]
    same = figures.disagreements(examples(5)[0], labels, a, a, FASHION, names=("old", "new"))
    assert words(same) == ["old and new predict the same for all 5 images."]


def test_weights_are_one_image_a_class_on_one_symmetric_scale() -> None:
    """Each class shows its own weights, (K, D) row by row; white is zero; `vmax` fixes the scale of a series."""
    weight = np.random.default_rng(0).normal(size=(10, 6))
    figure: Any = figures.weight_images(weight, (2, 3), FASHION, epoch=4, vmax=2.5)
    *tiles, bar = figure.axes[0].images
    assert np.array_equal([tile.get_array() for tile in tiles], weight.reshape(10, 2, 3))
    assert {tile.get_clim() for tile in (*tiles, bar)} == {(-2.5, 2.5)}
    assert rows_of_images(figure) == [6, 5]  # two rows of five, the colour bar beside the first
    shown = words(figure)
    assert {"+2.5", "0", "−2.5", "Weights, epoch 4: red for the class, blue against it"} <= set(shown)
    assert [word for word in shown if word in FASHION] == list(FASHION)


@pytest.mark.parametrize("weight", [np.zeros((2, 4)), np.full((2, 4), np.nan)])
def test_weights_that_are_zero_or_undefined_are_still_drawn(weight: Array) -> None:
    """A start from zero, or a run that blew up, gives a figure and no warning."""
    assert figures.pixels(figures.weight_images(weight, (2, 2), ("no", "yes"))).any()


def test_an_own_picture_shows_what_was_given_and_what_was_seen() -> None:
    """Both sizes are written, the likeliest class is the headline, and each class has its probability."""
    chances = np.array([0.1, 0.65, 0.25])
    figure: Any = figures.own_picture(
        np.zeros((1500, 2000), np.uint8), np.zeros((28, 28), np.uint8), chances, ("cat", "dog", "owl")
    )
    shown = words(figure)
    assert {"your picture, 2000 × 1500", "what the model saw, 28 × 28", "dog, 65%"} <= set(shown)
    assert [word for word in shown if word in ("10%", "65%", "25%")] == ["10%", "65%", "25%"]


# ---------------------------------------------------------------------------------------------------- evaluation


def test_confusion_cells_hold_counts_or_percent_of_the_actual_class() -> None:
    """Rows are actual classes: [[8, 2], [1, 3]] is 80 and 20, 25 and 75 percent; a zero stays '0'."""
    counts = np.array([[8, 2, 0], [1, 3, 0], [0, 0, 0]])
    plain = words(figures.confusion_matrix(counts, ("a", "b", "c")))
    assert [word for word in plain if word.isdigit()] == ["8", "2", "0", "1", "3", "0", "0", "0", "0"]
    share = words(figures.confusion_matrix(counts, ("a", "b", "c"), normalize=True))
    cells = [word for word in share if word[0].isdigit()]
    assert cells == ["80.0", "20.0", "0", "25.0", "75.0", "0", "0", "0", "0"]
    assert plain.count("a") == share.count("a") == 2


def test_bars_are_as_long_as_the_measures() -> None:
    """Three bars a class; an undefined measure has none, and its F1 is a dash."""
    values = np.array([[0.5, np.nan], [0.25, 0.0], [0.3333, np.nan]])
    figure: Any = figures.per_class_bars(values[0], values[1], values[2], ("a", "b"))
    lengths = np.array([patch.get_width() for patch in figure.axes[0].patches]).reshape(3, 2)
    assert np.array_equal(lengths, np.nan_to_num(values))
    assert {"0.33", "–"} <= set(words(figure))


def test_reliability_bars_are_the_accuracy_of_filled_bins() -> None:
    """Empty bins have no bar above and none below; the error is written."""
    figure = reliability(4)
    heights = [patch.get_height() for patch in figure.axes[0].patches]
    assert heights == pytest.approx([0.375**2, 0.625**2, 0.875**2], abs=1e-12)
    assert [patch.get_height() for patch in figure.axes[1].patches] == [0, 1000, 2000, 3000]
    assert {"ECE 0.0123", "6,000 examples, by confidence"} <= set(words(figure))


def test_risk_coverage_names_the_accuracy_of_all_of_80_and_of_50_percent() -> None:
    """The curve is the one given, with three points written out."""
    coverage = np.arange(1, 11) / 10
    figure: Any = figures.risk_coverage(coverage, 1 - coverage / 5)
    assert np.array_equal(figure.axes[0].lines[0].get_xydata(), np.stack([coverage, 1 - coverage / 5], axis=1))
    assert {"90.0%", "84.0%", "80.0%"} <= set(words(figure))


def test_decision_regions_paint_what_the_model_predicts() -> None:
    """The ground takes the colour of the predicted class; wrong examples are counted and edged in black."""
    points = np.array([[2.0, -1.0], [-1.0, 2.0], [-2.0, -2.0], [2.0, 1.0]])
    figure: Any = figures.decision_regions(points, np.array([0, 1, 2, 1]), nearest_corner, ("a", "b", "c"))
    axes = figure.axes[0]
    picture = axes.images[0].get_array()
    assert len({tuple(np.round(corner, 6)) for corner in (picture[0, -1], picture[-1, 0], picture[0, 0])}) == 3
    edges = [(len(group.get_offsets()), tuple(group.get_edgecolor()[0][:3])) for group in axes.collections]
    assert [count for count, edge in edges if edge == (0, 0, 0)] == [0, 1, 0]
    assert [count for count, edge in edges if edge == (1, 1, 1)] == [1, 1, 1]
    assert "1 of 4 wrong (black edge)" in words(figure)


def test_class_differences_point_to_the_better_model() -> None:
    """The bar at the right is B - A in percentage points, right of zero where B is better."""
    figure: Any = figures.class_differences(
        np.array([0.5, 0.8]), np.array([0.75, 0.7]), ("a", "b"), names=("old", "new")
    )
    lengths = [patch.get_width() for patch in figure.axes[1].patches]
    assert lengths == pytest.approx([25, -10], abs=1e-9)  # differences of decimal fractions are not exact
    assert {"A = old", "B = new"} <= set(words(figure))


# ---------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: figures.prediction_grid(IMAGES[0], TWO, TWO, DIGITS), r"\(N, height, width\), found \(8, 8\)"),
        (lambda: figures.prediction_grid(IMAGES, TWO, TWO[:1], DIGITS), "images 2, labels 2, predicted 1"),
        (lambda: figures.prediction_grid(IMAGES, TWO, TWO + 9, DIGITS), r"predicted must lie in \[0, 10\).*9 to 10"),
        (lambda: figures.prediction_grid(IMAGES, TWO - 1, TWO, DIGITS), "labels must lie in .* found -1 to 0"),
        (lambda: figures.prediction_grid(IMAGES, TWO / 2, TWO, DIGITS), "labels must be integers, found float64"),
        (lambda: figures.prediction_grid(IMAGES, TWO, TWO, DIGITS, probabilities=np.ones(3)), "probabilities 3"),
        (lambda: figures.confident_mistakes(IMAGES, TWO, TWO, np.ones(1), DIGITS), "confidence 1"),
        (lambda: figures.mistakes_by_pair(IMAGES, TWO, TWO[:0], DIGITS), "predicted 0"),
        (lambda: figures.disagreements(IMAGES, TWO, TWO, TWO[:1], DIGITS), "a 2, b 1"),
        (lambda: figures.weight_images(np.zeros((64, 10)), (8, 8), DIGITS), r"\(10, 64\).*found \(64, 10\)"),
        (lambda: figures.confusion_matrix(np.zeros((2, 3)), ("a", "b")), r"\(2, 2\).*found \(2, 3\)"),
        (lambda: figures.per_class_bars(TWO, TWO, TWO, DIGITS), "class_names 10"),
        (lambda: figures.reliability_diagram(TWO, TWO, TWO[:1], ece=0), "counts 1"),
        (lambda: figures.risk_coverage(TWO, TWO[:1]), "accuracy 1"),
        (lambda: figures.risk_coverage(TWO[:0], TWO[:0]), "at least one point"),
        (lambda: figures.decision_regions(np.zeros((4, 3)), np.zeros(4, int), nearest_corner, DIGITS), "two features"),
        (lambda: figures.decision_regions(np.zeros((4, 2)), TWO, nearest_corner, DIGITS), "labels 2"),
        (lambda: figures.class_differences(TWO, TWO, ("a", "b", "c")), "class_names 3"),
        (lambda: figures.class_differences(TWO, TWO, ("a", "b"), intervals=np.zeros(2)), r"\(2, 2\)"),
        (lambda: figures.own_picture(IMAGES[0, 0], IMAGES[0], TWO, ("a", "b")), "pass one picture"),
        (lambda: figures.own_picture(IMAGES[0], IMAGES[0], TWO, DIGITS), "class_names 10"),
        (lambda: figures.compare_curves({}), "at least one run"),
        (lambda: figures.training_curves({"train_loss": [1.0]}), "column train_accuracy, found train_loss"),
        (lambda: figures.training_curves(history(2) | {"test_loss": [1.0]}), "test_loss 1"),
        (lambda: figures.training_curves_book(history(0)), "at least one epoch"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_one_line(draw: Callable[[], Any], message: str) -> None:
    """A wrong shape or class raises ValueError with what was wanted and what was found, in one line."""
    with pytest.raises(ValueError, match=message) as caught:
        draw()
    assert "\n" not in str(caught.value)
