"""The three implementations that `model.implementation` selects: by hand, as the textbook has it, and the library's.

Each is a model, a loss and an update rule that take one step on a minibatch. All start from the same weights, so that
they can be compared step by step. Only here stand torch's own layer, loss and optimizer: the twin that ours is proven
against. Shapes: B batch, D features, K classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

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


class StepFigures(NamedTuple):
    """What a step measured before it moved the weights: losses (B,) in nats, correct (B,) bool."""

    losses: Tensor
    correct: Tensor


class Implementation(ABC):
    """A model, its per-example loss, and how one optimizer step on a minibatch is taken."""

    update_rule: Callable[..., torch.optim.Optimizer]
    remedy = "lower optimizer.learning_rate"  # what to do when the loss is no longer finite
    model: nn.Module
    weight: Tensor  # (K, D), the model's own parameter
    bias: Tensor | None  # (K,)

    @abstractmethod
    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy of each example (B,) in nats."""

    def build_optimizer(self, settings: OptimizerParams) -> torch.optim.Optimizer:
        """Return the update rule over the model's parameters; its groups hold the learning rate as "lr"."""
        return self.update_rule(
            self.model.parameters(),
            settings.learning_rate,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            weight_decay=settings.weight_decay,
        )

    @abstractmethod
    def step(self, optimizer: Any, features: Tensor, labels: Tensor) -> StepFigures:
        """Take one optimizer step on features (B, D) and labels (B,) int64."""


class Scratch(Implementation):
    """Ours: stable, gradients in closed form, SGD by hand."""

    update_rule = SGD

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.model: SoftmaxRegression = SoftmaxRegression(weight, bias)
        self.weight, self.bias = self.model.weight, self.model.bias

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return log sum exp(z) - z_y."""
        return cross_entropy(logits, labels)

    def step(self, optimizer: Any, features: Tensor, labels: Tensor) -> StepFigures:
        """Take the gradients in closed form; no graph is built."""
        result = loss_and_gradients(features, labels, self.weight, self.bias)
        self.weight.grad = result.weight
        if self.bias is not None:
            self.bias.grad = result.bias
        optimizer.step(batch_size=len(labels))
        return StepFigures(result.losses, result.correct)


class Textbook(Scratch):
    """The book's formulas as written, differentiated by autograd; overflows where the book's code does."""

    remedy = "exp has overflowed: lower optimizer.learning_rate, or set model.implementation: scratch"

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return -log(exp(z_y) / sum exp(z))."""
        return textbook_cross_entropy(logits, labels)

    def step(self, optimizer: Any, features: Tensor, labels: Tensor) -> StepFigures:
        """Differentiate the summed loss; the update rule divides by the batch size."""
        logits = self.model(features)
        losses = self.losses(logits, labels)
        optimizer.zero_grad()
        losses.sum().backward()
        optimizer.step(batch_size=len(labels))
        return StepFigures(losses.detach(), is_correct(logits, labels))


class Library(Implementation):
    """The twin: `nn.Linear`, `F.cross_entropy` and `torch.optim.SGD`, whose loss is already a mean."""

    update_rule = torch.optim.SGD

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        classes, features = weight.shape
        self.model: nn.Linear = nn.Linear(features, classes, bias=bias is not None, dtype=weight.dtype)
        self.weight, self.bias = self.model.weight, self.model.bias
        with torch.no_grad():
            self.weight.copy_(weight)
            if bias is not None:
                self.bias.copy_(bias)

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return torch's cross-entropy of each example."""
        return nn.functional.cross_entropy(logits, labels, reduction="none")

    def step(self, optimizer: Any, features: Tensor, labels: Tensor) -> StepFigures:
        """Differentiate the mean loss."""
        logits = self.model(features)
        losses = self.losses(logits, labels)
        optimizer.zero_grad()
        losses.mean().backward()
        optimizer.step()
        return StepFigures(losses.detach(), is_correct(logits.detach(), labels))


IMPLEMENTATIONS: dict[str, type[Scratch | Library]] = {"scratch": Scratch, "textbook": Textbook, "library": Library}


def build(
    settings: ModelParams, num_features: int, num_classes: int, *, seed: int, dtype: torch.dtype = torch.float32
) -> Implementation:
    """Return the implementation that `settings` names, at the initial weights of `seed`."""
    generator = torch.Generator().manual_seed(seed)
    weight, bias = initial_weights(
        num_features, num_classes, init_std=settings.init_std, bias=settings.bias, generator=generator, dtype=dtype
    )
    return IMPLEMENTATIONS[settings.implementation](weight, bias)


def learning_rate(settings: OptimizerParams, step: int, steps_per_epoch: int, epochs: int) -> float:
    """Return the rate of optimizer step `step` = 0, 1, ... of a training of `epochs` epochs, by its schedule."""
    return settings.learning_rate * learning_rate_factor(
        settings.schedule,
        step,
        steps_per_epoch=steps_per_epoch,
        total_steps=steps_per_epoch * epochs,
        step_epochs=settings.step_epochs,
        step_factor=settings.step_factor,
        warmup_epochs=settings.warmup_epochs,
    )
