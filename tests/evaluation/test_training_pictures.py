"""The pictures of a training, which the evaluate stage draws."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.artifacts.model import Model
from softmax_regression.artifacts.outcome import Epoch, History, Trained
from softmax_regression.evaluation.training_pictures import live_curves, write_training_pictures

HISTORY = History("test", tuple(Epoch(epoch, 1 / epoch, 0.5, 1 / epoch, 0.5, 0.1) for epoch in (1, 2, 3)))
WEIGHT = np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)
SNAPSHOTS = {0: WEIGHT * 0, 3: WEIGHT}


def trained(shape: tuple[int, ...] = (4, 4), **hidden: np.ndarray) -> Trained:
    """Return a training on examples of 16 features in this shape."""
    tensors = {"weight": WEIGHT, **{name.replace("__", "."): array for name, array in hidden.items()}}
    model = Model(tensors, "small", ("a", "b", "c"), shape, 255.0)
    return Trained(Experiment({}, {}), model, HISTORY, SNAPSHOTS)


def figures(folder: Path) -> set[str]:
    """Return the names of the figures; each is there as PNG and SVG."""
    names = {path.stem for path in folder.glob("*.png")}
    assert {path.stem for path in folder.glob("*.svg")} == names
    return names


def test_images_get_curves_and_a_series_of_weights(tmp_path: Path) -> None:
    """Curves in both forms, the last weights, and a picture of the weights for every snapshot, by its epoch."""
    write_training_pictures(tmp_path, trained())
    assert figures(tmp_path) == {"curves", "curves_book", "weights"}
    series = sorted((tmp_path / "series" / "weights").iterdir())
    assert [path.name for path in series] == ["000.png", "003.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in series)
    assert series[0].read_bytes() != series[1].read_bytes()


def test_equal_trainings_have_equal_pictures(tmp_path: Path) -> None:
    """Nothing random or dated is in them."""
    for folder in ("first", "second"):
        write_training_pictures(tmp_path / folder, trained())
    for path in (tmp_path / "first").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "second" / path.relative_to(tmp_path / "first")).read_bytes()


def test_vectors_have_a_table_of_weights(tmp_path: Path) -> None:
    """For plain features the last weights are drawn by feature, without a series."""
    write_training_pictures(tmp_path, trained(shape=(16,)))
    assert figures(tmp_path) == {"curves", "curves_book", "weights"}
    assert not (tmp_path / "series").exists()


def test_colour_pictures_have_a_series_of_weights(tmp_path: Path) -> None:
    """Weights of height x width x 3 values are drawn in colour, epoch by epoch."""
    colour = trained(shape=(2, 4, 3))
    weight = np.random.default_rng(0).normal(size=(3, 24)).astype(np.float32)
    model = replace(colour.model, tensors={"weight": weight})
    write_training_pictures(tmp_path, replace(colour, model=model, snapshots={0: weight * 0, 3: weight}))
    assert figures(tmp_path) == {"curves", "curves_book", "weights"}
    assert len(list((tmp_path / "series" / "weights").iterdir())) == 2


def test_rates_that_are_no_numbers_are_no_matter(tmp_path: Path) -> None:
    """A solver without a learning rate has one that is NaN, and ends when it has converged: curves are drawn."""
    short = History("test", (Epoch(1, 0.5, 0.5, 0.5, 0.5, float("nan")), Epoch(2, 0.4, 0.6, 0.5, 0.5, 0.0)))
    write_training_pictures(tmp_path, replace(trained(), history=short))
    assert figures(tmp_path) == {"curves", "curves_book", "weights"}


def test_a_model_with_hidden_layers_has_no_pictures_of_weights(tmp_path: Path) -> None:
    """Its last layer's weights are no images of the pixels."""
    write_training_pictures(tmp_path, trained(hidden__0__weight=np.eye(16, dtype=np.float32)))
    assert figures(tmp_path) == {"curves", "curves_book"}
    assert not (tmp_path / "series").exists()


def test_live_curves_are_a_png_from_the_first_epoch_on() -> None:
    """A training under way has a picture after one epoch, too."""
    assert live_curves(History("validation", HISTORY.epochs[:1]), 10).startswith(b"\x89PNG")
