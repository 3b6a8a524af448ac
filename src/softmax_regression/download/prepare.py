"""The download stage: a data set's verified bytes, ready to be memory-mapped, and a report on what is in them."""

import gzip
import hashlib
import json
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from softmax_regression.data import idx
from softmax_regression.data.datasets import PARTS, REPORT, Dataset, Examples, assemble
from softmax_regression.download.packing import BITS, Packed, pack
from softmax_regression.download.registry import entry_of
from softmax_regression.download.sources import NoSourceError, fetch, is_url, reachable
from softmax_regression.files import sha256_of, write_atomically
from softmax_regression.params import DownloadParams


def download(name: str, folder: Path, params: DownloadParams, root: Path) -> dict[str, Any]:
    """Make `folder` hold the data set `name`: four IDX files, see `datasets.PARTS`, and report.json; return the report.

    `params` say where files come from (see `sources.fetch`; relative folders count from `root`) and what a data set
    that is made is made from. An existing folder is replaced at the end, in one step; until then, and on any error,
    nothing in it changes. The same arguments give the same bytes.

    Raises ValueError for an unknown name, for settings or sources that do not fit, and for data that are not what the
    registry says; NoSourceError, a RuntimeError, when no source serves all files.
    """
    entry = entry_of(name)
    settings = getattr(params, entry.settings).model_dump() if entry.settings else {}
    staging = folder.with_name(f".{folder.name}.partial")  # a fixed name: the next run removes what a kill leaves
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        if entry.files is not None:
            _fetch(name, entry.files, params, root, staging)
        if entry.make is not None:
            for part, array in entry.make(settings).items():
                idx.write(staging / part, array)
        packed = _pack(staging, entry.scale)
        dataset = assemble(
            name,
            {part: idx.read(staging / part, memory_map=True) for part in PARTS},
            scale=packed.scale if packed else entry.scale,
            class_names=entry.class_names,
            example_shape=entry.example_shape,
            sizes=entry.sizes,
        )
        report = describe(dataset)
        if packed:
            report["packing"] = {
                "bits": BITS,
                "largest_error": _three_digits(packed.largest_error),
                "relative_error": _three_digits(packed.relative_error),
            }
        if settings:
            report["settings"] = {f"download.{entry.settings}.{key}": value for key, value in settings.items()}
        report["files"] = {
            part: {"bytes": (staging / part).stat().st_size, "sha256": sha256_of(staging / part)} for part in PARTS
        }
        write_atomically(staging / REPORT, json.dumps(report, indent=2) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return report


def can_download(name: str, *, sources: Sequence[str], root: Path, timeout: float) -> bool:
    """Say within `timeout` seconds whether `download` has a chance: a source that answers, or no need of one."""
    files = entry_of(name).files
    return files is None or reachable([file for file, _ in files.values()], sources, root, timeout)


def describe(dataset: Dataset) -> dict[str, Any]:
    """Return what is in a data set, as plain values.

    class_counts: examples of each class, in label order; range: smallest and largest stored value.
    duplicates: how many examples of a part equal an earlier one of the same part in every value;
    test_examples_in_train: how many test examples equal a training example; conflicting_labels: how many different
    examples stand anywhere under more than one label.
    """
    splits = {"train": dataset.train, "test": dataset.test}
    seen = {split: _fingerprints(examples) for split, examples in splits.items()}
    labels_of: dict[bytes, set[int]] = defaultdict(set)
    for split, examples in splits.items():
        for fingerprint, label in zip(seen[split], examples.labels.tolist(), strict=True):
            labels_of[fingerprint].add(label)
    distinct = {split: set(fingerprints) for split, fingerprints in seen.items()}
    return {
        "name": dataset.name,
        "class_names": list(dataset.class_names),
        "example_shape": list(dataset.example_shape),
        "type": dataset.train.images.dtype.name,
        "scale": list(dataset.scale) if isinstance(dataset.scale, tuple) else dataset.scale,
        **{
            split: {
                "examples": len(examples),
                "class_counts": np.bincount(examples.labels, minlength=dataset.num_classes).tolist(),
                "range": [examples.images.min().item(), examples.images.max().item()],
                "duplicates": len(examples) - len(distinct[split]),
            }
            for split, examples in splits.items()
        },
        "test_examples_in_train": sum(fingerprint in distinct["train"] for fingerprint in seen["test"]),
        "conflicting_labels": sum(len(labels) > 1 for labels in labels_of.values()),
    }


def _fingerprints(examples: Examples) -> list[bytes]:
    """Return 16 bytes an example, equal where all values are (two of 70,000 others agree with chance 1e-29)."""
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in examples.images]


def _pack(folder: Path, scale: float) -> Packed | None:
    """Replace real-valued features, divided by `scale`, by packed ones; return None where they are integers."""
    paths = [folder / f"{split}-images" for split in ("train", "test")]
    train, test = (idx.read(path, memory_map=True) for path in paths)
    if "f" not in (train.dtype.kind, test.dtype.kind):
        return None
    packed = pack(train / scale, test / scale)
    for path, stored in zip(paths, (packed.train, packed.test), strict=True):
        idx.write(path, stored)
    return packed


def _three_digits(number: float) -> float:
    """Return a measured figure to three digits: further ones may differ with the library that made the data."""
    return float(f"{number:.3g}")


def _fetch(name: str, files: Mapping[str, tuple[str, str]], params: DownloadParams, root: Path, folder: Path) -> None:
    """Fetch the files as published and put what is in them into `folder` under the names of the parts."""
    sources, published = params.sources.get(name, []), folder / "published"
    try:
        fetch(dict(files.values()), sources, root, params.timeout, published)
    except NoSourceError as error:
        place = next((source for source in sources if not is_url(source)), "a folder and name it as a source")
        raise NoSourceError(
            f"{error}; ways out: put the files into {place}; edit download.sources.{name} in params.yaml;"
            " set data.name: digits, which needs no download"
        ) from error
    for part, (file, _) in files.items():
        if file.endswith(".gz"):
            with gzip.open(published / file) as packed, (folder / part).open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, 2**20)
        else:
            (published / file).rename(folder / part)
    shutil.rmtree(published)
