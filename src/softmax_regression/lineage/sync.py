"""Fill MLflow in from the DVC outputs: rebuild runs that the store lacks, complete those that were cut off."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from softmax_regression.artifacts.outcome import read_history
from softmax_regression.lineage.provenance import origin_of_outputs
from softmax_regression.lineage.restore import CHECKPOINTS, RESTORE_WAIT, belongs_to, restore
from softmax_regression.lineage.states import (
    EVALUATE,
    METRICS,
    PREDICT,
    TRAIN,
    WORKSPACE,
    State,
    at,
    experiments,
    workspace,
)
from softmax_regression.tracking import stage_logs
from softmax_regression.tracking.client import Store
from softmax_regression.tracking.database import alone
from softmax_regression.tracking.record import RunRecord
from softmax_regression.tracking.run import Run
from softmax_regression.tracking.stage_logs import EVALUATE_OUTPUTS, TRAIN_OUTPUTS, predict_outputs

NOTHING_TO_DO = "nothing to do"


def sync(root: Path, names: Sequence[str] = ()) -> Iterator[str]:
    """Bring the store up to date with DVC's outputs; yield a line for each run that was changed.

    `names` are the states to look at: "workspace", DVC experiments, commits. By default the workspace, the checked-out
    commit, and all experiments that `dvc exp list --all` knows. Doing it again changes nothing.
    Raises RuntimeError, at the end, if the outputs of a state are not to be had.
    """
    store = Store.open(root)
    for dead in store.sweep_dead_runs():
        yield f"{dead.name}: left behind by a process that is gone, now KILLED"
    changed, failed = 0, 0
    for state in [at(root, name) for name in names] or all_states(root):
        try:
            lines = _sync(store, state)
        except RuntimeError as error:
            lines = [f"{state.name}: not synced: {error}"]
            failed += 1
        changed += len(lines)
        yield from lines
    if not changed:
        yield f"{NOTHING_TO_DO}: MLflow holds a complete run for each state"
    if failed:
        raise RuntimeError(f"{failed} of the states could not be synced; the lines above say why")


def all_states(root: Path) -> list[State]:
    """Return the workspace, the checked-out commit where it has other outputs, and DVC's experiments."""
    here = workspace(root)
    try:
        head = [state for state in [at(root, "HEAD")] if state.outputs != here.outputs]
    except ValueError:  # no git, no commit
        head = []
    return [state for state in [here, *head, *experiments(root)] if state.outputs]


def lacking(store: Store, state: State) -> tuple[RunRecord | None, set[str]]:
    """Return the run that stands for a state, or None, and the tags of the outputs that it lacks.

    Another state may share the run and have other late outputs; then those of the workspace are the ones it holds.
    """
    record = store.find(state.experiment.key)
    if record is None:
        return None, set(state.outputs)
    found = {tag: record.tags.get(tag) for tag in state.outputs}
    if state.name == WORKSPACE:
        return record, {tag for tag, digest in found.items() if digest != state.outputs[tag]}
    return record, {tag for tag, digest in found.items() if digest is None}


def outputs_of(root: Path, name: str, destination: Path) -> None:
    """Replace the folder `destination` by the outputs of a DVC experiment or a commit.

    Raises RuntimeError where DVC lacks them.
    """
    shutil.rmtree(destination, ignore_errors=True)
    at(root, name).copy_outputs(destination)


def _sync(store: Store, state: State) -> list[str]:
    with alone(state.root / CHECKPOINTS / ".restore.lock", RESTORE_WAIT):
        record, missing = lacking(store, state)
        tags = belongs_to(record, state.dvc_tags) if record else {}
        if not missing and not tags:
            return []
        with tempfile.TemporaryDirectory() as folder:
            if missing:
                state.copy_outputs(Path(folder))
            run = _fill(store, state, record, missing, Path(folder))
        if tags:
            run.set_tags(tags)
        run.finish()
    if run.lost:
        raise RuntimeError(run.lost)
    done = "restored" if record is None else f"added {', '.join(sorted(missing))}" if missing else "linked"
    return [f"{state.name}: {run.name} ({run.run_id[:8]}): {done}"]


def _fill(store: Store, state: State, record: RunRecord | None, missing: set[str], folder: Path) -> Run:
    """Log the missing outputs, which lie in `folder`, into the state's run; return it."""
    experiment, train = state.experiment, folder / TRAIN
    if record is None:
        origin = origin_of_outputs(experiment.code, state.root, state.base, state.revision)
        run = restore(store, experiment, train, state.report(), origin, state.dvc_tags)
    else:
        run = store.continue_run(record.run_id)
        if TRAIN_OUTPUTS in missing:
            has_model = store.model_of(record.run_id) is not None
            stage_logs.log_training(run, train, experiment, state.report(), has_model=has_model)
    if EVALUATE_OUTPUTS in missing:
        from softmax_regression.evaluation.evaluation import findings

        numbers = json.loads((folder / METRICS).read_text())
        found = findings(experiment.params, read_history(train / "history.csv"), numbers)
        stage_logs.log_evaluation(run, folder / METRICS, found, folder / EVALUATE)
    if predict_outputs(state.count) in missing:
        stage_logs.log_predictions(run, folder / PREDICT, state.count)
    return run
