"""Tables as arrays in files. Which column is the label and which are features; what is no number is refused.

A column of numbers or booleans is a feature. One column may stand for all of them: lists of numbers, or pictures as
Hugging Face's `datasets` writes them. N examples, D features.
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import compute, types

from softmax_regression.data import npy
from softmax_regression.data.datasets import Array
from softmax_regression.download.classes import Coder
from softmax_regression.download.finding import Found, part_of, some
from softmax_regression.download.pictures import Pictures
from softmax_regression.download.raw import Piece, Reading
from softmax_regression.download.table_files import Table
from softmax_regression.params import OwnData
from softmax_regression.progress import shown

LABELS = ("label", "class", "target", "y")
_FRACTION = re.compile(r"-?\d+\.\d+")
_INDEX = re.compile(r"|Unnamed: \d+|__index_level_\d+__")  # the names of pandas' own index in a file


@dataclass(frozen=True)
class _Roles:
    """What the columns are for."""

    label: str
    group: str | None
    features: tuple[str, ...]


def read_tables(found: Found, own: OwnData, folder: Path) -> Reading:
    """Return the tables' rows as arrays in `folder`.

    Raises ValueError for a label, a group or a column to leave out that is not there, for tables of different columns,
    and for columns that are no numbers.
    """
    tables = [Table(path) for path in found.files]
    roles, pictures = _roles(tables[0], own), Pictures(own)
    _check(tables, roles, own)
    pieces = [
        _piece(table, roles, part_of(*table.path.relative_to(found.place).parts), pictures, folder / f"{i}.npy")
        for i, table in enumerate(tables)
    ]
    notes = [note for table in tables for note in table.notes] + pictures.notes
    if index := [name for name in tables[0].columns if _INDEX.fullmatch(name)]:
        notes.append(f"left out, as an index: column {index[0] or 'without a name'}")
    settings: dict[str, Any] = {
        "label": roles.label,
        "leave_out": ", ".join(sorted(own.leave_out)),
        "group": roles.group,
    }
    is_picture = _is_picture(tables[0].columns[roles.features[0]])
    names = roles.features if len(roles.features) > 1 or pieces[0].values.shape[1:] == (1,) else ()
    return Reading(
        pieces, settings | (pictures.settings if is_picture else {}), notes, names, scale=255 if is_picture else None
    )


def _roles(table: Table, own: OwnData) -> _Roles:
    for key, names in (("label", [own.label]), ("group", [own.group]), ("leave_out", own.leave_out)):
        for name in names:
            if name is not None and name not in table.columns:
                near = difflib.get_close_matches(name, table.columns, n=1)
                hint = f"did you mean {near[0]}?" if near else f"its columns are {some([*table.columns])}"
                raise ValueError(f"download.own.{key}: {table.path} has no column {name!r}; {hint}")
    candidates = [own.label] if own.label else [name for name in table.columns if name.lower() in LABELS]
    if len(candidates) != 1:
        which = (
            f"{' and '.join(candidates)} may be the label" if candidates else f"no column is called {', '.join(LABELS)}"
        )
        raise ValueError(
            f"{table.path}: {which}; name the label in download.own.label: its columns are {some([*table.columns])}"
            + ("; does the first line name the columns?" if any(map(_FRACTION.fullmatch, table.columns)) else "")
        )
    others = {*candidates, own.group, *own.leave_out}
    features = tuple(name for name in table.columns if name not in others and not _INDEX.fullmatch(name))
    if not features:
        raise ValueError(f"{table.path} has no feature: its columns are {some([*table.columns])}")
    return _Roles(candidates[0], own.group, features)


def _check(tables: Sequence[Table], roles: _Roles, own: OwnData) -> None:
    """Raise ValueError where tables differ in their columns, or features are no numbers."""
    first, wanted = tables[0], {roles.label, *roles.features} | ({roles.group} if roles.group else set())
    for table in tables[1:]:
        here = {name for name in table.columns if name not in own.leave_out and not _INDEX.fullmatch(name)}
        if here != wanted:
            lacks, more = sorted(wanted - here), sorted(here - wanted)
            differs = [f"lacks {some(lacks)}"] * bool(lacks) + [f"has also {some(more)}"] * bool(more)
            raise ValueError(
                f"{table.path} {' and '.join(differs)}, unlike {first.path.name}; give all files the same columns"
                " (a test part needs its labels), or name what differs in download.own.leave_out"
            )
    kinds = [(name, table.columns[name]) for table in tables for name in roles.features]
    odd = {name: kind for name, kind in kinds if not _is_number(kind)}
    if odd and (len(roles.features) > 1 or not all(_is_list(kind) or _is_picture(kind) for kind in odd.values())):
        raise ValueError(
            f"{first.path}: no numbers in {some([f'{name} ({kind})' for name, kind in odd.items()])}; name such columns"
            " in download.own.leave_out, or encode them as numbers (a column of 0 and 1 for each category)"
        )


def _piece(table: Table, roles: _Roles, part: str | None, pictures: Pictures, path: Path) -> Piece:
    labels, groups, class_names = Coder(), Coder(), _class_names(table, roles.label)
    kinds = {name: table.columns[name] for name in roles.features}
    numbers = all(map(_is_number, kinds.values()))
    if numbers:
        kinds = dict.fromkeys(kinds, pa.float32() if all(map(_fits_float32, kinds.values())) else pa.float64())

    def blocks() -> Iterator[Array]:
        for batch in table.batches(kinds | {name: pa.string() for name in (roles.label, roles.group) if name}):
            _add(labels, batch.column(roles.label), class_names)
            if roles.group:
                _add(groups, batch.column(roles.group), {})
            if numbers:
                yield batch.select([*kinds]).to_tensor(null_to_nan=True).to_numpy()
            else:
                yield from _of_one_column(batch.column(roles.features[0]), table, pictures)

    try:
        stored = npy.write_blocks(path, shown(blocks(), f"reading {table.path.name}", table.rows))
    except npy.ShapeError as error:
        raise ValueError(f"{table.path}: {error}") from None
    return Piece(stored, labels.column(), groups.column() if roles.group else None, part)


def _add(coder: Coder, column: Any, names: Mapping[str, str | None]) -> None:
    """Add Arrow's column of text to a coder, under other `names` where there are any."""
    encoded = column.dictionary_encode()
    known = [names.get(value, value) for value in encoded.dictionary.to_pylist()]
    coder.add([*known, None], compute.fill_null(encoded.indices, len(known)).to_numpy())


