"""A prepared data set: reading its folder with every check, holding examples out for validation, resizing images.

The folder describes itself (report.json, as the download stage wrote it), so nothing here knows any data set by name.
Shapes: N examples, K classes, D features. Only numpy is imported at the top.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from softmax_regression.data import npy
from softmax_regression.data.memory import require
from softmax_regression.files import existing, parse_json, read_text
from softmax_regression.numerics.randomness import permutation

Array: TypeAlias = npt.NDArray[Any]
Scale: TypeAlias = float | tuple[float, ...]  # one number, or one for each of the D features
HeldOut: TypeAlias = Literal["test", "validation"]  # which examples are measured after each epoch

FOLDER = Path("data", "prepared")  # where the download stage leaves the data set, whichever it is
PARTS = ("train-images", "train-labels", "test-images", "test-labels")  # .npy files in that folder
REPORT = "report.json"
_BY_DOWNLOAD = "run `dvc repro download`"


@dataclass(frozen=True)
class Examples:
    """images: (N, *example_shape) as stored, uint8 or int16. labels: (N,) in [0, K), see `label_type`.

    With `rows`, ascending int64, these alone of both arrays are meant: a part of a memory map that is no copy of it.
    """

    images: Array
    labels: Array
    rows: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.labels if self.rows is None else self.rows)

    def gathered(self) -> Self:
        """Return these examples as arrays of their own, without `rows`: a copy in memory of a part."""
        if self.rows is None:
            return self
        return replace(self, images=self.images[self.rows], labels=self.labels[self.rows], rows=None)


@dataclass(frozen=True)
class Standardisation:
    """What was taken from the raw features x (N, D), measured on the training part: (x - mean) / deviation."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]  # 1 for a constant column

    def __call__(self, raw: Array) -> npt.NDArray[np.float64]:
        """Return standardised features, in float64."""
        standardised: npt.NDArray[np.float64] = (raw - np.array(self.mean)) / np.array(self.deviation)
        return standardised


@dataclass(frozen=True)
class Dataset:
    """A data set as read. The features of the model are the images, flattened to (N, D), divided by `scale`.

    Examples are pictures, grey (height, width) or in colour (height, width, 3), or plain vectors of features, (D,).
    """

    name: str
    class_names: tuple[str, ...]
    scale: Scale
    train: Examples
    test: Examples
    report: Mapping[str, Any] = field(default_factory=dict)  # the download stage's findings and the files' digests
    feature_names: tuple[str, ...] = ()  # of a vector's features, where they have names
    standardisation: Standardisation | None = None  # what was done to raw features before they were stored

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.class_names)

    @property
    def example_shape(self) -> tuple[int, ...]:
        """(height, width), (height, width, 3) or (D,)."""
        return self.train.images.shape[1:]

    def split(self, validation_size: int, seed: int) -> tuple[Examples, tuple[HeldOut, Examples]]:
        """Return what is trained on, and what is measured after each epoch: which examples, and these.

        With a `validation_size` so many training examples are held out (see `hold_out`), and both parts are `rows` of
        the training examples; with 0 all are trained on and the test set is measured, as in the book: nothing is
        selected by it.
        """
        if validation_size == 0:
            return self.train, ("test", self.test)
        kept, out = hold_out(self.train.labels, validation_size, seed)
        return replace(self.train, rows=kept), ("validation", replace(self.train, rows=out))


def read_report(folder: Path, name: str | None = None) -> dict[str, Any]:
    """Return the download stage's report in `folder`; `name` is the data set that is wanted, if only one will do.

    Raises FileNotFoundError, or ValueError when the report is damaged or the folder holds another data set.
    """
    path = existing(folder / REPORT, _BY_DOWNLOAD)
    text = read_text(path)
    try:
        report = parse_json(text)
        shape, sizes = report["example_shape"], [report[part]["examples"] for part in ("train", "test")]
        if not all(isinstance(size, int) and size > 0 for size in (*shape, *sizes)):
            raise ValueError(f"examples of shape {shape}, {sizes} in number")
        digests = [facts["sha256"] for facts in report["files"].values()]
        names = [report["name"], *report["class_names"], *report["feature_names"], *digests]
        if not all(isinstance(name, str) for name in names):
            raise ValueError("a name or a digest is no text")
        read_scale(report["scale"], math.prod(shape))
        read_standardisation(report["standardise"], math.prod(shape))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        said = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{path} is damaged ({said}); run `dvc repro --force download`") from None
    if name not in (None, report["name"]):
        raise ValueError(f"{folder} holds {' '.join(report['name'].split())}, not {name}; {_BY_DOWNLOAD}")
    return report


