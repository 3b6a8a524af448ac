"""Pictures made of images show the right images, each with what is true and what was predicted."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from softmax_regression.plots import images, look
from softmax_regression.plots.look import Array

FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
DIGITS = tuple("0123456789")
LONG = tuple(f"a class with a very long name indeed, number {k}" for k in range(10))
TWO = np.array([0, 1])
BLACK = np.zeros((2, 8, 8), np.uint8)

Words = Callable[[Any], list[str]]
Written = Callable[[Any], list[tuple[str, Any]]]


def examples(count: int, shape: tuple[int, int] = (28, 28)) -> tuple[Array, Array, Array, Array]:
    """Return images (N, H, W) uint8, labels, predictions (about one in four wrong) and probabilities of these."""
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (count, *shape), dtype=np.uint8)
    labels = random.integers(0, 10, count)
    predicted = np.where(random.random(count) < 0.25, random.integers(0, 10, count), labels)
    return pictures, labels, predicted, random.uniform(0.1, 1, count)


def grid(count: int, class_names: tuple[str, ...] = FASHION) -> Any:
    """Return the prediction grid of `count` made-up images."""
    pictures, labels, predicted, _ = examples(count)
    return images.prediction_grid(pictures, labels, predicted, class_names)


def pairs(class_names: tuple[str, ...] = FASHION, *, wrong: bool = True) -> Any:
    """Return the mistakes by pair of 300 made-up examples, or of the same without a mistake."""
    pictures, labels, predicted, confidence = examples(300)
    said = predicted if wrong else labels
    return images.mistakes_by_pair(pictures, labels, said, class_names, confidence=confidence)


def weights(class_names: tuple[str, ...] = FASHION, **options: Any) -> Any:
    """Return the weight images of made-up weights."""
    weight = np.random.default_rng(0).normal(0, 0.1, (len(class_names), 784))
    return images.weight_images(weight, (28, 28), class_names, **options)


def own(class_names: tuple[str, ...] = FASHION, shape: tuple[int, ...] = (300, 400, 3)) -> Any:
    """Return a person's own picture of noise."""
    random = np.random.default_rng(0)
    share = random.dirichlet(np.ones(len(class_names)))
    original = random.integers(0, 256, shape, dtype=np.uint8)
    return images.own_picture(original, examples(1)[0][0], share, class_names, size=(4032, 3024))


DRAWN: dict[str, Callable[[], Any]] = {
    **{f"grid of {n}": lambda n=n: grid(n) for n in (1, 2, 6, 8, 9, 17, 24, 64)},  # type: ignore[misc]  # n is bound now
    "grid, digits": lambda: grid(17, DIGITS),
    "grid, long names": lambda: grid(17, LONG),
    "mistakes": lambda: images.confident_mistakes(*examples(300), FASHION),
    "mistakes, few": lambda: images.confident_mistakes(*examples(6), FASHION),
    "pairs": pairs,
    "pairs, long names": lambda: pairs(LONG),
    "weights": lambda: weights(epoch=3),
    "weights, long names": lambda: weights(LONG),
    "weights, many classes": lambda: weights(tuple(f"kind {k}" for k in range(300)), epoch=12),
    "weights, colour": lambda: images.weight_images(np.ones((10, 48)), (4, 4, 3), FASHION),
    "weights, two classes": lambda: weights(("no", "yes"), epoch=0, vmax=1.0),
    "own picture": own,
    "own picture, long names": lambda: own(LONG, (28, 28)),
    "own picture, two classes": lambda: own(("no", "yes"), (64, 30, 4)),
    "no mistakes": lambda: pairs(wrong=False),
}


