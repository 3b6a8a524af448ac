"""Processes that train together: the bits of one, one run, and an end in one line whoever dies."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from scratch_project import Project, make_project
from servers import free_port

from softmax_regression.files import md5_of_folder
from softmax_regression.params import load_params
from softmax_regression.training.checkpoints import read_state
from softmax_regression.training.processes import ALONE, Processes, StoppedError, together

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # MLflow's own

STAGE = ("pipeline/train.py", "data/prepared", "artifacts/train")
PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project with its data, digits, where nothing has been trained yet.

    Batches of 359 leave a last one of 1 of the 1,437 examples: most processes have no share of it.
    """
    project = make_project(tmp_path_factory.mktemp("together") / "project")
    project.set("batch_size: 256", "batch_size: 359")
    project.set("momentum: 0.0", "momentum: 0.9")
    project.set("learning_rate: 0.1", "learning_rate: 0.001")
    project.call(sys.executable, "pipeline/download.py", "datasets", "data/prepared")
    return project


@pytest.fixture
def project(prepared: Project, tmp_path: Path) -> Project:
    """Return a copy of that project."""
    shutil.copytree(prepared.root, tmp_path / "project")
    return Project(tmp_path / "project")


def train(project: Project, processes: int, fails: bool = False) -> str:
    """Run the train stage."""
    path = project.root / "params.yaml"
    path.write_text(re.sub(r"processes: \d+", f"processes: {processes}", path.read_text()))
    return project.call(sys.executable, *STAGE, fails=fails)


def digest(project: Project) -> str:
    """Return that of all outputs of the training."""
    return md5_of_folder(project.root / "artifacts/train")


class Training:
    """A training of two processes that goes on for seconds, in a process group of its own."""

    def __init__(self, project: Project, *program: str) -> None:
        self.project = project
        project.set("epochs: 3", "epochs: 400")
        project.set("processes: 1", "processes: 2")
        self.log = project.root / "log"
        with self.log.open("w") as log:
            command = [sys.executable, *(program or STAGE)]
            self.first = subprocess.Popen(
                command, cwd=project.root, env=project.variables(), stdout=log, stderr=log, start_new_session=True
            )
        for _ in range(1200):
            if self.log.read_text().count("(") >= 2 or self.first.poll() is not None:
                break
            time.sleep(0.05)
        assert self.first.poll() is None, self.log.read_text()
        self.second = psutil.Process(self.first.pid).children()[0]

    def end(self, within: float = 20) -> int:
        """Wait until all has ended; return the exit code of the first process."""
        code = self.first.wait(within)
        psutil.wait_procs([self.second], within)
        assert not self.second.is_running()
        return code

    def errors(self) -> list[str]:
        """Return what was printed besides the epochs."""
        return [line for line in self.log.read_text().splitlines() if not line.startswith("epoch")]


@pytest.fixture
def training(project: Project) -> Iterator[Training]:
    """Return a training that is under way."""
    started = Training(project)
    yield started
    if started.first.poll() is None:
        os.killpg(started.first.pid, signal.SIGKILL)


def test_two_processes_have_the_bits_of_one(project: Project) -> None:
    """Every byte of the outputs, in one experiment: the second run is a repetition, and says how many there were."""
    said = train(project, 1)
    alone = digest(project)
    assert train(project, 2).count("epoch") == said.count("epoch") == 3
    assert digest(project) == alone
    one, two = project.runs()
    assert (one.live, two.live, two.key) == (True, False, one.key)
    assert [run.tags["train.processes"] for run in (one, two)] == ["1", "2"]


@pytest.mark.slow
def test_so_have_three_and_four(project: Project) -> None:
    """More processes than cores, and than examples in the last batch."""
    found = set()
    for processes in (1, 3, 4):
        train(project, processes)
        found.add(digest(project))
    assert len(found) == 1


