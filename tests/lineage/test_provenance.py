"""Where a run comes from, read from real git repositories."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from softmax_regression.files import md5_of
from softmax_regression.lineage.provenance import (
    code_diff,
    dvc_experiment_tags,
    git_commit,
    origin_here,
    origin_of_outputs,
    params_at,
    project_root,
)


def git(folder: Path, *arguments: str) -> str:
    """Run git in `folder` as somebody."""
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Make a repository with one commit of code and params."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("x = 1\n")
    (tmp_path / "params.yaml").write_text("train: {seed: 0}\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    return tmp_path


def test_a_clean_tree_has_a_commit_and_no_difference(repository: Path) -> None:
    """The commit is git's own, the difference empty, the tag says clean."""
    assert git_commit(repository) == git(repository, "rev-parse", "HEAD")
    assert code_diff(repository) == ""
    assert origin_here(repository).tags["git.dirty"] == "false"


def test_a_dirty_tree_can_be_rebuilt_from_commit_and_difference(repository: Path) -> None:
    """`git apply` of the difference on a fresh checkout gives the same code, new files too; params stay apart."""
    (repository / "src" / "a.py").write_text("x = 2\n")
    (repository / "src" / "new.py").write_text("y = 1\n")
    (repository / "params.yaml").write_text("train: {seed: 1}\n")
    diff = code_diff(repository)
    clone = repository / "clone"
    git(repository, "clone", "--quiet", ".", "clone")
    (clone / "code.diff").write_text(diff)
    git(clone, "apply", "code.diff")
    assert (clone / "src" / "a.py").read_text() == "x = 2\n"
    assert (clone / "src" / "new.py").read_text() == "y = 1\n"
    assert (clone / "params.yaml").read_text() == "train: {seed: 0}\n"


def test_params_of_a_commit_are_read_from_git(repository: Path) -> None:
    """The params.yaml of a commit is read as it was; an unknown commit gives None."""
    (repository / "params.yaml").write_text("train: {seed: 5}\n")
    assert params_at("HEAD", repository) == {"train": {"seed": 0}}
    assert params_at("0" * 40, repository) is None


def test_outside_git_nothing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an unpacked archive there is no commit and no difference, and the tags say so."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit(tmp_path) is None
    assert origin_here(tmp_path).tags["git.commit"] == "none"


def test_dvc_names_its_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under `dvc exp run` the run learns the experiment's name and where it started."""
    monkeypatch.setenv("DVC_EXP_NAME", "tidal-wave")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "abc")
    assert dvc_experiment_tags() == {"dvc.exp.name": "tidal-wave", "dvc.exp.baseline": "abc"}


def test_the_root_is_the_real_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC_ROOT wins over the working folder; without it the nearest dvc.yaml upwards; without that an error."""
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    with pytest.raises(FileNotFoundError, match=r"no dvc\.yaml"):
        project_root()
    (tmp_path / "dvc.yaml").write_text("")
    assert project_root() == tmp_path
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "a"))
    assert project_root() == tmp_path / "a"


def test_the_difference_does_not_depend_on_a_persons_settings(repository: Path) -> None:
    """Colours, other prefixes and an own diff program in git's configuration change nothing."""
    (repository / "src" / "a.py").write_text("x = 2\n")
    plain = code_diff(repository)
    for setting in ("color.ui always", "diff.noprefix true", "diff.external true"):
        git(repository, "config", *setting.split())
    assert plain == code_diff(repository)


def test_outputs_made_before_have_the_commit_of_their_code(repository: Path) -> None:
    """Where the code is still the one they were made with, commit and difference are known; else they are not."""
    path = repository / "src" / "a.py"
    path.write_text("x = 2\n")
    known = origin_of_outputs({"src/a.py": md5_of(path)}, repository)
    assert known.tags["git.commit"] == git(repository, "rev-parse", "HEAD")
    assert known.tags["git.dirty"] == "true"
    assert "+x = 2" in known.diff
    assert known.params == "train: {seed: 0}\n"
    unknown = origin_of_outputs({"src/a.py": "0" * 32}, repository)
    assert (unknown.tags["git.commit"], unknown.diff) == ("none", "")


def test_outputs_of_an_experiment_start_from_its_baseline(repository: Path) -> None:
    """The code of DVC's experiment is described as its difference to the commit that it started from."""
    base = git(repository, "rev-parse", "HEAD")
    (repository / "src" / "a.py").write_text("x = 3\n")
    digest = md5_of(repository / "src" / "a.py")
    git(repository, "commit", "--quiet", "-am", "as dvc exp run does")
    revision = git(repository, "rev-parse", "HEAD")
    git(repository, "checkout", "--quiet", base)
    origin = origin_of_outputs({"src/a.py": digest}, repository, base, revision)
    assert origin.tags["git.commit"] == base
    assert "+x = 3" in origin.diff
