"""Fill MLflow in from the DVC outputs: rebuild runs that the store lacks, complete those that were cut off."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from softmax_regression.lineage.naming import state_named
from softmax_regression.lineage.restore import RESTORE_LOCK, belongs_to, restore
from softmax_regression.lineage.states import ARTIFACTS, TRAIN, WORKSPACE, State, all_states
from softmax_regression.tracking import stage_logs
from softmax_regression.tracking.database import exclusive
from softmax_regression.tracking.record import RunRecord
from softmax_regression.tracking.run_store import RunStore

NOTHING_TO_DO = "nothing to do"


def sync(root: Path, names: Sequence[str] = ()) -> Iterator[str]:
    """Bring the store up to date with DVC's outputs; yield a line for each run that was changed.

    `names` are the states to look at, as `naming.state_named` reads them. By default the workspace, the checked-out
    commit, and all experiments that `dvc exp list --all` knows. Doing it again changes nothing.
    Raises RuntimeError, at the end, if the outputs of a state are not available.
    """
    store = RunStore.open(root)
    for dead in store.end_dead_runs():
        yield f"{dead.name}: its process is gone, so it is KILLED now"
    changed, failed = 0, 0
    for state in [state_named(store, root, name) for name in names] or all_states(root):
        try:
            lines = _sync(store, state)
        except (RuntimeError, ValueError) as error:
            lines = [f"{state.name}: not synced: {error}"]
            failed += 1
        changed += len(lines)
        yield from lines
    if not changed:
        yield f"{NOTHING_TO_DO}: MLflow holds a complete run for each state"
    if failed:
        raise RuntimeError(f"{failed} of the states could not be synced; the lines above say why")


def lacking(store: RunStore, state: State) -> tuple[RunRecord | None, list[str]]:
    """Return the run that represents a state, or None, and the stages whose outputs it lacks.

    Another state may share the run and have other late outputs; then those of the workspace are the ones it holds.
    """
    record = store.find(state.experiment.key)
    if record is None:
        return None, list(state.outputs)
    held = {stage: record.tags.get(stage_logs.outputs_tag(stage)) for stage in state.outputs}
    if state.name == WORKSPACE:
        return record, [stage for stage, digest in held.items() if digest != state.outputs[stage]]
    return record, [stage for stage, digest in held.items() if digest is None]


def _sync(store: RunStore, state: State) -> list[str]:
    with exclusive(state.root / RESTORE_LOCK), tempfile.TemporaryDirectory() as folder:
        record, missing = lacking(store, state)
        tags = belongs_to(record, state.dvc_tags) if record else {}
        if not missing and not tags:
            return []
        if missing:
            state.copy_outputs(Path(folder))
        if record is None:
            run = restore(store, state.experiment, Path(folder, TRAIN), state.origin(), state.dvc_tags)
        else:
            run = store.continue_run(record.run_id)
            if "train" in missing:
                stage_logs.log_training(run, Path(folder, TRAIN))
        for stage in missing:
            if stage != "train":
                stage_logs.log_stage(run, stage, Path(folder, ARTIFACTS, stage))
        run.set_tags(tags)
        run.finish()
    if run.lost:
        raise RuntimeError(run.lost)
    done = "restored" if record is None else f"added {', '.join(missing)}" if missing else "linked"
    return [f"{state.name}: {run.name} ({run.run_id[:8]}): {done}"]
