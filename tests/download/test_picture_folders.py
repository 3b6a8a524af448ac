"""Folders of pictures: the folder's name is the class; parts may lie above."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from small_data import own

from softmax_regression.download.finding import find
from softmax_regression.download.picture_folders import read_pictures
from softmax_regression.download.raw import Reading


def read(folder: Path, *names: str, **changes: Any) -> Reading:
    """Make pictures, each of its number as grey, and read the data set "x"."""
    for number, name in enumerate(names):
        (folder / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (3, 2), number).save(folder / "x" / name)
    (folder / "raw").mkdir()
    return read_pictures(find("x", folder), own(**changes), folder / "raw")


def by_part(found: Reading) -> dict[str | None, list[tuple[int, str]]]:
    """Return the grey and the class of each picture, by part."""
    return {
        piece.part: [
            (int(values[0, 0]), piece.labels.values[code])
            for values, code in zip(piece.values, piece.labels.codes, strict=True)
        ]
        for piece in found.pieces
    }


@pytest.mark.parametrize("above", ["", "flower_photos/", "train/", "a/b/"])
def test_a_folder_is_a_class(tmp_path: Path, above: str) -> None:
    """In it or in folders around all; hidden folders, and files of other kinds, are no classes."""
    names = [f"{above}{name}" for name in ("roses/1.png", "roses/2.JPG", "tulips/1.png")]
    (tmp_path / "x" / above / ".ipynb_checkpoints").mkdir(parents=True)
    Image.new("L", (1, 1)).save(tmp_path / "x" / above / ".ipynb_checkpoints" / "1.png")
    (tmp_path / "x" / "notes.txt").touch()
    found = read(tmp_path, *names)
    assert by_part(found) == {None: [(0, "roses"), (1, "roses"), (2, "tulips")]}
    assert (found.scale, found.settings) == (255, {"side": None, "colour": False})


def test_parts_lie_above_the_classes(tmp_path: Path) -> None:
    """train/CLASS, valid/CLASS and test/CLASS are the three parts."""
    names = ("train/a/1.png", "valid/a/1.png", "test/a/1.png", "test/b/1.png", "train/b/1.png")
    assert by_part(read(tmp_path, *names)) == {
        "test": [(2, "a"), (3, "b")],
        "train": [(0, "a"), (4, "b")],
        "validation": [(1, "a")],
    }


def test_a_class_may_be_called_test(tmp_path: Path) -> None:
    """Beside other classes a word for a part is a class."""
    assert by_part(read(tmp_path, "a/1.png", "test/1.png")) == {None: [(0, "a"), (1, "test")]}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1.png"], "x: 1.png name no class; pictures lie as CLASS/FILE, or as train/CLASS/FILE"),
        (["a/1.png", "2.png"], "2.png and a/1.png name no class|a/1.png and 2.png name no class"),
        (["train/1.png", "test/1.png"], "test/1.png name no class"),
        (["train/a/1.png", "other/a/1.png"], "other/a/1.png name no class"),
        (["a/b/c/1.png", "d/e/f/1.png"], "a/b/c/1.png name no class"),
    ],
)
def test_folders_that_say_no_class(tmp_path: Path, names: list[str], message: str) -> None:
    """Pictures beside folders, parts without classes, depths that differ: one line that shows a file."""
    with pytest.raises(ValueError, match=message):
        read(tmp_path, *names)


def test_pictures_have_no_groups(tmp_path: Path) -> None:
    """A group that is set for another data set would be forgotten in silence: it is refused."""
    with pytest.raises(
        ValueError, match=r"download.own.group: .*holds pictures, which have no columns; set it to null"
    ):
        read(tmp_path, "a/1.png", group="patient")
