"""The reference bands of the book's recipe, the leak alarm, a guess, and the closing checks."""

import math
from pathlib import Path

import pytest

from softmax_regression.artifacts.outcome import Epoch, History
from softmax_regression.evaluation.reference import BOOK_RECIPE, closing_checks, reference_bands, worse_than_guessing
from softmax_regression.params import ClosingChecks, flatten, load_params

ROOT = Path(__file__).parents[2]
BOOK = ClosingChecks(max_train_loss=0.5, min_train_accuracy=0.7, min_test_accuracy=0.7)


def history(*figures: tuple[float, float]) -> History:
    """Return a history of (train loss, train accuracy) epoch by epoch."""
    return History("test", tuple(Epoch(n, *pair, math.nan, math.nan, 0.1) for n, pair in enumerate(figures, 1)))


BOOK_RUN = history((0.788, 0.748), *[(0.5, 0.8)] * 8, (0.447, 0.848))


def test_the_books_run_lies_in_the_bands() -> None:
    """The book's recipe with the reference figures is inside all five bands, and each is said in words."""
    report = reference_bands({**BOOK_RECIPE, "train.seed": 3}, BOOK_RUN, 0.832)
    assert report.inside is True
    assert not report.leak
    assert len(report.words) == 5
    assert "epoch 10 test accuracy 0.8320: inside the reference band 0.805 to 0.838" in report.words


def test_the_books_recipe_is_that_of_params_yaml() -> None:
    """Every setting that the bands ask for is one of params.yaml, with the value that it has there."""
    flat = flatten(load_params(ROOT / "params.yaml"))
    assert {key: flat[key] for key in BOOK_RECIPE} == BOOK_RECIPE


def test_figures_outside_the_bands_are_named() -> None:
    """A figure below, above, or not a number is said to be so, and the report is not inside."""
    report = reference_bands(BOOK_RECIPE, history((0.788, 0.748), *[(math.nan, 0.748)] * 8, (math.nan, 0.9)), 0.8)
    assert report.inside is False
    words = "\n".join(report.words)
    assert "epoch 10 train loss nan: not a number, outside" in words
    assert "epoch 10 train accuracy 0.9000: above" in words
    assert "epoch 10 test accuracy 0.8000: below" in words


@pytest.mark.parametrize("edge", [0.805, 0.838])
def test_the_ends_of_a_band_are_inside(edge: float) -> None:
    """A band includes both its ends."""
    assert reference_bands(BOOK_RECIPE, BOOK_RUN, edge).inside is True


def test_another_number_of_epochs_has_the_first_epochs_bands_only() -> None:
    """The book's recipe for one epoch is held against the bands of epoch 1 alone."""
    report = reference_bands(BOOK_RECIPE, history((0.788, 0.748)), 0.75)
    assert report.inside is True
    assert report.words == (
        "epoch 1 train loss 0.7880: inside the reference band 0.781 to 0.791",
        "epoch 1 train accuracy 0.7480: inside the reference band 0.744 to 0.753",
    )


def test_another_recipe_has_no_bands() -> None:
    """Another learning rate or data set: no band applies, and the reason names the setting."""
    report = reference_bands({**BOOK_RECIPE, "optimizer.learning_rate": 0.5}, history((0.788, 0.748)), 0.84)
    assert report.inside is None
    assert report.words == ("the reference bands do not apply: optimizer.learning_rate is 0.5, the book's 0.1",)


@pytest.mark.parametrize(
    ("data_name", "test_accuracy", "leak"),
    [("fashion_mnist", 0.861, True), ("fashion_mnist", 0.86, False), ("mnist", 0.92, False)],
)
def test_a_leak_is_flagged_for_any_recipe_on_fashion_mnist(data_name: str, test_accuracy: float, leak: bool) -> None:
    """Above 0.86 on Fashion-MNIST is a leak, whatever the recipe, and on no other data set."""
    settings = {**BOOK_RECIPE, "data.name": data_name, "optimizer.momentum": 0.9}
    report = reference_bands(settings, history((0.5, 0.8)), test_accuracy)
    assert report.leak is leak
    assert report.words[0].startswith("LEAK") is leak


