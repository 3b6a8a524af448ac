"""Tables: which column is the label, what is a feature, what is refused; Hugging Face's own files."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet
from small_data import own

from softmax_regression.download.finding import find
from softmax_regression.download.raw import Reading
from softmax_regression.download.tables import read_tables


def read(folder: Path, **changes: Any) -> Reading:
    """Read the data set "x" in a folder."""
    (folder / "raw").mkdir()
    return read_tables(find("x", folder), own(**changes), folder / "raw")


def frame() -> pd.DataFrame:
    """Return a table of four rows with text as labels."""
    columns = {"a": [1.0, 2, 3, 4], "b": [True, False, True, False], "who": ["p", "p", "q", "q"], "species": [*"xyxy"]}
    return pd.DataFrame(columns)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_columns_have_their_roles(tmp_path: Path, ending: str) -> None:
    """Label, group and what is left out are no features; booleans are 0 and 1; what it was read by is recorded."""
    table = frame().assign(note=["some", None, "more", "text"])
    table.to_csv(tmp_path / "x.csv", index=False) if ending == "csv" else table.to_parquet(tmp_path / "x.parquet")
    found = read(tmp_path, label="species", group="who", leave_out=["note"])
    (piece,) = found.pieces
    assert found.feature_names == ("a", "b")
    assert piece.values.tolist() == [[1, 1], [2, 0], [3, 1], [4, 0]]
    assert (piece.labels.values, piece.labels.codes.tolist()) == (("x", "y"), [0, 1, 0, 1])
    assert piece.groups is not None
    assert piece.groups.codes.tolist() == [0, 0, 1, 1]
    assert found.settings == {"label": "species", "group": "who", "leave_out": "note"}


@pytest.mark.parametrize("name", ["label", "Class", "TARGET", "y"])
def test_the_label_by_its_usual_names(tmp_path: Path, name: str) -> None:
    """One column called so, in any case, is the label."""
    frame()[["a", "species"]].rename(columns={"species": name}).to_csv(tmp_path / "x.csv", index=False)
    assert read(tmp_path).settings["label"] == name


def test_an_index_is_no_feature(tmp_path: Path) -> None:
    """The column without a name that pandas writes is left out, and that is told."""
    frame()[["a", "species"]].to_csv(tmp_path / "x.csv")
    found = read(tmp_path, label="species")
    assert (found.feature_names, found.notes) == (("a",), ["left out, as an index: column without a name"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {},
            r"no column is called label, class, target, y; name the label in .*: its columns are a, b, who, species",
        ),
        ({"label": "specie"}, r"download.own.label: .*x.csv has no column 'specie'; did you mean species\?"),
        ({"label": "zzz"}, r"has no column 'zzz'; its columns are a, b, who, species"),
        ({"label": "species", "group": "whom"}, r"download.own.group: .*; did you mean who\?"),
        ({"label": "species", "leave_out": ["c"]}, r"download.own.leave_out: .*has no column 'c'"),
        ({"label": "species"}, r"no numbers in who \(string\); name such columns in download.own.leave_out, or encode"),
        ({"label": "species", "leave_out": ["a", "b", "who"]}, r"has no feature: its columns are"),
    ],
)
def test_settings_that_do_not_fit(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """A label, group or column that is not there, and text as a feature: one line with the way out."""
    frame().to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(ValueError, match=message):
        read(tmp_path, **changes)


def test_two_labels_are_unclear(tmp_path: Path) -> None:
    """Where two columns may be the label a person must say which."""
    pd.DataFrame({"a": [1], "y": [1], "Label": [2]}).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(ValueError, match="y and Label may be the label; name"):
        read(tmp_path)


def test_a_first_line_of_data(tmp_path: Path) -> None:
    """Where numbers stand for names the header is missing: the error asks for it."""
    (tmp_path / "x.csv").write_text("5.1,3.5,setosa\n4.9,3.0,setosa\n")
    with pytest.raises(ValueError, match=r"columns are 5.1, 3.5, setosa; does the first line name the columns\?$"):
        read(tmp_path)


def test_parts_in_a_folder(tmp_path: Path) -> None:
    """Columns may come in another order, and the first file's order counts."""
    (tmp_path / "x").mkdir()
    frame()[["a", "b", "species"]].to_csv(tmp_path / "x" / "train.csv", index=False)
    frame()[["species", "b", "a"]].to_csv(tmp_path / "x" / "test.csv", index=False)
    found = read(tmp_path, label="species")
    assert [piece.part for piece in found.pieces] == ["test", "train"]
    order = ["b", "a"].index(found.feature_names[0])
    assert [piece.values[2, order].item() for piece in found.pieces] == [1, 1]


