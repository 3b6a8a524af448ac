"""Finding the run that a stage writes into: one experiment, one live MLflow run, whatever DVC did or did not run.

The training starts the run. Later stages, and `sync`, ask the store for the live run with the experiment's key; where
there is none (a wiped store, outputs pulled on another machine, a server that went away) they rebuild or complete it
from the training's outputs and mark it as restored.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from softmax_regression.artifacts.experiment import Experiment, experiment_name, read_experiment
from softmax_regression.artifacts.outcome import read_history
from softmax_regression.files import project_root
from softmax_regression.lineage.provenance import Origin, config_key, dvc_experiment_tags
from softmax_regression.lineage.states import TRAIN, State, workspace
from softmax_regression.tracking import stage_logs
from softmax_regression.tracking.database import exclusive
from softmax_regression.tracking.record import CONFIGURATION, DVC_ALSO, DVC_EXPERIMENT, OUTPUTS, RESTORED, RunRecord
from softmax_regression.tracking.run import Run
from softmax_regression.tracking.run_store import RunStore

CHECKPOINTS = Path("checkpoints")
RESTORE_LOCK = CHECKPOINTS / ".restore.lock"  # one process at a time rebuilds a run


def start(store: RunStore, experiment: Experiment, origin: Origin, extra_tags: Mapping[str, str] | None = None) -> Run:
    """Start a run of `experiment` with its params and where it comes from.

    Raises RuntimeError if the store does not take it: nothing has been computed yet that could be lost.
    """
    own = {CONFIGURATION: experiment.configuration, "data": str(experiment.params["data.name"])}
    tags = {**origin.tags, **own, **(extra_tags or {})}
    run = store.start_run(experiment_name(experiment.params), config_key(experiment), {}, tags)
    _describe(run, experiment, origin)
    return run


def resume(store: RunStore, record: RunRecord, experiment: Experiment, origin: Origin) -> Run:
    """Go on with the run of a training that was cut off, maybe while it started."""
    run = store.resume_run(record.run_id)
    if not record.params:
        _describe(run, experiment, origin)
    return run


def _describe(run: Run, experiment: Experiment, origin: Origin) -> None:
    """Record what the run is about; the params last, so that a run that has them has all of it."""
    if origin.diff:
        run.log_text(origin.diff, "code.diff")
    if origin.params:
        run.log_text(origin.params, "params.yaml")
    run.log_params(stage_logs.run_params(experiment))
    if run.lost:
        raise RuntimeError(run.lost)


def record(train: Path, *outputs: Path) -> None:
    """Record the outputs of a stage, folders and files, in the run of the experiment whose training is in `train`.

    A store that cannot be reached is reported in one line: the stage's own outputs do not depend on it, and `sync`
    fills it in later.
    """
    root = project_root()
    experiment = read_experiment(train / "experiment.json")
    try:
        store = RunStore.open(root)
        store.end_dead_runs()
        with exclusive(root / RESTORE_LOCK):
            run = find_or_restore(store, experiment, train)
    except RuntimeError as error:
        _say(f"not recorded in MLflow: {error}")
        return
    for output in outputs:
        stage_logs.log_output(run, output)
    run.finish()
    report_lost(run)


def run_of(store: RunStore, state: State) -> RunRecord | None:
    """Return the run that represents the experiment of a state, or None.

    DVC need not have the files of the state if a run has the digest that dvc.lock has of them. Raises ValueError where
    there is no training, RuntimeError where neither helps.
    """
    trained = store.tagged(f"{OUTPUTS}train", state.outputs.get(TRAIN, ""))
    key = next((run.key for run in trained if run.key), "") or state.experiment.key
    return store.find(key)


def find_or_restore(store: RunStore, experiment: Experiment, train: Path) -> Run:
    """Return the run that represents `experiment`; complete or rebuild it from the train stage's outputs if needed."""
    found = store.find(experiment.key)
    if found is None:
        run = restore(store, experiment, train, workspace(Path()).origin(), dvc_experiment_tags())
        text = f"the run {run.name} was not in the MLflow store, or not complete: filled in from the outputs"
        print(text, file=sys.stderr, flush=True)
        return run
    store.settle(found.run_id)
    run = store.continue_run(found.run_id)
    run.set_tags(belongs_to(found, dvc_experiment_tags()))
    return run


def belongs_to(record: RunRecord, dvc_tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags to add so that the run names this experiment of DVC's, too: the first keeps its place.

    Several of DVC's experiments share a run when they differ in a late stage only.
    """
    name = dvc_tags.get(DVC_EXPERIMENT, "")
    if not record.dvc_experiment:
        return dict(dvc_tags)
    also = record.tags.get(DVC_ALSO, "").split()
    return {DVC_ALSO: " ".join([*also, name])} if name not in ("", record.dvc_experiment, *also) else {}


def restore(store: RunStore, experiment: Experiment, train: Path, origin: Origin, dvc_tags: Mapping[str, str]) -> Run:
    """Fill in the run of an experiment from the train stage's outputs, marked as restored.

    A run of the same configuration that was cut off, and whose curves are the beginning of these, is completed;
    otherwise the run is made anew.
    """
    cut_off = _cut_off(store, experiment, train)
    if cut_off is None:
        run = start(store, experiment, origin, {RESTORED: "true", **dvc_tags})
    else:
        run = resume(store, cut_off, experiment, origin)
        run.set_tags({RESTORED: "completed"})
    stage_logs.log_training(run, train)
    run.finish("FINISHED", key=experiment.key)
    if run.lost:
        raise RuntimeError(run.lost)
    return store.continue_run(run.run_id)


def _cut_off(store: RunStore, experiment: Experiment, train: Path) -> RunRecord | None:
    """Return the newest run that ended before its outputs were recorded and whose curves agree with the history."""
    steps = stage_logs.curve_steps(read_history(train / "history.csv"))
    known = {(name, epoch, value) for epoch, row in steps for name, value in row.items()}
    ours = {name for name, _, _ in known}
    for record in store.attempts(config_key(experiment)):
        if record.status in ("KILLED", "FAILED"):
            names = sorted(ours & record.metrics.keys())
            recorded = store.history(record.run_id, names)
            if {(name, *point) for name, points in recorded.items() for point in points} <= known:
                return record
    return None


def report_lost(run: Run) -> None:
    """Say in one line if MLflow did not take everything."""
    if run.lost:
        _say(f"MLflow did not take everything ({run.lost})")


def _say(text: str) -> None:
    print(f"{text}; `softmax-regression sync` fills MLflow in from the DVC outputs", file=sys.stderr, flush=True)
