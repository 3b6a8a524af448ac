"""Which run stands for an experiment: the attempts at it, the live one, and those whose process has died.

What the store is asked to do is abstract here; tracking.py lets MLflow do it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from softmax_regression.tracking import processes
from softmax_regression.tracking.record import CONFIG, KEY, KILLED, LIVE, RunRecord, resolve


class Standing(ABC):
    """The questions that stages and people ask a store, answered from the records of its runs."""

    @abstractmethod
    def run(self, run_id: str) -> RunRecord | None:
        """Return the run with this full id, or None."""

    @abstractmethod
    def runs(self, condition: str = "") -> list[RunRecord]:
        """Return the experiment's runs, newest first; `condition` is in MLflow's search syntax."""

    @abstractmethod
    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run in one call."""

    @abstractmethod
    def end_run(self, run_id: str, status: str, end: int | None = None) -> None:
        """Set a run's last status (FINISHED, FAILED, KILLED) and its end, in ms since 1970, now if None."""

    @abstractmethod
    def last_heard(self, record: RunRecord) -> int:
        """Return when the run last recorded a metric, or else when it started, in ms since 1970."""

    def existing(self, run_id: str) -> RunRecord:
        """Return the run with this full id. Raises ValueError if there is none."""
        record = self.run(run_id)
        if record is None:
            raise ValueError(f"the store holds no run with the id {run_id!r}")
        return record

    def resolve(self, ref: str) -> RunRecord:
        """Return the run that `ref` names; see `runs.resolve`."""
        return resolve(self.runs(), ref)

    def attempts(self, config_key: str) -> list[RunRecord]:
        """Return the runs of one configuration, newest first."""
        return self.runs(f"tags.`{CONFIG}` = '{config_key}'")

    def find(self, key: str) -> RunRecord | None:
        """Return the newest live run of the experiment with this key; if none is live, the newest finished one."""
        finished = [record for record in self.runs(f"tags.`{KEY}` = '{key}'") if record.status == "FINISHED"]
        return max(finished, key=lambda record: (record.live, record.end_time or 0), default=None)

    def make_live(self, run_id: str) -> None:
        """Let a finished run stand for its configuration; the other runs of it are superseded."""
        for record in self.attempts(self.existing(run_id).config_key):
            live = record.run_id == run_id
            if record.status == "FINISHED" and record.live != live:
                self.set_tags(record.run_id, {LIVE: str(live).lower()})

    def supersede(self, run_id: str) -> None:
        """After this run has finished: mark those of its configuration that ended before another as not live.

        Of several that end at once exactly one stays live: the last is never marked, and each of the others is, by
        itself or by the last, whichever looks later.
        """
        attempts = self.attempts(self.existing(run_id).config_key)
        ended = {run.run_id: (run.end_time or 0, run.run_id) for run in attempts if run.status == "FINISHED"}
        for run in attempts:
            if run.live and ended[run.run_id] < max(ended.values()):
                self.set_tags(run.run_id, {LIVE: "false"})

    def sweep_dead_runs(self) -> list[RunRecord]:
        """End as KILLED the runs that are RUNNING but whose process on this machine is gone; return them.

        They end when they were last heard of. Runs of other machines and of live processes are left alone.
        """
        dead = []
        for record in self.runs(
            f"attributes.status = 'RUNNING' AND tags.`{processes.TAG}` LIKE '{processes.host()} %'"
        ):
            if reason := processes.why_gone(record.tags[processes.TAG]):
                self.set_tags(record.run_id, {KILLED: reason})
                self.end_run(record.run_id, "KILLED", self.last_heard(record))
                dead.append(record)
        return dead
