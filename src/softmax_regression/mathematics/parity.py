"""Parity: two implementations trained side by side, from the same weights on the same batches, and how far they part.

The proof that the hand-coded layer, loss and SGD do what torch's own do: in float64 the weights agree to 1e-10 for
every option of the optimizer, in float32 the test accuracy does to 0.001 (tests/test_parity.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

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
    twins = [
        build(
            model.model_copy(update={"implementation": name}),
            training.num_features,
            num_classes,
            seed=seed,
            dtype=training.dtype,
        )
        for name in names
    ]
    updaters = [twin.build_optimizer(optimizer) for twin in twins]
    rows = []
    step = 0
    for epoch in range(epochs):
        training.set_epoch(epoch)
        sums = [RunningSums() for _ in twins]
        for chunk in training:
            for features, labels in chunk:
                rate = learning_rate(optimizer, step, training.steps_per_epoch, epochs)
                for twin, updater, total in zip(twins, updaters, sums, strict=True):
                    for group in updater.param_groups:
                        group["lr"] = rate
                    total.add(*twin.step(updater, features, labels))
                step += 1
        losses = [float(total.mean_loss) for total in sums]
        accuracies = [_accuracy(twin, test) for twin in twins]
        rows.append(Row(epoch + 1, _weight_difference(*twins), abs(losses[0] - losses[1]), *accuracies))
    return rows


def table(rows: Sequence[Row], names: tuple[str, str] = ("scratch", "library")) -> str:
    """Return the rows as lines of text under a heading, for a terminal."""
    heading = ("epoch", "weight difference", "loss difference", *(f"accuracy {name}" for name in names))
    lines = ["  ".join(heading)]
    for row in rows:
        cells = (
            f"{row.epoch}",
            f"{row.weight_difference:.1e}",
            f"{row.loss_difference:.1e}",
            f"{row.first_accuracy:.4f}",
            f"{row.second_accuracy:.4f}",
        )
        lines.append("  ".join(cell.rjust(len(title)) for cell, title in zip(cells, heading, strict=True)))
    return "\n".join(lines)


@torch.no_grad()
def _accuracy(twin: Implementation, test: EvaluationBatches) -> float:
    sums = RunningSums()
    for features, labels in test:
        logits = twin.model(features)
        sums.add(twin.losses(logits, labels), is_correct(logits, labels))
    return float(sums.accuracy)


def _weight_difference(first: Implementation, second: Implementation) -> float:
    return max(_largest_difference(a, b) for a, b in zip(_weights(first), _weights(second), strict=True))


def _weights(twin: Implementation) -> list[Tensor]:
    return [twin.weight] if twin.bias is None else [twin.weight, twin.bias]


def _largest_difference(first: Tensor, second: Tensor) -> float:
    return float((first.detach() - second.detach()).abs().max())
