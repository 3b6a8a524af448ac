"""parity.py: the hand-coded implementations and torch's own, side by side, over the options, on the real data."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from softmax_regression.mathematics import parity
from softmax_regression.mathematics.batches import EvaluationBatches, Minibatches
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
    names: tuple[str, str] = ("scratch", "library"),
    **changes: Any,
) -> list[Row]:
    """Compare two implementations on byte images of 10 classes, with the book's settings unless changed."""
    return parity.compare(
        ModelParams(implementation="textbook", init_std=0.01, bias=bias),
        OptimizerParams(**(BOOK | changes)),
        Minibatches(*training, batch_size=batch_size, seed=0, scale=255, dtype=dtype),
        EvaluationBatches(*test, batch_size=1024, scale=255, dtype=dtype),
        num_classes=10,
        epochs=epochs,
        seed=0,
        names=names,
    )


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
    """Over four epochs with a short last batch, weights and losses agree to 1e-10, and the accuracies are equal."""
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
        # float64 rounds at 1e-16; 20 steps do not amplify that a millionfold.
        assert row.weight_difference < 1e-10
        assert row.loss_difference < 1e-10
        assert row.first_accuracy == row.second_accuracy


@pytest.mark.parametrize("names", [("scratch", "textbook"), ("textbook", "library")])
@pytest.mark.parametrize("bias", [True, False])
def test_every_pair_agrees(names: tuple[str, str], bias: bool) -> None:
    """The textbook form takes the same path, with a bias and without."""
    rows = compare(small_data(1), small_data(2), batch_size=16, epochs=2, dtype=torch.float64, bias=bias, names=names)
    assert rows[-1].weight_difference < 1e-10


def test_a_difference_shows() -> None:
    """At a rate at which the textbook form overflows in float32, it differs from the stable one."""
    pair = ("scratch", "textbook")
    rows = compare(
        small_data(1), small_data(2), batch_size=16, epochs=2, dtype=torch.float32, names=pair, learning_rate=1e3
    )
    assert not rows[-1].weight_difference < 1e-10


def test_the_schedule_sets_the_rate() -> None:
    """With a rate that all but vanishes after the first epoch the accuracy stays; with a constant one it moves."""
    accuracies = [
        {
            row.first_accuracy
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
    rows = [Row(1, 2.5e-8, 1e-9, 0.8, 0.8001), Row(10, 0.0, 0.0, 0.85, 0.85)]
    header, cells = parity.table_cells(rows, ("scratch", "textbook"))
    assert header == ["epoch", "weight difference", "loss difference", "accuracy scratch", "accuracy textbook"]
    assert cells == [
        ["1", "2.5e-08", "1.0e-09", "0.8000", "0.8001"],
        ["10", "0.0e+00", "0.0e+00", "0.8500", "0.8500"],
    ]


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
        assert abs(row.first_accuracy - row.second_accuracy) <= 0.001
        # 470 steps of float32 roundings, 6e-8 each, on weights of about 0.1.
        assert row.weight_difference < 1e-4
    # Between a bad first epoch of the book's recipe and the leak's bound.
    assert 0.75 < rows[-1].first_accuracy < 0.86
