"""A person's own data, whole: what is refused, how it is split, what is recorded of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from small_data import own

from softmax_regression.download.finding import find
from softmax_regression.download.own import _hold_out, read_own
from softmax_regression.download.raw import Raw, Rows


def read(folder: Path, **changes: Any) -> Raw:
    """Read the data set "x" in a folder."""
    (folder / "raw").mkdir(exist_ok=True)
    return read_own(find("x", folder), own(**changes), folder / "raw")


def frame(rows: int = 20, **columns: Any) -> pd.DataFrame:
    """Return a table of two features and two classes."""
    numbers = np.arange(rows)
    return pd.DataFrame({"a": numbers, "b": numbers * 0.5, "y": numbers % 2, **columns})


def values(rows: Rows) -> np.ndarray:
    """Return all examples."""
    return np.concatenate([*rows.blocks()])


def test_a_table_is_split_by_class(tmp_path: Path) -> None:
    """A fifth of each class becomes the test part; no example is lost or in both, and labels go with their features."""
    frame(50).to_csv(tmp_path / "x.csv", index=False)
    raw = read(tmp_path)
    assert {part: np.bincount(labels).tolist() for part, labels in raw.labels.items()} == {
        "train": [20, 20],
        "test": [5, 5],
    }
    both = np.concatenate([values(raw.examples["train"]), values(raw.examples["test"])])[:, 0]
    assert sorted(both.tolist()) == list(range(50))
    np.testing.assert_array_equal(values(raw.examples["test"])[:, 0] % 2, raw.labels["test"])
    assert (raw.class_names, raw.feature_names, raw.standardise) == (("0", "1"), ("a", "b"), True)
    assert raw.settings == {
        "download.own.label": "y",
        "download.own.test_share": 0.2,
        "download.own.standardise": True,
    }
    assert raw.facts["read"] == {"from": (tmp_path / "x.csv").as_posix(), "split": "by class, 0.2 of each", "notes": []}


def test_the_same_split_on_every_machine(tmp_path: Path) -> None:
    """Which examples are the test part is that of the day of this test."""
    frame(20).to_csv(tmp_path / "x.csv", index=False)
    assert values(read(tmp_path).examples["test"])[:, 0].tolist() == [0, 4, 9, 15]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.floats(0.01, 0.99))
def test_every_class_of_two_is_on_both_sides(labels: list[int], share: float) -> None:
    """Each class gives its share to within one example; of a class of one nothing is tested."""
    classes = np.array(labels, np.int32)
    is_test = _hold_out(classes, ("a", "b", "c", "d"), share)
    for k in range(4):
        count, taken = int((classes == k).sum()), int(is_test[classes == k].sum())
        assert abs(taken - share * count) <= 1
        assert (0 < taken < count) == (count > 1)


def test_given_parts_stay(tmp_path: Path) -> None:
    """The test part is the one given, the validation part joins the training part, and both are told."""
    (tmp_path / "x").mkdir()
    for part, rows in {"train": 10, "valid": 4, "test": 6}.items():
        frame(rows).to_csv(tmp_path / "x" / f"{part}.csv", index=False)
    raw = read(tmp_path)
    assert {part: len(rows) for part, rows in raw.examples.items()} == {"train": 14, "test": 6}
    assert raw.facts["read"]["split"] == "as the files say"
    assert "validation part joined the training part" in raw.facts["read"]["notes"][0]
    assert "download.own.test_share" not in raw.settings


def test_a_test_part_alone_is_refused(tmp_path: Path) -> None:
    """There is nothing to learn from."""
    (tmp_path / "x").mkdir()
    frame().to_csv(tmp_path / "x" / "test.csv", index=False)
    with pytest.raises(ValueError, match="the training part has no examples; give it some"):
        read(tmp_path)


def test_classes_are_those_of_both_parts(tmp_path: Path) -> None:
    """A class that the training part lacks has its number all the same: the model is told to be wrong there."""
    (tmp_path / "x").mkdir()
    frame().to_csv(tmp_path / "x" / "train.csv", index=False)
    frame(y=[5] * 10 + [1] * 10).to_csv(tmp_path / "x" / "test.csv", index=False)
    raw = read(tmp_path)
    assert raw.class_names == ("0", "1", "5")
    assert raw.labels["test"].max() == 2


def test_groups_stay_together(tmp_path: Path) -> None:
    """No group is on both sides, about the share is tested, and the group is no feature."""
    frame(100, who=[f"p{i // 7}" for i in range(100)]).to_csv(tmp_path / "x.csv", index=False)
    raw = read(tmp_path, group="who")
    groups = {part: set((values(rows)[:, 0] // 7).tolist()) for part, rows in raw.examples.items()}
    assert not groups["train"] & groups["test"]
    assert 13 <= len(raw.labels["test"]) <= 20
    assert raw.feature_names == ("a", "b")
    assert raw.settings["download.own.group"] == "who"
    assert raw.facts["read"]["split"] == "whole groups of who, about 0.2 of all"


def test_a_large_group_may_be_all_that_is_tested(tmp_path: Path) -> None:
    """Where no group fits into the share the smallest is tested."""
    frame(who=["p"] * 11 + ["q"] * 9).to_csv(tmp_path / "x.csv", index=False)
    assert len(read(tmp_path, group="who").labels["test"]) == 9


@pytest.mark.parametrize(
    ("who", "message"),
    [
        (["p"] * 20, "who has one value; groups of two values"),
        (["p"] * 19 + [None], "who is missing in 1 rows; fill it in"),
    ],
)
def test_groups_that_cannot_be_split(tmp_path: Path, who: list[Any], message: str) -> None:
    """One group alone, or examples of no group: one line."""
    frame(who=who).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(ValueError, match=rf"^download\.own\.group: {message}"):
        read(tmp_path, group="who")


def test_a_group_in_both_given_parts_is_refused(tmp_path: Path) -> None:
    """A split that is given must keep groups together, too."""
    (tmp_path / "x").mkdir()
    for part, people in {"train": ["p", "q"] * 10, "test": ["q", "r"] * 10}.items():
        frame(who=people).to_csv(tmp_path / "x" / f"{part}.csv", index=False)
    with pytest.raises(ValueError, match="1 groups of who are in both parts"):
        read(tmp_path, group="who")


def with_gaps() -> pd.DataFrame:
    """Return a table with two gaps in a, one in b, in three rows."""
    table = frame()
    table["a"] = table["a"].astype(float)
    table.loc[[1, 4], "a"] = np.nan
    table.loc[7, "b"] = np.nan
    return table


def test_gaps_are_refused_without_a_rule(tmp_path: Path) -> None:
    """The columns are named with their numbers, and the ways out."""
    with_gaps().to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(ValueError, match=r"values are missing in a \(2\), b \(1\); set download.own.missing to drop"):
        read(tmp_path)


def test_rows_with_gaps_are_dropped(tmp_path: Path) -> None:
    """All of these rows, and none else; that is told and recorded."""
    with_gaps().to_csv(tmp_path / "x.csv", index=False)
    raw = read(tmp_path, missing="drop")
    both = np.concatenate([values(rows)[:, 0] for rows in raw.examples.values()])
    assert sorted(both.tolist()) == [i for i in range(20) if i not in (1, 4, 7)]
    assert raw.facts["read"]["notes"] == ["3 examples left out, as values are missing in them: a (2), b (1)"]
    assert raw.settings["download.own.missing"] == "drop"


def test_gaps_become_means_of_the_training_part(tmp_path: Path) -> None:
    """Of that part alone: the test part says nothing about itself."""
    (tmp_path / "x").mkdir()
    with_gaps().to_csv(tmp_path / "x" / "train.csv", index=False)
    with_gaps().assign(a=[None] + [1000] * 19).to_csv(tmp_path / "x" / "test.csv", index=False)
    raw = read(tmp_path, missing="mean")
    mean = np.float32(with_gaps()["a"].mean())
    assert values(raw.examples["train"])[[1, 4], 0].tolist() == [mean, mean]
    assert values(raw.examples["test"])[0, 0] == mean
    assert raw.settings["download.own.missing"] == "mean"


@pytest.mark.parametrize(
    ("columns", "changes", "message"),
    [
        ({"y": [0, None] * 10}, {}, "10 of 20 labels are missing, the first in row 2; fill them in, or set"),
        ({"y": [0, None] * 10}, {"missing": "mean"}, "10 of 20 labels are missing"),
        ({"y": 3}, {}, "one class, 3; give two"),
        ({"y": np.arange(20) / 7}, {}, "are fractions, a measured quantity"),
        ({"y": np.arange(20)}, {}, "20 different values in 20 examples, as an index"),
        ({"a": np.inf}, {}, r"infinite values in a \(20\); correct them"),
        ({"a": np.nan}, {"missing": "mean"}, "1 columns have no value at all in the training part"),
        ({"a": np.nan}, {"missing": "drop"}, "no labels; give two"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    tmp_path: Path, columns: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    """One line each."""
    frame(**columns).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(ValueError, match=message):
        read(tmp_path, **changes)


def test_labels_that_are_missing_are_dropped_too(tmp_path: Path) -> None:
    """With download.own.missing: drop these rows go, and that is told."""
    frame(y=["a", "b", None, "b"] * 5).to_csv(tmp_path / "x.csv", index=False)
    raw = read(tmp_path, missing="drop")
    assert sum(map(len, raw.labels.values())) == 15
    assert raw.facts["read"]["notes"] == ["5 examples left out, as values are missing in them: the label"]


def test_pictures_are_not_standardised(tmp_path: Path) -> None:
    """They stay bytes of 0 to 255; with download.own.standardise they would not."""
    for name in "ab":
        (tmp_path / "x" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("L", (3, 2), 40 * number).save(tmp_path / "x" / name / f"{number}.png")
    raw = read(tmp_path)
    assert (raw.standardise, raw.scale, raw.examples["train"].dtype.name) == (False, 255, "uint8")
    assert raw.facts["framed"] is False
    assert raw.settings == {
        "download.own.colour": False,
        "download.own.test_share": 0.2,
        "download.own.standardise": False,
    }
    assert read(tmp_path, standardise=True).standardise


def test_examples_of_two_shapes_are_refused(tmp_path: Path) -> None:
    """Training and test examples must be alike."""
    np.savez(tmp_path / "x.npz", X_train=np.ones((4, 3)), y_train=[0, 1] * 2, X_test=np.ones((4, 2)), y_test=[0, 1] * 2)
    with pytest.raises(ValueError, match=r"examples of several shapes, \(2,\), \(3,\); give them one shape"):
        read(tmp_path)
