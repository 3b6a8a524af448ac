"""The trained model as arrays: what it answers, and the two files that keep it."""

import json
from pathlib import Path

import numpy as np
import pytest
import small_data
import torch
from torch import nn

from softmax_regression.artifacts.model import Model, read_model, read_tensors, write_model
from softmax_regression.data.datasets import Dataset

WEIGHT = (np.arange(12).reshape(3, 4) / 7).astype(np.float32)
BIAS = np.array([0.5, -0.5, 0.0], dtype=np.float32)
NAMES = ("a", "b", "c")


@pytest.fixture
def dataset() -> Dataset:
    """Make a data set of 2x2 images in three classes."""
    train, test = (small_data.make_examples(9, (2, 2), 3, seed=seed) for seed in (1, 2))
    return Dataset("small", NAMES, 255, train, test)


def model_of(tensors: dict[str, np.ndarray], shape: tuple[int, ...] = (2, 2)) -> Model:
    """Make a model of 2x2 images in three classes."""
    return Model(tensors, "small", NAMES, shape, 255.0)


def sequential(bias: bool) -> tuple[nn.Sequential, dict[str, np.ndarray]]:
    """Return torch's network with two hidden layers, in float64 of float32 values, and its arrays by our names."""
    torch.manual_seed(0)
    layers = [nn.Linear(4, 6, bias=bias), nn.Linear(6, 5, bias=bias), nn.Linear(5, 3, bias=bias)]
    arrays = {
        f"{prefix}{name}": parameter.detach().numpy().copy()
        for prefix, layer in zip(("hidden.0.", "hidden.1.", ""), layers, strict=True)
        for name, parameter in layer.named_parameters()
    }
    first, second, last = layers
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last).double(), arrays


@pytest.mark.parametrize("tensors", [{"weight": WEIGHT}, {"weight": WEIGHT, "bias": BIAS}, sequential(bias=True)[1]])
def test_the_files_keep_every_bit(tmp_path: Path, dataset: Dataset, tensors: dict[str, np.ndarray]) -> None:
    """Arrays are read back as they were, to the last bit and under their names, with what is needed to use them."""
    write_model(tmp_path, tensors, dataset)
    model = read_model(tmp_path)
    assert model.tensors.keys() == tensors.keys()
    for name, array in tensors.items():
        np.testing.assert_array_equal(model.tensors[name], array, strict=True)
    assert (model.data, model.class_names, model.example_shape, model.scale) == ("small", NAMES, (2, 2), 255)
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", "model.json"}


def test_arrays_may_be_views(tmp_path: Path, dataset: Dataset) -> None:
    """An array that is stored class by class comes back as it reads, not as it lies in memory."""
    write_model(tmp_path, {"weight": WEIGHT.T.copy().T}, dataset)
    np.testing.assert_array_equal(read_model(tmp_path).tensors["weight"], WEIGHT)


def test_equal_models_write_equal_bytes(tmp_path: Path, dataset: Dataset) -> None:
    """Nothing random or dated is in the files, and the order of the arrays does not matter."""
    write_model(tmp_path / "first", {"weight": WEIGHT, "bias": BIAS}, dataset)
    write_model(tmp_path / "second", {"bias": BIAS, "weight": WEIGHT}, dataset)
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


def test_the_model_answers_as_worked_by_hand() -> None:
    """logits = pixels / scale W^T + b; probabilities sum to one at huge logits too."""
    white = np.full((1, 2, 2), 255, np.uint8)
    # float32 sums of four terms
    np.testing.assert_allclose(model_of({"weight": WEIGHT}).logits(white), WEIGHT.sum(axis=1)[None], rtol=1e-6)
    with_bias = model_of({"weight": WEIGHT, "bias": BIAS}).logits(white)
    np.testing.assert_allclose(with_bias, (WEIGHT.sum(axis=1) + BIAS)[None], rtol=1e-6)
    huge = np.full((1, 2, 2), 255e6)
    np.testing.assert_allclose(model_of({"weight": WEIGHT}).probabilities(huge), [[0, 0, 1]], atol=1e-12)


