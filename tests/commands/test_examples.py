"""A person's tables and arrays come out as the model's features, or are refused in one line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from safetensors.numpy import save_file

from softmax_regression.artifacts.model import Model
from softmax_regression.commands import examples
from softmax_regression.commands.examples import read_examples
from softmax_regression.download import table_files

NAMES = ("length", "width")
POINTS = np.array([[1.5, -2.0], [3.0, 4.25], [0.0, 1e-3], [7.0, 8.0], [9.0, 10.0]])


def model_of(
    names: Sequence[str] = NAMES, shape: tuple[int, ...] = (2,), scale: float | tuple[float, ...] = (1.0, 4.0)
) -> Model:
    """Make a model of two classes."""
    return Model({"weight": np.zeros((2, 2), np.float32)}, "flowers", ("a", "b"), shape, scale, tuple(names))


def read(path: Path, model: Model | None = None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return all examples of a file, and the notes."""
    found = read_examples(path, model or model_of())
    return np.concatenate([*found.blocks]), found.notes


def write(path: Path, text: str) -> Path:
    """Write a text file; return its path."""
    path.write_text(text)
    return path


def write_arrays(path: Path, **arrays: np.ndarray) -> Path:
    """Write arrays in the format that the path's end says; return the path."""
    if path.suffix == ".npy":
        (array,) = arrays.values()
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez(path, **arrays)  # type: ignore[arg-type]  # NumPy's types take them for its own options
    else:
        save_file(arrays, path)
    return path


def csv_of(points: np.ndarray = POINTS) -> str:
    """Return a table with an id, the two features in the other order, and the label."""
    rows = [f"{i},{width!r},{length!r},a" for i, (length, width) in enumerate(points.tolist())]
    return "\n".join(["id,width,length,kind", *rows, ""])


def test_columns_are_found_by_name_in_any_order(tmp_path: Path) -> None:
    """A CSV table gives the features in the model's order, to the last bit; other columns are noted."""
    values, notes = read(write(tmp_path / "a.csv", csv_of()))
    assert values.tolist() == POINTS.tolist()
    assert notes == ("left out, as the model does not know them: id, kind",)


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32(), pa.int16(), pa.bool_(), pa.decimal128(22, 3)])
def test_parquet_gives_numbers_of_any_type(tmp_path: Path, kind: pa.DataType) -> None:
    """Floats, integers, true and false, and decimals are numbers."""
    table = pa.table({"width": pa.array([0, 1]).cast(kind), "id": ["x", "y"], "length": [2.5, 3.5]})
    parquet.write_table(table, tmp_path / "a.parquet")
    values, notes = read(tmp_path / "a.parquet")
    assert values.tolist() == [[2.5, 0], [3.5, 1]]
    assert notes == ("left out, as the model does not know them: id",)


@pytest.mark.parametrize("end", [".csv", ".parquet", ".npy", ".npz", ".safetensors"])
def test_a_large_file_comes_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """No block has more rows than fit; together they are the file's."""
    monkeypatch.setattr(examples, "_BLOCK", 4)
    path = tmp_path / f"a{end}"
    if end == ".csv":
        write(path, csv_of())
    elif end == ".parquet":
        parquet.write_table(pa.table({"length": POINTS[:, 0], "width": POINTS[:, 1]}), path)
    else:
        write_arrays(path, X=POINTS)
    blocks = list(read_examples(path, model_of()).blocks)
    assert [len(block) for block in blocks] == [2, 2, 1]
    assert np.concatenate(blocks).tolist() == POINTS.tolist()


