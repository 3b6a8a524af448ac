"""The comparison in a terminal: verdicts first, 100 columns, nothing but ASCII and line ends."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from filled_project import RATE_01, RATE_05, RATE_09

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.comparing.compare import compare
from softmax_regression.comparing.comparison import Comparison, Configuration, Offer, disagreement
from softmax_regression.comparing.run_files import Predictions
from softmax_regression.comparing.text import compare_text
from softmax_regression.statistics.models import compare_all_models
from softmax_regression.statistics.seeds import compare_all_configurations
from softmax_regression.tracking.run_store import RunStore


def large(two: Comparison, runs: int, seeds: int, classes: int = 300) -> Comparison:
    """Return a comparison of runs with long names on 6,000 examples of `classes` classes, with `seeds` of each run."""
    random = np.random.default_rng(0)
    labels = np.arange(6000) % classes
    made, configurations = [], []
    for i, letter in enumerate("ABCDEFG"[:runs]):
        hint = f"lr0.{i}25 momentum0.9 cosine full_batch [wavy-cats]"
        record = dataclasses.replace(two.runs[0].record, name=f"my_own_embeddings {hint} b256 e100 s0")
        right = random.random((seeds, len(labels))) < 0.5 + 0.03 * i
        answers = Predictions(labels, np.where(right[0], labels, (labels + 1) % classes))
        run = dataclasses.replace(two.runs[0], letter=letter, hint=hint, record=record, predictions=answers)
        numbers, note = tuple(map(str, range(seeds))), "seeds 2000-2999 not counted: no predictions in the store"
        made.append(run)
        configurations.append(Configuration(letter, hint, numbers, right, Experiment({}, {}), {}, note))
    return dataclasses.replace(
        two,
        class_names=tuple(f"a species of owl, number {k}" for k in range(classes)),
        runs=tuple(made),
        models=compare_all_models({run.name: run.predictions.correct for run in made}),
        configurations=tuple(configurations),
        configuration_tests=compare_all_configurations({found.name: found.by_seed for found in configurations}),
        offer=Offer(32, 200, 20, 9999),
        disagreements=tuple(disagreement(made[0], run, classes, family=classes * (runs - 1)) for run in made[1:]),
        notes=("best is " + "very " * 40 + "long",),
    )


def test_two_runs_are_told_in_order(six: Comparison) -> None:
    """Runs, both questions, params, classes, disagreements: in this order, with the figures that follow by hand."""
    text = compare_text(dataclasses.replace(six, notes=("HEAD is the first",), offer=Offer(32, 52, 0, 30)))
    parts = [
        "2 runs on small, 300 test images",
        "A  small_lr0.1_b10_e3_s0",
        "80.00%",
        "HEAD is the first.",
        "Are these trained models different on images like these?",
        "B (lr0.5) is better than A (lr0.1): +16.0 points",
        "Is one configuration better, beyond the luck of the seed?",
        "B (lr0.5) beats A (lr0.1) on these 300 images with 6 of 6 seeds: +16.0 points (median, 95%",
        "On other images like these, too: 95% interval",
        "worst for B: +8.00",
        "If the true difference on these images is about 9.5 points, 6 seeds show it in 8 of 10 cases",
        "`--seeds 32`",
        "A  lr0.1          0-5           78.33%        4.32",
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
    refs = [RATE_01, RATE_05, RATE_09, *(f"small_lr{rate}_b10_e3_s{seed}" for rate in (0.1, 0.5) for seed in (1, 2))]
    check_lines(compare_text(compare(store, root, refs[:count])))


def check_lines(text: str) -> None:
    """Fail for a line that is wider than 100 columns, or ends in a blank, and for what is no ASCII."""
    assert text.replace("\N{HORIZONTAL ELLIPSIS}", "...").isascii()
    assert text.endswith("\n")
    for line in text.splitlines():
        assert len(line) <= 100
        assert line == line.rstrip()


@pytest.mark.parametrize(("runs", "seeds"), [(2, 1), (2, 1000), (3, 12), (7, 1), (7, 6), (7, 40)])
def test_many_seeds_and_classes_fit(two: Comparison, runs: int, seeds: int) -> None:
    """Long names, 1 to 1,000 seeds, 300 classes: lines fit, tables show the 20 classes that differ most."""
    text = compare_text(large(two, runs, seeds))
    check_lines(text)
    assert "(the 20 of 300 classes on which they differ most)" in text
    assert text.count("a species of owl") <= 20 + 20 * (runs == 2) + 20 * (runs - 1)
    assert len(text.splitlines()) < 160


def test_few_classes_are_all_shown(two: Comparison) -> None:
    """Three classes: no word of a choice."""
    assert "differ most" not in compare_text(two)


def test_many_runs_have_a_table_of_all_pairs(store: RunStore, root: Path) -> None:
    """Three models make three rows, and so do their configurations, with what has no verdict."""
    text = compare_text(compare(store, root, [RATE_01, RATE_05, RATE_09]))
    assert text.count("p (Holm)  verdict") == 1
    assert text.count("p (Holm)  on these") == 1
    assert text.count("too few seeds  too few seeds") == 3
