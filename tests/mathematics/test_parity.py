"""parity.py: the hand-coded implementations and torch's own, side by side, over the options, on the real data."""

import gzip
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from softmax_regression.mathematics import parity
from softmax_regression.mathematics.batches import EvaluationBatches, Minibatches
from softmax_regression.mathematics.implementations import IMPLEMENTATIONS, Exact, Measured
from softmax_regression.mathematics.parity import Row
from softmax_regression.params import ModelParams, OptimizerParams

REAL_DATA = Path(__file__).parents[3] / "shared" / "fashion-mnist"
BOOK: dict[str, Any] = {
    "learning_rate": 0.1,
    "momentum": 0.0,
    "nesterov": False,
    "weight_decay": 0.0,
    "schedule": "constant",
    "step_epochs": 1,
    "step_factor": 0.5,
    "warmup_epochs": 0,
}


def compare(
    training: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    *,
    batch_size: int,
    epochs: int,
    dtype: torch.dtype,
    bias: bool = True,
    scale: float | Sequence[float] = 255,
    **changes: Any,
) -> list[Row]:
    """Compare the implementations on data of 10 classes, with the book's settings unless changed."""
    return parity.compare(
        ModelParams(implementation="textbook", init_std=0.01, bias=bias),
        OptimizerParams(**(BOOK | changes)),
        Minibatches(*training, batch_size=batch_size, seed=0, scale=scale),
        EvaluationBatches(*test, batch_size=1024),
        num_classes=10,
        epochs=epochs,
        seed=0,
        dtype=dtype,
    )


def compare_pair(monkeypatch: pytest.MonkeyPatch, first: str, second: str, **settings: Any) -> list[Row]:
    """Compare these two implementations alone, on small data."""
    monkeypatch.setattr(parity, "COMPARED", (first,))
    monkeypatch.setattr(parity, "REFERENCE", second)
    return compare(small_data(1), small_data(2), batch_size=16, epochs=2, **settings)


def small_data(seed: int, examples: int = 70) -> tuple[Tensor, Tensor]:
    """Return random byte images of 4 x 5 pixels with random labels."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (examples, 4, 5), generator=generator, dtype=torch.uint8)
    return pixels, torch.randint(10, (examples,), generator=generator)


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_by_hand_equals_the_library_in_float64(
    momentum: float, nesterov: bool, weight_decay: float, schedule: str
) -> None:
    """Over four epochs with a short last batch, weights and losses agree to 1e-10, and the accuracies are equal.

    Exact sums agree to what their grids explain.
    """
    options: dict[str, Any] = {
        "momentum": momentum,
        "nesterov": nesterov,
        "weight_decay": weight_decay,
        "schedule": schedule,
    }
    rows = compare(
        small_data(1), small_data(2), batch_size=16, epochs=4, dtype=torch.float64, warmup_epochs=1, **options
    )
    assert [row.epoch for row in rows] == [1, 2, 3, 4]
    for row in rows:
        exact, scratch = row.weight_differences
        # float64 rounds at 1e-16; 20 steps do not amplify that a millionfold.
        assert scratch < 1e-10
        # Losses that agree so well round to the same multiples of 2^-26 (see RunningSums), but for one in a million.
        assert row.loss_differences[1] < 1e-10
        assert exact < row.bound
        # The bound has every rounding at its worst and all of them add up; really they go either way, and the scaled
        # weights' 2^-34 of 20 features come to some 1e-9 in a logit.
        assert exact < 1e-8
        assert row.loss_differences[0] < 1e-8
        assert len(set(row.accuracies)) == 1
    bounds = [row.bound for row in rows]
    assert 0 < bounds[0] < bounds[1] < bounds[2] < bounds[3]


@pytest.mark.parametrize(("first", "second"), [("scratch", "textbook"), ("textbook", "library")])
@pytest.mark.parametrize("bias", [True, False])
def test_every_pair_agrees(monkeypatch: pytest.MonkeyPatch, first: str, second: str, bias: bool) -> None:
    """The textbook form takes the same path, with a bias and without."""
    rows = compare_pair(monkeypatch, first, second, dtype=torch.float64, bias=bias)
    assert rows[-1].weight_differences[0] < 1e-10


@pytest.mark.parametrize(("momentum", "nesterov", "steps"), [(0, False, 0.2), (0.9, False, 0.29), (0.9, True, 0.461)])
def test_the_bound_by_hand(momentum: float, nesterov: bool, steps: float) -> None:
    """One example of pixels 255 and 0, ten classes, two steps at rate 0.1.

    Its logits are off by 255 x 2^-34 at most, its errors by half of that and 2^-31 more, for each of ten classes, and
    the gradient by that times |(1, 0, 1)|. Steps: 0.1 (1 + 1), with momentum 0.1 (1 + 1.9), with Nesterov's
    0.1 (1 + 0.9 + 1 + 0.9 x 1.9).
    """
    data = torch.tensor([[255, 0]], dtype=torch.uint8), torch.tensor([3])
    row = compare(data, data, batch_size=1, epochs=2, dtype=torch.float64, momentum=momentum, nesterov=nesterov)[-1]
    gradient = math.sqrt(10) * (255 * 2**-35 + 2**-31) * math.sqrt(2)
    assert row.bound == pytest.approx(steps * gradient, rel=1e-12)  # some roundings of float64


def test_a_model_without_bias_stays_within_the_bound() -> None:
    """Exact sums without a bias agree with the library to what their grids explain, too."""
    rows = compare(small_data(1), small_data(2), batch_size=16, epochs=2, dtype=torch.float64, bias=False)
    assert all(row.weight_differences[0] < row.bound for row in rows)


def test_packed_features_stay_within_the_bound() -> None:
    """Real-valued features, packed as int16 with a scale each: the library sees the same features as exact sums."""
    generator = torch.Generator().manual_seed(3)
    stored = torch.randint(-32767, 32768, (70, 4), generator=generator).to(torch.int16)
    data = stored, torch.randint(10, (70,), generator=generator)
    scale = (2.0**13, 2.0**14, 2.0**15, 2.0**16)
    rows = compare(data, data, batch_size=16, epochs=2, dtype=torch.float64, scale=scale)
    for row in rows:
        assert row.weight_differences[0] < row.bound
        assert row.weight_differences[1] < 1e-10  # as above
        # 2^-41 of four features of 15 bits come to some 1e-8 in a logit; so the bound is no wide one.
        assert row.bound < 1e-6


def test_a_difference_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a rate at which the textbook form overflows in float32, it differs from the stable one."""
    rows = compare_pair(monkeypatch, "textbook", "scratch", dtype=torch.float32, learning_rate=1e3)
    assert not rows[-1].weight_differences[0] < 1e-10


