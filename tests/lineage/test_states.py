"""Which outputs DVC has for the workspace, for a commit, for one of its experiments."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from softmax_regression.lineage.states import State, at, experiments, workspace


def lock(train: str = "1.dir", evaluated: str = "1.dir", predicted: str = "1.dir", count: int = 6) -> dict[str, Any]:
    """Return what a dvc.lock says: trained once, evaluated and predicted with the training of these digests."""

    def stage(path: str, digest: str, dep: str = "", **params: int) -> dict[str, Any]:
        deps = [{"path": "artifacts/train", "md5": dep}] if dep else []
        return {"deps": deps, "outs": [{"path": path, "md5": digest}], "params": {"params.yaml": params}}

    return {
        "train": stage("artifacts/train", train),
        "evaluate": stage("artifacts/evaluate", "2.dir", evaluated),
        "predict": stage("artifacts/predict", "3.dir", predicted, **{"predict.count": count}),
    }


def git(root: Path, *arguments: str) -> str:
    """Run git as somebody."""
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a repository with a committed dvc.lock, and an experiment as DVC keeps them."""
    git(tmp_path, "init", "--quiet")
    path = tmp_path / "dvc.lock"
    path.write_text(yaml.safe_dump({"stages": lock()}))
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    first = git(tmp_path, "rev-parse", "HEAD")
    path.write_text(yaml.safe_dump({"stages": lock("9.dir")}))
    git(tmp_path, "commit", "--quiet", "-am", "experiment")
    git(tmp_path, "update-ref", f"refs/exps/{first[:2]}/{first[2:]}/tidal-wave", "HEAD")
    git(tmp_path, "update-ref", "refs/exps/exec/EXEC_HEAD", "HEAD")
    git(tmp_path, "reset", "--quiet", "--hard", first)
    return tmp_path


def test_outputs_are_those_of_one_training(tmp_path: Path) -> None:
    """An evaluation of an older training, or grids of one, do not belong to the state."""
    state = State("x", tmp_path, lock(count=9))
    assert state.outputs == {
        "outputs.train": "1.dir",
        "outputs.evaluate": "2.dir",
        "outputs.predict.first_9": "3.dir",
    }
    assert set(State("x", tmp_path, lock(evaluated="0.dir")).outputs) == {"outputs.train", "outputs.predict.first_6"}
    assert State("x", tmp_path, {}).outputs == {}


def test_the_workspace_is_its_lock_file(root: Path) -> None:
    """No dvc.lock, or one torn by a merge conflict, is a state without outputs."""
    assert workspace(root).outputs["outputs.train"] == "1.dir"
    (root / "dvc.lock").write_text("<<<<<<< HEAD\n: [\n")
    assert workspace(root).outputs == {}
    (root / "dvc.lock").unlink()
    assert workspace(root).outputs == {}


def test_experiments_are_found_with_where_they_started(root: Path) -> None:
    """DVC's experiments are found by name, with the commit that they started from; its own marks are none."""
    (state,) = experiments(root)
    assert (state.name, state.base) == ("tidal-wave", git(root, "rev-parse", "HEAD"))
    assert state.dvc_tags == {"dvc.exp.name": "tidal-wave", "dvc.exp.baseline": state.base}
    assert at(root, "tidal-wave") == state


def test_commits_are_named_as_in_git(root: Path) -> None:
    """HEAD is a state; what neither git nor DVC knows is an error."""
    assert at(root, "HEAD").outputs == workspace(root).outputs
    with pytest.raises(ValueError, match="neither a DVC experiment"):
        at(root, "--no-such")
