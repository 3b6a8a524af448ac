"""A person's own data set, read as `download.own` in params.yaml says, checked, and split where it has no test part."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from softmax_regression.download.array_files import read_arrays
from softmax_regression.download.classes import Codes, joined, number_classes
from softmax_regression.download.finding import Found, some
from softmax_regression.download.picture_folders import read_pictures
from softmax_regression.download.raw import Piece, Raw, Reading, Rows
from softmax_regression.download.tables import read_tables
from softmax_regression.numerics.randomness import permutation
from softmax_regression.params import OwnData
from softmax_regression.progress import shown

Mask: TypeAlias = npt.NDArray[np.bool_]
_READERS: dict[str, Callable[[Found, OwnData, Path], Reading]] = {
    "table": read_tables,
    "arrays": read_arrays,
    "pictures": read_pictures,
}


def read_own(found: Found, own: OwnData, folder: Path) -> Raw:
    """Return the data set that was found, with arrays in `folder` where its files cannot be mapped themselves.

    Raises ValueError for files that are damaged or say no data set, and for what cannot be meant: see the readers and
    `number_classes`; labels, groups or values that are missing without a rule; a group on both sides.
    """
    where, reading = str(found.place), _READERS[found.kind](found, own, folder)
    pieces, settings, notes = reading.pieces, reading.settings, list(reading.notes)
    shapes = {piece.values.shape[1:] for piece in pieces}
    if len(shapes) > 1:
        raise ValueError(f"{where}: examples of several shapes, {some(sorted(map(str, shapes)))}; give them one shape")
    has_gap, gaps = _find_gaps(pieces, reading.feature_names, where)
    labels = joined([piece.labels for piece in pieces])
    unlabelled = labels.codes < 0
    usable = np.ones(len(unlabelled), bool)
    if gaps or unlabelled.any():
        settings["missing"] = own.missing
    if own.missing == "drop":
        usable = ~(has_gap | unlabelled)
        if dropped := int((~usable).sum()):
            notes.append(f"{dropped:,} examples left out, as values are missing in them: {some(gaps or ['the label'])}")
    elif unlabelled.any():
        raise ValueError(
            f"{where}: {unlabelled.sum():,} of {len(unlabelled):,} labels are missing, the first in row"
            f" {1 + unlabelled.argmax():,}; fill them in, or set download.own.missing: drop"
        )
    elif gaps and own.missing == "refuse":
        raise ValueError(
            f"{where}: values are missing in {some(gaps)}; set download.own.missing to drop (the rows) or mean (of the"
            " column), or name columns in download.own.leave_out"
        )
    labels.codes[~usable] = -1
    class_names, classes = number_classes(labels, f"{where}, {settings['label']}" if settings.get("label") else where)
    groups = joined([piece.groups for piece in pieces if piece.groups]).codes if pieces[0].groups else None
    is_test, split = _split(pieces, usable, classes, class_names, groups, own)
    if split != _AS_GIVEN:
        settings["test_share"] = own.test_share
    elif any(piece.part == "validation" for piece in pieces):
        notes.append("the validation part joined the training part; data.validation_size holds examples out of it")
    if others := [path.name for path in found.others]:
        notes.append(f"not read: {some(others)}")
    examples = {part: _rows(pieces, usable & (is_test == (part == "test"))) for part in ("train", "test")}
    if gaps and own.missing == "mean":
        fill = _means(examples["train"], where)
        examples = {part: Rows(rows.pieces, fill) for part, rows in examples.items()}
        notes.append(f"missing values are the training part's means: {some(gaps)}")
    is_vector = pieces[0].values.ndim == 2
    settings["standardise"] = is_vector if own.standardise is None else own.standardise
    return Raw(
        examples,
        {part: classes[usable & (is_test == (part == "test"))] for part in ("train", "test")},
        scale=reading.scale or 1,
        class_names=class_names,
        feature_names=reading.feature_names,
        standardise=settings["standardise"],
        settings={f"download.own.{key}": value for key, value in settings.items() if value not in (None, "")},
        facts={"framed": False, "read": {"from": found.place.as_posix(), "split": split, "notes": notes}},
    )


def _find_gaps(pieces: Sequence[Piece], names: Sequence[str], where: str) -> tuple[Mask, list[str]]:
    """Return which examples have a NaN, and the columns that have some, each with their number.

    Raises ValueError for infinite values.
    """
    rows: list[Mask] = []
    missing, infinite = np.zeros(1, np.int64), np.zeros(1, np.int64)
    for piece in pieces:
        if piece.values.dtype.kind != "f":
            rows.append(np.zeros(len(piece.values), bool))
            continue
        for block in shown(Rows(((piece.values, None),)).blocks(), "looking for gaps", len(piece.values)):
            if np.isfinite(block).all():
                rows.append(np.zeros(len(block), bool))
                continue
            flat = block.reshape(len(block), -1)
            is_nan = np.isnan(flat)
            rows.append(np.asarray(is_nan.any(axis=1)))
            missing, infinite = missing + is_nan.sum(axis=0), infinite + np.isinf(flat).sum(axis=0)
    if infinite.any():
        raise ValueError(f"{where}: infinite values in {some(_counted(infinite, names))}; correct them")
    return np.concatenate(rows), _counted(missing, names)


def _counted(counts: npt.NDArray[np.int64], names: Sequence[str]) -> list[str]:
    return [
        f"{names[place] if names else f'feature {place + 1}'} ({counts[place]:,})"
        for place in np.flatnonzero(counts).tolist()
    ]


_AS_GIVEN = "as the files say"


def _split(
    pieces: Sequence[Piece],
    usable: Mask,
    classes: Codes,
    class_names: Sequence[str],
    groups: Codes | None,
    own: OwnData,
) -> tuple[Mask, str]:
    """Return which examples are the test part, and how they were chosen."""
    is_test = np.concatenate([np.full(len(piece.values), piece.part == "test") for piece in pieces])
    if groups is not None and (groups[usable] < 0).any():
        raise ValueError(
            f"download.own.group: {own.group} is missing in {(groups[usable] < 0).sum():,} rows; fill it in"
        )
    if not is_test.any():
        if groups is not None:
            return _hold_out_groups(
                groups, usable, own
            ), f"whole groups of {own.group}, about {own.test_share:g} of all"
        return _hold_out(classes, class_names, own.test_share), f"by class, {own.test_share:g} of each"
    for part, mask in (("training", ~is_test), ("test", is_test)):
        if not (mask & usable).any():
            raise ValueError(f"download.own: the {part} part has no examples; give it some")
    if groups is not None and len(both := np.intersect1d(groups[is_test & usable], groups[~is_test & usable])):
        raise ValueError(f"download.own.group: {len(both):,} groups of {own.group} are in both parts; split them apart")
    return is_test, _AS_GIVEN


def _hold_out(classes: Codes, class_names: Sequence[str], share: float) -> Mask:
    """Choose a share of each class, at random, but the same on every machine: of two examples or more, one at least."""
    is_test = np.zeros(len(classes), bool)
    counts = np.bincount(classes + 1, minlength=len(class_names) + 1)
    by_class = np.split(np.argsort(classes, kind="stable"), np.cumsum(counts)[:-1])[1:]  # without those of no class
    for name, members in zip(class_names, by_class, strict=True):
        quota = min(max(1, int(share * len(members) + 0.5)), len(members) - 1)
        is_test[members[permutation(f"test part of class {name}", len(members))[:quota]]] = True
    return is_test


def _hold_out_groups(groups: Codes, usable: Mask, own: OwnData) -> Mask:
    """Choose whole groups, in random order, as long as they fit into the share; at least the smallest."""
    present, sizes = np.unique(groups[usable], return_counts=True)
    if len(present) < 2:
        raise ValueError(f"download.own.group: {own.group} has one value; groups of two values or more can be split")
    chosen, room = [], own.test_share * int(usable.sum())
    for place in permutation("test part by groups", len(present)):
        if sizes[place] <= room:
            chosen.append(present[place])
            room -= sizes[place]
    return np.isin(groups, chosen or [present[sizes.argmin()]])


def _rows(pieces: Sequence[Piece], chosen: Mask) -> Rows:
    parts = np.split(chosen, np.cumsum([len(piece.values) for piece in pieces])[:-1])
    taken = [(piece.values, np.flatnonzero(mask)) for piece, mask in zip(pieces, parts, strict=True)]
    return Rows(tuple((values, rows) for values, rows in taken if len(rows)))


def _means(rows: Rows, where: str) -> npt.NDArray[np.float64]:
    """Return the mean of each column's values that are there, to the 24 bits of a float32."""
    total, count = np.zeros(rows.example_shape), np.zeros(rows.example_shape, np.int64)
    for block in shown(rows.blocks(), "averaging", len(rows)):
        is_there = ~np.isnan(block)
        total += np.where(is_there, block, 0).sum(axis=0, dtype=np.float64)
        count += is_there.sum(axis=0)
    if (count == 0).any():
        raise ValueError(
            f"{where}: {(count == 0).sum():,} columns have no value at all in the training part; leave them out"
        )
    return (total / count).astype(np.float32).astype(np.float64)
