"""Training many configurations in one pass: each minibatch is read once, for a stack of models.

Shape legend: B batch, D features, K classes, R replicas. A replica ends with the very bits that its configuration has
when it is trained alone: sums are exact (see mathematics/exact.py), so it does not matter that the forward pass of all
replicas is one matrix product, (R K, D) times (D, B), and so is their gradient, nor how many threads share them.

What the replicas share is what the batches are made of: the data, batch_size, epochs and seed. The seed fixes the
initial weights *and* the order of the examples, so another seed is another pass: one order for all seeds would
understate how much they differ, to a fifth and less of their standard deviation (measured).
"""

import itertools
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from softmax_regression.artifacts.outcome import Epoch, snapshot_epochs
from softmax_regression.data.datasets import Examples
from softmax_regression.mathematics.batches import EvaluationBatches, Minibatches
from softmax_regression.mathematics.implementations import Exact, build, learning_rate
from softmax_regression.mathematics.products import check_sums
from softmax_regression.mathematics.sgd import update
from softmax_regression.mathematics.softmax import RunningSums
from softmax_regression.params import ModelParams, OptimizerParams, TrainParams
from softmax_regression.sweep.plan import FEWEST
from softmax_regression.training.devices import device_named, evaluation_batch, tensors_on


@dataclass
class ReplicaOutcome:
    """One configuration's training: the rows of its history, its weights after some epochs, and its final arrays.

    `failure` is None, or says in one line where the loss ceased to be finite; then the history ends before that epoch,
    and there are no arrays. Nor are there where `pruned` says after which epoch it made room for better ones. `answers`
    (N,) bool: which held-out examples are right after the last epoch.
    """

    epochs: list[Epoch] = field(default_factory=list)
    failure: str | None = None
    pruned: str | None = None
    tensors: dict[str, npt.NDArray[np.floating]] = field(default_factory=dict)
    snapshots: dict[int, npt.NDArray[np.floating]] = field(default_factory=dict)
    answers: npt.NDArray[np.bool_] | None = None


