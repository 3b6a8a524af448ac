"""The .npy format: NumPy's own bytes, whole files alone, and no more of a file in memory than is used."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from softmax_regression.data import npy


def saved(array: np.ndarray, **options: bool) -> bytes:
    """Return the bytes that NumPy saves."""
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


@given(
    arrays.arrays(
        st.sampled_from(["u1", "<i2", "<i4", ">f4", "<f8", "<f2", "?", "<U3"]),
        arrays.array_shapes(max_dims=4, max_side=12),
    )
)
def test_the_bytes_are_numpys_own(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    """The file is the one that np.save writes, in little-endian order, and is read back as it was."""
    path = tmp_path_factory.getbasetemp() / "array.npy"
    npy.write(path, array)
    assert path.read_bytes() == saved(np.ascontiguousarray(array, array.dtype.newbyteorder("<")))
    np.testing.assert_array_equal(npy.read(path), array)


def test_an_array_is_written_piece_by_piece(tmp_path: Path) -> None:
    """Pieces, in whatever memory order, are the array of all; the file is there when the last one is."""
    array = np.arange(24.0).reshape(4, 6)
    with npy.create(tmp_path / "array.npy", np.float64, (6,)) as append:
        for piece in (array[:1], array[1:1], np.asfortranarray(array[1:])):
            append(piece)
        assert not (tmp_path / "array.npy").exists()
    np.testing.assert_array_equal(npy.read(tmp_path / "array.npy"), array)


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    """Half an array is none."""
    with pytest.raises(RuntimeError), npy.create(tmp_path / "array.npy", np.uint8, ()) as append:
        append(np.zeros(3, np.uint8))
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_blocks_are_written_as_they_come(tmp_path: Path) -> None:
    """The first block says type and shape; empty ones count for nothing."""
    stored = npy.write_blocks(tmp_path / "array.npy", iter([np.empty((0, 9)), np.eye(2, 3), np.eye(1, 3)]))
    np.testing.assert_array_equal(stored, np.concatenate([np.eye(2, 3), np.eye(1, 3)]))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([], "expected examples, found none"),
        ([np.zeros((1, 2)), np.zeros((1, 3))], r"expected examples of one shape, found \(2,\) and \(3,\)"),
    ],
)
def test_blocks_that_make_no_array(tmp_path: Path, found: list[np.ndarray], message: str) -> None:
    """None at all, or two shapes, are a ShapeError."""
    with pytest.raises(npy.ShapeError, match=message):
        npy.write_blocks(tmp_path / "array.npy", found)


def test_a_map_is_writable_and_the_file_stays(tmp_path: Path) -> None:
    """Writing to the array changes the array alone."""
    npy.write(tmp_path / "array.npy", np.arange(6))
    before = (tmp_path / "array.npy").read_bytes()
    array = npy.read(tmp_path / "array.npy")
    assert isinstance(array, np.memmap)
    array[0] = 9
    array.flush()
    assert (tmp_path / "array.npy").read_bytes() == before


WHOLE = saved(np.arange(6))
FAULTS = {
    "nothing": (b"", "not a whole .npy file"),
    "half a header": (WHOLE[:60], "not a whole .npy file"),
    "truncated": (WHOLE[:-1], "not a whole .npy file"),
    "trailing bytes": (WHOLE + b"0", "trailing bytes: expected 176, found 177"),
    "another kind": (b"PK" + WHOLE[2:], "not a whole .npy file"),
    "a header of nonsense": (WHOLE[:10] + b"{'descr': open('x')}" + WHOLE[30:], "not a whole .npy file"),
    "an unknown type": (WHOLE.replace(b"<i8", b"zzz"), "not a whole .npy file"),
    "Python objects": (saved(np.array([None, {}]), allow_pickle=True), "not a whole .npy file.*Python objects"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_anything_but_a_whole_file_of_numbers_is_refused(tmp_path: Path, fault: str) -> None:
    """The error names the file; nothing in it is run."""
    content, message = FAULTS[fault]
    (tmp_path / "array.npy").write_bytes(content)
    with pytest.raises(ValueError, match=f"array.npy: {message}"):
        npy.read(tmp_path / "array.npy")


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    """No file is FileNotFoundError."""
    with pytest.raises(FileNotFoundError):
        npy.read(tmp_path / "nowhere.npy")


@pytest.mark.parametrize("rows", [None, np.array([0, 3, 4, 9])])
def test_blocks_are_the_array(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rows: np.ndarray | None) -> None:
    """All rows, or those asked for, come in order, some at a time, from a file and from memory alike."""
    array = np.arange(30).reshape(10, 3)
    npy.write(tmp_path / "array.npy", array)
    monkeypatch.setattr(npy, "_BLOCK", 6)
    for source in (array, npy.read(tmp_path / "array.npy"), np.moveaxis(npy.read(tmp_path / "array.npy"), 0, 0)):
        blocks = [np.array(block) for block in npy.blocks(source, rows)]
        assert max(map(len, blocks)) == 2
        np.testing.assert_array_equal(np.concatenate(blocks), array if rows is None else array[rows])


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Writing and reading 256 MiB takes less than 32 MiB beyond the interpreter and NumPy."""
    code = f"""
import resource, numpy as np
from pathlib import Path
from softmax_regression.data import npy
path, before = Path({str(tmp_path / "array.npy")!r}), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
npy.write_blocks(path, (np.full((256, 4096), i, np.int16) for i in range(128)))
assert sum(int(block.max()) for block in npy.blocks(npy.read(path))) > 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    grown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(grown) < 32 * 1024 * (1 if sys.platform == "linux" else 1024)
