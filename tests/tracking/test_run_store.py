"""One run represents an experiment; repetitions are counted; dead runs are ended, live ones left alone."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from filelock import FileLock
from many_runs import counted
from scratch_project import PARAMS

from softmax_regression.artifacts.experiment import SEED, Experiment
from softmax_regression.tracking import database, processes
from softmax_regression.tracking.client import View
from softmax_regression.tracking.record import (
    CONFIG,
    CONFIGURATION,
    DELETED,
    KEY,
    KILLED,
    LIVE,
    REPRODUCED,
    REPRODUCES,
    SETTLING,
    RunRecord,
)
from softmax_regression.tracking.run_store import RunStore, standing

MINUTE = 60_000  # ms


class Book(RunStore):
    """A store in memory that understands the one search condition, a tag's value; `before` is called before a call."""

    def __init__(self, before: Callable[[], None] = lambda: None) -> None:
        self.records: dict[str, RunRecord] = {}
        self.before = before

    def add(self, run_id: str, status: str = "FINISHED", end: int | None = 0, **tags: str) -> None:
        """Add a run of the configuration `c`; underscores in names of tags stand for points."""
        dotted = {CONFIG: "c"} | {name.replace("_", "."): value for name, value in tags.items()}
        self.records[run_id] = RunRecord(run_id, run_id, status, 0, end, {}, {}, dotted)

    def run(self, run_id: str) -> RunRecord | None:
        """Return the record."""
        self.before()
        return self.records.get(run_id)

    def runs(self, condition: str = "", view: View = "active") -> list[RunRecord]:
        """Return the records whose tag has the value that the condition names; all for any other condition."""
        self.before()
        found = re.fullmatch(r"tags\.`(.*)` = '(.*)'", condition)
        return [run for run in self.records.values() if not found or run.tags.get(found[1]) == found[2]]

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Change the record's tags."""
        self.before()
        record = self.records[run_id]
        self.records[run_id] = replace(record, tags={**record.tags, **tags})

    def end_run(self, run_id: str, status: str, end: int | None = None) -> None:
        """Change the record's status."""
        self.before()
        self.records[run_id] = replace(self.records[run_id], status=status, end_time=end)

    def last_recorded(self, record: RunRecord) -> int:
        """Return a made-up time."""
        return 42

    def live(self) -> set[str]:
        """Return the ids of the live runs."""
        return {run_id for run_id, record in self.records.items() if record.live}

    def tag(self, run_id: str, name: str) -> str | None:
        """Return a tag of a run."""
        return self.records[run_id].tags.get(name)


def finished(*runs: tuple[str, str, int]) -> Book:
    """Return a book in which these runs (id, key, minute of the end) have finished, in this order."""
    book = Book()
    for run_id, key, minute in runs:
        book.add(run_id, "RUNNING", end=None)
        book.finish(run_id, key, minute * MINUTE)
    return book


def test_other_weights_supersede() -> None:
    """A run that comes to other weights is live, and what finished before it is not; failed and running ones stay."""
    book = finished(("a", "k1", 1))
    book.add("failed", "FAILED", end=9 * MINUTE)
    book.add("running", "RUNNING", end=None, experiment_live="true")
    book.add("other", experiment_config="d", experiment_live="true")
    assert book.live() == {"a", "other"}
    book.add("b", "RUNNING", end=None)
    book.finish("b", "k2", 2 * MINUTE)
    assert book.live() == {"b", "other"}
    assert (book.tag("a", LIVE), book.tag("failed", LIVE), book.tag("running", LIVE)) == ("false", None, "true")
    assert REPRODUCES not in book.records["b"].tags


def test_a_repetition_leaves_the_first_live_and_counts() -> None:
    """The same weights again: the first stays the experiment's run, and says how often and when last."""
    book = finished(("a", "k1", 1), ("b", "k1", 2))
    assert book.live() == {"a"}
    assert (book.tag("b", LIVE), book.tag("b", REPRODUCES)) == ("false", "a")
    assert book.tag("a", REPRODUCED) == "1 time, last on 1970-01-01 00:02 UTC"
    book.add("c", "RUNNING", end=None)
    book.finish("c", "k1", 61 * MINUTE)
    assert book.live() == {"a"}
    assert book.tag("c", REPRODUCES) == "a"
    assert book.tag("a", REPRODUCED) == "2 times, last on 1970-01-01 01:01 UTC"
    assert REPRODUCES not in book.records["a"].tags


