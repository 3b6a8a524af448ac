"""A run that is being written never stops the work, writes nothing twice and no secret."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from softmax_regression.tracking import processes
from softmax_regression.tracking.connection import StoreUnavailableError
from softmax_regression.tracking.run import Run


class Shelf:
    """A store that notes every call, and can be away."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.tries = 0
        self.away = ""
        self.old: dict[tuple[str, int], tuple[int, float]] = {}

    def recorded(self, run_id: str, names: list[str]) -> dict[tuple[str, int], tuple[int, float]]:
        """Return what the run had before."""
        self.tries += 1
        return {key: value for key, value in self.old.items() if key[0] in names}

    def __getattr__(self, call: str) -> Any:
        def note(run_id: str, *values: Any, **more: Any) -> str:
            self.tries += 1
            if self.away:
                raise StoreUnavailableError(self.away)
            self.calls.append((call, *values, *more.values()))
            return "m-1"

        return note


def run_on(shelf: Shelf, *, new: bool = False, ends: bool = True) -> Run:
    """Return a run that is written to the shelf; one that `ends` is finished there, too."""
    on_finish = shelf.__getattr__("finish") if ends else None
    return Run(shelf, "r1", "name", on_finish=on_finish, new=new)  # type: ignore[arg-type]  # all that a run needs


def test_metrics_of_many_steps_are_one_call() -> None:
    """Several steps, several names: one call, with the present time in ms."""
    shelf = Shelf()
    before = time.time()
    run_on(shelf, new=True).log_steps([(1, {"a": 1, "b": 2}), (2, {"a": 3})])
    ((call, points, timestamp),) = shelf.calls
    assert (call, points) == ("log_batch", [("a", 1, 1.0), ("b", 1, 2.0), ("a", 2, 3.0)])
    assert int(before * 1000) <= timestamp <= time.time() * 1000


def test_what_a_resumed_run_has_is_not_recorded_again() -> None:
    """The value that a step has is left out; another one is recorded, and the first again after it."""
    shelf = Shelf()
    shelf.old = {("a", 1): (7, 0.5)}
    run = run_on(shelf)
    for value in (0.5, 0.6, 0.5):
        run.log_metrics({"a": value, "b": 0.5}, 1)
    logged = [points for _, points, _ in shelf.calls]
    assert logged == [[("b", 1, 0.5)], [("a", 1, 0.6)], [("a", 1, 0.5)]]


def test_a_new_value_is_later_than_the_one_that_it_replaces() -> None:
    """Also where the clock went back, or another machine's is behind: MLflow shows the latest."""
    shelf = Shelf()
    future = 1000 * int(time.time() + 3600)
    shelf.old = {("a", 0): (future, 0.5)}
    run_on(shelf).log_metrics({"a": 0.6})
    assert shelf.calls == [("log_batch", [("a", 0, 0.6)], future + 1)]


def test_a_store_that_goes_away_is_asked_once_more_at_the_end() -> None:
    """After the first failure nothing is sent; at the end all of it is, in order, if the store is back."""
    shelf = Shelf()
    run = run_on(shelf, new=True)
    shelf.away = "the server does not answer"
    for epoch in range(5):
        run.log_metrics({"a": epoch}, epoch)
    assert (shelf.tries, run.lost) == (1, "the server does not answer")
    shelf.away = ""
    assert run.finish(key="k")
    assert run.lost is None
    assert [call for call, *_ in shelf.calls] == ["log_batch"] * 5 + ["finish"]
    assert shelf.calls[-1][1] == "k"
    assert [call[1] for call in shelf.calls[:5]] == [[("a", epoch, float(epoch))] for epoch in range(5)]


def test_a_store_that_stays_away_is_no_error() -> None:
    """The run ends without an error and says what was lost."""
    shelf = Shelf()
    shelf.away = "disk full"
    with run_on(shelf, new=True) as run:
        run.set_tags({"a": "b"})
    assert run.lost == "disk full"
    assert not run.finish()


def test_what_the_store_has_no_room_for_does_not_keep_the_run_from_ending() -> None:
    """A file that a full disk does not take stays lost; the run is FAILED all the same."""
    shelf = Shelf()

    def refuse(*_: object) -> None:
        raise StoreUnavailableError("the disk is full")

    shelf.__dict__["log_bytes"] = refuse
    run = run_on(shelf, new=True)
    run.log_bytes(b"much", "file")
    assert not run.finish("FAILED")
    assert [call[:2] for call in shelf.calls] == [("end_run", "FAILED")]


