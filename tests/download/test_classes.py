"""Classes: whatever people write as labels, numbered in the order in which people sort; what is no class is refused."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softmax_regression.download.classes import Coder, Column, joined, number_classes


def column(*values: object) -> Column:
    """Return a column of these values."""
    coder = Coder()
    coder.add(values, np.arange(len(values)))
    return coder.column()


@pytest.mark.parametrize(
    ("labels", "names", "numbers"),
    [
        ([1, 2, 10, 2, 10, 1], ("1", "2", "10"), [0, 1, 2, 1, 2, 0]),
        ([1.0, 2.0, 1.0], ("1", "2"), [0, 1, 0]),
        (["1", "1.0", "02", 2, 1.0], ("1", "2"), [0, 0, 1, 1, 0]),
        ([-1, 1, -1], ("-1", "1"), [0, 1, 0]),
        ([1e3, "2e3", 1000], ("1000", "2000"), [0, 1, 0]),
        ([True, False, True], ("False", "True"), [1, 0, 1]),
        (["item 10", "item 2", "item 10"], ("item 2", "item 10"), [1, 0, 1]),
        (["b", "A", " b ", "a"], ("A", "a", "b"), [2, 0, 2, 1]),
        (["2", "ten", "10", "2"], ("2", "10", "ten"), [0, 2, 1, 0]),
        ([b"cat", b"dog", b"cat"], ("cat", "dog"), [0, 1, 0]),
        (["x", None, "y", "", "y", float("nan"), "nan"], ("x", "y"), [0, -1, 1, -1, 1, -1, -1]),
    ],
)
def test_labels_as_people_write_them(labels: list[object], names: tuple[str, ...], numbers: list[int]) -> None:
    """Numbers are ordered as numbers, text as people sort; what is missing stays -1."""
    found, classes = number_classes(column(*labels), "labels")
    assert (found, classes.tolist()) == (names, numbers)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.5, 1.0, 0.5], "0.5 are fractions, a measured quantity"),
        (["7", "7", "7"], "one class, 7; give two classes or more"),
        ([None, None], "no labels; give two"),
        (["a", "b", "c"], "3 different values in 3 examples, as an index"),
        ([25 + 3 * i for i in range(30)] * 2, "30 different values in 60 examples, .*, or write classes as text"),
        (list(range(25, 55)) * 2, "30 different values in 60 examples"),
        (list(range(1000)), "1,000 different values in 1,000 examples"),
        ([f"id {i // 2}" for i in range(42)] + [f"x {i}" for i in range(9)], "30 different values in 51 examples"),
    ],
)
def test_what_is_no_class_is_refused(labels: list[object], message: str) -> None:
    """Fractions, an index, a measured quantity, one class, none: one line that says which."""
    with pytest.raises(ValueError, match=f"^labels: {message}"):
        number_classes(column(*labels), "labels")


@pytest.mark.parametrize("labels", [[f"p{i}" for i in range(30)], range(30), range(1, 31), range(0, 58, 2)])
def test_many_classes_may_be_small(labels: Sequence[object]) -> None:
    """Thirty people with two pictures each are thirty classes, by name or numbered, even with gaps."""
    names, _ = number_classes(column(*labels, *labels), "labels")
    assert names == tuple(map(str, labels))


def test_a_value_that_no_example_has_is_no_class() -> None:
    """After rows were left out their classes are gone, too."""
    names, classes = number_classes(Column(("a", "gone", "b"), np.array([0, 2, 2, 0], np.int32)), "labels")
    assert (names, classes.tolist()) == (("a", "b"), [0, 1, 1, 0])


@given(st.lists(st.lists(st.sampled_from(["a", "b", "", "c10", "c9"]), max_size=8), max_size=5))
def test_blocks_and_columns_do_not_show(blocks: list[list[str]]) -> None:
    """A column made of blocks, or joined of columns, is the column of all."""
    coder, everything = Coder(), [value for block in blocks for value in block]
    for block in blocks:
        coder.add_array(np.array(block, "U3"))
    for found in (coder.column(), joined([column(*block) for block in blocks])):
        again = [found.values[code] if code >= 0 else "" for code in found.codes]
        assert again == everything
