"""Training many configurations in one pass: each minibatch is read once, for a stack of models.

Shape legend: B batch, D features, K classes, R replicas. The forward pass of all replicas is one matrix product,
(R K, D) times (D, B), and so is their gradient: at R = 64 three quarters of a step are spent in these two, which run
at the processor's rate, against half of it for one model alone (the rest is the cost of each call).

What the replicas share is what the batches are made of: the data, batch_size, epochs and seed. The seed fixes the
initial weights *and* the order of the examples, so another seed is another pass. One order for all seeds would
understate how much they differ: on Fashion-MNIST (learning rate 0.1, batch 256, ten epochs, 12 seeds) the standard
deviation of test accuracy is 0.0015 with an order for each seed, 0.0003 and 0.0004 with one order for all; after nine
epochs 0.0047 against 0.0002 and 0.0005.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from softmax_regression.artifacts.outcome import Epoch
from softmax_regression.data.datasets import Examples
from softmax_regression.mathematics.batches import EvaluationBatches, Minibatches
from softmax_regression.mathematics.implementations import build, learning_rate
from softmax_regression.mathematics.softmax import RunningSums, affine, cross_entropy, is_correct, losses_and_errors
from softmax_regression.params import ModelParams, OptimizerParams, TrainParams
from softmax_regression.training.devices import EVALUATION_BATCH, device_named, tensors_on


@dataclass
class ReplicaOutcome:
    """One configuration's training: its history, what stopped it, and the final arrays: "weight" (K, D), "bias" (K,).

    `failure` is None, or says in one line where the loss ceased to be finite; the history ends before that epoch.
    """

    history: list[Epoch] = field(default_factory=list)
    failure: str | None = None
    tensors: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)


class StackedModels:
    """R softmax regressions as one: `tensors` holds "weight" (R, K, D) and, where the models have one, "bias" (R, K).

    To a matrix product they are one model of R K classes.
    """

    def __init__(self, models: Sequence[Mapping[str, Tensor]], device: torch.device) -> None:
        self.tensors = {name: torch.stack([model[name] for model in models]).to(device) for name in models[0]}

    def logits(self, features: Tensor) -> Tensor:
        """Return the logits (B, R, K) of features (B, D)."""
        weight, bias = self.tensors["weight"], self.tensors.get("bias")
        logits = affine(features, weight.flatten(0, 1), None if bias is None else bias.flatten())
        return logits.view(len(features), *weight.shape[:2])

    def loss_and_gradients(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return losses (B, R) in nats, hits (B, R) bool, and the summed loss's gradients by name, in closed form.

        `features` (B, D), `labels` (B,) int64; the formulas are those of `softmax.loss_and_gradients`.
        """
        logits = self.logits(features)
        losses, correct, errors = losses_and_errors(logits, labels.unsqueeze(1).expand(logits.shape[:2]))
        errors = errors.flatten(1)
        gradients = {"weight": errors.t() @ features} | ({"bias": errors.sum(0)} if "bias" in self.tensors else {})
        return losses, correct, {name: flat.view_as(self.tensors[name]) for name, flat in gradients.items()}


class StackedSGD:
    """The update rule of `sgd.SGD` for stacked models, with a learning rate, momentum and weight decay for each.

    The coefficients are (R,) float64 and rounded where they meet the arrays, as a number is.
    """

    def __init__(self, tensors: Mapping[str, Tensor], optimizers: Sequence[OptimizerParams]) -> None:
        self.tensors = tensors
        self.velocities = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
        self.momentum = torch.tensor([one.momentum for one in optimizers], dtype=torch.float64)
        self.weight_decay = torch.tensor([one.weight_decay for one in optimizers], dtype=torch.float64)
        self.has_momentum, self.has_decay = bool(self.momentum.any()), bool(self.weight_decay.any())
        self.nesterov = optimizers[0].nesterov

    def step(self, gradients: Mapping[str, Tensor], lr: Tensor, n: int) -> None:
        """Apply the formulas of `sgd.SGD` in place: `gradients` of the summed loss of n examples, rates `lr` (R,)."""
        for name, p in self.tensors.items():
            v, gradient = self.velocities[name], gradients[name]
            if self.has_momentum:
                v.mul_(_per_replica(self.momentum, v)).add_(gradient, alpha=1 / n)
                if self.has_decay:
                    v.addcmul_(p, _per_replica(self.weight_decay, p))
            if self.has_momentum and not self.nesterov:
                p.addcmul_(v, _per_replica(-lr, p))
            else:
                if self.has_decay:
                    p.mul_(_per_replica(1 - lr * self.weight_decay, p))
                p.addcmul_(gradient, _per_replica(-lr / n, p))
                if self.nesterov:
                    p.addcmul_(v, _per_replica(-lr * self.momentum, p))