def read_scale(scale: object, num_features: int) -> Scale:
    """Return a scale as JSON holds it: a positive number, or a list of powers of two, one for each feature.

    Raises ValueError for anything else.
    """
    if not isinstance(scale, list):
        if isinstance(scale, (int, float)) and 0 < scale <= sys.float_info.max:
            return scale
        raise _mismatch("scale", "a positive number, or one for each feature", repr(scale))
    if len(scale) != num_features:
        raise _mismatch("scale", f"{num_features} numbers, one for each feature", len(scale))
    for value in scale:
        if not isinstance(value, float) or math.frexp(value)[0] != 0.5:
            raise _mismatch("scale", "powers of two", repr(value))
    return tuple(scale)


def read_standardisation(found: object, num_features: int) -> Standardisation | None:
    """Return a standardisation as JSON holds it: "mean" and "deviation", above 0, by feature, or null.

    Raises ValueError for anything else.
    """
    if not found:
        return None
    columns = []
    for name in ("mean", "deviation"):
        column = found.get(name) if isinstance(found, dict) else None
        if not isinstance(column, list) or len(column) != num_features:
            raise _mismatch("standardise", f"a mean and a deviation of {num_features} features", repr(found)[:80])
        if not all(isinstance(value, (int, float)) and abs(value) <= sys.float_info.max for value in column):
            raise _mismatch("standardise", "finite numbers", repr(column)[:80])
        columns.append(column)
    mean, deviation = columns
    if min(deviation) <= 0:
        raise _mismatch("standardise", "deviations above 0", min(deviation))
    return Standardisation(tuple(mean), tuple(deviation))


def label_type(num_classes: int) -> np.dtype[np.integer]:
    """Return the type of stored labels: the first of uint8, int16 and int32 that holds them."""
    return np.dtype(np.uint8 if num_classes <= 2**8 else np.int16 if num_classes <= 2**15 else np.int32)


def load(folder: Path, name: str, *, size: int | None = None) -> Dataset:
    """Read the data set from `folder`, as the download stage wrote it, and check it against its report.

    `name` is the data set that is wanted. Images stay in the file and are read as they are used (see `npy.read`);
    with a `size` they are resized (see `resize`).
    Raises FileNotFoundError when a file is not there; ValueError when the folder holds another data set, or a file
    does not hold what it should, naming the file, what was expected, what was found and what to do.
    """
    report = read_report(folder, name)
    paths = {part: existing(folder / f"{part}.npy", _BY_DOWNLOAD) for part in PARTS}
    try:
        arrays = {part: npy.read(path) for part, path in paths.items()}
        dataset = assemble(
            name,
            arrays,
            scale=read_scale(report["scale"], math.prod(report["example_shape"])),
            class_names=tuple(report["class_names"]),
            example_shape=tuple(report["example_shape"]),
            sizes=(report["train"]["examples"], report["test"]["examples"]),
        )
    except ValueError as error:
        raise ValueError(f"{error}; delete {folder} and run `dvc repro --force download`") from error
    taken = read_standardisation(report["standardise"], math.prod(report["example_shape"]))
    dataset = replace(dataset, report=report, standardisation=taken, feature_names=tuple(report["feature_names"]))
    return dataset if size is None else resize(dataset, size)


def assemble(
    name: str,
    arrays: Mapping[str, Array],
    *,
    scale: Scale,
    class_names: tuple[str, ...] | None = None,
    example_shape: tuple[int, ...] | None = None,
    sizes: tuple[int, int] | None = None,
) -> Dataset:
    """Return part -> array (see `PARTS`) as a Dataset; what is None is taken from the arrays.

    Raises ValueError where types, counts, shapes or labels are not those given, where a part has no examples, or not
    as many labels as images.
    """
    train, test = (Examples(arrays[f"{split}-images"], arrays[f"{split}-labels"]) for split in ("train", "test"))
    shape = example_shape or train.images.shape[1:]
    labels = range(len(class_names) if class_names else 1 + int(train.labels.max(initial=0)))
    _check(train, f"{name}: train", shape, labels, sizes[0] if sizes else None)
    _check(test, f"{name}: test", shape, labels, sizes[1] if sizes else None)
    return Dataset(name, class_names or tuple(f"class {label}" for label in labels), scale, train, test)


