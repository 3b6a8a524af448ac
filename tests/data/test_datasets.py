"""Reading a data set: what is right is read as it is, every fault has one clear error; holding out; resizing."""

import hashlib
import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_data import make_examples, make_parts, write_folder

from softmax_regression.data.datasets import (
    PARTS,
    REPORT,
    Dataset,
    Examples,
    assemble,
    hold_out,
    label_type,
    load,
    read_report,
    resize,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a small data set, as the download stage leaves it."""
    write_folder(tmp_path / "small")
    return tmp_path / "small"


def points() -> dict[str, np.ndarray]:
    """Return the arrays of a data set of points in the plane, as they are stored."""
    features = np.random.default_rng(0).integers(-32767, 32768, (30, 2)).astype(np.int16)
    labels = (np.arange(30) % 3).astype(np.uint8)
    return dict(zip(PARTS, (features, labels, features[:9], labels[:9]), strict=True))


def test_a_data_set_is_read_as_it_was_written(folder: Path) -> None:
    """Images, labels, names and sizes are those of the files; images stay in the file, ready for torch.from_numpy."""
    dataset = load(folder, "small")
    parts = make_parts()
    for examples, split in ((dataset.train, "train"), (dataset.test, "test")):
        np.testing.assert_array_equal(examples.images, parts[f"{split}-images"])
        np.testing.assert_array_equal(examples.labels, parts[f"{split}-labels"])
        assert isinstance(examples.images, np.memmap)
        assert examples.images.flags.writeable
        assert len(examples) == len(parts[f"{split}-labels"])
    assert (dataset.name, dataset.scale, dataset.num_classes) == ("small", 255, 10)
    assert dataset.class_names[3] == "kind 3"
    assert dataset.example_shape == (28, 28)


def test_the_folder_describes_itself(folder: Path) -> None:
    """What the report says is what the data set has, and the data set carries the report with the files' digests."""
    report = read_report(folder)
    report["class_names"][3] = "another"
    (folder / REPORT).write_text(json.dumps(report))
    dataset = load(folder, "small")
    assert dataset.class_names[3] == "another"
    assert dataset.report == report
    assert dataset.report["files"].keys() == set(PARTS)


def test_features_that_are_no_image(tmp_path: Path) -> None:
    """Points in the plane come back as int16, with a scale for each of the two features."""
    steps = np.array([2.0**-20, 8.0])
    real = {part: array * steps if part.endswith("images") else array for part, array in points().items()}
    write_folder(tmp_path, "points", real, scale=1)
    dataset = load(tmp_path, "points")
    assert (dataset.example_shape, dataset.scale) == ((2,), (2.0**20, 0.125))
    np.testing.assert_array_equal(dataset.train.images, points()["train-images"])


def test_what_is_not_said_is_taken_from_the_arrays() -> None:
    """Where class names, shape and sizes are left open the data decide."""
    dataset = assemble("points", points(), scale=1)
    assert dataset.class_names == ("class 0", "class 1", "class 2")
    assert dataset.example_shape == (2,)


@pytest.mark.parametrize("part", [*PARTS, REPORT])
def test_a_missing_file_is_named(folder: Path, part: str) -> None:
    """FileNotFoundError names the file and the command that brings it."""
    name = part if part == REPORT else f"{part}.npy"
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"small/{name} not found; run `dvc repro download`$"):
        load(folder, "small")


def test_a_missing_folder(tmp_path: Path) -> None:
    """No data yet is a missing file."""
    with pytest.raises(FileNotFoundError, match="run `dvc repro download`"):
        load(tmp_path / "nowhere", "fashion_mnist")


