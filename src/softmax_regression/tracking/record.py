"""What a run has on record, and how people name one."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CONFIG, KEY, ATTEMPT, LIVE = "experiment.config", "experiment.key", "experiment.attempt", "experiment.live"
KILLED, ERROR = "experiment.killed", "experiment.error"
DVC_EXPERIMENT = "dvc.exp.name"
# Shorter beginnings of ids match by accident (git asks for four digits, too).
_SHORTEST_PREFIX = 4


@dataclass(frozen=True)
class RunRecord:
    """A run as the store had it when asked; times are milliseconds since 1970, `metrics` the latest values."""

    run_id: str
    name: str
    status: str
    experiment_id: str
    start_time: int
    end_time: int | None
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]

    @property
    def config_key(self) -> str:
        """Digest of what the experiment is made from: training params, data, code."""
        return self.tags.get(CONFIG, "")

    @property
    def key(self) -> str:
        """Digest of what the experiment came to, its weights included; empty until training has ended."""
        return self.tags.get(KEY, "")

    @property
    def attempt(self) -> int:
        """How many runs of this configuration there had been, this one included."""
        return int(self.tags.get(ATTEMPT, "1"))

    @property
    def live(self) -> bool:
        """Whether this is the run that stands for its configuration: finished, not superseded."""
        return self.status == "FINISHED" and self.tags.get(LIVE) == "true"

    @property
    def dvc_experiment(self) -> str:
        """Name of the DVC experiment that the run belongs to, or empty."""
        return self.tags.get(DVC_EXPERIMENT, "")

    def __str__(self) -> str:
        state = "live" if self.live else "superseded" if self.status == "FINISHED" else self.status.lower()
        return f"{self.name} ({self.run_id[:8]}, {state})"


def resolve(records: Sequence[RunRecord], ref: str) -> RunRecord:
    """Return the one of `records` that `ref` names.

    `ref` is, tried in this order: a run id, a run's name, a DVC experiment's name, the first characters (four or
    more) of an experiment's key or of a run id. Of several attempts at one configuration the live one is meant.
    Raises ValueError if no run or more than one is named, with the names that come near.
    """
    long_enough = len(ref) >= _SHORTEST_PREFIX
    for named in (
        [record for record in records if record.run_id == ref],
        [record for record in records if record.name == ref],
        [record for record in records if ref and record.dvc_experiment == ref],
        [record for record in records if long_enough and record.key.startswith(ref)],
        [record for record in records if long_enough and record.run_id.startswith(ref)],
    ):
        if named:
            return _the_one(named, ref)
    names = sorted({record.name for record in records} | {record.dvc_experiment for record in records} - {""})
    near = difflib.get_close_matches(ref, names, n=3, cutoff=0.4) or names[:3]
    known = f"the nearest names are {', '.join(near)}" if near else "the store holds no run yet"
    raise ValueError(f"no run is called {ref!r}: {known}")


def _the_one(named: Sequence[RunRecord], ref: str) -> RunRecord:
    if len(named) == 1:
        return named[0]
    live = [record for record in named if record.live]
    if len(live) == 1 and len({record.config_key for record in named}) == 1:
        return live[0]
    raise ValueError(f"{ref!r} names {len(named)} runs, give an id: {', '.join(map(str, named))}")
