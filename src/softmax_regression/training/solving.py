"""One training by the solver that the params name, from a data set to an outcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np

from softmax_regression.artifacts.outcome import Epoch, Outcome, snapshot_epochs
from softmax_regression.data.datasets import Dataset, Examples, hold_out
from softmax_regression.entry import without_collecting
from softmax_regression.evaluation.metrics import accuracy, cross_entropy
from softmax_regression.mathematics import numpy_solver
from softmax_regression.params import ModelParams, OptimizerParams, TrainParams
from softmax_regression.progress import Progress

OnEpoch = Callable[[Sequence[Epoch]], None]


def solve(
    dataset: Dataset,
    validation_size: int,
    model: ModelParams,
    optimizer: OptimizerParams,
    train: TrainParams,
    *,
    on_epoch: OnEpoch,
    checkpoint: Path | None,
) -> Outcome:
    """Train on `dataset` and return what came out; `on_epoch` hears of the history after each epoch.

    `validation_size` 0 trains on all training examples and measures the test set after each epoch, as the book does;
    nothing is selected by it. Otherwise so many training examples are held out and measured instead.
    Raises ValueError for params that the solver does not have, RuntimeError when the loss is not finite.
    """
    training, held_out, name = dataset.train, dataset.test, "test"
    if validation_size:
        kept, out = hold_out(training.labels, validation_size, train.seed)
        training, held_out = (Examples(training.images[part], training.labels[part]) for part in (kept, out))
        name = "validation"
    if train.solver == "sgd":
        with without_collecting():  # seconds of imports, which the NumPy solver does not need
            from softmax_regression.training import lightning
    with Progress(train.epochs) as progress:

        def tell(history: Sequence[Epoch]) -> None:
            progress.show(history[-1])
            on_epoch(history)

        if train.solver == "full_batch_numpy":
            return _solve_full_batch(dataset, training, held_out, name, model, optimizer, train, tell)
        return lightning.fit(
            training,
            (name, held_out),
            scale=dataset.scale,
            num_classes=dataset.num_classes,
            model=model,
            optimizer=optimizer,
            settings=train,
            on_epoch=tell,
            checkpoint=checkpoint,
        )


def _solve_full_batch(
    dataset: Dataset,
    training: Examples,
    held_out: Examples,
    name: str,
    model: ModelParams,
    optimizer: OptimizerParams,
    train: TrainParams,
    tell: OnEpoch,
) -> Outcome:
    """Run the NumPy solver: an epoch is one step over all examples, the weights start at zero."""
    plain = {"momentum": 0.0, "weight_decay": 0.0, "schedule": "constant", "warmup_epochs": 0}
    for key, value in plain.items():
        if (found := getattr(optimizer, key)) != value:
            raise ValueError(
                f"optimizer.{key} is {found!r}, but train.solver full_batch_numpy is plain gradient descent; "
                f"set optimizer.{key}: {value} or train.solver: sgd"
            )
    history: list[Epoch] = []
    snapshots = {}
    kept = snapshot_epochs(train.epochs)

    def on_iteration(progress: numpy_solver.Progress) -> None:
        if progress.iteration in kept:
            snapshots[progress.iteration] = progress.solution.weight.astype(np.float32)
        if progress.iteration == 0:
            return
        probabilities = progress.solution.predict_proba(held_out.images)
        row = {
            "epoch": progress.iteration,
            "train_loss": progress.loss,
            "train_accuracy": progress.accuracy,
            f"{name}_loss": cross_entropy(np.log(np.maximum(probabilities, 1e-300)), held_out.labels),
            f"{name}_accuracy": accuracy(held_out.labels, probabilities.argmax(axis=1)),
            "learning_rate": optimizer.learning_rate,
        }
        history.append(cast(Epoch, row))
        tell(history)

    solution = numpy_solver.fit(
        training.images,
        training.labels,
        dataset.num_classes,
        learning_rate=optimizer.learning_rate,
        iterations=train.epochs,
        bias=model.bias,
        scale=dataset.scale,
        on_iteration=on_iteration,
    )
    bias = None if solution.bias is None else solution.bias.astype(np.float32)
    return Outcome(solution.weight.astype(np.float32), bias, history, snapshots)
