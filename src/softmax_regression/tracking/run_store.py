"""The runs of experiments: starting and resuming them, which one represents an experiment, those whose process died."""

from collections.abc import Mapping
from contextlib import nullcontext, suppress
from datetime import UTC, datetime

from softmax_regression.tracking import database, processes
from softmax_regression.tracking.client import Client
from softmax_regression.tracking.record import (
    ATTEMPT,
    CONFIG,
    ERROR,
    KEY,
    KILLED,
    LIVE,
    REPRODUCED,
    REPRODUCES,
    RunRecord,
)
from softmax_regression.tracking.run import Run


class RunStore(Client):
    """A store, and what its runs mean: attempts at one configuration, one live run an experiment."""

    def start_run(
        self, name: str, config_key: str, params: Mapping[str, object], tags: Mapping[str, str] | None = None
    ) -> Run:
        """Start the run called `name`, or `name #2` if it is the second of its configuration, and so on.

        On a server, two that start within the same milliseconds may get the same number; it is a label only.
        Raises RuntimeError if the store does not take it: nothing has been computed yet that could be lost.
        """
        file = self.database_file
        with database.exclusive(database.lock_file(file)) if file else nullcontext():  # or two could both be the second
            attempt = 1 + max((record.attempt for record in self.attempts(config_key)), default=0)
            name = name if attempt == 1 else f"{name} #{attempt}"
            own = {CONFIG: config_key, ATTEMPT: str(attempt), processes.TAG: processes.identity()}
            run_id = self.create_run(name, own | dict(tags or {}))
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
        if record.status == "RUNNING" and writer != processes.identity() and not processes.why_gone(writer):
            raise RuntimeError(
                f"the run {record} is being written by another process, or one on another machine ({writer or '?'}): "
                "wait for it, or end it"
            )
        # The writer comes before RUNNING, so that nobody ends it as dead in between.
        self.set_tags(run_id, {processes.TAG: processes.identity()})
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
        return self.runs(f"tags.`{CONFIG}` = '{config_key}'")

    def find(self, key: str) -> RunRecord | None:
        """Return the live run of the experiment with this key; if none is live, the newest finished one."""
        finished = [run for run in self.runs(f"tags.`{KEY}` = '{key}'") if run.status == "FINISHED"]
        return max(finished, key=lambda run: (run.live, REPRODUCES not in run.tags, run.end_time or 0), default=None)

    def finish(self, run_id: str, key: str, end: int) -> None:
        """End a run as FINISHED, at `end` in ms since 1970, and decide which run represents its experiment.

        A run that came to the same weights as one before is a repetition: that one stays the experiment's run, and its
        tags say how often and when it was reproduced. Otherwise this run is live, and others of its configuration,
        which came to other weights, are superseded. May be called again after it was cut off.
        """
        self.set_tags(run_id, {LIVE: "true"} | ({KEY: key} if key else {}))
        self.end_run(run_id, "FINISHED", end)
        # Others may finish at the same time: whoever looks last sees all that have ended, and has nothing to change.
        while changes := self._unsettled(run_id):
            for other, tags in changes.items():
                self.set_tags(other, tags)

    def _unsettled(self, run_id: str) -> dict[str, dict[str, str]]:
        """Return the tags to set, by run, so that one run represents the experiment of a finished run."""
        own = self.existing(run_id)
        twins = self.runs(f"tags.`{KEY}` = '{own.key}'") if own.key else [own]
        relatives = [run for config in {run.config_key for run in twins} for run in self.attempts(config)]
        finished = [run for run in relatives if run.status == "FINISHED"]
        ended = sorted(finished, key=lambda run: (run.end_time or 0, run.run_id))
        latest = ended[-1]
        live = next(run for run in ended if run is latest or (run.key and run.key == latest.key))
        wanted = {run.run_id: {LIVE: str(run is live).lower()} for run in ended}
        first, *repetitions = [run for run in ended if run.run_id == run_id or (run.key and run.key == own.key)]
        for run in repetitions:
            wanted[run.run_id][REPRODUCES] = first.run_id
        if repetitions:
            when = datetime.fromtimestamp((repetitions[-1].end_time or 0) / 1000, UTC)
            times = f"{len(repetitions)} time{'s' if len(repetitions) > 1 else ''}"
            wanted[first.run_id][REPRODUCED] = f"{times}, last on {when:%Y-%m-%d %H:%M} UTC"
        return {run.run_id: wanted[run.run_id] for run in ended if not wanted[run.run_id].items() <= run.tags.items()}

    def dead_runs(self) -> list[tuple[RunRecord, str]]:
        """Return the runs that are RUNNING though their process, on this machine, is gone; and why it is."""
        here = self.runs(f"attributes.status = 'RUNNING' AND tags.`{processes.TAG}` LIKE '{processes.host()} %'")
        reasons = [(record, processes.why_gone(record.tags[processes.TAG])) for record in here]
        return [(record, reason) for record, reason in reasons if reason]

    def end_dead_runs(self) -> list[RunRecord]:
        """End the dead runs as KILLED, when they last recorded something; return them."""
        dead = self.dead_runs()
        for record, reason in dead:
            self.kill(record, reason)
        return [record for record, _ in dead]

    def kill(self, record: RunRecord, reason: str) -> None:
        """End a run whose process is gone as KILLED, at the time of its last record."""
        self.set_tags(record.run_id, {KILLED: reason})
        self.end_run(record.run_id, "KILLED", self.last_recorded(record))