def test_the_books_own_recipe_may_leak_too() -> None:
    """Inside its recipe a leak is said first, before the bands that it breaks."""
    report = reference_bands(BOOK_RECIPE, BOOK_RUN, 0.9)
    assert report.leak
    assert report.words[0].startswith("LEAK")
    assert report.inside is False


@pytest.mark.parametrize("test_accuracy", [0.83, 0.87, 1.0])
def test_a_model_with_hidden_layers_never_leaks_and_has_no_bands(test_accuracy: float) -> None:
    """The limit and the bands are those of a linear model: another may be better. Why no band applies is said."""
    report = reference_bands(BOOK_RECIPE, BOOK_RUN, test_accuracy, linear=False)
    assert report.leak is False
    assert report.inside is None
    assert report.words == ("the reference bands do not apply: the model has hidden layers",)


def test_a_setting_that_was_not_recorded_is_not_the_books() -> None:
    """An experiment of an earlier version may lack one: then no band applies, and it is named."""
    settings = {key: value for key, value in BOOK_RECIPE.items() if key != "model.bias"}
    report = reference_bands(settings, BOOK_RUN, 0.8)
    assert report.words == ("the reference bands do not apply: model.bias is None, the book's True",)


def test_closing_checks_pass_the_reference_run() -> None:
    """The reference run fails none of the book's closing checks."""
    assert checks(0.447, 0.848, 0.832) == []


def test_closing_checks_say_what_found_wanted() -> None:
    """Each failed check says what was found and wanted; the bounds are strict, but for accuracy 1."""
    assert checks(0.5, 0.7, 1.0) == [
        "train loss: found 0.5, wanted below 0.5",
        "train accuracy: found 0.7, wanted above 0.7 and at most 1",
    ]


@pytest.mark.parametrize("loss", [math.log(3) + 1e-9, 200.0, math.inf, math.nan])
def test_a_loss_above_that_of_equal_chances_is_worse_than_guessing(loss: float) -> None:
    """Equal chances for three classes cost ln 3: above it, or without a number, a line says what to do."""
    (line,) = worse_than_guessing(loss, 3, standardised=False)
    assert f"the test loss is {loss:.4g}, equal chances for the 3 classes cost ln 3 = 1.099" in line
    assert "; standardise the features (download.own.standardise: true), lower optimizer.learning_rate" in line


def test_standardised_features_are_not_to_be_standardised() -> None:
    """Where that has been done, the rate is the first thing to change."""
    (line,) = worse_than_guessing(math.inf, 3, standardised=True)
    assert "= 1.099; lower optimizer.learning_rate" in line


def test_a_guess_is_no_worse_than_guessing() -> None:
    """At ln K, where a training from zero begins, nothing is said."""
    assert worse_than_guessing(math.log(3), 3, standardised=False) == []


@pytest.mark.parametrize("value", [math.nan, 1.0001])
def test_closing_checks_fail_impossible_figures(value: float) -> None:
    """NaN and an accuracy above 1 pass no check."""
    failed = checks(value, value, value)
    assert [line.split(":")[0] for line in failed] == ["train loss", "train accuracy", "test accuracy"]


def test_a_bound_of_none_is_no_bound() -> None:
    """Without bounds a poor run passes, and an accuracy above 1 still fails."""
    no_bounds = ClosingChecks(max_train_loss=None, min_train_accuracy=None, min_test_accuracy=None)
    assert checks(9.0, 0.0, 1.5, no_bounds) == ["test accuracy: found 1.5, wanted at most 1"]


def checks(train_loss: float, train_accuracy: float, test_accuracy: float, bounds: ClosingChecks = BOOK) -> list[str]:
    """Apply the book's thresholds, or others."""
    numbers = {"train_loss": train_loss, "train_accuracy": train_accuracy, "test_accuracy": test_accuracy}
    return closing_checks(numbers, bounds)
