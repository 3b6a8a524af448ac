"""A person's own data set under DVC: found, tracked, edited, in experiments elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scratch_project import Project, make_project

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Make a project whose data set is an untracked table of two separable classes."""
    project = make_project(tmp_path / "project", epochs=2)
    project.set("name: digits", "name: flowers")
    project.commit()
    write(project, 60)
    return project


def write(project: Project, rows: int) -> None:
    """Write the table."""
    values = np.random.default_rng(0).normal(size=rows).round(3)
    lines = [f"{value + 9 * (i % 2)},{'rose' if i % 2 else 'tulip'}" for i, value in enumerate(values)]
    (project.root / "datasets" / "flowers.csv").write_text("\n".join(["height,class", *lines]))


def test_a_file_and_a_name_are_all_it_takes(project: Project) -> None:
    """The whole pipeline runs on an untracked file, and what was understood is said first; an edit runs it again."""
    text = project.dvc("repro")
    assert "48 to train with, 12 to test with, split by class" in text
    assert "classes:   2: rose (30), tulip (30)" in text
    assert "one feature alone tells the classes apart, as if the label were in it: height" in text
    assert "up to date" in project.dvc("repro")
    write(project, 80)
    assert "64 to train with, 16 to test with" in project.dvc("repro", "download")


def test_dvc_keeps_it(project: Project) -> None:
    """`dvc add` works with `dvc repro`; an edit runs download again; an experiment elsewhere has the file."""
    project.dvc("add", "datasets/flowers.csv")
    project.commit()
    project.dvc("repro", "download")
    write(project, 80)
    assert "64 to train with, 16 to test with" in project.dvc("repro", "download")
    project.commit()
    assert "Ran experiment" in project.dvc("exp", "run", "--temp", "-S", "optimizer.learning_rate=0.3")


def test_an_experiment_elsewhere_needs_it_tracked(project: Project) -> None:
    """Without that it says what to run."""
    text = project.dvc("exp", "run", "--temp", fails=True)
    assert "error: data.name: neither git nor DVC tracks datasets/flowers.csv" in text
    assert "run `dvc add datasets/flowers.csv`" in text
