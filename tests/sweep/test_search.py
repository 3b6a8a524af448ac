"""A search from command to winner, by workers of which one is killed: each trial once, a run each, one parent."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.storages.journal import JournalFileBackend
from servers import postgresql, why_no_postgresql
from trained_project import empty_project, small_params

from softmax_regression.cli import main
from softmax_regression.sweep.plan import parse_axis
from softmax_regression.sweep.search import Search, combinations, run_search
from softmax_regression.sweep.study import Sampler, Study
from softmax_regression.tracking import processes
from softmax_regression.tracking.record import KILLED, RunRecord
from softmax_regression.tracking.run_store import RunStore

AXES = ("data.validation_size=50", "optimizer.learning_rate=log(0.01,1)", "optimizer.momentum=0,0.5,0.9")
PASSWORD = "open-sesame"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a small data set and no run."""
    return empty_project(tmp_path, monkeypatch)


def searched(
    root: Path,
    trials: int | None = 8,
    *axes: str,
    name: str = "first",
    sampler: Sampler = "tpe",
    halving: bool = False,
    storage: str | None = None,
    epochs: int = 2,
) -> str:
    """Work on a study in `root` over AXES, or other axes."""
    parsed = [parse_axis(text) for text in axes or AXES]
    search = Search(name, sampler, trials, 0, halving, storage)
    return run_search(root, small_params(**{"train.epochs": epochs}), parsed, search, root / "reports/studies")


def runs_of(root: Path) -> tuple[list[RunRecord], list[RunRecord]]:
    """Return the runs of studies, and those of their trials."""
    runs = RunStore.open(root).runs()
    parents = [run for run in runs if "mlflow.parentRunId" not in run.tags]
    return parents, [run for run in runs if run not in parents]


def trials_of(root: Path, name: str = "first") -> list[optuna.trial.FrozenTrial]:
    """Return the trials of a study in a journal, as Optuna reads them."""
    backend = JournalFileBackend(str(root / "reports/studies" / name / "journal.log"))
    return optuna.load_study(study_name=name, storage=optuna.storages.JournalStorage(backend)).trials


