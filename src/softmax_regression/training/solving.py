"""One training by the solver that the params name, from a data set to an outcome."""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from softmax_regression.artifacts.model import Array
from softmax_regression.artifacts.outcome import Epoch, History, Outcome, Snapshots, snapshot_epochs
from softmax_regression.data.datasets import Dataset, Examples, HeldOut
from softmax_regression.entry import without_collecting
from softmax_regression.mathematics import numpy_solver
from softmax_regression.params import ModelParams, OptimizerParams, TrainParams
from softmax_regression.progress import Progress
from softmax_regression.training.devices import device_named, evaluation_batch, tensors_on, threads_for
from softmax_regression.training.processes import ALONE, Processes, StoppedError


def solve(
    dataset: Dataset,
    validation_size: int,
    model: ModelParams,
    optimizer: OptimizerParams,
    train: TrainParams,
    *,
    on_epoch: Callable[[History], None],
    checkpoint: Path | None,
    show: bool = True,
    processes: Processes = ALONE,
) -> Outcome:
    """Train on `dataset` and return what came out; `on_epoch` is called with the history after each epoch.

    `validation_size`: how many training examples are held out, see `Dataset.split`. `checkpoint`: see `lightning.fit`.
    Raises ValueError for params that the solver does not have, RuntimeError when the loss is not finite. A solver that
    ends by itself says at the end, in one line, whether it has converged. With `show` false nothing is printed.
    Of several `processes` all call this.
    """
    _refuse_what_is_not_used(model, optimizer, train, processes)
    training, held_out = dataset.split(validation_size, train.seed)
    if train.solver == "sgd":
        with without_collecting(), _without_torchmetrics_extras():  # seconds, which the other solvers do not need
            from softmax_regression.training import lightning
    with Progress(train.epochs, show=show and processes.rank == 0) as progress:

        def after_epoch(history: History) -> None:
            progress.show(history.named(history.last))
            on_epoch(history)

        if train.solver == "full_batch_numpy":
            return _solve_full_batch(dataset, training, held_out, model, optimizer, train, after_epoch)
        if train.solver == "sgd":
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
                processes=processes,
            )
        outcome = _solve_lbfgs(dataset, training, held_out, model, optimizer, train, after_epoch)
    if outcome.convergence and show:
        print(outcome.convergence.words, flush=True)
    return outcome


# What a solver of the whole training set does not have: the values that the params must have, and what it is.
_STEPS_OF_SGD: dict[str, Any] = {"momentum": 0.0, "schedule": "constant", "warmup_epochs": 0}
_FULL_BATCH: dict[str, tuple[dict[str, Any], str]] = {
    "full_batch_numpy": (_STEPS_OF_SGD | {"weight_decay": 0.0}, "is plain gradient descent"),
    "lbfgs": (_STEPS_OF_SGD, "finds its steps by itself"),
}


def _refuse_what_is_not_used(
    model: ModelParams, optimizer: OptimizerParams, train: TrainParams, processes: Processes
) -> None:
    """Raise ValueError for a param that the solver does not have; a rate and a batch size are there for the others.

    Raises StoppedError where processes would come to other bits than one.
    """
    if processes.count > 1 and (train.solver, model.implementation) != ("sgd", "exact"):
        raise StoppedError(
            f"{processes.count} processes train alike only where no order of a sum matters; set train.processes: 1, or "
            f"train.solver: sgd and model.implementation: exact (found {train.solver}, {model.implementation})"
        )
    values, what = _FULL_BATCH.get(train.solver, ({}, ""))
    for key, value in values.items():
        if (found := getattr(optimizer, key)) != value:
            raise ValueError(
                f"optimizer.{key} is {found!r}, but train.solver {train.solver} {what}; "
                f"set optimizer.{key}: {value} or train.solver: sgd"
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
    training, what, examples = training.gathered(), held_out[0], held_out[1].gathered()
    epochs: list[Epoch] = []
    snapshots = {}
    kept = snapshot_epochs(train.epochs, dataset.num_classes * dataset.train.images[0].size)

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
    return Outcome(_float32(solution.weight, solution.bias), History(what, tuple(epochs)), snapshots)


def _solve_lbfgs(
    dataset: Dataset,
    training: Examples,
    held_out: tuple[HeldOut, Examples],
    model: ModelParams,
    optimizer: OptimizerParams,
    train: TrainParams,
    on_epoch: Callable[[History], None],
) -> Outcome:
    """Run L-BFGS: an epoch is an iteration, train.epochs their largest number, the weights start at zero.

    It is deterministic on one machine and keeps no checkpoint: a killed training starts anew.
    """
    import torch

    from softmax_regression.mathematics.batches import EvaluationBatches, Inputs
    from softmax_regression.training import lbfgs

    device = device_named(train.device)
    num_features, num_classes = dataset.train.images[0].size, dataset.num_classes
    size = evaluation_batch(num_features, num_classes)
    what, examples = held_out
    blocks, others = (EvaluationBatches(*tensors_on(part, device), batch_size=size) for part in (training, examples))
    scale = torch.as_tensor(dataset.scale, dtype=torch.float64, device=device)
    inputs = Inputs(num_features, torch.from_numpy(dataset.train.images[:0]).dtype, scale, size)
    epochs: list[Epoch] = []
    snapshots = Snapshots()
    snapshots.add(0, np.zeros((num_classes, num_features), np.float32))

    def on_iteration(iterate: lbfgs.Iterate) -> None:
        snapshots.add(iterate.iteration, iterate.weight.numpy().astype(np.float32))
        figures = (iterate.loss, iterate.accuracy, *lbfgs.measure(others, inputs, iterate))
        epochs.append(Epoch(iterate.iteration, *figures, learning_rate=math.nan))
        on_epoch(History(what, tuple(epochs)))

    last, convergence = lbfgs.fit(
        blocks,
        inputs,
        num_classes,
        bias=model.bias,
        weight_decay=optimizer.weight_decay,
        iterations=train.epochs,
        threads=threads_for(size * num_features * num_classes) if device.type == "cpu" else 1,
        on_iteration=on_iteration,
    )
    arrays = _float32(last.weight.numpy(), None if last.bias is None else last.bias.numpy())
    return Outcome(arrays, History(what, tuple(epochs)), snapshots.all(), convergence)


def _float32(weight: Array, bias: Array | None) -> dict[str, Array]:
    tensors = {"weight": weight} | ({} if bias is None else {"bias": bias})
    return {name: array.astype(np.float32) for name, array in tensors.items()}


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
