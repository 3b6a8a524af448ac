"""Classes of labels as people write them: text, whole numbers, booleans; numbered in the order in which people sort."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int32]
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_FEW = 20  # so many classes may have few examples each


@dataclass(frozen=True)
class Column:
    """A column: each of its values once, and the place of its value for each example (N,); -1 where it has none."""

    values: tuple[Any, ...]
    codes: Codes


class Coder:
    """Makes a Column of blocks, so that a column of text takes four bytes an example."""

    def __init__(self) -> None:
        self._places: dict[Any, int] = {}
        self._codes: list[Codes] = []

    def add(self, values: Iterable[Any], codes: npt.NDArray[np.integer]) -> None:
        """Add examples: `codes` are places in `values`, -1 where there is none."""
        places = [-1 if (known := _plain(value)) is None else self._place(known) for value in values]
        self._codes.append(np.array([*places, -1], np.int32)[codes])

    def add_array(self, values: npt.NDArray[Any]) -> None:
        """Add examples with these values (B,)."""
        unique, codes = np.unique(values, return_inverse=True)
        self.add(unique.tolist(), codes)

    def column(self) -> Column:
        """Return all that was added."""
        return Column(tuple(self._places), np.concatenate([*self._codes, np.empty(0, np.int32)]))

    def _place(self, value: Any) -> int:
        return self._places.setdefault(value, len(self._places))


def joined(columns: Sequence[Column]) -> Column:
    """Return columns as one."""
    coder = Coder()
    for column in columns:
        coder.add(column.values, column.codes)
    return coder.column()


def number_classes(labels: Column, where: str) -> tuple[tuple[str, ...], Codes]:
    """Return the names of the classes, sorted as people sort (2 before 10), and the number of each example's class.

    Where all labels are numbers, so are the classes: 1, 1.0 and "1" are one. Missing labels stay -1. Raises
    ValueError, which begins with `where`, for labels that are no classes: fractions, an index, a measured quantity.
    """
    used = np.unique(labels.codes[labels.codes >= 0])
    names = [str(labels.values[code]) for code in used]
    numbers = all(_NUMBER.fullmatch(name) for name in names)
    if numbers:
        values = [float(name) for name in names]
        if fractions := [name for name, value in zip(names, values, strict=True) if not value.is_integer()]:
            raise ValueError(
                f"{where}: {', '.join(fractions[:3])} are fractions, a measured quantity; classes are text or whole"
                " numbers: name another column in download.own.label"
            )
        names = [str(int(value)) for value in values]
    ordered = tuple(sorted(set(names), key=int if numbers else _as_people_sort))
    if len(ordered) < 2:
        raise ValueError(f"{where}: {f'one class, {ordered[0]}' if ordered else 'no labels'}; give two classes or more")
    # Numbers from 0 or 1 with few gaps are classes, as a rule; others are so where each stands there often.
    counted = numbers and int(ordered[0]) in (0, 1) and int(ordered[-1]) < 2 * len(ordered)
    numbered = {name: number for number, name in enumerate(ordered)}
    places = np.full(len(labels.values) + 1, -1, np.int32)  # the last one is that of -1
    places[used] = [numbered[name] for name in names]
    classes = places[labels.codes]
    count, least = int((classes >= 0).sum()), 5 if numbers and not counted else 2
    if len(ordered) == count or (len(ordered) > _FEW and count < least * len(ordered)):
        raise ValueError(
            f"{where}: {len(ordered):,} different values in {count:,} examples, as an index or a measured quantity has"
            f" them; a class has {least} examples or more: name another column in download.own.label"
            f"{', or write classes as text' if least > 2 else ''}"
        )
    return ordered, classes


def _plain(value: Any) -> Any:
    """Return a value as text or a number; None where there is none."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        return value.strip() if value.strip() not in ("", "nan") else None
    return None if value is None or value != value else value


def _as_people_sort(name: str) -> tuple[object, ...]:
    parts = re.split(r"(\d+)", name.casefold())
    return (*(int(part) if place % 2 else part for place, part in enumerate(parts)), name)
