"""Training with Lightning: the module around the hand-coded layer, loss and SGD, and `fit`. The only Lightning file.

Lightning keeps the loop: epochs, validation, devices, checkpoints, resuming, and it counts the steps. Optimization is
manual, so that one `training_step` may take a chunk of several minibatches, each of them one optimizer step: the
trajectory is the plain one and Lightning's own cost is paid once a chunk.
Several processes, see processes.py, go through the same loop, each with its share of every minibatch.
Shapes: B batch, D features, K classes.
"""

import itertools
import logging
import math
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.plugins.io import CheckpointIO
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor

from softmax_regression.artifacts.outcome import Epoch, History, Outcome, snapshot_epochs
from softmax_regression.artifacts.overflow import Overflow, OverflowedError
from softmax_regression.data.datasets import Examples, HeldOut
from softmax_regression.mathematics.batches import Chunk, EvaluationBatches, Minibatches
from softmax_regression.mathematics.implementations import (
    Exact,
    Implementation,
    Measured,
    Textbook,
    build,
    learning_rate,
)
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
from softmax_regression.training.processes import ALONE, Processes, StoppedError

OnEpoch = Callable[[History], None]
CHECKPOINT = "last.ckpt"
_NEVER = 2**62  # the number of a step


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
        processes: Processes,
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
        self.processes = processes
        self.on_sigterm = signal.getsignal(signal.SIGTERM)
        self.epochs: list[Epoch] = []
        self.snapshots: dict[int, Tensor] = {0: self._weight()}  # float32

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Hand the optimizer to Lightning, which checkpoints it and counts its steps."""
        return self.implementation.build_optimizer(self.settings)

    def on_train_start(self) -> None:
        """Leave SIGTERM to whom it was: Lightning would first ask all processes, while they wait for each other."""
        if self.processes.count > 1:
            signal.signal(signal.SIGTERM, self.on_sigterm)

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
        bad = -self.processes.largest(-(first_step + _first_not_finite(losses, measured)))
        if bad < _NEVER:
            self._fail(f"batch {bad % self.steps_per_epoch + 1}", bad)
        self.training_sums.add(losses, correct)

    def on_validation_epoch_start(self) -> None:
        """Begin the sums over the examples that are not trained on."""
        self.held_out_sums = RunningSums()
        self.is_finite = True

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """Measure a block of the examples that are not trained on."""
        losses, correct = self.implementation.measure(*batch)
        self.is_finite &= bool(losses.isfinite().all())
        self.held_out_sums.add(losses, correct)

    def on_validation_epoch_end(self) -> None:
        """Stop where a loss was not finite."""
        if self.processes.largest(not self.is_finite):
            self._fail("after its last batch", self.trainer.global_step - 1)

    def on_train_epoch_end(self) -> None:
        """Add the epoch's figures, which Lightning's validation has completed, keep the state, report the history.

        The checkpoint is written in one step, before anybody hears of the epoch: what was told is not lost by a kill.
        """
        epoch = self.current_epoch + 1
        if self.processes.count > 1:
            self.training_sums.add_shares(self.processes.add)
            self.held_out_sums.add_shares(self.processes.add)
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
        message = self.implementation.stopped(self.current_epoch + 1, where, self._rate_of(step))
        if isinstance(self.implementation, Textbook):
            figures = _array(torch.cat(list(self.implementation.watched)))
            steps = np.arange(self.trainer.global_step - len(figures), self.trainer.global_step) + 1
            kept = steps <= step + 1  # the chunk's later steps had nothing to go on from
            raise OverflowedError(message, Overflow(steps[kept], figures[kept]))
        raise StoppedError(message)

    def _rate_of(self, step: int) -> float:
        return learning_rate(self.settings, step, self.steps_per_epoch, self.total_epochs)

    def _history(self) -> History:
        return History(self.held_out, tuple(self.epochs))

    def _weight(self) -> Tensor:
        return self.implementation.tensors()["weight"].to("cpu", torch.float32, copy=True)


def _first_not_finite(losses: Tensor, measured: Sequence[Measured]) -> int:
    """Return the first of the steps, each with the examples in its `measured`, that has a loss which is not finite."""
    if (finite := losses.isfinite()).all():
        return _NEVER
    example, sizes = int((~finite).nonzero()[0]), [len(step[0]) for step in measured]
    return sum(example >= end for end in itertools.accumulate(sizes))


class _ExplicitSums(DDPStrategy):
    """Lightning's processes without DDP's sums, which are made of autograd's gradients: ours come in closed form.

    The processes have met before.
    """

    def __init__(self, processes: Processes) -> None:
        super().__init__()
        self._processes = processes

    def configure_ddp(self) -> None:
        """Leave the module as it is."""

    def barrier(self, *_: object, **__: object) -> None:
        self._processes.wait()


class _WithoutPickle(CheckpointIO):
    """Lightning's state in a file of ours; its own format is a pickle, written to TMPDIR first.

    `state` is what a training goes on from, read before.
    """

    def __init__(self, state: Any) -> None:
        self.state = state

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        write_state(Path(path), checkpoint)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: Any = None) -> Any:
        return self.state

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
    processes: Processes = ALONE,
) -> Outcome:
    """Train on `training` and measure `held_out`, which examples and these, after each epoch.

    `checkpoint`: a folder in which the state is kept after each epoch; a killed training resumes from it when
    `settings.resume` says so, and ends at the same bits as without the kill.
    On the CPU one thread trains, all where a step is large, its sums exact and the machine not busy. A person's own
    MKL_CBWR stays. Of several `processes`, which all call this, each returns the same outcome; the first one alone
    keeps a checkpoint and calls `on_epoch`.
    Raises RuntimeError when the loss is not finite, another process is lost, or there is no GPU where one is asked for.
    """
    os.environ.setdefault("MKL_CBWR", "AVX2")  # the code that every x86-64 processor with AVX2 runs
    torch.set_num_threads(1)
    device = device_named(settings.device)
    processes.join(device)
    if model.implementation == "exact":
        check_sums(device)
        # Only of these sums do the bits not depend on the number of threads.
        multiplications = settings.batch_size * num_classes * math.prod(training.images.shape[1:])
        use_quickest_threads(multiplications // processes.count, processes.here)
    what, measured = held_out
    training_batches = Minibatches(
        *tensors_on(training, device),
        batch_size=settings.batch_size,
        seed=settings.seed,
        scale=scale,
        share=processes.share,
    )
    inputs = training_batches.inputs
    held_out_batches = EvaluationBatches(
        *tensors_on(measured, device),
        batch_size=evaluation_batch(inputs.num_features, num_classes),
        share=processes.share,
    )
    implementation = build(model, inputs, num_classes, seed=settings.seed)
    if processes.count > 1 and isinstance(implementation, Exact):
        implementation.add_shares = processes.add
    last = checkpoint / CHECKPOINT if checkpoint else None
    state = _state(last if settings.resume else None, processes)
    if processes.largest(last is not None):
        last = last or Path(CHECKPOINT)  # of the others: all take part when the first one writes
    module = SoftmaxRegressionTraining(
        implementation,
        optimizer,
        settings.epochs,
        training_batches.steps_per_epoch,
        what,
        on_epoch if processes.rank == 0 else lambda history: None,
        last,
        processes,
    )
    with _without_notices():
        trainer = pl.Trainer(
            max_epochs=settings.epochs,
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=processes.here,
            num_nodes=processes.count // processes.here,
            strategy=_ExplicitSums(processes) if processes.count > 1 else "auto",
            use_distributed_sampler=False,
            logger=False,
            enable_checkpointing=False,  # the module keeps its own
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            plugins=[_WithoutPickle(state), *([TorchElasticEnvironment()] if processes.count > 1 else [])],
        )
        try:
            trainer.fit(module, training_batches, held_out_batches, ckpt_path=last if state else None)
        except SystemExit:  # so Lightning answers Ctrl-C
            raise KeyboardInterrupt from None
    return module.outcome()


def _state(checkpoint: Path | None, processes: Processes) -> Any:
    """Return the state to go on from, which the first process reads for all, or None; a damaged one is reported."""
    content, state = b"", None
    if checkpoint and checkpoint.is_file():
        try:
            state, content = read_state(checkpoint), checkpoint.read_bytes()
        except (OSError, ValueError) as error:
            print(f"the checkpoint cannot be read ({error}): training starts anew", file=sys.stderr, flush=True)
    content = processes.from_first(content)
    if state is None and content:
        with tempfile.TemporaryDirectory() as folder:
            received = Path(folder, CHECKPOINT)
            received.write_bytes(content)
            state = read_state(received)
    return state


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
