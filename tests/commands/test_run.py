"""`make run`: the pipeline, the offline fall-back, and the summary."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from softmax_regression.commands import run
from softmax_regression.files import md5_of
from softmax_regression.lineage.states import State
from softmax_regression.lineage.sync import NOTHING_TO_DO


def state_of(root: Path) -> State:
    """Return a state that came of the code and params in `root`, on the digits."""
    stage = {
        "deps": [{"path": "a.py", "md5": md5_of(root / "a.py")}, {"path": "data/digits", "md5": "0.dir"}],
        "outs": [{"path": "artifacts/train", "md5": "1.dir"}],
        "params": {"params.yaml": {"data.name": "digits", "train.seed": 0}},
    }
    return State("offline-digits", root, {"train": stage})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a folder with code and params."""
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "params.yaml").write_text("data: {name: fashion_mnist}\ntrain: {seed: 0}\n")
    return tmp_path


def test_an_earlier_fall_back_is_shown_again_while_nothing_changes(root: Path) -> None:
    """Same code and params, but for the data set's name: no training is needed."""
    state = state_of(root)
    assert run._is_current(state)
    (root / "params.yaml").write_text("data: {name: fashion_mnist}\ntrain: {seed: 1}\n")
    assert not run._is_current(state)


def test_changed_code_or_a_lost_param_needs_a_new_fall_back(root: Path) -> None:
    """Other code, a file that is gone, a param that is gone: it runs again."""
    state = state_of(root)
    (root / "params.yaml").write_text(yaml.safe_dump({"data": {}, "train": {}}))
    assert not run._is_current(state)
    (root / "a.py").write_text("x = 2\n")
    assert not run._is_current(state)
    (root / "a.py").unlink()
    assert not run._is_current(state)


def test_data_in_the_cache_need_no_source(root: Path) -> None:
    """Data in the workspace or in DVC's cache are at hand; a digest in dvc.lock alone is not."""
    assert not run._has_data(root, "digits")
    stages = {"download": {"outs": [{"path": "data/digits", "md5": "abcdef.dir"}]}}
    (root / "dvc.lock").write_text(yaml.safe_dump({"stages": stages}))
    assert not run._has_data(root, "digits")
    cached = root / ".dvc/cache/files/md5/ab/cdef.dir"
    cached.parent.mkdir(parents=True)
    cached.touch()
    assert run._has_data(root, "digits")
    (root / "data/other").mkdir(parents=True)
    assert run._has_data(root, "other")


def test_what_dvc_restored_is_filled_in_and_a_lost_store_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the pipeline the workspace's run is completed, told only where there was something to do."""

    def nothing(root: Path, names: list[str]) -> Iterator[str]:
        yield f"{NOTHING_TO_DO}: all there"

    def something(root: Path, names: list[str]) -> Iterator[str]:
        assert names == ["workspace"]
        yield "added outputs.evaluate"
        raise RuntimeError("the server does not answer")

    monkeypatch.setattr(workflow, "sync", nothing)
    run._complete_run(tmp_path)
    monkeypatch.setattr(workflow, "sync", something)
    run._complete_run(tmp_path)
    captured = capsys.readouterr()
    assert captured.out == "added outputs.evaluate\n"
    assert captured.err == "not recorded in MLflow: the server does not answer\n"
