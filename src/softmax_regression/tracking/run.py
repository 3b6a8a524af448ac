"""The run that is being written: it never stops the work that it records, writes nothing twice and no secret."""

import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Self, TypeAlias

from softmax_regression.redaction import redact
from softmax_regression.tracking import processes
from softmax_regression.tracking.client import Client, ModelParts, Point
from softmax_regression.tracking.connection import StoreUnavailableError, impatience
from softmax_regression.tracking.record import ERROR

Finish: TypeAlias = Callable[[str, str, int], None]  # takes the run's id, its key, its end in ms since 1970
LOAD_AFTER, LOAD_EVERY = 20.0, 10.0  # seconds until the machine is first measured, between two records: from 30 s on
LOAD_PATIENCE = 4.0  # seconds that the end of a run waits for a record on its way to a server that does not answer
_TEXTS = frozenset({".csv", ".diff", ".html", ".json", ".lock", ".md", ".patch", ".svg", ".toml", ".txt", ".yaml"})


class Run:
    """A run that is being written. Once started, it never raises because the store went away.

    Then `lost` says why, in one line, and nothing more is sent until `finish` tries once again; what has not
    arrived by then can be rebuilt from the DVC outputs. As a context manager it ends the run: FINISHED, FAILED
    on an error, KILLED on Ctrl-C. Faults of the caller (ValueError, OSError) are raised as ever. Until it ends, a
    thread gives signs of life, see processes.py, and another one records the machine's load, from its 30th second on.
    """

    def __init__(self, client: Client, run_id: str, name: str, on_finish: Finish | None, *, new: bool = False) -> None:
        """`on_finish` ends the run as FINISHED; None for one that has ended and is added to."""
        self.run_id = run_id
        self.name = name
        self.lost: str | None = None
        self._client = client
        self._new = new
        self._on_finish = on_finish
        self._waiting: list[Callable[[], object]] = []
        self._recorded: dict[tuple[str, int], tuple[int, float]] = {}  # see `Client.recorded`
        self._read: set[str] = set()
        self._ended = threading.Event()
        self._pulse = self._thread(Run._give_sign_of_life, processes.EVERY, processes.EVERY)
        self._load = self._thread(Run._record_load, LOAD_AFTER, LOAD_EVERY)
        self._measure: Callable[[], dict[str, float]] | None = None  # the machine's load
        self._load_step = 0
        if on_finish:
            self._pulse.start()
            self._load.start()

    def log_metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Record metrics of one step; see `log_steps`."""
        self.log_steps([(step, values)])

    def log_steps(self, steps: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Record the metrics of several steps in one call, with the present time.

        What the run already has as the latest value of a step is not recorded again.
        """
        points = [(name, step, float(value)) for step, values in steps for name, value in values.items()]
        now = time.time_ns() // 1_000_000
        self._send(lambda: self._log_unrecorded(points, now))

    def log_params(self, params: Mapping[str, object]) -> None:
        """Record params in one call; those that the run has must be equal."""
        self._send(lambda: self._client.log_batch(self.run_id, params=params))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags in one call."""
        self._send(lambda: self._client.set_tags(self.run_id, tags))

    def log_file(self, path: Path, folder: str = "") -> None:
        """Copy a file into an artifact folder of the run; a text file less its credentials."""
        content = path.read_bytes()
        place = f"{folder}/{path.name}".lstrip("/")
        if path.suffix in _TEXTS:
            self.log_text(content.decode(errors="surrogateescape"), place)
        else:
            self.log_bytes(content, place)

    def log_text(self, text: str, artifact_path: str) -> None:
        """Write `text`, less its credentials, into a file among the run's artifacts."""
        self.log_bytes(redact(text).encode(errors="surrogateescape"), artifact_path)

    def log_bytes(self, content: bytes, artifact_path: str) -> None:
        """Write `content`, such as a picture, into a file among the run's artifacts."""
        self._send(lambda: self._client.log_bytes(self.run_id, content, artifact_path))

    def log_image_series(self, key: str, images: Sequence[tuple[int, Path]]) -> None:
        """Log (step, picture file) pairs that the UI shows under `key` with a slider; steps that the run has stay."""
        self._send(lambda: self._client.log_images(self.run_id, key, images))

    def log_dataset(self, name: str, digest: str, source: str, context: str, profile: Mapping[str, object]) -> None:
        """Record a data set as an input of the run, which the UI shows in its Dataset column.

        `context` is what it was used for ("training", "testing"); `profile` holds facts such as num_rows.
        """
        self._send(lambda: self._client.log_dataset(self.run_id, name, digest, source, context, profile))

    def log_model(self, parts: ModelParts) -> None:
        """Log an MLflow model; a run that has one keeps it."""
        self._send(lambda: self._client.log_model(self.run_id, parts))

    def finish(self, status: str = "FINISHED", *, key: str = "") -> bool:
        """End the run (a continued one keeps its status and end); return whether all of it has arrived.

        `key` is the finished experiment's key; see `RunStore.finish`.
        """
        self._ended.set()
        if self._pulse.is_alive():
            self._pulse.join()  # or a sign of life could follow the end
        if self._load.is_alive():
            self._load.join(LOAD_PATIENCE)  # one that follows the end does no harm
        end, on_finish = time.time_ns() // 1_000_000, self._on_finish
        with impatience() if self.lost else nullcontext():
            if on_finish and status == "FINISHED":
                self._send(lambda: on_finish(self.run_id, key, end))
            elif on_finish:
                self._send(lambda: self._client.end_run(self.run_id, status, end))
            self._on_finish = None
            self._flush()
        if self.lost and on_finish and status != "FINISHED":
            with suppress(StoreUnavailableError):  # what waits may need more room than a full disk has, the status less
                self._client.end_run(self.run_id, status, end)
        return self.lost is None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is not None and self._on_finish is not None:
            self.set_tags({ERROR: f"{type(error).__name__}: {error}"})
        self.finish("FINISHED" if kind is None else "KILLED" if issubclass(kind, KeyboardInterrupt) else "FAILED")

    def _send(self, operation: Callable[[], object]) -> None:
        """Carry `operation` out, or keep it if the store has gone away. It must be idempotent: it may be sent twice."""
        self._waiting.append(operation)
        if self.lost is None:
            self._flush()

    def _flush(self) -> None:
        """Carry out what waits, in order, up to the first that the store does not take."""
        while self._waiting:
            operation = self._waiting.pop(0)
            try:
                operation()
            except StoreUnavailableError as error:
                self._waiting.insert(0, operation)
                self.lost = str(error)
                return
        self.lost = None

    def _log_unrecorded(self, points: Sequence[Point], now: int) -> None:
        if not self._new and (unread := {name for name, _, _ in points} - self._read):
            self._recorded |= self._client.recorded(self.run_id, sorted(unread))
            self._read |= unread
        old = [self._recorded.get((name, step)) for name, step, _ in points]
        new = [point for point, had in zip(points, old, strict=True) if had is None or had[1] != point[2]]
        # Later than any value that it replaces, whatever the clock says: MLflow shows the latest of the last step.
        timestamp = max([now, *(had[0] + 1 for had in old if had)])
        self._client.log_batch(self.run_id, new, timestamp)
        self._recorded |= {(name, step): (timestamp, value) for name, step, value in new}

    def _thread(self, act: Callable[["Run"], None], first: float, every: float) -> threading.Thread:
        return threading.Thread(target=_repeat, args=(weakref.ref(self), self._ended, first, every, act), daemon=True)

    def _give_sign_of_life(self) -> None:
        self._client.set_tags(self.run_id, processes.sign_of_life())

    def _record_load(self) -> None:
        """Record the machine's load, of the CPU the mean since the call before; the first call begins to measure."""
        if self._measure is None:
            measure = self._client.measure_machine()
            if not self._new:
                recorded = self._client.recorded(self.run_id, [next(iter(measure()))])
                self._load_step = max((step + 1 for _, step in recorded), default=0)
            self._measure = measure
            return
        points = [(name, self._load_step, value) for name, value in self._measure().items()]
        self._client.log_batch(self.run_id, points, time.time_ns() // 1_000_000)
        self._load_step += 1


def _repeat(
    reference: weakref.ref[Run], ended: threading.Event, first: float, every: float, act: Callable[[Run], None]
) -> None:
    """Do something with a run that is being written after `first` seconds, then every so many.

    Until it has ended, or nobody holds it any more. A store that does not take it is told again the next time.
    """
    wait = first
    while not ended.wait(wait):
        run = reference()
        if run is None:
            return
        if run.lost is None:
            with suppress(Exception):
                act(run)
        del run
        wait = every
