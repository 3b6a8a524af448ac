"""The words of a comparison: one pair told in full, many runs as the best against the rest."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from filled_project import RATE_01
from made_answers import compared, group, models

from softmax_regression.comparing.compare import compare
from softmax_regression.comparing.comparison import Comparison, Configuration, Offer
from softmax_regression.comparing.verdicts import (
    configuration_answer,
    configuration_verdicts,
    model_answer,
    model_verdicts,
    power_words,
)
from softmax_regression.statistics.models import compare_models
from softmax_regression.statistics.seeds import (
    compare_all_configurations,
)
from softmax_regression.tracking.run_store import RunStore

Group = Mapping[str, np.ndarray]


def of_groups(two: Comparison, groups: Mapping[str, Group], offer: Offer | None = None) -> Comparison:
    """Return a comparison of these configurations, by name."""
    first = two.configurations[0]
    made = (
        Configuration(name, "", tuple(own), np.stack(list(own.values())), first.experiment, {}, "")
        for name, own in groups.items()
    )
    tests = compare_all_configurations(groups)
    return dataclasses.replace(two, configurations=tuple(made), configuration_tests=tests, offer=offer)


def test_more_pairs_take_more_seeds(two: Comparison) -> None:
    """Six seeds are enough for one pair; three pairs together take seven, and 21 take ten: 2/2^10 < 0.05/21."""
    groups = {name: group([500 + 10 * i] * 6) for i, name in enumerate("ABCDEFG")}
    three = configuration_verdicts(of_groups(two, {name: groups[name] for name in "ABC"}))
    assert three[0] == (
        "No verdict on A and B with 6 seeds in common: 7 are the fewest for 3 pairs together. So far B is ahead on 6 "
        "of 6; B minus A +1.00 points (median)."
    )
    assert configuration_verdicts(of_groups(two, groups)) == [
        "Highest mean test accuracy: G, 56.00%. Seed by seed, on these images:",
        "No verdict between it and A, B, C, D, E and F: too few seeds in common; 10 are the fewest for 21 pairs "
        "together.",
    ]


def test_three_configurations_are_told_pair_by_pair(two: Comparison) -> None:
    """Eight seeds, three pairs: each p-value is 3 x 2/2^8 = 0.023, and says so."""
    groups = {"A": group([500] * 8), "B": group([600] * 8), "C": group([700] * 8)}
    lines = configuration_verdicts(of_groups(two, groups))
    assert [line.partition(" on these 1,000 images with 8 of 8 seeds: ")[::2] for line in lines if "beats" in line] == [
        (
            f"{b} beats {a}",
            f"+{points} points (median, 95% interval {points} to {points}); sign test p = 0.023, 3 pairs together.",
        )
        for a, b, points in (("A", "B", "10.0"), ("A", "C", "20.0"), ("B", "C", "10.0"))
    ]


def test_many_configurations_are_told_as_the_best_against_the_rest(two: Comparison) -> None:
    """The highest mean may come from one seed: B is one image better than A on 11 of 12; C is worse; D has 3 seeds."""
    groups = {
        "A": group([500] * 11 + [900]),
        "B": group([501] * 12),
        "C": group([400] * 12),
        "D": group([450] * 3),
    }
    assert configuration_verdicts(of_groups(two, groups))[:5] == [
        "Highest mean test accuracy: A, 53.33%. Seed by seed, on these images:",
        "It is better than C by more than chance explains; 3 pairs tested together (Holm).",
        "B is better than it on most seeds; 3 pairs tested together (Holm).",
        "No verdict between it and D: too few seeds in common; 8 are the fewest for 6 pairs together.",
        "On other images like these no difference between it and B shows.",
    ]


def test_what_seeds_can_show_is_told_for_now_and_with_more(two: Comparison) -> None:
    """Six seeds show what wins all six in 80% of cases: q^6 = 0.8, 1.79 deviations of 1.87 points. 32 show 0.72."""
    groups = {"A": group([500] * 6), "B": group([510, 520, 530, 540, 550, 560])}
    now = (
        "If the true difference on these images is about 3.4 points, 6 seeds show it in 8 of 10 cases; if it is "
        "smaller, in fewer."
    )
    assert power_words(of_groups(two, groups)) == [now]
    assert power_words(of_groups(two, groups, Offer(32, 52, 0, 31.4))) == [
        f"{now} `--seeds 32` would do so for 1.4 points: 52 runs to train, about 31 s."
    ]
    assert power_words(of_groups(two, groups, Offer(32, 0, 0, 0))) == [now]


def test_with_too_few_seeds_the_offer_says_what_more_would_show(two: Comparison) -> None:
    """Three seeds have a deviation (1 point: 0.72 at 32); one has none, and then a verdict is all that is promised."""
    groups = {"A": group([500] * 3), "B": group([510, 520, 530])}
    offer = Offer(32, 58, 0, 31)
    assert power_words(of_groups(two, groups, offer)) == [
        "`--seeds 32` would show a true difference of about 0.72 points on these images in 8 of 10 cases: 58 runs to "
        "train, about 31 s."
    ]
    third = groups | {"C": group([500] * 3)}
    assert "a true difference between any two of about 0.82 points" in power_words(of_groups(two, third, offer))[0]
    one = {"A": group([500]), "B": group([510])}
    assert power_words(of_groups(two, one, offer)) == [
        "`--seeds 32` would allow a verdict: 58 runs to train, about 31 s."
    ]
    assert power_words(of_groups(two, one)) == []


@pytest.mark.parametrize(
    ("offer", "cost"),
    [
        (Offer(32, 1, 0, 99), "1 run to train, about 99 s"),
        (Offer(32, 0, 1, 100), "1 run to measure, about 2 minutes"),
        (Offer(32, 2, 60, 5999), "2 runs to train and 60 runs to measure, about 100 minutes"),
        (Offer(32, 2, 0, 6000), "2 runs to train, about 2 hours"),
    ],
)
def test_what_more_seeds_cost_is_told(two: Comparison, offer: Offer, cost: str) -> None:
    """How many runs, to train and to measure, and how long, in a unit that fits."""
    groups = {"A": group([500]), "B": group([510])}
    assert power_words(of_groups(two, groups, offer)) == [f"`--seeds 32` would allow a verdict: {cost}."]


def test_seeds_that_never_differ_promise_nothing(two: Comparison) -> None:
    """Without a deviation there is no size to name: 0 points would be nonsense."""
    assert power_words(of_groups(two, {"A": group([500] * 6), "B": group([510] * 6)})) == []


def test_one_pair_is_told_in_full(two: Comparison) -> None:
    """Both questions get the sentence on their pair, and seeds that do not count are named."""
    (line,) = model_verdicts(two)
    assert line.startswith("B (lr0.5) is better than A (lr0.1): +16.0 points, 95% interval 1")
    assert line.endswith("on images like these; McNemar p < 0.001.")
    lines = configuration_verdicts(two)
    assert lines == [
        "No verdict on A (lr0.1) and B (lr0.5) with 3 seeds in common: 6 are the fewest. So far B is ahead on "
        "3 of 3; B minus A +16.00 points (median)."
    ]
    noted = dataclasses.replace(two.configurations[0], note="seed 4 not counted: no predictions")
    again = configuration_verdicts(dataclasses.replace(two, configurations=(noted, two.configurations[1])))
    assert again == [*lines, "A (lr0.1): seed 4 not counted: no predictions."]


def test_one_configuration_has_nothing_to_prefer(store: RunStore, root: Path) -> None:
    """Two seeds of one configuration: said so, with the spread of its seeds, 80, 79, 81 and 70%."""
    (line,) = configuration_verdicts(compare(store, root, [RATE_01, "small_lr0.1_b10_e3_s1"]))
    assert line == (
        "These runs are of one configuration (at most the seed differs), so there is none to prefer. Its test "
        "accuracy: 77.50% in the mean of 4 seeds (95% interval 69.44 to 85.56), standard deviation 5.07 points."
    )


def test_one_configuration_of_one_seed_has_no_standard_deviation(two: Comparison) -> None:
    """Two runs of one seed that came to other weights."""
    one = dataclasses.replace(two.configurations[0], seeds=("0",), correct=two.configurations[0].correct[:1])
    (line,) = configuration_verdicts(dataclasses.replace(two, configurations=(one,), configuration_tests=()))
    assert line.endswith("Its test accuracy: 80.00% (one seed, no standard deviation).")


def test_many_runs_are_told_as_the_best_against_the_rest(store: RunStore, root: Path) -> None:
    """Six models make 15 pairs: the words name the best and whom it beats, and whom it does not."""
    refs = [f"small_lr{rate}_b10_e3_s{seed}" for rate in (0.1, 0.5) for seed in (0, 1, 2)]
    lines = model_verdicts(compare(store, root, refs))
    assert lines == [
        "Highest test accuracy: F (lr0.5 s2), 97.00%.",
        "It is better than A, B and C by more than chance explains; 15 pairs tested together (Holm).",
        "No difference can be shown between it and D and E.",
    ]


@pytest.mark.parametrize(
    ("only_a", "only_b", "answer"),
    [(10, 60, "Yes: B is better."), (60, 10, "Yes: A is better."), (10, 12, "No difference shown.")],
)
def test_one_pair_of_models_has_a_short_answer(two: Comparison, only_a: int, only_b: int, answer: str) -> None:
    """Yes with the winner, or that no difference is shown: never no."""
    test = compare_models(*models(only_a, only_b))
    assert model_answer(dataclasses.replace(two, models=(test,))) == answer
    assert model_answer(dataclasses.replace(two, models=(test, test))) == ""


@pytest.mark.parametrize(
    ("images", "answer"),
    [
        ([50, 51, 52, 53, 54, 55], "Yes: new is better."),
        ([-50, -51, -52, -53, -54, -55], "Yes: old is better."),
        ([1, 2, 3, 4, 5, 6], "Yes, on these images: new is better."),
        ([1, -1, 3, -2, 5, 4], "No difference shown."),
        ([50, 51, 52, 53, 54], "No answer with so few seeds."),
    ],
)
def test_one_pair_of_configurations_has_a_short_answer(two: Comparison, images: list[int], answer: str) -> None:
    """Yes with the winner, for these images alone where other images could turn it, or why not."""
    test = compared(images)
    assert configuration_answer(dataclasses.replace(two, configuration_tests=(test,))) == answer
    assert configuration_answer(dataclasses.replace(two, configuration_tests=(test, test))) == ""
    assert configuration_answer(dataclasses.replace(two, configuration_tests=())) == "One configuration."
