"""Parity: two implementations trained side by side, from the same weights on the same batches, and how far they differ.

The proof that the hand-coded layer, loss and SGD do what torch's own do: in float64 the weights agree to 1e-10 for
every option of the optimizer, in float32 the test accuracy does to 0.001 (tests/mathematics/test_parity.py).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from softmax_regression.mathematics.batches import EvaluationBatches, Minibatches
from softmax_regression.mathematics.implementations import Implementation, build, learning_rate
from softmax_regression.mathematics.softmax import RunningSums, is_correct
from softmax_regression.params import ModelParams, OptimizerParams


@dataclass(frozen=True)
class Row:
    """One epoch of two trainings side by side; losses in nats, accuracies in [0, 1].

    `weight_difference` is the largest absolute difference of any weight or bias after the epoch, and
    `loss_difference` that of the mean training losses over it.
    """

    epoch: int
    weight_difference: float
    loss_difference: float
    first_accuracy: float
    second_accuracy: float


def compare(
    model: ModelParams,
    optimizer: OptimizerParams,
    training: Minibatches,
    test: EvaluationBatches,
    *,
    num_classes: int,
    epochs: int,
    seed: int,
    names: tuple[str, str] = ("scratch", "library"),
) -> list[Row]:
    """Train the two implementations `names`, whichever `model` itself names, and return a row for each epoch.

    Both start from the initial weights of `seed`, in the dtype of the batches, and step on each minibatch in turn.
    """
    configurations = [model.model_copy(update={"implementation": name}) for name in names]
    twins = [build(one, training.num_features, num_classes, seed=seed, dtype=training.dtype) for one in configurations]
    updaters = [twin.build_optimizer(optimizer) for twin in twins]
    rows = []
    for epoch in range(epochs):
        training.set_epoch(epoch)
        sums = [RunningSums() for _ in twins]
        first_step = epoch * training.steps_per_epoch
        for step, (features, labels) in enumerate(itertools.chain.from_iterable(training), first_step):
            rate = learning_rate(optimizer, step, training.steps_per_epoch, epochs)
            for twin, updater, total in zip(twins, updaters, sums, strict=True):
                for group in updater.param_groups:
                    group["lr"] = rate
                total.add(*twin.step(updater, features, labels))
        losses = [float(total.mean_loss) for total in sums]
        accuracies = [_accuracy(twin, test) for twin in twins]
        rows.append(Row(epoch + 1, _weight_difference(*twins), abs(losses[0] - losses[1]), *accuracies))
    return rows


def table_cells(
    rows: Sequence[Row], names: tuple[str, str] = ("scratch", "library")
) -> tuple[list[str], list[list[str]]]:
    """Return a table's header and its rows as text: differences in powers of ten, accuracies to 1e-4."""
    header = ["epoch", "weight difference", "loss difference", *(f"accuracy {name}" for name in names)]
    cells = [
        [
            f"{row.epoch}",
            f"{row.weight_difference:.1e}",
            f"{row.loss_difference:.1e}",
            f"{row.first_accuracy:.4f}",
            f"{row.second_accuracy:.4f}",
        ]
        for row in rows
    ]
    return header, cells


@torch.no_grad()
def _accuracy(twin: Implementation, test: EvaluationBatches) -> float:
    return float(torch.cat([is_correct(twin.model(features), labels) for features, labels in test]).double().mean())


def _weight_difference(first: Implementation, second: Implementation) -> float:
    others = second.tensors()
    return max(float((tensor - others[name]).abs().max()) for name, tensor in first.tensors().items())