def test_code_that_leaves_the_weights_repeats_too() -> None:
    """Another configuration, as after an edit of code, with the same key is a repetition of the first's run."""
    book = finished(("a", "k1", 1))
    book.add("b", "RUNNING", end=None, experiment_config="d")
    book.finish("b", "k1", 2 * MINUTE)
    assert book.live() == {"a"}
    assert book.tag("b", REPRODUCES) == "a"


def test_weights_that_come_back_bring_their_run_back() -> None:
    """After other weights in between, the first run of the weights that came out last is the live one again."""
    book = finished(("a", "k1", 1), ("b", "k2", 2), ("c", "k1", 3))
    assert book.live() == {"a"}
    assert (book.tag("b", LIVE), book.tag("c", REPRODUCES)) == ("false", "a")


@pytest.mark.parametrize("run_id", ["a", "b", "c"])
def test_finishing_twice_changes_nothing_more(run_id: str) -> None:
    """A call that was cut off may be sent again, whichever run it is about, later than others'."""
    ends = {"a": ("k1", 1), "b": ("k1", 2), "c": ("k1", 3)}
    book = finished(*((name, *facts) for name, facts in ends.items()))
    before = dict(book.records)
    key, minute = ends[run_id]
    book.finish(run_id, key, minute * MINUTE)
    assert book.records == before


def test_runs_without_a_key_supersede_each_other() -> None:
    """A run that is no experiment, such as the parity table, is live until the next of its name."""
    book = finished(("a", "", 1), ("b", "", 2))
    assert book.live() == {"b"}
    assert KEY not in book.records["b"].tags


class Turns:
    """Runs actions in threads, one step at a time, in an order drawn from a seed; an action calls `step`."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.paused = threading.Semaphore(0)
        self.going: list[threading.Semaphore] = []  # one a thread that has not ended
        self.own = threading.local()

    def step(self) -> None:
        """Wait, in an action's thread, until it is this thread's turn; elsewhere go on."""
        if go := getattr(self.own, "go", None):
            self.paused.release()
            go.acquire()

    def run(self, actions: Sequence[Callable[[], None]]) -> None:
        """Run the actions to their ends."""
        threads = [threading.Thread(target=self._act, args=(action,)) for action in actions]
        for thread in threads:
            thread.start()
            self.paused.acquire()
        while self.going:
            self.draw.choice(self.going).release()
            self.paused.acquire()
        for thread in threads:
            thread.join()

    def _act(self, action: Callable[[], None]) -> None:
        self.own.go = go = threading.Semaphore(0)
        self.going.append(go)
        try:
            self.step()
            action()
        finally:
            self.going.remove(go)
            self.paused.release()


@pytest.mark.parametrize("keys", [("k", "k", "k"), ("", "", ""), ("k1", "k2", "k1")])
def test_runs_that_finish_at_once_agree_on_one(keys: tuple[str, ...]) -> None:
    """In whatever order the steps of three that finish interleave, exactly one is live in the end."""
    for seed in range(100):
        turns = Turns(seed)
        book = Book(turns.step)
        ends = dict(zip("abc", (1, 2, 2), strict=True))
        for run_id in ends:
            book.add(run_id, "RUNNING", end=None)
        turns.run(
            [partial(book.finish, run_id, key, end) for (run_id, end), key in zip(ends.items(), keys, strict=True)]
        )
        expected = "c" if keys[0] == "" else "a"  # the last to end, or the first with the weights of the last
        assert book.live() == {expected}, (seed, book.records)


def test_an_experiment_is_found_by_its_key() -> None:
    """Of finished runs the most complete represents it, of equals the first, whatever the tags say."""
    book = Book()
    assert book.find("k") is None
    book.add("killed", "KILLED", end=9, experiment_key="k")
    assert book.find("k") is None
    book.add("new", end=2, experiment_key="k", experiment_live="true")
    book.add("old", end=1, experiment_key="k", experiment_reproduces="new")
    assert book.find("k") is book.records["old"]
    book.add("begun", end=1, experiment_key="k", outputs_train="1.dir", outputs_evaluate="incomplete")
    assert book.find("k") is book.records["begun"]
    book.add("complete", end=3, experiment_key="k", outputs_train="1.dir", outputs_evaluate="2.dir")
    assert book.find("k") is book.records["complete"]


def ago(seconds: float) -> str:
    """Return a sign of life of so many seconds ago."""
    return str(int((time.time() - seconds) * 1000))


def test_only_runs_whose_process_is_gone_are_ended() -> None:
    """A dead process's run is KILLED with the reason, at the time of its last record; others stay."""
    book = Book()
    host, boot, _, _ = processes.identity().split()
    book.add("dead", "RUNNING", end=None, writer=f"{host} {boot} 999999999 1")  # above the largest process number
    book.add("mine", "RUNNING", end=None, writer=processes.identity())
    elsewhere = f"elsewhere {boot} 999999999 1"
    book.add("in time", "RUNNING", end=None, writer=elsewhere, writer_seen=ago(590))
    book.add("somebody else's", "RUNNING", end=None)
    assert book.end_dead_runs() == ["dead: its process is gone (process 999999999 has ended), so it is KILLED now"]
    assert (book.records["dead"].status, book.records["dead"].end_time) == ("KILLED", 42)
    assert book.tag("dead", KILLED) == "process 999999999 has ended"
    assert {run.run_id for run in book.records.values() if run.status == "RUNNING"} == {
        "mine",
        "in time",
        "somebody else's",
    }


