"""Which outputs DVC has for the workspace, for a commit, for one of its experiments."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scratch_project import commit, git, write_lock, write_training

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.files import md5_of, md5_of_folder
from softmax_regression.lineage import states
from softmax_regression.lineage.states import all_states, at, experiments, workspace


def lock(train: str = "1.dir", evaluated: str = "1.dir", predicted: str = "1.dir") -> dict[str, Any]:
    """Return what a dvc.lock says: trained once, evaluated and predicted with the training of these digests."""

    def stage(path: str, digest: str, dep: str = "") -> dict[str, Any]:
        deps = [{"path": "artifacts/train", "md5": dep}] if dep else []
        return {"deps": deps, "outs": [{"path": path, "md5": digest}]}

    return {
        "download": stage("data/prepared", "0.dir"),
        "train": stage("artifacts/train", train),
        "evaluate": stage("artifacts/evaluate", "2.dir", evaluated),
        "predict": stage("artifacts/predict", "3.dir", predicted),
    }


def write_stages(root: Path, stages: dict[str, Any]) -> None:
    """Write a dvc.lock."""
    (root / "dvc.lock").write_text(json.dumps({"stages": stages}))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a repository with a committed dvc.lock, and an experiment as DVC keeps them."""
    write_stages(tmp_path, lock())
    first = commit(tmp_path)
    write_stages(tmp_path, lock("9.dir"))
    commit(tmp_path)
    git(tmp_path, "update-ref", f"refs/exps/{first[:2]}/{first[2:]}/tidal-wave", "HEAD")
    git(tmp_path, "update-ref", "refs/exps/exec/EXEC_HEAD", "HEAD")
    git(tmp_path, "reset", "--quiet", "--hard", first)
    return tmp_path


@pytest.fixture
def real(tmp_path: Path) -> tuple[Path, Experiment]:
    """Make a project whose outputs and code DVC has, and the experiment that it trained."""
    root = tmp_path / "real"
    code = root / "src" / "mathematics"
    code.mkdir(parents=True)
    (code / "a.py").write_text("x = 1\n")
    experiment = write_training(root / "artifacts/train")
    (root / "artifacts/evaluate/figures").mkdir(parents=True)
    (root / "artifacts/evaluate/figures/a.txt").write_text("evaluated")
    write_lock(root)
    content = json.loads((root / "dvc.lock").read_text())
    content["stages"]["train"]["deps"] = [{"path": "src/mathematics", "md5": md5_of_folder(code)}]
    (root / "dvc.lock").write_text(json.dumps(content))
    commit(root)
    return root, experiment


def test_outputs_are_those_of_one_training(tmp_path: Path) -> None:
    """Whatever stages there are, train first; an evaluation of an older training does not belong to the state."""

    def outputs(stages: dict[str, Any]) -> dict[str, str]:
        write_stages(tmp_path, stages)
        return workspace(tmp_path).outputs

    assert outputs(lock()) == {"artifacts/train": "1.dir", "artifacts/evaluate": "2.dir", "artifacts/predict": "3.dir"}
    assert set(outputs(lock(evaluated="0.dir"))) == {"artifacts/train", "artifacts/predict"}
    new = {"deps": [{"path": "artifacts/train", "md5": "1.dir"}], "outs": [{"path": "artifacts/explain", "md5": "4"}]}
    names = [Path(path).name for path in outputs({"explain": new, **lock()})]
    assert names == ["train", "explain", "evaluate", "predict"]
    assert outputs({}) == {}


def test_a_digest_is_looked_up_by_stage_and_path(root: Path) -> None:
    """What dvc.lock has of an output or a dependency, or None."""
    state = workspace(root)
    assert state.digest("download", "outs", "data/prepared") == "0.dir"
    assert state.digest("evaluate", "deps", "artifacts/train") == "1.dir"
    assert state.digest("evaluate", "deps", "data/prepared") is None
    assert state.digest("absent", "outs", "data/prepared") is None


def test_the_workspace_is_its_lock_file(root: Path) -> None:
    """No dvc.lock, an empty one, or one without stages, is a state without outputs."""
    assert workspace(root).outputs["artifacts/train"] == "1.dir"
    for text in ("", "schema: '2.0'\n"):
        (root / "dvc.lock").write_text(text)
        assert workspace(root).outputs == {}
    (root / "dvc.lock").unlink()
    assert workspace(root).outputs == {}
    with pytest.raises(ValueError, match=r"workspace: its dvc\.lock has no training; run `dvc repro`, and commit"):
        _ = workspace(root).experiment


