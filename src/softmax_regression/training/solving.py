"""One training by the solver that the params name, from a data set to an outcome."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from softmax_regression.artifacts.outcome import Epoch, History, Outcome, snapshot_epochs
from softmax_regression.data.datasets import Dataset, Examples, HeldOut
from softmax_regression.entry import without_collecting
from softmax_regression.mathematics import numpy_solver
from softmax_regression.params import ModelParams, OptimizerParams, TrainParams
from softmax_regression.progress import Progress


def solve(
    dataset: Dataset,
    validation_size: int,
    model: ModelParams,
    optimizer: OptimizerParams,
    train: TrainParams,
    *,
    on_epoch: Callable[[History], None],
    checkpoint: Path | None,
) -> Outcome:
    """Train on `dataset` and return what came out; `on_epoch` is called with the history after each epoch.

    `validation_size`: how many training examples are held out, see `Dataset.split`. `checkpoint`: see `lightning.fit`.
    Raises ValueError for params that the solver does not have, RuntimeError when the loss is not finite.
    """
    training, held_out = dataset.split(validation_size, train.seed)
    if train.solver == "sgd":
        with without_collecting(), _without_torchmetrics_extras():  # seconds, which the NumPy solver does not need
            from softmax_regression.training import lightning
    with Progress(train.epochs) as progress:

        def after_epoch(history: History) -> None:
            progress.show(history.named(history.last))
            on_epoch(history)

        if train.solver == "full_batch_numpy":
            return _solve_full_batch(dataset, training, held_out, model, optimizer, train, after_epoch)
        return lightning.fit(
            training,
            held_out,
            scale=dataset.scale,
            num_classes=dataset.num_classes,
            model=model,
            optimizer=optimizer,
            settings=train,
            on_epoch=after_epoch,
            checkpoint=checkpoint,
        )


def _solve_full_batch(
    dataset: Dataset,
    training: Examples,
    held_out: tuple[HeldOut, Examples],
    model: ModelParams,
    optimizer: OptimizerParams,
    train: TrainParams,
    on_epoch: Callable[[History], None],
) -> Outcome:
    """Run the NumPy solver: an epoch is one step over all examples, the weights start at zero."""
    plain = {"momentum": 0.0, "weight_decay": 0.0, "schedule": "constant", "warmup_epochs": 0}
    for key, value in plain.items():
        if (found := getattr(optimizer, key)) != value:
            raise ValueError(
                f"optimizer.{key} is {found!r}, but train.solver full_batch_numpy is plain gradient descent; "
                f"set optimizer.{key}: {value} or train.solver: sgd"
            )
    what, examples = held_out
    epochs: list[Epoch] = []
    snapshots = {}
    kept = snapshot_epochs(train.epochs)

    def on_iteration(progress: numpy_solver.Progress) -> None:
        if progress.iteration in kept:
            snapshots[progress.iteration] = progress.solution.weight.astype(np.float32)
        if progress.iteration == 0:
            return
        loss, accuracy = progress.solution.evaluate(examples.images, examples.labels)
        row = (progress.iteration, progress.loss, progress.accuracy, loss, accuracy, optimizer.learning_rate)
        epochs.append(Epoch(*row))
        on_epoch(History(what, tuple(epochs)))

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
    tensors = {"weight": solution.weight} | ({} if solution.bias is None else {"bias": solution.bias})
    arrays = {name: array.astype(np.float32) for name, array in tensors.items()}
    return Outcome(arrays, History(what, tuple(epochs)), snapshots)


@contextmanager
def _without_torchmetrics_extras() -> Iterator[None]:
    """Within it SciPy, torchvision and matplotlib, where they are not loaded yet, look as if they were not installed.

    Lightning imports torchmetrics, which imports whatever of them it finds, for metrics that nobody here asks for:
    1 s of 2.4 s (measured).
    """
    from lightning_utilities.core import imports

    extras = {"scipy", "torchvision", "matplotlib"} - set(sys.modules)
    nowhere: Any = dict.fromkeys(extras)  # with None for a module importlib finds no such package
    ask: Any = imports  # its own name for importlib.metadata.version

    def version_of_others(name: str) -> str:
        if name in extras:
            raise PackageNotFoundError(name)
        return version(name)

    sys.modules.update(nowhere)
    ask._version = version_of_others
    try:
        yield
    finally:
        ask._version = version
        for name in extras:
            del sys.modules[name]
