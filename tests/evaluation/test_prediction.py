"""The predict stage's grids, rows and table."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_data
from PIL import Image

from softmax_regression.artifacts.model import Model
from softmax_regression.data.datasets import Examples, Standardisation
from softmax_regression.evaluation.prediction import _Pictures, write_predictions

IMAGES = small_data.make_examples(40, (6, 6), 3, seed=2)


def image_model(weight: np.ndarray) -> Model:
    """Make a model of 6x6 images in three classes."""
    return Model({"weight": weight.astype(np.float32)}, "small", ("a", "b", "c"), (6, 6), 255.0)


def test_images_have_three_grids(tmp_path: Path) -> None:
    """The first images, the surest mistakes, and mistakes by pair, each as PNG and SVG."""
    model = image_model(np.random.default_rng(0).normal(size=(3, 36)))
    write_predictions(tmp_path, model, IMAGES, 6)
    expected = {
        f"{name}.{kind}" for name in ("first", "confident_mistakes", "mistakes_by_pair") for kind in ("png", "svg")
    }
    assert {path.name for path in tmp_path.iterdir()} == expected


def test_the_number_of_images_is_as_asked(tmp_path: Path) -> None:
    """Another count is another picture; more than there are shows all of them."""
    for count in (1, 40, 64):
        write_predictions(tmp_path / str(count), image_model(np.zeros((3, 36))), IMAGES, count)
    one, forty, all_of_them = ((tmp_path / count / "first.png").read_bytes() for count in ("1", "40", "64"))
    assert one != forty
    assert forty == all_of_them


PICTURES = ("first", "confident_mistakes", "mistakes_by_pair")
VECTORS = np.array([[3.0, 1.0], [1.0, 3.0], [5.0, 0.5]])


def table(folder: Path, model: Model, vectors: np.ndarray, labels: list[int]) -> list[dict[str, str]]:
    """Write the predictions on vectors and return the rows of first.csv."""
    write_predictions(folder, model, Examples(vectors, np.array(labels, np.uint8)), 2)
    with (folder / "first.csv").open() as file:
        return list(csv.DictReader(file))


def test_vectors_have_a_table_and_the_same_pictures(tmp_path: Path) -> None:
    """Plain vectors stand in rows: features, true class, label, the probability of each class; and three pictures."""
    model = Model({"weight": np.eye(2, dtype=np.float32)}, "made", ("left", "right"), (2,), 1.0, ("across", "up"))
    rows = table(tmp_path, model, VECTORS, [0, 0, 0])
    assert list(rows[0]) == ["index", "across", "up", "true", "label", "P(left)", "P(right)"]
    assert [row["index"] for row in rows] == ["0", "1", "2"]
    assert [row["label"] for row in rows] == ["left", "right", "left"]
    assert (rows[2]["across"], rows[2]["up"], rows[2]["true"]) == ("5.0", "0.5", "left")
    # 1 / (1 + e^-2), to the six digits that are written
    assert float(rows[0]["P(left)"]) == pytest.approx(1 / (1 + np.exp(-2)), abs=5e-7)
    expected = {f"{name}.{kind}" for name in PICTURES for kind in ("png", "svg")}
    assert {path.name for path in tmp_path.iterdir()} == {*expected, "first.csv"}


def test_features_are_written_as_they_were_given(tmp_path: Path) -> None:
    """Packed and standardised features are brought back: (stored / scale) x deviation + mean."""
    standardised = Standardisation((10.0, 100.0), (2.0, 50.0))
    weight = {"weight": np.eye(2, dtype=np.float32)}
    model = Model(weight, "made", ("left", "right"), (2,), (2.0**12, 2.0**13), (), standardised)
    raw = np.array([[12.3, 75.0], [8.0, 180.5]])
    rows = table(tmp_path, model, model.stored(raw), [0, 1])
    assert [[float(row["feature 1"]), float(row["feature 2"])] for row in rows] == raw.tolist()


def test_of_many_classes_the_likeliest_three_are_written(tmp_path: Path) -> None:
    """Above a hundred classes the table names three with their probabilities, and many features are left out."""
    names = tuple(f"kind {k}" for k in range(101))
    model = Model({"weight": np.eye(101, dtype=np.float32) * 5}, "made", names, (101,), 1.0)
    vectors = np.zeros((1, 101))
    vectors[0, [4, 7, 9]] = 3, 2, 1
    (row,) = table(tmp_path, model, vectors, [7])
    assert list(row) == [
        "index",
        "true",
        *("label", "probability", "label 2", "probability 2", "label 3", "probability 3"),
    ]
    assert (row["true"], row["label"], row["label 2"], row["label 3"]) == ("kind 7", "kind 4", "kind 7", "kind 9")
    assert float(row["probability"]) > float(row["probability 2"]) > float(row["probability 3"]) > 0


def test_no_mistakes_have_pictures_too(tmp_path: Path) -> None:
    """One example, and that right: every picture is there."""
    model = Model({"weight": np.eye(2, dtype=np.float32)}, "made", ("left", "right"), (2,), 1.0)
    table(tmp_path, model, VECTORS[:1], [0])
    assert {path.stem for path in tmp_path.glob("*.png")} == set(PICTURES)


@pytest.mark.parametrize(("scale", "largest"), [(16.0, 16), (255.0, 255)])
def test_the_scale_of_pixels_is_white(scale: float, largest: int, tmp_path: Path) -> None:
    """Digits, 0 to 16, are drawn like pictures from 0 to 255."""
    bright = Examples(np.full((1, 6, 6), largest, np.uint8), np.zeros(1, np.uint8))
    write_predictions(tmp_path, replace(image_model(np.zeros((3, 36))), scale=scale), bright, 1)
    picture = np.asarray(Image.open(tmp_path / "first.png").convert("L"))
    assert picture[picture.shape[0] // 2, picture.shape[1] // 2] == 255


def test_standardised_pictures_look_as_they_were() -> None:
    """Of packed pixels the raw ones are drawn, whatever was done to them."""
    taken = Standardisation((7.0,) * 36, (5.0,) * 36)
    model = replace(image_model(np.ones((3, 36))), scale=(2.0**9,) * 36, standardisation=taken)
    packed = model.stored(IMAGES.images.reshape(40, 36)).reshape(40, 6, 6)
    # A step of the packed values is 5 / 2^9 of a pixel.
    np.testing.assert_allclose(_Pictures(model, packed)[[3, 8]], IMAGES.images[[3, 8]], atol=5 / 2**9)


def test_colour_pictures_have_grids(tmp_path: Path) -> None:
    """Pictures (N, H, W, 3) stand in the same three grids."""
    colour = small_data.make_examples(10, (4, 4, 3), 3)
    model = Model({"weight": np.ones((3, 48), np.float32)}, "small", ("a", "b", "c"), (4, 4, 3), 255.0)
    write_predictions(tmp_path, model, colour, 6)
    assert {path.stem for path in tmp_path.iterdir()} == set(PICTURES)
