"""The words of a comparison: one pair told in full, many runs as the best against the rest."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from filled_project import RATE_01, RATE_05, RATE_09

from softmax_regression.comparing.compare import compare
from softmax_regression.comparing.comparison import Comparison
from softmax_regression.comparing.statistics import (
    SeedNoise,
    compare_all_models,
    compare_configurations,
    compare_models,
)
from softmax_regression.comparing.verdicts import (
    class_verdict,
    configuration_verdicts,
    disagreement_words,
    model_verdicts,
    noise_words,
    sentence,
    short_answer,
)
from softmax_regression.tracking.run_store import RunStore


def models(only_a: int, only_b: int, n: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """Return two models' correctness with these discordant counts."""
    a, b = np.ones(n, bool), np.ones(n, bool)
    b[:only_a] = False
    a[n - only_b :] = False
    return a, b


def test_a_better_model_is_told_from_its_own_side() -> None:
    """90 more of 10,000 right: figures and interval, the same whichever of the two came first."""
    b, a = models(115, 205, 10_000)
    words = sentence(compare_models(a, b, names=("fast", "slow")), "images")
    assert words == (
        "fast is better than slow: +0.9 points, 95% interval 0.5 to 1.3 on images like these; McNemar p < 0.001."
    )
    assert sentence(compare_models(b, a, names=("slow", "fast")), "images") == words


def test_no_difference_is_told_with_the_number_of_images() -> None:
    """10 more of 10,000 right: no difference that 10,000 images can show, with the interval around 0."""
    assert sentence(compare_models(*models(155, 165, 10_000)), "images") == (
        "No difference between A and B that 10,000 images can show "
        "(B minus A: +0.1 points, 95% interval -0.3 to 0.5; McNemar p = 0.61)."
    )


def test_equal_models_are_said_to_be_equal() -> None:
    """Both are right on the same examples, which have the name of the data's examples."""
    right = np.ones(200, bool)
    assert sentence(compare_models(right, right), "examples") == (
        "No difference between A and B: both have the same of the 200 examples right."
    )


def test_words_never_round_a_figure_to_zero() -> None:
    """An end of the interval that is not 0 does not read 0: decimals are added. One that is 0 reads 0."""
    words = sentence(compare_models(*models(100, 141, 100_000)), "images")
    assert words.startswith("B is better than A: +0.04 points, 95% interval 0.01 to 0.07")
    assert "95% interval 0.0 to" in sentence(compare_models(*models(2, 9, 100)), "images")


def test_a_family_is_named() -> None:
    """Intervals and p-values of several comparisons say over how many they hold."""
    a, b = models(10, 60)
    words = sentence(compare_all_models({"a": a, "b": b, "c": a})[0], "images")
    assert "over 3 comparisons together on images like these; McNemar p < 0.001 after Holm over 3." in words


def test_configurations_are_told_with_their_seeds() -> None:
    """The words name the winner, the interval over seeds and images, and how many seeds there were."""
    a, b = (np.stack([model] * seeds) for model, seeds in zip(models(100, 900, 10_000), (3, 2), strict=True))
    words = sentence(compare_configurations(a, b, names=("old", "new")), "images")
    assert words.startswith("new is better than old: +8.0 points, 95% interval 7.")
    assert words.endswith(" over seeds and images (3 and 2 seeds); p < 0.001.")
    turned = sentence(compare_configurations(b, a, names=("new", "old")), "images")
    assert turned == words.replace("3 and 2", "2 and 3")
    assert sentence(compare_configurations(a, a, names=("x", "y")), "images") == (
        "No difference between the configurations x and y that 3 and 3 seeds on 10,000 images can show "
        "(y minus x: +0.00 points, 95% interval -0.03 to 0.03; p = 1)."
    )


def test_one_seed_is_told_without_a_verdict() -> None:
    """However large the difference: the trained models differ, and seed noise is left out."""
    a, b = (model[None] for model in models(100, 190, 10_000))
    assert sentence(compare_configurations(a, b), "images") == (
        "One seed each: seed noise is not accounted for, so no verdict on the configurations; these trained models: "
        "B minus A +0.9 points, 95% interval 0.6 to 1.2 over images alone."
    )
    words = sentence(compare_configurations(a, np.concatenate([b, b]), names=("lone", "many")), "images")
    assert words.startswith("One seed of lone: seed noise is not accounted for")


def test_seed_noise_is_told_beside_the_difference_of_one_pair() -> None:
    """How large it was, what it can make of a difference (t with 3 degrees of freedom: 3.182), and of this one."""
    a, b = (model[None] for model in models(100, 190, 10_000))
    test, noise = compare_configurations(a, b), SeedNoise(0.0032, 3, (0.004, 0.003))
    start = (
        "Between runs that differ only in seed the standard deviation was 0.32 points (3 degrees of freedom, "
        "2 configurations)"
    )
    assert noise_words(noise, [test]) == (
        f"{start}; seeds alone can make a difference of 1.44 points (95% bound), and this one is no more."
    )
    assert noise_words(noise, [test, test]) == f"{start}."


def test_noise_that_differs_between_configurations_is_told_with_its_range() -> None:
    """The pooled figure alone would hide that one has 0.1 points and another 2; a factor of 2 is alike."""
    assert noise_words(SeedNoise(0.0142, 4, (0.001, 0.02)), []).endswith(
        ". This noise is pooled; it is not the same in all configurations: the standard deviation ranges from 0.10 to "
        "2.00 points."
    )
    assert "pooled" not in noise_words(SeedNoise(0.01, 4, (0.006, 0.012)), [])