def test_equal_logits_are_equal_probabilities() -> None:
    """Zero weights give each of three classes a third."""
    zero = model_of({"weight": np.zeros((3, 4), np.float32)})
    np.testing.assert_allclose(zero.probabilities(np.ones((2, 2, 2))), np.full((2, 3), 1 / 3), rtol=1e-15)


@pytest.mark.parametrize("bias", [False, True])
def test_hidden_layers_are_those_of_torch(bias: bool) -> None:
    """With two hidden layers the logits are those of nn.Linear and nn.ReLU in a row."""
    network, tensors = sequential(bias)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 2, 2)).astype(np.uint8)
    with torch.no_grad():
        expected = network(torch.from_numpy(pixels.reshape(20, 4) / 255)).numpy()
    # float64, sums of at most six terms
    np.testing.assert_allclose(model_of(tensors).logits(pixels), expected, rtol=0, atol=1e-14)


def test_hidden_layers_bend() -> None:
    """|x| as two hidden units: an affine function of x cannot be equal at -1 and 1 and smaller between."""
    tensors = {"hidden.0.weight": np.array([[1], [-1]], np.float32), "weight": np.array([[1, 1], [0, 0]], np.float32)}
    model = Model(tensors, "line", ("far", "near"), (1,), 1.0)
    np.testing.assert_array_equal(model.logits(np.array([[-1.0], [0.0], [2.0]])), [[1, 0], [0, 0], [2, 0]])


def test_a_model_knows_whether_it_is_linear() -> None:
    """Softmax regression is, with a bias or without; one with a hidden layer is not."""
    assert model_of({"weight": WEIGHT}).is_linear
    assert model_of({"weight": WEIGHT, "bias": BIAS}).is_linear
    assert not model_of(sequential(bias=False)[1]).is_linear


@pytest.mark.parametrize(("shape", "images"), [((2, 2), True), ((4,), False), ((2, 2, 1), False)])
def test_a_model_knows_whether_it_sees_images(shape: tuple[int, ...], images: bool) -> None:
    """Height and width make a grey image; a vector of features is none."""
    assert model_of({"weight": WEIGHT}, shape).is_of_images is images


def test_no_model_says_what_to_run(tmp_path: Path) -> None:
    """A missing file is one line with the command that makes it."""
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors not found; run `dvc repro train`"):
        read_model(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"snapshots\.safetensors not found; run `dvc repro train`"):
        read_tensors(tmp_path / "snapshots.safetensors")


@pytest.mark.parametrize("damage", [lambda content: content[:-8], lambda content: b"", lambda content: b"x" * 40])
def test_damaged_arrays_say_what_to_run(tmp_path: Path, dataset: Dataset, damage: object) -> None:
    """A truncated, empty or foreign file is one line with the file's name."""
    assert callable(damage)
    write_model(tmp_path, {"weight": WEIGHT}, dataset)
    path = tmp_path / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged: .*; run `dvc repro -f train`") as caught:
        read_model(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", '{"data": "small"}', None])
def test_a_damaged_description_says_what_to_run(tmp_path: Path, dataset: Dataset, text: str | None) -> None:
    """model.json that is no JSON, lacks a key or is not there is one line, too."""
    write_model(tmp_path, {"weight": WEIGHT}, dataset)
    (tmp_path / "model.json").unlink()
    if text is not None:
        (tmp_path / "model.json").write_text(text)
    with pytest.raises(ValueError, match=r"holds no readable model: .*; run `dvc repro -f train`"):
        read_model(tmp_path)


def test_a_model_without_a_weight_is_none(tmp_path: Path, dataset: Dataset) -> None:
    """Arrays of other names make no model."""
    write_model(tmp_path, {"kernel": WEIGHT}, dataset)
    assert "kernel" not in json.loads((tmp_path / "model.json").read_text())
    with pytest.raises(ValueError, match="it has no array `weight`"):
        read_model(tmp_path)
