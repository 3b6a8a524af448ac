"""The words on one pair: seen from the better one, figures that follow by hand, no figure that reads 0 and is not."""

import dataclasses
from pathlib import Path

import numpy as np
from filled_project import RATE_05
from made_answers import compared, group, models

from softmax_regression.comparing.compare import compare
from softmax_regression.comparing.comparison import Comparison
from softmax_regression.comparing.sentences import (
    class_verdict,
    configuration_sentences,
    disagreement_words,
    letters,
    model_sentence,
    on_these_alone,
    other,
)
from softmax_regression.statistics.models import compare_all_models, compare_models
from softmax_regression.statistics.seeds import compare_configurations
from softmax_regression.tracking.run_store import RunStore


def test_a_better_model_is_told_from_its_own_side() -> None:
    """90 more of 10,000 right: figures and interval, the same whichever of the two came first."""
    b, a = models(115, 205, 10_000)
    words = model_sentence(compare_models(a, b, names=("fast", "slow")), "images")
    assert words == (
        "fast is better than slow: +0.9 points, 95% interval 0.5 to 1.3 on images like these; McNemar p < 0.001."
    )
    assert model_sentence(compare_models(b, a, names=("slow", "fast")), "images") == words


def test_no_difference_is_told_with_the_number_of_images() -> None:
    """10 more of 10,000 right: no difference that 10,000 images can show, with the interval around 0."""
    assert model_sentence(compare_models(*models(155, 165, 10_000)), "images") == (
        "No difference between A and B that 10,000 images can show "
        "(B minus A: +0.1 points, 95% interval -0.3 to 0.5; McNemar p = 0.61)."
    )


def test_equal_models_are_said_to_be_equal() -> None:
    """Both are right on the same examples, which have the name of the data's examples."""
    right = np.ones(200, bool)
    assert model_sentence(compare_models(right, right), "examples") == (
        "No difference between A and B: both have the same of the 200 examples right."
    )


def test_words_never_round_a_figure_to_zero() -> None:
    """An end of the interval that is not 0 does not read 0: decimals are added. One that is 0 reads 0."""
    words = model_sentence(compare_models(*models(100, 141, 100_000)), "images")
    assert words.startswith("B is better than A: +0.04 points, 95% interval 0.01 to 0.07")
    assert "95% interval 0.0 to" in model_sentence(compare_models(*models(2, 9, 100)), "images")


def test_a_family_is_named() -> None:
    """The p-value of one of several comparisons says over how many it holds."""
    a, b = models(10, 60)
    words = model_sentence(compare_all_models({"a": a, "b": b, "c": a})[0], "images")
    assert words.endswith(" on images like these; McNemar p < 0.001, 3 pairs together.")


def test_a_configuration_that_wins_is_told_from_its_own_side() -> None:
    """50 to 55 more of 1,000 right: p = 2/2^6, the interval from least to largest, the worst seeds by their number."""
    words = configuration_sentences(compared([55, 50, 51, 52, 53, 54]), "images")
    assert words == [
        "new beats old on these 1,000 images with 6 of 6 seeds: +5.2 points (median, 95% interval 5.0 to 5.5); "
        "sign test p = 0.031.",
        words[1],
        "Mean difference +5.25 points, standard deviation over seeds 0.19; worst for new: +5.00 (seed 1), "
        "+5.10 (seed 2), +5.20 (seed 3).",
    ]
    # The images' standard error is 0.7 points: 5.25 -+ 1.4 or so.
    assert words[1].startswith("On other images like these, too: 95% interval 3.")
    assert words[1].endswith("; p = 0.031.")
    turned = compared([-55, -50, -51, -52, -53, -54], ("new", "old"))
    assert configuration_sentences(turned, "images") == words


def test_a_configuration_may_win_on_these_images_alone() -> None:
    """1 to 6 of 1,000 more right: all six seeds are won, but other images could turn it."""
    first, second, _ = configuration_sentences(compared([1, 2, 3, 4, 5, 6]), "examples")
    assert first.startswith("new beats old on these 1,000 examples with 6 of 6 seeds")
    assert second.startswith("On other examples like these that does not show (p = 0.")
    assert second.endswith("): which examples were drawn could explain the difference.")


def test_no_difference_of_configurations_is_told_with_both_counts() -> None:
    """Two lost, four won: p = 2 (1 + 6 + 15)/2^6 = 0.6875; the median of -2, -1, 1, 3, 4, 5 is 2."""
    assert configuration_sentences(compared([1, -1, 3, -2, 5, 4]), "images") == [
        "No difference between old and new that 6 seeds can show on these 1,000 images: new is ahead on 4 of 6, "
        "old on 2; new minus old +0.2 points (median, 95% interval -0.2 to 0.5); sign test p = 0.69.",
        "Mean difference +0.17 points, standard deviation over seeds 0.28.",
    ]


