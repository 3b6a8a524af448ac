"""Small data sets in the real file format: gzipped IDX files as published, or a folder as the download stage leaves it.

entry = write_published(tmp_path / "published")            # four .gz files and the registry entry that fits them
monkeypatch.setitem(registry.DATA_SETS, "small", entry)    # now data.name may be "small"
write_folder(tmp_path / FOLDER)                            # the same examples with their report, for `datasets.load`
"""

import gzip
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from softmax_regression.data.datasets import PARTS, Examples
from softmax_regression.download import idx
from softmax_regression.download.prepare import download
from softmax_regression.download.registry import DATA_SETS, Entry
from softmax_regression.files import sha256_of
from softmax_regression.params import OwnData, load_params

ROOT = Path(__file__).parents[1]
NAMES = dict(
    zip(
        PARTS,
        (
            "train-images-idx3-ubyte.gz",
            "train-labels-idx1-ubyte.gz",
            "t10k-images-idx3-ubyte.gz",
            "t10k-labels-idx1-ubyte.gz",
        ),
        strict=True,
    )
)


def make_examples(count: int, shape: tuple[int, ...] = (28, 28), classes: int = 10, seed: int = 0) -> Examples:
    """Return grey images that a linear model can learn: a fixed pattern a class, under noise drawn from `seed`."""
    patterns = np.random.default_rng(1234).integers(0, 192, (classes, *shape))
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(count) % classes).astype(np.uint8)
    images = patterns[labels] + generator.integers(0, 64, (count, *shape))
    return Examples(images.astype(np.uint8), labels)


def make_parts(
    train: int = 600, test: int = 200, shape: tuple[int, ...] = (28, 28), classes: int = 10
) -> dict[str, np.ndarray]:
    """Return the four arrays of a data set, by part."""
    first, second = make_examples(train, shape, classes, seed=1), make_examples(test, shape, classes, seed=2)
    return dict(zip(PARTS, (first.images, first.labels, second.images, second.labels), strict=True))


def make_entry(parts: Mapping[str, np.ndarray], files: Mapping[str, tuple[str, str]] | None = None) -> Entry:
    """Return the registry entry that describes the four arrays."""
    return Entry(
        scale=255,
        class_names=tuple(f"kind {label}" for label in range(1 + int(parts["train-labels"].max()))),
        example_shape=parts["train-images"].shape[1:],
        sizes=(len(parts["train-labels"]), len(parts["test-labels"])),
        files=files,
    )


def write_published(folder: Path, parts: Mapping[str, np.ndarray] | None = None) -> Entry:
    """Write the four gzip files as a publisher would; return the registry entry with their digests."""
    parts = parts or make_parts()
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for part, array in parts.items():
        plain = folder / part
        idx.write(plain, array)
        packed = folder / NAMES[part]
        packed.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
        plain.unlink()
        files[part] = (packed.name, f"sha256:{sha256_of(packed)}")
    return make_entry(parts, files)


def own(**changes: Any) -> OwnData:
    """Return the section download.own of params.yaml with changes."""
    return load_params(ROOT / "params.yaml").download.own.model_copy(update=changes)


def write_folder(
    folder: Path, name: str = "small", parts: Mapping[str, np.ndarray] | None = None, scale: float = 255
) -> dict[str, Any]:
    """Write the four arrays and the report by the download stage's own function; return the report."""
    arrays = dict(parts or make_parts())
    entry = replace(make_entry(arrays), scale=scale, make=lambda settings: arrays)
    params = load_params(ROOT / "params.yaml").download
    with patch.dict(DATA_SETS, {name: entry}):
        return download(name, folder, params, datasets=folder.parent / "datasets", root=folder.parent)
