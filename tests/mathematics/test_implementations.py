"""The three implementations: same start, same step, and what each promises."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from softmax_regression.mathematics.implementations import IMPLEMENTATIONS, DrawLayer, Implementation, build
from softmax_regression.mathematics.softmax import SoftmaxRegression
from softmax_regression.params import ModelParams, load_params

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
FEATURES = torch.randn(7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.tensor([0, 1, 2, 2, 1, 0, 0])


def built(name: str, *, bias: bool = True) -> Implementation:
    """Build an implementation for 5 features and 3 classes in float64."""
    settings = PARAMS.model.model_copy(update={"implementation": name, "bias": bias, "init_std": 1.0})
    return build(settings, 5, 3, seed=4, dtype=torch.float64)


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
    implementation = built(name, bias=bias)
    before = implementation.tensors()["weight"].clone()
    probabilities = torch.softmax(FEATURES @ before.T, dim=1)
    error = probabilities - torch.eye(3, dtype=torch.float64)[LABELS]
    optimizer = implementation.build_optimizer(PARAMS.optimizer)
    losses, correct = implementation.step(optimizer, FEATURES, LABELS)
    # float64; the order of additions differs
    after = implementation.tensors()
    torch.testing.assert_close(after["weight"], before - 0.1 * error.T @ FEATURES / 7, rtol=0, atol=1e-14)
    if bias:
        torch.testing.assert_close(after["bias"], -0.1 * error.sum(0) / 7, rtol=0, atol=1e-14)
    torch.testing.assert_close(losses, -probabilities[torch.arange(7), LABELS].log(), rtol=0, atol=1e-13)
    assert torch.equal(correct, probabilities.argmax(1) == LABELS)


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

    def __init__(self, settings: ModelParams, num_features: int, num_classes: int, draw: DrawLayer) -> None:
        hidden = SoftmaxRegression(*draw(num_features, 6))
        weight, bias = draw(6, num_classes)
        assert bias is not None
        self.model = Hidden(hidden, weight, bias)


def test_another_model_needs_its_own_arrays_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of another shape trains with the loss, the gradients and the update rule that are there."""
    monkeypatch.setitem(IMPLEMENTATIONS, "scratch", Perceptron)
    implementation = built("scratch")
    assert sorted(implementation.tensors()) == ["bias", "hidden.0.bias", "hidden.0.weight", "weight"]
    optimizer = implementation.build_optimizer(PARAMS.optimizer)
    losses = [implementation.step(optimizer, FEATURES, LABELS)[0].mean().item() for _ in range(20)]
    assert losses[-1] < losses[0]