def test_an_unnamed_table_has_exactly_the_models_columns(tmp_path: Path) -> None:
    """Where features have no names, the columns are taken in their order; one more is refused."""
    path = write(tmp_path / "a.csv", "x,y\n1,2\n")
    assert read(path, model_of(()))[0].tolist() == [[1, 2]]
    path = write(tmp_path / "b.csv", csv_of())
    with pytest.raises(ValueError, match=r"b\.csv has 4 columns; the features of flowers have no names, so give"):
        read(path, model_of(()))


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float32(), 2), pa.large_list(pa.float64())])
def test_one_column_of_lists_stands_for_all(tmp_path: Path, kind: pa.DataType) -> None:
    """Where features have no names, as of embeddings, a column of lists holds them; other lengths are refused."""
    parquet.write_table(
        pa.table({"text": ["x"] * 5, "vector": pa.array(POINTS.astype(np.float32).tolist(), kind)}),
        tmp_path / "a.parquet",
    )
    values, notes = read(tmp_path / "a.parquet", model_of(()))
    assert values.tolist() == POINTS.astype(np.float32).tolist()
    assert notes == ("left out, as the model does not know them: text",)
    parquet.write_table(pa.table({"vector": [[1.0, 2.0], [3.0]]}), tmp_path / "b.parquet")
    with pytest.raises(ValueError, match=r"b\.parquet: expected lists of 2 numbers, found one of 1"):
        read(tmp_path / "b.parquet", model_of(()))


@pytest.mark.parametrize("end", [".npy", ".npz", ".safetensors"])
def test_an_array_holds_examples_or_one(tmp_path: Path, end: str) -> None:
    """(N, D) and (D,), whole numbers or short floats, are examples."""
    assert read(write_arrays(tmp_path / f"a{end}", X=POINTS.astype(np.float16)))[0].shape == (5, 2)
    assert read(write_arrays(tmp_path / f"b{end}", X=np.array([7, -8], np.int8)))[0].tolist() == [[7, -8]]


@pytest.mark.parametrize("end", [".npz", ".safetensors"])
def test_the_array_with_the_examples_shape_is_taken(tmp_path: Path, end: str) -> None:
    """Labels beside it are left out and noted; two that fit are refused with their names."""
    values, notes = read(write_arrays(tmp_path / f"a{end}", y=np.arange(5), X=POINTS))
    assert values.tolist() == POINTS.tolist()
    assert notes == ("left out, as X alone has the shape of examples: y",)
    with pytest.raises(ValueError, match=r"holds .*two \(5, 2\).*; give one array of shape \(N, 2\), or one example"):
        read(write_arrays(tmp_path / f"b{end}", one=POINTS, two=POINTS))


