"""Arrays come out of files block by block, to the last bit; a damaged file is one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from softmax_regression.commands.arrays import open_arrays

POINTS = np.array([[1.5, -2.0], [3.0, 4.25], [0.0, 1e-3], [7.0, 8.0], [9.0, 10.0]])


def write(path: Path, array: np.ndarray = POINTS) -> Path:
    """Write an array in the format that the path's end says, called X where it has a name; return the path."""
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez(path, X=array)
    else:
        save_file({"X": array}, path)
    return path


def read(path: Path, rows: int = 2) -> list[np.ndarray]:
    """Return the blocks of the only array in a file."""
    (array,) = open_arrays(path).values()
    return list(array.blocks(rows, path))


@pytest.mark.parametrize("end", [".npy", ".npz", ".safetensors"])
@pytest.mark.parametrize("kind", [np.float64, np.float16, np.int8])
def test_an_array_comes_in_blocks(tmp_path: Path, end: str, kind: type[np.generic]) -> None:
    """Shape, type and name are known at once; the rows come a few at a time, as they were."""
    path = write(tmp_path / f"a{end}", POINTS.astype(kind))
    ((name, array),) = open_arrays(path).items()
    assert (name, array.shape, array.dtype) == ("" if end == ".npy" else "X", (5, 2), np.dtype(kind))
    blocks = read(path)
    assert [len(block) for block in blocks] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate(blocks), POINTS.astype(kind), strict=True)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("array", [POINTS, np.asfortranarray(POINTS), POINTS[:0], POINTS.astype(">f4")])
def test_an_npz_is_read_however_it_was_saved(tmp_path: Path, save: Any, array: np.ndarray) -> None:
    """Compressed or not, row by row or column by column, without rows, in another byte order."""
    save(tmp_path / "a.npz", X=array)
    assert [row for block in read(tmp_path / "a.npz") for row in block.tolist()] == array.tolist()


def test_every_array_of_a_file_is_named(tmp_path: Path) -> None:
    """Names, shapes and types of several arrays are known without reading them."""
    np.savez(tmp_path / "a.npz", X=POINTS, y=np.arange(5), names=np.array(["a", "b"]))
    found = {name: (array.shape, array.dtype.kind) for name, array in open_arrays(tmp_path / "a.npz").items()}
    assert found == {"X": ((5, 2), "f"), "y": ((5,), "i"), "names": ((2,), "U")}


@pytest.mark.parametrize("end", [".npy", ".npz", ".safetensors"])
@pytest.mark.parametrize("damage", [lambda content: content[:-9], lambda content: b"", lambda content: b"x" * 40])
def test_a_damaged_file_is_one_line(tmp_path: Path, end: str, damage: Any) -> None:
    """A truncated, empty or foreign file: what was found, what to do."""
    path = write(tmp_path / f"a{end}")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"a\{end}: .*; give a whole \{end} file") as caught:
        read(path)
    assert len(str(caught.value).splitlines()) == 1


def test_damage_inside_an_npz_is_found(tmp_path: Path) -> None:
    """A changed byte fails the file's own check sum when it is reached."""
    path = write(tmp_path / "a.npz")
    content = bytearray(path.read_bytes())
    content[content.index(POINTS.tobytes()) + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz: Bad CRC-32"):
        read(path)


@pytest.mark.parametrize("end", [".npy", ".npz"])
def test_no_pickle_is_read(tmp_path: Path, end: str) -> None:
    """An array of Python objects is refused, or known as such, and nothing in it is run."""
    path = write(tmp_path / f"a{end}", np.array([[1, "b"]], object))
    if end == ".npz":
        assert open_arrays(path)["X"].dtype == object
    with pytest.raises(ValueError, match=rf"a\{end}: .*; give a whole \{end} file"):
        read(path)
