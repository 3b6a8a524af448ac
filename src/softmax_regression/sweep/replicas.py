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

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from softmax_regression.artifacts.outcome import Epoch
from softmax_regression.data.datasets import Examples
from softmax_regression.mathematics.batches import EvaluationBatches, Minibatches
from softmax_regression.mathematics.implementations import Scratch, build
from softmax_regression.mathematics.sgd import SGD, learning_rate_factor
from softmax_regression.mathematics.softmax import (
    RunningSums,
    SoftmaxRegression,
    cross_entropy,
    is_correct,
    loss_and_gradients,
)
from softmax_regression.params import ModelParams, OptimizerParams, TrainParams
from softmax_regression.training.devices import EVALUATION_BATCH, device_named, tensors_on


@dataclass
class ReplicaOutcome:
    """One configuration's training: final weight (K, D), bias (K,) or None, a row an epoch, and what stopped it.

    `failure` is None, or says in one line where the loss ceased to be finite; the rows end before that epoch.
    """

    history: list[Epoch] = field(default_factory=list)
    failure: str | None = None
    weight: npt.NDArray[np.float32] | None = None
    bias: npt.NDArray[np.float32] | None = None


OnEpoch = Callable[[Sequence[ReplicaOutcome]], None]


class ReplicatedTraining:
    """R models with their optimizer; each takes the steps that it would take alone, on the same minibatches."""

    def __init__(
        self,
        models: Sequence[ModelParams],
        optimizers: Sequence[OptimizerParams],
        batches: Minibatches,
        num_classes: int,
        settings: TrainParams,
        device: torch.device,
    ) -> None:
        singles = [build(model, batches.num_features, num_classes, seed=settings.seed) for model in models]
        self.model = SoftmaxRegression.stacked([single.model for single in singles if isinstance(single, Scratch)])
        self.model.to(device)
        self.optimizers = optimizers
        self.batches = batches
        self.epochs = settings.epochs
        self.outcomes = [ReplicaOutcome() for _ in models]
        self.sgd = SGD(
            self.model.parameters(),
            _column(optimizers, "learning_rate"),
            # A number where all replicas agree: at 0 the optimizer then skips what changes nothing.
            momentum=_shared(_column(optimizers, "momentum")),
            nesterov=optimizers[0].nesterov,
            weight_decay=_shared(_column(optimizers, "weight_decay")),
        )

    def train_epoch(self, epoch: int) -> RunningSums:
        """Take the steps of `epoch` = 0, 1, ...; mark the replicas whose loss is no longer finite."""
        self.batches.set_epoch(epoch)
        sums = RunningSums()
        losses = []
        step = epoch * self.batches.steps_per_epoch
        for chunk in self.batches:
            for features, labels in chunk:
                self._set_learning_rates(step)
                result = loss_and_gradients(features, labels, self.model.weight, self.model.bias)
                self.model.weight.grad = result.weight
                if self.model.bias is not None:
                    self.model.bias.grad = result.bias
                self.sgd.step(batch_size=len(labels))
                losses.append(sums.add(result.losses, result.correct))
                step += 1
        self._mark_failures(torch.stack(losses).cpu(), epoch)
        return sums

    @torch.no_grad()
    def measure(self, batches: EvaluationBatches) -> RunningSums:
        """Return every replica's sums over the examples that are not trained on."""
        sums = RunningSums()
        for features, labels in batches:
            logits = self.model(features)
            losses = cross_entropy(logits, labels.unsqueeze(-1).expand(logits.shape[:-1]))
            sums.add(losses, is_correct(logits, labels))
        return sums

    def add_rows(self, epoch: int, training: RunningSums, held_out: RunningSums, name: str) -> None:
        """Add the epoch's figures to the history of each replica that is still finite."""
        last_step = (epoch + 1) * self.batches.steps_per_epoch - 1
        columns = [sums.tolist() for sums in (training.mean_loss, training.accuracy)]
        columns += [sums.tolist() for sums in (held_out.mean_loss, held_out.accuracy)]
        names = ("train_loss", "train_accuracy", f"{name}_loss", f"{name}_accuracy")
        for outcome, settings, *figures in zip(self.outcomes, self.optimizers, *columns, strict=True):
            if outcome.failure is None:
                row = {"epoch": epoch + 1, **dict(zip(names, figures, strict=True))}
                row["learning_rate"] = self._learning_rate(settings, last_step)
                outcome.history.append(Epoch(**row))  # type: ignore[typeddict-item]  # the keys are an Epoch's

    def keep_weights(self) -> None:
        """Copy the weights into the outcomes."""
        weight = self.model.weight.detach().cpu().numpy()
        bias = None if self.model.bias is None else self.model.bias.detach().cpu().numpy()
        for index, outcome in enumerate(self.outcomes):
            outcome.weight = weight[index].copy()
            outcome.bias = None if bias is None else bias[index].copy()

    @property
    def all_failed(self) -> bool:
        """Whether no replica is left that is worth another epoch."""
        return all(outcome.failure for outcome in self.outcomes)

    def _set_learning_rates(self, step: int) -> None:
        rates = [self._learning_rate(settings, step) for settings in self.optimizers]
        for group in self.sgd.param_groups:
            group["lr"] = torch.tensor(rates, dtype=torch.float64)

    def _learning_rate(self, settings: OptimizerParams, step: int) -> float:
        return settings.learning_rate * learning_rate_factor(
            settings.schedule,
            step,
            steps_per_epoch=self.batches.steps_per_epoch,
            total_steps=self.batches.steps_per_epoch * self.epochs,
            step_epochs=settings.step_epochs,
            step_factor=settings.step_factor,
            warmup_epochs=settings.warmup_epochs,
        )

    def _mark_failures(self, losses: Tensor, epoch: int) -> None:
        """Mark the replicas with a loss that is not finite; `losses` (steps, R) of one epoch."""
        bad = ~losses.isfinite()
        for index in bad.any(0).nonzero().flatten().tolist():
            if self.outcomes[index].failure is None:
                batch = int(bad[:, index].nonzero()[0])
                rate = self._learning_rate(self.optimizers[index], epoch * self.batches.steps_per_epoch + batch)
                self.outcomes[index].failure = (
                    f"the loss is not finite in epoch {epoch + 1}, batch {batch + 1}, at learning rate {rate:g}: "
                    "lower optimizer.learning_rate"
                )


