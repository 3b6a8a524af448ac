"""What is wrong with a project is found, said in a line, and comes with how to fix it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from filled_project import filled_project
from scratch_project import ROOT, write_lock, write_training

from softmax_regression.commands import doctor as module
from softmax_regression.commands.doctor import Finding, doctor
from softmax_regression.files import md5_of_folder
from softmax_regression.lineage import states
from softmax_regression.tracking import processes
from softmax_regression.tracking.run_store import RunStore


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Without settings of the person who tests, without a repository around, and without starting DVC (2 s a call)."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(module, "_dvc", lambda root: iter(()))
    return monkeypatch


@pytest.fixture
def root(tmp_path: Path, alone: pytest.MonkeyPatch) -> Path:
    """Make a folder with params.yaml and data that dvc.lock knows, outside of any store."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    data = tmp_path / "data/prepared"
    data.mkdir(parents=True)
    (data / "train-labels").write_bytes(b"0123")
    stages = {"download": {"outs": [{"path": "data/prepared", "md5": md5_of_folder(data)}]}}
    (tmp_path / "dvc.lock").write_text(json.dumps({"stages": stages}))
    return tmp_path


def line_of(root: Path, what: str) -> str:
    """Return what the doctor says about one thing, its advice too."""
    text = doctor(root)[0].replace("\n       fix it", " -> fix it")
    return next(line for line in text.splitlines() if f"  {what}: " in line)


def test_a_finding_says_how_to_fix_it() -> None:
    """What is well is one line; what is wrong is one, and another with what to do."""
    assert str(Finding("git", "fine")) == "ok     git: fine"
    assert str(Finding("git", "bad", "do this")) == "WRONG  git: bad\n       fix it: do this"


def test_data_are_held_against_dvc_lock(root: Path) -> None:
    """A changed byte is found; the advice brings the data back; data that are not there yet are nothing wrong."""
    assert line_of(root, "data").startswith("ok")
    (root / "data/prepared/train-labels").write_bytes(b"0124")
    assert line_of(root, "data").startswith("WRONG")
    assert "rm -r data/prepared && dvc repro" in line_of(root, "data")
    (root / "dvc.lock").unlink()
    assert line_of(root, "data").startswith("ok")
    shutil.rmtree(root / "data")
    assert line_of(root, "data") == "ok     data: data/prepared is not there yet; `dvc repro` makes it"


def test_no_repository_and_no_commit_are_wrong(root: Path) -> None:
    """Outside git there is nothing that a run can lead back to."""
    assert "git init" in line_of(root, "git")
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    assert "no commit yet" in line_of(root, "git")
    assert doctor(root)[1] is False


def test_a_repository_that_git_does_not_read_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does not read another user's, in a container: it is no missing one, and `git init` is no help."""
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    for name, value in {"TEST_ASSUME_DIFFERENT_OWNER": "1", "CONFIG_GLOBAL": "/dev/null", "CONFIG_SYSTEM": ""}.items():
        monkeypatch.setenv(f"GIT_{name}", value)
    line = line_of(root, "git")
    assert f"git does not read the repository {root}" in line
    assert f"`git config --global --add safe.directory {root}`" in line
    assert "git init" not in line


