"""What the download stage says of the data: counted by hand, and found where it was hidden."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from softmax_regression.data import npy
from softmax_regression.data.datasets import Dataset, Examples
from softmax_regression.download.understanding import describe, gives_away, understood


def test_the_report_counts_by_hand() -> None:
    """Eight examples with every kind of repetition, counted on paper."""
    a, b, c, d = (np.full((2, 2), value, np.uint8) for value in (1, 2, 3, 250))
    train = Examples(np.stack([a, a, a, b, c]), np.array([0, 0, 1, 1, 2], np.uint8))  # two repeat a, one as class 1
    test = Examples(np.stack([b, b, d]), np.array([1, 2, 0], np.uint8))  # one repeats b as class 2; both b in train
    report = describe(Dataset("hand", ("x", "y", "z", "w"), 255, train, test))
    assert report["train"] == {"examples": 5, "class_counts": [2, 2, 1, 0], "range": [1, 3], "duplicates": 2}
    assert report["test"] == {"examples": 3, "class_counts": [1, 1, 1, 0], "range": [2, 250], "duplicates": 1}
    assert report["test_examples_in_train"] == 2
    assert report["conflicting_labels"] == 2  # a as 0 and 1, b as 1 and 2
    assert (report["class_names"], report["example_shape"], report["type"]) == (["x", "y", "z", "w"], [2, 2], "uint8")


def vectors(features: np.ndarray, labels: np.ndarray) -> Examples:
    """Return examples as they are stored."""
    return Examples(features.astype(np.int16), labels.astype(np.uint8))


def noise(count: int = 600, columns: int = 4, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return features that say nothing about the labels."""
    generator = np.random.default_rng(0)
    return generator.integers(-30000, 30000, (count, columns)), generator.integers(0, classes, count)


LEAKS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "the label": lambda labels: labels,
    "a code of the label": lambda labels: np.array([5, -7, 3])[labels],
    "one of two codes each": lambda labels: labels * 10 % 17 + 100 * (np.arange(len(labels)) % 2),
    "the label with a little noise": lambda labels: 1000 * labels + np.arange(len(labels)) % 400,
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_column_that_gives_the_label_away_is_found(leak: str) -> None:
    """In whatever form it stands there, and no other column is accused."""
    features, labels = noise()
    features[:, 2] = LEAKS[leak](labels)
    assert gives_away(vectors(features, labels)).tolist() == [False, False, True, False]


def test_a_row_number_gives_a_sorted_table_away() -> None:
    """Where rows are sorted by class, and only there."""
    features, labels = noise()
    features[:, 0] = np.arange(len(labels))
    assert not gives_away(vectors(features, labels)).any()
    assert gives_away(vectors(features, np.sort(labels))).tolist() == [True, False, False, False]


def test_a_common_class_is_no_giveaway() -> None:
    """Where one class has 99 in 100, any column answers 99% right, and says nothing all the same."""
    features, labels = noise(2000)
    features[:, 0] = 1
    assert not gives_away(vectors(features, (labels + np.arange(2000) * 100 % 10000 == 0) * 1)).any()


def test_many_classes_and_columns_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thousand classes the largest are tried, and a sample of examples where columns are many."""
    monkeypatch.setattr("softmax_regression.download.understanding._SAMPLE", 1)
    features, labels = noise(20_000, 4, 200)
    features[:, 1] = labels
    assert gives_away(vectors(features, labels)).tolist() == [False, True, False, False]


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read row by row the report is the same."""
    features, labels = noise()
    train, test = vectors(features, labels), vectors(features[:9], labels[:9])
    dataset = Dataset("x", ("a", "b", "c"), (1.0,) * 4, train, test)
    whole = describe(dataset)
    monkeypatch.setattr(npy, "_BLOCK", 1)
    assert describe(dataset) == whole


def report(**changes: Any) -> dict[str, Any]:
    """Return the report on a small table with changes."""
    features, labels = noise(60)
    train, test = vectors(features[:40], labels[:40]), vectors(features[40:], labels[40:])
    dataset = Dataset("x", ("a", "b", "c"), (1.0,) * 4, train, test, feature_names=("p", "q", "r", "s"))
    return describe(replace(dataset, **changes))


def test_the_lines_of_a_sound_data_set() -> None:
    """Name, examples, features, classes; nothing else where nothing is wrong."""
    lines = list(understood(report() | {"standardise": {"mean": []}}))
    counts = np.bincount(noise(60)[1])
    assert lines == [
        "x: a known data set",
        "  examples:  40 to train with, 20 to test with",
        "  features:  4, standardised",
        f"  classes:   3: a ({counts[0]}), b ({counts[1]}), c ({counts[2]})",
    ]


def test_what_was_read_and_noted_is_said() -> None:
    """From where, split by what, and each note."""
    read = {"from": "datasets/x.csv", "split": "by class, 0.2 of each", "notes": ["not read: y.csv"]}
    lines = list(understood(report() | {"read": read}))
    assert lines[0] == "x: datasets/x.csv"
    assert lines[1].endswith("20 to test with, split by class, 0.2 of each")
    assert lines[4:] == ["  note:      not read: y.csv"]


def test_what_may_be_wrong_is_said() -> None:
    """Overlap, repetitions, conflicts, constant columns, giveaways, classes that one part lacks, look-alikes."""
    features, labels = noise(600)
    features[:, 1], features[:, 3] = 7, labels
    features[1], labels[1] = features[0], (labels[0] + 1) % 3
    train, test = vectors(features, labels), vectors(features[:3], labels[:3])
    names = ("a", "A", "c", "d")
    text = "\n".join(understood(report(train=train, test=test, class_names=names)))
    for said in (
        "attention: 3 test examples are among the training examples, too: the test accuracy is too good",
        "attention: 1 training example is the same as an earlier one",
        "attention: 1 test example is the same as an earlier one",
        "attention: 1 example is under more than one class",
        "attention: features with one value alone, which say nothing: q",
        "attention: one feature alone tells the classes apart, as if the label were in it: s",
        "attention: classes without training examples, they will always be answered wrong: d",
        "attention: classes without test examples, nothing says how well they are answered: ",
        "attention: classes that differ in small and capital letters alone: a and A",
    ):
        assert said in text


def test_many_classes_are_shown_by_their_ends() -> None:
    """The largest four and the smallest four of a hundred."""
    labels = np.repeat(np.arange(100), np.arange(1, 101))
    train = Examples(np.zeros((len(labels), 2, 2), np.uint8), labels.astype(np.uint8))
    names = tuple(f"k{k}" for k in range(100))
    lines = list(understood(describe(Dataset("x", names, 255, train, replace(train)))))
    assert lines[2] == "  pixels:    2 x 2"
    assert lines[3] == (
        "  classes:   100: the largest are k99 (200), k98 (198), k97 (196), k96 (194);"
        " the smallest k3 (8), k2 (6), k1 (4), k0 (2)"
    )
