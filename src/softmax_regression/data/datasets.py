"""Reading a data set with every check, holding examples out for validation, resizing images.

Shapes: N examples, K classes, D features, B batch. Only numpy is imported at the top: whoever needs no resizing
does not wait for torchvision. What is known of each data set stands in registry.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from softmax_regression.data import idx
from softmax_regression.download.registry import PARTS, Array, entry_of


@dataclass(frozen=True)
class Examples:
    """images: (N, *example_shape) as stored, uint8 or float64. labels: (N,) uint8 in [0, K)."""

    images: Array
    labels: Array

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """A data set as read. The features of the model are images / scale, flattened to (N, D)."""

    name: str
    class_names: tuple[str, ...]
    scale: float
    train: Examples
    test: Examples

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.class_names)

    @property
    def example_shape(self) -> tuple[int, ...]:
        """(height, width) of an image, (D,) of a plain vector of features."""
        return self.train.images.shape[1:]

    @property
    def num_features(self) -> int:
        """D, the product of the example shape."""
        return math.prod(self.example_shape)

    @property
    def is_image(self) -> bool:
        """Whether an example is a grey image, to be shown in a grid."""
        return len(self.example_shape) == 2


def load(folder: Path, name: str, *, memory_map: bool = False, size: int | None = None) -> Dataset:
    """Read the data set `name` from `folder`, as the download stage wrote it, and check it.

    With `memory_map` uint8 images stay in the file and are read as they are used (see `idx.read`); with a `size`
    they are resized (see `resize`).
    Raises FileNotFoundError when a file is not there; ValueError for an unknown name, or for a file that does not
    hold what it should, naming the file, what was expected, what was found and what to do.
    """
    entry_of(name)
    for part in PARTS:
        if not (folder / part).is_file():
            raise FileNotFoundError(f"{folder / part} not found; run `dvc repro download`")
    try:
        arrays = {p: idx.read(folder / p, memory_map=memory_map and p.endswith("images")) for p in PARTS}
        dataset = assemble(name, arrays)
    except ValueError as error:
        raise ValueError(f"{error}; delete {folder} and run `dvc repro --force download`") from error
    return dataset if size is None else resize(dataset, size)


def assemble(name: str, arrays: Mapping[str, Array]) -> Dataset:
    """Return part -> array (see `PARTS`) as a Dataset.

    Raises ValueError where types, counts, shapes or labels are not those of the entry of `name`, where a part has
    no examples, or not as many labels as images.
    """
    entry = entry_of(name)
    train, test = (Examples(arrays[f"{split}-images"], arrays[f"{split}-labels"]) for split in ("train", "test"))
    shape = entry.example_shape or train.images.shape[1:]
    labels = range(len(entry.class_names) if entry.class_names else 1 + int(train.labels.max(initial=0)))
    sizes = entry.sizes or (None, None)
    _check(train, f"{name}: train", shape, labels, sizes[0])
    _check(test, f"{name}: test", shape, labels, sizes[1])
    names = entry.class_names or tuple(f"class {label}" for label in labels)
    return Dataset(name, names, entry.scale, train, test)


def _check(examples: Examples, what: str, shape: tuple[int, ...], known_labels: range, size: int | None) -> None:
    images, labels = examples.images, examples.labels
    if labels.dtype != np.uint8 or labels.ndim != 1:
        raise _mismatch(f"{what}-labels", "a vector of uint8", f"{labels.dtype} of shape {labels.shape}")
    if images.dtype not in (np.uint8, np.float64):
        raise _mismatch(f"{what}-images", "uint8 or float64", images.dtype)
    if images.ndim < 2 or images.shape[1:] != shape:
        raise _mismatch(f"{what}-images", f"shape {('N', *shape)}", images.shape)
    if len(images) == 0 or len(images) != (size or len(images)):
        raise _mismatch(f"{what}-images", f"{size or 'one or more'} examples", len(images))
    if len(labels) != len(images):
        raise _mismatch(f"{what}-labels", f"{len(images)} labels, one an image", len(labels))
    if (largest := labels.max()) not in known_labels:
        raise _mismatch(f"{what}-labels", f"labels from 0 to {known_labels[-1]}", largest)
    if images.dtype == np.float64 and not np.isfinite(images).all():
        raise _mismatch(f"{what}-images", "finite features", "NaN or infinity")


def _mismatch(what: str, expected: str, found: object) -> ValueError:
    return ValueError(f"{what}: expected {expected}, found {found}")


def hold_out(labels: Array, size: int, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Split the indices of `labels` (N,) into (training, validation), both ascending, the second of `size`.

    Stratified: class c with n_c of the N labels gives floor(size n_c / N) examples, and the classes with the largest
    remainders one more each until the counts add up (Hare quota). Which ones is drawn from `seed`.
    `size` 0 holds out nothing. Raises ValueError when `size` is too small or too large to have every class on both
    sides.
    """
    total = len(labels)
    classes, counts = np.unique(labels, return_counts=True)
    if size != 0 and not len(classes) <= size <= total - len(classes):
        raise ValueError(
            f"data.validation_size: expected 0 or {len(classes)} to {total - len(classes)} of the {total} training"
            f" examples, so that each of the {len(classes)} classes has one on both sides, found {size}"
        )
    quotas, remainders = np.divmod(size * counts, total)
    quotas[np.argsort(-remainders, kind="stable")[: size - quotas.sum()]] += 1
    if (quotas == counts).any():
        label = classes[np.argmax(quotas == counts)]
        raise ValueError(f"data.validation_size: {size} leaves no training example of class {label}; lower it")
    generator = np.random.default_rng(seed)
    chosen = [
        generator.permutation(np.flatnonzero(labels == label))[:quota]
        for label, quota in zip(classes, quotas, strict=True)
    ]
    validation = np.sort(np.concatenate(chosen)).astype(np.int64)
    return np.setdiff1d(np.arange(total), validation, assume_unique=True), validation


def resize(dataset: Dataset, size: int) -> Dataset:
    """Return the data set with its images resized to `size` pixels on the shorter side, as the book's loader does.

    The book's torchvision `Resize` on a PIL image is Pillow's bilinear filter, antialiased, on the uint8 values; it is
    called here without torchvision, which takes longer to import than Pillow to resize 70,000 images. The images
    come to memory. Raises ValueError for a data set without uint8 images.
    """
    if not dataset.is_image or dataset.train.images.dtype != np.uint8:
        raise ValueError(f"data.resize: {dataset.name} has no grey images to resize; set data.resize: null")
    return replace(dataset, train=_resized(dataset.train, size), test=_resized(dataset.test, size))


def _resized(examples: Examples, size: int) -> Examples:
    from PIL import Image

    height, width = examples.images.shape[1:]
    shorter = min(height, width)
    shape = (size * height // shorter, size * width // shorter)
    resized = np.empty((len(examples), *shape), np.uint8)
    for index, image in enumerate(examples.images):
        resized[index] = Image.fromarray(image).resize(shape[::-1], Image.Resampling.BILINEAR)
    return replace(examples, images=resized)
