"""A whole sweep: train in passes, record every configuration in MLflow, choose by validation data, say what is next.

The test set is not touched. What is chosen is trained and tested by the ordinary pipeline, with the validation size
and the seed that params.yaml has: all training images then serve, and the reported figure has one way of coming about.
"""

from __future__ import annotations

import json
import math
import shlex
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softmax_regression.artifacts.experiment import describe, digest
from softmax_regression.artifacts.outcome import History, Outcome, write_outcome
from softmax_regression.data.datasets import FOLDER, Dataset, load, read_report
from softmax_regression.files import write_atomically, write_csv
from softmax_regression.lineage.provenance import Origin, origin_here
from softmax_regression.lineage.restore import start
from softmax_regression.params import plain
from softmax_regression.progress import Progress
from softmax_regression.sweep import plan
from softmax_regression.sweep.plan import Configuration
from softmax_regression.tables import text_table
from softmax_regression.tracking import stage_logs
from softmax_regression.tracking.record import ERROR
from softmax_regression.tracking.run_store import RunStore
from softmax_regression.training.devices import on_device_in_use

if TYPE_CHECKING:
    from softmax_regression.sweep.replicas import ReplicaOutcome

LARGEST_PASS = 64  # more at once is no faster: 8 to 64 in one matrix product take the same time each
SHOWN = 10
NOT_IN_PATCH = ("data.validation_size", "train.seed")  # how the choice was made, not what was chosen


@dataclass(frozen=True)
class Ranked:
    """A configuration over its seeds, by validation data after the last epoch; `failure` where a seed has failed."""

    changes: Mapping[str, Any]
    accuracy: float
    deviation: float  # between seeds, which hold out other images too; nan for one
    loss: float
    failure: str | None

    def cells(self, digits: int) -> list[str]:
        """Return the three figures for a table; one that there is not is empty."""
        figures = (self.accuracy, self.deviation, self.loss)
        return ["" if math.isnan(value) else f"{value:.{digits}f}" for value in figures]


def run_sweep(root: Path, configurations: Sequence[Configuration], seeds: int, output: Path) -> str:
    """Train, record and rank `configurations`, each with `seeds` seeds; return what came out, as text.

    Writes table.csv and best.yaml, a patch of params.yaml, into `output`. Before anything is computed it raises
    FileNotFoundError when there are no data, ValueError when they are another data set's, RuntimeError when there is no
    store; afterwards RuntimeError when no configuration has stayed finite.
    """
    data = configurations[0].params.data.name
    report = read_report(root / FOLDER, data)
    everything = plan.with_seeds(configurations, seeds)
    groups = plan.passes(everything, LARGEST_PASS)
    store = RunStore.open(root)
    name = f"sweep of {len(everything)} {data}"
    origin = origin_here(root)
    tags = {"data": data, "mlflow.source.name": "softmax-regression sweep", "sweep": name}
    axes: dict[str, object] = {
        key: ", ".join(dict.fromkeys(str(one.changes[key]) for one in configurations))
        for key in configurations[0].changes
    }
    sizes = {"seeds": seeds, "configurations": len(configurations)}
    parent_key = digest(json.dumps([axes, sizes, report["files"]], sort_keys=True))
    with store.start_run(name, parent_key, axes | sizes, {**origin.tags, **tags}) as parent:
        parent.log_text(origin.diff, "code.diff")
        parent.log_text(origin.params, "params.yaml")
        child_tags = tags | {"mlflow.parentRunId": parent.run_id}
        trained: list[tuple[Configuration, ReplicaOutcome]] = []
        for number, group in enumerate(groups, 1):
            print(f"pass {number}/{len(groups)}: {len(group)} configurations", flush=True)
            dataset = load(root / FOLDER, data, size=group[0].params.data.resize)
            done = train_pass(dataset, group)
            for configuration, outcome in done:
                _record(store, configuration, outcome, dataset, origin, child_tags)
            trained += done
        ranking = rank(trained)
        _write_table(output / "table.csv", ranking)
        parent.log_file(output / "table.csv")
        if ranking[0].failure:
            raise RuntimeError(f"no configuration stayed finite; the first: {ranking[0].failure}")
        write_atomically(output / "best.yaml", best_yaml(ranking[0].changes))
        parent.log_file(output / "best.yaml")
        parent.log_metrics({"validation_best/accuracy": ranking[0].accuracy, "validation_best/loss": ranking[0].loss})
    return summary(ranking, output, store.ui_command())


def train_pass(dataset: Dataset, group: Sequence[Configuration]) -> list[tuple[Configuration, ReplicaOutcome]]:
    """Train the configurations of one pass together, on the training images without those held out."""
    from softmax_regression.sweep.replicas import fit_together  # torch takes seconds; mistakes are reported before

    params = group[0].params
    training, (what, held_out) = dataset.split(params.data.validation_size, params.train.seed)
    with Progress(params.train.epochs) as progress:

        def after_epoch(outcomes: Sequence[ReplicaOutcome]) -> None:
            alive = [outcome.epochs[-1] for outcome in outcomes if outcome.failure is None]
            if alive:
                leading = max(alive, key=lambda row: row.held_out_accuracy)
                progress.show(History(what, (leading,)).named(leading))

        outcomes = fit_together(
            training,
            held_out,
            scale=dataset.scale,
            num_classes=dataset.num_classes,
            models=[one.params.model for one in group],
            optimizers=[one.params.optimizer for one in group],
            settings=params.train,
            on_epoch=after_epoch,
        )
    return list(zip(group, outcomes, strict=True))


