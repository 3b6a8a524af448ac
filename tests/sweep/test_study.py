"""A study among workers: nobody trains twice, nothing is lost, one worker alone repeats itself to the digit.

Trainings are made up here: an accuracy that is a function of the changes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from servers import free_port, postgresql, why_no_postgresql

from softmax_regression.sweep import study as module
from softmax_regression.sweep.plan import Axis, parse_axis
from softmax_regression.sweep.study import Asked, Result, Sampler, Study, changes_of, explained
from softmax_regression.tracking import processes

RANGES = ("train.epochs=3", "optimizer.learning_rate=log(0.01,1)", "optimizer.momentum=0,0.5,0.9")
LISTS = ("optimizer.learning_rate=0.1,0.2,0.3", "optimizer.momentum=0,0.5,0.9")
PASSWORD = "open-sesame"


def opened(
    folder: Path,
    *,
    axes: Sequence[str] = RANGES,
    sampler: Sampler = "tpe",
    seed: int = 0,
    url: str | None = None,
    definition: Mapping[str, object] | None = None,
) -> Study:
    """Open a study in `folder`, as one worker does."""
    parsed = [parse_axis(text) for text in axes]
    return Study.open(folder, "made-up", url, parsed, sampler, seed, definition or {"axes": list(axes)})


def made_up(changes: Mapping[str, Any]) -> Result:
    """Return what a training with these changes comes to: best at a learning rate of 0.1 and a high momentum."""
    distance = abs(np.log10(changes["optimizer.learning_rate"]) + 1) + abs(1 - changes["optimizer.momentum"])
    return Result(round(1 / (1 + distance), 6), float(distance), np.arange(20) % 3 == 0)


def finish(worker: Study, asked: Sequence[Asked]) -> None:
    """Do what a worker does with the trials it was asked."""
    for one in asked:
        assert worker.keep(one.number, made_up(one.changes))
        worker.tell(one.number, made_up(one.changes))


def work(worker: Study, total: int) -> list[Asked]:
    """Let one worker go on until nothing is left for it; return what it has trained."""
    trained: list[Asked] = []
    while asked := worker.ask(total, set):
        finish(worker, asked)
        trained += asked
    return trained


def states(worker: Study) -> Counter[str]:
    """Return how many trials there are by Optuna's state."""
    return Counter(trial.state.name for trial in worker._study.get_trials())


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what makes all that was asked for so far another process's, which has ended."""

    def die() -> None:
        monkeypatch.undo()

    host, boot, _, _ = processes.identity().split()
    monkeypatch.setattr(processes, "identity", lambda: f"{host} {boot} {2**22 + 1} 1")  # more than Linux gives
    return die


