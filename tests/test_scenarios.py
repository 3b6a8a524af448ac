"""One experiment is one MLflow run, whatever DVC does: told end to end, in scratch projects with real stores."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from scratch_project import Project, make_project

from softmax_regression.commands.show import show
from softmax_regression.lineage.sync import sync
from softmax_regression.tracking.record import RunRecord

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of MLflow's own imports, in this process
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # MLflow leaves connections to the garbage collector
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Run the pipeline once and commit its dvc.lock; the tests copy the folder."""
    project = make_project(tmp_path_factory.mktemp("trained") / "project")
    project.dvc("repro")
    project.commit()
    return project


@pytest.fixture
def project(trained: Project, tmp_path: Path) -> Project:
    """Copy the trained project elsewhere, as people move folders."""
    shutil.copytree(trained.root, tmp_path / "moved", symlinks=True)
    return Project(tmp_path / "moved")


@contextmanager
def server(folder: Path, port: int = 0) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run a real MLflow server with proxied artifacts on the loopback interface."""
    if not port:
        with closing(socket.socket()) as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", f"{folder}/files"]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            for _ in range(600):
                with suppress(urllib.error.URLError, OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
                    break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}", process
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Kill a server and its workers."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def start_training(project: Project, output: str = "artifacts/train", epoch: int = 3) -> subprocess.Popen[str]:
    """Start a training and return when it has printed some epochs."""
    command = [sys.executable, "pipeline/train.py", "data/prepared", output]
    process = subprocess.Popen(
        command, cwd=project.root, env=project.variables(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if (match := re.match(r"epoch +(\d+)/", line)) and int(match[1]) >= epoch:
            break
    return process


def described(record: RunRecord) -> tuple[object, ...]:
    """Return what must be the same in a run and in the one that is rebuilt from its outputs."""
    outputs = {name: value for name, value in record.tags.items() if name.startswith(("outputs", "reference", "data"))}
    return record.name, record.key, record.params, record.metrics, outputs


def synced(project: Project, *names: str) -> str:
    """Return what `sync` prints; in this process, as starting Python takes seconds and test_commands.py does it."""
    return "\n".join(sync(project.root, names))


def everything(project: Project, record: RunRecord) -> tuple[dict[str, list[tuple[int, float]]], set[str]]:
    """Return a run's curves and the paths of all its artifacts."""
    store = project.store()
    waiting, files = [""], set()
    while waiting:
        found = store.artifacts(record.run_id, waiting.pop())
        waiting += [path for path in found if not Path(path).suffix]
        files |= {re.sub(r"\+\d{13}\+[\w-]+", "", path) for path in found}  # MLflow's images carry time and chance
    return store.history(record.run_id, sorted(record.metrics)), files


def test_late_stages_continue_the_run_and_reverting_makes_none(project: Project) -> None:
    """A new grid replaces the old one; a new seed is a new run; its revert restores from the cache; -f repeats."""
    (before,) = project.runs()
    project.set("count: 6", "count: 9")
    project.dvc("repro")
    (first,) = project.runs()
    assert first.run_id == before.run_id
    assert first.tags["outputs.predict"] != before.tags["outputs.predict"]
    grid = project.store().download(first.run_id, "predictions/first.png", project.root / "got")
    assert grid.read_bytes() == (project.root / "artifacts/predict/first.png").read_bytes()
    project.set("seed: 0", "seed: 3")
    project.dvc("repro")
    project.set("seed: 3", "seed: 0")
    assert "is cached" in project.dvc("repro")
    assert [(run.attempt, run.live) for run in project.runs()] == [(1, True), (1, True)]
    assert first.run_id in show(project.root)
    assert first.run_id in show(project.root, "HEAD")
    assert "nothing to do" in synced(project)
    project.dvc("repro", "--force", "--single-item", "train")
    assert [(run.name[-2:], run.attempt, run.live) for run in project.runs()] == [
        ("s0", 1, True),
        ("s3", 1, True),
        ("#2", 2, False),
    ]
    assert project.runs()[2].tags["experiment.reproduces"] == first.run_id
    assert first.run_id in show(project.root)
    assert "1 time, last on 20" in show(project.root)