def red_frames(figure: Any) -> int:
    """Return how many unfilled red rectangles a figure has."""
    red = tuple(int(look.RED[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return sum(not patch.get_fill() and patch.get_edgecolor()[:3] == red for patch in figure.axes[0].patches)


def rows_of_images(figure: Any) -> list[int]:
    """Return how many images are in each row, from the top."""
    tops = [image.get_extent()[3] for image in figure.axes[0].images]
    return [tops.count(top) for top in sorted(set(tops))]


@pytest.mark.parametrize("name", DRAWN)
def test_words_neither_overlap_nor_leave_the_figure(name: str, check_words: Callable[[Any], None]) -> None:
    """At 1 to 64 images, with short and long class names, no two texts overlap and none is cut off."""
    check_words(DRAWN[name]())


def test_the_grid_titles_each_image_with_the_true_over_the_predicted_label(words: Words, written: Written) -> None:
    """The true label is above the predicted one, both above the image; the wrong one alone is framed and marked."""
    figure: Any = images.prediction_grid(examples(3)[0], np.array([9, 2, 6]), np.array([9, 2, 0]), FASHION)
    places = dict(written(figure))
    assert words(figure)[:2] == ["Ankle boot", "Ankle boot"]
    assert places["Shirt"].y0 >= places["T-shirt/top"].y1 - 1
    assert places["Shirt"].x0 + places["Shirt"].width / 2 == pytest.approx(
        places["T-shirt/top"].x0 + places["T-shirt/top"].width / 2, abs=1.5
    )  # centred alike, to the pixel to which letters are rounded
    assert red_frames(figure) == 1
    assert words(figure).count("✗") == 1


@pytest.mark.parametrize("predicted", [[0, 1, 2], [1, 2, 0]])
def test_frames_and_marks_count_the_wrong_ones(predicted: list[int], words: Words) -> None:
    """No frame where all are right, one for each where all are wrong."""
    figure: Any = images.prediction_grid(examples(3)[0], np.arange(3), np.array(predicted), FASHION)
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
def test_images_are_drawn_upright_pixel_by_pixel(shape: tuple[int, int], pixels: Callable[[Any], Array]) -> None:
    """Each pixel of an image becomes a square of equal pixels on the figure, rows from top to bottom."""
    image = examples(1, shape)[0][0]
    figure: Any = images.prediction_grid(image[None], np.array([3]), np.array([3]), FASHION)
    left, right, bottom, top = (int(edge) for edge in figure.axes[0].images[0].get_extent())
    scale = (right - left) // shape[1]
    assert scale > 1
    drawn = pixels(figure)[top:bottom, left:right, 0]
    assert np.array_equal(drawn, np.kron(image, np.ones((scale, scale), np.uint8)))


def test_other_scales_than_bytes_are_drawn_from_black_to_white() -> None:
    """Pixels from 0 to 16, as in digits, use the whole range of greys."""
    image = np.linspace(0, 16, 64).reshape(1, 8, 8)
    figure: Any = images.prediction_grid(image, np.array([1]), np.array([1]), DIGITS)
    grey = np.asarray(figure.axes[0].images[0].get_array())
    assert (grey.min(), grey.max()) == (0, 255)
    assert np.array_equal(grey[..., 0].ravel(), np.round(image.ravel() * 255 / 16))


def test_colour_is_drawn_as_it_is() -> None:
    """Images (N, H, W, 3) reach the figure unchanged."""
    pictures = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), dtype=np.uint8)
    figure: Any = images.prediction_grid(pictures, TWO, TWO, DIGITS)
    assert np.array_equal([shown.get_array() for shown in figure.axes[0].images], pictures)


def test_probabilities_never_claim_certainty(words: Words) -> None:
    """0.999 is written '>99%', not '100%'; 0.002 '<1%', not '0%'."""
    pictures, labels, _, _ = examples(4)
    chances = np.array([0.999, 1.0, 0.002, 0.8312])
    shown = words(images.confident_mistakes(pictures, labels, (labels + 1) % 10, chances, FASHION))
    assert [word for word in shown if word.endswith("%")] == ["100%", ">99%", "83%", "<1%"]  # the surest first


def test_a_dollar_sign_in_a_class_name_is_a_dollar_sign(written: Written) -> None:
    """Class names are words, never formulas: '$ab$' is drawn with its dollar signs, wider than 'ab'."""
    places = dict(written(images.prediction_grid(BLACK, TWO, TWO, ("$ab$", "ab"))))
    assert places["$ab$"].width > 1.5 * places["ab"].width  # a formula would leave out the signs


def test_letters_of_the_books_row_can_be_read_at_half_size() -> None:
    """The captions of six images are at least 16 pixels high at a width of 800: 7 at 350, where cells are that wide."""
    figure = grid(6)
    sizes = {text.get_fontsize() for text in figure.axes[0].texts if text.get_text() in FASHION}
    assert min(sizes) / look.POINT >= 16


def test_confident_mistakes_are_the_wrong_ones_in_order_of_confidence(words: Words) -> None:
    """Right predictions are left out however sure; the surest mistake comes first."""
    pictures, labels = examples(5)[0], np.array([0, 1, 2, 3, 4])
    predicted, confidence = np.array([0, 2, 3, 4, 5]), np.array([0.99, 0.5, 0.7, 0.6, 0.4])
    figure: Any = images.confident_mistakes(pictures, labels, predicted, confidence, FASHION)
    assert [word for word in words(figure) if word.endswith("%")] == ["70%", "60%", "50%", "40%"]
    assert "The surest 4 of 4 mistakes" in words(figure)
    assert [np.array_equal(shown.get_array()[..., 0], pictures[i]) for shown, i in zip(
        figure.axes[0].images, (2, 3, 1, 4), strict=True
    )] == [True] * 4  # fmt: skip
    assert rows_of_images(figure) == [4]


def test_at_most_24_confident_mistakes_are_shown(words: Words) -> None:
    """Of 30 mistakes the 24 surest are drawn, and the title says of how many."""
    labels, confidence = np.zeros(30, int), np.linspace(0.3, 0.88, 30)  # in steps of 2%
    figure: Any = images.confident_mistakes(examples(30)[0], labels, labels + 1, confidence, FASHION)
    assert "The surest 24 of 30 mistakes" in words(figure)
    assert [word for word in words(figure) if word.endswith("%")] == [f"{88 - 2 * k}%" for k in range(24)]
    assert rows_of_images(figure) == [8] * 3


@pytest.mark.parametrize("count", [0, 5])
def test_no_mistakes_make_a_friendly_figure(count: int, words: Words) -> None:
    """Where nothing is wrong the figure says so, with the number of images looked at."""
    pictures, labels, _, confidence = examples(count)
    message = [f"No mistakes among {count} images."]
    assert words(images.confident_mistakes(pictures, labels, labels, confidence, FASHION)) == message
    assert words(images.mistakes_by_pair(pictures, labels, labels, FASHION, confidence=confidence)) == message


def test_mistakes_by_pair_rank_the_pairs(words: Words) -> None:
    """Pairs come by number of mistakes, with that number and the size of the class; a row shows the surest first."""
    labels = np.array([6, 6, 6, 6, 0, 2, 2])
    predicted = np.array([0, 0, 2, 6, 0, 4, 4])
    confidence = np.array([0.4, 0.9, 0.5, 1, 1, 0.3, 0.2])
    figure: Any = images.mistakes_by_pair(examples(7)[0], labels, predicted, FASHION, confidence=confidence)
    shown = words(figure)
    assert [word for word in shown if "→" in word][:3] == [
        "Pullover → Coat   2 of 2",
        "Shirt → T-shirt/top   2 of 4",
        "Shirt → Pullover   1 of 4",
    ]
    assert [word for word in shown if word.endswith("%")] == ["30%", "20%", "90%", "40%", "50%"]
    assert "5 mistakes, by pair" in shown
    assert rows_of_images(figure) == [2, 2, 1]


def test_at_most_six_pairs_with_eight_images_each_are_shown() -> None:
    """Of eight pairs with nine mistakes each, six rows of eight images are drawn."""
    labels = np.repeat(np.arange(8), 9)
    figure: Any = images.mistakes_by_pair(examples(72)[0], labels, labels + 1, FASHION, confidence=np.ones(72))
    assert rows_of_images(figure) == [8] * 6


def test_weights_are_one_image_a_class_on_one_symmetric_scale(words: Words) -> None:
    """Each class shows its own weights, (K, D) row by row; white is zero; `vmax` fixes the scale of a series."""
    weight = np.random.default_rng(0).normal(size=(10, 6))
    figure: Any = images.weight_images(weight, (2, 3), FASHION, epoch=4, vmax=2.5)
    *tiles, bar = figure.axes[0].images
    assert np.array_equal([tile.get_array() for tile in tiles], weight.reshape(10, 2, 3))
    assert {tile.get_clim() for tile in (*tiles, bar)} == {(-2.5, 2.5)}
    assert rows_of_images(figure) == [6, 5]  # two rows of five, the colour bar beside the first
    shown = words(figure)
    assert {"+2.5", "0", "−2.5", "Weights, epoch 4: red for the class, blue against it"} <= set(shown)
    assert [word for word in shown if word in FASHION] == list(FASHION)


def test_weights_of_colour_are_grey_at_zero(words: Words) -> None:
    """A weight of vmax is full colour, 0 mid-grey, -vmax or less none; the title is whole."""
    weight = np.array([[2.0, 0.0, -3.0]] * 2)
    figure: Any = images.weight_images(weight, (1, 1, 3), ("no", "yes"), epoch=100, vmax=2.0)
    assert np.asarray(figure.axes[0].images[0].get_array()).tolist() == [[[1, 0.5, 0]]]
    assert words(figure)[0] == "Weights, epoch 100: bright for the class, dark against it"


def test_of_many_classes_the_first_20_have_an_image(words: Words) -> None:
    """The title says of how many."""
    figure: Any = weights(tuple(f"kind {k}" for k in range(300)))
    assert len(figure.axes[0].images) == 20 + 1
    assert words(figure)[0] == "Weights: the first 20 of 300 classes"


@pytest.mark.parametrize("weight", [np.zeros((2, 4)), np.full((2, 4), np.nan)])
def test_weights_that_are_zero_or_undefined_are_still_drawn(weight: Array, pixels: Callable[[Any], Array]) -> None:
    """A start from zero, or a run that blew up, gives a figure and no warning."""
    assert pixels(images.weight_images(weight, (2, 2), ("no", "yes"))).any()
    assert pixels(images.weight_images(weight[:, :3], (1, 1, 3), ("no", "yes"))).any()


def test_an_own_picture_shows_what_was_given_and_what_was_seen(words: Words) -> None:
    """Both sizes are written, the likeliest class is the headline, and each class has its probability."""
    chances = np.array([0.1, 0.65, 0.25])
    figure: Any = images.own_picture(
        np.zeros((384, 512), np.uint8),
        np.zeros((28, 28), np.uint8),
        chances,
        ("cat", "dog", "owl"),
        size=(2000, 1500),
    )
    shown = words(figure)
    assert {"your picture, 2000 × 1500", "what the model saw, 28 × 28", "dog, 65%"} <= set(shown)
    assert [word for word in shown if word in ("10%", "65%", "25%")] == ["10%", "65%", "25%"]
