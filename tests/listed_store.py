"""A store that is a list of runs, newest first, and ranks them as MLflow does."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from softmax_regression.tracking.client import View
from softmax_regression.tracking.record import RunRecord
from softmax_regression.tracking.run_store import RunStore


class Listed(RunStore):
    """Understands the one order, by a metric; `fetched` are the runs that were asked for, in order."""

    def __init__(self, records: Sequence[RunRecord]) -> None:
        self.records = records
        self.fetched: list[str] = []
        self.configurations: dict[str, list[RunRecord]] = {}
        for run in records:
            self.configurations.setdefault(run.configuration, []).append(run)

    def walk(
        self, condition: str = "", order: str = "", *, view: View = "active", page: int = 1
    ) -> Iterator[RunRecord]:
        """Yield the finished runs that have the metric, NaN last."""
        found = re.fullmatch(r"metrics\.`(.*)` (ASC|DESC)", order)
        assert found, order
        name, sign = found[1], -1 if found[2] == "DESC" else 1
        held = [run for run in self.records if name in run.metrics and run.status == "FINISHED"]
        for run in sorted(held, key=lambda run: (math.isnan(run.metrics[name]), sign * run.metrics[name])):
            self.fetched.append(run.run_id)
            yield run

    def family(self, run: RunRecord) -> list[RunRecord]:
        """Return the runs of a configuration."""
        own = self.configurations[run.configuration]
        self.fetched += [one.run_id for one in own]
        return own