def test_queued_and_temporary_experiments_land_in_the_projects_store(tmp_path: Path) -> None:
    """Two queue workers at once on a store that does not exist: both runs are there, tagged, none in a copy."""
    project = make_project(tmp_path / "project")
    project.dvc("repro", "download")
    project.commit()
    for seed in (1, 2):
        project.dvc("exp", "run", "--queue", "-S", f"train.seed={seed}", "-n", f"seed-{seed}")
    with (tmp_path / "log").open("w") as log:  # not a pipe: the workers keep it open
        command = [sys.executable, "-m", "dvc", "queue", "start", "-j", "2"]
        subprocess.run(command, cwd=project.root, env=project.variables(), stdout=log, stderr=log, check=True)
    project.dvc("exp", "run", "--temp", "-S", "train.seed=3", "-n", "seed-3")
    for _ in range(120):
        if project.dvc("queue", "status").count("Success") == 2:
            break
        time.sleep(1)
    runs = {run.dvc_experiment: run for run in project.runs()}
    assert set(runs) == {"seed-1", "seed-2", "seed-3"}
    assert all(run.live and len(run.metrics) == 12 for run in runs.values())
    assert "nothing to do" in project.own("sync")
    project.dvc("exp", "run", "-S", "train.seed=1", "-S", "predict.count=4", "-n", "grid-4")
    again = {run.dvc_experiment: run for run in project.runs()}
    assert again["seed-1"].run_id == runs["seed-1"].run_id
    assert len(again) == 3
    assert again["seed-1"].tags["dvc.exp.also"] == "grid-4"
    assert runs["seed-1"].run_id in project.own("show", "grid-4")


def test_sync_rebuilds_wiped_stores_and_servers(project: Project, tmp_path: Path) -> None:
    """Params, curves, metrics, artifacts come back, marked; twice adds nothing; a DVC experiment's run, too."""
    project.dvc("exp", "run", "--temp", "-S", "train.seed=5", "-n", "five")
    before = project.runs()
    contents = [everything(project, run) for run in before]
    # Elsewhere, as MLflow in this process keeps the old database open.
    shutil.copytree(project.root, tmp_path / "wiped", ignore=shutil.ignore_patterns("mlflow.db", "mlruns"))
    project = Project(tmp_path / "wiped")
    assert "fix it: `softmax-regression sync`" in project.own("doctor", fails=True)
    for _ in range(2):
        project.own("sync")
        after = project.runs()
        assert list(map(described, after)) == list(map(described, before))
        assert [everything(project, run) for run in after] == contents
        assert all(run.tags["experiment.restored"] == "true" and run.live for run in after)
    assert "all is well" in project.own("doctor")
    with server(tmp_path / "server") as (uri, _), pytest.MonkeyPatch.context() as patch:
        project.environment["MLFLOW_TRACKING_URI"] = uri
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        project.own("sync")
        assert "nothing to do" in project.own("sync")
        assert list(map(described, project.runs())) == list(map(described, before))
        assert [everything(project, run) for run in project.runs()] == contents


