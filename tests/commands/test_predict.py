"""What the model says about a person's own pictures, tables and arrays."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_data
from PIL import Image
from scratch_project import commit, write_lock, write_training

from softmax_regression.artifacts.model import read_model, write_tensors
from softmax_regression.commands import examples
from softmax_regression.commands.predict import Refusal, predict_files
from softmax_regression.data import npy
from softmax_regression.download.packing import pack
from softmax_regression.download.raw import Rows
from softmax_regression.lineage.states import TRAIN
from softmax_regression.lineage.sync import sync
from softmax_regression.tracking.run_store import RunStore

NAMES = ("length", "width")


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


def write_vectors(root: Path, classes: Sequence[str] = ("a", "b", "c")) -> tuple[np.ndarray, np.ndarray]:
    """Make a project whose model takes standardised, packed, named features; return raw test examples and as stored."""
    draw = np.random.default_rng(0)
    train, test = (draw.normal([1, 500], [0.01, 90], (size, 2)) for size in (40, 11))
    packed = pack(Rows(((train, None),)), Rows(((test, None),)), root / "prepared", standardise=True)
    assert packed.standardisation is not None
    taken = {"mean": packed.standardisation.mean, "deviation": packed.standardisation.deviation}
    facts = {"data": "flowers", "class_names": classes, "example_shape": [2], "scale": packed.scale}
    weight = draw.normal(size=(len(classes), 2)).astype(np.float32)
    write_tensors(root / TRAIN / "model.safetensors", {"weight": weight})
    (root / TRAIN / "model.json").write_text(json.dumps(facts | {"feature_names": NAMES, "standardise": taken}))
    return test, np.array(npy.read(root / "prepared" / "test-images.npy"))


def write_table(path: Path, points: np.ndarray) -> Path:
    """Write a CSV table with a label and the columns in another order; return its path."""
    path.write_text("width,kind,length\n" + "".join(f"{width!r},a,{length!r}\n" for length, width in points.tolist()))
    return path


def answers_in(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of answers."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_picture_gets_label_probabilities_and_a_drawing(root: Path, picture: Path) -> None:
    """The line names the most probable class; the notes say what was done; the drawing is where it says."""
    lines = list(predict_files(root, [picture], "workspace", root / "out"))
    assert lines[0] == f"{picture} (60 x 60, shrunk to 8 x 8): bright 100.0%, dark 0.0%"  # 64 - 10 logits apart
    assert "inverted" in lines[1]
    assert lines[2] == f"  what the model saw: {root / 'out' / 'mine'}.png"
    assert (root / "out" / "mine.png").read_bytes().startswith(b"\x89PNG")
    assert not (root / "mlflow.db").exists()  # the workspace's model needs no store


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((3024, 4032), "(4032 x 3024, shrunk to 8 x 8)"),
        ((8, 8), "(8 x 8)"),
        ((4, 6), "(6 x 4, enlarged to 8 x 8)"),
    ],
)
def test_the_size_that_is_told_is_that_of_the_persons_own_file(root: Path, shape: tuple[int, int], said: str) -> None:
    """Width x height as the file has them, not as they are shown, and what became of them."""
    page = np.zeros(shape, np.uint8)
    page[shape[0] // 4 :, shape[1] // 4 :] = 255
    Image.fromarray(page).save(root / "mine.png")
    line = next(predict_files(root, [root / "mine.png"], "workspace", root / "out"))
    assert line.startswith(f"{root / 'mine.png'} {said}: ")


@pytest.mark.parametrize("side", [8, 60])
def test_a_black_picture_is_answered(root: Path, side: int) -> None:
    """It is seen as black, of the model's own size or another, and what the label is worth is said."""
    Image.new("RGB", (side, side)).save(root / "black.png")
    lines = list(predict_files(root, [root / "black.png"], "workspace", root / "out"))
    assert "dark 100.0%, bright 0.0%" in lines[0]
    assert lines[1] == "  it is black: no object stands out, so the label may mean little"


@pytest.mark.parametrize(("shape", "share"), [((8, 8), "bright"), ((8, 8, 3), "bright")])
def test_own_pictures_are_seen_whole(root: Path, picture: Path, shape: tuple[int, ...], share: str) -> None:
    """The model of pictures that are not framed, or in colour, sees the whole page, which is not inverted."""
    facts = json.loads((root / TRAIN / "model.json").read_text()) | {"framed": False, "example_shape": shape}
    (root / TRAIN / "model.json").write_text(json.dumps(facts))
    weight = np.zeros((2, np.prod(shape)), np.float32)
    weight[1, 0] = 20  # the page's corner is white
    write_tensors(root / TRAIN / "model.safetensors", {"weight": weight})
    lines = list(predict_files(root, [picture], "workspace", root / "out"))
    assert lines[0] == f"{picture} (60 x 60, shrunk to 8 x 8): {share} 100.0%, dark 0.0%"
    assert lines[1] == f"  what the model saw: {root / 'out' / 'mine'}.png"