def test_a_run_of_another_machine_is_ended_when_it_has_been_silent() -> None:
    """Ten minutes after its last sign of life; of a version without one, after its last metric."""
    book = Book()
    book.add("silent", "RUNNING", end=None, writer="elsewhere boot 1 2", writer_seen="1767268800000")
    book.add("older", "RUNNING", end=None, writer="elsewhere boot 1 2")
    reason = "no sign of life since {} UTC, 10 minutes are allowed"
    assert book.end_dead_runs() == [
        f"silent: its process is gone ({reason.format('2026-01-01 12:00')}), so it is KILLED now",
        f"older: its process is gone ({reason.format('1970-01-01 00:00')}), so it is KILLED now",
    ]
    assert {run.status for run in book.records.values()} == {"KILLED"}
    assert book.tag("silent", KILLED) == reason.format("2026-01-01 12:00")


def test_a_run_that_is_not_there_is_an_error() -> None:
    """An id that names no run is refused."""
    for call in (Book().existing, Book().continue_run, Book().resume_run):
        with pytest.raises(ValueError, match="no run with the id 'x'"):
            call("x")


def test_a_run_that_has_just_finished_is_not_live_before_it_is_known_to_be() -> None:
    """Killed before it settles, it leaves no second live run, and a tag that says what is to be done."""
    book = finished(("a", "k1", 1))
    book.add("b", "RUNNING", end=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Book, "settle", lambda *_: None)
        book.finish("b", "k1", 2 * MINUTE)
    assert book.live() == {"a"}
    assert book.tag("b", LIVE) == SETTLING
    book.settle("b")
    assert book.tag("b", LIVE) == "false"


def test_deleted_relatives_count_for_nothing_and_are_remembered() -> None:
    """The first to end of those that are there says how many are not."""
    runs = [
        RunRecord(name, name, "FINISHED", 0, end, {}, {}, {CONFIG: "c", KEY: "k"}, deleted=end in (1, 4))
        for name, end in (("a", 1), ("b", 2), ("c", 3), ("d", 4))
    ]
    tags = standing(runs)
    assert tags.keys() == {"b", "c"}
    assert (tags["b"][LIVE], tags["b"][DELETED], tags["c"][DELETED]) == ("true", "2", "")
    assert standing(runs[:1]) == {}


# From here on in a real SQLite store.


def test_finishing_and_settling_fetch_no_other_configuration(many: tuple[RunStore, RunStore]) -> None:
    """As many queries and runs among 1,000 as among 100; so it is for all that a stage asks the store."""
    fetched = []
    for store in many:
        old = store.newest(f"tags.`{LIVE}` = 'true' AND params.`train.seed` = '3'")[0]
        with counted(store) as pages:
            run = store.start_run("new", "new", {}, {CONFIGURATION: old.configuration})
            store.end_dead_runs()
            run.finish(key="new")
            store.settle(old.run_id)
            assert store.find(old.key) == old
            assert list(store.stale([old])) == []
        fetched.append(pages)
        store.mlflow.delete_run(run.run_id)
        with counted(store) as pages:
            ((record, tags),) = store.stale()
        assert tags == {DELETED: "1"}
        assert record.configuration == old.configuration
        fetched[-1] += pages
    assert fetched[0] == fetched[1]


