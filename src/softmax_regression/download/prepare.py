"""The download stage: a data set's verified bytes, ready to be memory-mapped, and a report on what is in them."""

import gzip
import json
import math
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from softmax_regression.data import npy
from softmax_regression.data.datasets import PARTS, REPORT, assemble, label_type
from softmax_regression.download import idx
from softmax_regression.download.finding import Found, find, named
from softmax_regression.download.packing import pack
from softmax_regression.download.raw import Raw, Rows
from softmax_regression.download.registry import DATA_SETS, Entry
from softmax_regression.download.sources import NoSourceError, fetch, is_url, reachable
from softmax_regression.download.understanding import describe
from softmax_regression.files import sha256_of, write_atomically
from softmax_regression.numerics.grids import packed_bits
from softmax_regression.params import DownloadParams
from softmax_regression.progress import shown

RAW = "raw"  # where data are before they are packed


def download(name: str, folder: Path, params: DownloadParams, *, datasets: Path, root: Path) -> dict[str, Any]:
    """Make `folder` hold the data set `name`: four arrays, see `datasets.PARTS`, and report.json; return the report.

    A name that the registry does not know is that of a person's own data in the folder `datasets`. `params` say where
    files come from (see `sources.fetch`; relative folders count from `root`), what a data set that is made is made
    from, and how a person's own is read. An existing folder is replaced at the end, in one step; until then, and on
    any error, nothing in it changes. The same arguments give the same bytes.

    Raises ValueError for an unknown name, for settings or sources that do not fit, and for data that are not what the
    registry says or what can be learned from; NoSourceError, a RuntimeError, when no source serves all files.
    """
    read = _reader(name, params, datasets, root)  # a wrong name is found before anything is touched
    staging = folder.with_name(f".{folder.name}.partial")  # a fixed name: the next run removes what a kill leaves
    shutil.rmtree(staging, ignore_errors=True)
    (staging / RAW).mkdir(parents=True)
    try:
        report = _store(name, read(staging / RAW), staging)
        shutil.rmtree(staging / RAW)
        report["files"] = {
            part: {"bytes": (path := staging / f"{part}.npy").stat().st_size, "sha256": sha256_of(path)}
            for part in PARTS
        }
        write_atomically(staging / REPORT, json.dumps(report, indent=2) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return report


def _reader(name: str, params: DownloadParams, datasets: Path, root: Path) -> Callable[[Path], Raw]:
    """Return what brings a data set into a folder."""
    if entry := DATA_SETS.get(name):
        for place in named(name, datasets):
            print(f"{place} is not read: {name} is a known data set; give yours another name", file=sys.stderr)
        return partial(_known, name, entry, params, root)
    from softmax_regression.download.own import read_own  # with pyarrow, which takes its time

    return partial(read_own, _find(name, datasets, root), params.own)


def _known(name: str, entry: Entry, params: DownloadParams, root: Path, folder: Path) -> Raw:
    """Return a data set of the registry, fetched into `folder` or made."""
    settings = getattr(params, entry.settings).model_dump() if entry.settings else {}
    if entry.files is not None:
        _fetch(name, entry.files, params, root, folder, _largest(entry))
        arrays = {part: idx.read(folder / part, memory_map=True) for part in PARTS}
    else:
        assert entry.make is not None
        arrays = entry.make(settings)
    return Raw(
        {part: Rows(((arrays[f"{part}-images"], None),)) for part in ("train", "test")},
        {part: arrays[f"{part}-labels"] for part in ("train", "test")},
        scale=entry.scale,
        class_names=entry.class_names,
        example_shape=entry.example_shape,
        sizes=entry.sizes,
        settings={f"download.{entry.settings}.{key}": value for key, value in settings.items()},
    )


def _find(name: str, datasets: Path, root: Path) -> Found:
    """Return a person's own data set. Raises ValueError where there is none, or it does not reach this stage."""
    try:
        return find(name, datasets)
    except ValueError:
        places = named(name, root / datasets)
        if not places or datasets.resolve() == (root / datasets).resolve():
            raise
        place = places[0].relative_to(root)  # DVC runs this stage in a copy of the workspace
        raise ValueError(
            f"data.name: neither git nor DVC tracks {place}, so this experiment has no copy of it; run"
            f" `dvc add {place}` and `git add {place}.dvc {datasets / '.gitignore'}` first"
        ) from None


def _store(name: str, raw: Raw, folder: Path) -> dict[str, Any]:
    """Write the four arrays as training reads them; return the report on what is in them."""
    packed = None
    train, test = raw.examples["train"], raw.examples["test"]
    if train.dtype == test.dtype == np.uint8 and not raw.standardise:
        for part, rows in raw.examples.items():
            npy.write_blocks(folder / f"{part}-images.npy", shown(rows.blocks(), f"storing {part}", len(rows)))
    else:
        packed = pack(train, test, folder, standardise=raw.standardise)
    num_classes = len(raw.class_names or range(1 + max(int(labels.max()) for labels in raw.labels.values())))
    for part, labels in raw.labels.items():
        npy.write(folder / f"{part}-labels.npy", labels.astype(label_type(num_classes)))
    dataset = assemble(
        name,
        {part: npy.read(folder / f"{part}.npy") for part in PARTS},
        scale=packed.scale if packed else raw.scale,
        class_names=raw.class_names,
        example_shape=raw.example_shape,
        sizes=raw.sizes,
    )
    standardisation = packed.standardisation if packed else None
    report = describe(replace(dataset, feature_names=raw.feature_names)) | {
        "feature_names": list(raw.feature_names),
        "standardise": asdict(standardisation) if standardisation else None,
        **raw.facts,
    }
    if packed:
        report["packing"] = {
            "bits": packed_bits(len(packed.scale)),
            "largest_error": _three_digits(packed.largest_error),
            "relative_error": _three_digits(packed.relative_error),
        }
    if raw.settings:
        report["settings"] = dict(raw.settings)
    return report


def can_download(name: str, *, sources: Sequence[str], root: Path, datasets: Path, timeout: float) -> bool:
    """Say within `timeout` seconds whether `download` has a chance: a source that answers, or no need of one.

    Raises ValueError for a name that neither the registry nor the folder `datasets` knows.
    """
    entry = DATA_SETS.get(name)
    if entry is None:
        return bool(find(name, root / datasets))
    return entry.files is None or reachable([file for file, _ in entry.files.values()], sources, root, timeout)


def _three_digits(number: float) -> float:
    """Return a measured figure to three digits: further ones may differ with the library that made the data."""
    return float(f"{number:.3g}")


def _largest(entry: Entry) -> int:
    """Return how many bytes a published file may have: the larger part, which gzip makes no longer than by 1%."""
    assert entry.sizes
    assert entry.example_shape
    bytes_of_a_value = 8 if entry.scale == 1 else 1  # a real number or a pixel
    return 2**16 + math.prod((max(entry.sizes), *entry.example_shape, bytes_of_a_value)) * 101 // 100


def _fetch(
    name: str, files: Mapping[str, tuple[str, str]], params: DownloadParams, root: Path, folder: Path, largest: int
) -> None:
    """Fetch the files as published and put what is in them into `folder` under the names of the parts."""
    sources, published = params.sources.get(name, []), folder / "published"
    try:
        fetch(dict(files.values()), sources, root, params.timeout, published, largest)
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
