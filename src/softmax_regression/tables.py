"""Tables as aligned text, for a terminal: no colours, no wider than WIDTH columns."""

import io
from collections.abc import Sequence

from softmax_regression.entry import one_line

WIDTH = 100
_GAP, _INDENT, _NARROWEST = 2, 2, 8


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> list[str]:
    """Return the lines of a table; `align` has an r for each column of figures, another letter for one of words.

    Where it would be wider than WIDTH, the widest columns of words are cut, and what is cut ends in an ellipsis;
    figures never are. The lines are the same on every terminal, and what looks like rich's markup stays as it is; a
    line end or an escape in a cell is made visible (see `entry.one_line`).
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    def cells(row: Sequence[str]) -> list[Text]:
        return [Text(words, no_wrap=True, overflow="ellipsis") for words in row]

    header, *rows = [[one_line(words) for words in row] for row in (header, *rows)]
    widths = _widths([header, *rows])
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False)
    for words, side in zip(cells(header), align, strict=True):
        # A column that may not wrap is not made narrower.
        table.add_column(words, justify="right" if side == "r" else "left", no_wrap=side == "r")
    for row in rows:
        table.add_row(*cells(row))
    least = sum(full if side == "r" else min(full, _NARROWEST) for full, side in zip(widths, align, strict=True))
    room = max(WIDTH - _INDENT, least + _GAP * (len(widths) - 1))
    output = io.StringIO()
    Console(file=output, width=room, color_system=None, force_terminal=False, force_jupyter=False).print(table)
    return [f"{' ' * _INDENT}{line}".rstrip() for line in output.getvalue().splitlines()]


def fits(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the table needs no cutting."""
    widths = _widths([header, *rows])
    return _INDENT + sum(widths) + _GAP * (len(widths) - 1) <= WIDTH


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """Return the width of each column in the terminal's cells: a Chinese character takes two."""
    from rich.cells import cell_len

    return [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
