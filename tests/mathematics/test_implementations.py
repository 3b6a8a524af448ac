"""The four implementations: same start, same step, and what each promises."""

import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from softmax_regression.mathematics.batches import Inputs
from softmax_regression.mathematics.implementations import (
    IMPLEMENTATIONS,
    DrawLayer,
    Exact,
    Implementation,
    Textbook,
    build,
)
from softmax_regression.mathematics.softmax import SoftmaxRegression
from softmax_regression.params import ModelParams, load_params

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
# As digits are stored: 0 to 16, and the features are those divided by 16.
STORED = torch.randint(17, (7, 5), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
INPUTS = Inputs(5, torch.uint8, torch.tensor(16.0, dtype=torch.float64), 7)
FEATURES = STORED.double() / 16
LABELS = torch.tensor([0, 1, 2, 2, 1, 0, 0])
# float64; the order of additions differs. Exact sums have scaled weights on the grid 2^-33: a logit of 5 features up
# to 16 is off by 5 x 16 x 2^-34 = 5e-9 at most, a loss by twice that, a step by less.
TOLERANCES = {name: 1e-8 if name == "exact" else 1e-13 for name in IMPLEMENTATIONS}


def built(
    name: str, *, bias: bool = True, inputs: Inputs = INPUTS, dtype: torch.dtype = torch.float64
) -> Implementation:
    """Build an implementation for 5 features and 3 classes in float64."""
    settings = PARAMS.model.model_copy(update={"implementation": name, "bias": bias, "init_std": 0.5})
    return build(settings, inputs, 3, seed=4, dtype=dtype)


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_all_start_at_the_same_weights(name: str) -> None:
    """The seed alone decides the initial weights; the bias is zero."""
    tensors = built(name).tensors()
    assert torch.equal(tensors["weight"], built("scratch").tensors()["weight"])
    assert not tensors["bias"].any()


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("bias", [True, False])
def test_a_step_is_the_books_update(name: str, bias: bool) -> None:
    """param -= learning rate * gradient of the summed loss / batch size, for weight and bias."""
    implementation, tolerance = built(name, bias=bias), TOLERANCES[name]
    before = implementation.tensors()["weight"].clone()
    probabilities = torch.softmax(FEATURES @ before.T, dim=1)
    error = probabilities - torch.eye(3, dtype=torch.float64)[LABELS]
    optimizer = implementation.build_optimizer(PARAMS.optimizer)
    losses, correct = implementation.measures([implementation.step(optimizer, STORED, LABELS)])
    after = implementation.tensors()
    torch.testing.assert_close(after["weight"], before - 0.1 * error.T @ FEATURES / 7, rtol=0, atol=tolerance)
    if bias:
        torch.testing.assert_close(after["bias"], -0.1 * error.sum(0) / 7, rtol=0, atol=tolerance)
    torch.testing.assert_close(losses, -probabilities[torch.arange(7), LABELS].log(), rtol=0, atol=tolerance)
    assert torch.equal(correct, probabilities.argmax(1) == LABELS)


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_steps_are_measured_together(name: str) -> None:
    """What several steps have seen of their minibatches is what each has, one after the other."""
    implementation = built(name)
    optimizer = implementation.build_optimizer(PARAMS.optimizer)
    steps = [implementation.step(optimizer, STORED[part], LABELS[part]) for part in (slice(0, 4), slice(4, 7))]
    losses, correct = implementation.measures(steps)
    apart = [implementation.measures([step]) for step in steps]
    assert torch.equal(losses, torch.cat([each for each, _ in apart]))
    assert torch.equal(correct, torch.cat([each for _, each in apart]))


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_measuring_is_what_a_step_sees_before_it_moves(name: str) -> None:
    """`measure` gives the losses and hits of the next step, changes nothing, and builds no graph."""
    implementation = built(name)
    before = {key: tensor.clone() for key, tensor in implementation.tensors().items()}
    losses, correct = implementation.measure(STORED, LABELS)
    assert not losses.requires_grad
    assert all(torch.equal(tensor, before[key]) for key, tensor in implementation.tensors().items())
    optimizer = implementation.build_optimizer(PARAMS.optimizer)
    seen = implementation.measures([implementation.step(optimizer, STORED, LABELS)])
    torch.testing.assert_close(losses, seen[0], rtol=0, atol=1e-14)  # by hand, another order of operations
    assert torch.equal(correct, seen[1])
    if name == "exact":
        assert torch.equal(losses, seen[0])


def test_the_textbook_is_watched() -> None:
    """Of each step: the smallest and the largest logit, the mean and the largest loss, finite where its own are not."""
    textbook = built("textbook", dtype=torch.float32)
    assert isinstance(textbook, Textbook)
    optimizer = textbook.build_optimizer(PARAMS.optimizer)
    logits, steps = [], []
    for factor, part in ((1, slice(0, 4)), (1000, slice(4, 7))):
        textbook.tensors()["weight"].mul_(factor)
        logits.append(FEATURES[part] @ textbook.tensors()["weight"].double().T + textbook.tensors()["bias"].double())
        steps.append(textbook.step(optimizer, STORED[part], LABELS[part]))
    losses, _ = textbook.measures(steps)
    assert not losses.isfinite().all()
    (figures,) = textbook.watched
    for own, z, labels in zip(figures, logits, (LABELS[:4], LABELS[4:]), strict=True):
        stable = nn.functional.cross_entropy(z, labels, reduction="none")
        wanted = torch.stack([z.min(), z.max(), stable.mean(), stable.max()])
        torch.testing.assert_close(own.double(), wanted, rtol=1e-6, atol=1e-6)  # float32


def test_exact_sums_are_those_of_float64_whatever_is_asked_for() -> None:
    """`dtype` changes no bit of exact sums: all start at float32 numbers, and exact ones go on in float64."""
    arrays = []
    for dtype in (torch.float32, torch.float64):
        implementation = built("exact", dtype=dtype)
        implementation.step(implementation.build_optimizer(PARAMS.optimizer), STORED, LABELS)
        arrays.append(implementation.tensors())
    for key in ("weight", "bias"):
        assert arrays[0][key].dtype == torch.float64
        assert torch.equal(arrays[0][key], arrays[1][key])


def test_a_weight_out_of_range_is_a_loss_that_is_not_finite() -> None:
    """Where sums would no longer be exact every loss is NaN, in a step and in measuring; `failure` says why."""
    implementation = built("exact")
    implementation.tensors()["weight"][1, 2] = 2.0  # scaled 2 / 16, and 256 times that is 32
    assert implementation.measure(STORED, LABELS)[0].isnan().all()
    step = implementation.step(implementation.build_optimizer(PARAMS.optimizer), STORED, LABELS)
    assert implementation.measures([step])[0].isnan().all()
    assert "below 32" in implementation.failure
    inside = built("exact")
    inside.tensors()["weight"][1, 2] = 1.999
    assert inside.measure(STORED, LABELS)[0].isfinite().all()


def test_exact_sums_refuse_too_many_features_and_say_what_to_set() -> None:
    """Where no grid is fine enough the model is not built."""
    with pytest.raises(
        ValueError, match=r"exact sums at most .* features .*, found 2097152; .*implementation: scratch"
    ):
        built("exact", inputs=Inputs(2**21, torch.uint8, INPUTS.scale, 7))


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_features_with_a_scale_each(name: str) -> None:
    """Packed int16 data with a scale a column takes the step of its features."""
    stored = torch.randint(-32767, 32768, (7, 5), generator=torch.Generator().manual_seed(1)).to(torch.int16)
    scale = torch.tensor([2.0**15, 2.0**14, 2.0**16, 2.0**15, 2.0**13], dtype=torch.float64)
    implementation = built(name, inputs=Inputs(5, torch.int16, scale, 7))
    before, features = implementation.tensors()["weight"].clone(), stored.double() / scale
    error = torch.softmax(features @ before.T, dim=1) - torch.eye(3, dtype=torch.float64)[LABELS]
    implementation.step(implementation.build_optimizer(PARAMS.optimizer), stored, LABELS)
    # float64; exact sums have the grid 2^-40 here: logits off by 5 x 2^15 x 2^-41 = 7e-8 at most, errors by half of
    # that, and the step is a tenth of their mean with features up to 4.
    tolerance = 2e-8 if name == "exact" else 1e-13
    wanted = before - 0.1 * error.T @ features / 7
    torch.testing.assert_close(implementation.tensors()["weight"], wanted, rtol=0, atol=tolerance)


def test_a_step_without_bias_has_none() -> None:
    """`model.bias: false` builds no bias at all."""
    assert all(list(built(name, bias=False).tensors()) == ["weight"] for name in IMPLEMENTATIONS)


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_the_arrays_are_the_models_own(name: str) -> None:
    """`tensors` names the model's parameters and shares their memory, without their gradients' graph."""
    implementation = built(name)
    tensors, parameters = implementation.tensors(), dict(implementation.model.named_parameters())
    assert list(tensors) == list(parameters) == ["weight", "bias"]
    assert all(tensors[key].data_ptr() == parameters[key].data_ptr() for key in tensors)
    assert not any(tensor.requires_grad for tensor in tensors.values())


class Hidden(nn.Module):
    """A perceptron with one hidden layer."""

    def __init__(self, hidden: SoftmaxRegression, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.hidden = nn.ModuleList([hidden])
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (B, K) of features (B, D)."""
        for layer in self.hidden:
            features = layer(features).relu()
        return features @ self.weight.T + self.bias


class Perceptron(Implementation):
    """Another model: only its arrays and its forward pass are its own."""

    def build_model(self, settings: ModelParams, num_classes: int, draw: DrawLayer) -> nn.Module:
        """Draw the hidden layer's arrays, then the last one's."""
        hidden = SoftmaxRegression(*draw(self.inputs.num_features, 6))
        weight, bias = draw(6, num_classes)
        assert bias is not None
        return Hidden(hidden, weight, bias)


def test_another_model_needs_its_own_arrays_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of another shape trains with the loss, the gradients and the update rule that are there."""
    monkeypatch.setitem(IMPLEMENTATIONS, "scratch", Perceptron)
    implementation = built("scratch")
    assert sorted(implementation.tensors()) == ["bias", "hidden.0.bias", "hidden.0.weight", "weight"]
    optimizer = implementation.build_optimizer(PARAMS.optimizer)
    losses = [implementation.step(optimizer, STORED, LABELS)[0].mean().item() for _ in range(20)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("count", [2, 3, 9])
def test_steps_on_shares_are_the_step_on_all(count: int, bias: bool) -> None:
    """Threads that each see a share, and add up their sums, end at the bits of one that sees all 7 examples."""
    alone = built("exact", bias=bias)
    alone.step(alone.build_optimizer(PARAMS.optimizer), STORED, LABELS)
    barrier, held = threading.Barrier(count, timeout=20), {}

    def add(number: int, sums: Tensor) -> None:
        held[number] = sums.clone()
        barrier.wait()
        sums.copy_(torch.stack(list(held.values())).sum(0))
        barrier.wait()

    def step(number: int) -> dict[str, Tensor]:
        own = built("exact", bias=bias)
        assert isinstance(own, Exact)
        own.add_shares = functools.partial(add, number)
        part = slice(7 * number // count, 7 * (number + 1) // count)
        own.step(own.build_optimizer(PARAMS.optimizer), STORED[part], LABELS[part])
        return own.tensors()

    with ThreadPoolExecutor(count) as pool:
        for tensors in pool.map(step, range(count)):
            for name, tensor in alone.tensors().items():
                assert torch.equal(tensors[name], tensor)
