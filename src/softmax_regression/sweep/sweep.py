"""A whole sweep: train in passes, record every configuration in MLflow, choose by validation data, say what is next.

The test set is not touched. What is chosen is trained and tested by the ordinary pipeline, with the validation size
and the seed that params.yaml has: all training images then serve, and the reported figure has one way of coming about.
"""

from __future__ import annotations

import csv
import io
import math
import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from softmax_regression.artifacts.experiment import Experiment, describe, experiment_name
from softmax_regression.data.datasets import Dataset, Examples, hold_out, load
from softmax_regression.files import md5_of, write_atomically
from softmax_regression.lineage.provenance import origin_here
from softmax_regression.lineage.restore import read_report
from softmax_regression.progress import Progress
from softmax_regression.sweep import plan
from softmax_regression.sweep.plan import Configuration
from softmax_regression.tables import text_table
from softmax_regression.tracking import stage_logs
from softmax_regression.tracking.client import Store
from softmax_regression.tracking.record import ERROR
from softmax_regression.tracking.run import Run

if TYPE_CHECKING:
    from softmax_regression.sweep.replicas import ReplicaOutcome

LARGEST_PASS = 64  # more in one matrix product is no faster, and their arrays leave the cache
SHOWN = 10
CODE = ("sweep.py", "sweep_plan.py", "sweeping.py")  # a sweep's runs are of this code, no attempts at a pipeline's
NOT_IN_PATCH = ("data.validation_size", "train.seed")  # how the choice was made, not what was chosen
# What experiment_name tells, or what is the same in all runs of a sweep.
_TOLD = {"data": {"name", "validation_size"}, "train": {"epochs", "batch_size", "seed"}}
_TOLD["optimizer"] = {"learning_rate", "momentum", "nesterov", "weight_decay", "schedule", "warmup_epochs"}


@dataclass(frozen=True)
class Trained:
    """One configuration with one seed, and what came of it."""

    configuration: Configuration
    outcome: ReplicaOutcome


@dataclass(frozen=True)
class Standing:
    """A configuration over its seeds, by validation data after the last epoch; `failure` where a seed has failed."""

    changes: Mapping[str, Any]
    accuracy: float
    deviation: float  # between seeds, which hold out other images too; nan for one
    loss: float
    failure: str | None


def run_sweep(root: Path, configurations: Sequence[Configuration], seeds: int, output: Path) -> str:
    """Train, record and rank `configurations`, each with `seeds` seeds; return what came out, as text.

    Writes table.csv and best.yaml, a patch of params.yaml, into `output`. Raises RuntimeError when there is no store,
    before anything is computed, or when no configuration has stayed finite.
    """
    store = Store.open(root)
    params = configurations[0].params
    folder = root / "data" / params.data.name
    report = read_report(folder) if (folder / "report.json").is_file() else None
    if report is None:
        raise FileNotFoundError(f"{folder} not found; run `dvc repro download`")
    everything = plan.with_seeds(configurations, seeds)
    groups = plan.passes(everything, LARGEST_PASS)
    code = {f"src/softmax_regression/{name}": md5_of(Path(__file__).parent / name) for name in CODE}
    whole = _experiment(configurations[0], report, code)
    name = f"sweep of {len(everything)} {params.data.name}"
    origin = origin_here(root)
    tags = {**origin.tags, "data": params.data.name, "mlflow.source.name": "softmax-regression sweep", "sweep": name}
    axes: dict[str, object] = {
        key: ", ".join(dict.fromkeys(str(one.changes[key]) for one in configurations))
        for key in configurations[0].changes
    }
    parent_key = replace(whole, params={"sweep": axes, "seeds": seeds}).config_key
    with store.start_run(
        name, parent_key, axes | {"seeds": seeds, "configurations": len(configurations)}, tags
    ) as parent:
        parent.log_text(origin.diff, "code.diff")
        parent.log_text(origin.params, "params.yaml")
        child_tags = tags | {"mlflow.parentRunId": parent.run_id}
        trained: list[Trained] = []
        for number, group in enumerate(groups, 1):
            print(f"pass {number}/{len(groups)}: {len(group)} configurations", flush=True)
            done = train_pass(root, group)
            for one in done:
                _record(store, one, _experiment(one.configuration, report, code), child_tags)
            trained += done
        ranking = rank(trained)
        write_atomically(output / "table.csv", table(ranking))
        parent.log_file(output / "table.csv")
        if ranking[0].failure:
            raise RuntimeError(f"no configuration stayed finite; the first: {ranking[0].failure}")
        write_atomically(output / "best.yaml", best_yaml(ranking[0].changes))
        parent.log_file(output / "best.yaml")
        parent.log_metrics({"validation_best/accuracy": ranking[0].accuracy, "validation_best/loss": ranking[0].loss})
    return summary(ranking, output, store.ui_command())


def train_pass(root: Path, group: Sequence[Configuration]) -> list[Trained]:
    """Train the configurations of one pass together, on what is left of the training images without those held out."""
    from softmax_regression.sweep.replicas import (
        fit_together,  # torch takes seconds, and mistakes should be told before
    )

    params = group[0].params
    dataset = load(root / "data" / params.data.name, params.data.name, memory_map=True, size=params.data.resize)
    training, held_out = _split(dataset, params.data.validation_size, params.train.seed)
    with Progress(params.train.epochs) as progress:

        def tell(outcomes: Sequence[ReplicaOutcome]) -> None:
            alive = [outcome.history[-1] for outcome in outcomes if outcome.failure is None]
            if alive:
                progress.show(max(alive, key=lambda row: row["validation_accuracy"]))

        outcomes = fit_together(
            training,
            ("validation", held_out),
            scale=dataset.scale,
            num_classes=dataset.num_classes,
            models=[one.params.model for one in group],
            optimizers=[one.params.optimizer for one in group],
            settings=params.train,
            on_epoch=tell,
        )
    return [Trained(configuration, outcome) for configuration, outcome in zip(group, outcomes, strict=True)]