def fit_together(
    training: Examples,
    held_out: tuple[str, Examples],
    *,
    scale: float,
    num_classes: int,
    models: Sequence[ModelParams],
    optimizers: Sequence[OptimizerParams],
    settings: TrainParams,
    on_epoch: OnEpoch,
) -> list[ReplicaOutcome]:
    """Train one model for each pair of `models` and `optimizers`, all at once; return their outcomes, in order.

    Each one's weights are those that `training.fit` gives it alone, to float32 rounding. A replica whose loss is no
    longer finite is marked and does not disturb the others. `on_epoch` hears of the outcomes after each epoch.
    Raises ValueError where the models cannot share a pass: not the scratch implementation, some with and some without
    a bias or Nesterov's variant. Raises RuntimeError when there is no GPU where one is asked for.
    """
    kinds: dict[str, set[object]] = {
        "model.implementation other than scratch": {model.implementation for model in models} | {"scratch"},
        "model.bias true and false": {model.bias for model in models},
        "optimizer.nesterov true and false": {optimizer.nesterov for optimizer in optimizers},
    }
    for what, values in kinds.items():
        if len(values) > 1:
            raise ValueError(f"{what} cannot share a pass; train these configurations in passes of their own")
    device = device_named(settings.device)
    name, measured = held_out
    batches = Minibatches(
        *tensors_on(training, device), batch_size=settings.batch_size, seed=settings.seed, scale=scale
    )
    blocks = EvaluationBatches(*tensors_on(measured, device), batch_size=EVALUATION_BATCH, scale=scale)
    replicated = ReplicatedTraining(models, optimizers, batches, num_classes, settings, device)
    for epoch in range(settings.epochs):
        sums = replicated.train_epoch(epoch)
        replicated.add_rows(epoch, sums, replicated.measure(blocks), name)
        on_epoch(replicated.outcomes)
        if replicated.all_failed:
            break
    replicated.keep_weights()
    return replicated.outcomes


def _column(settings: Sequence[OptimizerParams], name: str) -> Tensor:
    """Return one setting of all replicas, (R,) float64."""
    return torch.tensor([getattr(one, name) for one in settings], dtype=torch.float64)


def _shared(values: Tensor) -> float | Tensor:
    return float(values[0]) if bool((values == values[0]).all()) else values
