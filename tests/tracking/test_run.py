"""A run that is being written never stops the work, writes nothing twice and no secret."""

from __future__ import annotations

import gc
import itertools
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from softmax_regression.tracking import processes
from softmax_regression.tracking.connection import StoreUnavailableError
from softmax_regression.tracking.run import LOAD_AFTER, LOAD_EVERY, Run, _repeat
from softmax_regression.tracking.run_store import RunStore


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
    assert not late._load.is_alive()
    assert late.finish()
    dropped = run_on(Shelf(), new=True)
    pulse = dropped._pulse
    assert pulse.is_alive()
    assert pulse.daemon
    del dropped
    gc.collect()
    wait_for(lambda: not pulse.is_alive())


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine that is measured from the first 5 ms on, every 5 ms."""
    monkeypatch.setattr("softmax_regression.tracking.run.LOAD_AFTER", 0.005)
    monkeypatch.setattr("softmax_regression.tracking.run.LOAD_EVERY", 0.005)
    return monkeypatch


def shelf_on_a_machine() -> Shelf:
    """Return a store whose machine has used 1%, 2%, 3% of its processor, and so on."""
    shelf, loads = Shelf(), itertools.count(1)
    shelf.__dict__["measure_machine"] = lambda: lambda: {"system/cpu": float(next(loads))}
    return shelf


def recorded_loads(shelf: Shelf) -> list[Any]:
    """Return the points of each call."""
    return [points for call, points, _ in shelf.calls if call == "log_batch"]


def test_the_machines_load_is_recorded_until_the_run_ends(measured: pytest.MonkeyPatch) -> None:
    """A step each, now; what is logged meanwhile is not touched, after the end there is nothing more."""
    shelf, before = shelf_on_a_machine(), time.time()
    run = run_on(shelf, new=True)
    wait_for(lambda: len(shelf.calls) >= 3)
    assert run.finish(key="k")
    assert not run._load.is_alive()
    assert shelf.calls[-1][0] == "finish"
    loads = recorded_loads(shelf)
    assert loads == [[("system/cpu", step, step + 1.0)] for step in range(len(loads))]
    assert all(int(before * 1000) <= call[2] <= time.time() * 1000 for call in shelf.calls[:-1])


def test_a_short_run_records_no_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first record would come at the age of 30 s: of a shorter run nothing is recorded, and its end is no wait."""
    waits: list[float] = []

    class Ended(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0)
            return len(waits) > 3 or super().wait(0)  # three waits pass at once

    shelf = shelf_on_a_machine()
    run = Run(shelf, "r1", "name", on_finish=None, new=True)  # type: ignore[arg-type]  # all that a run needs
    _repeat(weakref.ref(run), Ended(), LOAD_AFTER, LOAD_EVERY, Run._record_load)
    assert list(itertools.accumulate(waits[:2])) == [20, 30]
    assert len(recorded_loads(shelf)) == 2  # at 30 s and 40 s

    shelf, started = shelf_on_a_machine(), time.monotonic()
    run = run_on(shelf, new=True)
    assert run.finish()
    assert time.monotonic() - started < 10
    assert [call for call, *_ in shelf.calls] == ["finish"]


def test_the_load_of_a_resumed_run_goes_on_where_it_ended(measured: pytest.MonkeyPatch) -> None:
    """Its first step follows the last that the run has."""
    shelf = shelf_on_a_machine()
    shelf.old = {("system/cpu", 0): (7, 0.5), ("system/cpu", 4): (8, 0.5)}
    run = run_on(shelf)
    wait_for(lambda: shelf.calls)
    run.finish()
    assert recorded_loads(shelf)[0][0][1] == 5


def test_a_load_that_the_store_does_not_take_is_left_out(
    measured: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In silence: the run is not lost by it, and the next one is recorded. A run that is lost records none."""
    shelf = shelf_on_a_machine()
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


def test_a_load_that_hangs_holds_the_end_up_for_seconds_only(measured: pytest.MonkeyPatch) -> None:
    """A server that does not answer may take its time: the run ends all the same."""
    measured.setattr("softmax_regression.tracking.run.LOAD_PATIENCE", 0.05)
    shelf, asked, answer = shelf_on_a_machine(), threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        asked.set()
        answer.wait()

    shelf.__dict__["log_batch"] = hang
    run = run_on(shelf, new=True)
    assert asked.wait(10)
    assert run.finish()
    assert [call for call, *_ in shelf.calls] == ["finish"]
    answer.set()
    wait_for(lambda: not run._load.is_alive())


def test_mlflow_shows_the_load_among_the_system_metrics(
    measured: pytest.MonkeyPatch, store: RunStore, capfd: pytest.CaptureFixture[str]
) -> None:
    """By the names of its own monitor, and nothing is printed; our tables do not have it among the run's figures."""
    run = store.start_run("name", "key", {})
    run.log_metrics({"a": 1})
    wait_for(lambda: len(store.recorded(run.run_id, ["system/cpu_utilization_percentage"])) >= 2)
    assert run.finish()
    metrics = store.mlflow.get_run(run.run_id).data.metrics
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_percentage"} < metrics.keys()
    assert 0 < metrics["system/system_memory_usage_percentage"] < 100
    assert store.existing(run.run_id).metrics == {"a": 1}
    assert capfd.readouterr() == ("", "")


def test_a_gpu_is_measured_where_there_is_one(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its load, memory and power, through NVIDIA's library; without a GPU there is none of it."""
    from mlflow.system_metrics.metrics import gpu_monitor

    library = SimpleNamespace(
        NVMLError=OSError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetMemoryInfo=lambda gpu: SimpleNamespace(used=2e9, total=8e9),
        nvmlDeviceGetUtilizationRates=lambda gpu: SimpleNamespace(gpu=75),
        nvmlDeviceGetPowerUsage=lambda gpu: 100_000,
        nvmlDeviceGetEnforcedPowerLimit=lambda gpu: 400_000,
    )
    monkeypatch.setitem(sys.modules, "pynvml", library)
    monkeypatch.setattr(gpu_monitor, "pynvml", library, raising=False)
    found = {name: value for name, value in store.measure_machine()().items() if "gpu" in name}
    assert found == {
        "system/gpu_0_memory_usage_percentage": 25,
        "system/gpu_0_memory_usage_megabytes": 2000,
        "system/gpu_0_utilization_percentage": 75,
        "system/gpu_0_power_usage_watts": 100,
        "system/gpu_0_power_usage_percentage": 25,
    }

    def no_driver() -> None:
        raise OSError

    library.nvmlInit = no_driver
    assert not any("gpu" in name for name in store.measure_machine()())
