"""Finding the run that a stage writes into: one experiment, one live MLflow run, whatever DVC did or did not run.

The training starts the run. Later stages, and `sync`, ask the store for the live run with the experiment's key; where
there is none (a wiped store, outputs pulled on another machine, a server that went away) they rebuild or complete it
from the training's outputs and mark it as restored.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from softmax_regression.artifacts.experiment import Experiment, experiment_name
from softmax_regression.artifacts.outcome import Epoch, read_history
from softmax_regression.lineage.provenance import (
    EXP_NAME,
    Origin,
    dvc_experiment_tags,
    origin_of_outputs,
    project_root,
)
from softmax_regression.redaction import redact
from softmax_regression.tracking import stage_logs
from softmax_regression.tracking.client import Store
from softmax_regression.tracking.database import alone
from softmax_regression.tracking.record import RunRecord
from softmax_regression.tracking.run import Run

CHECKPOINTS = Path("checkpoints")
RESTORED = "experiment.restored"  # "true": rebuilt from the outputs; "completed": cut off, then completed from them
EXP_ALSO = "dvc.exp.also"
RESTORE_WAIT = 60.0  # seconds for which another process may be rebuilding a run


def start(store: Store, experiment: Experiment, origin: Origin, extra_tags: Mapping[str, str] | None = None) -> Run:
    """Start a run of `experiment` with its params and where it comes from; named after DVC's experiment, too."""
    tags = {**origin.tags, "data": str(experiment.params["data.name"]), **(extra_tags or {})}
    name = experiment_name(experiment.params)
    if dvc_name := tags.get(EXP_NAME):
        name = f"{name} [{dvc_name}]"
    run = store.start_run(name, experiment.config_key, stage_logs.run_params(experiment), tags)
    if origin.diff:
        run.log_bytes(redact(origin.diff).encode(errors="surrogateescape"), "code.diff")
    if origin.params:
        run.log_text(origin.params, "params.yaml")
    return run


def record(experiment: Experiment, train: Path, data: Path, log: Callable[[Run], None]) -> None:
    """Let `log` write into the experiment's live run, rebuilt from the outputs in `train` if the store has none.

    A store that cannot be reached is told in one line: the stage's own outputs do not depend on it, and `sync` fills
    it in later.
    """
    root = project_root()
    try:
        store = Store.open(root)
        store.sweep_dead_runs()
        with alone(root / CHECKPOINTS / ".restore.lock", RESTORE_WAIT):
            run = find_or_restore(store, experiment, train, read_report(data))
    except RuntimeError as error:
        _say(f"not recorded in MLflow: {error}")
        return
    log(run)
    run.finish()
    tell_lost(run)


def find_or_restore(store: Store, experiment: Experiment, train: Path, report: Mapping[str, Any]) -> Run:
    """Return the live run of `experiment`; complete or rebuild it from the train stage's outputs if there is none."""
    found = store.find(experiment.key)
    if found is None:
        run = restore(store, experiment, train, report, origin_of_outputs(experiment.code), dvc_experiment_tags())
        _say(f"the run {run.name} was not in the MLflow store, or not complete: filled in from the outputs", hint=False)
        return run
    run = store.continue_run(found.run_id)
    if tags := belongs_to(found, dvc_experiment_tags()):
        run.set_tags(tags)
    return run


def belongs_to(record: RunRecord, dvc_tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags to add so that the run names this experiment of DVC's, too: the first keeps its place.

    Several of DVC's experiments share a run when they differ in a late stage only.
    """
    name = dvc_tags.get(EXP_NAME, "")
    if not record.dvc_experiment:
        return dict(dvc_tags)
    also = record.tags.get(EXP_ALSO, "").split()
    return {EXP_ALSO: " ".join([*also, name])} if name not in ("", record.dvc_experiment, *also) else {}


def restore(
    store: Store,
    experiment: Experiment,
    train: Path,
    report: Mapping[str, Any],
    origin: Origin,
    extra_tags: Mapping[str, str] | None = None,
) -> Run:
    """Fill in the run of an experiment from the train stage's outputs, marked as restored.

    A run of the same configuration that was cut off, and whose curves are the beginning of these, is completed;
    otherwise the run is made anew.
    """
    cut_off = _cut_off(store, experiment, read_history(train / "history.csv"))
    if cut_off is None:
        run, has_model = start(store, experiment, origin, {RESTORED: "true", **(extra_tags or {})}), False
    else:
        run, has_model = store.resume_run(cut_off.run_id), store.model_of(cut_off.run_id) is not None
        run.set_tags({RESTORED: "completed"})
    stage_logs.log_training(run, train, experiment, report, has_model=has_model)
    run.finish("FINISHED", key=experiment.key)
    if run.lost:
        raise RuntimeError(run.lost)
    return store.continue_run(run.run_id)


def _cut_off(store: Store, experiment: Experiment, history: Sequence[Epoch]) -> RunRecord | None:
    """Return the newest run that ended before its outputs were recorded and whose curves agree with `history`."""
    known = {(name, row["epoch"], value) for row in history for name, value in stage_logs.curve_metrics(row).items()}
    for record in store.attempts(experiment.config_key):
        if record.status in ("KILLED", "FAILED"):
            curves = store.history(record.run_id, sorted(set(stage_logs.CURVES.values()) & set(record.metrics)))
            if {(name, *point) for name, points in curves.items() for point in points} <= known:
                return record
    return None


def read_report(data: Path) -> dict[str, Any]:
    """Return what the download stage reported on the data set in the folder `data`."""
    report: dict[str, Any] = json.loads((data / "report.json").read_text())
    return report


def tell_lost(run: Run) -> None:
    """Say in one line if MLflow did not take everything."""
    if run.lost:
        _say(f"MLflow did not take everything ({run.lost})")


def _say(text: str, hint: bool = True) -> None:
    words = "; `softmax-regression sync` fills MLflow in from the DVC outputs" if hint else ""
    print(f"{text}{words}", file=sys.stderr, flush=True)
