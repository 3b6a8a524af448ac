"""A whole sweep: train in passes, record every configuration in MLflow, choose by validation data, say what is next.

The test set is not touched. What is chosen is trained and tested by the ordinary pipeline, with the validation size
and the seed that params.yaml has: all training images then serve, and the reported figure has one way of coming about.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from softmax_regression.artifacts.experiment import digest
from softmax_regression.data.datasets import FOLDER, read_report
from softmax_regression.files import write_atomically
from softmax_regression.lineage.provenance import origin_here
from softmax_regression.params import plain
from softmax_regression.statistics.optimism import optimism
from softmax_regression.sweep import plan
from softmax_regression.sweep.passes import Trained, record, train_passes
from softmax_regression.sweep.plan import Trial
from softmax_regression.sweep.ranking import best_figures, rank, summary, write_answers, write_table
from softmax_regression.tracking.run_store import RunStore

NOT_IN_PATCH = ("data.validation_size", "train.seed")  # how the choice was made, not what was chosen


def run_sweep(root: Path, configurations: Sequence[Trial], seeds: int, output: Path) -> str:
    """Train, record and rank `configurations`, each with `seeds` seeds; return what came out, as text.

    Writes table.csv, answers.npz (see `write_answers`) and best.yaml, a patch of params.yaml, into `output`. Before
    anything is computed it raises FileNotFoundError when there are no data, ValueError when they are another data
    set's, RuntimeError when there is no store; afterwards RuntimeError when no configuration has stayed finite.
    """
    data = configurations[0].params.data.name
    report = read_report(root / FOLDER, data)
    everything = plan.with_seeds(configurations, seeds)
    groups = plan.passes(everything, plan.LARGEST_PASS)
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
        trained: list[Trained] = []
        for done in train_passes(groups, root / FOLDER):
            for one in done:
                record(store, one, root / FOLDER, origin, child_tags)
            trained += done
        places = {repr(one.changes): place for place, one in enumerate(configurations)}
        trained.sort(key=lambda one: places[repr(one.trial.changes)])  # passes may end in another order
        ranking = rank(trained, report["train"]["examples"])
        best, finished = ranking[0], [one for one in ranking if not one.failure]
        too_high = optimism([one.answers for one in finished]) if finished else math.nan
        write_table(output / "table.csv", ranking, too_high)
        parent.log_file(output / "table.csv")
        if best.failure:
            raise RuntimeError(f"no configuration stayed finite; the first: {best.failure}")
        write_answers(output / "answers.npz", finished)
        write_atomically(output / "best.yaml", best_yaml(best.changes))
        parent.log_file(output / "answers.npz")
        parent.log_file(output / "best.yaml")
        parent.log_metrics(best_figures(best, too_high))
    lines = [
        *summary(ranking, too_high),
        f"table, answers and patch: {output}",
        f"see the runs:    {store.ui_command()}",
        "train and test the best one:",
        f"  {command(best.changes)}",
    ]
    return "\n".join(lines)


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


def _chosen(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in changes.items() if key not in NOT_IN_PATCH}