def test_another_data_set_in_the_folder_is_refused(folder: Path) -> None:
    """After data.name was changed the folder still holds the old data: they are not trained on under the new name."""
    with pytest.raises(ValueError, match=r"small holds small, not mnist; run `dvc repro download`$"):
        load(folder, "mnist")


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "[" * 10**5),
        *(f"without {key}" for key in ("name", "class_names", "scale", "files", "train", "test")),
    ],
)
def test_a_damaged_report_is_named_with_the_way_out(folder: Path, text: str) -> None:
    """Half a report, another JSON text or a missing key: which file, and what to do."""
    if text.startswith("without"):
        report = read_report(folder)
        del report[text.removeprefix("without ")]
        text = json.dumps(report)
    (folder / REPORT).write_text(text)
    with pytest.raises(ValueError, match=rf"small/{REPORT} is damaged .*; run `dvc repro --force download`$"):
        load(folder, "small")


DAMAGED: list[dict[str, object]] = [
    {"name": 3},
    {"class_names": None},
    {"class_names": [1]},
    {"example_shape": 28},
    {"example_shape": [28, -28]},
    {"example_shape": [28, 28.0]},
    {"files": []},
    {"files": {"train-images": {}}},
    {"files": {"train-images": {"sha256": 1}}},
    {"train": [1]},
    {"test": {"examples": "many"}},
    {"test": {"examples": 0}},
    {"feature_names": 3},
    {"scale": 10**400},
    {"standardise": 1},
    {"standardise": {"mean": [0.0], "deviation": [1.0]}},
    {"standardise": {"mean": [0.0] * 784, "deviation": [0.0] * 784}},
    {"standardise": {"mean": [math.nan] * 784, "deviation": [1.0] * 784}},
]


@pytest.mark.parametrize("change", DAMAGED)
def test_a_report_with_another_kind_of_value_is_damaged(folder: Path, change: dict[str, object]) -> None:
    """Whatever stands there instead of a name, a size, a digest: one line with the file's name."""
    (folder / REPORT).write_text(json.dumps(read_report(folder) | change))
    with pytest.raises(ValueError, match=rf"small/{REPORT} is damaged .*; run `dvc repro --force download`$") as caught:
        load(folder, "small")
    assert "\n" not in str(caught.value)


def test_a_report_in_another_encoding_is_named(folder: Path) -> None:
    """UTF-16, as some editors save it."""
    (folder / REPORT).write_bytes((folder / REPORT).read_bytes().decode().encode("utf-16"))
    with pytest.raises(ValueError, match=rf"small/{REPORT} is no UTF-8 text"):
        load(folder, "small")


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        ([2.0], "scale: expected 784 numbers, one for each feature, found 1"),
        ([2.0] * 783 + [3.0], "scale: expected powers of two, found 3.0"),
        ([-2.0] * 784, "scale: expected powers of two, found -2.0"),
        ([0.0] * 784, "scale: expected powers of two, found 0.0"),
        ([math.inf] * 784, "scale: expected powers of two, found inf"),
        ([math.nan] * 784, "scale: expected powers of two, found nan"),
        (["2.0"] * 784, "scale: expected powers of two, found '2.0'"),
        (0, "scale: expected a positive number, or one for each feature, found 0"),
        (math.nan, "scale: expected a positive number, or one for each feature, found nan"),
        (None, "scale: expected a positive number, or one for each feature, found None"),
    ],
)
def test_a_damaged_scale_is_named_with_the_way_out(folder: Path, scale: object, message: str) -> None:
    """A scale is a positive number or a power of two for each feature; anything else is one line that says what."""
    (folder / REPORT).write_text(json.dumps(read_report(folder) | {"scale": scale}))
    expected = f"{folder / REPORT} is damaged ({message}); run `dvc repro --force download`"
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        load(folder, "small")


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("fault", ["not a whole .npy file", "trailing bytes"])
def test_a_damaged_file_is_named_with_the_way_out(folder: Path, part: str, fault: str) -> None:
    """Bytes missing, or bytes too many: which file, and what to do."""
    path = folder / f"{part}.npy"
    content = path.read_bytes()
    path.write_bytes(content[:-1] if fault.startswith("not") else content + b"0")
    with pytest.raises(ValueError, match=fault) as caught:
        load(folder, "small")
    assert str(path) in str(caught.value)
    assert str(caught.value).endswith(f"; delete {folder} and run `dvc repro --force download`")


