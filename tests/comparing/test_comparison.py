"""What a comparison knows: names that differ, params that differ, and who is right where two runs disagree."""

import numpy as np
import pytest

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.comparing.comparison import (
    ComparedRun,
    Configuration,
    disagreement,
    hints,
    most_differing,
    seed_ranges,
)
from softmax_regression.comparing.run_files import Predictions
from softmax_regression.statistics.intervals import wilson_interval
from softmax_regression.tracking.record import RunRecord

LABELS = np.array([0, 0, 0, 1, 1])


def run(letter: str, predicted: list[int], hint: str = "") -> ComparedRun:
    """Return a run with these answers."""
    record = RunRecord(letter, letter, "FINISHED", 0, 0, {}, {}, {})
    return ComparedRun(letter, hint, record, Experiment({}, {}), Predictions(LABELS, np.array(predicted)), None)


def test_accuracy_is_counted() -> None:
    """Three of five right; two of the three of class 0; a class without examples has no share."""
    one = run("A", [0, 0, 1, 1, 0])
    assert one.accuracy == 0.6
    assert one.interval == wilson_interval(3, 5)
    assert one.share_right(0) == 2 / 3
    assert one.share_right(2) is None


def test_two_runs_disagree_in_three_ways() -> None:
    """Only A is right on 1, only B on 2, neither on 4 with other answers; on 0 both are right, on 3 both say 2."""
    found = disagreement(run("A", [0, 0, 1, 2, 0]), run("B", [0, 1, 0, 2, 2]), 3, family=3)
    assert [kind.tolist() for kind in found.kinds] == [[1], [2], [4]]
    assert found.by_class().tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert [test and test.n for test in found.classes] == [3, 2, None]


def test_a_configuration_summarises_its_seeds() -> None:
    """Accuracies 0.5 and 1: standard deviation sqrt(1/8); one seed has none."""
    correct = np.array([[True, False], [True, True]])
    two = Configuration("A=B", "lr0.1", ("0", "7"), correct, Experiment({}, {}), {}, "")
    assert two.accuracies.tolist() == [0.5, 1]
    assert two.sd == pytest.approx(0.125**0.5, rel=1e-12)  # rounding of a root
    assert two.name == "A=B (lr0.1)"
    assert {seed: own.tolist() for seed, own in two.by_seed.items()} == {"0": [True, False], "7": [True, True]}
    assert Configuration("A", "", ("0",), correct[:1], Experiment({}, {}), {}, "").sd is None


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        (["0", "1", "2", "3"], "0-3"),
        (["0", "1"], "0, 1"),
        (["0", "2", "3", "4", "9", "10"], "0, 2-4, 9, 10"),
        ([str(seed) for seed in range(1000)], "0-999"),
        (["?", "7"], "?, 7"),
        ([], ""),
    ],
)
def test_seeds_are_told_as_ranges(seeds: list[str], words: str) -> None:
    """From three consecutive ones on; a seed that was not recorded stands alone."""
    assert seed_ranges(seeds) == words


def test_the_classes_that_differ_most_are_found() -> None:
    """Over all pairs, in their order; of equals the first, and no more than there are."""
    a, b, c = run("A", [0, 0, 1, 2, 0]), run("B", [0, 1, 0, 2, 2]), run("C", [0, 0, 1, 1, 1])
    found = [disagreement(a, other, 4, family=1) for other in (b, c)]
    assert [one.by_class().sum(axis=1).tolist() for one in found] == [[2, 1, 0, 0], [0, 2, 0, 0]]
    assert most_differing(found, 1) == [1]
    assert most_differing(found[:1], 1) == [0]
    assert most_differing(found, 3) == [0, 1, 2]
    assert most_differing(found, 20) == [0, 1, 2, 3]


def test_a_hint_is_what_not_all_names_say() -> None:
    """Words that all names share go; a name of its own has none left."""
    assert hints(["small lr0.1 s0", "small lr0.5 s0", "small s0"]) == ["lr0.1", "lr0.5", ""]
    assert hints(["small lr0.1"]) == [""]


def test_a_name_is_a_letter_and_a_short_hint() -> None:
    """A hint of more than 40 letters ends in dots; without one the letter is enough."""
    assert run("A", [0] * 5, "lr0.1").name == "A (lr0.1)"
    assert run("A", [0] * 5).name == "A"
    assert run("A", [0] * 5, "x" * 41).name == f"A ({'x' * 37}...)"