def fit_together(
    training: Examples,
    held_out: Examples,
    *,
    scale: float,
    num_classes: int,
    models: Sequence[ModelParams],
    optimizers: Sequence[OptimizerParams],
    settings: TrainParams,
    on_epoch: Callable[[Sequence[ReplicaOutcome]], None],
) -> list[ReplicaOutcome]:
    """Train one model for each pair of `models` and `optimizers`, all at once; return their outcomes, in order.

    All are of the scratch implementation and alike in bias and Nesterov's variant, as those of `plan.passes` are. Each
    one's weights are those that `lightning.fit` gives it alone, to float32 rounding. A replica whose loss is no longer
    finite is marked and does not disturb the others. `on_epoch` is called with the outcomes after each epoch.
    Raises RuntimeError when there is no GPU where one is asked for.
    """
    device = device_named(settings.device)
    batches = Minibatches(
        *tensors_on(training, device), batch_size=settings.batch_size, seed=settings.seed, scale=scale
    )
    blocks = EvaluationBatches(*tensors_on(held_out, device), batch_size=EVALUATION_BATCH, scale=scale)
    singles = [build(model, batches.num_features, num_classes, seed=settings.seed).tensors() for model in models]
    stack = StackedModels(singles, device)
    sgd = StackedSGD(stack.tensors, optimizers)
    outcomes = [ReplicaOutcome() for _ in models]
    for epoch in range(settings.epochs):
        batches.set_epoch(epoch)
        rates = _learning_rates(optimizers, epoch, batches.steps_per_epoch, settings.epochs)
        sums, losses = _train(stack, sgd, batches, rates)
        _record(outcomes, epoch + 1, rates, losses, sums, _measure(stack, blocks))
        on_epoch(outcomes)
        if all(outcome.failure for outcome in outcomes):
            break
    for index, outcome in enumerate(outcomes):
        outcome.tensors = {name: tensor[index].cpu().numpy().copy() for name, tensor in stack.tensors.items()}
    return outcomes


def _learning_rates(optimizers: Sequence[OptimizerParams], epoch: int, steps: int, epochs: int) -> Tensor:
    """Return every replica's rate at each step of `epoch` = 0, 1, ..., (steps, R) float64."""
    numbers = range(epoch * steps, (epoch + 1) * steps)
    rates = [[learning_rate(one, step, steps, epochs) for one in optimizers] for step in numbers]
    return torch.tensor(rates, dtype=torch.float64)


def _train(stack: StackedModels, sgd: StackedSGD, batches: Minibatches, rates: Tensor) -> tuple[RunningSums, Tensor]:
    """Take the steps of one epoch; return every replica's sums, and its loss in each step (steps, R)."""
    sums, losses = RunningSums(), []
    for (features, labels), lr in zip(itertools.chain.from_iterable(batches), rates, strict=True):
        batch_losses, correct, gradients = stack.loss_and_gradients(features, labels)
        sgd.step(gradients, lr, len(labels))
        losses.append(sums.add(batch_losses, correct))
    return sums, torch.stack(losses).cpu()


def _measure(stack: StackedModels, batches: EvaluationBatches) -> RunningSums:
    """Return every replica's sums over the examples that are not trained on."""
    sums = RunningSums()
    for features, labels in batches:
        logits = stack.logits(features)
        every_label = labels.unsqueeze(1).expand(logits.shape[:2])
        sums.add(cross_entropy(logits, every_label), is_correct(logits, every_label))
    return sums


def _record(outcomes: Sequence[ReplicaOutcome], epoch: int, rates: Tensor, losses: Tensor, *sums: RunningSums) -> None:
    """Add the epoch to each history, or say where a loss is no longer finite.

    `rates` and `losses` are of its steps (steps, R); `sums` are those of training, then those of what is held out.
    """
    columns = [*(part for one in sums for part in (one.mean_loss, one.accuracy)), rates[-1]]
    for index, (outcome, *figures) in enumerate(zip(outcomes, *(each.tolist() for each in columns), strict=True)):
        bad = (~losses[:, index].isfinite()).nonzero()
        if outcome.failure is None and len(bad):
            batch = int(bad[0])
            outcome.failure = (
                f"the loss is not finite in epoch {epoch}, batch {batch + 1}, at learning rate "
                f"{rates[batch, index]:g}: lower optimizer.learning_rate"
            )
        if outcome.failure is None:
            outcome.history.append(Epoch(epoch, *figures))


def _per_replica(factor: Tensor, target: Tensor) -> Tensor:
    """Return `factor` (R,) in the dtype of `target` (R, ...), shaped to broadcast over it."""
    return factor.to(target).view(-1, *[1] * (target.dim() - 1))