def rank(trained: Sequence[Trained]) -> list[Standing]:
    """Order the configurations: highest mean validation accuracy first, of equal ones the lowest loss; failed last.

    The figures are those after the last epoch, as the pipeline's model is that of the last epoch.
    """
    by_changes: dict[str, list[Trained]] = {}
    for one in trained:
        by_changes.setdefault(repr(one.configuration.changes), []).append(one)
    standings = [_standing(seeds) for seeds in by_changes.values()]
    return sorted(standings, key=lambda one: (one.failure is not None, -one.accuracy, one.loss))


def table(ranking: Sequence[Standing]) -> str:
    """Return the ranking as CSV: rank, the axes, then the figures."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    figures = ["validation_accuracy", "validation_accuracy_sd", "validation_loss", "failure"]
    writer.writerow(["rank", *ranking[0].changes, *figures])
    for number, one in enumerate(ranking, 1):
        cells = [_cell(value) for value in (one.accuracy, one.deviation, one.loss)]
        writer.writerow([number, *one.changes.values(), *cells, one.failure or ""])
    return text.getvalue()


def best_yaml(changes: Mapping[str, Any]) -> str:
    """Return the params patch: the chosen values, nested as in params.yaml, under the command that takes them."""
    nested = plan.patch({key: value for key, value in changes.items() if key not in NOT_IN_PATCH})
    return f"# {command(changes)}\n{yaml.safe_dump(nested, sort_keys=False)}"


def command(changes: Mapping[str, Any]) -> str:
    """Return the `dvc exp run` command that trains and tests the chosen configuration through the pipeline."""
    chosen = {key: value for key, value in changes.items() if key not in NOT_IN_PATCH}
    return "dvc exp run" + "".join(f" -S {shlex.quote(f'{key}={_plain(value)}')}" for key, value in chosen.items())


def summary(ranking: Sequence[Standing], output: Path, look: str) -> str:
    """Return the best few as a table, and what to do next."""
    varying = [key for key in ranking[0].changes if len({repr(one.changes[key]) for one in ranking}) > 1]
    header = ["rank", *(key.rpartition(".")[2] for key in varying), "validation accuracy", "sd", "loss"]
    rows = [
        [
            str(number),
            *(str(one.changes[key]) for key in varying),
            *(_cell(v, 4) for v in (one.accuracy, one.deviation, one.loss)),
        ]
        for number, one in enumerate(ranking[:SHOWN], 1)
    ]
    failed = sum(one.failure is not None for one in ranking)
    lines = text_table(header, rows, "r" * len(header))
    lines += [f"{failed} of {len(ranking)} did not stay finite: see table.csv"] if failed else []
    lines += [f"table and patch: {output}", f"see the runs:    {look}", "train and test the best one:"]
    return "\n".join([*lines, f"  {command(ranking[0].changes)}"])


def _split(dataset: Dataset, size: int, seed: int) -> tuple[Examples, Examples]:
    kept, out = hold_out(dataset.train.labels, size, seed)
    return tuple(Examples(dataset.train.images[part], dataset.train.labels[part]) for part in (kept, out))  # type: ignore[return-value]  # two parts


def _experiment(one: Configuration, report: Mapping[str, Any], code: Mapping[str, str]) -> Experiment:
    params = one.params
    data = {key: getattr(params.data, key) for key in ("name", "resize", "validation_size")}
    experiment = describe(data, params.model, params.optimizer, params.train, report)
    return replace(experiment, code={**experiment.code, **code})


def _record(store: Store, one: Trained, experiment: Experiment, tags: Mapping[str, str]) -> Run:
    """Make the full run of one configuration: params, curves, final figures; FAILED where it did not stay finite."""
    dotted = [(key.split("."), value) for key, value in one.configuration.changes.items()]
    untold = [f"{key[-1]}{value}" for key, value in dotted if key[-1] not in _TOLD.get(key[0], ())]
    name = " ".join([experiment_name(experiment.params), *untold])
    run = store.start_run(name, experiment.config_key, stage_logs.run_params(experiment), tags)
    if one.outcome.history:
        steps = [(row["epoch"], stage_logs.curve_metrics(row)) for row in one.outcome.history]
        final = {} if one.outcome.failure else stage_logs.final_training_metrics(one.outcome.history)
        run.log_steps([*steps, (0, final)])
    if one.outcome.failure:
        run.set_tags({ERROR: one.outcome.failure})
    run.finish("FAILED" if one.outcome.failure else "FINISHED")
    return run


def _standing(seeds: Sequence[Trained]) -> Standing:
    changes = seeds[0].configuration.changes
    failure = next((one.outcome.failure for one in seeds if one.outcome.failure), None)
    if failure:
        return Standing(changes, math.nan, math.nan, math.nan, failure)
    last = [one.outcome.history[-1] for one in seeds]
    accuracies = [row["validation_accuracy"] for row in last]
    deviation = statistics.stdev(accuracies) if len(accuracies) > 1 else math.nan
    return Standing(
        changes, statistics.fmean(accuracies), deviation, statistics.fmean(row["validation_loss"] for row in last), None
    )


def _cell(value: float, digits: int = 6) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def _plain(value: object) -> str:
    """Return a value as both YAML and DVC read it."""
    if isinstance(value, bool) or value is None:
        return yaml.safe_dump(value).split()[0]
    return str(value)
