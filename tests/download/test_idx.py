"""The IDX format: what is written is read back, and nothing but a whole file is read."""

import struct
from pathlib import Path

import numpy as np
import pytest

from softmax_regression.download import idx


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4), (0, 3)])
def test_an_array_comes_back_as_it_was(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    """Every type and number of dimensions survives, in the machine's own byte order."""
    array = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    idx.write(tmp_path / "file", array)
    again = idx.read(tmp_path / "file")
    assert again.dtype == array.dtype
    assert again.dtype.isnative
    np.testing.assert_array_equal(again, array, strict=True)


def test_the_bytes_are_those_of_the_format(tmp_path: Path) -> None:
    """The magic number 00 00 08 02, two big-endian sizes, then the values row by row, whatever the memory order."""
    idx.write(tmp_path / "file", np.array([[1, 2, 3], [4, 5, 6]], np.uint8, order="F"))
    assert (tmp_path / "file").read_bytes() == bytes.fromhex("00000802 00000002 00000003 010203040506")


def test_doubles_are_big_endian_in_the_file(tmp_path: Path) -> None:
    """1.0 is stored with its exponent first, under type code 0e."""
    idx.write(tmp_path / "file", np.array([1.0]))
    assert (tmp_path / "file").read_bytes() == bytes.fromhex("00000e01 00000001 3ff0000000000000")


def test_a_map_equals_the_array_and_leaves_the_file_alone(tmp_path: Path) -> None:
    """Mapped values are those in the file; writing to the map changes the map alone."""
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    idx.write(tmp_path / "file", array)
    before = (tmp_path / "file").read_bytes()
    mapped = idx.read(tmp_path / "file", memory_map=True)
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, array)
    mapped[0] = 255
    mapped.flush()
    assert (tmp_path / "file").read_bytes() == before


@pytest.mark.parametrize("dtype", ["i2", "f8"])
def test_wider_types_are_read_to_memory_even_when_a_map_is_asked_for(tmp_path: Path, dtype: str) -> None:
    """A big-endian number cannot be used in place: the caller gets native numbers instead."""
    idx.write(tmp_path / "file", np.array([258, -2], dtype))
    values = idx.read(tmp_path / "file", memory_map=True)
    assert values.dtype == np.dtype(dtype)
    assert values.dtype.isnative
    assert values.tolist() == [258, -2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file.*found nothing"),
        (b"\0\0\x08", "not an IDX file.*found 00 00 08$"),
        (b"\x1f\x8b\x08\x08" + b"x" * 20, "not an IDX file.*found 1f 8b 08 08$"),
        (b"\0\0\x07\x01" + b"x" * 20, "not an IDX file.*found 00 00 07 01$"),
        (b"\0\0\x08\x00" + b"x", "not an IDX file.*found 00 00 08 00$"),
        (b"\0\0\x08\x03\0\0\0\x01", "truncated: expected a header of 16 bytes, found 8$"),
        (b"\0\0\x08\x01\0\0\0\x04abc", r"truncated: expected 12 bytes for uint8 values of shape \(4,\), found 11$"),
        (b"\0\0\x08\x01\0\0\0\x04abcde", r"trailing bytes: expected 12 bytes .*, found 13$"),
        (b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"a", "a header of 255 dimensions: .* found 255$"),
        (b"\0\0\x08\x04" + struct.pack(">4I", 0, *[2**32 - 1] * 3), "a header of 4 dimensions: .*"),
        (b"\0\0\x08\x03" + struct.pack(">3I", *[2**32 - 1] * 3), f"truncated: expected {16 + (2**32 - 1) ** 3} bytes"),
    ],
)
@pytest.mark.parametrize("memory_map", [False, True])
def test_anything_but_a_whole_file_is_refused(tmp_path: Path, content: bytes, message: str, memory_map: bool) -> None:
    """The error names the file, what was expected and what was found, and sizes are not trusted."""
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        idx.read(tmp_path / "file", memory_map=memory_map)
    assert str(caught.value).startswith(str(tmp_path / "file"))


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    """No file is FileNotFoundError, not an empty array."""
    with pytest.raises(FileNotFoundError):
        idx.read(tmp_path / "nowhere")
