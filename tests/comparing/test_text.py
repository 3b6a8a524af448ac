"""The comparison in a terminal: verdicts first, 100 columns, nothing but ASCII and line ends."""

from pathlib import Path

import pytest
from filled_project import RATE_01, RATE_05, RATE_09

from softmax_regression.comparing.compare import compare
from softmax_regression.comparing.text import compare_text
from softmax_regression.tracking.run_store import RunStore


def test_two_runs_are_told_in_order(store: RunStore, root: Path) -> None:
    """Runs, both questions, params, classes, disagreements: in this order, with the figures that follow by hand."""
    text = compare_text(compare(store, root, [RATE_01, RATE_05]))
    parts = [
        "2 runs on small, 300 test images",
        "A  small lr0.1 b10 e3 s0",
        "80.00%",
        "Are these trained models different on images like these?",
        "B (lr0.5) is better than A (lr0.1): +16.0 points",
        "Is the configuration better?",
        "B (lr0.5) is better than A (lr0.1): +18.5 points",
        "A  lr0.1          0, 1, 2, 3         77.50%  5.07",
        "Params that differ",
        "optimizer.learning_rate  0.1  0.5",
        "Right by class, in % of the images of the class",
        "class       images     A     B    B - A   95% interval",
        "cat            100  80.0  96.0  * +16.0",
        "Where they disagree",
        "A and B answer 60 of 300 images differently",
        "class       only A right  only B right  neither right, differ",
        "owl & <co>             2            18                      0",
    ]
    place = 0
    for part in parts:
        place = text.index(part, place)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_no_line_is_wider_than_100_columns(store: RunStore, root: Path, count: int) -> None:
    """From two runs to many; plain letters, no colours, no blanks at line ends."""
    refs = [RATE_01, RATE_05, RATE_09, *(f"small lr{rate} b10 e3 s{seed}" for rate in (0.1, 0.5) for seed in (1, 2))]
    text = compare_text(compare(store, root, refs[:count]))
    assert text.isascii()
    assert text.endswith("\n")
    for line in text.splitlines():
        assert len(line) <= 100
        assert line == line.rstrip()


def test_many_runs_have_a_table_of_all_pairs(store: RunStore, root: Path) -> None:
    """Three models make three rows, and what has no verdict says why."""
    text = compare_text(compare(store, root, [RATE_01, RATE_05, RATE_09]))
    assert text.count("p (Holm)  verdict") == 2
    assert text.count("no verdict: one seed") == 2
    assert "Where a configuration has one seed there is no verdict, and the interval is over images alone." in text
