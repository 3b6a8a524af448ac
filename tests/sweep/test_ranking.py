"""The ranking of a sweep's configurations, and what is said of the first."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from softmax_regression.artifacts.outcome import Epoch, History, Outcome
from softmax_regression.params import load_params
from softmax_regression.statistics.intervals import wilson_interval
from softmax_regression.sweep.passes import Trained
from softmax_regression.sweep.plan import Trial, with_seeds
from softmax_regression.sweep.ranking import (
    Ranked,
    accuracy_interval,
    best_figures,
    rank,
    summary,
    write_answers,
    write_table,
)

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
SIZE, EXAMPLES = 100, 1000


def trained(name: str, *accuracies: float, loss: float = 0.5, failure: str | None = None) -> list[Trained]:
    """Return a configuration with so many seeds, whose held-out images are right from the first on; the last fails."""
    seeds = with_seeds([Trial(PARAMS, {"optimizer.k": name})], len(accuracies))
    return [
        Trained(
            one,
            Outcome({}, History("validation", (Epoch(1, 0.5, 0.5, loss, accuracy, 0.1),)), {}),
            failure if one is seeds[-1] else None,
            np.arange(SIZE) < round(accuracy * SIZE),
        )
        for one, accuracy in zip(seeds, accuracies, strict=True)
    ]


def ranking(*configurations: list[Trained]) -> list[Ranked]:
    """Rank them, as if they had come in the reverse order: passes end in any."""
    return rank([one for own in configurations for one in own][::-1], EXAMPLES)


def test_the_ranking_is_by_mean_accuracy_then_loss_and_never_takes_a_failed_one() -> None:
    """One failed seed rules a configuration out; of equal accuracies the lower loss wins; sd is that of the seeds."""
    found = ranking(
        trained("failed", 0.99, 0.99, loss=0.1, failure="the loss is not finite"),
        trained("second", 0.8, 0.82, loss=0.6),
        trained("first", 0.79, 0.83, loss=0.5),
        trained("third", 0.9, 0.6, loss=0.2),
    )
    assert [one.changes["optimizer.k"] for one in found] == ["first", "second", "third", "failed"]
    assert found[0].accuracy == pytest.approx(0.81)
    assert found[0].deviation == pytest.approx(math.sqrt(2) * 0.02)
    assert found[0].accuracies == (0.79, 0.83)  # in the order of the seeds
    assert [one.mean() for one in found[0].answers] == [0.79, 0.83]


def test_the_interval_of_one_seed_is_wilsons() -> None:
    """With one seed nothing but the images is uncertain."""
    assert accuracy_interval([0.83], SIZE, EXAMPLES) == wilson_interval(83, SIZE)


def test_the_interval_of_equal_seeds_is_that_of_the_examples() -> None:
    """Where seeds do not differ, only the examples there are remain uncertain, not those of one seed alone."""
    assert accuracy_interval([0.83] * 4, SIZE, EXAMPLES) == pytest.approx(wilson_interval(830, EXAMPLES))


def test_the_interval_of_several_seeds_adds_both_parts_in_squares() -> None:
    """By hand: mean 0.8, sd 0.01, t(2) = 4.3027 gives 0.02484; Wilson's of 800 of 1,000 is 0.77408 to 0.82363."""
    low, high = accuracy_interval([0.79, 0.80, 0.81], SIZE, EXAMPLES)
    assert low == pytest.approx(0.8 - math.hypot(0.02484, 0.8 - 0.77408), abs=2e-5)  # as the digits above
    assert high == pytest.approx(0.8 + math.hypot(0.02484, 0.82363 - 0.8), abs=2e-5)


def test_the_interval_holds_the_truth() -> None:
    """Seeds that hold out a third each of the same examples: 95% of the intervals hold the accuracy behind these.

    Student's t alone, which takes the seeds for independent, holds it in 68%.
    """
    random = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        right = random.binomial(6000, 0.845)
        seeds = random.hypergeometric(right, 6000 - right, 2000, size=8) / 2000 + random.normal(0, 0.002, 8)
        low, high = accuracy_interval(list(seeds), 2000, 6000)
        held += low <= 0.845 <= high
    assert 0.92 < held / 400 < 0.98  # three standard deviations of 400 draws at 0.95: 0.033


def test_an_interval_stays_within_0_and_1() -> None:
    """Two seeds say so little that t alone would leave the range."""
    assert accuracy_interval([0.5, 0.99], SIZE, EXAMPLES) == (0, 1)


