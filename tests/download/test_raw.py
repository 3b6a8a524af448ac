"""Rows: examples that lie in several arrays come as one, in order."""

import numpy as np

from softmax_regression.download.raw import Rows


def test_rows_of_several_arrays_are_one() -> None:
    """All of one array, some of the next: in order, with one type and shape."""
    first, second = np.arange(6).reshape(3, 2), np.arange(8.0).reshape(4, 2)
    rows = Rows(((first, None), (second, np.array([0, 3]))))
    assert (len(rows), rows.example_shape, rows.dtype.name) == (5, (2,), "float64")
    np.testing.assert_array_equal(np.concatenate([*rows.blocks()]), [*first, second[0], second[3]])


def test_gaps_are_filled_as_they_are_read() -> None:
    """NaN becomes the column's filling; the array itself stays."""
    array = np.array([[1, np.nan], [np.nan, 4]], np.float16)
    rows = Rows(((array, None),), fill=np.array([10.5, 20.5]))
    assert np.concatenate([*rows.blocks()]).tolist() == [[1, 20.5], [10.5, 4]]
    assert np.isnan(array).sum() == 2
