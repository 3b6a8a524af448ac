"""Tables in a terminal line up and stay inside the width."""

from __future__ import annotations

from softmax_regression.tables import fits, text_table


def test_columns_are_aligned_as_asked() -> None:
    """Words stand at the left, figures at the right, two blanks apart, with no blanks at a line's end."""
    assert text_table(["run", "n"], [["a", "10"], ["longer", "7"]], "lr") == [
        "  run      n",
        "  a       10",
        "  longer   7",
    ]


def test_the_widest_words_are_cut_to_the_width() -> None:
    """A table that is too wide loses the end of its longest words, which the dots say; figures stay whole."""
    lines = text_table(["", "name", "n"], [["a", "x" * 50, "123456"]], "llr", width=30)
    assert lines[1] == "  a  " + "x" * 14 + "...  123456"
    assert max(map(len, lines)) == 30


def test_a_table_of_figures_is_never_cut() -> None:
    """Where nothing may be cut the table is wider than asked rather than wrong."""
    assert text_table(["a", "b"], [["1" * 20, "2" * 20]], "rr", width=30)[1] == "  " + "1" * 20 + "  " + "2" * 20


def test_whether_a_table_fits_is_known_before() -> None:
    """Indent, columns and gaps count: 2 + 3 + 2 + 3 is 10."""
    assert fits(["aaa", "bbb"], [["1", "2"]], width=10)
    assert not fits(["aaa", "bbb"], [["1", "2"]], width=9)