def test_one_seed_is_said_to_leave_its_noise_unknown() -> None:
    """The best is named by what varies, with interval, optimism and what is not known; failed ones are not among n."""
    found = ranking(trained("a", 0.8), trained("b", 0.75), trained("c", 0.99, failure="not finite"))
    lines = summary(found, 0.0123)
    assert lines[-5:] == [
        "1 of 3 did not stay finite: see table.csv",
        "best: k a",
        "  validation accuracy 0.8000, 95% interval 0.7112 to 0.8666 (100 images)",
        "  picked as the best of 2, it is expected to be 1.23 points too high: 0.7877 on new images",
        "  seed noise: unknown with one seed, and in none of these figures; add --seeds 8",
    ]
    assert lines[0].split() == ["rank", "k", "validation", "accuracy", "95%", "interval", "sd", "loss"]
    assert lines[1].split() == ["1", "a", "0.8000", "0.7112", "to", "0.8666", "0.5000"]
    assert lines[3].split() == ["3", "c"]


def test_several_seeds_are_set_against_the_second() -> None:
    """Six seeds or more say on how many of them the best wins; sd is beside what the images alone make of it."""
    lines = summary(ranking(trained("a", *[0.8, 0.82] * 4), trained("b", *[0.79, 0.81] * 4)), 0)
    assert lines[-4].endswith("(8 seeds with 100 images each)")
    assert lines[-2] == "  seed noise: sd 1.07 points over 8 seeds; other images alone would give about 3.9"
    assert lines[-1] == "  better than the second: it wins 8 of 8 seeds (sign test, p = 0.0078)"


def test_the_better_mean_alone_does_not_beat_the_second() -> None:
    """One seed far ahead decides the mean and shows nothing; ties count for neither."""
    lines = summary(ranking(trained("a", 0.99, 0.79, 0.8, 0.8, 0.8, 0.8), trained("b", *[0.8] * 6)), 0)
    assert lines[-1] == "  not shown to be better than the second: it wins 1 of 6 seeds (sign test, p = 1)"


def test_five_seeds_say_nothing_of_the_second() -> None:
    """No number of wins in five seeds is significant, so none is printed."""
    assert "second" not in "".join(summary(ranking(trained("a", *[0.8] * 5), trained("b", *[0.7] * 5)), 0))


def test_one_configuration_is_picked_of_none() -> None:
    """There is neither optimism nor a second, and nothing varies that it could be named by."""
    best, accuracy, seeds = summary(ranking(trained("a", *[0.8] * 6)), 0)[-3:]
    assert best == "best: the only one"
    assert accuracy.startswith("  validation accuracy 0.8000")
    assert seeds.startswith("  seed noise")


def test_the_table_has_a_row_a_configuration(tmp_path: Path) -> None:
    """Each row has its interval and on how many seeds the first is better; only the first has the optimism."""
    found = ranking(trained("a", 0.8, 0.9), trained("b", 0.7, 0.9), trained("c", 0.9, 0.9, failure="not finite"))
    write_table(tmp_path / "table.csv", found, 0.01)
    first, second, failed = csv.DictReader((tmp_path / "table.csv").read_text().splitlines())
    assert (first["optimism"], second["optimism"]) == ("0.010000", "")
    assert (first["seeds_won_by_best"], second["seeds_won_by_best"]) == ("", "1")
    assert float(second["validation_accuracy_low"]) == pytest.approx(found[1].interval.low, abs=1e-6)
    assert float(second["validation_accuracy_high"]) == pytest.approx(found[1].interval.high, abs=1e-6)
    assert failed | {"rank": "", "optimizer.k": "", "failure": ""} == dict.fromkeys(failed, "")
    assert failed["failure"] == "not finite"


def test_answers_are_read_back_as_they_were(tmp_path: Path) -> None:
    """Without pickle, bit by bit, in the order of the table; the same answers make the same file."""
    found = ranking(trained("a", 0.8, 0.9), trained("b", 0.7, 0.93))
    for name in ("answers.npz", "again.npz"):
        write_answers(tmp_path / name, found)
    file = np.load(tmp_path / "answers.npz", allow_pickle=False)
    answers = np.unpackbits(file["answers"], axis=2, count=file["examples"]).astype(bool)
    np.testing.assert_array_equal(answers, [one.answers for one in found])
    assert list(file["configurations"]) == ['{"optimizer.k": "a"}', '{"optimizer.k": "b"}']
    assert list(file["seeds"]) == [PARAMS.train.seed, PARAMS.train.seed + 1]
    assert (tmp_path / "answers.npz").read_bytes() == (tmp_path / "again.npz").read_bytes()


def test_the_figures_of_the_best_leave_out_what_is_not_known() -> None:
    """One seed has no deviation; all others are there, under the names of the run's metrics."""
    (one,) = ranking(trained("one", 0.8))
    found = best_figures(one, 0.01)
    assert found.pop("validation_best/optimism") == 0.01
    assert found.pop("validation_best/accuracy") == pytest.approx(0.8)
    assert set(found) == {f"validation_best/{name}" for name in ("accuracy_low", "accuracy_high", "loss")}


def test_how_to_get_more_seeds_is_said() -> None:
    """With one seed; how depends on the command."""
    found = ranking(trained("one", 0.8), trained("two", 0.7))
    assert summary(found, 0.0)[-1].endswith("add --seeds 8")
    assert summary(found, 0.0, "do this")[-1].endswith("none of these figures; do this")