PARTS_WITH_FAULTS: dict[str, tuple[dict[str, np.ndarray], str]] = {
    "a label out of range": ({"train-labels": np.full(600, 10, np.uint8)}, "train-labels: .* 0 to 9, found 10"),
    "one label too few": ({"test-labels": np.zeros(199, np.uint8)}, "test-labels: expected 200 labels.*, found 199"),
    "one image too few": ({"test-images": np.zeros((199, 28, 28), np.uint8)}, "expected 200 examples, found 199"),
    "other images": ({"train-images": np.zeros((600, 28, 27), np.uint8)}, r"\('N', 28, 28\), found \(600, 28, 27\)"),
    "flat images": ({"train-images": np.zeros((600, 784), np.uint8)}, r"\('N', 28, 28\), found \(600, 784\)"),
    "labels for images": ({"train-images": np.zeros(600, np.uint8)}, r"\('N', 28, 28\), found \(600,\)"),
    "images for labels": ({"train-labels": np.zeros((600, 28, 28), np.uint8)}, "vector of uint8, found uint8 of shape"),
    "labels as int32": ({"train-labels": np.zeros(600, np.int32)}, "expected a vector of uint8, found int32"),
    "images as int32": ({"train-images": np.zeros((600, 28, 28), np.int32)}, "uint8 or int16, found int32"),
    "images of real values": ({"test-images": np.zeros((200, 28, 28))}, "uint8 or int16, found float64"),
    "nothing": ({"test-images": np.zeros((0, 28, 28), np.uint8)}, "test-images: expected 200 examples, found 0"),
    "labels as text": ({"train-labels": np.full(600, "a")}, "expected a vector of uint8, found <U1"),
}


@pytest.mark.parametrize("fault", PARTS_WITH_FAULTS)
def test_whole_files_with_the_wrong_content_are_refused(folder: Path, fault: str) -> None:
    """Types, shapes, counts and labels are held against the report; the error names the part."""
    changes, message = PARTS_WITH_FAULTS[fault]
    for part, array in changes.items():
        np.save(folder / f"{part}.npy", array)
    with pytest.raises(ValueError, match=message):
        load(folder, "small")


def test_no_examples_is_no_data_set() -> None:
    """Where no sizes are given an empty part is refused all the same."""
    empty = {part: array[:0] for part, array in make_parts().items()}
    with pytest.raises(ValueError, match="small: train-images: expected one or more examples, found 0"):
        assemble("small", empty, scale=255)


