"""What a person's word for a run means: the one resolver of show, compare, predict and sync.

Tried in this order:

    workspace   the run of the outputs in the working folder
    champion    the run whose model is the champion in MLflow's registry
    best        a run of the best configuration, chosen by validation data, never by the test set
    a run       by id, name, DVC experiment, the first characters (four or more) of an experiment's key or a run's id
    a state     the run of the outputs of a DVC experiment or a commit, as git names it (HEAD, a branch, a hash)
"""

import difflib
import itertools
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from softmax_regression.data.datasets import FOLDER, read_report
from softmax_regression.lineage import states
from softmax_regression.lineage.best import best_run
from softmax_regression.lineage.restore import run_of
from softmax_regression.lineage.states import TRAIN, WORKSPACE, State
from softmax_regression.params import load_params
from softmax_regression.tracking.client import pattern
from softmax_regression.tracking.configurations import data_of
from softmax_regression.tracking.record import DVC_EXPERIMENT, KEY, RunRecord
from softmax_regression.tracking.registry import CHAMPION, Registry
from softmax_regression.tracking.run_store import RunStore

BEST = "best"
_SHORTEST_PREFIX = 4  # shorter beginnings of ids match by accident (git asks for four digits, too)
_OFFERED = 200  # of so many runs, the newest, the names are offered where a word names nothing


class Named(NamedTuple):
    """A run that was named, and a sentence on how it was found where the word for it is no name of its own."""

    record: RunRecord
    how: str = ""


def resolve(store: RunStore, root: Path, ref: str) -> Named:
    """Return the run that `ref` names. Raises ValueError if it names none, or several."""
    return resolve_all(store, root, [ref])[0]


def resolve_all(store: RunStore, root: Path, refs: Sequence[str]) -> list[Named]:
    """Return the run that each of `refs` names, in their order.

    `best` is chosen among the live runs on the data set of the other runs named, see `best_run`. Raises ValueError if
    a word names no run, or two name the same one.
    """
    named = {ref: _named(store, root, ref) for ref in refs if ref != BEST}
    if BEST in refs:
        data = {data_of(run.record) for run in named.values()}
        named[BEST] = Named(*best_run(store, data, _evaluable(root)))
    for one, other in itertools.combinations(refs, 2):
        record = named[one].record
        if record.run_id == named[other].record.run_id:
            words = f"{one!r} is given twice" if one == other else f"{one!r} and {other!r} are the same run, {record}"
            raise ValueError(f"{words}; name different runs")
    return [named[ref] for ref in refs]


def state_named(store: RunStore, root: Path, ref: str) -> State:
    """Return the state of the project that `ref` names, or that the run which it names belongs to.

    Raises ValueError if it names nothing, or DVC has no state of that run.
    """
    if ref == WORKSPACE:
        return states.workspace(root)
    record = resolve(store, root, ref).record if ref in (BEST, CHAMPION) else find_record(store, ref)
    if record is None:
        return states.at(root, ref)
    known = states.all_states(root)
    trained = record.outputs.get(Path(TRAIN).name)
    # Where dvc.lock has the run's own outputs; else DVC looks into each state, which takes it a while.
    for state in [state for state in known if state.outputs[TRAIN] == trained] or known:
        with suppress(RuntimeError):  # DVC does not have that state's files
            same = record.key == state.experiment.key if record.key else record.dvc_experiment == state.name
            if state.outputs[TRAIN] == trained or same:  # it has no key where it was cut off, but DVC's was not
                return state
    raise ValueError(f"DVC has no outputs of the run {record}; `softmax-regression show {ref}` says what it was")


def find_record(store: RunStore, ref: str) -> RunRecord | None:
    """Return the run that `ref` names, by id, name, DVC experiment or the first characters of a key or id.

    Of several attempts at one configuration, or repetitions of one experiment, the live one is meant. None if no run is
    named; raises ValueError if more than one is.
    """
    for found in _candidates(store, ref):
        if found:
            return _one_of(store.settled(found), ref)
    return None


def _candidates(store: RunStore, ref: str) -> Iterator[list[RunRecord]]:
    """Yield the runs that `ref` may name, one meaning after the other; each is one query."""
    like = pattern(ref)
    yield [run for run in store.runs(f"attributes.run_id = '{like}'") if run.run_id == ref]
    yield [run for run in store.runs(f"attributes.run_name LIKE '{like}'") if run.name == ref]
    if ref:
        yield [run for run in store.runs(f"tags.`{DVC_EXPERIMENT}` LIKE '{like}'") if run.dvc_experiment == ref]
    if len(ref) >= _SHORTEST_PREFIX:
        yield [run for run in store.runs(f"tags.`{KEY}` LIKE '{like}%'") if run.key.startswith(ref)]
        yield [run for run in store.runs(f"attributes.run_id LIKE '{like}%'") if run.run_id.startswith(ref)]


def _one_of(found: Sequence[RunRecord], ref: str) -> RunRecord:
    if len(found) == 1:
        return found[0]
    live = [record for record in found if record.live]
    one = len({record.config_key for record in found}) == 1 or len({record.key for record in found}) == 1
    if len(live) != 1 or not one:
        raise ValueError(f"{ref!r} names {len(found)} runs, give an id: {', '.join(map(str, found))}")
    return live[0]


def _named(store: RunStore, root: Path, ref: str) -> Named:
    if ref == CHAMPION:
        return _champion(store, root)
    if ref != WORKSPACE and (record := find_record(store, ref)) is not None:
        return Named(record)
    try:
        state = states.at(root, ref)
    except ValueError:
        records = store.newest(count=_OFFERED)
        names = sorted({record.name for record in records} | {record.dvc_experiment for record in records} - {""})
        near = difflib.get_close_matches(ref, names, n=3, cutoff=0.4) or names[:3]
        known = f"the nearest names are {', '.join(near)}" if near else "the store holds no run yet"
        raise ValueError(f"{ref!r} names no run, DVC experiment or commit: {known}") from None
    found = run_of(store, state)
    if found is None:
        key = state.experiment.key
        raise ValueError(f"{ref}: the store has no run of the experiment {key}; run `softmax-regression sync {ref}`")
    return Named(store.settled([found])[0], f"{ref} is {found.name}")


def _champion(store: RunStore, root: Path) -> Named:
    registry = Registry(store, load_params(root / "params.yaml").registry.model)
    version = registry.champion()
    if version is None:
        raise ValueError(
            f"there is no champion: {registry.uri} names no version; `softmax-regression promote RUN` makes one"
        )
    own = store.run(version.run_id)
    rebuilt = store.find(version.tags.get(KEY, ""))
    found = store.settled([run for run in (own, rebuilt) if run])
    if not found:
        raise ValueError(
            f"the champion, version {version.number} of {registry.name}, is the model of the run {version.run_id}, "
            "deleted or of another MLflow experiment; restore that run, or `softmax-regression promote --rollback`"
        )
    record = found[0]
    return Named(record, f"champion is {record.name}, version {version.number} of {registry.name}")


def _evaluable(root: Path) -> set[str]:
    """Return the data set that is at hand to evaluate models on."""
    with suppress(OSError, ValueError):
        return {read_report(root / FOLDER)["name"]}
    return set()
