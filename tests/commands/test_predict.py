"""What the model says about a person's own pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import small_data
from PIL import Image

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.artifacts.outcome import Epoch, Outcome, write_outcome
from softmax_regression.commands.predict import TRAIN, predict_pictures
from softmax_regression.data.datasets import Dataset


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a project whose model tells dark from bright pictures, digits' scale of 16."""
    train, test = (small_data.make_examples(4, (8, 8), 2, seed=seed) for seed in (1, 2))
    dataset = Dataset("small", ("dark", "bright"), 16, train, test)
    weight = np.stack([np.zeros(64), np.full(64, 1.0)]).astype(np.float32)
    outcome = Outcome(weight, np.array([10, 0], np.float32), [Epoch(epoch=1, train_loss=1, train_accuracy=1)], {})
    write_outcome(tmp_path / TRAIN, outcome, Experiment(params={}, data={}, code={}), dataset)
    return tmp_path


def test_a_picture_gets_label_probabilities_and_a_drawing(root: Path) -> None:
    """The line names the most probable class; the notes say what was done; the drawing is where it says."""
    page = np.full((60, 60), 255, np.uint8)
    page[10:50, 10:50] = 0  # a black square on white: inverted, it fills the 8x8 pixels with white
    Image.fromarray(page).save(root / "mine.png")
    lines = list(predict_pictures(root, [root / "mine.png"], None, root / "out"))
    assert lines[0] == f"{root / 'mine.png'}: bright 100.0%, dark 0.0%"  # 64 - 10 logits apart
    assert "inverted" in lines[1]
    assert (root / "out" / "mine.png").read_bytes().startswith(b"\x89PNG")


def test_no_picture_is_one_clear_error(root: Path) -> None:
    """A file that is no picture, and one that is not there."""
    (root / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match="is no picture"):
        list(predict_pictures(root, [root / "notes.txt"], None, root / "out"))
    with pytest.raises(FileNotFoundError):
        list(predict_pictures(root, [root / "absent.png"], None, root / "out"))


def test_no_model_says_what_to_run(tmp_path: Path) -> None:
    """Before the first training the error names the command."""
    with pytest.raises(FileNotFoundError, match="dvc repro train"):
        list(predict_pictures(tmp_path, [tmp_path / "a.png"], None, tmp_path))
