"""Every command of the console script, started as a person starts it: what it does, and what a mistake looks like.

The quick tests need no training; the others share one small project on the digits, trained by `run` itself.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from filled_project import RATE_01, RATE_05, filled_project
from PIL import Image
from scratch_project import ROOT, Project, make_project

from softmax_regression import cli
from softmax_regression.tracking.run_store import RunStore

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of MLflow's own imports, in this process
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # MLflow leaves connections to the garbage collector
]

CHECKOUT = {"PYTHONPATH": str(ROOT / "src")}  # for folders that hold no copy of the code

# command -> arguments that a person might give by mistake; in a project without data and outputs, but for `filled`
MISTAKES = {
    "run": (),  # params.yaml has an unknown key
    "ui": ("--port", "{taken}"),
    "sync": ("no-such-state",),
    "show": ("no-such-run",),
    "doctor": (),  # outside of any project
    "sweep": ("optimizer.lerning_rate=0.1,0.5",),
    "compare": ("no-such-run", "nor-this-one"),
    "leaderboard": ("--metric", "no/such/metric"),
    "predict": ("no-such-picture.png",),
    "promote": ("no-such-run",),
    "parity": (),  # the data are not there yet
}


def commands() -> list[str]:
    """Return the names of all commands, as the parser has them."""
    choices = [action.choices for action in cli._parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return [name for names in choices for name in names]


def start(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the console script's module in the project's folder, its two streams apart."""
    command = [sys.executable, "-m", "softmax_regression.cli", *arguments]
    return subprocess.run(
        command, cwd=project.root, env=project.variables(), text=True, capture_output=True, timeout=150
    )