def test_one_pair_is_told_in_full(two: Comparison) -> None:
    """Both questions get the sentence on their pair, and seeds that do not count are named."""
    (line,) = model_verdicts(two)
    assert line.startswith("B (lr0.5) is better than A (lr0.1): +16.0 points, 95% interval 1")
    assert line.endswith("on images like these; McNemar p < 0.001.")
    (line,) = configuration_verdicts(two)
    assert line.startswith("B (lr0.5) is better than A (lr0.1): +18.5 points")
    assert "(4 and 3 seeds)" in line
    noted = dataclasses.replace(two.configurations[0], note="seed 4 not counted: no predictions")
    lines = configuration_verdicts(dataclasses.replace(two, configurations=(noted, two.configurations[1])))
    assert lines == [line, "A (lr0.1): seed 4 not counted: no predictions."]


def test_one_seed_gets_the_noise_and_the_way_to_more_seeds(store: RunStore, root: Path) -> None:
    """Without a verdict the words say why, how large seed noise is, and how to train another seed."""
    lines = configuration_verdicts(compare(store, root, [RATE_01, RATE_09]))
    assert lines[0].startswith("One seed of B (lr0.9): seed noise is not accounted for")
    assert "the standard deviation was 3.97 points (5 degrees of freedom, 2 configurations)" in lines[1]
    assert "This noise is pooled; it is not the same in all configurations" in lines[1]
    assert lines[2].startswith("Train several seeds of each: `dvc exp run --set-param train.seed=1`")


def test_one_configuration_has_nothing_to_prefer(store: RunStore, root: Path) -> None:
    """Two seeds of one configuration: said so, with the spread of its seeds."""
    lines = configuration_verdicts(compare(store, root, [RATE_01, "small lr0.1 b10 e3 s1"]))
    assert lines[0].startswith("These runs are of one configuration (at most the seed differs), so there is none to pr")
    assert "0.7750 +- 0.0507 standard deviation (4 seeds, 95% interval of the mean 0.6944 to 0.8556)." in lines[0]


def test_one_configuration_of_one_seed_has_no_standard_deviation(two: Comparison) -> None:
    """Two runs of one seed that came to other weights."""
    one = dataclasses.replace(two.configurations[0], seeds=("0",), correct=two.configurations[0].correct[:1])
    (line,) = configuration_verdicts(dataclasses.replace(two, configurations=(one,), configuration_tests=()))
    assert line.endswith("Its test accuracy: 0.8000 (one seed, no standard deviation).")


def test_many_runs_are_told_as_the_best_against_the_rest(store: RunStore, root: Path) -> None:
    """Six models make 15 pairs: the words name the best and whom it beats, and whom it does not."""
    refs = [f"small lr{rate} b10 e3 s{seed}" for rate in (0.1, 0.5) for seed in (0, 1, 2)]
    lines = model_verdicts(compare(store, root, refs))
    assert lines == [
        "Highest test accuracy: F (lr0.5 s2), 97.00%.",
        "It is better than A (lr0.1 s0), B (lr0.1 s1) and C (lr0.1 s2) by more than chance explains; 15 pairs tested "
        "together (Holm).",
        "No difference can be shown between it and D (lr0.5 s0) and E (lr0.5 s1).",
    ]


def test_some_pairs_without_verdict_are_told_once(store: RunStore, root: Path) -> None:
    """Three configurations, one with one seed: the noise is told once, not for each pair."""
    lines = configuration_verdicts(compare(store, root, [RATE_01, RATE_05, RATE_09]))
    assert lines[:3] == [
        "Highest test accuracy: B (lr0.5), 96.00%.",
        "It is better than A (lr0.1) by more than chance explains.",
        "No verdict between it and C (lr0.9): with one seed of either, seed noise is not accounted for.",
    ]
    assert lines[3].startswith("Between runs that differ only in seed the standard deviation was 3.97 points")
    assert "seeds alone" not in lines[3]


def test_classes_are_told_where_they_differ(two: Comparison, store: RunStore, root: Path) -> None:
    """Better and worse classes are named with their points; where none differs that is said."""
    (found,) = two.disagreements
    words = class_verdict(found, two.class_names)
    assert words == (
        "B (lr0.5) against A (lr0.1): better on cat (+16.0 points), dog (+16.0 points), owl & <co> (+16.0 points)."
    )
    (alike,) = compare(store, root, [RATE_05, "small lr0.5 b10 e3 s1"]).disagreements
    assert class_verdict(alike, two.class_names) == "No difference between A (s0) and B (s1) shows on any single class."


def test_disagreements_are_counted_in_words(two: Comparison) -> None:
    """How often, of how many, and who is right."""
    (found,) = two.disagreements
    assert disagreement_words(found, "images") == (
        "A and B answer 60 of 300 images differently: only A is right on 6, only B on 54, neither on 0."
    )


@pytest.mark.parametrize(
    ("only_a", "only_b", "answer"),
    [(10, 60, "Yes: B is better."), (60, 10, "Yes: A is better."), (10, 12, "No difference shown.")],
)
def test_one_pair_has_a_short_answer(only_a: int, only_b: int, answer: str) -> None:
    """Yes with the winner, or that no difference is shown: never no."""
    assert short_answer([compare_models(*models(only_a, only_b))]) == answer


def test_no_pair_and_no_verdict_have_short_answers() -> None:
    """One configuration has no answer to seek; one seed has none to find."""
    a, b = models(10, 60)
    assert short_answer([]) == "One configuration."
    assert short_answer([compare_configurations(a[None], b[None])]) == "No answer with one seed."