def test_reading_needs_numpy_alone(folder: Path) -> None:
    """No framework, no Pillow, no scikit-learn, no YAML and no requests is loaded by the reading of data."""
    code = (
        "import sys; from pathlib import Path; from softmax_regression.data.datasets import load\n"
        f"load(Path({str(folder)!r}), 'small'); print(*{{name.split('.')[0] for name in sys.modules}})"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "numpy" in loaded
    assert not set(loaded) & {"torch", "torchvision", "sklearn", "scipy", "PIL", "requests", "tqdm", "yaml", "ruamel"}


def test_the_books_split_measures_the_test_set() -> None:
    """Without a validation size all training examples are trained on and the test set is measured."""
    dataset = assemble("small", make_parts(), scale=255)
    training, (what, held_out) = dataset.split(0, seed=0)
    assert training is dataset.train
    assert held_out is dataset.test
    assert what == "test"


def test_a_split_holds_out_what_hold_out_says() -> None:
    """With a validation size both parts are rows of the training examples, no copies; the test set is in neither."""
    parts = make_parts()
    training, (what, held_out) = assemble("small", parts, scale=255).split(60, seed=3)
    assert what == "validation"
    for examples, indices in zip((training, held_out), hold_out(parts["train-labels"], 60, seed=3), strict=True):
        assert examples.images is parts["train-images"]
        assert len(examples) == len(indices)
        np.testing.assert_array_equal(examples.gathered().images, parts["train-images"][indices])
        np.testing.assert_array_equal(examples.gathered().labels, parts["train-labels"][indices])


def test_all_examples_are_gathered_as_they_are() -> None:
    """Where no rows are named nothing is copied."""
    examples = make_examples(9)
    assert examples.gathered() is examples


@pytest.mark.parametrize("size", [10, 11, 57, 300, 590])
def test_what_is_held_out_is_a_stratified_part(size: int) -> None:
    """Both parts are disjoint, ascending and together everything; each class gives its share to within one."""
    labels = make_examples(600).labels
    training, validation = hold_out(labels, size, seed=0)
    assert len(validation) == size
    assert sorted([*training, *validation]) == list(range(600))
    assert (np.diff(training) > 0).all()
    assert (np.diff(validation) > 0).all()
    counts = np.bincount(labels[validation], minlength=10)
    assert (np.abs(counts - size / 10) < 1).all()


def test_the_quota_is_by_largest_remainder() -> None:
    """Classes of 5, 3 and 2 in 10 give 4 as 2, 1 and 1: shares 2.0, 1.2 and 0.8, the odd one to the largest rest."""
    labels = np.array([0] * 50 + [1] * 30 + [2] * 20)
    _, validation = hold_out(labels, 4, seed=3)
    assert np.bincount(labels[validation]).tolist() == [2, 1, 1]


def test_the_seed_alone_decides_which() -> None:
    """The same seed gives the same part, another seed another."""
    labels = make_examples(600).labels
    np.testing.assert_array_equal(hold_out(labels, 60, seed=1)[1], hold_out(labels, 60, seed=1)[1])
    assert not np.array_equal(hold_out(labels, 60, seed=1)[1], hold_out(labels, 60, seed=2)[1])


def test_a_split_never_changes() -> None:
    """The same examples on every machine and with every version: their digest is that of the day of this test."""
    labels = np.arange(600) % 10
    validation = hold_out(labels, 60, seed=0)[1]
    assert (
        hashlib.sha256(validation.astype("<i8").tobytes()).hexdigest()
        == "bbe05aeb05df1fe38f6bffde1e6e89323d23e7ec901d8f41edb5a4cef5b837b3"
    )
    as_stored = hold_out(labels.astype(np.uint8), 60, seed=0)[1]
    np.testing.assert_array_equal(as_stored, validation)


def test_classes_are_drawn_apart() -> None:
    """Classes of one size do not give the examples at the same places."""
    validation = hold_out(np.arange(200) % 2, 20, seed=0)[1]
    even, odd = validation[validation % 2 == 0], validation[validation % 2 == 1]
    assert not np.array_equal(even + 1, odd)


@pytest.mark.parametrize("size", [-1, 1, 9, 591, 600, 10_000])
def test_a_size_that_leaves_a_class_out_is_refused(size: int) -> None:
    """With 10 classes in 600 examples 10 to 590 can be held out; the error says so."""
    with pytest.raises(ValueError, match=f"^data.validation_size: expected 0 or 10 to 590 of the 600 .* found {size}$"):
        hold_out(make_examples(600).labels, size, seed=0)


def test_a_rare_class_keeps_a_training_example() -> None:
    """Nine tenths of a class of one would be all of it: refused, with the class."""
    with pytest.raises(ValueError, match="90 leaves no training example of class 1; lower it"):
        hold_out(np.array([0] * 99 + [1]), 90, seed=0)


def small_dataset(shape: tuple[int, ...], count: int = 40) -> Dataset:
    """Return a data set of random images, the hardest case for a filter, and of some examples that can be learned."""
    noise = np.random.default_rng(0).integers(0, 256, (count // 2, *shape)).astype(np.uint8)
    examples = make_examples(count // 2, shape)
    images = np.concatenate([noise, examples.images])
    part = Examples(images, np.concatenate([examples.labels, examples.labels]))
    return Dataset("small", tuple("0123456789"), 255, part, part)


@pytest.mark.parametrize("shape", [(28, 28), (8, 8), (20, 30), (30, 20)])
@pytest.mark.parametrize("size", [7, 16, 28, 64])
def test_resizing_is_the_books_route_exactly(shape: tuple[int, int], size: int) -> None:
    """Each image equals torchvision's Resize on the PIL image, the book's loader, in every pixel."""
    from PIL import Image
    from torchvision.transforms import Resize

    dataset = small_dataset(shape)
    resized = resize(dataset, size)
    expected = np.stack([np.asarray(Resize(size)(Image.fromarray(image))) for image in dataset.train.images])
    np.testing.assert_array_equal(resized.train.images, expected, strict=True)
    np.testing.assert_array_equal(resized.test.images, expected, strict=True)
    assert resized.train.labels is dataset.train.labels
    assert resized.example_shape == expected.shape[1:]


def test_resizing_reads_a_map(folder: Path) -> None:
    """Images that lie in the file are resized as those in memory."""
    mapped, read = load(folder, "small"), assemble("small", make_parts(), scale=255)
    np.testing.assert_array_equal(resize(mapped, 14).train.images, resize(read, 14).train.images)


def test_colour_is_resized_channel_by_channel() -> None:
    """A picture of three equal channels becomes what the grey one becomes, three times."""
    dataset = small_dataset((20, 30))
    colour = Examples(np.stack([dataset.train.images] * 3, axis=3), dataset.train.labels)
    resized = resize(replace(dataset, train=colour, test=colour), 14)
    assert resized.example_shape == (14, 21, 3)
    np.testing.assert_array_equal(resized.train.images[..., 1], resize(dataset, 14).train.images)


@pytest.mark.parametrize(("classes", "dtype"), [(2, "u1"), (256, "u1"), (257, "i2"), (32768, "i2"), (32769, "i4")])
def test_labels_take_the_bytes_they_need(tmp_path: Path, classes: int, dtype: str) -> None:
    """Labels are stored in one, two or four bytes, as the number of classes needs, and are read so."""
    assert label_type(classes) == np.dtype(dtype)
    labels = np.arange(classes).astype(dtype)
    parts = dict(zip(PARTS, (np.zeros((classes, 2), np.uint8), labels) * 2, strict=True))
    write_folder(tmp_path, "many", parts)
    dataset = load(tmp_path, "many")
    assert (dataset.num_classes, dataset.train.labels.dtype) == (classes, np.dtype(dtype))
    np.testing.assert_array_equal(dataset.test.labels, labels)


def test_reading_resizes_where_a_size_is_given(folder: Path) -> None:
    """`size` is `resize` after reading; None leaves the images as they are."""
    read = load(folder, "small", size=None)
    assert read.example_shape == (28, 28)
    np.testing.assert_array_equal(load(folder, "small", size=14).test.images, resize(read, 14).test.images)


def test_pictures_beyond_memory_are_refused_before_they_are_made() -> None:
    """The line says how many bytes they take, how many there are, and what to lower."""
    dataset = assemble("small", make_parts(), scale=255)
    with pytest.raises(
        ValueError,
        match=r"^data\.resize: 800 pictures of 100000 pixels need 8,000,000,000,000 bytes of memory, [\d,]+ are"
        r" available; lower data\.resize$",
    ):
        resize(dataset, 100_000)


def test_only_pictures_of_bytes_are_resized() -> None:
    """Points in the plane have no size to change: the error says which param."""
    points = Examples(np.zeros((4, 2), np.int16), np.zeros(4, np.uint8))
    with pytest.raises(ValueError, match=r"^data\.resize: points has no pictures to resize; set data.resize: null$"):
        resize(Dataset("points", ("a", "b"), 1, points, points), 14)
