"""The implementations that `model.implementation` selects: by hand, as the textbook has it, and the library's.

Each is a model, a loss and an update rule that take one step on a minibatch. All start from the same weights, so that
they can be compared step by step. Only here are torch's own layer, loss and optimizer: the twin that ours is proven
against. Shapes: B batch, D features, K classes.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from softmax_regression.mathematics.sgd import SGD, learning_rate_factor
from softmax_regression.mathematics.softmax import (
    SoftmaxRegression,
    cross_entropy,
    initial_weights,
    is_correct,
    loss_and_gradients,
    textbook_cross_entropy,
)
from softmax_regression.params import ModelParams, OptimizerParams

# (inputs, outputs) -> the initial weight (outputs, inputs) and bias (outputs,) or None of a layer
DrawLayer: TypeAlias = Callable[[int, int], tuple[Tensor, Tensor | None]]


class Implementation:
    """A model, its loss per example, and how one optimizer step on a minibatch is taken.

    As it is: softmax regression, our cross-entropy differentiated by autograd, our SGD. A subclass replaces what it
    does in another way; for another model that is `__init__`, which sets `model`. The model names its last layer's
    arrays "weight" (K, inputs) and "bias" (K,), those of hidden layers "hidden.0.weight", "hidden.0.bias", ...
    """

    update_rule: Callable[..., torch.optim.Optimizer] = SGD
    remedy = "lower optimizer.learning_rate"  # what to do when the loss is no longer finite
    model: nn.Module

    def __init__(self, settings: ModelParams, num_features: int, num_classes: int, draw: DrawLayer) -> None:
        self.model = SoftmaxRegression(*draw(num_features, num_classes))

    def tensors(self) -> dict[str, Tensor]:
        """Return the trained arrays by name: the model's own, detached, which the next step changes."""
        return {name: parameter.detach() for name, parameter in self.model.named_parameters()}

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy of each example (B,) in nats."""
        return cross_entropy(logits, labels)

    def build_optimizer(self, settings: OptimizerParams) -> torch.optim.Optimizer:
        """Return the update rule over the model's parameters; its groups hold the learning rate as "lr"."""
        return self.update_rule(
            self.model.parameters(),
            settings.learning_rate,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            weight_decay=settings.weight_decay,
        )

    def step(self, optimizer: Any, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Take one optimizer step on features (B, D) and labels (B,) int64.

        Return what was measured before the weights moved: losses (B,) in nats, correct (B,) bool.
        """
        logits = self.model(features)
        losses = self.losses(logits, labels)
        optimizer.zero_grad()
        self.descend(optimizer, losses)
        return losses.detach(), is_correct(logits.detach(), labels)

    def descend(self, optimizer: Any, losses: Tensor) -> None:
        """Differentiate the summed loss; our update rule divides by the batch size."""
        losses.sum().backward()
        optimizer.step(batch_size=len(losses))


class Scratch(Implementation):
    """Ours: stable, gradients in closed form, SGD by hand."""

    model: SoftmaxRegression

    def step(self, optimizer: Any, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Take the gradients in closed form; no graph is built."""
        weight, bias = self.model.weight, self.model.bias
        result = loss_and_gradients(features, labels, weight, bias)
        weight.grad = result.weight
        if bias is not None:
            bias.grad = result.bias
        optimizer.step(batch_size=len(labels))
        return result.losses, result.correct


class Textbook(Implementation):
    """The book's formulas as written, differentiated by autograd; overflows where the book's code does."""

    remedy = "exp has overflowed: lower optimizer.learning_rate, or set model.implementation: scratch"

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return -log(exp(z_y) / sum exp(z))."""
        return textbook_cross_entropy(logits, labels)


class Library(Implementation):
    """The twin: `nn.Linear`, `F.cross_entropy` and `torch.optim.SGD`, whose loss is already a mean."""

    update_rule = torch.optim.SGD

    def __init__(self, settings: ModelParams, num_features: int, num_classes: int, draw: DrawLayer) -> None:
        weight, bias = draw(num_features, num_classes)
        self.model = nn.Linear(num_features, num_classes, bias=bias is not None, dtype=weight.dtype)
        self.model.load_state_dict({"weight": weight} if bias is None else {"weight": weight, "bias": bias})

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return torch's cross-entropy of each example."""
        return nn.functional.cross_entropy(logits, labels, reduction="none")

    def descend(self, optimizer: Any, losses: Tensor) -> None:
        """Differentiate the mean loss."""
        losses.mean().backward()
        optimizer.step()


IMPLEMENTATIONS: dict[str, type[Implementation]] = {"scratch": Scratch, "textbook": Textbook, "library": Library}


def build(
    settings: ModelParams, num_features: int, num_classes: int, *, seed: int, dtype: torch.dtype = torch.float32
) -> Implementation:
    """Return the implementation that `settings` names, at the initial weights of `seed`."""
    draw = functools.partial(
        initial_weights,
        init_std=settings.init_std,
        bias=settings.bias,
        generator=torch.Generator().manual_seed(seed),
        dtype=dtype,
    )
    return IMPLEMENTATIONS[settings.implementation](settings, num_features, num_classes, draw)


def learning_rate(settings: OptimizerParams, step: int, steps_per_epoch: int, epochs: int) -> float:
    """Return the rate of optimizer step `step` = 0, 1, ... of a training of `epochs` epochs, by its schedule."""
    return settings.learning_rate * learning_rate_factor(settings, step, steps_per_epoch, epochs)