def test_a_fault_of_the_caller_is_raised_once() -> None:
    """An error that is not the store's reaches the caller, and does not block what follows."""
    shelf = Shelf()
    run = run_on(shelf, new=True)
    shelf.__dict__["end_run"] = lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        run.finish("FAILED")
    run.set_tags({"a": "b"})
    assert shelf.calls[-1] == ("set_tags", {"a": "b"})


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), "KILLED"), (ValueError("bad"), "FAILED"), (SystemExit(1), "FAILED")]
)
def test_an_error_ends_the_run(error: BaseException, status: str) -> None:
    """Ctrl-C kills the run, an error fails it and stays on record; neither is swallowed."""
    shelf = Shelf()
    with pytest.raises(type(error)), run_on(shelf, new=True):
        raise error
    assert [call[:2] for call in shelf.calls[-1:]] == [("end_run", status)]
    assert shelf.calls[0][1]["experiment.error"].startswith(type(error).__name__)


def test_a_continued_run_keeps_its_end() -> None:
    """A later stage adds to the run without touching its status, also when it fails."""
    shelf = Shelf()
    run = run_on(shelf, ends=False)
    run.set_tags({"a": "b"})
    with pytest.raises(ValueError, match="late"), run:
        raise ValueError("late")
    assert [call for call, *_ in shelf.calls] == ["set_tags"]


def test_files_are_checked_before_they_are_sent(tmp_path: Path) -> None:
    """A missing file is the caller's fault."""
    run = run_on(Shelf(), new=True)
    with pytest.raises(FileNotFoundError, match=r"absent\.txt"):
        run.log_file(tmp_path / "absent.txt")
    assert run.lost is None


def test_a_text_file_goes_without_its_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is recorded of params.yaml holds no password; all else, and a picture, goes byte for byte."""
    monkeypatch.setenv("MIRROR_PASSWORD", "open-sesame")
    shelf = Shelf()
    run = run_on(shelf, new=True)
    files = {"params.yaml": b"\xff: open-sesame\r\n", "plain.yaml": b"a: \xff\r\n", "image.png": b"open-sesame"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        run.log_file(tmp_path / name, "files")
    assert shelf.calls == [
        ("log_bytes", b"\xff: ***\r\n", "files/params.yaml"),
        ("log_bytes", b"a: \xff\r\n", "files/plain.yaml"),
        ("log_bytes", b"open-sesame", "files/image.png"),
    ]


def wait_for(condition: Callable[[], object]) -> None:
    """Wait, ten seconds at most, until something holds."""
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it never came true")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A sign of life every 5 ms."""
    monkeypatch.setattr(processes, "EVERY", 0.005)
    return monkeypatch


def test_a_run_gives_signs_of_life_until_it_ends(quick: pytest.MonkeyPatch) -> None:
    """Again and again, without any other call; after the end no more, and the thread is gone."""
    shelf = Shelf()
    run = run_on(shelf, new=True)
    wait_for(lambda: len(shelf.calls) >= 3)
    assert all(call == "set_tags" and set(tags) == {"writer.seen"} for call, tags in shelf.calls)
    assert run.finish(key="k")
    assert not run._pulse.is_alive()
    assert shelf.calls[-1][0] == "finish"


def test_a_sign_of_life_on_its_way_comes_before_the_end(quick: pytest.MonkeyPatch) -> None:
    """The end waits for it, however slow the store is."""
    shelf, asked, answer = Shelf(), threading.Event(), threading.Event()

    def slow(run_id: str, tags: dict[str, str]) -> None:
        asked.set()
        answer.wait()
        shelf.calls.append(("set_tags", tags))

    shelf.__dict__["set_tags"] = slow
    run = run_on(shelf, new=True)
    assert asked.wait(10)
    end = threading.Thread(target=run.finish)
    end.start()
    end.join(0.1)
    assert shelf.calls == []
    answer.set()
    end.join()
    assert [call for call, *_ in shelf.calls] == ["set_tags", "finish"]


def test_a_store_that_does_not_take_a_sign_of_life_is_asked_again(
    quick: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In silence: the run is not lost by it. A run that is lost sends nothing, as ever."""
    shelf = Shelf()
    shelf.away = "the server does not answer"
    run = run_on(shelf, new=True)
    wait_for(lambda: shelf.tries >= 3)
    assert run.lost is None
    shelf.away = ""
    wait_for(lambda: shelf.calls)
    shelf.away = "gone"
    run.set_tags({"a": "b"})
    assert run.lost == "gone"
    time.sleep(0.02)  # one may have been on its way
    tries = shelf.tries
    time.sleep(0.05)
    assert shelf.tries == tries
    run.finish()
    assert capfd.readouterr() == ("", "")


def test_only_a_run_that_somebody_holds_is_being_written(quick: pytest.MonkeyPatch) -> None:
    """One that has ended and is added to gives no sign of life; one that was dropped gives none any more."""
    late = run_on(Shelf(), ends=False)
    assert not late._pulse.is_alive()
    assert late.finish()
    dropped = run_on(Shelf(), new=True)
    pulse = dropped._pulse
    assert pulse.is_alive()
    assert pulse.daemon
    del dropped
    gc.collect()
    wait_for(lambda: not pulse.is_alive())
