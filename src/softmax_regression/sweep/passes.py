"""Training configurations and recording them: together where they can share a pass over the data, else one by one.

A run made here is the run of its experiment: trained by the pipeline, before or after, the same params come to the same
weights and the same key, and the second of the two is a repetition (see `RunStore.finish`).
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from softmax_regression.artifacts.experiment import describe
from softmax_regression.artifacts.outcome import History, Outcome, write_outcome
from softmax_regression.data.datasets import Dataset, load
from softmax_regression.lineage.provenance import Origin
from softmax_regression.lineage.restore import start
from softmax_regression.params import flatten, plain
from softmax_regression.progress import Progress, shown
from softmax_regression.sweep.plan import FEWEST, Trial, rungs, shares_passes
from softmax_regression.tracking import stage_logs
from softmax_regression.tracking.record import ERROR, KILLED
from softmax_regression.tracking.run import Run
from softmax_regression.tracking.run_store import RunStore
from softmax_regression.training.devices import begin_process, cores, on_device_in_use

if TYPE_CHECKING:
    from softmax_regression.sweep.replicas import ReplicaOutcome


@dataclass(frozen=True)
class Trained:
    """A configuration and what its training gave; `failure` is a line where it has failed, then there are no arrays.

    So it is where `pruned` says after which epoch it made room for better ones. `answers` (N,) bool: which of the
    held-out examples are right in the end, where the training was one of a pass.
    """

    trial: Trial
    outcome: Outcome
    failure: str | None = None
    answers: npt.NDArray[np.bool_] | None = None
    pruned: str | None = None


@functools.lru_cache(maxsize=4)
def prepared(folder: Path, name: str, size: int | None) -> Dataset:
    """Return the data set in `folder`, see `datasets.load`; resized once a process."""
    return load(folder, name, size=size)


def train_passes(groups: Sequence[Sequence[Trial]], folder: Path, *, halving: bool = False) -> Iterator[list[Trained]]:
    """Train `groups`, see `plan.passes`, on the data set in `folder`, and yield each one's outcomes when it is done.

    A large pass has all threads; small ones go on side by side, in processes: threads of one process would wait for
    each other's turn in Python most of the time. Progress is shown of a large pass by epoch, with the configuration
    that leads, of small ones by run. With `halving` the worse half of each pass makes room at its rungs, see
    `plan.rungs`.
    """
    processes = min(cores(), len(groups))
    if processes > 1 and max(map(len, groups)) <= FEWEST:
        yield from shown(_side_by_side(groups, folder, processes, halving), "trained", sum(map(len, groups)), " runs")
        return
    differing = _differing([one for group in groups for one in group])
    for number, group in enumerate(groups, 1):
        print(f"pass {number}/{len(groups)}: {len(group)} configurations", flush=True)
        yield _train(group, folder, halving, show=True, differing=differing)


def _side_by_side(
    groups: Sequence[Sequence[Trial]], folder: Path, processes: int, halving: bool
) -> Iterator[list[Trained]]:
    """Yield outcomes as passes end. When the caller stops, those that have begun end at once."""
    context = multiprocessing.get_context("spawn")  # a fork of a process that has used threads may hang
    pool = ProcessPoolExecutor(processes, context, initializer=begin_process)
    try:
        for done in as_completed([pool.submit(_train, group, folder, halving, show=False) for group in groups]):
            yield done.result()
    except BrokenProcessPool:
        raise RuntimeError(
            "a process that trained has died, of too little memory maybe; what is done is kept, run the command again"
        ) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()


def _differing(trials: Sequence[Trial]) -> list[str]:
    """Return the keys of the params, but the seed, in which not all of these are alike."""
    params = [flatten(one.params) for one in trials]
    return [key for key in params[0] if key != "train.seed" and len({repr(one[key]) for one in params}) > 1]


def _named(one: Trial, keys: Sequence[str]) -> str:
    """Return 'learning rate 0.1, momentum 0.9', short enough for a line."""
    values = flatten(one.params)
    words = (f"{key.rpartition('.')[2].replace('_', ' ')} {plain(values[key])}" for key in keys)
    return shorten(", ".join(words), 80, placeholder=" ...")


def _train(
    group: Sequence[Trial], folder: Path, halving: bool, *, show: bool, differing: Sequence[str] = ()
) -> list[Trained]:
    """Train the configurations of one pass together, on the training examples without those held out.

    Progress names the one that leads by the params that are `differing`, if there are any.
    """
    params = group[0].params
    dataset = prepared(folder, params.data.name, params.data.resize)
    if not shares_passes(params):
        return [_train_alone(one, dataset) for one in group]
    from softmax_regression.sweep.replicas import fit_together  # torch takes seconds; mistakes are reported before

    training, (what, held_out) = dataset.split(params.data.validation_size, params.train.seed)
    with Progress(params.train.epochs, show=show) as progress:

        def after_epoch(outcomes: Sequence[ReplicaOutcome]) -> None:
            found = zip(group, outcomes, strict=True)
            alive = [(one, own.epochs[-1]) for one, own in found if not (own.failure or own.pruned)]
            if alive:
                one, row = max(alive, key=lambda pair: pair[1].held_out_accuracy)
                if differing:
                    figures = {"epoch": row.epoch, f"{what}_accuracy": row.held_out_accuracy}
                    progress.show(figures, f"leads: {_named(one, differing)}")
                else:
                    progress.show(History(what, (row,)).named(row))

        outcomes = fit_together(
            training,
            held_out,
            scale=dataset.scale,
            num_classes=dataset.num_classes,
            models=[one.params.model for one in group],
            optimizers=[one.params.optimizer for one in group],
            settings=params.train,
            on_epoch=after_epoch,
            rungs=rungs(params.train.epochs) if halving else (),
        )
    return [
        Trained(
            one,
            Outcome(own.tensors, History(what, tuple(own.epochs)), own.snapshots),
            own.failure,
            own.answers,
            own.pruned,
        )
        for one, own in zip(group, outcomes, strict=True)
    ]


def _train_alone(one: Trial, dataset: Dataset) -> Trained:
    """Train as the train stage does, without a checkpoint."""
    from softmax_regression.training.solving import solve

    params, history = one.params, History("test", ())

    def keep(now: History) -> None:
        nonlocal history
        history = now

    try:
        size = params.data.validation_size
        outcome = solve(
            dataset, size, params.model, params.optimizer, params.train, on_epoch=keep, checkpoint=None, show=False
        )
    except RuntimeError as error:
        return Trained(one, Outcome({}, history, {}), str(error))
    return Trained(one, outcome)


def record(
    store: RunStore,
    trained: Trained,
    folder: Path,
    origin: Origin,
    tags: Mapping[str, str],
    and_then: Callable[[Run, Path], None] = lambda run, output: None,
) -> None:
    """Make the run of one training as the train stage makes it; FAILED where it did not stay finite, KILLED if pruned.

    `folder` has the data; `and_then` is called with the run and the training's outputs, before the run ends.
    """
    params = trained.trial.params
    dataset = prepared(folder, params.data.name, params.data.resize)
    experiment = describe(params.data, params.model, params.optimizer, on_device_in_use(params.train), dataset.report)
    own = replace(origin, params=json.dumps(params.model_dump(), indent=2) + "\n")  # which is YAML, too
    with start(store, experiment, own, tags) as run, tempfile.TemporaryDirectory() as output:
        if reason := trained.failure or trained.pruned:
            run.log_steps(stage_logs.curve_steps(trained.outcome.history))
            run.set_tags({ERROR if trained.failure else KILLED: reason})
            run.finish("FAILED" if trained.failure else "KILLED")
            return
        finished = write_outcome(Path(output), trained.outcome, experiment, dataset)
        stage_logs.log_training(run, Path(output))
        and_then(run, Path(output))
        run.finish(key=finished.key)
