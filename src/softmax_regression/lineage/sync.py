"""Fill MLflow in from the DVC outputs: rebuild runs that the store lacks, complete those that were cut off."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from softmax_regression.lineage.naming import state_named
from softmax_regression.lineage.restore import RESTORE_LOCK, belongs_to, restore, run_of
from softmax_regression.lineage.states import TRAIN, WORKSPACE, NotHereError, State, all_states
from softmax_regression.tracking import stage_logs
from softmax_regression.tracking.database import exclusive
from softmax_regression.tracking.record import LIVE, RunRecord
from softmax_regression.tracking.run_store import RunStore

NOTHING_TO_DO = "nothing to do"


def sync(root: Path, names: Sequence[str] = (), *, everything: bool = False) -> Iterator[str]:
    """Bring the store up to date with DVC's outputs; yield a line for each run that was changed.

    `names` are the states to look at, as `naming.state_named` reads them. By default the workspace, the checked-out
    commit, and all experiments that `dvc exp list --all` knows. Which run represents which experiment is settled, too,
    as runs may have been deleted or restored in MLflow: where there is a trace of that, see `RunStore.stale`, or among
    all runs where `everything` is to be looked at. Doing it again changes nothing.
    Raises RuntimeError, at the end, if the outputs of the workspace, or of a state that was named, are not available:
    a commit's may never have been here.
    """
    store = RunStore.open(root)
    yield from store.end_dead_runs()
    changed, unread, failed = 0, 0, 0
    found: list[RunRecord] = []
    for state in [state_named(store, root, name) for name in names] or all_states(root):
        try:
            line, record = _sync(store, state)
            found.append(record)
            if line:
                changed += 1
                yield line
        except (RuntimeError, ValueError) as error:
            yield f"{state.name}: not synced: {error}"
            unread += 1
            failed += bool(names) or state.name == WORKSPACE or not isinstance(error, NotHereError)
    store.record_configurations()
    for record, tags in store.stale(found, everything=everything):
        store.set_tags(record.run_id, tags)
        if LIVE in tags:
            changed += 1
            yield f"{record.name} ({record.run_id[:8]}): {'live again' if tags[LIVE] == 'true' else 'no longer live'}"
    if not changed and not failed:
        yield f"{NOTHING_TO_DO}: MLflow holds a complete run for each {'other ' if unread else ''}state"
    if failed:
        raise RuntimeError(f"{failed} of the states could not be synced; the lines above say why")


def lacking(store: RunStore, state: State) -> tuple[RunRecord | None, list[str]]:
    """Return the run that represents a state, or None, and the paths of the outputs that it lacks.

    Another state may share the run and have other late outputs; then those of the workspace are the ones it holds.
    Files are looked for, too: the folder of artifacts may have been deleted, and the database not.
    """
    record = run_of(store, state)
    if record is None:
        return None, list(state.outputs)
    files = store.artifacts(record.run_id)

    def has(path: str, digest: str) -> bool:
        held = record.outputs.get(Path(path).name)
        there = stage_logs.place(Path(path).name).partition("/")[0] in files
        return there and held is not None and (held == digest or state.name != WORKSPACE)

    return record, [path for path, digest in state.outputs.items() if not has(path, digest)]


def _sync(store: RunStore, state: State) -> tuple[str, RunRecord]:
    """Bring the run of a state up to date; return what was done, if anything, and the run."""
    with exclusive(state.root / RESTORE_LOCK), tempfile.TemporaryDirectory() as folder:
        record, missing = lacking(store, state)
        tags = belongs_to(record, state.dvc_tags) if record else {}
        if record and not missing and not tags:
            return "", record
        state.copy_outputs(Path(folder), missing)
        if record is None:
            run = restore(store, state.experiment, Path(folder, TRAIN), state.origin(), state.dvc_tags)
        else:
            run = store.continue_run(record.run_id)
            if TRAIN in missing:
                stage_logs.log_training(run, Path(folder, TRAIN))
        for path in missing:
            if path != TRAIN:
                stage_logs.log_output(run, Path(folder, path))
        run.set_tags(tags)
        run.finish()
    if run.lost:
        raise RuntimeError(run.lost)
    done = "restored" if record is None else f"added {', '.join(missing)}" if missing else "linked"
    return f"{state.name}: {run.name} ({run.run_id[:8]}): {done}", store.existing(run.run_id)