class StackedSGD:
    """The update rule `sgd.SGD` of parameters (R, ...), with a learning rate, momentum and weight decay a replica.

    It is no torch optimizer: to make one takes a second, for torch's compiler, which is imported then.
    """

    def __init__(self, parameters: Iterable[Tensor], optimizers: Sequence[OptimizerParams]) -> None:
        self.parameters = list(parameters)
        self.lr = self.each([one.learning_rate for one in optimizers])
        momentum = self.each([one.momentum for one in optimizers])
        weight_decay = self.each([one.weight_decay for one in optimizers])
        self.momentum = momentum if momentum.any() else 0.0
        self.weight_decay = weight_decay if weight_decay.any() else 0.0
        self.velocities = [torch.zeros_like(p) if momentum.any() else None for p in self.parameters]
        self.nesterov = optimizers[0].nesterov

    def each(self, values: Sequence[Any]) -> Tensor:
        """Return a value for each replica, (R,), or several such rows, as `step` takes them."""
        return torch.tensor(values, dtype=torch.float64, device=self.parameters[0].device)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these replicas alone, in the very tensors of the model."""
        for p in self.parameters:
            p.data, p.grad = p.data[rows], None
        self.velocities = [None if velocity is None else velocity[rows] for velocity in self.velocities]
        self.lr = self.lr[rows]
        self.momentum, self.weight_decay = (
            c[rows] if isinstance(c, Tensor) else c for c in (self.momentum, self.weight_decay)
        )

    def step(self, *, batch_size: int) -> None:
        """Update the parameters by their gradients, those of the summed loss, at the learning rates `lr` (R,)."""
        for p, velocity in zip(self.parameters, self.velocities, strict=True):
            lr, momentum, decay = (
                c.view(-1, *[1] * (p.dim() - 1)) if isinstance(c, Tensor) else c
                for c in (self.lr, self.momentum, self.weight_decay)
            )
            assert p.grad is not None
            update(p, p.grad, velocity, batch_size, lr, momentum, decay, self.nesterov)


class Stack:
    """R replicas as one model, "weight" (R, K, D) and "bias" (R, K) or none, trained by the steps of one alone."""

    def __init__(
        self,
        replicas: Sequence[tuple[ModelParams, OptimizerParams]],
        settings: TrainParams,
        batches: Minibatches,
        num_classes: int,
        device: torch.device,
    ) -> None:
        models, self.optimizers = zip(*replicas, strict=True)
        self.settings, self.batches = settings, batches
        self.outcomes = [ReplicaOutcome() for _ in replicas]
        alone = [build(model, batches.inputs, num_classes, seed=settings.seed).tensors() for model in models]
        stacked = {name: torch.stack([tensors[name] for tensors in alone]) for name in alone[0]}

        def draw(*_: int) -> tuple[Tensor, Tensor | None]:
            return stacked["weight"], stacked.get("bias")

        self.exact = Exact(models[0], batches.inputs, num_classes, draw, torch.float32)
        self.exact.model.to(device)
        self.sgd = StackedSGD(self.exact.model.parameters(), self.optimizers)
        self._keep_snapshots(0)

    def run_epoch(self, epoch: int, held_out: EvaluationBatches) -> None:
        """Take the steps of `epoch` = 0, 1, ..., measure `held_out`, and add the figures to the outcomes."""
        steps, epochs = self.batches.steps_per_epoch, self.settings.epochs
        numbers = range(epoch * steps, (epoch + 1) * steps)
        rates = [[learning_rate(one, step, steps, epochs) for one in self.optimizers] for step in numbers]
        training, validation, finite = RunningSums(), RunningSums(), []  # finite: (R,) bool a step
        right = []  # (R, B) bool a batch of what is held out
        for (stored, labels), lr in zip(itertools.chain.from_iterable(self.batches), self.sgd.each(rates), strict=True):
            self.sgd.lr = lr
            measured = self.exact.step(self.sgd, stored, labels)
            finite.append(_add(training, *self.exact.measures([measured])))
        for stored, labels in held_out:
            losses, correct = self.exact.measure(stored, labels)
            finite.append(_add(validation, losses, correct))
            right.append(correct)
        figures = (training.mean_loss, training.accuracy, validation.mean_loss, validation.accuracy)
        rows = torch.stack([*figures, self.sgd.lr.cpu()], 1).tolist()
        for index, (outcome, is_finite) in enumerate(zip(self.outcomes, torch.stack(finite, 1).cpu(), strict=True)):
            if outcome.failure is None and not is_finite.all():
                bad = int((~is_finite).nonzero()[0])
                where = f"batch {bad + 1}" if bad < len(rates) else "after its last batch"
                outcome.failure = self.exact.stopped(epoch + 1, where, rates[min(bad, len(rates) - 1)][index])
            if outcome.failure is None:
                outcome.epochs.append(Epoch(epoch + 1, *rows[index]))
        if epoch + 1 == epochs:
            for outcome, answers in zip(self.outcomes, torch.cat(right, 1).cpu().numpy(), strict=True):
                outcome.answers = answers
        self._keep_snapshots(epoch + 1)

    def drop_pruned(self) -> None:
        """Go on without the replicas that have been pruned or have failed; nothing changes for the others."""
        rows = [row for row, one in enumerate(self.outcomes) if not (one.pruned or one.failure)]
        self.outcomes = [self.outcomes[row] for row in rows]
        self.optimizers = tuple(self.optimizers[row] for row in rows)
        self.sgd.keep(rows)

    def keep_tensors(self) -> None:
        """Give the outcomes that have not failed their final arrays."""
        for name, tensor in self.exact.tensors().items():
            for outcome, array in zip(self.outcomes, tensor.cpu().numpy(), strict=True):
                if outcome.failure is None:
                    outcome.tensors[name] = array.copy()

    def _keep_snapshots(self, epoch: int) -> None:
        stacked = self.exact.tensors()["weight"]
        if epoch in snapshot_epochs(self.settings.epochs, stacked[0].numel()):
            weights = stacked.float().cpu().numpy()  # rounded, so these are no views
            for outcome, weight in zip(self.outcomes, weights, strict=True):
                outcome.snapshots[epoch] = weight


def _add(sums: RunningSums, losses: Tensor, correct: Tensor) -> Tensor:
    """Add losses and hits (R, B) to `sums`; return whether each replica's losses are finite, (R,) bool.

    Where they are not, the replica's own sums become meaningless, and no other's.
    """
    sums.add(losses.t(), correct.t())
    return losses.isfinite().all(1)


def _prune(outcomes: Sequence[ReplicaOutcome], epoch: int, epochs: int) -> None:
    """Mark the worse half of those that are still trained, by validation accuracy, of equal ones by loss."""
    going_on = [one for one in outcomes if not (one.failure or one.pruned)]
    ranked = sorted(going_on, key=lambda one: (-one.epochs[-1].held_out_accuracy, one.epochs[-1].held_out_loss))
    for place, one in enumerate(ranked[math.ceil(len(ranked) / 2) :], math.ceil(len(ranked) / 2) + 1):
        accuracy = one.epochs[-1].held_out_accuracy
        one.pruned = f"pruned after epoch {epoch} of {epochs}: accuracy {accuracy:.4f}, place {place} of {len(ranked)}"


def fit_together(
    training: Examples,
    held_out: Examples,
    *,
    scale: float | Sequence[float],
    num_classes: int,
    models: Sequence[ModelParams],
    optimizers: Sequence[OptimizerParams],
    settings: TrainParams,
    on_epoch: Callable[[Sequence[ReplicaOutcome]], None],
    rungs: Collection[int] = (),
) -> list[ReplicaOutcome]:
    """Train one model for each pair of `models` and `optimizers`, all at once; return their outcomes, in order.

    All are of the exact implementation and alike in bias and Nesterov's variant, as those of `plan.passes` are. Each
    one's arrays, snapshots and history are, bit for bit, those that `lightning.fit` gives it alone. A replica whose
    loss is no longer finite is marked and does not disturb the others. `on_epoch` is called with the outcomes after
    each epoch. After the epochs in `rungs` the better half goes on, and the rest is marked as pruned. Raises
    RuntimeError when there is no GPU where one is asked for.

    On the CPU each thread has a stack of its own, so threads meet once an epoch. Threads inside torch's operations
    meet several thousand times an epoch, and on a busy machine wait for each other most of the time.
    """
    device = device_named(settings.device)
    check_sums(device)
    batches = Minibatches(
        *tensors_on(training, device), batch_size=settings.batch_size, seed=settings.seed, scale=scale
    )
    size = evaluation_batch(batches.inputs.num_features, num_classes * len(models))
    blocks = EvaluationBatches(*tensors_on(held_out, device), batch_size=size)
    replicas = list(zip(models, optimizers, strict=True))
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    share = max(FEWEST, math.ceil(len(replicas) / threads))
    parts = [replicas[i : i + share] for i in range(0, len(replicas), share)]
    stacks = [Stack(part, settings, batches, num_classes, device) for part in parts]
    outcomes = [outcome for stack in stacks for outcome in stack.outcomes]
    with ThreadPoolExecutor(len(stacks), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for epoch in range(settings.epochs):
            batches.set_epoch(epoch)
            for _ in pool.map(lambda stack, epoch=epoch: stack.run_epoch(epoch, blocks), stacks):
                pass
            on_epoch(outcomes)
            if epoch + 1 in rungs:
                _prune(outcomes, epoch + 1, settings.epochs)
                for stack in stacks:
                    stack.drop_pruned()
                stacks = [stack for stack in stacks if stack.outcomes]
            if all(outcome.failure for outcome in outcomes):
                break
    for stack in stacks:
        stack.keep_tensors()
    return outcomes
