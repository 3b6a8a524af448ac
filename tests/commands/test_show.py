"""What a run is, and how to get its state of the project back."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from softmax_regression.commands.show import way_back
from softmax_regression.tracking.record import RunRecord

RECORD = RunRecord(
    run_id="ab" * 16,
    name="digits",
    status="FINISHED",
    experiment_id="1",
    start_time=0,
    end_time=1000,
    params={"train.seed": "0", "data.resize": "none", "optimizer.learning_rate": "0.1", "train.solver": "sgd"},
    metrics={},
    tags={},
)
PARAMS = "train: {seed: 0, solver: sgd}\ndata: {resize: null}\noptimizer: {learning_rate: 0.1}\n"


@pytest.fixture
def commit(tmp_path: Path) -> str:
    """Commit a params.yaml; return the commit."""
    (tmp_path / "params.yaml").write_text(PARAMS)
    for command in ("init --quiet", "add .", "-c user.name=a -c user.email=b commit --quiet -m first"):
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True)
    return subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_a_plain_run_is_its_commit(tmp_path: Path, commit: str) -> None:
    """With the commit's own params and code there is nothing to set and nothing to apply."""
    text = way_back(tmp_path, replace(RECORD, tags={"git.commit": commit}), None, dirty=False)
    assert [line.strip() for line in text.splitlines()[1:]] == [f"git checkout {commit}", "dvc repro"]


def test_only_params_that_differ_are_set(tmp_path: Path, commit: str) -> None:
    """Numbers, null and words come as `-S` takes them; a dirty tree's difference is applied."""
    params = {**RECORD.params, "optimizer.learning_rate": "0.5", "train.seed": "7"}
    record = replace(RECORD, tags={"git.commit": commit}, params=params)
    lines = [line.strip() for line in way_back(tmp_path, record, None, dirty=True).splitlines()[1:]]
    assert lines == [
        f"softmax-regression show {RECORD.run_id} --diff > code.diff",
        f"git checkout {commit}",
        "git apply code.diff",
        "dvc exp run -S optimizer.learning_rate=0.5 -S train.seed=7",
    ]


def test_an_unknown_commit_is_said(tmp_path: Path, commit: str) -> None:
    """Without a commit, or with one that this repository lacks, no command is made up."""
    assert "not known" in way_back(tmp_path, replace(RECORD, tags={"git.commit": "none"}), None, dirty=False)
    elsewhere = replace(RECORD, tags={"git.commit": "0" * 40})
    assert "git fetch" in way_back(tmp_path, elsewhere, None, dirty=False)
