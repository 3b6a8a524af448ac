"""The trained model as arrays: what it answers, and the two files that keep it."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_data
import torch
from sklearn.metrics import log_loss
from torch import nn

from softmax_regression.artifacts.model import Model, cross_entropy, read_model, read_tensors, softmax, write_model
from softmax_regression.data import npy
from softmax_regression.data.datasets import Dataset, Standardisation
from softmax_regression.download.packing import pack
from softmax_regression.download.raw import Rows
from softmax_regression.mathematics.batches import Inputs
from softmax_regression.mathematics.exact import ExactSoftmaxRegression
from softmax_regression.mathematics.implementations import build
from softmax_regression.mathematics.products import operand
from softmax_regression.params import ModelParams, load_params

WEIGHT = (np.arange(12).reshape(3, 4) / 7).astype(np.float32)
BIAS = np.array([0.5, -0.5, 0.0], dtype=np.float32)
NAMES = ("a", "b", "c")
OPTIMIZER = load_params(Path(__file__).parents[2] / "params.yaml").optimizer


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


@pytest.mark.parametrize(
    "tensors",
    [
        {"weight": WEIGHT},
        {"weight": WEIGHT, "bias": BIAS},
        {"weight": WEIGHT.astype(np.float64) / 3, "bias": BIAS.astype(np.float64) / 3},
        sequential(bias=True)[1],
    ],
)
def test_the_files_keep_every_bit(tmp_path: Path, dataset: Dataset, tensors: dict[str, np.ndarray]) -> None:
    """Arrays are read back as they were, to the last bit and under their names, with what is needed to use them."""
    write_model(tmp_path, tensors, dataset)
    model = read_model(tmp_path)
    assert model.tensors.keys() == tensors.keys()
    for name, array in tensors.items():
        np.testing.assert_array_equal(model.tensors[name], array, strict=True)
    assert (model.data, model.class_names, model.example_shape, model.scale) == ("small", NAMES, (2, 2), 255)
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", "model.json"}


def test_a_scale_for_each_feature_is_kept(tmp_path: Path, dataset: Dataset) -> None:
    """The scales of packed features are read back as they were."""
    write_model(tmp_path, {"weight": WEIGHT}, replace(dataset, scale=(0.5, 2.0**1000, 1.0, 4.0)))
    assert read_model(tmp_path).scale == (0.5, 2.0**1000, 1.0, 4.0)


def test_names_and_standardisation_of_features_are_kept(tmp_path: Path, dataset: Dataset) -> None:
    """What it takes to use raw features is read back to the last bit; so is whether pictures are framed."""
    taken = Standardisation((0.1, 2.0, 3.0, -4.0), (1 / 3, 1.0, 2.0, 1e-30))
    described = replace(dataset, scale=(1.0,) * 4, feature_names=("a", "b", "c", "d é"), standardisation=taken)
    write_model(tmp_path, {"weight": WEIGHT}, replace(described, report={"framed": False}))
    model = read_model(tmp_path)
    assert (model.feature_names, model.standardisation, model.framed) == (("a", "b", "c", "d é"), taken, False)
    write_model(tmp_path, {"weight": WEIGHT}, dataset)
    model = read_model(tmp_path)
    assert (model.feature_names, model.standardisation, model.framed) == ((), None, True)


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("num_features", [3, 8193])
def test_raw_features_are_stored_as_the_download_stage_does_it(
    tmp_path: Path, standardise: bool, num_features: int
) -> None:
    """The same integers come of raw features as lie in the prepared folder; beyond the range, the nearest end."""
    draw = np.random.default_rng(0)
    train, test = (draw.normal(5, 3, (rows, num_features)) for rows in (9, 4))
    packed = pack(Rows(((train, None),)), Rows(((test, None),)), tmp_path, standardise=standardise)
    weight, shape = np.zeros((3, num_features), np.float32), (num_features,)
    model = Model({"weight": weight}, "small", NAMES, shape, packed.scale, (), packed.standardisation)
    for part, raw in (("train", train), ("test", test)):
        np.testing.assert_array_equal(model.stored(raw), npy.read(tmp_path / f"{part}-images.npy"), strict=True)
    largest = 2**15 - 1 if num_features == 3 else 2**14 - 1
    assert model.stored(np.array([[1e30] * num_features, [-1e30] * num_features]))[:, 0].tolist() == [largest, -largest]


def test_raw_pixels_are_stored_as_they_are() -> None:
    """With one scale for all, raw values are pixels: whole numbers of 0 to 255."""
    pixels = np.array([[0, 255, 300, -1], [1, 2.4, 3, 4]])
    assert model_of({"weight": WEIGHT}).stored(pixels).tolist() == [[0, 255, 255, 0], [1, 2, 3, 4]]


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


def exact_model(inputs: Inputs, classes: int, bias: bool, stored: torch.Tensor) -> ExactSoftmaxRegression:
    """Return a model after a few steps of exact training: its weights have all the bits of float64."""
    settings = ModelParams(implementation="exact", init_std=0.5, bias=bias)
    implementation = build(settings, inputs, classes, seed=1)
    optimizer = implementation.build_optimizer(OPTIMIZER.model_copy(update={"learning_rate": 0.01}))
    for _ in range(5):
        implementation.step(optimizer, stored, torch.arange(len(stored)) % classes)
    assert isinstance(implementation.model, ExactSoftmaxRegression)
    return implementation.model


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("dtype", "num_features"), [(torch.uint8, 6), (torch.uint8, 784), (torch.int16, 6)])
def test_the_logits_are_those_of_exact_training(dtype: torch.dtype, num_features: int, bias: bool) -> None:
    """NumPy's logits of exact weights are those that the training sums, bit for bit, of pixels and packed features."""
    generator = torch.Generator().manual_seed(0)
    bounds = (0, 256) if dtype == torch.uint8 else (-32767, 32768)
    stored = torch.randint(*bounds, (20, num_features), generator=generator).to(dtype)
    scale = 255.0 if dtype == torch.uint8 else tuple(2.0 ** (13 + j) for j in range(num_features))
    model = exact_model(Inputs(num_features, dtype, torch.tensor(scale, dtype=torch.float64), 20), 5, bias, stored)
    wanted = model.logits(operand(stored).t()).t().numpy()
    assert np.isfinite(wanted).all()
    tensors = {name: parameter.numpy() for name, parameter in model.named_parameters()}
    assert tensors["weight"].dtype == np.float64
    read = Model(tensors, "small", tuple("abcde"), (num_features,), scale)
    assert read.logits(stored.numpy()).tolist() == wanted.tolist()
    assert softmax(wanted).tolist() == read.probabilities(stored.numpy()).tolist()


