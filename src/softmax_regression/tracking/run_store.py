"""The runs of experiments: starting and resuming them, which one represents an experiment, those whose process died."""

import itertools
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from softmax_regression.artifacts.experiment import read_experiment
from softmax_regression.tracking import database, processes
from softmax_regression.tracking.client import Client
from softmax_regression.tracking.record import (
    ATTEMPT,
    CONFIG,
    CONFIGURATION,
    DELETED,
    ERROR,
    KEY,
    KILLED,
    LIVE,
    REPRODUCED,
    REPRODUCES,
    RESTORED,
    SETTLING,
    RunRecord,
)
from softmax_regression.tracking.run import Run

FINISHED = "attributes.status = 'FINISHED'"


def representative(finished: Sequence[RunRecord]) -> RunRecord:
    """Return which of the finished runs of one experiment people see: the most complete, of equals the first."""
    return min(finished, key=lambda run: (-len(run.outputs), *_end(run)))


def standing(runs: Iterable[RunRecord]) -> dict[str, dict[str, str]]:
    """Return, by run, the tags that say which of the finished `runs` represents its experiment, empty for none.

    Runs of one key are one experiment. One of them represents it, and its tags say how often and when the others came
    to the same weights; it is live where some configuration came to these weights last, and superseded where none did.
    All of this follows from the runs that are there: one may have been deleted, or restored, since the tags were set.
    The first to end says how many are deleted, as nothing else tells when one of them is restored.
    With a run, `runs` must hold all that share its configuration or key.
    """
    ours = sorted((run for run in runs if run.status == "FINISHED" and run.config_key), key=_end)
    finished = [run for run in ours if not run.deleted]
    last = {run.config_key: run.key or run.run_id for run in finished}  # what each configuration came to
    experiments: dict[str, list[RunRecord]] = {}
    for run in finished:
        experiments.setdefault(run.key or run.run_id, []).append(run)
    tags: dict[str, dict[str, str]] = {}
    for name, own in experiments.items():
        shown = representative(own)
        for run in own:
            again = "" if run is shown else shown.run_id
            tags[run.run_id] = {LIVE: "false", REPRODUCES: again, REPRODUCED: "", DELETED: ""}
        if name in last.values():
            tags[shown.run_id][LIVE] = "true"
        if times := sum(run is not shown and run.tags.get(RESTORED) != "true" for run in own):
            when = datetime.fromtimestamp((own[-1].end_time or 0) / 1000, UTC)
            plural = "s" if times > 1 else ""
            tags[shown.run_id][REPRODUCED] = f"{times} time{plural}, last on {when:%Y-%m-%d %H:%M} UTC"
    if finished:
        tags[finished[0].run_id][DELETED] = str(len(ours) - len(finished) or "")
    return tags


def unsettled(runs: Sequence[RunRecord]) -> dict[str, dict[str, str]]:
    """Return, by run, the tags of finished `runs` that are not as `standing` says, with what they should be."""
    wanted = standing(runs)
    changes = {
        run.run_id: {tag: value for tag, value in wanted[run.run_id].items() if value != run.tags.get(tag, "")}
        for run in runs
        if run.run_id in wanted
    }
    return {run_id: tags for run_id, tags in changes.items() if tags}


def _end(run: RunRecord) -> tuple[int, str]:
    return run.end_time or 0, run.run_id


