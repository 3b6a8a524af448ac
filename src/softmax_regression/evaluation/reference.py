"""What a right result looks like: reference bands of the book's recipe, the leak alarm, the closing checks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from softmax_regression.artifacts.outcome import History
from softmax_regression.evaluation.metrics import Interval
from softmax_regression.params import ClosingChecks

# The settings of the book's recipe, d2l 4.4 and 4.5, by their dotted keys; the bands below hold for these.
BOOK_RECIPE: Mapping[str, object] = {
    "data.name": "fashion_mnist",
    "data.resize": None,
    "data.validation_size": 0,
    "model.init_std": 0.01,
    "model.bias": True,
    "optimizer.learning_rate": 0.1,
    "optimizer.momentum": 0.0,
    "optimizer.weight_decay": 0.0,
    "optimizer.schedule": "constant",
    "optimizer.warmup_epochs": 0,
    "train.solver": "sgd",
    "train.batch_size": 256,
}
# Lowest and highest figure of ten public copies of the book's program and five seeds of our own.
EPOCH_1_BANDS = {"train loss": Interval(0.785, 0.791), "train accuracy": Interval(0.745, 0.750)}
EPOCH_10_BANDS = {
    "train loss": Interval(0.444, 0.450),  # 0.447 +- 0.003
    "train accuracy": Interval(0.846, 0.850),  # 0.848 +- 0.002
    "test accuracy": Interval(0.826, 0.838),
}
BAND_EPOCHS = 10  # the book's number of epochs
# The best that a tuned linear model reaches on Fashion-MNIST is about 0.846; above this, test images leaked.
LEAK_ACCURACY = 0.86


@dataclass(frozen=True)
class BandCheck:
    """One figure beside its reference band."""

    name: str
    found: float
    band: Interval

    @property
    def inside(self) -> bool:
        """Whether the figure lies in the band, ends included."""
        return self.band.low <= self.found <= self.band.high

    @property
    def words(self) -> str:
        """Say where the figure lies."""
        place = "inside" if self.inside else "below" if self.found < self.band.low else "above"
        if math.isnan(self.found):
            place = "not a number, outside"
        return f"{self.name} {self.found:.4f}: {place} the reference band {self.band.low:.3f} to {self.band.high:.3f}"


@dataclass(frozen=True)
class BandReport:
    """Reference bands and one run: `reason` says why no band applies (None where one does)."""

    checks: tuple[BandCheck, ...]
    reason: str | None
    leak: bool

    @property
    def inside(self) -> bool | None:
        """Whether every figure lies in its band; None where no band applies."""
        return all(check.inside for check in self.checks) if self.checks else None

    @property
    def words(self) -> tuple[str, ...]:
        """One line a finding, a leak first."""
        lines = [check.words for check in self.checks]
        if self.reason is not None:
            lines.append(f"the reference bands do not apply: {self.reason}")
        if self.leak:
            lines.insert(
                0,
                f"LEAK: a test accuracy above {LEAK_ACCURACY} is out of reach of a linear model on "
                "Fashion-MNIST (the best is about 0.846); look for test images among the training images",
            )
        return tuple(lines)


def reference_bands(
    settings: Mapping[str, object], history: History, test_accuracy: float, *, linear: bool = True
) -> BandReport:
    """Say whether a run of the book's recipe lies in the reference bands, and whether it leaked.

    `settings` are the run's parameters by dotted key with their types (`params.flatten`), at least those of
    BOOK_RECIPE; others (the seed, the implementation, the device) do not matter. `test_accuracy` is that after the
    last epoch. The bands of epoch 1 apply to every run of the recipe, those of epoch 10 to one of ten epochs; the leak
    alarm applies to every recipe of a `linear` model on Fashion-MNIST.
    """
    missing = [key for key in BOOK_RECIPE if key not in settings]
    if missing:
        raise ValueError(f"the reference bands need the settings {', '.join(missing)}; found none of that name")
    leak = linear and settings["data.name"] == BOOK_RECIPE["data.name"] and test_accuracy > LEAK_ACCURACY
    other = [f"{k} is {settings[k]}, the book's {v}" for k, v in BOOK_RECIPE.items() if settings[k] != v]
    if not linear:
        other.append("the model has hidden layers")
    if other:
        return BandReport((), "; ".join(other), leak)
    first = {"train loss": history.epochs[0].train_loss, "train accuracy": history.epochs[0].train_accuracy}
    checks = [BandCheck(f"epoch 1 {name}", first[name], band) for name, band in EPOCH_1_BANDS.items()]
    if len(history.epochs) == BAND_EPOCHS:
        last = {
            "train loss": history.last.train_loss,
            "train accuracy": history.last.train_accuracy,
            "test accuracy": test_accuracy,
        }
        checks += [BandCheck(f"epoch 10 {name}", last[name], band) for name, band in EPOCH_10_BANDS.items()]
    return BandReport(tuple(checks), None, leak)


def closing_checks(numbers: Mapping[str, float], checks: ClosingChecks) -> list[str]:
    """Return the failed closing checks of d2l 4.4, each as 'what: found x, wanted y'; none failed is [].

    train loss < max_train_loss; min_train_accuracy < train accuracy <= 1; the same of the test accuracy. A bound
    of None is no bound, but an accuracy above 1 always fails. NaN passes no check that has a bound.
    """
    failed = []
    loss, bound = numbers["train_loss"], checks.max_train_loss
    if bound is not None and not loss < bound:
        failed.append(f"train loss: found {loss:.6g}, wanted below {bound:.6g}")
    for name, least in (("train_accuracy", checks.min_train_accuracy), ("test_accuracy", checks.min_test_accuracy)):
        found = numbers[name]
        if not found <= 1 or (least is not None and not found > least):
            words = "" if least is None else f"above {least:.6g} and "
            failed.append(f"{name.replace('_', ' ')}: found {found:.6g}, wanted {words}at most 1")
    return failed
