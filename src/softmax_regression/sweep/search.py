"""A search by a study: ask for trials, train them in shared passes, record each as a run, tell what they came to.

Any number of workers do this at once, see `study.Study`. All write the same result: every figure of it comes from the
study, the answers for the optimism too, whoever trained them. The test set is not touched, as in `sweep.run_sweep`.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from softmax_regression.artifacts.experiment import describe
from softmax_regression.data.datasets import FOLDER, read_report
from softmax_regression.files import write_atomically
from softmax_regression.lineage.provenance import origin_here
from softmax_regression.params import Params
from softmax_regression.plots import look
from softmax_regression.plots.study import importances, search_history
from softmax_regression.progress import shown
from softmax_regression.statistics.intervals import Interval
from softmax_regression.statistics.optimism import optimism
from softmax_regression.sweep.passes import Trained, record, train_passes
from softmax_regression.sweep.plan import LARGEST, LARGEST_PASS, Axis, Trial, changed, passes, plan, rungs
from softmax_regression.sweep.ranking import (
    Ranked,
    accuracy_interval,
    best_figures,
    in_order,
    summary,
    write_answers,
    write_table,
)
from softmax_regression.sweep.study import Done, Recorded, Result, Sampler, Study, explained, varies
from softmax_regression.sweep.sweep import best_yaml, command
from softmax_regression.tracking import stage_logs
from softmax_regression.tracking.record import ERROR, KILLED
from softmax_regression.tracking.run_store import RunStore
from softmax_regression.training.devices import on_device_in_use

_POLL = 1.0  # seconds between two looks at what other workers do
_NUMBER, _PARENT = "study.trial", "mlflow.parentRunId"  # tags of a trial's run


@dataclass(frozen=True)
class Search:
    """What is asked for: a study's name, who proposes, how many trials in all (None: the whole grid), where it is kept.

    Raises ValueError for a name that is no plain word, as it becomes a folder.
    """

    name: str
    sampler: Sampler
    trials: int | None
    draw_seed: int
    halving: bool
    storage: str | None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", self.name):
            raise ValueError(
                f"--study {self.name!r}: expected up to 100 letters, digits, '.', '_' and '-', the first a letter or a "
                "digit"
            )


def run_search(root: Path, base: Params, axes: Sequence[Axis], search: Search, studies: Path) -> str:
    """Work on a study until all its trials are done, by this worker or by others; return what came out, as text.

    Into the folder `studies`/NAME go table.csv, answers.npz, best.yaml and the pictures, and into the study's run in
    MLflow. Before anything is computed it raises ValueError for axes that cannot be searched and for a study that was
    begun with others, and the errors of `sweep.run_sweep`; afterwards RuntimeError where no trial was trained to its
    end.
    """
    configurations = combinations(base, axes, search.sampler)
    total = _total(search, len(configurations))
    params, output = configurations[0].params, studies / search.name
    report = read_report(root / FOLDER, params.data.name)
    store = RunStore.open(root)
    for line in store.end_dead_runs():
        print(line, flush=True)
    definition = _definition(params, axes, search, report)
    with explained(search.storage or str(output)):
        study = Study.open(output, search.name, search.storage, axes, search.sampler, search.draw_seed, definition)
        tags = {
            "data": params.data.name,
            "mlflow.source.name": "softmax-regression sweep",
            "sweep": f"study {search.name}",
        }
        parent = _parent(store, study, root, search, definition, tags)

        def recorded() -> set[tuple[int, str]]:
            return _recorded(store, parent)

        with study.working(recorded):
            tags |= {_PARENT: parent}
            done = _work(store, study, root, base, total, recorded, tags, halving=search.halving)
        return _result(store, study, done, parent, params.train.seed, report["train"]["examples"], output)


def combinations(base: Params, axes: Sequence[Axis], sampler: Sampler) -> list[Trial]:
    """Return the grid over the axes, each range standing with its two ends; all are checked as params.yaml is.

    As every param is one of a list or lies in an interval, what lies between the ends is right where they are. Raises
    ValueError where it is not, where nothing varies, where a grid is to have ranges, and for more than LARGEST.
    """
    if sampler == "grid" and (ranges := [axis.key for axis in axes if axis.range]):
        raise ValueError(f"{ranges[0]} is a range, which has no grid; list values, or take --sampler tpe or random")
    if not any(map(varies, axes)):
        raise ValueError("no key has several values, so there is nothing to search; write key=value,value")
    ends = [Axis(axis.key, (axis.at(0.0), axis.at(1.0))) if axis.range else axis for axis in axes]
    if (size := math.prod(len(axis.values) for axis in ends)) > LARGEST:
        raise ValueError(
            f"the lists make {size:,} configurations, {LARGEST:,} are the most; list fewer, or give a range"
        )
    return plan(base, ends)


def _total(search: Search, size: int) -> int:
    """Return how many trials the study is to have; `size` is that of the grid."""
    if search.trials is None and search.sampler != "grid":
        raise ValueError("--trials is missing: how many configurations are to be tried, by all workers together?")
    most = size if search.sampler == "grid" else LARGEST
    total = size if search.trials is None else search.trials
    if not 1 <= total <= most:
        raise ValueError(f"--trials {total}: a number from 1 to {most:,} is possible")
    return total


def _definition(params: Params, axes: Sequence[Axis], search: Search, report: Mapping[str, Any]) -> dict[str, object]:
    """Return what every worker of a study must have in common, in words and values."""
    experiment = describe(params.data, params.model, params.optimizer, on_device_in_use(params.train), report)
    searched = {axis.key: list(axis.range or axis.values) for axis in axes}
    return {
        "axes": searched,
        "params": {key: value for key, value in experiment.params.items() if key not in searched},
        "data": dict(experiment.data),
        "sampler": search.sampler,
        "draw seed": search.draw_seed,
        "halving": search.halving,
    }


def _parent(
    store: RunStore, study: Study, root: Path, search: Search, definition: Mapping[str, Any], tags: Mapping[str, str]
) -> str:
    """Return the id of the study's run, which the first worker makes; it has ended, so that no worker need live on."""
    with study.turn():
        if run_id := study.run_id:
            if store.run(run_id) is None:
                raise ValueError(
                    f"the run {run_id} of the study {search.name} is not in this MLflow store: set MLFLOW_TRACKING_URI "
                    "as its first worker did, or restore the run"
                )
            return run_id
        origin = origin_here(root)
        axes = {key: ", ".join(map(str, values)) for key, values in definition["axes"].items()}
        settings = {name: definition[name] for name in ("sampler", "draw seed", "halving")}
        begun = store.attempts(study.key)  # by a worker that was killed before it could say so
        name = f"study {search.name}"
        run = (
            store.resume_run(begun[0].run_id)
            if begun
            else store.start_run(name, study.key, axes | settings, {**origin.tags, **tags})
        )
        with run:
            run.log_text(origin.diff, "code.diff")
            run.log_text(origin.params, "params.yaml")
        if run.lost:
            raise RuntimeError(run.lost)
        study.run_id = run.run_id
        return run.run_id