@pytest.mark.parametrize(
    "text",
    [
        "<<<<<<< HEAD\n: [\n",
        "words",
        "[1]",
        "stages: null",
        "stages: [train]",
        "stages: {train: null}",
        "stages: {train: {outs: [artifacts/train]}}",
        "stages: {train: {outs: [{md5: 1.dir}]}}",
        "stages: {train: {outs: [{path: artifacts/train, md5: 1}]}}",
        "stages: {train: {deps: {path: src}}}",
        "stages: {train: {deps: [{path: src, hash: m}]}}",  # DVC's own, cut off by a full disk
        "stages: {download: {params: [data.name]}}",
        json.dumps({"stages": lock()})[:-9],
    ],
)
def test_a_damaged_lock_file_is_no_state_without_outputs(root: Path, text: str) -> None:
    """Torn by a merge conflict or cut off, or of another shape: one line with the way out, and no "nothing to do"."""
    (root / "dvc.lock").write_text(text)
    message = r"^workspace: dvc\.lock.*; `git checkout dvc\.lock`, then `dvc repro`$"
    with pytest.raises(ValueError, match=message) as caught:
        _ = workspace(root).outputs
    assert "\n" not in str(caught.value)
    assert [state.name for state in all_states(root)] == ["workspace", "HEAD", "tidal-wave"]


def test_experiments_are_found_with_where_they_started(root: Path) -> None:
    """DVC's experiments are found by name, with the commit that they started from; its own marks are none."""
    (state,) = experiments(root)
    assert (state.name, state.base) == ("tidal-wave", git(root, "rev-parse", "HEAD"))
    assert state.dvc_tags == {"dvc.exp.name": "tidal-wave", "dvc.exp.baseline": state.base}
    assert at(root, "tidal-wave") == state
    assert at(root, state.revision) == state
    assert workspace(root).dvc_tags == {}


def test_commits_are_named_as_in_git(root: Path) -> None:
    """HEAD is a state; what neither git nor DVC knows is an error."""
    assert at(root, "HEAD").outputs == workspace(root).outputs
    assert at(root, "workspace") == workspace(root)
    for name in ("--no-such", "no-such", ""):
        with pytest.raises(ValueError, match="neither a DVC experiment"):
            at(root, name)


def test_all_states_are_those_with_outputs_each_once(root: Path, tmp_path: Path) -> None:
    """The commit counts where its outputs are others than the workspace's; outside git there is the workspace."""
    assert [state.name for state in all_states(root)] == ["workspace", "tidal-wave"]
    write_stages(root, lock("7.dir"))
    assert [state.name for state in all_states(root)] == ["workspace", "HEAD", "tidal-wave"]
    (root / "dvc.lock").unlink()
    assert [state.name for state in all_states(root)] == ["HEAD", "tidal-wave"]
    assert all_states(tmp_path / "nothing") == []


@pytest.mark.parametrize("name", ["workspace", "HEAD"])
def test_outputs_come_from_the_workspace_or_from_the_cache(
    real: tuple[Path, Experiment], tmp_path: Path, name: str
) -> None:
    """experiment.json and the folders are read without changing the workspace, a commit's from the cache."""
    root, experiment = real
    if name == "HEAD":
        shutil.rmtree(root / "artifacts")
    state = at(root, name)
    assert state.experiment == experiment
    state.copy_outputs(tmp_path / "copy", state.outputs)
    assert (tmp_path / "copy/artifacts/evaluate/figures/a.txt").read_text() == "evaluated"
    assert md5_of_folder(tmp_path / "copy/artifacts/train") == state.outputs["artifacts/train"]


