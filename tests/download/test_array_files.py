"""Arrays: names say what each is; whatever is stored row by row or column by column, zipped or not, is read alike."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch
from small_data import own

from softmax_regression.download.array_files import read_arrays
from softmax_regression.download.finding import find
from softmax_regression.download.raw import Reading

X, Y = np.arange(12.0).reshape(4, 3), np.array([0, 1, 0, 1])


def read(folder: Path, **changes: Any) -> Reading:
    """Read the data set "x" in a folder."""
    (folder / "raw").mkdir()
    return read_arrays(find("x", folder), own(**changes), folder / "raw")


def save(folder: Path, kind: str, /, **arrays: np.ndarray) -> None:
    """Save arrays as the data set "x"."""
    if kind == "npz":
        np.savez(folder / "x.npz", allow_pickle=True, **arrays)
    elif kind == "zipped npz":
        np.savez_compressed(folder / "x.npz", allow_pickle=True, **arrays)
    elif kind == "safetensors":
        save_file(arrays, folder / "x.safetensors")
    else:
        (folder / "x").mkdir()
        for name, array in arrays.items():
            np.save(folder / "x" / f"{name}.npy", array)


@pytest.mark.parametrize("kind", ["npz", "zipped npz", "safetensors", "npy"])
@pytest.mark.parametrize(
    ("features", "labels"),
    [("X", "y"), ("features", "labels"), ("data", "target"), ("images", "label"), ("x", "Y")],
)
def test_the_usual_names_in_every_kind_of_file(tmp_path: Path, kind: str, features: str, labels: str) -> None:
    """Features and labels come as they were saved."""
    save(tmp_path, kind, **{features: X, labels: Y})
    found = read(tmp_path)
    (piece,) = found.pieces
    np.testing.assert_array_equal(piece.values, X)
    assert [piece.labels.values[code] for code in piece.labels.codes] == Y.tolist()
    assert (piece.part, found.notes, found.feature_names) == (None, [], ())


@pytest.mark.parametrize("kind", ["npz", "safetensors", "npy"])
def test_parts(tmp_path: Path, kind: str) -> None:
    """X_train and y_train, test_images and test_labels, val_x and val_y are three parts; other arrays are told."""
    names = {"X_train": X, "y_train": Y, "test_images": X[:2], "test_labels": Y[:2], "val_x": X[2:], "val_y": Y[2:]}
    save(tmp_path, kind, **names, feature_names=np.zeros(3), other=np.zeros((2, 2)))
    found = read(tmp_path)
    assert {piece.part: len(piece.values) for piece in found.pieces} == {"train": 4, "test": 2, "validation": 2}
    assert found.notes[0].startswith("not read: ")
    assert "feature_names" in found.notes[0]


def test_folders_of_parts(tmp_path: Path) -> None:
    """train/X.npy and test/X.npy are told apart by their folders."""
    for part in ("train", "test"):
        (tmp_path / "x" / part).mkdir(parents=True)
        np.save(tmp_path / "x" / part / "X.npy", X)
        np.save(tmp_path / "x" / part / "y.npy", Y)
    assert [piece.part for piece in read(tmp_path).pieces] == ["test", "train"]


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f8", "i1", "u2", "i8", "?", "u1"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_types_and_orders(tmp_path: Path, kind: str, order: Any, dtype: str) -> None:
    """Numbers of every type, row by row or column by column, come as they were saved."""
    array = np.asarray(X.astype(dtype), order=order)
    save(tmp_path, kind, X=array, y=Y)
    (piece,) = read(tmp_path).pieces
    np.testing.assert_array_equal(piece.values, array)


@pytest.mark.parametrize(
    "labels", [np.array(["a", "b", "a", "b"]), np.array([b"a", b"b", b"a", b"b"]), Y[:, None], Y == 1, Y + 1.0, Y - 1]
)
def test_labels_of_every_type(tmp_path: Path, labels: np.ndarray) -> None:
    """Text, bytes, booleans, numbers from 1, negative ones, floats and a column (N, 1) are labels."""
    save(tmp_path, "npz", X=X, y=labels)
    (piece,) = read(tmp_path).pieces
    assert piece.labels.codes.tolist() in ([0, 1, 0, 1], [1, 0, 1, 0])


def test_a_label_and_a_group_of_another_name(tmp_path: Path) -> None:
    """download.own.label and group name arrays; what is left out is not read, and no ambiguity."""
    save(tmp_path, "npz", X=X, kind=Y, y=Y * 0, patient=np.array([1, 1, 2, 2]), data=X)
    found = read(tmp_path, label="kind", group="patient", leave_out=["data"])
    (piece,) = found.pieces
    assert piece.labels.codes.tolist() == [0, 1, 0, 1]
    assert piece.groups is not None
    assert piece.groups.codes.tolist() == [0, 0, 1, 1]
    assert found.settings == {"label": "kind", "leave_out": "data", "group": "patient"}


PICTURES = np.random.default_rng(0).integers(0, 256, (4, 6, 5, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("saved", "expected"),
    [
        (PICTURES, PICTURES),
        (PICTURES[..., 0], PICTURES[..., 0]),
        (PICTURES[..., :1], PICTURES[..., 0]),
        (PICTURES[:, None, :, :, 0], PICTURES[..., 0]),
        (np.moveaxis(PICTURES, 3, 1), PICTURES),
        (PICTURES.astype(np.float32), PICTURES),
        (PICTURES.astype(np.int64), PICTURES),
        (PICTURES / 255, PICTURES / 255),
        (PICTURES - 1.0, PICTURES - 1.0),
    ],
)
def test_pictures_of_every_layout(tmp_path: Path, saved: np.ndarray, expected: np.ndarray) -> None:
    """Channels first or last, one or three; whole numbers from 0 to 255 become bytes, other numbers stay."""
    save(tmp_path, "npz", images=saved, labels=Y)
    found = read(tmp_path)
    np.testing.assert_array_equal(found.pieces[0].values, expected, strict=True)
    assert found.scale == (255 if expected.dtype == np.uint8 else None)


@pytest.mark.parametrize(("largest", "scale"), [(0, 1), (16, 16), (127, 127), (128, 255), (254, 255)])
def test_the_largest_byte_is_the_scale_where_it_is_small(tmp_path: Path, largest: int, scale: int) -> None:
    """Above 127 it is 255, which pictures may reach that are not among these."""
    save(tmp_path, "npz", images=np.full((4, 2, 2), largest, np.uint8), labels=Y)
    assert read(tmp_path).scale == scale


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": X, "b": Y}, "x.npz holds a, b; name them X and y"),
        ({"X": X}, "x.npz holds X; name"),
        ({"X_train": X, "y_train": Y, "X_test": X}, "holds X_train, y_train, X_test; name"),
        ({"X": X, "data": X, "y": Y}, "two arrays may be the features, one of them data"),
        ({"X": X, "y": Y[:3]}, "4 features but 3 labels; give one each"),
        ({"X": X[:0], "y": Y[:0]}, "its features are empty; give examples"),
        ({"X": X, "y": np.eye(4)}, r"labels of shape \(4, 4\); give one number or text an example"),
        ({"X": X * 1j, "y": Y}, "its features are of type complex128; save them as numbers"),
        ({"X": X.astype(str), "y": Y}, "its features are of type <U"),
        ({"X": X, "y": Y.astype("M8[s]")}, "its labels are of type datetime64"),
        ({"X": X.astype(object), "y": Y}, r"X holds Python objects, which are not read; save X.astype\(str\)"),
        ({"X": X, "y": np.array(["a", None, "b", "c"])}, r"y holds Python objects"),
        ({"X": np.zeros((4, 2, 2, 4)), "y": Y}, r"features of shape \(4, 2, 2, 4\); give \(N, D\)"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    """Names that say nothing, counts, shapes and types: one line; nothing is unpickled."""
    save(tmp_path, "npz", **arrays)
    with pytest.raises(ValueError, match=message):
        read(tmp_path)


def test_a_group_that_is_not_there(tmp_path: Path) -> None:
    """The error says which array is missing."""
    save(tmp_path, "npz", X=X, y=Y)
    with pytest.raises(ValueError, match="holds X, y, but no array patient; name"):
        read(tmp_path, group="patient")


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
@pytest.mark.parametrize("fault", ["nothing", "truncated", "another kind", "a changed byte"])
def test_files_that_are_damaged(tmp_path: Path, ending: str, fault: str) -> None:
    """Empty, cut off, text under that name, damaged inside: the file, and what to do."""
    save(tmp_path, {"npz": "zipped npz"}.get(ending, ending), X=np.tile(X, (50, 1)), y=np.tile(Y, 50))
    path = tmp_path / f"x.{ending}"
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[100 if ending == "npz" else 10] ^= 255
    path.write_bytes(
        {"nothing": b"", "truncated": whole[:-9], "another kind": b"a,b\n1,2\n"}.get(fault, bytes(changed))
    )
    with pytest.raises(ValueError, match=rf"x.{ending} cannot be read \(.*\); give a whole .{ending} file$") as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_member_of_a_zip_cannot_leave_the_folder(tmp_path: Path) -> None:
    """Whatever an archive calls its members, they are unpacked under names of ours."""
    save(tmp_path, "npz", X=X, y=Y)
    with zipfile.ZipFile(tmp_path / "x.npz", "a") as archive:
        archive.writestr("../../escaped.npy", (tmp_path / "x.npz").read_bytes())
    with pytest.raises(ValueError, match=r"not a whole \.npy file"):
        read(tmp_path)
    assert not (tmp_path.parent / "escaped.npy").exists()


def test_types_of_torch(tmp_path: Path) -> None:
    """Half precision is read; bfloat16 and float8, which NumPy has not, are refused by name."""
    tensors = {"X": torch.from_numpy(X).half(), "y": torch.from_numpy(Y)}
    save_torch(tensors, tmp_path / "x.safetensors")
    assert read(tmp_path).pieces[0].values.dtype == np.float16
    for dtype, name in ((torch.bfloat16, "BF16"), (torch.float8_e4m3fn, "F8_E4M3")):
        save_torch(tensors | {"X": torch.from_numpy(X).to(dtype)}, tmp_path / "x.safetensors")
        (tmp_path / "raw").rename(tmp_path / f"before {name}")
        with pytest.raises(ValueError, match=f"X is of type {name}, which NumPy has not; save it as float32"):
            read(tmp_path)