def test_one_worker_repeats_itself(tmp_path: Path) -> None:
    """The same seed proposes the same, digit for digit, another one does not; numbers of three digits, in the range."""
    first, again, other = (
        work(opened(tmp_path / name, seed=seed), 40) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first == again
    assert first != other
    assert len({repr(one.changes) for one in first}) == len(first)
    rates = [one.changes["optimizer.learning_rate"] for one in first]
    assert all(0.01 <= rate <= 1 and rate == float(f"{rate:.3g}") for rate in rates)
    assert {one.changes["train.epochs"] for one in first} == {3}


def test_a_worker_that_is_started_again_goes_on_the_same(tmp_path: Path) -> None:
    """Stopped after two batches and opened again, it proposes what it would have proposed; then nothing is left."""
    whole = work(opened(tmp_path / "whole"), 40)
    begun = opened(tmp_path / "halves")
    halves = []
    for _ in range(2):
        halves += (asked := begun.ask(40, set))
        finish(begun, asked)
    assert len(halves) < 40
    assert halves + work(opened(tmp_path / "halves"), 40) == whole
    assert opened(tmp_path / "halves").ask(40, set) == []
    assert len(work(opened(tmp_path / "halves"), 48)) > 0  # unless it asks for more


def test_tpe_comes_closer_than_it_began(tmp_path: Path) -> None:
    """It learns from what it is told: the last batch is better than the first, which is drawn at random."""
    accuracies = [one.result.accuracy or 0 for one in (opened_and_done(tmp_path, "tpe"))]
    assert np.mean(accuracies[-16:]) > np.mean(accuracies[:16]) + 0.1


def opened_and_done(folder: Path, sampler: Sampler) -> list[Any]:
    """Return the trials of a study of 64 that one worker has done."""
    worker = opened(folder, sampler=sampler)
    work(worker, 64)
    return worker.done()


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_two_workers_share_the_trials(tmp_path: Path, sampler: Sampler) -> None:
    """What one has is not asked of the other, and together they train as many as are wanted, to the trial."""
    one, other = opened(tmp_path, sampler=sampler), opened(tmp_path, sampler=sampler)
    trained = []
    while (mine := one.ask(30, set)) + (others := other.ask(30, set)):
        finish(other, others)
        finish(one, mine)
        trained += mine + others
    assert sorted(found.number for found in trained) == list(range(30))
    assert len({repr(found.changes) for found in trained}) == 30
    assert states(one) == {"COMPLETE": 30}


def test_the_first_batch_leaves_something_for_the_second(tmp_path: Path) -> None:
    """An eighth of the study at once, from 8 to 64: so a sampler learns, and others have something to do."""
    assert [len(opened(tmp_path / str(n), sampler="random").ask(n, set)) for n in (5, 64, 200, 1000)] == [5, 8, 25, 64]


def test_equal_configurations_are_trained_once(tmp_path: Path) -> None:
    """Nine are possible, thirty wanted: nine are trained, by two workers, the others are told what these came to."""
    one, other = (opened(tmp_path, axes=LISTS, sampler="random") for _ in range(2))
    trained = []
    while len(one.done()) < 30:
        mine, others = one.ask(30, set), other.ask(30, set)
        assert not {repr(found.changes) for found in mine} & {repr(found.changes) for found in others}
        finish(one, mine)
        finish(other, others)
        trained += mine + others
    assert len({repr(found.changes) for found in trained}) == len(trained) <= 9
    done = one.done()
    assert states(one) == {"COMPLETE": 30}
    assert {found.number for found in done if found.copy_of is None} == {found.number for found in trained}
    assert all(found.result.accuracy == made_up(found.changes).accuracy for found in done)


def test_what_another_one_trains_is_waited_for(tmp_path: Path) -> None:
    """A configuration that a live worker is at is nobody else's; told by it, all that equal it are done."""
    one, other = (opened(tmp_path, axes=("optimizer.momentum=0,0.9",), sampler="random") for _ in range(2))
    mine = one.ask(16, set)
    assert len(mine) == 2
    assert other.ask(16, set) == []
    assert other.with_others() == 8
    for found in mine:
        one.keep(found.number, Result(0.5, 1.0, np.ones(4, bool)))
        one.tell(found.number, Result(0.5, 1.0, np.ones(4, bool)))
    assert other.ask(16, set) == one.ask(16, set) == []
    assert len(other.done()) == 16


@pytest.mark.parametrize("axes", [RANGES, LISTS])
@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_what_a_dead_worker_had_is_done_by_others(
    tmp_path: Path, dead: Callable[[], None], sampler: Sampler, axes: Sequence[str]
) -> None:
    """Its trials end as FAIL, which counts for nothing; the very same configurations are trained next, once."""
    lost = opened(tmp_path, axes=axes, sampler=sampler).ask(24, set)
    dead()
    worker = opened(tmp_path, axes=axes, sampler=sampler)
    first = worker.ask(24, set)
    assert [one.changes for one in first] == [one.changes for one in lost]
    assert not {one.number for one in first} & {one.number for one in lost}
    finish(worker, first)
    work(worker, 24)
    assert len(worker.done()) == 24
    assert states(worker)["COMPLETE"] == 24
    assert states(worker)["FAIL"] == worker.given_back() == 8


@pytest.mark.parametrize(("recorded", "given_back"), [({(0, "")}, 0), ({(1, ""), (0, "killed")}, 1), (set(), 1)])
def test_what_a_dead_worker_had_recorded_is_not_trained_again(
    tmp_path: Path, dead: Callable[[], None], recorded: set[tuple[int, str]], given_back: int
) -> None:
    """Killed between the record and the telling, its result counts; killed while it recorded, it does not."""
    lost = opened(tmp_path)
    asked = lost.ask(1, set)
    assert lost.keep(asked[0].number, made_up(asked[0].changes))
    dead()
    worker = opened(tmp_path)
    again = worker.ask(1, lambda: recorded)
    assert len(again) == worker.given_back() == given_back
    finish(worker, again)
    (done,) = worker.done()
    assert done.result.accuracy == made_up(asked[0].changes).accuracy
    assert done.result.answers is not None


def test_a_worker_that_was_killed_while_it_asked_loses_nothing(tmp_path: Path) -> None:
    """A trial that bears nobody's name was begun in a turn that was cut off."""
    worker = opened(tmp_path)
    worker._study.ask(worker._distributions)
    worker._study.ask()  # not even with params
    assert len(work(worker, 6)) == 6
    assert states(worker) == {"COMPLETE": 6, "FAIL": 2}


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_worker_that_is_stopped_gives_back_at_once(tmp_path: Path, error: type[BaseException]) -> None:
    """Ctrl-C, or an error: the trials that it had not told wait for the next worker, though the process lives on."""
    worker = opened(tmp_path)
    with pytest.raises(error), worker.working(set):
        asked = worker.ask(8, set)
        finish(worker, asked[:3])
        raise error
    assert states(worker) == {"COMPLETE": 3, "FAIL": 5, "WAITING": 5}
    assert [one.changes for one in opened(tmp_path).ask(8, set)] == [one.changes for one in asked[3:]]


def test_what_was_recorded_before_ctrl_c_is_told(tmp_path: Path) -> None:
    """Stopped between the end of a run and the telling: the result counts, the others are given back."""
    worker = opened(tmp_path)
    with pytest.raises(KeyboardInterrupt), worker.working(lambda: {(0, "")}):
        for one in worker.ask(8, set)[:2]:
            worker.keep(one.number, made_up(one.changes))
        raise KeyboardInterrupt
    assert states(worker) == {"COMPLETE": 1, "FAIL": 7, "WAITING": 7}


def test_a_worker_taken_for_dead_does_no_harm(tmp_path: Path, dead: Callable[[], None]) -> None:
    """It has slept; what it has trained meanwhile was given to another one: it is told so before it records a run."""
    sleeper = opened(tmp_path)
    (one,) = sleeper.ask(1, set)
    dead()
    worker = opened(tmp_path)
    finish(worker, worker.ask(1, set))
    assert not sleeper.keep(one.number, made_up(one.changes))
    sleeper.tell(one.number, Result(1.0, 0.0))
    assert [done.result.accuracy for done in worker.done()] == [made_up(one.changes).accuracy]


def test_a_live_worker_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs of life come while it works, and end with it."""
    monkeypatch.setattr(processes, "EVERY", 0.01)
    worker = opened(tmp_path)
    name = f"seen {processes.identity()}"
    with worker.working(set):
        first = worker._study.user_attrs[name]
        deadline = time.monotonic() + 10
        while worker._study.user_attrs[name] == first and time.monotonic() < deadline:
            time.sleep(0.02)
        assert worker._study.user_attrs[name] > first
    assert not [thread for thread in threading.enumerate() if "give_signs" in thread.name]


@pytest.mark.parametrize("silent", [0, 2])
def test_a_worker_elsewhere_is_judged_by_its_signs_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent: float
) -> None:
    """Of another machine: silent for longer than the deadline is gone, anything less is not."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(processes, "identity", lambda: "another-host boot 1 1")
        elsewhere.setattr(
            processes,
            "sign_of_life",
            lambda: {processes.SEEN: str(int(1000 * (time.time() - silent * processes.DEADLINE)))},
        )
        other = opened(tmp_path)
        with other.working(set):
            other.ask(4, set)
    assert len(opened(tmp_path).ask(4, set)) == (4 if silent else 0)


def test_a_grid_is_done_point_by_point(tmp_path: Path, dead: Callable[[], None]) -> None:
    """One worker dies, two go on: each of the nine points is trained once, and none is left out."""
    opened(tmp_path, axes=LISTS, sampler="grid").ask(9, set)
    dead()
    one, other = (opened(tmp_path, axes=LISTS, sampler="grid") for _ in range(2))
    trained = []
    while (mine := one.ask(9, set)) + (others := other.ask(9, set)):
        finish(one, mine)
        finish(other, others)
        trained += mine + others
    points = [tuple(found.changes.values()) for found in trained]
    assert sorted(points) == [(rate, momentum) for rate in (0.1, 0.2, 0.3) for momentum in (0, 0.5, 0.9)]
    assert states(one) == {"COMPLETE": 9, "FAIL": 8}


def test_what_was_stopped_early_is_told_so(tmp_path: Path) -> None:
    """Pruned and failed trials are Optuna's PRUNED, with the accuracies at the rungs; they count and are read back."""
    worker = opened(tmp_path)
    pruned = Result(0.4, 2.0, None, None, "pruned after epoch 2 of 8: worse", {2: 0.4})
    failed = Result(None, None, None, "not finite in epoch 1")
    first, second = worker.ask(2, set)
    for one, result in ((first, pruned), (second, failed)):
        worker.keep(one.number, result)
        worker.tell(one.number, result)
    assert states(worker) == {"PRUNED": 2}
    trials = worker._study.get_trials()
    assert [trial.intermediate_values for trial in trials] == [{2: 0.4}, {}]
    assert [done.result for done in worker.done()] == [pruned, failed]
    assert worker.ask(2, set) == []


def test_a_result_is_read_back() -> None:
    """Answers come back bit for bit, whatever their number."""
    for size in (1, 8, 4999):
        answers = np.random.default_rng(size).random(size) < 0.8
        result = Result(0.1 + 0.2, 1 / 3, answers, None, None, {1: 0.7})
        back = Result.from_json(result.to_json())
        assert (back.accuracy, back.loss, back.reports) == (result.accuracy, result.loss, {1: 0.7})
        np.testing.assert_array_equal(back.answers, answers)


def test_importance_is_that_of_the_axes_and_the_same_each_time(tmp_path: Path) -> None:
    """The axis that decides comes first, shares add up to 1; one trial alone says nothing."""
    worker = opened(tmp_path)
    finish(worker, worker.ask(1, set))
    assert worker.importances() == {}
    work(worker, 48)
    shares = worker.importances()
    assert set(shares) == {"optimizer.learning_rate", "optimizer.momentum"}
    assert sum(shares.values()) == pytest.approx(1)
    assert shares == opened(tmp_path).importances()


@pytest.mark.parametrize("other", [{"axes": ["a=1,2"]}, {"axes": list(RANGES), "data": "others"}])
def test_a_study_is_continued_as_it_was_begun(tmp_path: Path, other: Mapping[str, object]) -> None:
    """With another definition it is refused in one line that says in what it differs."""
    work(opened(tmp_path), 3)
    with pytest.raises(ValueError, match=rf"study made-up was begun with other {list(other)[-1]}: repeat the command"):
        opened(tmp_path, definition=other)


def test_a_study_of_another_program_is_refused(tmp_path: Path) -> None:
    """Trials that nobody of ours has begun are not ours to add to."""
    worker = opened(tmp_path)
    storage = worker._study._storage
    study = storage.create_new_study([worker._study.direction], "theirs")
    storage.create_new_trial(study)
    with pytest.raises(ValueError, match="study theirs was begun with other axes"):
        Study.open(tmp_path, "theirs", None, [parse_axis(RANGES[1])], "tpe", 0, {"axes": 1})


def test_the_key_of_a_study_is_its_own(tmp_path: Path) -> None:
    """The same for all its workers; another one where the study was begun again under its name."""
    first, again, other = opened(tmp_path / "a"), opened(tmp_path / "a"), opened(tmp_path / "b")
    assert first.key == again.key != other.key
    assert first.run_id is None
    first.run_id = "0123"
    assert again.run_id == "0123"


def test_a_line_that_was_cut_off_is_forgotten(tmp_path: Path) -> None:
    """On a full disk, or by a power failure: what came before it stays, and all workers go on, old ones and new."""
    worker = opened(tmp_path)
    work(worker, 5)
    journal = tmp_path / module.JOURNAL
    for total in (8, 11):
        whole = journal.read_bytes()
        journal.write_bytes(whole + b'{"op_code":4,"wor')
        assert len(work(worker, total)) == 3
        assert journal.read_bytes().startswith(whole + b'{"op_code":4,"worker_id"')
        worker = opened(tmp_path)
    journal.write_bytes(b'{"op_code')
    assert len(work(opened(tmp_path), 2)) == 2


@pytest.mark.parametrize("text", ["no journal\n", "{}\n", "[1]\n", "\x00\n", '{"op_code":99}\n', '{"op_code":5}\n'])
def test_what_is_no_journal_is_one_line(tmp_path: Path, text: str) -> None:
    """A file that holds something else is named, and left as it is."""
    (tmp_path / module.JOURNAL).write_text(text)
    with pytest.raises(ValueError, match=r"journal.log is no journal of a study, or damaged .*; move it away"):
        opened(tmp_path)
    assert (tmp_path / module.JOURNAL).read_text() == text


def test_a_journal_that_cannot_be_written_is_the_systems_error(tmp_path: Path) -> None:
    """Where its folder is a file."""
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        opened(tmp_path / "file")


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://bob:{PASSWORD}@127.0.0.1/db",
        f"postgresql://bob:{PASSWORD}",
        f"postgresql://bob:a@{PASSWORD}@127.0.0.1/db",
        f"postgresql://bob:12/{PASSWORD}@127.0.0.1/db",
        f"postgresql://bob:{PASSWORD}@[127.0.0.1/db",
        f"bob:{PASSWORD}@127.0.0.1/db",
        "",
    ],
)
def test_what_is_no_url_of_postgresql_is_refused_unseen(tmp_path: Path, url: str) -> None:
    """One line that says how to write it, and repeats no part of it."""
    with pytest.raises(ValueError, match="is no URL of PostgreSQL; write postgresql://user@host/database") as caught:
        opened(tmp_path, url=url)
    assert PASSWORD not in str(caught.value)