def test_outputs_that_were_changed_or_are_not_there_are_an_error(real: tuple[Path, Experiment], tmp_path: Path) -> None:
    """An edited file is not what dvc.lock says; without workspace and cache DVC does not have them."""
    root, _ = real
    (root / "artifacts/evaluate/figures/a.txt").write_text("edited")
    with pytest.raises(RuntimeError, match=r"artifacts/evaluate is not what dvc\.lock says: run `dvc repro`"):
        workspace(root).copy_outputs(tmp_path / "copy", ["artifacts/evaluate"])
    shutil.rmtree(root / "artifacts")
    shutil.rmtree(root / ".dvc/cache")
    for state in (workspace(root), at(root, "HEAD")):
        with pytest.raises(RuntimeError, match=r"DVC does not have its outputs .*: run `dvc pull`, or `dvc repro`"):
            _ = state.experiment


def test_the_code_is_that_of_the_training_until_it_is_edited(real: tuple[Path, Experiment]) -> None:
    """Caches of Python's do not count; an edit does, in the workspace, not in the commit; so does code that is gone."""
    root, _ = real
    code = root / "src/mathematics"
    (code / "__pycache__").mkdir()
    (code / "__pycache__/a.pyc").write_text("")
    (root / ".dvcignore").write_text("__pycache__/\n")
    assert workspace(root).has_code_of_training()
    (code / "a.py").write_text("x = 2\n")
    assert not workspace(root).has_code_of_training()
    assert at(root, "HEAD").has_code_of_training()
    shutil.rmtree(code)
    assert not workspace(root).has_code_of_training()
    write_stages(root, {})
    assert not workspace(root).has_code_of_training()


def test_outputs_have_the_commit_of_their_code(real: tuple[Path, Experiment]) -> None:
    """While the code is the one that they were made with, commit and difference are known; else they are not."""
    root, _ = real
    (root / "src/other.py").write_text("y = 1\n")
    (root / "params.yaml").write_text("train: {seed: 0}\n")
    known = workspace(root).origin()
    assert known.tags["git.commit"] == git(root, "rev-parse", "HEAD")
    assert known.tags["git.dirty"] == "true"
    assert "+y = 1" in known.diff
    assert known.params == "train: {seed: 0}\n"
    (root / "src/mathematics/a.py").write_text("x = 2\n")
    unknown = workspace(root).origin()
    assert (unknown.tags["git.commit"], unknown.tags["git.dirty"], unknown.diff) == ("none", "unknown", "")
    assert unknown.params == known.params


def test_outputs_of_an_experiment_start_from_its_baseline(real: tuple[Path, Experiment]) -> None:
    """The code of DVC's experiment is described as its difference to the commit that it started from."""
    root, _ = real
    base = git(root, "rev-parse", "HEAD")
    (root / "src/other.py").write_text("y = 3\n")
    (root / "params.yaml").write_text("train: {seed: 4}\n")
    git(root, "update-ref", f"refs/exps/{base[:2]}/{base[2:]}/tidal-wave", commit(root))  # as `dvc exp run` does
    git(root, "reset", "--quiet", "--hard", base)
    origin = at(root, "tidal-wave").origin()
    assert origin.tags["git.commit"] == base
    assert "+y = 3" in origin.diff
    assert origin.params == "train: {seed: 4}\n"


def test_a_lock_of_version_0_1_lists_single_files(real: tuple[Path, Experiment]) -> None:
    """Its code is compared file by file."""
    root, _ = real
    content = json.loads((root / "dvc.lock").read_text())
    deps = content["stages"]["train"]["deps"]
    deps[:] = [{"path": "src/mathematics/a.py", "md5": md5_of(root / "src/mathematics/a.py")}]
    (root / "dvc.lock").write_text(json.dumps(content))
    assert workspace(root).has_code_of_training()
    deps.append({"path": "src/mathematics/gone.py", "md5": "0" * 32})
    (root / "dvc.lock").write_text(json.dumps(content))
    assert not workspace(root).has_code_of_training()


@pytest.mark.parametrize("path", ["../made", "src/../../made", "{}/made", "a/../.."])
def test_a_dvc_lock_cannot_lead_out_of_the_project(tmp_path: Path, path: str) -> None:
    """A commit's dvc.lock is other people's: an output, or code, that lies elsewhere is not copied there."""
    files = SimpleNamespace(get=lambda source, copy, recursive: Path(copy).write_text("made"))
    with pytest.raises(ValueError, match=r"^dvc\.lock names .*made|\.\..*, outside of the project"):
        states._copied(files, path.format(tmp_path), tmp_path / "inside" / "destination")
    assert not list(tmp_path.rglob("made"))
