"""One run stands for an experiment; dead ones are buried, live ones left in peace."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

import pytest

from softmax_regression.tracking import processes
from softmax_regression.tracking.record import CONFIG, KEY, KILLED, LIVE, RunRecord
from softmax_regression.tracking.run_store import Standing


class Book(Standing):
    """A store in memory, which understands no search conditions and returns every run."""

    def __init__(self) -> None:
        self.records: dict[str, RunRecord] = {}

    def add(self, run_id: str, status: str = "FINISHED", end: int | None = 0, **tags: str) -> None:
        """Add a run of the configuration `c`."""
        dotted = {CONFIG: "c"} | {name.replace("_", "."): value for name, value in tags.items()}
        self.records[run_id] = RunRecord(run_id, run_id, status, "1", 0, end, {}, {}, dotted)

    def run(self, run_id: str) -> RunRecord | None:
        """Return the record."""
        return self.records.get(run_id)

    def runs(self, condition: str = "") -> list[RunRecord]:
        """Return all records."""
        return list(self.records.values())

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Change the record's tags."""
        record = self.records[run_id]
        self.records[run_id] = replace(record, tags={**record.tags, **tags})

    def end_run(self, run_id: str, status: str, end: int | None = None) -> None:
        """Change the record's status."""
        self.records[run_id] = replace(self.records[run_id], status=status, end_time=end)

    def last_heard(self, record: RunRecord) -> int:
        """Return a made-up time."""
        return 42

    def live(self) -> set[str]:
        """Return the ids of the live runs."""
        return {run_id for run_id, record in self.records.items() if record.live}


def test_the_newest_finished_run_is_live() -> None:
    """A run that finishes supersedes those that finished before it, not those that failed or still run."""
    book = Book()
    book.add("a", end=1, experiment_live="true")
    book.add("failed", "FAILED", end=9)
    book.add("running", "RUNNING", end=None, experiment_live="true")
    book.add("b", end=2, experiment_live="true")
    book.supersede("b")
    assert book.live() == {"b"}
    assert LIVE not in book.records["failed"].tags
    assert book.records["running"].tags[LIVE] == "true"


def test_runs_that_finish_at_once_agree_on_one() -> None:
    """In whatever order three runs end, and each then looks around, exactly one stays live."""
    ends = {"a": 1, "b": 2, "c": 2}
    for order in set(itertools.permutations("aabbcc")):  # first time: it ends; second time: it looks
        book = Book()
        for run_id in ends:
            book.add(run_id, "RUNNING", end=None, experiment_live="true")
        for run_id in order:
            if book.records[run_id].status == "RUNNING":
                book.end_run(run_id, "FINISHED", ends[run_id])
            else:
                book.supersede(run_id)
        assert book.live() == {"c"}, order  # the last to end, then the larger id


def test_any_finished_run_can_be_made_live() -> None:
    """Outputs that DVC brings back make their run live again."""
    book = Book()
    book.add("a", experiment_live="false")
    book.add("b", experiment_live="true")
    book.make_live("a")
    assert book.live() == {"a"}


def test_an_experiment_is_found_by_its_key() -> None:
    """The live run is preferred, then the one that ended last; what has not finished is never it."""
    book = Book()
    assert book.find("k") is None
    book.add("killed", "KILLED", end=9, experiment_key="k")
    assert book.find("k") is None
    book.add("old", end=1, experiment_key="k")
    book.add("new", end=2, experiment_key="k")
    assert book.find("k") is book.records["new"]
    book.set_tags("old", {LIVE: "true", KEY: "k"})
    assert book.find("k") is book.records["old"]


def test_only_runs_whose_process_is_gone_are_swept() -> None:
    """A dead process's run is KILLED with the reason, as of when it was last heard; others stay."""
    book = Book()
    host, boot, _, _ = processes.identity().split()
    book.add("dead", "RUNNING", end=None, writer=f"{host} {boot} 999999999 1")  # above the largest process number
    book.add("mine", "RUNNING", end=None, writer=processes.identity())
    book.add("elsewhere", "RUNNING", end=None, writer=f"elsewhere {boot} 999999999 1")
    assert [record.run_id for record in book.sweep_dead_runs()] == ["dead"]
    assert (book.records["dead"].status, book.records["dead"].end_time) == ("KILLED", 42)
    assert book.records["dead"].tags[KILLED] == "process 999999999 has ended"
    assert book.records["mine"].status == book.records["elsewhere"].status == "RUNNING"


def test_a_run_that_is_not_there_is_told() -> None:
    """An id that names no run is refused."""
    with pytest.raises(ValueError, match="no run with the id 'x'"):
        Book().make_live("x")
