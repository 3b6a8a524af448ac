"""The three implementations: same start, same step, and what each promises."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from softmax_regression.mathematics.implementations import IMPLEMENTATIONS, Implementation, build
from softmax_regression.params import load_params

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
    implementation = built(name)
    assert torch.equal(implementation.weight, built("scratch").weight)
    assert implementation.bias is not None
    assert not implementation.bias.any()


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("bias", [True, False])
def test_a_step_is_the_books_update(name: str, bias: bool) -> None:
    """param -= learning rate * gradient of the summed loss / batch size, for weight and bias."""
    implementation = built(name, bias=bias)
    before = implementation.weight.detach().clone()
    probabilities = torch.softmax(FEATURES @ before.T, dim=1)
    error = probabilities - torch.eye(3, dtype=torch.float64)[LABELS]
    optimizer = implementation.build_optimizer(PARAMS.optimizer)
    losses, correct = implementation.step(optimizer, FEATURES, LABELS)
    # float64; the order of additions differs
    torch.testing.assert_close(
        implementation.weight.detach(), before - 0.1 * error.T @ FEATURES / 7, rtol=0, atol=1e-14
    )
    if implementation.bias is not None:
        torch.testing.assert_close(implementation.bias.detach(), -0.1 * error.sum(0) / 7, rtol=0, atol=1e-14)
    torch.testing.assert_close(losses, -probabilities[torch.arange(7), LABELS].log(), rtol=0, atol=1e-13)
    assert torch.equal(correct, probabilities.argmax(1) == LABELS)


def test_a_step_without_bias_has_none() -> None:
    """`model.bias: false` builds no bias at all."""
    assert all(built(name, bias=False).bias is None for name in IMPLEMENTATIONS)
