"""`make run`: the pipeline, the offline fall-back, and the summary."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from filled_project import filled_project
from scratch_project import ROOT, commit, git, write_lock, write_training

from softmax_regression.commands import run
from softmax_regression.lineage import states
from softmax_regression.lineage.sync import NOTHING_TO_DO
from softmax_regression.tracking.run_store import RunStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a folder with params.yaml, in which git finds no repository."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Let no source be reached, and note DVC's commands, which all succeed, instead of running them."""
    noted: list[list[str]] = []

    def note(root: Path, *arguments: str) -> bool:
        noted.append([*arguments])
        return True

    monkeypatch.setattr(run, "can_download", lambda *_, **__: False)
    monkeypatch.setattr(run, "_dvc", note)
    return noted


def test_data_that_are_there_need_no_source(root: Path) -> None:
    """Data in the workspace are at hand if they are those that params.yaml names; without a report there are none."""
    assert not run._has_data(root, "digits")
    folder = root / "data/prepared"
    folder.mkdir(parents=True)
    assert not run._has_data(root, "digits")
    sizes = {"train": {"examples": 5}, "test": {"examples": 5}}
    facts: dict[str, object] = {
        "name": "digits",
        "class_names": [],
        "example_shape": [],
        "scale": 16,
        "files": {},
        "feature_names": [],
        "standardise": None,
        **sizes,
    }
    (folder / "report.json").write_text(json.dumps(facts))
    assert run._has_data(root, "digits")
    assert not run._has_data(root, "mnist")
    (folder / "report.json").write_text("{")
    assert not run._has_data(root, "digits")


def test_data_in_the_cache_need_no_source(root: Path) -> None:
    """Data in DVC's cache are at hand for the data set that they were made for; a digest in dvc.lock alone is not."""
    stage = {
        "outs": [{"path": "data/prepared", "md5": "abcdef.dir"}],
        "params": {"params.yaml": {"data.name": "digits"}},
    }
    (root / "dvc.lock").write_text(json.dumps({"stages": {"download": stage}}))
    assert not run._has_data(root, "digits")
    cached = root / ".dvc/cache/files/md5/ab/cdef.dir"
    cached.parent.mkdir(parents=True)
    cached.touch()
    assert run._has_data(root, "digits")
    assert not run._has_data(root, "mnist")


def test_a_torn_lock_file_is_told_before_dvc_stops_without_a_word(root: Path, calls: list[list[str]]) -> None:
    """A full disk may cut off dvc.lock where DVC writes it; what follows is still YAML."""
    (root / "dvc.lock").write_text("stages: {evaluate: {deps: [{path: data/prepared, hash: m}]}}")
    with pytest.raises(ValueError, match=r"workspace: dvc\.lock: evaluate.*; `git checkout dvc\.lock`"):
        run.run(root)
    assert calls == []


def test_the_fall_back_always_asks_dvc(
    root: Path, calls: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An experiment in a temporary workspace, its predecessor removed: whether it must run is for DVC to know."""
    commit(root)
    monkeypatch.setattr(run, "summary", lambda root, outputs: f"summary of {outputs.relative_to(root)}")
    monkeypatch.setattr(states.State, "copy_outputs", lambda state, folder, paths: folder.mkdir(parents=True))
    monkeypatch.setattr(states, "at", lambda root, name: states.State(name, root))
    asked = ["exp", "run", "--temp", "--name", "offline-digits", "--set-param", "data.name=digits"]
    assert run.run(root) == "summary of reports/offline-digits"
    assert calls == [asked]
    head = git(root, "rev-parse", "HEAD")
    git(root, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/offline-digits", "HEAD")
    calls.clear()
    run.run(root)
    assert calls == [["exp", "remove", "--quiet", "offline-digits"], asked]
    assert capsys.readouterr().out.count("falling back to the embedded data set digits.\n") == 2


def test_the_fall_back_needs_a_commit(root: Path, calls: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside git DVC has no experiments; the error says how to train on the embedded data all the same."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(root.parent))
    with pytest.raises(RuntimeError, match=r"needs a git commit; set data\.name: digits in params"):
        run.run(root)
    assert calls == []


def test_a_pipeline_that_fails_is_an_error(root: Path, calls: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is summed up after a stage that has failed, in the pipeline or in the fall-back."""
    commit(root)
    monkeypatch.setattr(run, "_dvc", lambda *_: False)
    with pytest.raises(RuntimeError, match="the fall-back to digits stopped; the stage's message above says why"):
        run.run(root)
    monkeypatch.setattr(run, "can_download", lambda *_, **__: True)
    with pytest.raises(RuntimeError, match="the pipeline stopped; the stage's message above says why"):
        run.run(root)


def test_what_dvc_restored_is_filled_in_and_a_lost_store_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the pipeline the workspace's run is completed, and that is said only where there was something to do."""

    def nothing(root: Path, names: list[str]) -> Iterator[str]:
        yield f"{NOTHING_TO_DO}: all there"

    def something(root: Path, names: list[str]) -> Iterator[str]:
        assert names == ["workspace"]
        yield "added evaluate"
        raise RuntimeError("the server does not answer")

    monkeypatch.setattr(run, "sync", nothing)
    run._complete_run(tmp_path)
    monkeypatch.setattr(run, "sync", something)
    run._complete_run(tmp_path)
    captured = capsys.readouterr()
    assert captured.out == "added evaluate\n"
    assert captured.err == "not recorded in MLflow: the server does not answer\n"


def test_the_summary_names_the_result_and_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data set, accuracy with its interval, failed checks if any, run, picture, how to see the runs.

    Without a run, what fills it in.
    """
    root = filled_project(tmp_path)
    figures = {"test_accuracy": 0.79, "test_accuracy_low": 0.74, "test_accuracy_high": 0.83}
    (root / "artifacts/evaluate").mkdir()
    findings = root / "artifacts/evaluate/findings.json"
    failed = "train loss: found 0.6, wanted below 0.5"
    findings.write_text(json.dumps({"metrics": figures, "tags": {"checks.failed": failed}}))
    assert f"\nchecks failed: {failed}\n" in run.summary(root, root)
    for text, said in (("{", "findings.json is damaged: "), ('{"metrics": {}, "tags": {}}', "lack 'checks.failed'")):
        findings.write_text(text)
        with pytest.raises(ValueError, match=rf"{said}.*; run `dvc repro -f evaluate`$"):
            run.summary(root, root)
    findings.write_text(json.dumps({"metrics": figures, "tags": {"checks.failed": "none"}}))
    run_id = next(one.run_id for one in RunStore.open(root).runs() if one.name == "small_lr0.1_b10_e3_s1")
    assert run.summary(root, root).splitlines() == [
        "data set:      small",
        "test accuracy: 0.7900 (95% interval 0.7400 to 0.8300)",
        "MLflow run:    small_lr0.1_b10_e3_s1",
        "predictions:   artifacts/predict/first.png",
        "see the runs:  make ui",
        f"see this run:  {RunStore.open(root).run_link(run_id)}",
    ]
    write_training(root / "artifacts/train")
    write_lock(root)
    assert "MLflow run:    none in this store; `softmax-regression sync` fills it in" in run.summary(root, root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert "MLflow run:    unknown: the MLflow server at http://127.0.0.1:9 does not answer" in run.summary(root, root)
