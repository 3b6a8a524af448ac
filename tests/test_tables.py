"""Tables in a terminal line up, stay inside the width, and are the same on every terminal."""

import pytest

from softmax_regression import tables
from softmax_regression.tables import fits, text_table


def test_columns_are_aligned_as_asked() -> None:
    """Words are at the left, figures at the right, two blanks apart, with no blanks at a line's end."""
    assert text_table(["run", "n"], [["a", "10"], ["longer", "7"]], "lr") == [
        "  run      n",
        "  a       10",
        "  longer   7",
    ]


def test_the_widest_words_are_cut_to_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that is too wide loses the end of its longest words, marked by an ellipsis; figures stay whole."""
    monkeypatch.setattr(tables, "WIDTH", 30)
    lines = text_table(["", "name", "n"], [["a", "x" * 50, "123456"]], "llr")
    assert lines[1] == "  a  " + "x" * 16 + "…  123456"
    assert max(map(len, lines)) == 30


def test_words_are_cut_and_not_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row is one line, whatever blanks its words have."""
    monkeypatch.setattr(tables, "WIDTH", 16)
    lines = text_table(["name", "n"], [["one two three four five", "1"], ["six", "2"]], "lr")
    assert lines == ["  name         n", "  one two th…  1", "  six          2"]


def test_a_table_of_figures_is_never_cut() -> None:
    """Where nothing may be cut the table is too wide rather than wrong."""
    assert text_table(["a", "b"], [["1" * 60, "2" * 60]], "rr")[1] == "  " + "1" * 60 + "  " + "2" * 60


def test_markup_and_emoji_codes_stay_as_they_are() -> None:
    """What rich would read as a style or an emoji is text here: people name runs."""
    assert text_table(["run"], [["[red]x[/red]"], [":smile: [x]"]], "l")[1:] == ["  [red]x[/red]", "  :smile: [x]"]


def test_a_cell_is_one_line_that_a_terminal_does_not_obey() -> None:
    """A line end or an escape in a name is visible, counts as wide as it is shown, and makes no row of its own."""
    assert text_table(["run", "n"], [["a\nb\x1b[2K", "1"], ["c", "2"]], "lr") == [
        "  run          n",
        r"  a\nb\x1b[2K  1",
        "  c            2",
    ]


def test_the_terminal_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """No colours and no other width, even where the environment asks for them."""
    wide = ["a" * 60, "1"]
    before = text_table(["name", "n"], [wide], "lr")
    for name, value in {"FORCE_COLOR": "1", "COLUMNS": "20", "TERM": "xterm-256color", "TTY_COMPATIBLE": "1"}.items():
        monkeypatch.setenv(name, value)
    assert text_table(["name", "n"], [wide], "lr") == before


def test_characters_of_two_cells_line_up() -> None:
    """A Chinese character is as wide as two letters in a terminal."""
    assert text_table(["run", "n"], [["漢字", "1"], ["abcd", "2"]], "lr") == ["  run   n", "  漢字  1", "  abcd  2"]


def test_whether_a_table_fits_is_known_before() -> None:
    """Indent, columns and gaps count: 2 + 48 + 2 + 48 is 100."""
    assert fits(["a" * 48, "b" * 48], [["1", "2"]])
    assert not fits(["a" * 48, "b" * 49], [["1", "2"]])