def _check(examples: Examples, what: str, shape: tuple[int, ...], known_labels: range, size: int | None) -> None:
    images, labels = examples.images, examples.labels
    if (dtype := label_type(len(known_labels))) != labels.dtype or labels.ndim != 1:
        raise _mismatch(f"{what}-labels", f"a vector of {dtype}", f"{labels.dtype} of shape {labels.shape}")
    if images.dtype not in (np.uint8, np.int16):
        raise _mismatch(f"{what}-images", "uint8 or int16", images.dtype)
    if images.ndim < 2 or images.shape[1:] != shape:
        raise _mismatch(f"{what}-images", f"shape {('N', *shape)}", images.shape)
    if len(images) == 0 or len(images) != (size or len(images)):
        raise _mismatch(f"{what}-images", f"{size or 'one or more'} examples", len(images))
    if len(labels) != len(images):
        raise _mismatch(f"{what}-labels", f"{len(images)} labels, one an image", len(labels))
    for label in (int(labels.min()), int(labels.max())):
        if label not in known_labels:
            raise _mismatch(f"{what}-labels", f"labels from 0 to {known_labels[-1]}", label)


def _mismatch(what: str, expected: str, found: object) -> ValueError:
    return ValueError(f"{what}: expected {expected}, found {found}")


def hold_out(labels: Array, size: int, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Split the indices of `labels` (N,) into (training, validation), both ascending, the second of `size`.

    Stratified: class c with n_c of the N labels gives floor(size n_c / N) examples, and the classes with the largest
    remainders one more each until the counts add up (Hare quota). Which ones is drawn from `seed`, the
    same ones on every machine.
    Raises ValueError when `size` is too small or too large to have every class on both sides.
    """
    total = len(labels)
    classes, counts = np.unique(labels, return_counts=True)
    if not len(classes) <= size <= total - len(classes):
        raise ValueError(
            f"data.validation_size: expected 0 or {len(classes)} to {total - len(classes)} of the {total} training"
            f" examples, so that each of the {len(classes)} classes has one on both sides, found {size}"
        )
    quotas, remainders = np.divmod(size * counts, total)
    quotas[np.argsort(-remainders, kind="stable")[: size - quotas.sum()]] += 1
    if (quotas == counts).any():
        label = classes[np.argmax(quotas == counts)]
        raise ValueError(f"data.validation_size: {size} leaves no training example of class {label}; lower it")
    by_class = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
    chosen = [
        members[permutation(f"validation split of seed {seed} class {label}", len(members))[:quota]]
        for label, members, quota in zip(classes, by_class, quotas, strict=True)
    ]
    is_out = np.zeros(total, bool)
    is_out[np.concatenate(chosen)] = True
    return np.flatnonzero(~is_out), np.flatnonzero(is_out)


def resize(dataset: Dataset, size: int) -> Dataset:
    """Return the data set with its images resized to `size` pixels on the shorter side, as the book's loader does.

    The book's torchvision `Resize` on a PIL image is Pillow's bilinear filter, antialiased, on the uint8 values; it is
    called here without torchvision, which takes longer to import than Pillow to resize 70,000 images. The images
    come to memory. Raises ValueError for a data set without uint8 images, and for more than memory has room for.
    """
    if len(dataset.example_shape) == 1 or dataset.train.images.dtype != np.uint8:
        raise ValueError(f"data.resize: {dataset.name} has no pictures to resize; set data.resize: null")
    examples = len(dataset.train) + len(dataset.test)
    needed = examples * math.prod((*_resized_shape(dataset.example_shape, size), *dataset.example_shape[2:]))
    require(needed, f"data.resize: {examples:,} pictures of {size} pixels", "lower data.resize")
    return replace(dataset, train=_resized(dataset.train, size), test=_resized(dataset.test, size))


def _resized_shape(shape: tuple[int, ...], size: int) -> tuple[int, int]:
    height, width = shape[:2]
    shorter = min(height, width)
    return size * height // shorter, size * width // shorter


def _resized(examples: Examples, size: int) -> Examples:
    from PIL import Image

    channels, shape = examples.images.shape[3:], _resized_shape(examples.images.shape[1:], size)
    resized = np.empty((len(examples), *shape, *channels), np.uint8)
    for index, image in enumerate(examples.images):
        resized[index] = Image.fromarray(image).resize(shape[::-1], Image.Resampling.BILINEAR)
    return replace(examples, images=resized)
