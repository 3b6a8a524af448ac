"""exact.py: numbers by hand, an oracle in float64 within a derived bound, and one digest whatever may not matter."""

import gzip
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from mathematics.digest_of_training import digests
from small_data import make_examples
from torch import Tensor

from softmax_regression.mathematics import products
from softmax_regression.mathematics.exact import ExactSoftmaxRegression, Likelihood
from softmax_regression.mathematics.sgd import SGD
from softmax_regression.mathematics.softmax import cross_entropy, softmax
from softmax_regression.numerics.grids import PIXEL_BITS, choose_grids, packed_bits

REAL_DATA = Path(__file__).parents[3] / "shared" / "fashion-mnist"
DRIVER = Path(__file__).with_name("digest_of_training.py")
SOURCE = Path(__file__).parents[2] / "src"
TRAINING = make_examples(700, (14, 14))  # batches of 256, 256 and 188
STORED, LABELS = torch.from_numpy(TRAINING.images).flatten(1), torch.from_numpy(TRAINING.labels).long()


def draw(*shape: int, seed: int = 0) -> Tensor:
    """Return normal numbers in float64, the same for the same seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def model_of(
    weight: Tensor, bias: Tensor | None, scale: float | Tensor = 255.0, batch: int = 700
) -> ExactSoftmaxRegression:
    """Return a model of pixels, or of packed features where there is a scale for each."""
    unit = 1 / torch.as_tensor(scale, dtype=torch.float64)
    bits = packed_bits(weight.shape[-1]) if unit.ndim else PIXEL_BITS
    return ExactSoftmaxRegression(weight, bias, unit, choose_grids(bits, weight.shape[-1], weight.shape[-2], batch))


def test_zero_weights() -> None:
    """All classes are equally likely: the loss is ln 10, the error 1/10, and 1/10 - 1 at the label."""
    model = model_of(torch.zeros(10, 196), torch.zeros(10))
    likelihood, gradient, bias_gradient = model.likelihood_and_gradients(STORED[:1], LABELS[:1])
    assert model.losses(likelihood).item() == pytest.approx(math.log(10), rel=1e-15)
    assert likelihood.correct.item() == (LABELS[0] == 0)  # of equal logits the first wins
    assert bias_gradient is not None
    errors = torch.full((10,), 0.1, dtype=torch.float64)
    errors[LABELS[0]] -= 1
    torch.testing.assert_close(bias_gradient, errors, rtol=0, atol=2.0**-31)  # half a step of the errors' grid
    torch.testing.assert_close(gradient, errors[:, None] * STORED[:1].double(), rtol=0, atol=255 * 2.0**-31)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_losses_and_gradients_are_the_books(bias: bool, packed: bool) -> None:
    """They equal the formulas in float64, to what the grids explain."""
    if packed:
        scale = 2.0 ** torch.arange(-3.0, 3.0, dtype=torch.float64)
        stored = torch.randint(-(2**15), 2**15, (50, 6), generator=torch.Generator().manual_seed(1)).to(torch.int16)
        weight = draw(4, 6) * scale / 2**15
        features = stored.double() / scale
    else:
        scale, stored, weight = torch.tensor(255.0), STORED[:50, 60:66], draw(4, 6)
        features = stored.double() / 255
    labels = LABELS[:50] % 4
    model = model_of(weight, draw(4, seed=2) if bias else None, scale, 50)
    likelihood, gradient, bias_gradient = model.likelihood_and_gradients(stored, labels)
    logits = features @ weight.T + (0 if model.bias is None else model.bias)
    errors = softmax(logits) - torch.eye(4, dtype=torch.float64)[labels]
    # A scaled weight is off by 2^-(g+1), a logit by 6 features of P bits of it: 6 x 2^(P - g - 1) is 2e-7 at most.
    step = 6 * 2.0 ** ((packed_bits(6) if packed else PIXEL_BITS) - model.grids.weight_bits)
    torch.testing.assert_close(model.losses(likelihood), cross_entropy(logits, labels), rtol=0, atol=2 * step)
    torch.testing.assert_close(
        gradient * model.unit, errors.T @ features, rtol=0, atol=50 * step * features.abs().max().item()
    )
    if bias:
        torch.testing.assert_close(bias_gradient, errors.sum(0), rtol=0, atol=50 * step)
    else:
        assert bias_gradient is None
    assert torch.equal(likelihood.correct, logits.argmax(1) == labels)


def test_the_trajectory_stays_within_the_grids_bound() -> None:
    """Five epochs of gradient descent differ from float64's by no more than the grids' errors, added up.

    With a learning rate below 2 / curvature a step on a convex loss brings two weight vectors no further apart, so the
    distance after T steps is at most the sum of lr times each step's gradient error: see `bound` below.
    """
    stored, labels = STORED[:, ::7].contiguous(), LABELS
    features = torch.cat([stored.double() / 255, torch.ones(len(stored), 1, dtype=torch.float64)], dim=1)
    # The Hessian of the mean loss is at most half the features' mean square matrix, of whose norm the trace is a bound.
    rate = 2 / (0.5 * features.square().sum(1).max().item())
    start = draw(10, stored.shape[1]) * 0.01
    model = model_of(start, torch.zeros(10))
    assert model.bias is not None
    optimizer = SGD(model.parameters(), rate)
    oracle = torch.cat([start, torch.zeros(10, 1, dtype=torch.float64)], dim=1)
    grids, bound = model.grids, 0.0
    for _ in range(5):
        for part in torch.arange(len(stored)).split(100):
            _, gradient, model.bias.grad = model.likelihood_and_gradients(stored[part], labels[part])
            model.weight.grad = gradient * model.unit
            optimizer.step(batch_size=len(part))
            x, y = features[part], torch.eye(10, dtype=torch.float64)[labels[part]]
            oracle -= rate * (softmax(x @ oracle.T) - y).T @ x / len(part)
            logits_error = stored[part].double().sum(1) * 2.0 ** -(grids.weight_bits + 1)
            error = math.sqrt(10) * (logits_error / 2 + 2.0 ** -(grids.error_bits + 1)) * x.square().sum(1).sqrt()
            bound += rate * error.mean().item()
    found = torch.cat([model.weight, model.bias[:, None]], dim=1)
    distance = (found - oracle).square().sum().sqrt().item()
    assert 0 < distance < bound < 2e-5


def test_a_weight_outside_its_range_makes_the_loss_no_number() -> None:
    """Below the bound the loss is finite; at it, or where a weight is infinite or no number, the loss is NaN."""
    for value, finite in ((31.8, True), (32.0, False), (-1e300, False), (math.inf, False), (math.nan, False)):
        weight = torch.zeros(3, 196, dtype=torch.float64)
        weight[1, 7] = value
        model = model_of(weight, torch.zeros(3))
        losses = model.losses(model.likelihood(STORED[:20], LABELS[:20] % 3))
        assert bool(losses.isfinite().all()) == finite, value
        assert bool(losses.isnan().all()) != finite, value


def test_stacked_models_have_the_bits_of_each_alone() -> None:
    """Five models at once, one of them out of range: each has the losses and gradients that it has alone."""
    weights, biases = draw(5, 10, 196), draw(5, 10, seed=1)
    weights[3, 2, 2] = 100.0
    together = model_of(weights, biases)
    likelihood, gradient, bias_gradient = together.likelihood_and_gradients(STORED, LABELS)
    losses = together.losses(likelihood)
    assert bias_gradient is not None
    for index in (0, 1, 2, 4):
        alone = model_of(weights[index], biases[index])
        one, weight, bias = alone.likelihood_and_gradients(STORED, LABELS)
        assert torch.equal(losses[index], alone.losses(one))
        assert torch.equal(likelihood.correct[index], one.correct)
        assert torch.equal(gradient[index], weight)
        assert bias is not None
        assert torch.equal(bias_gradient[index], bias)
    assert losses[3].isnan().all()


def test_the_logarithm_may_be_taken_of_many_batches_at_once() -> None:
    """Losses of joined batches are the joined losses."""
    model = model_of(draw(10, 196), draw(10, seed=1))
    parts = [model.likelihood(STORED[part], LABELS[part]) for part in torch.arange(700).split(256)]
    joined = Likelihood(*map(torch.cat, zip(*parts, strict=True)))
    assert torch.equal(model.losses(joined), torch.cat([model.losses(part) for part in parts]))


# What may not matter, as options of the driver.
OPTIONS = [
    {"threads": 2},
    {"columns": 3},
    {"batch": 4},
    {"shares": 3},
    {"bytes": 0},
    {"threads": 2, "columns": 5, "batch": 6, "shares": 5, "bytes": 0},
]


@pytest.fixture
def _ways(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the way of products and the number of threads back."""
    monkeypatch.setattr(products, "_multiplies_bytes", products._multiplies_bytes)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("_ways")
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_order_of_sums_does_not_matter(options: dict[str, int]) -> None:
    """Threads, shuffled columns, shuffled batches, shares of batches and the way of products: one digest."""
    plain = list(digests(STORED, LABELS, 3))
    assert list(digests(STORED, LABELS, 3, **options)) == plain
    assert len(set(plain)) == 3