def test_a_table_gets_an_answer_a_row(root: Path) -> None:
    """Raw rows get what the model says of the same examples as stored; the first are lines, all are in a file."""
    raw, stored = write_vectors(root)
    path = write_table(root / "mine.csv", raw)
    lines = list(predict_files(root, [path], "workspace", root / "out"))
    probabilities = read_model(root / TRAIN).probabilities(stored)
    best = probabilities.argmax(axis=1)
    assert lines[0] == f"{path}:"
    assert lines[1].startswith(f"  row 1: {'abc'[best[0]]} {probabilities[0, best[0]]:.1%}, ")
    assert [line[:8] for line in lines[1:6]] == [f"  row {row}:" for row in range(1, 6)]
    assert lines[6:] == [
        "  left out, as the model does not know them: kind",
        f"  11 answers: {root / 'out' / 'mine.csv'}",
    ]
    rows = answers_in(root / "out" / "mine.csv")
    assert list(rows[0]) == ["row", "label", "P(a)", "P(b)", "P(c)"]
    assert [row["row"] for row in rows] == [str(row) for row in range(1, 12)]
    assert [row["label"] for row in rows] == ["abc"[k] for k in best]
    found = [[float(row[f"P({name})"]) for name in "abc"] for row in rows]
    assert found == np.round(probabilities, 6).tolist()


