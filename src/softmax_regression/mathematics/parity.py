"""Parity: implementations trained side by side, from the same weights on the same batches, and how far they differ.

The proof that the hand-coded layer, loss and SGD do what torch's own do: in float64 the weights agree to 1e-10 for
every option of the optimizer, and those of exact sums to what their grids explain; in float32 the test accuracy does to
0.001 (tests/mathematics/test_parity.py).
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from softmax_regression.mathematics.batches import EvaluationBatches, Inputs, Minibatches
from softmax_regression.mathematics.implementations import Implementation, build, learning_rate
from softmax_regression.mathematics.softmax import RunningSums
from softmax_regression.numerics.grids import Grids
from softmax_regression.params import ModelParams, OptimizerParams

REFERENCE = "library"
COMPARED = ("exact", "scratch")


@dataclass(frozen=True)
class Row:
    """One epoch of trainings side by side; a tuple has a value for each of `COMPARED`, that of accuracies one more.

    `weight_differences` are the largest absolute differences of any weight or bias from the reference's after the
    epoch, `loss_differences` those of the mean training losses over it in nats; accuracies are in [0, 1], the
    reference's last. `bound`: how far the grids of exact sums can have moved a weight, see `_perturbation`.
    """

    epoch: int
    weight_differences: tuple[float, ...]
    loss_differences: tuple[float, ...]
    accuracies: tuple[float, ...]
    bound: float

    def named(self) -> dict[str, float]:
        """Return the figures under the names that a run shows."""
        named = {"grid_bound": self.bound}
        for name, weight, loss in zip(COMPARED, self.weight_differences, self.loss_differences, strict=True):
            named |= {f"{name}_weight_difference": weight, f"{name}_loss_difference": loss}
        accuracies = zip((*COMPARED, REFERENCE), self.accuracies, strict=True)
        return named | {f"{name}_accuracy": accuracy for name, accuracy in accuracies}


def compare(
    model: ModelParams,
    optimizer: OptimizerParams,
    training: Minibatches,
    test: EvaluationBatches,
    *,
    num_classes: int,
    epochs: int,
    seed: int,
    dtype: torch.dtype,
) -> list[Row]:
    """Train the implementations of `COMPARED` and the reference, whichever `model` itself names; a row for each epoch.

    All start from the initial weights of `seed` and step on each minibatch in turn, in `dtype`; exact sums in float64.
    """
    names = (*COMPARED, REFERENCE)
    configurations = [model.model_copy(update={"implementation": name}) for name in names]
    inputs = training.inputs
    trainees = [build(one, inputs, num_classes, seed=seed, dtype=dtype) for one in configurations]
    updaters = [trainee.build_optimizer(optimizer) for trainee in trainees]
    grids = inputs.grids(num_classes)
    bound, velocity = 0.0, 0.0
    finite = [True for _ in trainees]
    rows = []
    for epoch in range(epochs):
        training.set_epoch(epoch)
        sums = [RunningSums() for _ in trainees]
        first_step = epoch * training.steps_per_epoch
        for step, (stored, labels) in enumerate(itertools.chain.from_iterable(training), first_step):
            rate = learning_rate(optimizer, step, training.steps_per_epoch, epochs)
            for index, (trainee, updater) in enumerate(zip(trainees, updaters, strict=True)):
                for group in updater.param_groups:
                    group["lr"] = rate
                step_losses, correct = trainee.measures([trainee.step(updater, stored, labels)])
                finite[index] = finite[index] and bool(step_losses.isfinite().all())
                sums[index].add(step_losses, correct)
            moved = _perturbation(stored, inputs, grids, num_classes)
            velocity = optimizer.momentum * velocity + moved
            bound += rate * (moved + optimizer.momentum * velocity if optimizer.nesterov else velocity)
        losses = [float(total.mean_loss) if one else math.nan for total, one in zip(sums, finite, strict=True)]
        *others, reference = trainees
        rows.append(
            Row(
                epoch + 1,
                tuple(_weight_difference(other, reference) for other in others),
                tuple(abs(loss - losses[-1]) for loss in losses[:-1]),
                tuple(_accuracy(trainee, test) for trainee in trainees),
                bound,
            )
        )
    return rows


def table_cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Return a table's header and its rows as text: differences in powers of ten, accuracies to 1e-4."""
    header = ["epoch", *(f"{name} - {REFERENCE}" for name in COMPARED), "grids explain"]
    header += [f"accuracy {name}" for name in (*COMPARED, REFERENCE)]
    cells = [
        [
            f"{row.epoch}",
            *(f"{value:.1e}" for value in (*row.weight_differences, row.bound)),
            *(f"{value:.4f}" for value in row.accuracies),
        ]
        for row in rows
    ]
    return header, cells


def _perturbation(stored: Tensor, inputs: Inputs, grids: Grids, num_classes: int) -> float:
    """Return a bound of what the grids change in a step's mean gradient (Frobenius norm), all roundings at their worst.

    Scaled weights are off by half a step of their grid, 2^-(g+1), so a logit of example q by |q|_1 2^-(g+1); softmax
    halves that (its Jacobian's norm is at most 1/2), and the errors' own grid adds 2^-(h+1). All this K times, in the
    norm, and times the norm of the example's features x (with a 1 for the bias). It bounds how far the weights can have
    moved as long as no step enlarges an earlier difference, as gradient descent on a convex loss does not with a
    learning rate below 2 / curvature.
    """
    values = stored.double()
    features = inputs.features(stored, torch.float64)
    errors = values.abs().sum(1) * 2.0 ** (-grids.weight_bits - 2) + 2.0 ** (-grids.error_bits - 1)
    norms = (features.square().sum(1) + 1).sqrt()
    return math.sqrt(num_classes) * float((errors * norms).mean())


def _accuracy(trainee: Implementation, test: EvaluationBatches) -> float:
    return float(torch.cat([trainee.measure(*batch)[1] for batch in test]).double().mean())


def _weight_difference(first: Implementation, second: Implementation) -> float:
    others = second.tensors()
    return max(float((tensor - others[name]).abs().max()) for name, tensor in first.tensors().items())
