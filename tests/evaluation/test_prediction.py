"""The predict stage's grids."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_data

from softmax_regression.artifacts.model import Model
from softmax_regression.data.datasets import Examples
from softmax_regression.evaluation.prediction import write_predictions
from softmax_regression.plots import quality

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


def test_points_are_drawn_as_decision_regions(tmp_path: Path) -> None:
    """Data with two features has no images: one picture of the regions."""
    model = Model({"weight": np.eye(2, dtype=np.float32)}, "made", ("left", "right"), (2,), 1.0)
    points = Examples(np.random.default_rng(0).normal(size=(20, 2)), np.arange(20, dtype=np.uint8) % 2)
    write_predictions(tmp_path, model, points, 6)
    assert {path.name for path in tmp_path.iterdir()} == {"first.png", "first.svg"}


def test_packed_points_are_drawn_as_the_features_they_stand_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stored integers are divided by their scales before they are drawn, and the regions are those of the features."""
    drawn = {}

    def record(features: np.ndarray, labels: np.ndarray, predict: Any, *args: Any, **options: Any) -> Any:
        drawn["features"], drawn["predicted"] = features, predict(features)
        return draw(features, labels, predict, *args, **options)

    draw = quality.decision_regions
    monkeypatch.setattr(quality, "decision_regions", record)
    stored, scale = np.array([[8192, 0], [0, 8192], [4096, 8192]], np.int16), (2.0**12, 2.0**14)
    model = Model({"weight": np.eye(2, dtype=np.float32)}, "made", ("left", "right"), (2,), scale)
    write_predictions(tmp_path, model, Examples(stored, np.array([0, 1, 1], np.uint8)), 6)
    assert drawn["features"].tolist() == [[2, 0], [0, 0.5], [1, 0.5]]
    assert drawn["predicted"].tolist() == [0, 1, 0]