def test_a_mistake_of_exact_sums_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps too long by a ten-thousandth leave the bound within two epochs: it is no idle one."""

    class Mistaken(Exact):
        def step(self, optimizer: Any, stored: Tensor, labels: Tensor) -> Measured:
            before = self.model.weight.clone()
            measured = super().step(optimizer, stored, labels)
            self.model.weight.add_(1e-4 * (self.model.weight - before))
            return measured

    monkeypatch.setitem(IMPLEMENTATIONS, "exact", Mistaken)
    rows = compare(small_data(1), small_data(2), batch_size=16, epochs=2, dtype=torch.float64)
    assert rows[-1].weight_differences[0] > rows[-1].bound


def test_the_schedule_sets_the_rate() -> None:
    """With a rate that all but vanishes after the first epoch the accuracy stays; with a constant one it moves."""
    accuracies = [
        {
            row.accuracies
            for row in compare(
                small_data(1), small_data(1), batch_size=16, epochs=4, dtype=torch.float64, schedule=schedule,
                step_factor=1e-100, learning_rate=1.0,
            )
        }
        for schedule in ("step", "constant")
    ]  # fmt: skip
    assert len(accuracies[0]) == 1
    assert len(accuracies[1]) > 1


def test_table_by_hand() -> None:
    """The table has a header and a row an epoch, with differences in powers of ten and accuracies to 1e-4."""
    rows = [
        Row(1, (3e-9, 2.5e-8), (4e-10, 1e-9), (0.8, 0.8, 0.8001), 5e-7),
        Row(10, (0.0, 0.0), (0.0, 0.0), (0.85, 0.85, 0.85), 1e-6),
    ]
    header, cells = parity.table_cells(rows)
    assert header == [
        *("epoch", "exact - library", "scratch - library", "grids explain"),
        *("accuracy exact", "accuracy scratch", "accuracy library"),
    ]
    assert cells == [
        ["1", "3.0e-09", "2.5e-08", "5.0e-07", "0.8000", "0.8000", "0.8001"],
        ["10", "0.0e+00", "0.0e+00", "1.0e-06", "0.8500", "0.8500", "0.8500"],
    ]


def test_figures_have_names() -> None:
    """A run shows each figure under a name of its own."""
    assert Row(1, (1.0, 2.0), (3.0, 4.0), (5.0, 6.0, 7.0), 8.0).named() == {
        "exact_weight_difference": 1.0,
        "scratch_weight_difference": 2.0,
        "exact_loss_difference": 3.0,
        "scratch_loss_difference": 4.0,
        "exact_accuracy": 5.0,
        "scratch_accuracy": 6.0,
        "library_accuracy": 7.0,
        "grid_bound": 8.0,
    }


def idx_file(name: str, offset: int) -> npt.NDArray[np.uint8]:
    """Return the values of an official file behind its header."""
    return np.frombuffer(gzip.decompress((REAL_DATA / name).read_bytes()), np.uint8, offset=offset).copy()


@pytest.mark.real_data
@pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"the official files are not in {REAL_DATA}")
def test_by_hand_equals_the_library_on_fashion_mnist() -> None:
    """In float32 on the real data the test accuracies agree within 0.001 after each of two epochs, in the bands."""
    training, test = (
        (
            torch.from_numpy(idx_file(f"{part}-images-idx3-ubyte.gz", 16)).view(-1, 28, 28),
            torch.from_numpy(idx_file(f"{part}-labels-idx1-ubyte.gz", 8)),
        )
        for part in ("train", "t10k")
    )
    rows = compare(training, test, batch_size=256, epochs=2, dtype=torch.float32)
    for row in rows:
        assert all(abs(one - other) <= 0.001 for one, other in itertools.combinations(row.accuracies, 2))
        # 470 steps of float32 roundings, 6e-8 each, on weights of about 0.1; the grids of exact sums are finer.
        assert max(row.weight_differences) < 1e-4
    # Between a bad first epoch of the book's recipe and the leak's bound.
    assert all(0.75 < accuracy < 0.86 for accuracy in rows[-1].accuracies)
