"""Training with Lightning: the module around the hand-coded layer, loss and SGD, and `fit`. The only Lightning file.

Lightning keeps the loop: epochs, validation, devices, checkpoints, resuming, and it counts the steps. Optimization is
manual, so that one `training_step` may take a chunk of several minibatches, each of them one optimizer step: the
trajectory is the plain one and Lightning's own cost is paid once a chunk.
Shapes: B batch, D features, K classes.
"""

import logging
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import CheckpointIO
from torch import Tensor

from softmax_regression.artifacts.outcome import Epoch, History, Outcome, snapshot_epochs
from softmax_regression.data.datasets import Examples, HeldOut
from softmax_regression.mathematics.batches import Chunk, EvaluationBatches, Minibatches
from softmax_regression.mathematics.implementations import Implementation, build, learning_rate
from softmax_regression.mathematics.products import check_sums
from softmax_regression.mathematics.softmax import RunningSums
from softmax_regression.params import ModelParams, OptimizerParams, TrainParams
from softmax_regression.training.checkpoints import read_state, write_state
from softmax_regression.training.devices import (
    device_named,
    evaluation_batch,
    tensors_on,
    use_quickest_threads,
)

OnEpoch = Callable[[History], None]
CHECKPOINT = "last.ckpt"


class SoftmaxRegressionTraining(pl.LightningModule):
    """One training: a model with its update rule, fed with chunks of minibatches; `epochs` grows a row an epoch.

    `held_out` says which examples are measured after each epoch.
    """

    def __init__(
        self,
        implementation: Implementation,
        optimizer: OptimizerParams,
        total_epochs: int,
        steps_per_epoch: int,
        held_out: HeldOut,
        on_epoch: OnEpoch,
        checkpoint: Path | None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.implementation = implementation
        self.model = implementation.model
        self.settings = optimizer
        self.total_epochs = total_epochs
        self.steps_per_epoch = steps_per_epoch
        self.held_out = held_out
        self.on_epoch = on_epoch
        self.checkpoint = checkpoint
        self.epochs: list[Epoch] = []
        self.snapshots: dict[int, Tensor] = {0: self._weight()}  # float32

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Hand the optimizer to Lightning, which checkpoints it and counts its steps."""
        return self.implementation.build_optimizer(self.settings)

    def on_train_epoch_start(self) -> None:
        """Begin the sums of an epoch."""
        self.training_sums = RunningSums()

    def training_step(self, chunk: Chunk, index: int) -> None:
        """Take one optimizer step for each minibatch of the chunk.

        Raises RuntimeError when a loss is not finite, naming the epoch, the batch and what to change.
        """
        optimizer: Any = self.optimizers()
        first_step = self.trainer.global_step
        groups = optimizer.param_groups
        measured = []
        for step, (stored, labels) in enumerate(chunk, first_step):
            # A pure function of the step's number, so that resuming needs no state.
            rate = self._rate_of(step)
            for group in groups:
                group["lr"] = rate
            measured.append(self.implementation.step(optimizer, stored, labels))
        losses, correct = self.implementation.measures(measured)
        if not (finite := losses.isfinite()).all():
            bad = first_step + int((~finite).nonzero()[0]) // self.implementation.inputs.batch_size
            self._fail(f"batch {bad % self.steps_per_epoch + 1}", bad)
        self.training_sums.add(losses, correct)

    def on_validation_epoch_start(self) -> None:
        """Begin the sums over the examples that are not trained on."""
        self.held_out_sums = RunningSums()

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """Measure a block of the examples that are not trained on."""
        losses, correct = self.implementation.measure(*batch)
        if not losses.isfinite().all():
            self._fail("after its last batch", self.trainer.global_step - 1)
        self.held_out_sums.add(losses, correct)

    def on_train_epoch_end(self) -> None:
        """Add the epoch's figures, which Lightning's validation has completed, keep the state, report the history.

        The checkpoint is written in one step, before anybody hears of the epoch: what was told is not lost by a kill.
        """
        epoch = self.current_epoch + 1
        self.epochs.append(
            Epoch(
                epoch=epoch,
                train_loss=float(self.training_sums.mean_loss),
                train_accuracy=float(self.training_sums.accuracy),
                held_out_loss=float(self.held_out_sums.mean_loss),
                held_out_accuracy=float(self.held_out_sums.accuracy),
                learning_rate=self._rate_of(self.trainer.global_step - 1),
            )
        )
        weight = self.implementation.tensors()["weight"]
        if epoch in snapshot_epochs(self.total_epochs, weight.numel()):
            self.snapshots[epoch] = self._weight()
        if self.checkpoint:
            self.trainer.save_checkpoint(self.checkpoint)
        self.on_epoch(self._history())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what has been measured, so that a resumed training ends with the whole curve."""
        checkpoint["epochs"] = [asdict(row) for row in self.epochs]
        checkpoint["snapshots"] = self.snapshots

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore what was measured before."""
        self.epochs = [Epoch(**row) for row in checkpoint["epochs"]]
        self.snapshots = checkpoint["snapshots"]

    def outcome(self) -> Outcome:
        """Return the finished training as arrays."""
        return Outcome(
            tensors={name: _array(tensor) for name, tensor in self.implementation.tensors().items()},
            history=self._history(),
            snapshots={epoch: _array(weight) for epoch, weight in self.snapshots.items()},
        )

    def _fail(self, where: str, step: int) -> NoReturn:
        raise RuntimeError(self.implementation.stopped(self.current_epoch + 1, where, self._rate_of(step)))

    def _rate_of(self, step: int) -> float:
        return learning_rate(self.settings, step, self.steps_per_epoch, self.total_epochs)

    def _history(self) -> History:
        return History(self.held_out, tuple(self.epochs))

    def _weight(self) -> Tensor:
        return self.implementation.tensors()["weight"].to("cpu", torch.float32, copy=True)


class _WithoutPickle(CheckpointIO):
    """Lightning's state in a file of ours; its own format is a pickle, written to TMPDIR first."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        write_state(Path(path), checkpoint)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: Any = None) -> Any:
        return read_state(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def fit(
    training: Examples,
    held_out: tuple[HeldOut, Examples],
    *,
    scale: float | Sequence[float],
    num_classes: int,
    model: ModelParams,
    optimizer: OptimizerParams,
    settings: TrainParams,
    on_epoch: OnEpoch,
    checkpoint: Path | None = None,
) -> Outcome:
    """Train on `training` and measure `held_out`, which examples and these, after each epoch.

    `checkpoint`: a folder in which the state is kept after each epoch; a killed training resumes from it when
    `settings.resume` says so, and ends at the same bits as without the kill.
    On the CPU one thread trains, all where a step is large, its sums exact and the machine not busy. A person's own
    MKL_CBWR stays.
    Raises RuntimeError when the loss is not finite or there is no GPU where one is asked for.
    """
    os.environ.setdefault("MKL_CBWR", "AVX2")  # the code that every x86-64 processor with AVX2 runs
    torch.set_num_threads(1)
    device = device_named(settings.device)
    if model.implementation == "exact":
        check_sums(device)
        # Only of these sums do the bits not depend on the number of threads.
        use_quickest_threads(settings.batch_size * num_classes * math.prod(training.images.shape[1:]))
    what, measured = held_out
    training_batches = Minibatches(
        *tensors_on(training, device), batch_size=settings.batch_size, seed=settings.seed, scale=scale
    )
    inputs = training_batches.inputs
    held_out_batches = EvaluationBatches(
        *tensors_on(measured, device), batch_size=evaluation_batch(inputs.num_features, num_classes)
    )
    implementation = build(model, inputs, num_classes, seed=settings.seed)
    last = checkpoint / CHECKPOINT if checkpoint else None
    module = SoftmaxRegressionTraining(
        implementation,
        optimizer,
        settings.epochs,
        training_batches.steps_per_epoch,
        what,
        on_epoch,
        last,
    )
    with _without_notices():
        trainer = pl.Trainer(
            max_epochs=settings.epochs,
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,  # the module keeps its own
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            plugins=[_WithoutPickle()],
        )
        resume = last if last and settings.resume and _is_readable(last) else None
        try:
            trainer.fit(module, training_batches, held_out_batches, ckpt_path=resume)
        except SystemExit:  # so Lightning answers Ctrl-C
            raise KeyboardInterrupt from None
    return module.outcome()


def _is_readable(checkpoint: Path) -> bool:
    """Say whether there is a checkpoint to go on from; a damaged one is reported and left."""
    if not checkpoint.is_file():
        return False
    try:
        read_state(checkpoint)
    except (OSError, ValueError) as error:
        print(f"the checkpoint cannot be read ({error}): training starts anew", file=sys.stderr, flush=True)
        return False
    return True


def _array(tensor: Tensor) -> np.ndarray[Any, np.dtype[np.floating]]:
    return tensor.detach().cpu().numpy().copy()


@contextmanager
def _without_notices() -> Iterator[None]:
    """Within it Lightning's notices (devices found, tips for products, DataLoader workers) reach nobody."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        warnings.filterwarnings("ignore", module="lightning_fabric")
        yield