@pytest.mark.usefixtures("_ways")
@pytest.mark.parametrize("cached", [1, 300, 2000])
def test_blocks_do_not_matter(cached: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights, exponentials and updates taken block by block, row by row at the smallest: one digest."""
    plain = list(digests(STORED, LABELS, 2))
    monkeypatch.setattr("softmax_regression.mathematics.blocks.CACHED", cached)
    assert list(digests(STORED, LABELS, 2)) == plain


def test_many_classes() -> None:
    """With 10,000 classes, in several blocks, losses and gradients are the formulas' to what the grids explain."""
    weight, labels = draw(10_000, 6) / 4, LABELS[:50] * 997
    stored = STORED[:50, 60:66]
    features = stored.double() / 255
    model = model_of(weight, torch.zeros(10_000), batch=50)
    likelihood, gradient, bias_gradient = model.likelihood_and_gradients(stored, labels)
    logits = features @ weight.T
    errors = softmax(logits) - torch.eye(10_000, dtype=torch.float64)[labels]
    step = 6 * 2.0 ** (PIXEL_BITS - model.grids.weight_bits)
    torch.testing.assert_close(model.losses(likelihood), cross_entropy(logits, labels), rtol=0, atol=2 * step)
    torch.testing.assert_close(gradient * model.unit, errors.T @ features, rtol=0, atol=50 * step)
    torch.testing.assert_close(bias_gradient, errors.sum(0), rtol=0, atol=50 * step)


def test_the_order_of_sums_matters_without_grids(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail: without rounding to grids, shuffled columns give another digest."""
    monkeypatch.setattr("softmax_regression.mathematics.exact.round_to", lambda x, bits: x)
    monkeypatch.setattr(products, "_multiplies_bytes", lambda: False)
    assert list(digests(STORED, LABELS, 2, columns=3)) != list(digests(STORED, LABELS, 2))


# torch's kernels up to this processor's newest: asked for a newer one, it would run into an unknown instruction.
KERNELS = ["default", "avx2", "avx512"]
NEWEST = torch.backends.cpu.get_cpu_capability().lower()
KERNELS = KERNELS[: KERNELS.index(NEWEST) + 1] if NEWEST in KERNELS else []
ENVIRONMENTS = [
    {"MKL_CBWR": "COMPATIBLE"},
    {"MKL_CBWR": "AVX2"},
    {"MKL_CBWR": "AVX512"},
    *({"ATEN_CPU_CAPABILITY": name} for name in KERNELS),
    {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL"},
]


@pytest.mark.slow  # eight processes that import torch
def test_kinds_of_processors_do_not_matter(tmp_path: Path) -> None:
    """A process that is told to compute as another processor does gives the same digests."""
    images, labels = tmp_path / "images.npy", tmp_path / "labels.npy"
    np.save(images, TRAINING.images)
    np.save(labels, TRAINING.labels)
    command = [sys.executable, str(DRIVER), str(images), str(labels), "2", "bytes=0"]
    wanted = list(digests(STORED, LABELS, 2))
    for environment in ENVIRONMENTS:
        variables = {**os.environ, "PYTHONPATH": str(SOURCE), **environment}
        result = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
        assert result.stdout.split("\n")[:-1] == wanted, environment


def test_a_small_training_is_pinned() -> None:
    """Neither a processor nor a version changes these digests; whoever changes the mathematics changes every result."""
    assert list(digests(STORED, LABELS, 3)) == [
        "359c308e14ec66a3 e0415599b8d81716",
        "389b87125fdaa24d 167c5fa036c83a18",
        "26df5310c75d23e4 fab69091ac604a00",
    ]


@pytest.mark.slow  # 5 s
@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="Fashion-MNIST's files are not at hand")
def test_the_default_training_is_pinned() -> None:
    """The default experiment has these weights, losses and accuracies after epochs 1, 2 and 10, on every machine."""
    images, labels = (
        np.frombuffer(gzip.decompress((REAL_DATA / f"train-{name}-ubyte.gz").read_bytes()), np.uint8, offset=offset)
        for name, offset in (("images-idx3", 16), ("labels-idx1", 8))
    )
    found = list(digests(torch.tensor(images).view(-1, 784), torch.tensor(labels), 10))
    assert [found[epoch - 1] for epoch in (1, 2, 10)] == [
        "a36e86be2a5200e5 e5b0904e78bba42d",
        "4e88f3d76338f549 ba8dccf11937b032",
        "951f50d2b002eca6 fd2aa0a9463731d6",
    ]