def test_the_answers_do_not_depend_on_blocks(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that is read in blocks gets the same file as one that fits into a block."""
    raw, _ = write_vectors(root)
    path = write_table(root / "mine.csv", raw)
    list(predict_files(root, [path], "workspace", root / "whole"))
    monkeypatch.setattr(examples, "_BLOCK", 9)
    lines = list(predict_files(root, [path], "workspace", root / "blocks"))
    assert len([line for line in lines if line.startswith("  row ")]) == 3  # those of the first block
    assert (root / "blocks" / "mine.csv").read_bytes() == (root / "whole" / "mine.csv").read_bytes()


def test_an_array_of_pictures_gets_an_answer_each(root: Path) -> None:
    """A model of pictures answers an array as it answers the data set's own examples."""
    pixels = small_data.make_examples(3, (8, 8)).images // 16
    np.save(root / "mine.npy", pixels)
    lines = list(predict_files(root, [root / "mine.npy"], "workspace", root / "out"))
    assert lines[-1] == f"  3 answers: {root / 'out' / 'mine.csv'}"
    probabilities = read_model(root / TRAIN).probabilities(pixels)
    found = [float(row["P(bright)"]) for row in answers_in(root / "out" / "mine.csv")]
    assert found == np.round(probabilities[:, 1], 6).tolist()


def test_of_many_classes_the_best_three_are_written(root: Path) -> None:
    """With 101 classes a row has three labels with their probabilities, not 101 columns."""
    names = [f"kind {k}" for k in range(101)]
    raw, stored = write_vectors(root, names)
    list(predict_files(root, [write_table(root / "mine.csv", raw)], "workspace", root / "out"))
    probabilities = read_model(root / TRAIN).probabilities(stored)
    order = (-probabilities).argsort(axis=1)
    rows = answers_in(root / "out" / "mine.csv")
    assert list(rows[0]) == ["row", "label", "probability", "label 2", "probability 2", "label 3", "probability 3"]
    for row, classes, shares in zip(rows, order, probabilities, strict=True):
        assert [row["label"], row["label 2"], row["label 3"]] == [names[k] for k in classes[:3]]
        assert float(row["probability 3"]) == round(shares[classes[2]], 6)


def test_of_many_classes_the_best_are_drawn(root: Path, picture: Path) -> None:
    """A picture's drawing has no thousand bars."""
    facts = json.loads((root / TRAIN / "model.json").read_text())
    facts["class_names"] = [f"kind {k}" for k in range(1000)]
    (root / TRAIN / "model.json").write_text(json.dumps(facts))
    weight = np.zeros((1000, 64), np.float32)
    weight[700] = 1
    write_tensors(root / TRAIN / "model.safetensors", {"weight": weight})
    assert "kind 700 100.0%" in next(predict_files(root, [picture], "workspace", root / "out"))
    with Image.open(root / "out" / "mine.png") as drawing:
        assert drawing.height < 2 * drawing.width


def test_a_file_without_an_answer_is_one_line_and_the_rest_is_answered(root: Path, picture: Path) -> None:
    """A file that is no picture, one that is not there, a folder and a table: a line each, then the next file."""
    (root / "notes.txt").write_text("hello")
    (root / "table.csv").write_text("a\n1\n")
    files = [root / "notes.txt", root / "absent.png", root, root / "table.csv", picture]
    lines = list(predict_files(root, files, "workspace", root / "out"))
    refused = ["is no picture of a known kind", "no such file", "is a folder", "is a table; the model of small takes"]
    for line, said in zip(lines, refused, strict=False):
        assert isinstance(line, Refusal)
        assert line.startswith("error: ")
        assert said in line
    assert lines[4].startswith(f"{picture} (60 x 60, shrunk to 8 x 8): bright")
    assert not any(isinstance(line, Refusal) for line in lines[4:])
    assert {path.stem for path in (root / "out").iterdir()} == {"mine"}


@pytest.mark.parametrize("suffix", ["", ".png", ".csv", ".npy"])
@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
def test_what_is_no_file_is_refused_and_not_opened(root: Path, picture: Path, kind: str, suffix: str) -> None:
    """A pipe would be waited for, /dev/zero read, without an end: one line, then the next file."""
    path = root / f"mine{suffix}"
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(root):  # a socket's path may not be long
            server.bind(path.name)
    other = root / "other.png"
    Image.new("L", (8, 8), 255).save(other)
    lines = list(predict_files(root, [path, other], "workspace", root / "out"))
    assert lines[0] == f"error: {path} is a pipe or a device; give a file"
    assert str(other) in lines[1]


def test_an_array_that_is_locked_does_not_end_the_rest(root: Path, picture: Path) -> None:
    """An encrypted archive is refused in one line, then the next file is answered."""
    np.savez(root / "locked.npz", x=small_data.make_examples(3, (8, 8)).images)
    content = bytearray((root / "locked.npz").read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1  # the flag that says so
    (root / "locked.npz").write_bytes(content)
    lines = list(predict_files(root, [root / "locked.npz", picture], "workspace", root / "out"))
    assert isinstance(lines[0], Refusal)
    assert "locked.npz" in lines[0]
    assert lines[1].startswith(f"{picture} (60 x 60, shrunk to 8 x 8): bright")


def test_a_model_of_vectors_takes_no_pictures_and_a_bad_row_no_file(root: Path, picture: Path) -> None:
    """A picture is refused with what to give; a table with a bad row has its line and leaves no part of a file."""
    raw, _ = write_vectors(root)
    bad = write_table(root / "bad.csv", np.vstack([raw, [np.nan, 1]]))
    good = write_table(root / "good.csv", raw)
    lines = list(predict_files(root, [picture, bad, good], "workspace", root / "out"))
    refused = [line for line in lines if isinstance(line, Refusal)]
    assert "is no table; the model of flowers takes rows of 2 features: give a .csv, .tsv, .parquet," in refused[0]
    assert "column length, row 12: expected a finite number" in refused[1]
    assert len(refused) == 2
    assert [path.name for path in (root / "out").iterdir()] == ["good.csv"]


def test_answers_of_one_stem_replace_neither_each_other_nor_the_files(root: Path, picture: Path) -> None:
    """The second gets a number, the same in the next call; in the files' own folder, every answer gets one."""
    other = root / "other" / "mine.png"
    other.parent.mkdir()
    shutil.copy(picture, other)
    for _ in range(2):
        list(predict_files(root, [picture, other], "workspace", root / "out"))
        assert {path.name for path in (root / "out").glob("*.png")} == {"mine-2.png", "mine.png"}
    given = picture.read_bytes()
    lines = list(predict_files(root, [picture], "workspace", root))
    assert lines[-1] == f"  what the model saw: {root / 'mine-2.png'}"
    assert picture.read_bytes() == given


def test_no_model_says_what_to_run(tmp_path: Path) -> None:
    """Before the first training the error names the command."""
    with pytest.raises(FileNotFoundError, match="dvc repro train"):
        list(predict_files(tmp_path, [tmp_path / "a.png"], "workspace", tmp_path))


def test_the_model_of_any_run_answers(root: Path, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit, best and a run's id name it as elsewhere, each model gives its answer; a wrong word is refused."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_lock(root)
    commit(root)
    list(sync(root))
    (run,) = RunStore.open(root).runs()
    shutil.rmtree(root / TRAIN)
    write_training(root / TRAIN, weight=0.0)  # to this one everything is dark
    assert "dark 100.0%" in next(predict_files(root, [picture], "workspace", root / "out"))
    for ref in ("HEAD", "best", run.run_id):
        assert "bright 100.0%" in next(predict_files(root, [picture], ref, root / "out"))
    (kept,) = (root / "mlruns").glob(f"**/{run.run_id}/artifacts/model.json")
    kept.write_text("{")
    message = r"the run .*: model\.json is damaged: .*; delete the run in MLflow, and run `softmax-regression sync`$"
    with pytest.raises(ValueError, match=message):
        list(predict_files(root, [picture], run.run_id, root / "out"))
    with pytest.raises(ValueError, match="'nobody' names no run, DVC experiment or commit"):
        list(predict_files(root, [picture], "nobody", root / "out"))