def test_arrays_of_pictures_hold_pixels(tmp_path: Path) -> None:
    """For a model of pictures (N, H, W) whole numbers up to its scale are taken, fractions and larger ones are not."""
    model = model_of((), (1, 2), 16.0)
    assert read(write_arrays(tmp_path / "a.npy", X=np.array([[[0, 16]]])), model)[0].tolist() == [[0, 16]]
    for wrong in (17, 0.5, -1):
        path = write_arrays(tmp_path / "b.npy", X=np.array([[[0, 3]], [[0, wrong]]]))
        with pytest.raises(ValueError, match=rf"row 2: expected a pixel, a whole number of 0 to 16, found {wrong}"):
            read(path, model)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("length,kind\n1,a\n", "lacks 1 of the model's 2 columns: width; it has length, kind"),
        ("length,width\n1,2\n3,wide\n", "column width holds 'wide' among numbers in row 2; correct it"),
        ("length,width\n1,2\n3,\n", "column width, row 2: expected a finite number, found nothing, or NaN"),
        ("length,width\nnan,2\n", "column length, row 1: expected a finite number, found nothing, or NaN"),
        ("length,width\n1,-inf\n", "column width, row 1: expected a finite number, found -inf"),
        ("length,width,width\n1,2,3\n", "width names more than one column; give each column its own name"),
        ("length,width\n1,2\n3\n", "CSV parse error: Row #3: Expected 2 columns, got 1: 3; give a whole .csv file"),
        ("length,width\n", "holds no rows; give one or more"),
        (
            "\n".join([",".join("abcdefgh"), ""]),
            "lacks 2 of the model's 2 columns: length, width; it has a, b, c, d, e, f, g, h",
        ),
        ("", "Empty CSV file; give a whole .csv file"),
    ],
    ids=["missing", "text", "gap", "NaN", "infinity", "twice", "ragged", "no rows", "others", "empty"],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """One line names the file, the column and the row, from 1 after the header."""
    path = write(tmp_path / "a.csv", text)
    with pytest.raises(ValueError, match=f"a[.]csv:? {said}") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_text_far_down_a_large_table_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row is counted through all blocks of the file."""
    monkeypatch.setattr(table_files, "_CSV_BLOCK", 2**12)
    path = write(tmp_path / "a.csv", "length,width\n" + "1,2\n" * 5000 + "wide,2\n")
    with pytest.raises(ValueError, match="column length holds 'wide' among numbers in row 5001; correct it"):
        read(path)


def test_text_in_parquet_is_refused(tmp_path: Path) -> None:
    """A column of text is named, with its type."""
    parquet.write_table(pa.table({"length": [1.0], "width": ["wide"]}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="column width, row 1: expected a number, found string"):
        read(tmp_path / "a.parquet")


@pytest.mark.parametrize("end", [".parquet", ".npy", ".npz", ".safetensors"])
@pytest.mark.parametrize("damage", [lambda content: content[:-9], lambda content: b"", lambda content: b"x" * 40])
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, end: str, damage: Any) -> None:
    """A truncated, empty or foreign file: what was found, what to do."""
    path = tmp_path / f"a{end}"
    if end == ".parquet":
        parquet.write_table(pa.table({"length": POINTS[:, 0], "width": POINTS[:, 1]}), path)
    else:
        write_arrays(path, X=POINTS)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"a\{end}: .*; give a whole \{end} file") as caught:
        read(path)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("array", [np.array([["a", "b"]]), np.array([[1 + 2j, 3]])])
def test_an_array_of_no_numbers_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    """Text and complex numbers are no features."""
    with pytest.raises(ValueError, match=r"a\.npy holds .*; give numbers"):
        read(write_arrays(tmp_path / "a.npy", X=array))


@pytest.mark.parametrize("shape", [(5, 2, 2, 3), (5, 3, 2, 2), (2, 2, 3), (3, 2, 2), (1, 3, 2, 2)])
def test_channels_may_come_first(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Pictures in colour as torch has them become pictures as they are stored."""
    pixels = np.arange(60).reshape(5, 2, 2, 3)[: shape[0] if len(shape) == 4 else 1]
    given = pixels if shape[-1] == 3 else np.moveaxis(pixels, 3, 1)
    path = write_arrays(tmp_path / "a.npy", X=np.ascontiguousarray(given.reshape(shape)))
    model = model_of((), (2, 2, 3), 255.0)
    assert read(path, model)[0].tolist() == pixels.reshape(len(pixels), 12).tolist()


@pytest.mark.parametrize("shape", [(5, 1, 2, 3), (5, 2, 3, 1), (5, 2, 3), (1, 2, 3), (2, 3)])
def test_an_axis_of_length_one_does_not_matter(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Grey pictures may have one channel, before or behind."""
    pixels = np.arange(np.prod(shape)).reshape(shape)
    values, _ = read(write_arrays(tmp_path / "a.npy", X=pixels), model_of((), (2, 3), 255.0))
    assert values.tolist() == pixels.reshape(-1, 6).tolist()


def test_one_feature_may_be_a_plain_list(tmp_path: Path) -> None:
    """(N,) numbers are N examples for a model of one feature."""
    assert read(write_arrays(tmp_path / "a.npy", X=np.arange(3)), model_of((), (1,), (1.0,)))[0].tolist() == [
        [0],
        [1],
        [2],
    ]


def test_an_array_of_another_shape_is_refused(tmp_path: Path) -> None:
    """What was found and what is wanted are shapes."""
    with pytest.raises(ValueError, match=r"a\.npy holds \(5, 3\); give one array of shape \(N, 2\), or one example"):
        read(write_arrays(tmp_path / "a.npy", X=np.zeros((5, 3))))
