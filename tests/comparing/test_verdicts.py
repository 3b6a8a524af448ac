"""The words of a comparison: one pair told in full, many runs as the best against the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from filled_project import OTHER_CODE, RATE_01, RATE_05, RATE_09, filled_project

from softmax_regression.comparing.compare import compare
from softmax_regression.comparing.comparison import Comparison
from softmax_regression.comparing.statistics import compare_configurations, compare_models
from softmax_regression.comparing.verdicts import (
    class_cells,
    class_verdict,
    configuration_verdicts,
    disagreement_words,
    model_verdicts,
    p_words,
    pair_cells,
    short_answer,
)
from softmax_regression.tracking.client import Store


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with runs."""
    return filled_project(tmp_path_factory.mktemp("verdicts"))


@pytest.fixture(scope="module")
def store(root: Path) -> Store:
    """Its store."""
    return Store.open(root)


@pytest.fixture(scope="module")
def two(store: Store, root: Path) -> Comparison:
    """Learning rate 0.1 beside 0.5."""
    return compare(store, root, [RATE_01, RATE_05])


def models(only_a: int, only_b: int, n: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """Return two models' correctness with these discordant counts."""
    a, b = np.ones(n, bool), np.ones(n, bool)
    b[:only_a] = False
    a[n - only_b :] = False
    return a, b


def test_one_pair_is_told_in_full(two: Comparison) -> None:
    """Both questions get the sentence of statistics.py, with a capital and a full stop."""
    (line,) = model_verdicts(two)
    assert line.startswith("B (lr0.5) is better than A (lr0.1): +16.0 points, 95% interval 1")
    assert line.endswith("on images like these; McNemar p < 0.001.")
    lines = configuration_verdicts(two)
    assert lines[0].startswith("B (lr0.5) is better than A (lr0.1): +16.0 points")
    assert "(3 and 3 seeds)" in lines[0]
    assert lines[1:] == [f"A (lr0.1): {two.configurations[0].notes[0]}."]


def test_one_seed_gets_the_noise_and_the_way_to_more_seeds(store: Store, root: Path) -> None:
    """Without a verdict the words say why, how large seed noise is, and how to train another seed."""
    lines = configuration_verdicts(compare(store, root, [RATE_01, RATE_09]))
    assert "one seed of B (lr0.9): seed noise is not accounted for" in lines[0].lower().replace("b (lr", "B (lr")
    assert "the standard deviation was 1.00 points (4 degrees of freedom, 2 configurations)" in lines[0]
    assert lines[1].startswith("`dvc exp run --set-param train.seed=1`")


def test_one_configuration_has_nothing_to_prefer(store: Store, root: Path) -> None:
    """Two seeds of one configuration: said so, with the spread of its seeds."""
    lines = configuration_verdicts(compare(store, root, [RATE_01, "small lr0.1 b10 e3 s1"]))
    assert lines[0].startswith("These runs are of one configuration, so there is none to prefer")
    assert "0.8000 +- 0.0100 standard deviation (3 seeds" in lines[0]


def test_code_that_differs_weakens_the_verdict_on_params(store: Store, root: Path) -> None:
    """Where the code differs too, the params alone may not be the cause."""
    lines = configuration_verdicts(compare(store, root, [RATE_01, OTHER_CODE]))
    assert lines[-1] == "The code differs too, so the params alone may not be the cause: src/sgd.py."


def test_many_runs_are_told_as_the_best_against_the_rest(store: Store, root: Path) -> None:
    """Six models make 15 pairs: the words name the best and whom it beats, and whom it does not."""
    refs = [f"small lr{rate} b10 e3 s{seed}" for rate in (0.1, 0.5) for seed in (0, 1, 2)]
    lines = model_verdicts(compare(store, root, refs))
    assert lines == [
        "Highest test accuracy: F (lr0.5 s2), 97.00%.",
        "It is better than A (lr0.1 s0), B (lr0.1 s1) and C (lr0.1 s2) by more than chance explains; 15 pairs tested "
        "together (Holm).",
        "No difference can be shown between it and D (lr0.5 s0) and E (lr0.5 s1).",
    ]


def test_some_pairs_without_verdict_are_told_once(store: Store, root: Path) -> None:
    """Three configurations, one with one seed: the noise is told once, not for each pair."""
    lines = configuration_verdicts(compare(store, root, [RATE_01, RATE_05, RATE_09]))
    assert lines[:4] == [
        "Highest test accuracy: B (lr0.5), 96.00%.",
        "It is better than A (lr0.1) by more than chance explains.",
        "No verdict between it and C (lr0.9): with one seed of either, seed noise is not accounted for.",
        "Between runs that differ only in seed the standard deviation was 1.00 points (4 degrees of freedom, "
        "2 configurations).",
    ]


def test_classes_are_told_where_they_differ(two: Comparison, store: Store, root: Path) -> None:
    """Better and worse classes are named with their points; where none differs that is said."""
    (found,) = two.disagreements
    words = class_verdict(found, two.class_names)
    assert words == (
        "B (lr0.5) against A (lr0.1): better on cat (+16.0 points), dog (+16.0 points), owl & <co> (+16.0 points)."
    )
    (alike,) = compare(store, root, [RATE_05, "small lr0.5 b10 e3 s1"]).disagreements
    assert class_verdict(alike, two.class_names) == "On no single class a difference between A (s0) and B (s1) shows."


def test_disagreements_are_counted_in_words(two: Comparison) -> None:
    """How often, of how many, and who is right."""
    (found,) = two.disagreements
    assert disagreement_words(found, "images") == (
        "A and B answer 60 of 300 images differently: only A is right on 6, only B on 54, neither on 0."
    )


@pytest.mark.parametrize(
    ("only_a", "only_b", "answer"),
    [(10, 60, "Yes: B is better."), (60, 10, "Yes: A is better."), (10, 12, "Not that it shows.")],
)
def test_one_pair_has_a_short_answer(only_a: int, only_b: int, answer: str) -> None:
    """Yes with the winner, or not that it shows: never no."""
    assert short_answer([compare_models(*models(only_a, only_b))]) == answer


def test_no_pair_and_no_verdict_have_short_answers() -> None:
    """One configuration has no answer to seek; one seed has none to find."""
    a, b = models(10, 60)
    assert short_answer([]) == "One configuration."
    assert short_answer([compare_configurations([a], [b])]) == "No answer with one seed."


def test_the_row_of_a_pair_has_signs_and_letters() -> None:
    """B minus A in points, signed; without a verdict the interval is over images and p is missing."""
    a, b = models(10, 60)
    assert pair_cells(compare_models(a, b, names=("A (x)", "B (y)")))[:3] == ["B", "A", "+5.00"]
    cells = pair_cells(compare_configurations([a], [b], names=("A", "B")))
    assert cells[2:] == ["+5.00", cells[3], "-", "no verdict: one seed"]
    assert cells[3].startswith("+3.")


def test_p_stays_on_its_side_of_the_level() -> None:
    """A p-value just under 0.05 does not read 0.05, or table and verdict would contradict each other."""
    one_below = compare_models(*models(40, 60))  # p = 0.0569
    assert p_words(one_below) == "0.057"
    object.__setattr__(one_below, "p_adjusted", 0.04996)
    assert p_words(one_below) == "0.04996"
    object.__setattr__(one_below, "p_adjusted", 1e-7)
    assert p_words(one_below) == "< 0.001"


def test_a_class_without_examples_has_no_figures() -> None:
    """Dashes, not NaN; a star marks what chance does not explain."""
    assert class_cells(None) == ["-", "-"]
    assert class_cells(compare_models(*models(10, 60)))[0] == "* +5.0"
    assert class_cells(compare_models(*models(10, 12)))[0] == "+0.2"