class RunStore(Client):
    """A store, and what its runs mean: attempts at one configuration, one live run an experiment."""

    def start_run(
        self, name: str, config_key: str, params: Mapping[str, object], tags: Mapping[str, str] | None = None
    ) -> Run:
        """Start the run called `name`, or `name#2` if it is the second of its configuration, and so on.

        On a server, two that start within the same milliseconds may get the same number; it is a label only.
        Raises RuntimeError if the store does not take it: nothing has been computed yet that could be lost.
        """
        file = self.database_file
        with database.exclusive(database.lock_file(file)) if file else nullcontext():  # or two could both be the second
            attempt = 1 + max((record.attempt for record in self.attempts(config_key)), default=0)
            name = name if attempt == 1 else f"{name}#{attempt}"
            own = {CONFIG: config_key, ATTEMPT: str(attempt), processes.TAG: processes.identity()}
            run_id = self.create_run(name, own | processes.sign_of_life() | dict(tags or {}))
        try:
            self.log_batch(run_id, params=params)
        except BaseException:
            with suppress(RuntimeError):
                self.end_run(run_id, "FAILED")
            raise
        return Run(self, run_id, name, new=True, on_finish=self.finish)

    def resume_run(self, run_id: str) -> Run:
        """Resume a run that was killed or failed: it is RUNNING again, and this process writes it.

        Raises ValueError if there is no such run, RuntimeError if another process may still be writing it.
        """
        record = self.existing(run_id)
        writer = record.tags.get(processes.TAG, "")
        if record.status == "RUNNING" and writer != processes.identity() and not self._why_gone(record):
            raise RuntimeError(
                f"the run {record} is being written by another process, or one on another machine ({writer or '?'}): "
                "wait for it, or end it"
            )
        # The writer comes before RUNNING, so that nobody ends it as dead in between.
        self.set_tags(run_id, {processes.TAG: processes.identity(), **processes.sign_of_life()})
        self.reopen_run(run_id, stale_tags=sorted({KILLED, ERROR} & record.tags.keys()))
        return Run(self, run_id, record.name, on_finish=self.finish)

    def continue_run(self, run_id: str) -> Run:
        """Add to a run that has ended; its status and end stay as they are. Raises ValueError if there is none."""
        return Run(self, run_id, self.existing(run_id).name, on_finish=None)

    def existing(self, run_id: str) -> RunRecord:
        """Return the run with this full id. Raises ValueError if there is none."""
        record = self.run(run_id)
        if record is None:
            raise ValueError(f"the store holds no run with the id {run_id!r}")
        return record

    def attempts(self, config_key: str) -> list[RunRecord]:
        """Return the runs of one configuration, newest first."""
        return self.tagged(CONFIG, config_key)

    def find(self, key: str) -> RunRecord | None:
        """Return the run that represents the experiment with this key, or None."""
        finished = [run for run in self.tagged(KEY, key) if run.status == "FINISHED"]
        return representative(finished) if finished else None

    def finish(self, run_id: str, key: str, end: int) -> None:
        """End a run as FINISHED, at `end` in ms since 1970, and settle which run represents its experiment.

        May be called again after it was cut off.
        """
        self.set_tags(run_id, {LIVE: SETTLING} | ({KEY: key} if key else {}))
        self.end_run(run_id, "FINISHED", end)
        self.settle(run_id)

    def settle(self, run_id: str) -> None:
        """Bring the tags of a finished run, and of its relatives, up to what `standing` says."""
        # Others may finish at the same time: whoever looks last sees all that have ended, and has nothing to change.
        while changes := unsettled(self._relatives(self.existing(run_id))):
            self.retag(changes)

    def retag(self, changes: Mapping[str, Mapping[str, str]]) -> None:
        """Set tags by run."""
        for run_id, tags in changes.items():
            self.set_tags(run_id, tags)

    def family(self, run: RunRecord) -> list[RunRecord]:
        """Return a run and those of its configuration, newest first, with the tags that they should have.

        One deleted in MLflow is missing here.
        """
        run = self._untagged.get(run.run_id, run)
        own = {one.run_id: one for one in self._relatives(run)}
        if run.configuration:
            own |= {one.run_id: one for one in self._untagged.values() if one.configuration == run.configuration}
        changes = unsettled(list(own.values()))
        there = sorted((one for one in own.values() if not one.deleted), key=lambda one: (-one.start_time, one.run_id))
        return [replace(one, tags={**one.tags, **changes.get(one.run_id, {})}) for one in there]

    def settled(self, runs: Sequence[RunRecord]) -> list[RunRecord]:
        """Return runs that are there with the tags that they should have; see `family`."""
        found: dict[str, RunRecord] = {}
        for run in runs:
            if run.run_id not in found:
                found |= {one.run_id: one for one in self.family(run)}
        return [found.get(run.run_id, run) for run in runs]

    def stale(
        self, runs: Iterable[RunRecord] = (), *, everything: bool = False
    ) -> Iterator[tuple[RunRecord, dict[str, str]]]:
        """Yield runs and those of their tags that are not as `standing` says, with what they should be.

        Looked at are the relatives of `runs`, those of runs that are deleted in MLflow or were restored there, and of
        runs whose process was killed before it settled what had finished. A run that `mlflow gc` has removed before
        anybody looked leaves no trace: only looking at `everything` finds that another represents its experiment now.
        """
        suspects = itertools.chain(
            runs,
            self.walk(FINISHED, view="deleted"),
            self.runs(f"tags.`{DELETED}` != ''"),
            self.tagged(LIVE, SETTLING),
            self.walk(FINISHED) if everything else (),
        )
        seen: set[str] = set()
        for run in suspects:
            if run.run_id not in seen:
                family = {one.run_id: one for one in self._relatives(run)}
                seen |= {run.run_id, *family}
                yield from ((family[run_id], tags) for run_id, tags in unsettled(list(family.values())).items())

    @cached_property
    def _untagged(self) -> dict[str, RunRecord]:
        """The runs of older versions that lack the tag of the configuration, with it, from their experiment.json."""
        found = self.runs(f"{FINISHED} AND tags.`{CONFIGURATION}` IS NULL")
        return {run.run_id: run for run in map(self._with_configuration, found) if run.configuration}

    def _with_configuration(self, run: RunRecord) -> RunRecord:
        if run.key:
            with suppress(FileNotFoundError, ValueError), tempfile.TemporaryDirectory() as folder:
                experiment = read_experiment(self.download(run.run_id, "experiment.json", Path(folder)))
                return replace(run, tags={**run.tags, CONFIGURATION: experiment.configuration})
        return run

    def record_configurations(self) -> None:
        """Give runs of older versions the tag of their configuration."""
        self.retag({run.run_id: {CONFIGURATION: run.configuration} for run in self._untagged.values()})
        del self._untagged

    def _relatives(self, run: RunRecord) -> list[RunRecord]:
        """Return the runs that share the configuration or the key with this one, or with one that does; deleted, too.

        Where runs have the tag of their configuration, it is that.
        """
        if run.configuration:
            return self.tagged(CONFIGURATION, run.configuration, "all") or [run]
        found = {run.run_id: run}
        asked: set[tuple[str, str]] = set()
        while ask := {(tag, one.tags.get(tag, "")) for one in found.values() for tag in (CONFIG, KEY)} - asked:
            asked |= ask
            found |= {one.run_id: one for tag, value in ask for one in self.tagged(tag, value, "all")}
        return list(found.values())

    def end_dead_runs(self) -> list[str]:
        """End the runs that are RUNNING though their process is gone as KILLED; return a line for each."""
        dead = [(record, reason) for record in self.running() if (reason := self._why_gone(record))]
        for record, reason in dead:
            self.kill(record, reason)
        return [f"{record.name}: its process is gone ({reason}), so it is KILLED now" for record, reason in dead]

    def running(self) -> list[RunRecord]:
        """Return our runs that are RUNNING, wherever their process is; one without a writer is somebody else's."""
        return [record for record in self.runs("attributes.status = 'RUNNING'") if processes.TAG in record.tags]

    def last_seen(self, record: RunRecord) -> int:
        """Return when a run's process last gave a sign of life, in ms since 1970; version 0.1 had only its metrics."""
        seen = record.tags.get(processes.SEEN, "")
        return int(seen) if seen.isdecimal() else self.last_recorded(record)

    def _why_gone(self, record: RunRecord) -> str | None:
        return processes.why_gone(record.tags.get(processes.TAG, ""), self.last_seen(record))

    def kill(self, record: RunRecord, reason: str) -> None:
        """End a run whose process is gone as KILLED, at the time of its last record."""
        self.set_tags(record.run_id, {KILLED: reason})
        self.end_run(record.run_id, "KILLED", self.last_recorded(record))
