"""A study: configurations that Optuna proposes, shared by workers that may come, go and be killed.

It is kept in a journal file or in PostgreSQL. Workers take turns, by a lock that ends with its process, at taking back
what a dead one has left and at asking for new trials; they train without it. So no two train the same, and none more
than is wanted. A trial that is done is COMPLETE, or PRUNED where it was stopped early or did not stay finite; one that
was given back is FAIL, which counts for nothing, and its configuration waits for the next worker.

Optuna is imported when a study is opened, not with this module.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from softmax_regression.artifacts.experiment import digest
from softmax_regression.redaction import redact
from softmax_regression.sweep.plan import FEWEST, LARGEST_PASS, Axis, rounded
from softmax_regression.tracking import processes
from softmax_regression.tracking.connection import innermost
from softmax_regression.tracking.database import exclusive

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

Sampler = Literal["tpe", "random", "grid"]
Turn: TypeAlias = Callable[[], AbstractContextManager[None]]
# Gives the trials whose runs have been recorded: number, and why it ended early or nothing.
Recorded: TypeAlias = Callable[[], Collection[tuple[int, str]]]
JOURNAL, LOCK = "journal.log", ".lock"
_PATIENCE = 600.0  # seconds that one worker may take for its turn, which takes a second or two
_CONNECT = 10  # seconds
_BATCHES = 8  # of a study, so that a sampler learns from the first of them


@dataclass(frozen=True)
class Result:
    """What a trial came to: the figures after its last epoch; `answers` (N,) bool which held-out examples are right.

    `failure` or `pruned` says why it ended early; then there are no answers, and no figures where it failed at once.
    `reports` holds the accuracy after some epochs.
    """

    accuracy: float | None
    loss: float | None
    answers: NDArray[np.bool_] | None = None
    failure: str | None = None
    pruned: str | None = None
    reports: Mapping[int, float] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return it as text, eight answers a byte."""
        answers = (
            []
            if self.answers is None
            else [len(self.answers), base64.b64encode(np.packbits(self.answers).tobytes()).decode()]
        )
        reports = {str(epoch): accuracy for epoch, accuracy in self.reports.items()}
        return json.dumps([self.accuracy, self.loss, answers, self.failure, self.pruned, reports])

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the result that `to_json` wrote."""
        accuracy, loss, answers, failure, pruned, reports = json.loads(text)
        right = None
        if answers:
            packed = np.frombuffer(base64.b64decode(answers[1]), np.uint8)
            right = np.unpackbits(packed, count=answers[0]).astype(bool)
        return cls(accuracy, loss, right, failure, pruned, {int(epoch): one for epoch, one in reports.items()})


@dataclass(frozen=True)
class Asked:
    """A trial to be trained: its number in the study and its changes, as those of `plan.Trial`."""

    number: int
    changes: Mapping[str, Any]


@dataclass(frozen=True)
class Done(Asked):
    """A trial that is done; `copy_of` is the number of the one that was trained, where its configuration was equal."""

    result: Result
    copy_of: int | None


class Study:
    """One worker's view of a study."""

    def __init__(self, study: optuna.Study, turn: Turn, axes: Sequence[Axis], sampler: Sampler, draw_seed: int) -> None:
        self.turn = turn
        self._study, self._axes, self._sampler, self._draw_seed = study, axes, sampler, draw_seed
        self._distributions = {axis.key: _distribution(axis) for axis in axes if varies(axis)}
        self._held: dict[int, optuna.Trial] = {}  # those that this worker has asked for and not told

    @classmethod
    def open(
        cls,
        folder: Path,
        name: str,
        url: str | None,
        axes: Sequence[Axis],
        sampler: Sampler,
        draw_seed: int,
        definition: Mapping[str, object],
    ) -> Self:
        """Open the study `name`, or begin it, in `folder` or in the database at `url`.

        `definition` is what makes the study what it is, by name. Raises ValueError where it was begun with another one,
        for a URL of another kind, and where the journal is none; RuntimeError where the database cannot be opened.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.CRITICAL)
        with explained(url or str(folder / JOURNAL)):
            storage, turn = _journal(folder) if url is None else _database(url)
            with turn():
                study = optuna.create_study(
                    storage=storage(), study_name=name, direction="maximize", load_if_exists=True
                )
                wanted = json.loads(json.dumps(definition))
                if not study.get_trials(deepcopy=False) and "definition" not in study.user_attrs:
                    study.set_user_attr("definition", wanted)
                    study.set_user_attr("key", uuid.uuid4().hex[:16])
                begun = study.user_attrs.get("definition", {})
        if other := [part for part, value in wanted.items() if begun.get(part) != value]:
            raise ValueError(
                f"the study {name} was begun with other {', '.join(other)}: repeat the command that began it, or "
                "give this one another name"
            )
        return cls(study, turn, axes, sampler, draw_seed)

    @property
    def key(self) -> str:
        """16 hexadecimal digits that no other study has, nor one of the same name that was begun again."""
        return str(self._study.user_attrs["key"])

    @property
    def run_id(self) -> str | None:
        """The MLflow run of the study."""
        return self._study.user_attrs.get("run")

    @run_id.setter
    def run_id(self, run_id: str) -> None:
        self._study.set_user_attr("run", run_id)

    @contextmanager
    def working(self, recorded: Recorded) -> Iterator[None]:
        """Give signs of life while the context lasts; where it ends by an error, what is held is given back at once."""
        ended = threading.Event()
        self._give_sign_of_life()
        pulse = threading.Thread(target=self._give_signs_of_life, args=(ended,), daemon=True)
        pulse.start()
        try:
            yield
        except BaseException:
            with suppress(Exception), self.turn():  # a storage that is gone: others see that this process is, too
                for trial in self._running():
                    if trial.number in self._held:
                        self._hand_over(trial, recorded)
            raise
        finally:
            ended.set()
            pulse.join()

    def ask(self, total: int, recorded: Recorded) -> list[Asked]:
        """Return what this worker is to train now, each a configuration that nobody else trains or has trained.

        The study is to have `total` trials. `recorded` tells the trials whose runs have been recorded, which a worker
        that died before it could tell them has left. Nothing is returned where all are done, or are with others.
        """
        with self.turn():
            self._take_back(recorded)
            trials = self._live()
            room = max(0, total - len(trials))
            batch = min(LARGEST_PASS, max(FEWEST, -(-total // _BATCHES)))
            if self._sampler == "grid":
                for params in self._missing(trials)[: min(room, batch)]:
                    self._study.enqueue_trial(params)
            else:
                self._study.sampler = self._seeded(len(self._study.get_trials(deepcopy=False)))
            waiting = sum(trial.state.name == "WAITING" for trial in self._live())
            for _ in range(min(batch, waiting + (0 if self._sampler == "grid" else room))):
                trial = self._study.ask(self._distributions)
                trial.set_user_attr("worker", processes.identity())
                self._held[trial.number] = trial
            return self._to_train()

    def keep(self, number: int, result: Result) -> bool:
        """Note what a trial came to, before its run is recorded; return whether it is still this worker's."""
        from optuna.exceptions import UpdateFinishedTrialError

        try:
            self._held[number].set_user_attr("result", result.to_json())
            for epoch, accuracy in result.reports.items():
                self._held[number].report(accuracy, epoch)
        except UpdateFinishedTrialError:
            del self._held[number]  # this machine has slept, so that others took the worker for dead
            return False
        return True

    def tell(self, number: int, result: Result) -> None:
        """End a trial, whose run has been recorded, with its result."""
        self._held.pop(number, None)
        self._end(number, result)

    def done(self) -> list[Done]:
        """Return the trials that are done, in order of their numbers."""
        ended = {trial.number: trial for trial in self._live() if trial.state.is_finished()}
        found = []
        for number, trial in ended.items():
            copy_of = trial.user_attrs.get("copy_of")
            result = ended[number if copy_of is None else copy_of].user_attrs["result"]
            found.append(Done(number, self._changes(trial), Result.from_json(result), copy_of))
        return found

    def with_others(self) -> int:
        """Return how many trials other workers are at."""
        return sum(trial.number not in self._held for trial in self._running())

    def given_back(self) -> int:
        """Return how many trials were given back by workers that died or were stopped."""
        return len(self._study.get_trials(deepcopy=False)) - len(self._live())

    def importances(self) -> dict[str, float]:
        """Return what share of the accuracies' variance each axis explains, the largest first; their sum is 1.

        By Optuna's fANOVA (Hutter et al. 2014), whose forest grows from a fixed seed, over the trials that were trained
        to the end; nothing where all of these are equal. Optuna's default, PED-ANOVA, gave the schedule 0.01 where the
        eleven best of 32 were all cosine.
        """
        from optuna.importance import FanovaImportanceEvaluator, get_param_importances

        if len({trial.value for trial in self._live() if trial.state.name == "COMPLETE"}) < 2:
            return {}
        found = get_param_importances(self._study, evaluator=FanovaImportanceEvaluator(seed=0))
        return {key: float(share) for key, share in found.items()}

    def _live(self) -> list[FrozenTrial]:
        """Return the trials that count, done or not, in order of their numbers."""
        return [trial for trial in self._study.get_trials(deepcopy=False) if trial.state.name != "FAIL"]

    def _running(self) -> list[FrozenTrial]:
        return [trial for trial in self._live() if trial.state.name == "RUNNING"]

    def _changes(self, trial: FrozenTrial) -> dict[str, Any]:
        """Return the values of all axes, as they are trained."""
        return changes_of(self._axes, {**trial.system_attrs.get("fixed_params", {}), **trial.params})

    def _seeded(self, trials: int) -> optuna.samplers.BaseSampler:
        """Return the sampler of the next batch; its seed follows from how many trials the study has so far.

        So one worker alone always draws the same, also when it is started again, and two never draw alike.
        """
        from optuna.samplers import RandomSampler, TPESampler

        text = f"study of seed {self._draw_seed} after {trials} trials"
        seed = int(digest(text)[:8], 16)
        return TPESampler(seed=seed, constant_liar=True) if self._sampler == "tpe" else RandomSampler(seed=seed)

    def _missing(self, trials: Sequence[FrozenTrial]) -> list[dict[str, Any]]:
        """Return the points of the grid that no trial has."""
        taken = {repr(self._changes(trial)) for trial in trials}
        lists = [axis.values for axis in self._axes if varies(axis)]
        points = [dict(zip(self._distributions, values, strict=True)) for values in itertools.product(*lists)]
        return [point for point in points if repr(changes_of(self._axes, point)) not in taken]

    def _to_train(self) -> list[Asked]:
        """Return the trials held whose configuration is no other's; tell those that equal one that is done."""
        first: dict[str, FrozenTrial] = {}
        for trial in self._live():
            if trial.state.name != "WAITING":
                first.setdefault(repr(self._changes(trial)), trial)
        asked = []
        for trial in self._running():
            if trial.number in self._held:
                changes = self._changes(trial)
                original = first[repr(changes)]
                if original.number == trial.number:
                    asked.append(Asked(trial.number, changes))
                elif original.state.is_finished():
                    copy_of = original.user_attrs.get("copy_of", original.number)
                    self._held[trial.number].set_user_attr("copy_of", copy_of)
                    text = self._study.get_trials(deepcopy=False)[copy_of].user_attrs["result"]
                    self.tell(trial.number, Result.from_json(text))
        return asked

    def _take_back(self, recorded: Recorded) -> None:
        """Hand over what dead workers have left."""
        for trial in self._running():
            worker = trial.user_attrs.get("worker")
            if trial.number in self._held:
                continue
            # Without a worker it was asked for in a turn that was cut off.
            seen = self._study.user_attrs.get(f"seen {worker}", 0)
            if not worker or processes.why_gone(worker, seen):
                self._hand_over(trial, recorded)

    def _hand_over(self, trial: FrozenTrial, recorded: Recorded) -> None:
        """Tell a trial that was trained and recorded; end any other as FAIL, its configuration is for the next worker.

        A worker may be stopped between the end of a run and the telling.
        """
        import optuna

        self._held.pop(trial.number, None)
        result = Result.from_json(trial.user_attrs["result"]) if "result" in trial.user_attrs else None
        if result and (trial.number, result.failure or result.pruned or "") in recorded():
            self._end(trial.number, result)
            return
        self._study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        if self._sampler != "grid" and trial.params.keys() == self._distributions.keys():
            self._study.enqueue_trial(trial.params)

    def _end(self, number: int, result: Result) -> None:
        import optuna

        with suppress(ValueError, optuna.exceptions.UpdateFinishedTrialError):  # others took the worker for dead
            if result.failure or result.pruned:
                self._study.tell(number, state=optuna.trial.TrialState.PRUNED)
            else:
                self._study.tell(number, result.accuracy)

    def _give_sign_of_life(self) -> None:
        seen = int(processes.sign_of_life()[processes.SEEN])
        self._study.set_user_attr(f"seen {processes.identity()}", seen)

    def _give_signs_of_life(self, ended: threading.Event) -> None:
        while not ended.wait(processes.EVERY):
            with suppress(Exception):  # of the storage: it is told again in a minute
                self._give_sign_of_life()