def test_seeds_that_are_equal_are_counted() -> None:
    """One tie of seven leaves 6 to 0, p = 2/2^6, and stays in the interval; three of seven leave 4 to 0."""
    assert configuration_sentences(compared([0, 1, 2, 3, 4, 5, 6]), "images")[0] == (
        "new beats old on these 1,000 images with 6 of 7 seeds (1 equal): +0.3 points (median, 95% interval 0.0 to "
        "0.6); sign test p = 0.031."
    )
    words = configuration_sentences(compared([0, 0, 0, 3, 4, 5, 6]), "images")[0]
    assert "new is ahead on 4 of 7, equal on 3;" in words


def test_configurations_that_are_equal_with_every_seed_are_said_to_be() -> None:
    """No median of 0.0 points with an interval from 0.0 to 0.0."""
    assert configuration_sentences(compared([0] * 6), "images") == [
        "No difference between old and new: with each of the 6 seeds they have equally many right."
    ]


def test_too_few_seeds_are_told_with_what_they_say_so_far() -> None:
    """No verdict below six seeds; who is ahead, and the median, are told all the same, of one seed, too."""
    assert configuration_sentences(compared([10, 20, -5]), "images") == [
        "No verdict on old and new with 3 seeds in common: 6 are the fewest. So far new is ahead on 2 of 3, old on 1; "
        "new minus old +1.00 points (median)."
    ]
    (words,) = configuration_sentences(compared([10]), "images")
    assert words.startswith(
        "No verdict on old and new with 1 seed in common: 6 are the fewest. So far new is ahead on 1 of 1;"
    )
    (words,) = configuration_sentences(compared([0]), "images")
    assert words.endswith(" So far they are equal; new minus old +0.00 points (median).")


def test_configurations_without_a_common_seed_have_no_verdict() -> None:
    """Seeds 0 to 5 of one, 6 to 9 of the other."""
    b = {str(seed): np.ones(1000, bool) for seed in range(6, 10)}
    assert configuration_sentences(compare_configurations(group([500] * 6), b), "images") == [
        "No verdict on A and B: they have no seed in common."
    ]


def test_classes_are_told_where_they_differ(two: Comparison, store: RunStore, root: Path) -> None:
    """Better and worse classes are named with their points; where none differs that is said."""
    (found,) = two.disagreements
    words = class_verdict(found, two.class_names)
    assert words == (
        "B (lr0.5) against A (lr0.1): better on cat (+16.0 points), dog (+16.0 points), owl & <co> (+16.0 points)."
    )
    (alike,) = compare(store, root, [RATE_05, "small_lr0.5_b10_e3_s1"]).disagreements
    assert class_verdict(alike, two.class_names) == "No difference between A (s0) and B (s1) shows on any single class."


def test_of_many_classes_the_largest_differences_are_told(two: Comparison) -> None:
    """Ten are named, the largest first, and the rest counted; a class without examples is among the others."""
    tests = [compare_models(*models(0, 30 + k)) for k in range(14)] + [compare_models(*models(40, 0)), None]
    found = dataclasses.replace(two.disagreements[0], classes=tuple(tests))
    words = class_verdict(found, [f"c{k}" for k in range(16)])
    assert words.startswith("B (lr0.5) against A (lr0.1): better on c13 (+4.3 points), c12 (+4.2 points), c11 (")
    assert words.endswith(
        "c4 (+3.4 points) and 4 more; worse on c14 (-4.0 points). On the other classes no difference shows."
    )


def test_disagreements_are_counted_in_words(two: Comparison) -> None:
    """How often, of how many, and who is right."""
    (found,) = two.disagreements
    assert disagreement_words(found, "images") == (
        "A and B answer 60 of 300 images differently: only A is right on 6, only B on 54, neither on 0."
    )


def test_names_are_told_apart() -> None:
    """The winner, the other one, and letters for a second mention."""
    won, small, lost = compared([50] * 6), compared([1, 2, 3, 4, 5, 6]), compared([-50] * 6)
    assert [test.these.winner(test.names) for test in (won, lost, compared([0] * 6))] == ["new", "old", None]
    assert [on_these_alone(test) for test in (won, small, lost)] == [False, True, False]
    assert (other("old", won.names), other("new", won.names)) == ("new", "old")
    assert (letters("A=C (lr0.5 cosine)"), letters("B")) == ("A=C", "B")