def test_packed_features_may_be_given_as_integers_or_as_they_are() -> None:
    """With a scale for each feature integers are stored values, real numbers are the features; pixels never are."""
    stored = np.array([[1, -2, 3, 32767], [0, 5, -32767, 9]], np.int16)
    scale = (1.0, 4.0, 2.0**14, 2.0**20)
    packed = Model({"weight": WEIGHT, "bias": BIAS}, "small", NAMES, (4,), scale)
    assert packed.logits(stored / np.array(scale)).tolist() == packed.logits(stored).tolist()
    # Real numbers are packed as the download stage packs them: to the nearest integer.
    assert packed.logits((stored + 0.4) / np.array(scale)).tolist() == packed.logits(stored).tolist()
    pixels = np.array([[[0, 255], [3, 4]]], np.uint8)
    of_pixels = model_of({"weight": WEIGHT, "bias": BIAS})
    assert of_pixels.logits(pixels.astype(np.float64)).tolist() == of_pixels.logits(pixels).tolist()


@pytest.mark.parametrize("size", [1.0, 1e4, 1e30])
def test_the_order_of_features_changes_no_bit(size: float) -> None:
    """Shuffled with their weights, features give the same logits; with large weights, beyond the grid's range, too."""
    generator = np.random.default_rng(0)
    weight, pixels = generator.normal(size=(5, 300)) * size, generator.integers(0, 256, (20, 300)).astype(np.uint8)
    found = []
    for order in (np.arange(300), generator.permutation(300)):
        model = Model({"weight": weight[:, order]}, "small", tuple("abcde"), (300,), 255.0)
        found.append(model.logits(pixels[:, order]))
    assert found[0].tolist() == found[1].tolist()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e3, 1e10, 1e30])
def test_large_weights_have_a_coarser_grid(size: float, kind: type[np.floating]) -> None:
    """Weights out of the range of exact training, as another one's may be, give finite logits close to float64's."""
    generator = np.random.default_rng(0)
    weight = (generator.normal(size=(3, 4)) * size).astype(kind)
    pixels = generator.integers(0, 256, (20, 2, 2)).astype(np.uint8)
    features = pixels.reshape(20, 4) / 255
    logits = model_of({"weight": weight, "bias": BIAS}).logits(pixels)
    assert np.isfinite(logits).all()
    # 30 bits for the largest weight, at least, whose last is rounded to a half; four features of 1 at most.
    np.testing.assert_allclose(logits, features @ weight.T + BIAS, rtol=0, atol=4 * np.abs(weight).max() * 2.0**-30)


