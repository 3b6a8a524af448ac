"""Configurations by a metric: seeds aggregated, the right end first, and what the figures do not say."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
from filled_project import add_run, filled_project
from many_runs import DATA, counted

from softmax_regression.comparing.leaderboard import TEST_ACCURACY, Leaderboard, leaderboard, leaderboard_text
from softmax_regression.statistics.intervals import wilson_interval
from softmax_regression.tracking.run_store import RunStore


@pytest.fixture(scope="module")
def board(store: RunStore) -> Leaderboard:
    """The configurations by test accuracy."""
    return leaderboard(store, TEST_ACCURACY, top=20)


def test_each_configuration_is_one_row_the_best_first(board: Leaderboard) -> None:
    """Seeds of one configuration are one row; each data set is ranked by itself."""
    small = board.rankings["small"]
    assert not small.ascending
    assert [(row.name, row.seeds) for row in small.rows] == [
        ("lr0.3_b10_e3", ("0",)),
        ("lr0.5_b10_e3", ("0", "1", "2")),
        ("lr0.9_b10_e3", ("0",)),
        ("lr0.1_b10_e3", ("0", "1", "2", "3")),
    ]
    assert [row.name for row in board.rankings["toys"].rows] == ["lr0.1_b10_e3"]
    assert small.rows[3].mean == pytest.approx((0.8 + 0.79 + 0.81 + 0.7) / 4, abs=1e-12)


def test_seeds_are_mean_and_standard_deviation(board: Leaderboard) -> None:
    """0.96, 0.95, 0.97: mean 0.96, standard deviation 0.01; one seed has none. Intervals are Wilson's."""
    several, one = board.rankings["small"].rows[1:3]
    # 1e-12: rounding of three additions in float64
    assert several.mean == pytest.approx(0.96, abs=1e-12)
    assert several.sd == pytest.approx(0.01, abs=1e-12)
    assert one.sd is None
    assert one.interval == wilson_interval(270, 300)
    assert several.interval is not None
    # the mean of three intervals around 0.96 is that of 0.96 but for the curvature, under a tenth of a point
    assert several.interval == pytest.approx(wilson_interval(288, 300), abs=1e-3)


def test_losses_rank_from_the_smallest(store: RunStore) -> None:
    """A loss is better small; there is no interval over images for it."""
    small = leaderboard(store, "final/test_loss", top=20).rankings["small"]
    assert small.ascending
    assert [row.name for row in small.rows][:2] == ["lr0.3_b10_e3", "lr0.5_b10_e3"]
    assert all(row.interval is None for row in small.rows)


def test_configurations_without_the_metric_are_left_out(store: RunStore, board: Leaderboard) -> None:
    """The run that was not evaluated has a training loss but no test accuracy: a line says what is not there."""
    by_loss = leaderboard(store, "final/train_loss", top=20).rankings["small"]
    assert "lr0.2_b10_e3" in [row.name for row in by_loss.rows]
    assert "lr0.2_b10_e3" not in [row.name for row in board.rankings["small"].rows]
    line = "Configurations without the figure are left out: --metric NAME ranks by another one.\n"
    assert leaderboard_text(board).count(line) == 1


@pytest.fixture
def validated(tmp_path: Path) -> RunStore:
    """A store in which learning rate 0.5 has held validation data out, with seeds of the pipeline and of a sweep."""
    store = RunStore.open(filled_project(tmp_path))
    for seed, accuracy, sweep in (
        (0, 0.7, {}),
        (1, 0.8, {"mlflow.parentRunId": "a" * 32}),
        (2, 0.9, {"sweep": "of 2"}),
    ):
        changes: dict[str, Any] = {"data__validation_size": 50, "optimizer__learning_rate": 0.5, "train__seed": seed}
        add_run(store, range(9), tags=sweep, evaluated=not sweep, **changes)
        run = store.continue_run(store.runs()[0].run_id)
        run.log_metrics({"final/validation_accuracy": accuracy})
    with store.start_run("sweep of 2 small", "sweep", {"seeds": 2}):
        pass  # finished, and no configuration
    return store


def test_the_default_is_the_validation_accuracy(validated: RunStore) -> None:
    """Where a data set has it, nothing of its test set is looked at; a sweep's seeds and the pipeline's are one row."""
    board = leaderboard(validated, top=20)
    small = board.rankings["small"]
    assert small.metric == "final/validation_accuracy"
    assert [(row.name, row.seeds, row.interval) for row in small.rows] == [
        ("val50_lr0.5_b10_e3", ("0", "1", "2"), None)
    ]
    assert small.rows[0].mean == pytest.approx(0.8, abs=1e-12)  # rounding of three additions in float64
    text = leaderboard_text(board)
    assert "final/validation_accuracy on small, largest first: 1 configuration\n" in text


