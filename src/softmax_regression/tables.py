"""Tables as aligned text, for a terminal: no colours, no more than a given width."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH = 100
_GAP, _INDENT, _NARROWEST = 2, 2, 8


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], align: str, width: int = WIDTH) -> list[str]:
    """Return the lines of a table; `align` has an l or an r for each column.

    Where it would be wider than `width`, the widest columns aligned left are cut, and what is cut ends in '...'.
    """
    table = [list(header), *map(list, rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    room = width - _INDENT - _GAP * (len(widths) - 1)
    cuttable = [column for column, side in enumerate(align) if side == "l" and widths[column] > _NARROWEST]
    while sum(widths) > room and cuttable:
        column = max(cuttable, key=widths.__getitem__)
        widths[column] -= 1
        if widths[column] == _NARROWEST:
            cuttable.remove(column)
    return [_line(row, widths, align) for row in table]


def fits(header: Sequence[str], rows: Sequence[Sequence[str]], width: int = WIDTH) -> bool:
    """Say whether the table needs no cutting."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    return _INDENT + sum(widths) + _GAP * (len(widths) - 1) <= width


def _line(row: Sequence[str], widths: Sequence[int], align: str) -> str:
    cells = []
    for words, width, side in zip(row, widths, align, strict=True):
        if len(words) > width:
            words = f"{words[: width - 3]}..."
        cells.append(words.rjust(width) if side == "r" else words.ljust(width))
    return (" " * _INDENT + (" " * _GAP).join(cells)).rstrip()