def rank(trained: Sequence[tuple[Configuration, ReplicaOutcome]]) -> list[Ranked]:
    """Order the configurations: highest mean validation accuracy first, of equal ones the lowest loss; failed last.

    The figures are those after the last epoch, as the pipeline's model is that of the last epoch.
    """
    by_changes: dict[str, tuple[Mapping[str, Any], list[ReplicaOutcome]]] = {}
    for configuration, outcome in trained:
        changes = configuration.changes
        by_changes.setdefault(repr(changes), (changes, []))[1].append(outcome)
    ranked = [_over_seeds(changes, seeds) for changes, seeds in by_changes.values()]
    return sorted(ranked, key=lambda one: (one.failure is not None, -one.accuracy, one.loss))


def best_yaml(changes: Mapping[str, Any]) -> str:
    """Return the params patch: the chosen values, nested as in params.yaml, under the command that takes them."""
    lines = [f"# {command(changes)}"]
    for section, values in plan.patch(_chosen(changes)).items():
        lines += [f"{section}:", *(f"  {name}: {plain(value)}" for name, value in values.items())]
    return "\n".join([*lines, ""])


def command(changes: Mapping[str, Any]) -> str:
    """Return the `dvc exp run` command that trains and tests the chosen configuration through the pipeline."""
    return "dvc exp run" + "".join(
        f" -S {shlex.quote(f'{key}={plain(value)}')}" for key, value in _chosen(changes).items()
    )


def summary(ranking: Sequence[Ranked], output: Path, look: str) -> str:
    """Return the best few as a table, and what to do next."""
    varying = [key for key in ranking[0].changes if len({repr(one.changes[key]) for one in ranking}) > 1]
    header = ["rank", *(key.rpartition(".")[2] for key in varying), "validation accuracy", "sd", "loss"]
    rows = [
        [str(number), *(str(one.changes[key]) for key in varying), *one.cells(digits=4)]
        for number, one in enumerate(ranking[:SHOWN], 1)
    ]
    failed = sum(one.failure is not None for one in ranking)
    lines = text_table(header, rows, "r" * len(header))
    lines += [f"{failed} of {len(ranking)} did not stay finite: see table.csv"] if failed else []
    lines += [f"table and patch: {output}", f"see the runs:    {look}", "train and test the best one:"]
    return "\n".join([*lines, f"  {command(ranking[0].changes)}"])


def _write_table(path: Path, ranking: Sequence[Ranked]) -> None:
    """Write the ranking as CSV: rank, the axes, then the figures."""
    figures = ["validation_accuracy", "validation_accuracy_sd", "validation_loss", "failure"]
    rows = ([i, *one.changes.values(), *one.cells(digits=6), one.failure] for i, one in enumerate(ranking, 1))
    write_csv(path, ["rank", *ranking[0].changes, *figures], rows)


def _chosen(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in changes.items() if key not in NOT_IN_PATCH}


def _record(
    store: RunStore,
    one: Configuration,
    outcome: ReplicaOutcome,
    dataset: Dataset,
    origin: Origin,
    tags: Mapping[str, str],
) -> None:
    """Make the run of one configuration as the train stage makes it; FAILED where it did not stay finite.

    It is the run of its experiment: trained by the pipeline, before or after, the same comes to the same weights, and
    the second of the two is a repetition (see `RunStore.finish`). Later stages find it by the experiment's key.
    """
    params = one.params
    experiment = describe(params.data, params.model, params.optimizer, on_device_in_use(params.train), dataset.report)
    own = replace(origin, params=json.dumps(params.model_dump(), indent=2) + "\n")  # which is YAML, too
    history = History("validation", tuple(outcome.epochs))
    with start(store, experiment, own, tags) as run, tempfile.TemporaryDirectory() as folder:
        if outcome.failure:
            run.log_steps(stage_logs.curve_steps(history))
            run.set_tags({ERROR: outcome.failure})
            run.finish("FAILED")
            return
        trained = Outcome(outcome.tensors, history, outcome.snapshots)
        finished = write_outcome(Path(folder), trained, experiment, dataset)
        stage_logs.log_training(run, Path(folder))
        run.finish(key=finished.key)


def _over_seeds(changes: Mapping[str, Any], seeds: Sequence[ReplicaOutcome]) -> Ranked:
    if failure := next((one.failure for one in seeds if one.failure), None):
        return Ranked(changes, math.nan, math.nan, math.nan, failure)
    last = [one.epochs[-1] for one in seeds]
    accuracies = [row.held_out_accuracy for row in last]
    deviation = statistics.stdev(accuracies) if len(accuracies) > 1 else math.nan
    loss = statistics.fmean(row.held_out_loss for row in last)
    return Ranked(changes, statistics.fmean(accuracies), deviation, loss, None)
