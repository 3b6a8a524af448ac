"""A run that is being written never stops the work, writes nothing twice and no secret."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from softmax_regression.tracking.connection import StoreUnavailableError
from softmax_regression.tracking.run import Run


class Shelf:
    """A store that notes every call, and can be away."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.tries = 0
        self.away = ""
        self.old: dict[str, list[tuple[int, float]]] = {}

    def history(self, run_id: str, names: list[str]) -> dict[str, list[tuple[int, float]]]:
        """Return what the run had before."""
        self.tries += 1
        return {name: self.old.get(name, []) for name in names}

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
    """Same name, step and value is left out; another value at a step that exists is recorded."""
    shelf = Shelf()
    shelf.old = {"a": [(1, 0.5)]}
    run = run_on(shelf)
    run.log_metrics({"a": 0.5, "b": 0.5}, 1)
    run.log_metrics({"a": 0.6, "b": 0.5}, 1)
    assert [call[:2] for call in shelf.calls] == [("log_batch", [("b", 1, 0.5)]), ("log_batch", [("a", 1, 0.6)])]


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
