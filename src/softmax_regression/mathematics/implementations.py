"""The implementations that `model.implementation` selects: exact sums, by hand, the textbook's, and the library's.

Each is a model, a loss and an update rule that take one step on a minibatch. All start from the same weights, so that
they can be compared step by step. Only here are torch's own layer, loss and optimizer: the twin that ours is proven
against. Shapes: B batch, D features, K classes.
"""

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from softmax_regression.mathematics.batches import Inputs
from softmax_regression.mathematics.exact import ExactSoftmaxRegression, Likelihood
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

_WATCHED = 256  # chunks of a textbook training, of 64 steps each
# (inputs, outputs) -> the initial weight (outputs, inputs) and bias (outputs,) or None of a layer
DrawLayer: TypeAlias = Callable[[int, int], tuple[Tensor, Tensor | None]]
Measured: TypeAlias = tuple[Tensor, ...]  # what a step has seen of its minibatch, see `Implementation.measures`


class Implementation:
    """A model, its loss per example, and how one optimizer step on a minibatch is taken.

    As it is: softmax regression, our cross-entropy differentiated by autograd, our SGD. A subclass replaces what it
    does in another way; for another model that is `build_model`. The model names its last layer's arrays "weight"
    (K, inputs) and "bias" (K,), those of hidden layers "hidden.0.weight", "hidden.0.bias", ...
    """

    update_rule: Callable[..., torch.optim.Optimizer] = SGD
    failure = "the loss is not finite"  # what has happened when a loss is not finite, and what to do
    remedy = "lower optimizer.learning_rate"

    def __init__(
        self, settings: ModelParams, inputs: Inputs, num_classes: int, draw: DrawLayer, dtype: torch.dtype
    ) -> None:
        self.inputs, self.dtype = inputs, dtype
        self.model = self.build_model(settings, num_classes, draw)

    def build_model(self, settings: ModelParams, num_classes: int, draw: DrawLayer) -> nn.Module:
        """Return the model at its initial weights, which `draw` draws layer by layer."""
        return SoftmaxRegression(*draw(self.inputs.num_features, num_classes))

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

    def step(self, optimizer: Any, stored: Tensor, labels: Tensor) -> Measured:
        """Take one optimizer step on stored features (B, D) and labels (B,) int64.

        Return what was measured before the weights moved, for `measures`.
        """
        logits = self.model(self.inputs.features(stored, self.dtype))
        losses = self.losses(logits, labels)
        optimizer.zero_grad()
        self.descend(optimizer, losses)
        return self.measured(logits.detach(), losses.detach(), labels)

    def measured(self, logits: Tensor, losses: Tensor, labels: Tensor) -> Measured:
        """Return what `measures` needs of a step's logits (B, K), losses (B,) and labels (B,)."""
        return losses, is_correct(logits, labels)

    def descend(self, optimizer: Any, losses: Tensor) -> None:
        """Differentiate the summed loss; our update rule divides by the batch size."""
        losses.sum().backward()
        optimizer.step(batch_size=len(losses))

    @torch.no_grad()
    def measure(self, stored: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return losses (B,) in nats and hits (B,) bool of examples as they are stored (B, D)."""
        logits = self.model(self.inputs.features(stored, self.dtype))
        return self.losses(logits, labels), is_correct(logits, labels)

    def stopped(self, epoch: int, where: str, rate: float) -> str:
        """Return what a person is told when a loss was not finite, `where` in `epoch` = 1, 2, ..., at this rate."""
        return f"{self.failure} in epoch {epoch}, {where}, at learning rate {rate:g}: {self.remedy}"

    def measures(self, steps: Sequence[Measured]) -> tuple[Tensor, Tensor]:
        """Return the losses (N,) in nats and hits (N,) bool that some steps have measured."""
        losses, correct = map(torch.cat, zip(*steps, strict=True))
        return losses, correct


class Exact(Implementation):
    """Ours, with exact sums: the same bits on every machine.

    Where a step sees a share of its minibatch, `add_shares` adds to a tensor (n,), in place, those of the other shares.
    """

    model: ExactSoftmaxRegression
    add_shares: Callable[[Tensor], None] | None = None
    failure = "a weight times its largest feature is no longer below 32, so sums are not exact"
    remedy = "lower optimizer.learning_rate, raise optimizer.weight_decay, or set model.implementation: scratch"

    def build_model(self, settings: ModelParams, num_classes: int, draw: DrawLayer) -> nn.Module:
        """Return the model on the finest grids; ValueError where there are too many features or examples for one."""
        weight, bias = draw(self.inputs.num_features, num_classes)
        return ExactSoftmaxRegression(weight, bias, 1 / self.inputs.scale, self.inputs.grids(num_classes))

    def step(self, optimizer: Any, stored: Tensor, labels: Tensor) -> Measured:
        """Take the gradients in closed form; the logarithm of the loss is left to `measures`."""
        weight, bias = self.model.weight, self.model.bias
        likelihood, gradient, bias_gradient = self.model.likelihood_and_gradients(stored, labels)
        batch_size = len(labels)
        if self.add_shares is not None:
            gradient, bias_gradient, batch_size = self._of_all_shares(gradient, bias_gradient, batch_size)
        weight.grad = gradient.mul_(self.model.unit)
        if bias is not None:
            bias.grad = bias_gradient
        optimizer.step(batch_size=batch_size)
        return likelihood

    def _of_all_shares(self, gradient: Tensor, bias_gradient: Tensor | None, examples: int) -> tuple[Any, ...]:
        """Return the sums over the whole minibatch: of gradients, exact in any order, and of examples."""
        assert self.add_shares is not None
        bias = [] if bias_gradient is None else [bias_gradient]
        parts = [gradient.flatten(), *bias, gradient.new_tensor([examples])]
        self.add_shares(sums := torch.cat(parts))
        gradients, *bias, count = sums.split([len(part) for part in parts])
        return gradients.view(gradient.shape), bias[0] if bias else None, int(count)

    def measure(self, stored: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return losses and hits, by the same functions as a step."""
        likelihood = self.model.likelihood(stored, labels)
        return self.model.losses(likelihood), likelihood.correct

    def measures(self, steps: Sequence[Measured]) -> tuple[Tensor, Tensor]:
        """Return losses and hits; a loss is NaN where a weight had left its range."""
        likelihood = Likelihood(*map(torch.cat, zip(*steps, strict=True)))
        return self.model.losses(likelihood), likelihood.correct


class Scratch(Implementation):
    """Ours: stable, gradients in closed form, SGD by hand."""

    model: SoftmaxRegression

    def step(self, optimizer: Any, stored: Tensor, labels: Tensor) -> Measured:
        """Take the gradients in closed form; no graph is built."""
        weight, bias = self.model.weight, self.model.bias
        result = loss_and_gradients(self.inputs.features(stored, self.dtype), labels, weight, bias)
        weight.grad = result.weight
        if bias is not None:
            bias.grad = result.bias
        optimizer.step(batch_size=len(labels))
        return result.losses, result.correct


class Textbook(Implementation):
    """The book's formulas as written, differentiated by autograd; overflows where the book's code does.

    `watched` are the last chunks of steps that were measured, each (steps, 4): the smallest and the largest logit, the
    mean and the largest loss in nats, these by the stable formula.
    """

    remedy = "lower optimizer.learning_rate, or set model.implementation: scratch"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.watched: deque[Tensor] = deque(maxlen=_WATCHED)

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return -log(exp(z_y) / sum exp(z))."""
        return textbook_cross_entropy(logits, labels)

    def measured(self, logits: Tensor, losses: Tensor, labels: Tensor) -> Measured:
        """Return the losses and hits, and the four figures that are watched."""
        stable = logits.logsumexp(-1) - logits.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
        figures = torch.stack([*logits.aminmax(), stable.mean(), stable.max()])
        return *super().measured(logits, losses, labels), figures

    def measures(self, steps: Sequence[Measured]) -> tuple[Tensor, Tensor]:
        """Return losses and hits; the steps' figures are `watched` from now on."""
        self.watched.append(torch.stack([step[-1] for step in steps]))
        return super().measures([step[:-1] for step in steps])


class Library(Implementation):
    """The twin: `nn.Linear`, `F.cross_entropy` and `torch.optim.SGD`, whose loss is already a mean."""

    update_rule = torch.optim.SGD

    def build_model(self, settings: ModelParams, num_classes: int, draw: DrawLayer) -> nn.Module:
        """Return torch's own layer."""
        weight, bias = draw(self.inputs.num_features, num_classes)
        num_classes, num_features = weight.shape
        layer = nn.Linear(num_features, num_classes, bias=bias is not None, dtype=weight.dtype)
        layer.load_state_dict({"weight": weight} if bias is None else {"weight": weight, "bias": bias})
        return layer

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return torch's cross-entropy of each example."""
        return nn.functional.cross_entropy(logits, labels, reduction="none")

    def descend(self, optimizer: Any, losses: Tensor) -> None:
        """Differentiate the mean loss."""
        losses.mean().backward()
        optimizer.step()


IMPLEMENTATIONS: dict[str, type[Implementation]] = {
    "exact": Exact,
    "scratch": Scratch,
    "textbook": Textbook,
    "library": Library,
}


def build(
    settings: ModelParams, inputs: Inputs, num_classes: int, *, seed: int, dtype: torch.dtype = torch.float32
) -> Implementation:
    """Return the implementation that `settings` names, at the initial weights of `seed`.

    `dtype` is what it computes in; exact sums are always those of float64.
    """
    layers = itertools.count()

    def draw(num_inputs: int, num_outputs: int) -> tuple[Tensor, Tensor | None]:
        stream = f"weights of seed {seed} layer {next(layers)}"
        return initial_weights(
            num_inputs, num_outputs, stream=stream, init_std=settings.init_std, bias=settings.bias, dtype=dtype
        )

    return IMPLEMENTATIONS[settings.implementation](settings, inputs, num_classes, draw, dtype)


def learning_rate(settings: OptimizerParams, step: int, steps_per_epoch: int, epochs: int) -> float:
    """Return the rate of optimizer step `step` = 0, 1, ... of a training of `epochs` epochs, by its schedule."""
    return settings.learning_rate * learning_rate_factor(settings, step, steps_per_epoch, epochs)