def test_a_teammate_goes_on_with_pulled_outputs(project: Project, tmp_path: Path) -> None:
    """In a clone with pulled outputs and no store, a late stage restores its run and joins it."""
    project.dvc("remote", "add", "--default", "shared", str(tmp_path / "remote"))
    project.commit()
    project.dvc("push")
    project.git("clone", "--quiet", ".", str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    clone.dvc("pull")
    clone.set("count: 6", "count: 4")
    clone.dvc("repro", "predict")
    clone.own("sync", "workspace")
    (run,) = clone.runs()
    assert run.tags["experiment.restored"] == "true"
    assert run.key == project.runs()[0].key
    assert {name for name in run.tags if name.startswith("outputs.")} == {
        "outputs.train",
        "outputs.evaluate",
        "outputs.figures",
        "outputs.metrics.json",
        "outputs.predict",
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_killed_training_goes_on_into_the_same_run(trained: Project, tmp_path: Path, number: int) -> None:
    """KILLED at once or at the next start; the resumed one ends with the weights of an undisturbed one."""
    shutil.copytree(trained.root, tmp_path / "project")
    project = Project(tmp_path / "project")
    project.set("epochs: 3", "epochs: 150")
    process = start_training(project)
    process.send_signal(number)
    process.communicate()
    killed = project.runs()[-1]
    assert killed.status == ("RUNNING" if number == signal.SIGKILL else "KILLED")
    assert "resuming the run" in project.call(sys.executable, "pipeline/train.py", "data/prepared", "artifacts/train")
    resumed = project.runs()[-1]
    assert (resumed.run_id, resumed.live) == (killed.run_id, True)
    assert len(project.store().history(resumed.run_id, ["curves/train_loss"])["curves/train_loss"]) == 150
    if number == signal.SIGKILL:
        project.call(sys.executable, "pipeline/train.py", "data/prepared", "fresh")
        assert (project.root / "fresh/model.safetensors").read_bytes() == project.weights()
        again = project.runs()[-1]
        assert (again.attempt, again.live, again.key) == (2, False, resumed.key)
        assert again.tags["experiment.reproduces"] == resumed.run_id


def test_twins_and_damaged_checkpoints_do_no_harm(project: Project) -> None:
    """A second process on the same configuration keeps no checkpoint; a damaged one is reported in one line."""
    project.set("epochs: 3", "epochs: 150")
    first = start_training(project)
    first.send_signal(signal.SIGSTOP)  # or it might end before the second has begun
    text = project.call(sys.executable, "pipeline/train.py", "data/prepared", "twin")
    first.send_signal(signal.SIGCONT)
    assert "another process trains the same" in text
    first.communicate()
    assert (project.root / "twin/model.safetensors").read_bytes() == project.weights()
    third = start_training(project)
    third.kill()
    third.communicate()
    (checkpoint,) = project.root.glob("checkpoints/*/last.ckpt")
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    text = project.call(sys.executable, "pipeline/train.py", "data/prepared", "again")
    assert text.count("the checkpoint cannot be read") == 1
    assert (project.root / "again/model.safetensors").read_bytes() == project.weights()


def test_a_server_that_is_not_there_or_goes_away(project: Project, tmp_path: Path) -> None:
    """No server: an error before any work. It dies half-way: outputs complete, one line each, sync completes."""
    project.environment["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:9"
    started = time.monotonic()
    train = [sys.executable, "pipeline/train.py", "data/prepared", "artifacts/train"]
    text = project.call(*train, fails=True)
    assert text.startswith("error: ")
    assert text.count("\n") == 1
    assert time.monotonic() - started < 30
    project.set("epochs: 3", "epochs: 150")
    with server(tmp_path / "server") as (uri, process):
        project.environment["MLFLOW_TRACKING_URI"] = uri
        training = start_training(project)
        stop(process)
        rest, _ = training.communicate(timeout=60)
    assert training.returncode == 0
    assert rest.count("softmax-regression sync") == 1


def test_a_server_that_dies_while_dvc_trains(project: Project, tmp_path: Path) -> None:
    """`dvc repro` ends well all the same, within 30 s of the loss, and sync completes the same run."""
    project.set("epochs: 3", "epochs: 150")
    with server(tmp_path / "server") as (uri, process):
        project.environment["MLFLOW_TRACKING_URI"] = uri
        repro = subprocess.Popen(
            [sys.executable, "-m", "dvc", "repro"],
            cwd=project.root,
            env=project.variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert repro.stdout is not None
        for line in repro.stdout:
            if line.startswith(("epoch  3/", "epoch   3/")):
                break
        stop(process)
        rest, _ = repro.communicate(timeout=120)
    assert repro.returncode == 0, rest
    assert rest.count("softmax-regression sync") == 3
    with server(tmp_path / "server", int(uri.rpartition(":")[2])), pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        (before,) = project.runs()
        assert before.status == "RUNNING"
        project.own("sync", "workspace")
        assert "nothing to do" in project.own("sync", "workspace")
        (run,) = project.runs()
        assert (run.run_id, run.live, run.tags["experiment.restored"]) == (before.run_id, True, "completed")
        assert len(project.store().history(run.run_id, ["curves/train_loss"])["curves/train_loss"]) == 150
        assert {"evaluation", "predictions"} <= set(project.store().artifacts(run.run_id))


def test_the_way_back_gives_the_same_weights(project: Project) -> None:
    """The commands that `show` prints rebuild a run of edited code and params from a clean checkout."""
    code = project.root / "src/softmax_regression/training/solving.py"
    code.write_text(code.read_text() + "\n# tried out\n")
    project.set("learning_rate: 0.1", "learning_rate: 0.25")
    project.dvc("repro", "train")
    weights, run = project.weights(), project.runs()[-1]
    text = project.own("show", run.run_id)
    commands = [line.strip() for line in text.partition("To get this state back:\n")[2].splitlines()]
    assert commands[-1] == "dvc exp run -S optimizer.learning_rate=0.25"
    diff = project.own("show", run.run_id, "--diff")
    project.git("checkout", "--quiet", "--force", "HEAD")
    assert project.git("status", "--porcelain") == ""
    (project.root / "code.diff").write_text(diff)
    assert commands[0].endswith("--diff > code.diff")
    assert commands[2] == "git apply code.diff"
    project.git("checkout", "--quiet", run.tags["git.commit"])
    project.git("apply", "code.diff")
    shutil.rmtree(project.root / ".dvc/cache/runs")  # so that it must train again
    project.dvc(*commands[-1].split()[1:])
    assert project.weights() == weights
    assert project.runs()[-1].key == run.key


def test_no_credential_is_recorded_or_printed(project: Project, tmp_path: Path) -> None:
    """Passwords in the tracking URI, the environment and a data source reach no file of the server, no line."""
    sources = "- ../shared/mnist", "- https://reader:open-sesame@example.org/mnist/"
    project.set(*sources)
    refused = project.call(sys.executable, "pipeline/download.py", "datasets", "data/prepared", fails=True)
    assert "write a line into ~/.netrc" in refused
    assert "open-sesame" not in refused
    project.set(*reversed(sources))
    secrets = {"AWS_SECRET_ACCESS_KEY": "abc/DEF+123456", "MLFLOW_TRACKING_PASSWORD": "hunter2-hunter2"}
    note = project.root / "src/softmax_regression/note.py"
    train = [sys.executable, "pipeline/train.py", "data/prepared", "artifacts/train"]
    with server(tmp_path / "server") as (uri, _):
        project.environment |= {"MLFLOW_TRACKING_URI": uri.replace("//", "//me:swordfish1@")}
        text = project.call(*train)
        note.write_text("".join(f'KEY = "{secret}"\n' for secret in secrets.values()))  # into code.diff
        project.environment |= {"MLFLOW_TRACKING_URI": uri, **secrets}
        text += project.call(*train) + project.own("sync", "workspace") + project.own("show")
        text += project.own("show", "digits_lr0.1_e3_s0#2", "--diff")
    assert text.count('KEY = "***"') == 2
    stored = b"".join(path.read_bytes() for path in (tmp_path / "server").rglob("*") if path.is_file())
    for secret in ("swordfish1", *secrets.values()):
        assert secret not in text
        assert secret.encode() not in stored


def test_four_at_once_on_a_store_that_is_not_there(trained: Project, tmp_path: Path) -> None:
    """Four trainings that start together create one store and each its own attempt: one is live, three repeat it."""
    project = make_project(tmp_path / "project")
    shutil.copytree(trained.root / "data", project.root / "data")
    with ThreadPoolExecutor(4) as pool:
        texts = pool.map(
            lambda n: project.call(sys.executable, "pipeline/train.py", "data/prepared", f"out{n}"), range(4)
        )
        assert all("epoch 3/3" in text for text in texts)
    runs = project.runs()
    assert sorted(run.attempt for run in runs) == [1, 2, 3, 4]
    assert {run.status for run in runs} == {"FINISHED"}
    (live,) = [run for run in runs if run.live]
    assert [run.tags["experiment.reproduces"] for run in runs if run is not live] == [live.run_id] * 3
    assert live.tags["experiment.reproduced"].startswith("3 times")


def test_without_a_source_the_run_falls_back_to_digits(tmp_path: Path) -> None:
    """In one line; params.yaml and dvc.lock stay; it works for a person whom git does not know; twice is quick."""
    project = make_project(tmp_path / "project")
    project.set("name: digits", "name: fashion_mnist")
    text = (project.root / "params.yaml").read_text()
    text = re.sub(r"- (\.\./shared|https?:/)/.*", "- nowhere", text)
    (project.root / "params.yaml").write_text(text)
    project.commit()
    project.git("config", "--unset", "user.name")
    project.git("config", "--unset", "user.email")
    (tmp_path / "home").mkdir()
    project.environment["HOME"] = str(tmp_path / "home")
    for trains in (True, False):
        printed = project.own("run")
        assert printed.count("falling back to the embedded data set digits") == 1
        assert ("Running stage 'train'" in printed) == trains
        assert re.search(r"data set: +digits\n", printed)
        assert project.git("status", "--porcelain") == ""
        (run,) = project.runs()
        assert f"{run.name}\n" in printed
        assert run.params["data.name"] == "digits"
        assert (project.root / "reports/offline-digits/artifacts/predict/first.png").is_file()


def test_a_check_that_fails_is_a_finding_or_a_gate(project: Project) -> None:
    """DVC keeps the experiment, all stages run, the run says what failed; with `stop` the same is said and it fails."""
    project.set("fashion_mnist:\n      max_train_loss", "digits:\n      max_train_loss")
    project.commit()
    text = project.dvc("exp", "run", "-S", "optimizer.learning_rate=0.0001", "-n", "slow")
    (line,) = [line for line in text.splitlines() if line.startswith("closing checks failed: train loss: found 2.")]
    (kept,) = project.dvc("exp", "list", "--name-only").split()
    assert kept == "slow"
    assert project.git("status", "--porcelain").split() == ["M", "dvc.lock", "M", "metrics.json", "M", "params.yaml"]
    (run,) = [run for run in project.runs() if run.dvc_experiment == "slow"]
    assert run.live
    assert line == f"closing checks failed: {run.tags['checks.failed']}; the result is recorded all the same"
    assert "- train loss: found 2." in run.tags["mlflow.note.content"]
    assert "outputs.predict" in run.tags
    project.set("on_failed_check: record", "on_failed_check: stop")
    text = project.dvc("repro", fails=True)
    assert [found for found in text.splitlines() if found.startswith("error: ")] == [f"error: {line}"]
    assert "predict" not in text
    project.set("learning_rate: 0.0001", "learning_rate: 1.0")
    project.set("max_train_loss: 0.5", "max_train_loss: null")
    project.dvc("repro")
    assert project.runs()[-1].tags["checks.failed"] == "none"


_ENTRY = '    "digits": Entry('
# What is edited: the file, what is put before the first place of a text (or at the end), the stages that run again.
EDITS = {
    "a picture": ("plots/images.py", "# tried out\n", "", ["evaluate", "predict"]),
    "tracking": ("tracking/stage_logs.py", "# tried out\n", "", []),
    "a new data set": ("download/registry.py", f"{_ENTRY.replace('d', 'more_d', 1)}scale=16),\n", _ENTRY, ["download"]),
    "a comment in the mathematics": ("mathematics/softmax.py", "# tried out\n", "", ["train"]),
}


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_runs_the_stages_whose_files_it_may_change(project: Project, what: str) -> None:
    """And no other; the run and its key stay, whatever was edited around the weights."""
    file, new, place, stages = EDITS[what]
    (before,) = project.runs()
    weights = project.weights()
    path = project.root / "src/softmax_regression" / file
    text = path.read_text()
    at = text.index(place) if place else len(text)
    path.write_text(text[:at] + new + text[at:])
    text = project.dvc("repro")
    assert re.findall(r"Running stage '(\w+)'", text) == stages
    assert re.findall(r"Stage '(\w+)' didn't change, skipping", text) == [
        stage for stage in ("download", "train", "evaluate", "predict") if stage not in stages
    ]
    assert project.weights() == weights
    after = next(run for run in project.runs() if run.live)
    assert (after.run_id, after.key, after.config_key) == (before.run_id, before.key, before.config_key)
    assert before.tags.items() <= after.tags.items()
    assert len([run for run in project.runs() if run.live]) == 1
    if stages == ["train"]:
        again = project.runs()[1]
        assert (again.name, again.live) == (f"{before.name}#2", False)
        assert after.tags["experiment.reproduced"].startswith("1 time, last on 20")
        assert "outputs.evaluate" not in again.tags
    else:
        assert len(project.runs()) == 1
    assert "nothing to do" in synced(project, "workspace")
    assert before.run_id in show(project.root)


def test_a_name_of_data_runs_no_command_and_deletes_nothing(project: Project) -> None:
    """A name with a shell's signs, or a path, is an unknown data set: one line, before anything else happens."""
    kept = [project.root.parent / "x", project.root / "x", project.root / "data/x"]
    for path in kept:
        path.mkdir()
        (path / "precious").write_text("kept")
    params = (project.root / "params.yaml").read_text()
    for name in ("digits; touch pwned", "$(touch pwned)", "../x", "../../x", "digits/../../x"):
        project.set("name: digits", f"name: '{name}'")
        text = project.dvc("repro", fails=True)
        (line,) = [line for line in text.splitlines() if line.startswith("error: ")]
        assert f"unknown data set {name!r}" in line
        (project.root / "params.yaml").write_text(params)
    assert not list(project.root.rglob("pwned"))
    assert all((path / "precious").read_text() == "kept" for path in kept)
    assert len(project.runs()) == 1
    project.dvc("repro")
    assert "all is well" in project.own("doctor")
