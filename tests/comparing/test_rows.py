"""The tables of a comparison: figures that follow by hand, signs, letters, and no NaN."""

import dataclasses

import numpy as np
from filled_project import RATE_05
from made_answers import models

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.comparing import rows
from softmax_regression.comparing.comparison import Comparison
from softmax_regression.statistics.models import compare_models
from softmax_regression.statistics.seeds import compare_all_configurations, compare_configurations


def test_columns_are_chosen_in_any_order() -> None:
    """Header, cells and alignment go together; rows are chosen alike."""
    table = rows.Table(["x", "y", "z"], [["1", "2", "3"], ["4", "5", "6"]], "lrw")
    assert table.columns(2, 0) == (["z", "x"], [["3", "1"], ["6", "4"]], "wl")
    assert table.chosen([1]) == (["x", "y", "z"], [["4", "5", "6"]], "lrw")


def test_runs_have_their_figures(two: Comparison) -> None:
    """Letter, name, id, accuracy, interval; figures that no run has are dashes; the DVC experiment comes last."""
    table = rows.run_table(two)
    assert len(table.header) == len(table.align)
    assert table.rows[1][:5] == ["B", RATE_05, two.runs[1].record.run_id[:8], "96.00%", "93.14 to 97.70"]
    assert dict(zip(table.header, table.rows[1], strict=True))["test loss"] == "0.0400"
    assert dict(zip(table.header, table.rows[1], strict=True))["calibration error"] == "-"
    assert [row[-1] for row in table.rows] == ["-", "wavy-cats"]


def test_without_dvc_experiments_there_is_no_column_of_them(two: Comparison) -> None:
    """The column is there only if one of the runs has something in it."""
    without = rows.run_table(dataclasses.replace(two, runs=(two.runs[0], two.runs[0])))
    assert without.header[-1] == "training loss"
    assert len(without.align) == len(without.rows[0]) == len(without.header)


def test_the_row_of_a_pair_has_signs_and_letters() -> None:
    """B minus A in points, signed, by letters; 10 against 60 of 1,000."""
    (row,) = rows.model_table([compare_models(*models(10, 60), names=("A (x)", "B (y)"))]).rows
    assert row == ["B", "A", "+5.00", row[3], "< 0.001", "B better"]
    assert row[3].startswith("+3.")
    (row,) = rows.model_table([compare_models(*models(10, 12), names=("A (x)", "B (y)"))]).rows
    assert row[2::3] == ["+0.20", "not shown"]


def test_the_row_of_a_pair_of_configurations_has_both_verdicts(six: Comparison) -> None:
    """B wins 6 of 6 by 8, 16, 16, 16, 20, 24 points; without a verdict, or a common seed, there are dashes."""
    table = rows.seeds_table(six.configuration_tests)
    assert table.rows == [["B", "A", "6 of 6", "+16.00", "+8.00 to +24.00", "0.031", "B better", "B better"]]
    a = {str(seed): np.arange(1000) < 500 for seed in range(6)}
    b = {str(seed): np.arange(1000) < 501 + seed for seed in range(6)}
    (row,) = rows.seeds_table([compare_configurations(a, b)]).rows
    assert row[2:] == ["6 of 6", "+0.35", "+0.10 to +0.60", "0.031", "B better", "not shown"]
    (row,) = rows.seeds_table([compare_configurations(a, {"0": b["5"]})]).rows
    assert row[2:] == ["1 of 1", "+0.60", "-", "-", "too few seeds", "too few seeds"]
    (row,) = rows.seeds_table([compare_configurations(a, {"9": b["5"]})]).rows
    assert row[2:5] == ["0 of 0", "-", "-"]
    three = rows.seeds_table(compare_all_configurations({"A": a, "B": b, "C": a}))
    assert (three.header[5], len(three.rows)) == ("p (Holm)", 3)


def test_several_pairs_have_holms_p() -> None:
    """The head says that p-values are adjusted where there is more than one."""
    test = compare_models(*models(10, 60))
    assert rows.model_table([test]).header[4] == "p"
    assert rows.model_table([test, test]).header[4] == "p (Holm)"


def test_p_figures_have_two_digits_or_a_bound() -> None:
    """0.0569 reads 0.057; what is below 0.001 says so; what is just under the level does not read as the level."""
    assert [rows.p_figure(p) for p in (0.0569, 0.04996, 0.0009, 1.0, None)] == ["0.057", "0.04996", "< 0.001", "1", "-"]


def test_configurations_have_mean_and_deviation(two: Comparison) -> None:
    """0.80 0.79 0.81 0.70 and 0.96 0.95 0.97 in %; one seed has no standard deviation."""
    assert rows.configuration_table(two).rows == [
        ["A", "lr0.1", "0-3", "77.50%", "5.07"],
        ["B", "lr0.5", "0-2", "96.00%", "1.00"],
    ]
    alone = dataclasses.replace(two.configurations[0], correct=two.configurations[0].correct[:1], seeds=("0",))
    assert rows.configuration_table(dataclasses.replace(two, configurations=(alone,))).rows[0][3:] == ["80.00%", "-"]


def test_params_that_differ_have_a_column_for_each_run(two: Comparison) -> None:
    """One param differs."""
    assert rows.param_table(two) == (["param", "A", "B"], [["optimizer.learning_rate", "0.1", "0.5"]], "lrr")


def test_a_param_that_one_run_lacks_differs(two: Comparison) -> None:
    """Runs of different versions have different params; where there is none it says '-'."""
    recorded: list[dict[str, object]] = [{"a": 1, "b": None}, {"a": 1}]
    runs = (
        dataclasses.replace(run, experiment=Experiment(params, {}))
        for run, params in zip(two.runs, recorded, strict=True)
    )
    found = dataclasses.replace(two, runs=tuple(runs))
    assert rows.param_table(found).rows == [["b", "null", "-"]]
    assert rows.shared_param_table(found).rows == [["a", "1"]]


def test_a_class_has_its_shares_and_their_difference(two: Comparison) -> None:
    """100 images of each class, 80 and 96 right, 2 by A alone, 18 by B alone."""
    table = rows.class_table(two, two.disagreements[0])
    assert table.header[:5] == ["class", "images", "A", "B", "B - A"]
    assert table.rows[0] == ["cat", "100", "80.0", "96.0", "* +16.0", "+5.3 to +26.0", "2", "18", "0"]
    assert rows.share_table(two, two.runs).rows[0] == ["cat", "100", "80.0", "96.0"]


def test_a_class_without_examples_has_no_figures(two: Comparison) -> None:
    """Dashes, not NaN; a star marks what chance does not explain."""
    tests = (None, compare_models(*models(10, 60)), compare_models(*models(10, 12)))
    table = rows.class_table(two, dataclasses.replace(two.disagreements[0], classes=tests))
    assert table.rows[0][4:6] == ["-", "-"]
    assert [row[4] for row in table.rows[1:]] == ["* +5.0", "+0.2"]