def varies(axis: Axis) -> bool:
    """Return whether an axis has more than one value, so that there is something to search."""
    return axis.range is not None or len(axis.values) > 1


def changes_of(axes: Sequence[Axis], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of each axis: as proposed in `params`, numbers of a range rounded; else its only one."""
    return {
        axis.key: (rounded(params[axis.key]) if axis.range else params[axis.key]) if varies(axis) else axis.values[0]
        for axis in axes
    }


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Turn the errors of Optuna, and of the database at `place`, into one line without credentials."""
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (OptunaError, SQLAlchemyError) as error:
        reason = " ".join(str(innermost(error)).split())[:300]
        raise RuntimeError(
            redact(
                f"the study in {place} cannot be read or written: {reason}; what is done is kept: see that the "
                "database runs, and repeat the command"
            )
        ) from error


def _distribution(axis: Axis) -> optuna.distributions.BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if axis.range is None:
        return CategoricalDistribution(axis.values)
    kind, low, high = axis.range
    return FloatDistribution(low, high, log=kind == "log")


def _journal(folder: Path) -> tuple[Callable[[], BaseStorage], Turn]:
    """Return what opens the journal in `folder`, and the workers' turns.

    Its own lock, for the moment of a write, is a file that is created exclusively: right on every file system, NFS
    since version 3 too, and wherever a machine has mounted the folder. (Optuna's other one, a symbolic link to the
    journal's path, is a broken link where the path is another.)
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    path = folder / JOURNAL

    class Lock(JournalFileOpenLock):
        def acquire(self) -> bool:
            super().acquire()
            try:
                _end_with_a_line(path)
            except BaseException:
                self.release()
                raise
            return True

    def storage() -> BaseStorage:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            if lines := (path.read_bytes() if path.exists() else b"").split(b"\n")[:-1]:
                json.loads(lines[-1])  # Optuna looks into the last line when there is another one
            return JournalStorage(JournalFileBackend(str(path), lock_obj=Lock(str(path))))
        except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
            raise ValueError(f"{path} is no journal of a study, or damaged ({error!r}); move it away") from None

    return storage, lambda: exclusive(folder / LOCK, _PATIENCE)


def _end_with_a_line(path: Path) -> None:
    """Cut off the line that a worker has begun and not ended, as on a full disk: Optuna would append to it.

    Nobody has acted on it.
    """
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read() == b"\n":
                return
    os.truncate(path, path.read_bytes().rfind(b"\n") + 1)


def _database(url: str) -> tuple[Callable[[], BaseStorage], Turn]:
    """Return what opens the database at `url`, and the workers' turns: an advisory lock of a transaction.

    PostgreSQL ends the transaction of a process that dies, and one of a machine that has vanished after a while.
    """
    import sqlalchemy
    from optuna.storages import RDBStorage

    parts = _checked(url)
    if parts.password:
        os.environ["STUDY_STORAGE_PASSWORD"] = unquote(parts.password)  # so that `redact` hides it wherever it turns up
    database = sqlalchemy.make_url(url).set(drivername="postgresql+psycopg2")
    settings = {"connect_args": {"connect_timeout": _CONNECT}, "pool_pre_ping": True}
    try:
        engine = sqlalchemy.create_engine(database, **settings)
    except ImportError:
        raise RuntimeError("a study in PostgreSQL needs psycopg2: pip install psycopg2-binary") from None

    @contextmanager
    def turn() -> Iterator[None]:
        with engine.begin() as connection:
            patience = f"SET LOCAL idle_in_transaction_session_timeout = {int(1000 * _PATIENCE)}"
            connection.execute(sqlalchemy.text(patience))
            connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(hashtext('softmax-regression'))"))
            yield

    return lambda: RDBStorage(database.render_as_string(hide_password=False), engine_kwargs=settings), turn


def _checked(url: str) -> Any:
    """Return the parts of a URL of PostgreSQL. Raises ValueError, which repeats nothing of it, for any other."""
    try:
        parts = urlsplit(url)
        _ = parts.port
        is_one = parts.scheme in ("postgresql", "postgresql+psycopg2") and len(parts.path) > 1
        # An @ or a / in a password would make a part of it the name of a host, which is printed.
        if is_one and url.count("@") == parts.netloc.count("@") <= 1:
            return parts
    except ValueError:
        pass
    raise ValueError(
        "--storage is no URL of PostgreSQL; write postgresql://user@host/database, / and @ in a password as %2F and %40"
    )