def test_a_user_without_a_name_is_wrong(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC asks for the name, and a number of a container's has none; a variable helps."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)  # nobody's: the system gives numbers up to 60000 in order
    assert re.search(r"WRONG.* user 54321 has no name, .*`export USER=me`", line_of(root, "user"))
    monkeypatch.setenv("USER", "me")
    assert "  user: " not in doctor(root)[0]


def test_a_torn_lock_file_is_wrong(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a merge conflict in dvc.lock nothing is known of the outputs."""
    monkeypatch.undo()
    (root / "dvc.lock").write_text("<<<<<<< HEAD\n: [\n")
    with pytest.raises(ValueError, match=r"dvc\.lock is not valid YAML in line \d: .*; `git checkout dvc\.lock`"):
        list(module._dvc(root))
    assert "git checkout dvc.lock" in line_of(root, "data")


def test_outputs_that_are_not_there_are_pulled(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a fresh clone others may have pushed them; where some are there, they are made again."""
    monkeypatch.undo()
    write_training(root / "artifacts/train")
    write_lock(root)
    assert "`dvc repro` (`dvc status` says why)" in str(*module._dvc(root))
    shutil.rmtree(root / "artifacts")
    assert "fix it: `dvc pull`, or `dvc repro`" in str(*module._dvc(root))


def test_another_python_on_the_path_is_wrong(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stages run the PATH's python; one of another environment is named, with the way out."""
    shim = root / "python"
    shim.write_text("#!/bin/sh\necho /somewhere/else\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(root), prepend=":")
    assert "belongs to /somewhere/else" in line_of(root, "python")
    assert "export PATH=" in line_of(root, "python")


def test_params_that_cannot_be_read_are_a_finding(root: Path) -> None:
    """An error that a check meets is said like any other finding; the other checks go on."""
    (root / "params.yaml").write_text("data: [")
    assert line_of(root, "params").startswith("WRONG")
    assert line_of(root, "store").startswith("ok")


def test_a_server_that_does_not_answer_is_wrong(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line names the server and what to do."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    text, well = doctor(root)
    assert "http://127.0.0.1:9 does not answer" in text
    assert not well


def test_outputs_without_a_store_are_wrong(root: Path) -> None:
    """Outputs that no run tells of are named; sync makes the store, and the doctor does not."""
    write_training(root / "artifacts/train")
    write_lock(root)
    assert line_of(root, "store") == (
        "WRONG  store: there is no mlflow.db yet, but outputs of workspace -> fix it: `softmax-regression sync`"
    )
    assert not (root / "mlflow.db").exists()


def test_runs_are_held_against_the_outputs_of_each_state(tmp_path: Path, alone: pytest.MonkeyPatch) -> None:
    """A run that lacks a stage, and a state without a run, are wrong, each with the command that helps."""
    root = filled_project(tmp_path)
    (root / "artifacts/predict").mkdir()
    (root / "artifacts/predict/first.png").write_text("")
    write_lock(root)
    assert line_of(root, "runs of workspace") == (
        "WRONG  runs of workspace: its run small_lr0.1_b10_e3_s1 lacks artifacts/train, artifacts/predict"
        " -> fix it: `softmax-regression sync workspace`"
    )
    write_training(root / "artifacts/train")
    write_lock(root)
    assert line_of(root, "runs of workspace").startswith("WRONG  runs of workspace: it has no run -> fix it: ")


def test_a_state_that_nobody_has_is_a_finding(tmp_path: Path, alone: pytest.MonkeyPatch) -> None:
    """As in a fresh clone, where dvc.lock names outputs that were never pulled; so is a live run that was deleted."""
    root = filled_project(tmp_path)
    store = RunStore.open(root)
    write_training(root / "artifacts/train")
    write_lock(root)
    for folder in (".dvc/cache", "artifacts"):
        shutil.rmtree(root / folder)
    run = store.runs()[-1]
    again = store.start_run("again", run.config_key, {})
    again.finish(key=run.key)
    store.mlflow.delete_run(run.run_id)
    text, well = doctor(root)
    assert not well
    assert "WRONG  live runs: a run was deleted or restored" in text
    assert re.search(r"WRONG  runs of workspace: none is known: DVC does not have .*\n +fix it: `dvc pull`", text)


def test_dead_runs_are_named_and_ended(tmp_path: Path, alone: pytest.MonkeyPatch) -> None:
    """Of this machine when the process is gone, of others when they are silent; who may be writing is only named."""
    root = filled_project(tmp_path)
    store = RunStore.open(root)
    host, boot, _, _ = processes.identity().split()
    writers = {
        "dead": (f"{host} {boot} 999999999 1", 0),  # above the largest process number
        "silent": ("elsewhere boot 1 2", 3600),
        "busy": ("elsewhere boot 1 2", 65),
        "mine": (processes.identity(), 3600),
    }
    runs = [store.start_run(name, name, {}) for name in writers]
    for run, (writer, seconds) in zip(runs, writers.values(), strict=True):
        seen = str(int((time.time() - seconds) * 1000))
        store.set_tags(run.run_id, {processes.TAG: writer, processes.SEEN: seen})
    text, _ = doctor(root)
    lines = [line for line in text.splitlines() if "dead run: " in line or "running: " in line]
    assert sorted(re.sub(r"since .* UTC|\d+ s ago", "X", line) for line in lines) == [
        "ok     dead run: dead: its process is gone (process 999999999 has ended), so it is KILLED now",
        "ok     dead run: silent: its process is gone (no sign of life X, 10 minutes are allowed), so it is KILLED now",
        "ok     running: busy, on another machine or in another container, gave a sign of life X",
    ]
    assert [store.existing(run.run_id).status for run in runs] == ["KILLED", "KILLED", "RUNNING", "RUNNING"]
    assert "dead run" not in doctor(root)[0]


def test_the_name_of_an_experiment_is_one_word_of_the_advice(root: Path, alone: pytest.MonkeyPatch) -> None:
    """git takes `x;id` for a name: whoever pastes the advice about a pulled experiment runs nothing else."""
    RunStore.open(root)
    alone.setattr(states, "all_states", lambda root: [states.State("x;id", root)])
    alone.setattr(module, "lacking", lambda store, state: (None, ["artifacts/train"]))
    assert line_of(root, "runs of x;id").endswith("fix it: `softmax-regression sync 'x;id'`")
