"""Training with Lightning: the trajectory is the plain one, resuming is exact, a broken run stops with a clear line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from softmax_regression.artifacts.outcome import Epoch, Outcome
from softmax_regression.data.datasets import Examples
from softmax_regression.mathematics.batches import Minibatches
from softmax_regression.mathematics.implementations import build
from softmax_regression.params import Params, load_params
from softmax_regression.training.lightning import CHECKPOINT, fit

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
CLASSES = 3


def examples(count: int, seed: int) -> Examples:
    """Make `count` 4x4 images whose brightest quarter tells the class, with noise."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(CLASSES, size=count).astype(np.uint8)
    images = generator.integers(0, 120, size=(count, 4, 4)).astype(np.uint8)
    for label in range(CLASSES):
        images[labels == label, label] += 100
    return Examples(images, labels)


TRAIN, TEST = examples(90, seed=1), examples(40, seed=2)


def changed(**values: Any) -> Params:
    """Return small params (4 epochs, batches of 16: the last has 10) with some dotted keys changed (`__` for a dot)."""
    sections: dict[str, Any] = PARAMS.model_dump()
    for key, value in {"train__epochs": 4, "train__batch_size": 16, **values}.items():
        section, name = key.split("__")
        sections[section][name] = value
    return Params.model_validate(sections)


def trained(params: Params, checkpoint: Path | None = None, on_epoch: Any = lambda history: None) -> Outcome:
    """Train on the small images."""
    return fit(
        TRAIN,
        ("test", TEST),
        scale=255,
        num_classes=CLASSES,
        model=params.model,
        optimizer=params.optimizer,
        settings=params.train,
        on_epoch=on_epoch,
        checkpoint=checkpoint,
    )


def test_the_trajectory_is_that_of_a_bare_loop() -> None:
    """Lightning, chunks and callbacks change nothing: a loop of step calls gives the same weights, bit for bit."""
    params = changed(optimizer__momentum=0.9)
    plain = build(params.model, 16, CLASSES, seed=params.train.seed)
    optimizer = plain.build_optimizer(params.optimizer)
    batches = Minibatches(
        torch.from_numpy(TRAIN.images), torch.from_numpy(TRAIN.labels), batch_size=16, seed=params.train.seed, scale=255
    )
    for epoch in range(4):
        batches.set_epoch(epoch)
        for chunk in batches:
            for features, labels in chunk:
                plain.step(optimizer, features, labels)
    outcome = trained(params)
    np.testing.assert_array_equal(outcome.weight, plain.weight.detach().numpy())
    assert plain.bias is not None
    np.testing.assert_array_equal(outcome.bias, plain.bias.detach().numpy())


def test_the_three_implementations_agree() -> None:
    """By hand, as the textbook has it, and torch's own end at the same weights."""
    outcomes = [trained(changed(model__implementation=name)) for name in ("scratch", "textbook", "library")]
    for other in outcomes[1:]:
        # float32, 24 steps of size 0.1 with gradients near 1: a few units in the seventh digit
        np.testing.assert_allclose(outcomes[0].weight, other.weight, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"optimizer__momentum": 0.9, "optimizer__schedule": "cosine"}])
def test_a_killed_training_that_is_resumed_ends_at_the_same_bits(tmp_path: Path, options: dict[str, Any]) -> None:
    """Stopped after any epoch and taken up again: weights, history and snapshots equal those without the stop."""
    params = changed(optimizer__warmup_epochs=1, **options)
    whole = trained(params)

    def die(history: Sequence[Epoch]) -> None:
        if len(history) == 3:
            raise OSError("killed")

    with pytest.raises(OSError, match="killed"):
        trained(params, checkpoint=tmp_path, on_epoch=die)
    assert (tmp_path / CHECKPOINT).is_file()
    heard: list[int] = []
    resumed = trained(params, checkpoint=tmp_path, on_epoch=lambda history: heard.append(len(history)))
    assert heard == [3, 4]
    np.testing.assert_array_equal(resumed.weight, whole.weight)
    assert resumed.bias is not None
    np.testing.assert_array_equal(resumed.bias, whole.bias)
    assert resumed.history == whole.history
    assert resumed.snapshots.keys() == whole.snapshots.keys()
    for epoch, weight in whole.snapshots.items():
        np.testing.assert_array_equal(resumed.snapshots[epoch], weight)


def test_a_training_that_must_not_resume_starts_anew(tmp_path: Path) -> None:
    """With train.resume false a checkpoint that lies there is not read."""
    (tmp_path / CHECKPOINT).write_bytes(b"no checkpoint")
    outcome = trained(changed(train__resume=False), checkpoint=tmp_path)
    assert [row["epoch"] for row in outcome.history] == [1, 2, 3, 4]


def test_an_overflow_stops_the_run_and_names_epoch_batch_and_remedy() -> None:
    """The textbook form at a huge rate overflows; the message says where and what to change."""
    params = changed(model__implementation="textbook", optimizer__learning_rate=5000.0)
    with pytest.raises(RuntimeError, match=r"not finite in epoch 1, batch [23456].*model\.implementation: scratch"):
        trained(params)


def test_the_history_weighs_every_example_equally() -> None:
    """With a rate of nearly zero the epoch's figures are those of all 90 examples at the initial weights."""
    params = changed(optimizer__learning_rate=1e-12)
    start = build(params.model, 16, CLASSES, seed=params.train.seed).weight.detach().numpy()
    logits = TRAIN.images.reshape(90, -1).astype(np.float64) / 255 @ start.T
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(90), TRAIN.labels]
    for row in trained(params).history:
        assert row["train_loss"] == pytest.approx(losses.mean(), abs=1e-6)  # float32 logits
        assert row["train_accuracy"] == pytest.approx(np.mean(logits.argmax(axis=1) == TRAIN.labels), abs=1e-12)


def test_no_gpu_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a GPU is asked for and there is none, the message says what to set."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match=r"set train\.device: cpu"):
        trained(changed(train__device="cuda"))


def test_auto_takes_the_cpu_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` trains on the CPU, with the same result as `cpu`."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    np.testing.assert_array_equal(trained(changed(train__device="auto")).weight, trained(changed()).weight)