def test_a_data_set_without_validation_data_is_ranked_by_the_test_accuracy(validated: RunStore) -> None:
    """Each data set by itself; its heading says why, and the end that it flatters."""
    board = leaderboard(validated, top=20)
    assert list(board.rankings) == ["small", "toys"]
    assert board.rankings["toys"].metric == TEST_ACCURACY
    text = leaderboard_text(board)
    assert "final/test_accuracy on toys (no run held validation data out), largest first: 1 configuration\n" in text
    assert "flatters" in text


def test_a_metric_that_is_asked_for_is_taken_on_every_data_set(validated: RunStore) -> None:
    """Also where no run of a data set has it: none is lost without a word."""
    text = leaderboard_text(leaderboard(validated, TEST_ACCURACY, top=20))
    assert "validation" not in text.partition("sd is between")[0]
    text = leaderboard_text(leaderboard(validated, "final/validation_accuracy", top=20))
    assert "on toys, largest first: 0 configurations\n" in text
    assert "flatters" not in text


def test_only_the_top_is_shown(store: RunStore) -> None:
    """Two of four rows; the heading says that there are more, and at four that there are not."""
    text = leaderboard_text(leaderboard(store, TEST_ACCURACY, top=2))
    assert "final/test_accuracy on small, largest first: the best 2 configurations\n" in text
    assert "2  lr0.5_b10_e3" in text
    assert "3  lr0.9_b10_e3" not in text
    assert "final/test_accuracy on toys, largest first: 1 configuration\n" in text
    assert "small, largest first: 4 configurations\n" in leaderboard_text(leaderboard(store, TEST_ACCURACY, top=4))


def test_the_text_has_the_figures_and_their_limits(board: Leaderboard) -> None:
    """Mean, standard deviation, interval, seeds, run; what noise is; that the top is flattered; 100 columns, ASCII."""
    text = leaderboard_text(board)
    low, high = board.rankings["small"].rows[2].interval or (math.nan, math.nan)
    assert f"3  lr0.9_b10_e3   0.9000       -  {low:.4f} to {high:.4f}  0" in text
    assert "2  lr0.5_b10_e3   0.9600  0.0100" in text
    assert re.search(r" 0-3 +4 runs", text)
    assert "are noise until shown" in text
    assert "Choosing the top row by its test figure flatters it" in text
    assert text.isascii()
    assert all(len(line) <= 100 and line == line.rstrip() for line in text.splitlines())


def test_figures_of_the_training_flatter_nobody(store: RunStore) -> None:
    """The warning about the test set is only under test figures."""
    text = leaderboard_text(leaderboard(store, "final/train_loss", top=20))
    assert "flatters" not in text
    assert "smallest first" in text


def test_nan_ranks_last(tmp_path: Path) -> None:
    """A training that blew up is no winner, though losses rank from the smallest."""
    store = RunStore.open(filled_project(tmp_path))
    add_run(store, range(3), optimizer__learning_rate=float("nan"), evaluated=False)
    rows = leaderboard(store, "final/train_loss", top=20).rankings["small"].rows
    assert [math.isnan(row.mean) for row in rows] == [False] * (len(rows) - 1) + [True]


@pytest.mark.parametrize(
    ("metric", "top", "message"),
    [
        (
            "final/test_acuracy",
            20,
            "no live run has the metric 'final/test_acuracy'; the nearest are final/test_accuracy",
        ),
        ("test_ece", 20, "no live run has the metric 'test_ece'"),
        ("zzz", 20, "'zzz'; known are final/test_accuracy, final/test_accuracy_high, .*final/train_loss"),
        ("final/test_accuracy", 0, "a leaderboard shows 1 row or more, found top = 0"),
    ],
)
def test_what_cannot_be_ranked_is_refused(store: RunStore, metric: str, top: int, message: str) -> None:
    """An unknown metric is told with the nearest names, and a number of rows below one is none."""
    with pytest.raises(ValueError, match=message):
        leaderboard(store, metric, top=top)


def test_a_store_without_finished_runs_says_what_to_do(tmp_path: Path) -> None:
    """Before the first run has finished there is nothing to rank."""
    store = RunStore.open(tmp_path)
    run = store.start_run("name", "c", {"data.name": "d"})
    run.log_metrics({TEST_ACCURACY: 1.0})
    with pytest.raises(ValueError, match="the store holds no finished run yet; `dvc repro` makes one"):
        leaderboard(store, TEST_ACCURACY, top=20)
    run.finish("FAILED")


def test_the_top_is_found_without_fetching_all(many: tuple[RunStore, RunStore]) -> None:
    """Of 1,000 runs the two best configurations take a quarter at most, and they are the two best."""
    for store in many:
        with counted(store) as pages:
            board = leaderboard(store, top=2)
        assert sum(pages) <= 250
        rows = leaderboard(store, top=1000).rankings[DATA].rows
        assert board.rankings[DATA].rows == rows[:2]
        assert [row.mean for row in rows] == sorted((row.mean for row in rows), reverse=True)
        live = [run for run in store.runs() if run.live]
        assert sum(len(row.seeds) for row in rows) == len(live)