def test_a_study_is_recorded_ranked_and_written(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each trial is a run of the study's one, which has ended and holds table, answers, patch, pictures, figures."""
    text = searched(project)
    (parent,), children = runs_of(project)
    store = RunStore.open(project)
    assert (parent.name, parent.status) == ("study first", "FINISHED")
    assert parent.params["optimizer.learning_rate"] == "log, 0.01, 1.0"
    assert {run.tags["mlflow.parentRunId"] for run in children} == {parent.run_id}
    assert sorted(int(run.tags["study.trial"]) for run in children) == list(range(8))
    assert {run.status for run in children} == {"FINISHED"}
    assert not any("test" in metric for run in children for metric in run.metrics)
    files = {"table.csv", "answers.npz", "best.yaml", "history.png", "importance.png"}
    assert files <= set(store.artifacts(parent.run_id))
    assert files <= {path.name for path in (project / "reports/studies/first").iterdir()}
    assert "get-artifact?path=history.png" in parent.tags["mlflow.note.content"]
    rows = list(csv.DictReader((project / "reports/studies/first/table.csv").read_text().splitlines()))
    accuracies = {run.params["optimizer.learning_rate"]: run.metrics["final/validation_accuracy"] for run in children}
    for row in rows:
        assert float(row["validation_accuracy"]) == pytest.approx(accuracies[row["optimizer.learning_rate"]], abs=1e-6)
    assert float(rows[0]["validation_accuracy"]) == pytest.approx(parent.metrics["validation_best/accuracy"], abs=1e-6)
    assert f"dvc exp run -S optimizer.learning_rate={rows[0]['optimizer.learning_rate']} -S optimizer.momentum=" in text
    assert "8 trials: 8 trained to the end\n" in text
    assert "picked as the best of 8, it is expected to be " in text
    answers = np.load(project / "reports/studies/first/answers.npz")
    assert answers["answers"].shape == (8, 1, 7)
    assert "8 of 8 trials done, best validation accuracy" in capsys.readouterr().out


def test_a_second_start_says_the_same_and_more_trials_go_on(project: Path) -> None:
    """Nothing is trained again, the text is the same to the letter; with more trials it goes on, in the same run."""
    first = searched(project, 4)
    table = (project / "reports/studies/first/table.csv").read_bytes()
    assert searched(project, 4) == first
    assert (project / "reports/studies/first/table.csv").read_bytes() == table
    assert "6 trials: 6 trained to the end" in searched(project, 6)
    parents, children = runs_of(project)
    assert (len(parents), len(children)) == (1, 6)


def test_halving_stops_the_worse_half_early(project: Path) -> None:
    """Those runs end as KILLED with the reason, their trials as PRUNED; the best one is of those that went on."""
    text = searched(project, 8, halving=True, epochs=4)
    _, children = runs_of(project)
    assert Counter(run.status for run in children) == {"FINISHED": 2, "KILLED": 6}
    reasons = [run.tags[KILLED].partition(":")[0] for run in children if run.status == "KILLED"]
    assert Counter(reasons) == {"pruned after epoch 1 of 4": 4, "pruned after epoch 2 of 4": 2}
    assert "8 trials: 2 trained to the end, 6 stopped early by --halving" in text
    assert "not stay finite" not in text
    trials = trials_of(project)
    assert Counter(trial.state.name for trial in trials) == {"COMPLETE": 2, "PRUNED": 6}
    assert Counter(tuple(trial.intermediate_values) for trial in trials) == {(1,): 4, (1, 2): 4}
    assert searched(project, 8, halving=True, epochs=4) == text


def test_a_grid_needs_no_number(project: Path) -> None:
    """All its points, each once; one that does not stay finite is a FAILED run and counts as done."""
    axes = ("data.validation_size=50", "optimizer.learning_rate=0.1,0.5,1e38", "optimizer.momentum=0,0.9")
    text = searched(project, None, *axes, sampler="grid")
    _, children = runs_of(project)
    assert Counter(run.status for run in children) == {"FINISHED": 4, "FAILED": 2}
    assert "6 trials: 4 trained to the end, 2 not finite" in text
    assert "2 of 6 did not stay finite" in text


def test_nothing_finite_is_an_error(project: Path) -> None:
    """A study without a winner is a RuntimeError with the reason, and no patch is written."""
    axes = ("data.validation_size=50", "optimizer.learning_rate=1e37,1e38")
    with pytest.raises(RuntimeError, match=r"no trial was trained to the end; the first: .* sums are not exact"):
        searched(project, None, *axes, sampler="grid")
    assert not (project / "reports/studies/first/best.yaml").exists()


def test_a_recorded_trial_of_a_dead_worker_is_not_trained_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after it had recorded the fourth of eight: five to eight are trained by the next one, four are not."""
    host, boot, _, _ = processes.identity().split()
    told: list[int] = []

    class KilledError(BaseException):
        pass

    def killed(study: Study, number: int, result: object) -> None:
        if len(told) == 3:
            study._held.clear()  # a killed process gives nothing back
            raise KilledError
        told.append(number)
        tell(study, number, result)  # type: ignore[arg-type]

    tell = Study.tell
    with monkeypatch.context() as dying, pytest.raises(KilledError):
        dying.setattr(processes, "identity", lambda: f"{host} {boot} {2**22 + 1} 1")  # more than Linux gives
        dying.setattr(Study, "tell", killed)
        searched(project)
    assert len(runs_of(project)[1]) == 4
    assert "8 trials: 8 trained to the end; 4 had been given back" in searched(project)
    parents, children = runs_of(project)
    assert (len(parents), len(children)) == (1, 8)
    assert len({run.config_key for run in children}) == 8


def test_a_parent_that_was_begun_and_not_named_is_taken(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the making of the study's run and its entry in the study: the next worker finds that run."""

    def no_name(study: Study, run_id: str) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as dying, pytest.raises(ZeroDivisionError):
        dying.setattr(Study, "run_id", property(lambda study: None, no_name))
        searched(project)
    searched(project)
    (parent,), _ = runs_of(project)
    assert parent.status == "FINISHED"


def test_a_study_whose_run_is_elsewhere_is_refused(project: Path) -> None:
    """In another MLflow store its runs would not be found: one line, and nothing is trained."""
    searched(project, 2)
    (parent,), _ = runs_of(project)
    RunStore.open(project).mlflow.delete_run(parent.run_id)
    with pytest.raises(
        ValueError, match="is not in this MLflow store: set MLFLOW_TRACKING_URI as its first worker did"
    ):
        searched(project, 4)


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc", "-x", "a b", "a\nb", "é", ".hidden", "x" * 101])
def test_a_hostile_name_is_refused(name: str) -> None:
    """It becomes a folder: a plain word alone is taken."""
    with pytest.raises(ValueError, match="expected up to 100 letters"):
        Search(name, "tpe", 1, 0, halving=False, storage=None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--trials", "4", "optimizer.momentum=0.9"], "no key has several values"),
        (["--trials", "4", "data.validation_size=0"], "several values|never by the test set"),
        (["optimizer.momentum=0,0.9"], "--trials is missing"),
        (["--trials", "0", "optimizer.momentum=0,0.9"], "--trials 0: a number from 1 to 10,000"),
        (["--trials", "10001", "optimizer.momentum=0,0.9"], "--trials 10001: a number from 1 to 10,000"),
        (["--sampler", "grid", "--trials", "3", "optimizer.momentum=0,0.9"], "--trials 3: a number from 1 to 2 "),
        (["--sampler", "grid", "optimizer.momentum=uniform(0,0.9)"], "momentum is a range, which has no grid"),
        (["--trials", "4", "optimizer.momentum=uniform(0,1.5)"], "optimizer.momentum: .*less than 1"),
        (["--trials", "4", "train.seed=0,1"], "train.seed cannot vary"),
        (["--trials", "4", "model.implementation=exact,scratch"], "model.implementation exact, found scratch"),
        (["--random", "4", "--trials", "4", "optimizer.momentum=0,0.9"], "takes neither --random nor --seeds"),
        (["--seeds", "4", "--trials", "4", "optimizer.momentum=0,0.9"], "takes neither --random nor --seeds"),
        (
            ["--storage", f"mysql://a:{PASSWORD}@b/c", "--trials", "4", "optimizer.momentum=0,0.9"],
            "no URL of PostgreSQL",
        ),
    ],
)
def test_a_mistake_is_one_line(
    project: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is trained, and without a folder."""
    fixed = ["data.name=small", "data.validation_size=50"] if "data.validation_size=0" not in arguments else []
    with pytest.raises(SystemExit) as caught:
        main(["sweep", "--study", "first", *arguments, *fixed])
    said = str(caught.value.code)
    assert said.startswith("error: ")
    assert "\n" not in said
    assert PASSWORD not in said + capsys.readouterr().out
    assert re.search(message, said)
    assert not (project / "reports/studies/first/journal.log").exists()


@pytest.mark.parametrize("option", [["--sampler", "tpe"], ["--trials", "4"], ["--halving"], ["--storage", "x"]])
def test_options_of_a_study_need_its_name(project: Path, option: list[str]) -> None:
    """A plain sweep would ignore them."""
    with pytest.raises(SystemExit, match=r"error: .*belong to a study; add --study NAME"):
        main(["sweep", *option, "data.name=small", "data.validation_size=50", "optimizer.momentum=0,0.9"])


def test_another_command_is_refused(project: Path) -> None:
    """The same name with other axes, epochs, sampler or halving is one line that says which; nothing is trained."""
    searched(project, 2)
    others: list[tuple[str, Callable[[], str]]] = [
        ("axes, params", lambda: searched(project, 4, *AXES, "optimizer.weight_decay=0,0.1")),
        ("params", lambda: searched(project, 4, epochs=3)),
        ("sampler", lambda: searched(project, 4, sampler="random")),
        ("halving", lambda: searched(project, 4, halving=True)),
    ]
    for what, other in others:
        with pytest.raises(ValueError, match=f"the study first was begun with other {what}: repeat the command"):
            other()
    assert len(runs_of(project)[1]) == 2


def test_ends_of_ranges_stand_for_what_lies_between() -> None:
    """Two a range, every value of a list; too many combinations are refused in words that fit a study."""
    parsed = [parse_axis(text) for text in AXES]
    found = combinations(small_params(), parsed, "tpe")
    assert {one.changes["optimizer.learning_rate"] for one in found} == {0.01, 1.0}
    assert len(found) == 6
    many = ",".join(f"0.{n}" for n in range(100, 210))
    with pytest.raises(ValueError, match=r"make 12,100 configurations, 10,000 are the most; list fewer, or give a"):
        combinations(
            small_params(),
            [parse_axis(f"optimizer.{key}={many}") for key in ("learning_rate", "weight_decay")],
            "random",
        )


WORKER = """
import sys
from pathlib import Path
from test_search import searched

if __name__ == "__main__":
    print(searched(Path(sys.argv[1]), 16, storage=sys.argv[2] or None), flush=True)
"""


@contextmanager
def workers(root: Path, count: int, storage: str = "") -> Iterator[list[subprocess.Popen[str]]]:
    """Start so many workers on one study of 16 trials."""
    script = root.parent / "worker.py"
    script.write_text(WORKER)
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, str(script), str(root), storage]
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(count)
    ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()
            assert process.stdout
            process.stdout.close()


def wait_for(found: Callable[[], list[subprocess.Popen[str]]]) -> subprocess.Popen[str]:
    """Look every 50 ms; return the first that is found."""
    deadline = time.monotonic() + 120
    while not (there := found()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return there[0]


def held_by(root: Path, process: subprocess.Popen[str]) -> Counter[str]:
    """Return how many trials a worker has, by their state."""
    if not (root / "reports/studies/first/journal.log").exists():
        return Counter()
    mine = (trial for trial in trials_of(root) if f" {process.pid} " in trial.user_attrs.get("worker", ""))
    return Counter(trial.state.name for trial in mine)


def assert_done_once(root: Path, texts: list[str], trials: list[optuna.trial.FrozenTrial]) -> None:
    """Fail unless 16 trials are done, each by one run that has ended, and all workers say the same."""
    assert len({text[text.index("  rank") :] for text in texts}) == 1
    states = Counter(trial.state.name for trial in trials)
    assert states["COMPLETE"] == 16
    assert set(states) <= {"COMPLETE", "FAIL"}
    (parent,), children = runs_of(root)
    assert parent.status == "FINISHED"
    finished = [run for run in children if run.status == "FINISHED"]
    assert {run.status for run in children} <= {"FINISHED", "KILLED"}
    assert sorted(int(run.tags["study.trial"]) for run in finished) == [
        trial.number for trial in trials if trial.state.name == "COMPLETE"
    ]
    assert len({run.config_key for run in finished}) == len(finished) == 16
    assert all(KILLED in run.tags for run in children if run.status == "KILLED")


@pytest.mark.timeout(500)
@pytest.mark.slow  # processes that import torch and MLflow
def test_three_workers_of_which_one_is_killed(project: Path) -> None:
    """SIGKILL in the middle of one's batch: the others do its trials, and all are done and recorded once."""

    def in_the_middle() -> list[subprocess.Popen[str]]:
        held = {process: held_by(project, process) for process in started}
        return [process for process, own in held.items() if own["COMPLETE"] >= 1 and own["RUNNING"] >= 2]

    with workers(project, 3) as started:
        victim = wait_for(in_the_middle)
        victim.kill()
        others = [process for process in started if process is not victim]
        texts = [process.communicate(timeout=300)[0] for process in others]
        assert [process.returncode for process in others] == [0, 0], texts
    trials = trials_of(project)
    assert_done_once(project, texts, trials)
    assert sum(trial.state.name == "FAIL" for trial in trials) >= 1
    assert "had been given back by workers that ended" in texts[0]


@pytest.mark.timeout(500)
@pytest.mark.slow  # processes that import torch and MLflow
def test_two_starts_after_a_kill(project: Path) -> None:
    """A worker alone is killed; two that start at once go on where it was, in the study's one run."""
    with workers(project, 1) as (victim,):
        wait_for(lambda: [victim] if held_by(project, victim)["COMPLETE"] >= 2 else [])
        victim.kill()
        victim.wait()
        kept = {trial.number for trial in trials_of(project) if trial.state.name == "COMPLETE"}
    with workers(project, 2) as started:
        texts = [process.communicate(timeout=300)[0] for process in started]
        assert [process.returncode for process in started] == [0, 0], texts
    trials = trials_of(project)
    assert_done_once(project, texts, trials)
    assert kept <= {trial.number for trial in trials if trial.state.name == "COMPLETE"}


@pytest.mark.slow  # a server of PostgreSQL
@pytest.mark.skipif(bool(why_no_postgresql()), reason=why_no_postgresql() or "-")
def test_a_password_reaches_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A study in PostgreSQL, the password in the URL: in no file, no run, no line; nor where the database goes away."""
    monkeypatch.setenv("STUDY_STORAGE_PASSWORD", "")  # restored afterwards
    with postgresql() as server:
        url = server.add_database("studies", "bob", PASSWORD)
        text = searched(project, 4, storage=url)
        assert "4 trials: 4 trained to the end" in text
        assert not (project / "reports/studies/first/journal.log").exists()
    with pytest.raises(RuntimeError, match=r"study in postgresql://.* cannot be read or written") as caught:
        searched(project, 8, storage=url)
    said = text + str(caught.value) + "".join(capfd.readouterr())
    assert PASSWORD not in said
    for path in project.rglob("*"):
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes(), path