def _class_names(table: Table, label: str) -> dict[str, str | None]:
    """Return the names that Hugging Face's `datasets` gave the numbers of the classes; -1 is none."""
    about = json.loads(table.metadata.get(b"huggingface", b"{}"))
    names = about.get("info", {}).get("features", {}).get(label, {}).get("names")
    return {"-1": None} | {str(number): name for number, name in enumerate(names)} if names else {}


def _of_one_column(column: Any, table: Table, pictures: Pictures) -> Iterator[Array]:
    """Yield examples of lists, as one array, or of pictures, one by one."""
    if column.null_count:
        raise ValueError(f"{table.path}: a feature is missing in {column.null_count} rows; take these rows out")
    if _is_picture(column.type):
        for value in column.to_pylist():
            content = value["bytes"] if isinstance(value, dict) else value
            if content is None:
                raise ValueError(
                    f"{table.path} names a picture's file but does not hold it; save the data with pictures"
                )
            yield pictures.read(content, f"a picture in {table.path}")
        return
    shape = [len(column)]
    while _is_list(column.type):
        lengths = compute.unique(compute.list_value_length(column)).to_pylist()
        if len(lengths) > 1:
            raise ValueError(f"{table.path}: its lists have several lengths, {some(sorted(map(str, lengths)), 3)}")
        shape += lengths
        column = column.flatten()
    if not _is_number(column.type):
        raise ValueError(f"{table.path}: its lists hold {column.type}, no numbers")
    if len(column):
        yield column.to_numpy(zero_copy_only=False).reshape(shape)


def _is_number(kind: Any) -> bool:
    return any(
        test(kind) for test in (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null)
    )


def _fits_float32(kind: Any) -> bool:
    """Return whether a float32 holds all numbers of a type."""
    return bool(not types.is_decimal(kind) and (types.is_null(kind) or kind.bit_width <= 16 or kind == pa.float32()))


def _is_list(kind: Any) -> bool:
    return any(test(kind) for test in (types.is_list, types.is_large_list, types.is_fixed_size_list))


def _is_picture(kind: Any) -> bool:
    is_struct = types.is_struct(kind) and "bytes" in {field.name for field in kind}
    return is_struct or types.is_binary(kind) or types.is_large_binary(kind)