def test_unequal_columns(tmp_path: Path) -> None:
    """A test table without labels, or with other columns, is refused, with what differs."""
    (tmp_path / "x").mkdir()
    frame().to_csv(tmp_path / "x" / "train.csv", index=False)
    frame().assign(c=1).drop(columns=["b"]).to_csv(tmp_path / "x" / "test.csv", index=False)
    with pytest.raises(ValueError, match=r"train.csv lacks c and has also b, unlike test.csv; give all files the same"):
        read(tmp_path, label="species", leave_out=["who"])


def test_no_rows(tmp_path: Path) -> None:
    """A header alone is no data."""
    (tmp_path / "x.csv").write_text("a,y\n")
    with pytest.raises(ValueError, match=r"x\.csv: expected examples, found none"):
        read(tmp_path)


@pytest.mark.parametrize(("kind", "stored"), [("i1", "f4"), ("u2", "f4"), ("f4", "f4"), ("i4", "f8"), ("f8", "f8")])
def test_numbers_take_the_bytes_they_need(tmp_path: Path, kind: str, stored: str) -> None:
    """Small types are kept exactly by float32, all else is float64."""
    values = np.array([0, 1, 100], kind)
    pd.DataFrame({"a": values, "y": [0, 1, 1]}).to_parquet(tmp_path / "x.parquet")
    (piece,) = read(tmp_path).pieces
    assert piece.values.dtype == stored
    assert piece.values[:, 0].tolist() == values.tolist()


def hugging_face(path: Path, column: pa.Array, labels: list[int], names: list[str] | None = None) -> None:
    """Write a Parquet file as Hugging Face's `datasets` does: names of classes in its metadata."""
    about = f'{{"info": {{"features": {{"label": {{"names": {names}, "_type": "ClassLabel"}}}}}}}}'.replace("'", '"')
    table = pa.table({"image": column, "label": labels})
    parquet.write_table(table.replace_schema_metadata({"huggingface": about} if names else {}), path)


def png(value: int, size: tuple[int, int] = (3, 2)) -> bytes:
    """Return a grey picture as a file."""
    file = io.BytesIO()
    Image.new("L", size, value).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("struct", [True, False])
def test_pictures_in_parquet(tmp_path: Path, struct: bool) -> None:
    """Shards of pictures with named classes are pictures with these names; -1 is no label."""
    (tmp_path / "x" / "data").mkdir(parents=True)
    for i in range(2):
        cells: list[Any] = [png(10 * i), png(10 * i + 1)]
        column = pa.array([{"bytes": cell, "path": None} for cell in cells] if struct else cells)
        hugging_face(tmp_path / f"x/data/train-0000{i}-of-00002.parquet", column, [i, -1], ["cat", "dog"])
    found = read(tmp_path)
    assert np.concatenate([piece.values for piece in found.pieces])[:, 0, 0].tolist() == [0, 1, 10, 11]
    assert [piece.labels.values for piece in found.pieces] == [("cat",), ("dog",)]
    assert [piece.labels.codes.tolist() for piece in found.pieces] == [[0, -1], [0, -1]]
    assert (found.scale, found.feature_names) == (255, ())
    assert found.settings == {"label": "label", "group": None, "leave_out": "", "side": None, "colour": False}


def test_lists_in_parquet(tmp_path: Path) -> None:
    """A column of lists is a vector an example, one of lists of lists a picture."""
    hugging_face(tmp_path / "x.parquet", pa.array([[1.5, 2], [3, 4]]), [0, 1])
    assert read(tmp_path).pieces[0].values.tolist() == [[1.5, 2], [3, 4]]
    hugging_face(tmp_path / "x.parquet", pa.array([[[1, 2]], [[3, 4]]], pa.list_(pa.list_(pa.uint8()))), [0, 1])
    (tmp_path / "raw").rename(tmp_path / "old")
    (piece,) = read(tmp_path).pieces
    assert (piece.values.dtype.name, piece.values.tolist()) == ("uint8", [[[1, 2]], [[3, 4]]])


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([[1.0], [2, 3]]), "its lists have several lengths, 1, 2"),
        (pa.array([["a"], ["b"]]), "its lists hold string, no numbers"),
        (pa.array([[1.0], None]), "a feature is missing in 1 rows"),
        (
            pa.array(
                [{"bytes": None, "path": "a.png"}] * 2, pa.struct([("bytes", pa.binary()), ("path", pa.string())])
            ),
            "does not hold it",
        ),
        (pa.array([b"rubbish"] * 2), "a picture in .*x.parquet cannot be read as a picture"),
        (pa.array([png(1), png(1, (4, 4))]), "pictures of several sizes"),
    ],
)
def test_one_column_that_is_no_feature(tmp_path: Path, column: pa.Array, message: str) -> None:
    """Ragged lists, lists of text, gaps, and pictures that are not there or none: one line."""
    hugging_face(tmp_path / "x.parquet", column, [0, 1])
    with pytest.raises(ValueError, match=message):
        read(tmp_path)