def test_a_database_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says where, and not with which password."""
    monkeypatch.setenv("STUDY_STORAGE_PASSWORD", "")  # restored afterwards
    url = f"postgresql://bob:{PASSWORD}@127.0.0.1:{free_port()}/db"
    with pytest.raises(
        RuntimeError, match=r"study in postgresql://.*127\.0\.0\.1.* cannot be read .*refused"
    ) as caught:
        opened(tmp_path, url=url)
    assert PASSWORD not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_error_of_the_storage_passes() -> None:
    """Only Optuna's errors and the database's are explained."""
    with pytest.raises(KeyError), explained("here"):
        raise KeyError("mine")


def test_changes_are_as_they_are_trained() -> None:
    """Drawn numbers of three digits, listed values as they are, the only value of an axis for all."""
    axes = [parse_axis(text) for text in RANGES]
    found = changes_of(axes, {"optimizer.learning_rate": 0.123456, "optimizer.momentum": 0.5})
    assert found == {"train.epochs": 3, "optimizer.learning_rate": 0.123, "optimizer.momentum": 0.5}
    assert [module.varies(axis) for axis in axes] == [False, True, True]
    assert not module.varies(Axis("a", (1,)))


def test_optuna_is_imported_when_it_is_needed() -> None:
    """Not by the console script, nor with this module."""
    code = "import sys, softmax_regression.cli, softmax_regression.sweep.study; assert 'optuna' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_optuna_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its notices of studies and trials reach nobody, and the journal holds JSON alone."""
    work(opened(tmp_path), 12)
    assert capfd.readouterr() == ("", "")
    for line in (tmp_path / module.JOURNAL).read_text().splitlines():
        json.loads(line)


