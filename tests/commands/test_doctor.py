"""What is wrong with a project is found, said in a line, and comes with how to mend it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from softmax_regression.commands import doctor
from softmax_regression.commands.doctor import Finding, doctor
from softmax_regression.files import md5_of_folder

ROOT = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a repository with params.yaml and data that dvc.lock knows, outside of any store."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(module, "_dvc", lambda root: iter(()))  # 2 s a call; it has a test of its own
    shutil.copy(ROOT / "params.yaml", tmp_path)
    data = tmp_path / "data/fashion_mnist"
    data.mkdir(parents=True)
    (data / "train-labels").write_bytes(b"0123")
    stages = {"download": {"outs": [{"path": "data/fashion_mnist", "md5": md5_of_folder(data)}]}}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": stages}))
    return tmp_path


def line_of(root: Path, what: str) -> str:
    """Return what the doctor says about one thing, its advice too."""
    text = doctor(root)[0].replace("\n       mend it", " -> mend it")
    return next(line for line in text.splitlines() if f"  {what}: " in line)


def test_a_finding_says_how_to_mend_it() -> None:
    """What is well is one line; what is wrong is one, and another with what to do."""
    assert str(Finding("git", "fine")) == "ok     git: fine"
    assert str(Finding("git", "bad", "do this")) == "WRONG  git: bad\n       mend it: do this"


def test_data_are_held_against_dvc_lock(root: Path) -> None:
    """A changed byte is found; the advice brings the data back."""
    assert line_of(root, "data").startswith("ok")
    (root / "data/fashion_mnist/train-labels").write_bytes(b"0124")
    assert line_of(root, "data").startswith("WRONG")
    assert "rm -r data/fashion_mnist && dvc repro" in line_of(root, "data")


def test_no_repository_and_no_commit_are_wrong(root: Path) -> None:
    """Outside git there is nothing that a run can lead back to."""
    assert "git init" in line_of(root, "git")
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    assert "no commit yet" in line_of(root, "git")
    assert doctor(root)[1] is False


def test_a_torn_lock_file_is_wrong(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a merge conflict in dvc.lock nothing is known of the outputs."""
    monkeypatch.undo()
    (root / "dvc.lock").write_text("<<<<<<< HEAD\n: [\n")
    (finding,) = module._dvc(root)
    assert "git checkout dvc.lock" in finding.mend


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