def _work(
    store: RunStore,
    study: Study,
    root: Path,
    base: Params,
    total: int,
    recorded: Recorded,
    tags: Mapping[str, str],
    *,
    halving: bool,
) -> list[Done]:
    """Train, record and tell what the study asks for; return its trials when all are done."""
    origin, is_waiting = origin_here(root), False
    while True:
        asked = study.ask(total, recorded)
        if asked:
            numbers = {repr(one.changes): one.number for one in asked}
            trials = [Trial(changed(base, one.changes), one.changes) for one in asked]
            for group in train_passes(passes(trials, LARGEST_PASS), root / FOLDER, halving=halving):
                for (one,) in shown([[one] for one in group], "recorded", len(group), " runs"):
                    number, result = numbers[repr(one.trial.changes)], _came_to(one, halving=halving)
                    if study.keep(number, result):
                        record(store, one, root / FOLDER, origin, {**tags, _NUMBER: str(number)})
                        study.tell(number, result)
        done = study.done()
        if asked:
            best = max((one.result.accuracy or 0.0 for one in done if one.result.answers is not None), default=0.0)
            print(f"{len(done)} of {total} trials done, best validation accuracy {best:.4f}", flush=True)
        elif len(done) >= total:
            return done
        else:
            if not is_waiting:
                print(f"waiting for {study.with_others()} trials of other workers", flush=True)
            time.sleep(_POLL)
        is_waiting = not asked