@pytest.mark.slow  # a server of PostgreSQL
@pytest.mark.skipif(bool(why_no_postgresql()), reason=why_no_postgresql() or "-")
def test_the_same_in_postgresql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers begin at once in an empty database; one dies; the trials are done once, and no file is written."""
    host, boot, _, _ = processes.identity().split()
    monkeypatch.setenv("STUDY_STORAGE_PASSWORD", "")  # restored afterwards
    with postgresql() as server:
        url = server.add_database("studies", "bob", PASSWORD)
        with pytest.raises(RuntimeError, match="password authentication failed") as caught:
            opened(tmp_path, url=url.replace(PASSWORD, f"{PASSWORD}-not"))
        assert PASSWORD not in str(caught.value)
        workers: list[Study] = []
        threads = [threading.Thread(target=lambda: workers.append(opened(tmp_path, url=url))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        one, other = workers
        with monkeypatch.context() as gone:
            gone.setattr(processes, "identity", lambda: f"{host} {boot} {2**22 + 1} 1")
            lost = opened(tmp_path, url=url).ask(24, set)
        trained = []
        with one.working(set):
            while (mine := one.ask(24, set)) + (others := other.ask(24, set)):
                finish(one, mine)
                finish(other, others)
                trained += mine + others
        assert [found.changes for found in trained[: len(lost)]] == [found.changes for found in lost]
        assert len({repr(found.changes) for found in trained}) == len(trained) == 24
        assert states(opened(tmp_path, url=url)) == {"COMPLETE": 24, "FAIL": 8}
        assert sum(one.importances().values()) == pytest.approx(1)
        with pytest.raises(ValueError, match="begun with other axes"):
            opened(tmp_path, url=url, definition={"axes": 1})
        for worker in (one, other):
            worker._study._storage.remove_session()
    assert list(tmp_path.iterdir()) == []