@pytest.mark.parametrize("bias", [False, True])
def test_hidden_layers_are_those_of_torch(bias: bool) -> None:
    """With two hidden layers the logits are those of nn.Linear and nn.ReLU in a row."""
    network, tensors = sequential(bias)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 2, 2)).astype(np.uint8)
    with torch.no_grad():
        expected = network(torch.from_numpy(pixels.reshape(20, 4) / 255)).numpy()
    # float64, sums of at most six terms
    np.testing.assert_allclose(model_of(tensors).logits(pixels), expected, rtol=0, atol=1e-14)


def test_hidden_layers_see_packed_features_as_they_are() -> None:
    """With a scale for each feature, stored integers and the features themselves give the same logits."""
    stored, scale = np.array([[1, -2, 3, 32767]], np.int16), (1.0, 4.0, 2.0**14, 2.0**20)
    _, tensors = sequential(bias=True)
    deep = Model(tensors, "small", NAMES, (4,), scale)
    plain = Model(tensors, "small", NAMES, (4,), 1.0)
    assert deep.logits(stored).tolist() == plain.logits(stored / np.array(scale)).tolist()
    assert deep.logits(stored / np.array(scale)).tolist() == deep.logits(stored).tolist()


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


@pytest.mark.parametrize(("shape", "images"), [((2, 2), True), ((2, 2, 3), True), ((4,), False)])
def test_a_model_knows_whether_it_sees_images(shape: tuple[int, ...], images: bool) -> None:
    """Height and width make an image, grey or in colour; a vector of features is none."""
    assert model_of({"weight": WEIGHT}, shape).is_of_images is images


def test_the_books_example() -> None:
    """Probabilities [[.1, .3, .6], [.3, .2, .5]] with labels [0, 2] cost -ln .1 = 2.3026 and -ln .5 = 0.6931."""
    probabilities, labels = np.array([[0.1, 0.3, 0.6], [0.3, 0.2, 0.5]]), np.array([0, 2])
    # float64 keeps 16 digits; a logarithm and a sum of three terms lose one.
    np.testing.assert_allclose(softmax(np.log(probabilities)), probabilities, rtol=1e-14)
    losses = cross_entropy(np.log(probabilities), labels)
    np.testing.assert_allclose(losses, [2.302585092994046, 0.6931471805599453], rtol=1e-14)


def test_equal_logits_cost_ln_10() -> None:
    """Equal logits of ten classes cost ln 10 nats an example, whatever the label."""
    np.testing.assert_allclose(cross_entropy(np.full((10, 10), 7.0), np.arange(10)), math.log(10), rtol=1e-15)


def test_cross_entropy_matches_scikit_learn() -> None:
    """The mean equals scikit-learn's log loss on random probabilities."""
    generator = np.random.default_rng(0)
    probabilities, labels = generator.dirichlet(np.ones(4), 300), generator.integers(0, 4, 300)
    wanted = log_loss(labels, probabilities, labels=range(4))
    # Sums of some hundred float64 terms of size 1: a few units in the last place.
    assert cross_entropy(np.log(probabilities), labels).mean() == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("scale", [1.0, 100.0, 1e4])
def test_softmax_and_cross_entropy_equal_logaddexp(scale: float) -> None:
    """Both equal NumPy's logaddexp, one pair at a time, for logits up to 1e4; rows sum to one."""
    generator = np.random.default_rng(1)
    logits, labels = generator.normal(size=(50, 10)) * scale, generator.integers(0, 10, 50)
    wanted = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    # Logits of 1e4 are rounded at 1e-12 themselves, and the oracle rounds once more.
    np.testing.assert_allclose(cross_entropy(logits, labels), -wanted[np.arange(50), labels], rtol=0, atol=1e-11)
    np.testing.assert_allclose(softmax(logits), np.exp(wanted), rtol=0, atol=1e-11)
    np.testing.assert_allclose(softmax(logits).sum(axis=1), 1, rtol=1e-14)


def test_the_order_of_classes_changes_no_bit() -> None:
    """Shuffled with their labels, classes give the same probabilities and losses."""
    generator = np.random.default_rng(2)
    logits, labels, order = (
        generator.normal(size=(50, 10)) * 5,
        generator.integers(0, 10, 50),
        generator.permutation(10),
    )
    assert softmax(logits)[:, order].tolist() == softmax(logits[:, order]).tolist()
    moved = np.argsort(order)[labels]
    assert cross_entropy(logits[:, order], moved).tolist() == cross_entropy(logits, labels).tolist()


