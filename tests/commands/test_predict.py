"""What the model says about a person's own pictures."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scratch_project import commit, write_lock, write_training

from softmax_regression.commands.predict import predict_pictures
from softmax_regression.lineage.states import TRAIN
from softmax_regression.lineage.sync import sync
from softmax_regression.tracking.run_store import RunStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a project whose model tells dark from bright pictures, digits' scale of 16."""
    write_training(tmp_path / TRAIN)
    return tmp_path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Draw a black square on white: inverted, it fills the 8x8 pixels with white."""
    page = np.full((60, 60), 255, np.uint8)
    page[10:50, 10:50] = 0
    Image.fromarray(page).save(tmp_path / "mine.png")
    return tmp_path / "mine.png"


def test_a_picture_gets_label_probabilities_and_a_drawing(root: Path, picture: Path) -> None:
    """The line names the most probable class; the notes say what was done; the drawing is where it says."""
    lines = list(predict_pictures(root, [picture], "workspace", root / "out"))
    assert lines[0] == f"{picture}: bright 100.0%, dark 0.0%"  # 64 - 10 logits apart
    assert "inverted" in lines[1]
    assert lines[2] == f"  what the model saw: {root / 'out' / 'mine'}.png"
    assert (root / "out" / "mine.png").read_bytes().startswith(b"\x89PNG")
    assert not (root / "mlflow.db").exists()  # the workspace's model needs no store


def test_no_picture_is_one_clear_error(root: Path) -> None:
    """A file that is no picture, and one that is not there."""
    (root / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match="is no picture"):
        list(predict_pictures(root, [root / "notes.txt"], "workspace", root / "out"))
    with pytest.raises(FileNotFoundError):
        list(predict_pictures(root, [root / "absent.png"], "workspace", root / "out"))


def test_no_model_says_what_to_run(tmp_path: Path) -> None:
    """Before the first training the error names the command."""
    with pytest.raises(FileNotFoundError, match="dvc repro train"):
        list(predict_pictures(tmp_path, [tmp_path / "a.png"], "workspace", tmp_path))


def test_the_model_of_any_run_answers(root: Path, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit, best and a run's id name it as elsewhere, each model gives its answer; a wrong word is refused."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_lock(root)
    commit(root)
    list(sync(root))
    (run,) = RunStore.open(root).runs()
    shutil.rmtree(root / TRAIN)
    write_training(root / TRAIN, weight=0.0)  # to this one everything is dark
    assert "dark 100.0%" in next(predict_pictures(root, [picture], "workspace", root / "out"))
    for ref in ("HEAD", "best", run.run_id):
        assert "bright 100.0%" in next(predict_pictures(root, [picture], ref, root / "out"))
    with pytest.raises(ValueError, match="'nobody' names no run, DVC experiment or commit"):
        list(predict_pictures(root, [picture], "nobody", root / "out"))