def said(project: Project, *arguments: str) -> str:
    """Run a command that succeeds; return what it prints on stdout."""
    done = start(project, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def draw_one(path: Path) -> None:
    """Draw the digit 1, dark on light, as a person would."""
    image = np.full((80, 80), 255, np.uint8)
    image[10:70, 36:46] = 0
    Image.fromarray(image).save(path)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project as it is cloned: no data, no outputs, no store."""
    return make_project(tmp_path_factory.mktemp("untrained") / "project")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose store holds a few made-up runs."""
    root = filled_project(tmp_path_factory.mktemp("filled"))
    (root / "dvc.yaml").touch()  # what the project's root is known by
    return Project(root, CHECKOUT)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """A project that `run` has trained, with dvc.lock committed, and what `run` said."""
    project = make_project(tmp_path_factory.mktemp("trained") / "project")
    text = said(project, "run")
    project.commit()
    return project, text


def below(project: Project) -> Project:
    """Return the project as seen from a sub-folder of it, which is empty."""
    folder = project.root / "notes" / "deep"
    folder.mkdir(parents=True, exist_ok=True)
    return Project(folder, {"PYTHONPATH": str(project.root / "src"), **project.environment})


@pytest.fixture
def project(trained: tuple[Project, str], tmp_path: Path) -> Project:
    """Copy the trained project, for a test that changes it."""
    shutil.copytree(trained[0].root, tmp_path / "copy", symlinks=True)
    return Project(tmp_path / "copy")


def test_every_command_has_a_test_here() -> None:
    """A new command comes with a test of what it does, named after it, and with a mistake."""
    names = set(commands())
    assert names == set(MISTAKES)
    assert {name for name in names if f"test_{name}" not in globals()} == set()


@pytest.mark.parametrize("name", commands())
def test_a_mistake_gives_one_line(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """A person's mistake ends with exit code 1 and one line that starts with "error: ", never with a traceback."""
    project = request.getfixturevalue("filled" if name in {"compare", "leaderboard"} else "untrained")
    if name == "run":
        project = make_project(tmp_path / "project")
        project.set("learning_rate:", "lerning_rate:")
    if name == "doctor":
        project = Project(tmp_path, CHECKOUT)
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = start(project, name, *(argument.format(taken=port) for argument in MISTAKES[name]))
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")


def test_a_command_that_does_not_exist_is_named(untrained: Project) -> None:
    """The parser's own errors: exit code 2 and the word that was wrong."""
    done = start(untrained, "trian")
    assert done.returncode == 2
    assert "trian" in done.stderr


def test_compare(filled: Project, tmp_path: Path) -> None:
    """`compare` names both runs, prints their accuracies, 0.80 and 0.96, and writes a page that stands alone."""
    page = tmp_path / "page.html"
    text = said(filled, "compare", RATE_01, RATE_05, "--page", str(page))
    for pattern in ("lr0[.]1", "lr0[.]5", "80[.]0|0[.]80", "96[.]0|0[.]96"):
        assert re.search(pattern, text)
    assert "<style" in page.read_text()
    assert 'src="http' not in page.read_text()


def test_compare_writes_into_the_projects_reports_or_where_it_is_told(filled: Project) -> None:
    """From a sub-folder, too: there a path that is typed counts from the sub-folder. Another comparison has its own."""
    inside = below(filled)
    for refs in ((RATE_05, RATE_01), (RATE_01, RATE_05), (RATE_01, RATE_05)):
        text = said(inside, "compare", *refs)
    page = Path(text.rpartition("the same with curves and images: ")[2].strip())
    assert page.parent == filled.root / "reports" / "compare"
    assert len([path for path in page.parent.iterdir() if "lr0.1" in path.name]) == 2
    said(inside, "compare", RATE_01, RATE_05, "--page", "page.html")
    pages = [page, inside.root / "page.html"]
    assert pages[0].read_bytes() == pages[1].read_bytes()
    assert list(inside.root.iterdir()) == [pages[1]]


def test_leaderboard(filled: Project) -> None:
    """`leaderboard` puts the configuration with the highest mean over its seeds, 0.96, before that with 0.90."""
    text = said(filled, "leaderboard")
    assert 0 <= text.index("0.9600") < text.index("0.9000")
    assert "0.9000" not in said(filled, "leaderboard", "--top", "1")


@pytest.mark.slow
def test_run(trained: tuple[Project, str]) -> None:
    """`run` trains, evaluates and predicts, and ends with the figure of metrics.json; again, it trains nothing."""
    project, text = trained
    accuracy = json.loads((project.root / "metrics.json").read_text())["test_accuracy"]
    assert "digits" in text
    assert f"{accuracy:.4f}" in text
    assert (project.root / "artifacts/predict/first.png").is_file()
    assert f"{accuracy:.4f}" in said(project, "run")
    assert len(project.runs()) == 1


@pytest.mark.slow
@pytest.mark.timeout(400)  # 14 programs
def test_a_sub_folder_is_as_good_as_the_root(project: Project) -> None:
    """A command says the same there, does the same, and leaves nothing there."""
    inside = below(project)
    commands = "run", "sync", "sync HEAD", "show", "show --diff", "doctor", "leaderboard", "parity --epochs 1"
    for command in commands:
        assert said(inside, *command.split()) == said(project, *command.split())
    assert list(inside.root.iterdir()) == []


@pytest.mark.slow
def test_sync(project: Project) -> None:
    """`sync` rebuilds the run of a wiped store from the outputs; a second time there is nothing to do."""
    for path in [*project.root.glob("mlflow.db*"), *project.root.glob("mlruns/*")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    lines = said(project, "sync").splitlines()
    (run,) = project.runs()
    assert run.live
    assert any(run.run_id[:8] in line for line in lines)
    assert said(project, "sync").splitlines() != lines
    assert len(project.runs()) == 1


@pytest.mark.slow
def test_show(trained: tuple[Project, str]) -> None:
    """`show` says which run the outputs have and which commit brings them back; --diff is empty where code is clean."""
    project, _ = trained
    (run,) = project.runs()
    text = said(project, "show")
    assert run.run_id in text
    assert run.key in text
    assert said(project, "show", run.run_id) == text
    assert said(project, "show", "--diff") == ""


@pytest.mark.slow
def test_doctor(project: Project) -> None:
    """`doctor` ends with 0 in a project that is well, and with 1, naming the folder, where the data were changed."""
    said(project, "doctor")
    (data,) = (path for path in (project.root / "data").iterdir() if path.is_dir())
    (data / "test-labels").write_bytes(b"damaged")
    done = start(project, "doctor")
    assert done.returncode == 1
    assert f"data/{data.name}" in done.stdout


@pytest.mark.slow
def test_predict(project: Project) -> None:
    """`predict` answers for each picture with a class and its share, and draws what the model saw.

    From a sub-folder, too: there paths that are typed count from the sub-folder, and the default is the project's.
    """
    inside = below(project)
    draw_one(inside.root / "one.png")
    for options, folder in (((), project.root / "reports/predictions"), (("--output", "seen"), inside.root / "seen")):
        text = said(inside, "predict", "one.png", *options)
        assert re.match(r"one\.png \(\d+ x \d+, shrunk to 8 x 8\): .*\d\d?\.\d%", text)
        assert (folder / "one.png").is_file()
    assert {path.name for path in inside.root.iterdir()} == {"one.png", "seen"}


@pytest.mark.slow
def test_promote(project: Project) -> None:
    """`promote` makes the run the champion, which predict then takes by that word; --rollback has nothing to give back.

    A refusal ends with 1, as for CI.
    """
    assert "is the champion now: models:/softmax-regression@champion, version 1" in said(project, "promote", "HEAD")
    draw_one(project.root / "one.png")
    assert re.match(
        r"one\.png \(\d+ x \d+, shrunk to 8 x 8\): .*\d\d?\.\d%",
        said(project, "predict", "one.png", "--run", "champion"),
    )
    done = start(project, "promote", "--rollback")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "replaced none" in done.stderr


@pytest.mark.slow
def test_sweep(project: Project) -> None:
    """`sweep` trains a grid, writes a row a configuration and a patch, and prints the command for the best one.

    It is started in a sub-folder.
    """
    values = ("optimizer.learning_rate=0.01,0.5", "data.validation_size=200", "train.epochs=2")
    text = said(below(project), "sweep", *values)
    assert re.search(r"dvc exp run .*optimizer\.learning_rate=0\.\d+", text)
    rows = (project.root / "reports/sweep/table.csv").read_text().splitlines()
    assert len(rows) == 1 + 2
    assert (project.root / "reports/sweep/best.yaml").is_file()
    assert len(project.runs()) == 1 + 1 + 2  # the pipeline's, the sweep's own, and one a configuration


@pytest.mark.slow
def test_parity(trained: tuple[Project, str]) -> None:
    """`parity` shows one row an epoch; in float64 the weights are apart by rounding, or by what the grids explain."""
    project, _ = trained
    text = said(project, "parity", "--epochs", "2")
    rows = [line.split() for line in text.splitlines() if re.match(r"\W*[12]\b", line)]
    assert len(rows) == 2
    for row in rows:
        exact, scratch, explained = [float(cell) for cell in row if re.fullmatch(r"\d(\.\d+)?e-\d+", cell)]
        assert scratch < 1e-10
        assert 0 < exact < explained < 1e-6


def test_a_terminal_obeys_no_difference_of_the_code(filled: Project) -> None:
    """`show --diff` gives git every byte; in a terminal the same bytes are only shown."""
    run = RunStore.open(filled.root).start_run("odd", "c", {})
    run.log_bytes(b"+caf\xe9 \x1b[2K\n", "code.diff")
    assert run.finish(key="odd")
    command = [sys.executable, "-m", "softmax_regression.cli", "show", "odd", "--diff"]
    for terminal, expected in ((False, b"+caf\xe9 \x1b[2K\n"), (True, rb"+caf\udce9 \x1b[2K" + b"\r\n")):
        reader, writer = pty.openpty() if terminal else os.pipe()
        with open(reader, "rb", buffering=0) as shown:  # noqa: PTH123
            subprocess.run(command, cwd=filled.root, env=filled.variables(), stdout=writer, check=True)
            assert shown.read(1000) == expected
            os.close(writer)


@pytest.mark.slow
def test_ui(trained: tuple[Project, str]) -> None:
    """`ui` prints a link that answers on this machine, and Ctrl-C ends it and its workers with exit code 0.

    It is started in a sub-folder, and leaves nothing there.
    """
    project = below(trained[0])
    port = free_port()
    command = [sys.executable, "-m", "softmax_regression.cli", "ui", "--no-browser", "--port", str(port)]
    process = subprocess.Popen(
        command, cwd=project.root, env=project.variables(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        line = next(line for line in process.stdout if "http" in line)
        assert f"http://runs.localhost:{port}/" in line
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy of the person who tests
        with direct.open(f"http://127.0.0.1:{port}/health", timeout=20) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, errors
    assert list(project.root.iterdir()) == []
    with closing(socket.socket()) as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