def test_attempts_are_numbered_and_the_first_stays_live(store: RunStore) -> None:
    """The second run of a configuration is named so; with the same weights it is a repetition of the first."""
    first = store.start_run("a", "c", {})
    assert first.finish(key="k1")
    with pytest.raises(ZeroDivisionError), store.start_run("a", "c", {}) as second:
        second.log_metrics({"m": 1 / 0})
    third = store.start_run("a", "c", {})
    assert (second.name, third.name) == ("a#2", "a#3")
    assert third.finish(key="k1")
    assert [(record.name, record.status, record.live) for record in store.attempts("c")] == [
        ("a#3", "FINISHED", False),
        ("a#2", "FAILED", False),
        ("a", "FINISHED", True),
    ]
    found = store.find("k1")
    assert found is not None
    assert found.run_id == first.run_id
    assert found.tags[REPRODUCED].startswith("1 time, last on 20")
    assert store.existing(third.run_id).tags[REPRODUCES] == first.run_id
    assert str(store.existing(third.run_id)).endswith("a repetition)")
    assert store.find("k2") is None


def test_a_run_of_an_older_version_has_the_configuration_of_its_file(store: RunStore) -> None:
    """Readers are told it and nothing is written; a run that has the tag, no file or a damaged one stays as it is."""
    experiment = Experiment({**PARAMS, SEED: 5}, {"images": "d"}, model="m")
    texts = {"old": experiment.to_json(), "tagged": experiment.to_json(), "without": "", "damaged": "{"}
    for name, text in texts.items():
        run = store.start_run(name, name, {}, {CONFIGURATION: "its own"} if name == "tagged" else {})
        if text:
            run.log_text(text, "experiment.json")
        run.finish(key=name)
    expected = {"old": experiment.configuration, "tagged": "its own", "without": "", "damaged": ""}
    assert {run.name: run.configuration for run in store.settled(store.runs())} == expected
    assert {run.name: run.configuration for run in store.runs()} == expected | {"old": ""}


def test_other_weights_become_live_only_when_their_run_has_finished(store: RunStore) -> None:
    """While a run is written the one before it represents its configuration; then it is superseded."""
    assert store.start_run("a", "c", {}).finish(key="k1")
    second = store.start_run("a", "c", {})
    assert [record.name for record in store.runs() if record.live] == ["a"]
    assert second.finish(key="k2")
    assert [record.name for record in store.runs() if record.live] == ["a#2"]
    assert str(store.attempts("c")[1]).endswith("superseded)")