def _came_to(one: Trained, *, halving: bool) -> Result:
    """Return what a trial's training came to, with its accuracies at the rungs where there are any."""
    epochs = one.outcome.history.epochs
    at = rungs(one.trial.params.train.epochs) if halving else ()
    reports = {row.epoch: row.held_out_accuracy for row in epochs if row.epoch in at}
    accuracy, loss = (epochs[-1].held_out_accuracy, epochs[-1].held_out_loss) if epochs else (None, None)
    answers = None if one.failure or one.pruned else one.answers
    return Result(accuracy, loss, answers, one.failure, one.pruned, reports)


def _recorded(store: RunStore, parent: str) -> set[tuple[int, str]]:
    """Return the trials whose runs have been recorded to their end, with the reason where they ended early."""
    for line in store.end_dead_runs():
        print(line, flush=True)
    reasons = {"FINISHED": "", "FAILED": ERROR, "KILLED": KILLED}
    return {
        (int(run.tags[_NUMBER]), run.tags.get(reasons[run.status], ""))
        for run in store.tagged(_PARENT, parent)
        if run.status in reasons
    }


def _result(
    store: RunStore, study: Study, done: Sequence[Done], parent: str, seed: int, examples: int, output: Path
) -> str:
    """Write what came out, log it to the study's run, and return it as text."""
    trained = [one for one in done if one.copy_of is None]
    ranking = in_order(_ranked(one, seed, examples) for one in trained)
    best, finished = ranking[0], [one for one in ranking if not one.failure]
    if best.failure:
        raise RuntimeError(f"no trial was trained to the end; the first: {best.failure}")
    too_high, shares = optimism([one.answers for one in finished]), study.importances()
    measured = [one for one in trained if one.result.accuracy is not None]
    history = search_history(
        np.array([one.number for one in measured]),
        np.array([one.result.accuracy for one in measured]),
        np.array([one.result.answers is None for one in measured]),
    )
    write_table(output / "table.csv", ranking, too_high)
    write_answers(output / "answers.npz", finished)
    write_atomically(output / "best.yaml", best_yaml(best.changes))
    look.save(history, output / "history")
    look.save(importances(shares), output / "importance")
    run = store.continue_run(parent)
    for name in ("table.csv", "answers.npz", "best.yaml", "history.png", "importance.png"):
        run.log_file(output / name)
    run.log_metrics(best_figures(best, too_high), step=len(done))
    weighed = ", ".join(f"{key} {share:.2f}" for key, share in shares.items())
    counted = _counted(done, study.given_back())
    stopped = {repr(one.changes) for one in trained if one.result.pruned}
    unpruned = [one for one in ranking if repr(one.changes) not in stopped]
    stage_logs.describe(run, counted, {name: f"{name}.png" for name in ("history", "importance")})
    lines = [
        *summary(unpruned, too_high, "sweep the first ones again, with --seeds 8"),
        counted,
        f"importance: {weighed or 'unknown, as the trials are too few, or too much alike'}",
        f"table, answers, patch and pictures: {output}",
        f"see the runs:    {store.ui_command()}",
        "train and test the best one:",
        f"  {command(best.changes)}",
    ]
    if not run.finish():
        lines.append(f"not all of it is in MLflow ({run.lost}); the same command records it again")
    return "\n".join(lines)


def _ranked(one: Done, seed: int, examples: int) -> Ranked:
    result = one.result
    if result.answers is None or result.accuracy is None or result.loss is None:
        return Ranked(
            one.changes, (seed,), (), math.nan, Interval(math.nan, math.nan), (), result.failure or result.pruned
        )
    interval = accuracy_interval([result.accuracy], len(result.answers), examples)
    return Ranked(one.changes, (seed,), (result.accuracy,), result.loss, interval, (result.answers,))


def _counted(done: Sequence[Done], given_back: int) -> str:
    """Return a line: how the trials of the study ended."""
    trained = [one.result for one in done if one.copy_of is None]
    counts = {
        "trained to the end": sum(one.answers is not None for one in trained),
        "stopped early by --halving": sum(one.pruned is not None for one in trained),
        "not finite": sum(one.failure is not None for one in trained),
        "equal to an earlier one": len(done) - len(trained),
    }
    words = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    after = f"; {given_back} had been given back by workers that ended" if given_back else ""
    return f"{len(done)} trials: {words}{after}"