def test_a_killed_process_ends_all(training: Training) -> None:
    """One line says which one, the run is FAILED, the checkpoint whole."""
    training.second.send_signal(signal.SIGKILL)
    assert training.end() == 1
    (error,) = training.errors()
    assert error.startswith("error: process 2 of the 2 that train was killed by signal 9; ")
    (run,) = training.project.runs()
    assert run.status == "FAILED"
    checkpoint = next((training.project.root / "checkpoints").glob("*/last.ckpt"))
    assert read_state(checkpoint)["epochs"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all(training: Training, number: int) -> None:
    """SIGTERM to the first process as Ctrl-C to all: KILLED, exit code 130, within seconds."""
    if number == signal.SIGINT:
        os.killpg(training.first.pid, number)
    else:
        training.first.send_signal(number)
    assert training.end() == 130
    assert training.errors() == ["interrupted"]
    (run,) = training.project.runs()
    assert run.status == "KILLED"


def test_the_others_end_with_the_first(training: Training) -> None:
    """Nothing is left of a training whose first process was killed."""
    training.first.kill()
    training.end()
    assert not training.errors()


def test_a_silent_process_ends_all(project: Project) -> None:
    """One that is stopped, or on a machine that has gone, is waited for until the deadline."""
    program = project.root / "impatient.py"
    program.write_text(
        "import runpy, sys; from softmax_regression.training import processes; processes.DEADLINE = 3.0\n"
        f"sys.argv[1:] = {STAGE[1:]!r}; runpy.run_path({STAGE[0]!r}, run_name='__main__')\n"
    )
    training = Training(project, str(program))
    training.second.suspend()
    assert training.end() == 1
    (error,) = training.errors()
    assert error.startswith("error: another process of this training has ended, or was silent for 3 s; ")


@pytest.mark.slow
def test_a_resumed_training_ends_at_the_same_bits(project: Project) -> None:
    """Begun by two processes, one of which was killed, ended by three, in the same run; and in one go by one."""
    training = Training(project)
    training.second.send_signal(signal.SIGKILL)
    training.end()
    assert "resuming the run" in train(project, 3)
    resumed = digest(project)
    (run,) = project.runs()
    assert (run.status, run.tags["train.processes"]) == ("FINISHED", "3")
    train(project, 1)
    assert digest(project) == resumed


def test_other_implementations_are_refused(project: Project) -> None:
    """Their sums depend on the order: their bits would be others."""
    project.set("implementation: exact", "implementation: scratch")
    said = train(project, 2, fails=True)
    assert said.startswith(
        "error: 2 processes train alike only where no order of a sum matters; set train.processes: 1"
    )
    assert said.count("\n") == 1
    assert not (project.root / "artifacts/train").exists()


@pytest.mark.slow
def test_two_machines_train_one_model(project: Project, tmp_path: Path) -> None:
    """Two agents of torchrun, each with a clone and its own copy of the data: the bits of one process, one run."""
    train(project, 1)
    alone = digest(project)
    shutil.rmtree(project.root / "artifacts")
    other = Project(tmp_path / "other")
    shutil.copytree(project.root, other.root)
    assert [code for code, _ in torchrun(project, other)] == [0, 0]
    assert digest(project) == alone
    assert len(project.runs()) == 2
    assert not (other.root / "artifacts").exists()
    other.set("learning_rate: 0.001", "learning_rate: 0.002")
    (first, said), (second, silent) = torchrun(project, other)
    assert (first, second) == (1, 1)
    assert "error: the 2 processes do not train the same: their params, data or code differ" in said
    assert "error: " not in silent


def torchrun(*machines: Project) -> list[tuple[int, str]]:
    """Start an agent of torchrun in each of these projects; return the exit codes and what was printed."""
    port = free_port()
    started = []
    for number, project in enumerate(machines):
        agent = [sys.executable, "-m", "torch.distributed.run", f"--nnodes={len(machines)}", f"--node-rank={number}"]
        agent += ["--master-addr=127.0.0.1", f"--master-port={port}", "--nproc-per-node=1", *STAGE]
        environment = project.variables() | {"GLOO_SOCKET_IFNAME": "lo"}
        started.append(
            subprocess.Popen(
                agent, cwd=project.root, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        )
    said = [process.communicate(timeout=150)[0] for process in started]
    return [(process.returncode, text) for process, text in zip(started, said, strict=True)]


def test_alone_nothing_is_exchanged() -> None:
    """One process meets nobody, and its sums are all there are."""
    with together(PARAMS.train, "task") as processes:
        processes.join(None)  # type: ignore[arg-type]
        assert (processes.rank, processes.count, processes.share) == (0, 1, (0, 1))
        assert processes.largest(-3) == -3
        assert processes.from_first(b"state") == b"state"


def test_an_error_that_all_have_is_told_by_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others end without a word; an error of their own is raised."""
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit), together(PARAMS.train, "task") as processes:
            assert (processes.rank, processes.count) == (1, 2)
            raise StoppedError("the loss is not finite")
        with pytest.raises(RuntimeError, match="no GPU"), together(PARAMS.train, "task"):
            raise RuntimeError("no GPU")
    finally:
        signal.signal(signal.SIGINT, interrupt)
    assert isinstance(ALONE, Processes)