def test_a_label_without_any_probability_keeps_the_loss_finite() -> None:
    """Where the probability underflows to zero the loss is still the difference of the logits."""
    logits = np.array([[0.0, 2000.0]])
    assert softmax(logits).tolist() == [[0.0, 1.0]]
    assert cross_entropy(logits, np.array([0])).tolist() == [2000.0]


def test_an_impossible_label_costs_infinitely_much() -> None:
    """A logit of minus infinity for the true class is no number, and no warning."""
    assert cross_entropy(np.array([[0.0, -math.inf]]), np.array([1])).tolist() == [math.inf]


def test_no_model_says_what_to_run(tmp_path: Path, dataset: Dataset) -> None:
    """A missing file is one line with the command that makes it."""
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors not found; run `dvc repro train`"):
        read_model(tmp_path)
    write_model(tmp_path, {"weight": WEIGHT}, dataset)
    (tmp_path / "model.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.json not found; run `dvc repro train`"):
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


DAMAGED: list[dict[str, object]] = [
    {"data": 1},
    {"class_names": "abc"},
    {"class_names": []},
    {"class_names": [1, 2, 3]},
    {"example_shape": 4},
    {"example_shape": []},
    {"example_shape": [-2, -2]},
    {"example_shape": [2.0, 2.0]},
    {"scale": 10**400},
    {"scale": [1.0]},
    {"feature_names": 3},
    {"feature_names": ["a"]},
    {"standardise": [1]},
    {"standardise": {"mean": [0.0] * 4}},
    {"standardise": {"mean": [0.0] * 4, "deviation": [1.0] * 3}},
    {"standardise": {"mean": [0.0] * 4, "deviation": [0.0] * 4}},
    {"standardise": {"mean": ["a"] * 4, "deviation": [1.0] * 4}},
]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 10**5, '{"data": "small"}', *DAMAGED])
def test_a_damaged_description_says_what_to_run(
    tmp_path: Path, dataset: Dataset, text: str | dict[str, object]
) -> None:
    """model.json that is no JSON, lacks a key or has another kind of value is one line with the file's name."""
    write_model(tmp_path, {"weight": WEIGHT}, dataset)
    path = tmp_path / "model.json"
    path.write_text(text if isinstance(text, str) else json.dumps(json.loads(path.read_text()) | text))
    with pytest.raises(ValueError, match=r"model\.json is damaged: .*; run `dvc repro -f train`$") as caught:
        read_model(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"weight": WEIGHT[:2]}, r"`weight`: expected finite numbers of shape \(3, 4\), found float32 of shape \(2,"),
        ({"weight": WEIGHT[:, :3]}, r"`weight`: .* \(3, 4\), found float32 of shape \(3, 3\)"),
        ({"weight": WEIGHT.reshape(-1)}, r"`weight`: .* \(3, 4\), found float32 of shape \(12,\)"),
        ({"weight": WEIGHT, "bias": BIAS[:2]}, r"`bias`: .* \(3,\), found float32 of shape \(2,\)"),
        ({"weight": WEIGHT.astype(np.int32)}, "`weight`: .* found int32"),
        ({"weight": WEIGHT * np.float32(np.nan)}, "`weight`: expected finite numbers"),
        ({"weight": WEIGHT, "hidden.0.weight": np.zeros((5, 4), np.float32)}, r"`weight`: .* \(3, 5\)"),
        ({"weight": WEIGHT, "hidden.0.weight": np.zeros(4, np.float32)}, r"`hidden.0.weight`: .* \(4, 4\)"),
    ],
)
def test_arrays_of_another_shape_make_no_model(
    tmp_path: Path, dataset: Dataset, tensors: dict[str, np.ndarray], message: str
) -> None:
    """Layers lead from the features to the classes that model.json names; the error names the array and both shapes."""
    write_model(tmp_path, tensors, dataset)
    with pytest.raises(ValueError, match=rf"holds no readable model: its array {message}.*; run `dvc repro -f train`"):
        read_model(tmp_path)


def test_a_model_without_a_weight_is_none(tmp_path: Path, dataset: Dataset) -> None:
    """Arrays of other names make no model."""
    write_model(tmp_path, {"kernel": WEIGHT}, dataset)
    assert "kernel" not in json.loads((tmp_path / "model.json").read_text())
    with pytest.raises(ValueError, match="it has no array `weight`"):
        read_model(tmp_path)