def test_four_processes_create_one_store(tmp_path: Path, bare: pytest.MonkeyPatch) -> None:
    """Four programs that start at once on no store all record their runs: one is live, three reproduce it."""
    code = (
        "import sys; from pathlib import Path; from softmax_regression.tracking.run_store import RunStore\n"
        "run = RunStore.open(Path(sys.argv[1])).start_run('same', 'c', {'a': 1})\n"
        "run.log_metrics({'m': 1.0}, 1)\n"
        "assert run.finish(key='k'), run.lost"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    programs = [subprocess.Popen(command, stdout=-1, stderr=subprocess.STDOUT, text=True) for _ in range(4)]
    assert [program.communicate()[0] for program in programs] == [""] * 4
    assert [program.returncode for program in programs] == [0] * 4
    runs = RunStore.open(tmp_path).runs()
    assert sorted(run.name for run in runs) == ["same", "same#2", "same#3", "same#4"]
    assert {run.status for run in runs} == {"FINISHED"}
    (live,) = [run for run in runs if run.live]
    assert live.tags[REPRODUCED].startswith("3 times")
    assert [run.tags.get(REPRODUCES) for run in runs if run is not live] == [live.run_id] * 3


def test_a_lock_that_is_not_granted_is_an_error(store: RunStore, root: Path, bare: pytest.MonkeyPatch) -> None:
    """A run is not started without its turn; the error names the lock that another process holds."""
    lock = database.lock_file(root / "mlflow.db")
    bare.setattr(database, "exclusive", partial(database.exclusive, wait=0.1))
    with FileLock(lock), pytest.raises(RuntimeError, match=f"another process has held {lock} for"):
        store.start_run("a", "c", {})
    assert store.runs() == []


def test_a_killed_run_is_ended_and_resumed(store: RunStore) -> None:
    """A run whose process is gone is KILLED as of its last metric; resumed, it runs and finishes as one run."""
    run = store.start_run("a", "c", {})
    store.log_batch(run.run_id, [("m", 1, 1.0)], 1234)
    host, boot, _, _ = processes.identity().split()
    store.set_tags(run.run_id, {processes.TAG: f"{host} {boot} 999999999 1"})  # above the largest process number
    assert store.end_dead_runs() == ["a: its process is gone (process 999999999 has ended), so it is KILLED now"]
    killed = store.existing(run.run_id)
    assert (killed.status, killed.end_time) == ("KILLED", 1234)
    resumed = store.resume_run(run.run_id)
    again = store.existing(run.run_id)
    assert (again.status, again.tags[processes.TAG]) == ("RUNNING", processes.identity())
    assert KILLED not in again.tags
    assert store.end_dead_runs() == []
    assert resumed.finish(key="k")
    assert [(record.name, record.live) for record in store.runs()] == [("a", True)]


def test_a_run_of_another_process_is_not_taken(store: RunStore) -> None:
    """A run that a live process writes, or one on another machine that is not silent, cannot be resumed."""
    run = store.start_run("a", "c", {})
    for seconds in (0, 590):
        store.set_tags(run.run_id, {processes.TAG: "elsewhere boot 1 2", processes.SEEN: ago(seconds)})
        with pytest.raises(RuntimeError, match=r"run a \(.*, running\) is being written by another process"):
            store.resume_run(run.run_id)
    store.set_tags(run.run_id, {processes.SEEN: ago(610)})
    assert store.resume_run(run.run_id).finish(key="k")
    assert float(store.existing(run.run_id).tags[processes.SEEN]) > float(ago(60))


def test_a_run_that_was_taken_for_dead_finishes_all_the_same(store: RunStore) -> None:
    """Its machine slept, and another one ended it: when it is done it is FINISHED and represents its experiment."""
    run = store.start_run("a", "c", {})
    store.set_tags(run.run_id, {processes.TAG: "elsewhere boot 1 2", processes.SEEN: ago(3600)})
    (line,) = store.end_dead_runs()
    assert line.startswith("a: its process is gone (no sign of life since 20")
    assert store.existing(run.run_id).status == "KILLED"
    run.log_metrics({"m": 1.0}, 1)
    assert run.finish(key="k")
    (record,) = store.runs()
    assert (record.status, record.live, record.metrics) == ("FINISHED", True, {"m": 1.0})
    assert store.find("k") == record


def test_a_run_whose_process_was_killed_in_a_container_is_ended(store: RunStore, root: Path) -> None:
    """It gave signs of life while it lived; its host is another one, though it had the same machine under it."""
    code = (
        "import os, sys, time; from pathlib import Path; from softmax_regression.tracking import processes\n"
        "from softmax_regression.tracking.run_store import RunStore\n"
        "processes.host, processes.EVERY = lambda: 'container', 0.01\n"
        "store = RunStore.open(Path(sys.argv[1])); run = store.start_run('a', 'c', {})\n"
        "first = store.existing(run.run_id).tags['writer.seen']\n"
        "while store.existing(run.run_id).tags['writer.seen'] == first: time.sleep(0.01)\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(root)], check=False).returncode == -9
    assert store.end_dead_runs() == []
    (record,) = store.running()
    assert not processes.is_here(record.tags[processes.TAG])
    store.set_tags(record.run_id, {processes.SEEN: ago(601)})
    assert len(store.end_dead_runs()) == 1
    assert store.existing(record.run_id).status == "KILLED"


def test_signs_of_life_keep_no_process_and_no_fork_from_ending(root: Path) -> None:
    """A program that forgets to end its run ends at once, and a fork of it, too, without a word."""
    code = (
        "import os, sys, time; from pathlib import Path; from softmax_regression.tracking import processes\n"
        "from softmax_regression.tracking.run_store import RunStore\n"
        "processes.EVERY = 0.001\n"
        "run = RunStore.open(Path(sys.argv[1])).start_run('a', 'c', {}); time.sleep(0.1)\n"
        "child = os.fork()\n"
        "if child: sys.exit(os.waitpid(child, 0)[1])"
    )
    # Python 3.12 warns of every fork of a program with threads.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_later_stage_leaves_the_end_alone(store: RunStore) -> None:
    """Adding to a finished run changes neither its status nor when it ended."""
    run = store.start_run("a", "c", {})
    run.finish(key="k")
    before = store.existing(run.run_id)
    with store.continue_run(run.run_id) as more:
        more.log_metrics({"final/test_accuracy": 0.8})
        more.set_tags({"kind": "late"})
    after = store.existing(run.run_id)
    assert (after.status, after.end_time, after.live) == ("FINISHED", before.end_time, True)
    assert after.metrics == {"final/test_accuracy": 0.8}
    assert after.tags["kind"] == "late"
