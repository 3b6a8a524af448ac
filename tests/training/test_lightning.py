"""Training with Lightning: the trajectory is the plain one, resuming is exact, a broken run stops with a clear line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from softmax_regression.artifacts.model import Model
from softmax_regression.artifacts.outcome import History, Outcome
from softmax_regression.data.datasets import Examples
from softmax_regression.mathematics.batches import Minibatches
from softmax_regression.mathematics.implementations import IMPLEMENTATIONS, DrawLayer, Implementation, build
from softmax_regression.mathematics.softmax import SoftmaxRegression
from softmax_regression.params import ModelParams, Params, load_params
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


def assert_same_arrays(found: Outcome, wanted: dict[str, np.ndarray]) -> None:
    """Compare the trained arrays bit by bit, under their names."""
    assert found.tensors.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(found.tensors[name], array, strict=True)


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
    assert_same_arrays(trained(params), {name: tensor.numpy() for name, tensor in plain.tensors().items()})


def test_the_three_implementations_agree() -> None:
    """By hand, as the textbook has it, and torch's own end at the same weights."""
    outcomes = [trained(changed(model__implementation=name)) for name in ("scratch", "textbook", "library")]
    for other in outcomes[1:]:
        # float32, 24 steps of size 0.1 with gradients near 1: a few units in the seventh digit
        np.testing.assert_allclose(outcomes[0].tensors["weight"], other.tensors["weight"], atol=1e-6)
        np.testing.assert_allclose(outcomes[0].tensors["bias"], other.tensors["bias"], atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"optimizer__momentum": 0.9, "optimizer__schedule": "cosine"}])
def test_a_killed_training_that_is_resumed_ends_at_the_same_bits(tmp_path: Path, options: dict[str, Any]) -> None:
    """Stopped after any epoch and taken up again: weights, history and snapshots equal those without the stop."""
    params = changed(optimizer__warmup_epochs=1, **options)
    whole = trained(params)

    def die(history: History) -> None:
        if history.last.epoch == 3:
            raise OSError("killed")

    with pytest.raises(OSError, match="killed"):
        trained(params, checkpoint=tmp_path, on_epoch=die)
    assert (tmp_path / CHECKPOINT).is_file()
    seen: list[int] = []
    resumed = trained(params, checkpoint=tmp_path, on_epoch=lambda history: seen.append(len(history.epochs)))
    assert seen == [3, 4]
    assert_same_arrays(resumed, dict(whole.tensors))
    assert resumed.history == whole.history
    assert resumed.snapshots.keys() == whole.snapshots.keys()
    for epoch, weight in whole.snapshots.items():
        np.testing.assert_array_equal(resumed.snapshots[epoch], weight)


def test_a_training_that_must_not_resume_starts_anew(tmp_path: Path) -> None:
    """With train.resume false a checkpoint that lies there is not read."""
    (tmp_path / CHECKPOINT).write_bytes(b"no checkpoint")
    outcome = trained(changed(train__resume=False), checkpoint=tmp_path)
    assert [row.epoch for row in outcome.history.epochs] == [1, 2, 3, 4]


def test_a_damaged_checkpoint_is_reported_and_the_training_starts_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checkpoint that cannot be read costs the epochs before the kill, not the training."""
    (tmp_path / CHECKPOINT).write_bytes(b"no checkpoint")
    outcome = trained(changed(), checkpoint=tmp_path)
    assert "the checkpoint cannot be read" in capsys.readouterr().err
    assert_same_arrays(outcome, dict(trained(changed()).tensors))


@pytest.mark.parametrize("held_out", ["test", "validation"])
def test_the_history_says_what_was_measured(held_out: Any) -> None:
    """Which examples were held out is passed on as it was given, during the training and after it."""
    params = changed(train__epochs=1)
    seen: list[History] = []
    outcome = fit(
        TRAIN,
        (held_out, TEST),
        scale=255,
        num_classes=CLASSES,
        model=params.model,
        optimizer=params.optimizer,
        settings=params.train,
        on_epoch=seen.append,
    )
    assert outcome.history.held_out == held_out
    assert seen == [outcome.history]


def test_an_overflow_stops_the_run_and_names_epoch_batch_and_remedy() -> None:
    """The textbook form at a huge rate overflows; the message says where and what to change."""
    params = changed(model__implementation="textbook", optimizer__learning_rate=5000.0)
    with pytest.raises(RuntimeError, match=r"not finite in epoch 1, batch [23456].*model\.implementation: scratch"):
        trained(params)


def test_the_history_weighs_every_example_equally() -> None:
    """With a rate of nearly zero the epoch's figures are those of all 90 examples at the initial weights."""
    params = changed(optimizer__learning_rate=1e-12)
    start = build(params.model, 16, CLASSES, seed=params.train.seed).tensors()["weight"].numpy()
    logits = TRAIN.images.reshape(90, -1).astype(np.float64) / 255 @ start.T
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(90), TRAIN.labels]
    for row in trained(params).history.epochs:
        assert row.train_loss == pytest.approx(losses.mean(), abs=1e-6)  # float32 logits
        assert row.train_accuracy == pytest.approx(np.mean(logits.argmax(axis=1) == TRAIN.labels), abs=1e-12)


def test_no_gpu_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a GPU is asked for and there is none, the message says what to set."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match=r"set train\.device: cpu"):
        trained(changed(train__device="cuda"))


def test_auto_takes_the_cpu_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` trains on the CPU, with the same result as `cpu`."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert_same_arrays(trained(changed(train__device="auto")), dict(trained(changed()).tensors))


class Perceptron(Implementation):
    """A model with one hidden layer of six units, as a newcomer adds it."""

    def __init__(self, settings: ModelParams, num_features: int, num_classes: int, draw: DrawLayer) -> None:
        hidden, last = SoftmaxRegression(*draw(num_features, 6)), draw(6, num_classes)

        class Network(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.hidden = nn.ModuleList([hidden])
                self.weight, self.bias = (nn.Parameter(array) for array in last if array is not None)

            def forward(self, features: torch.Tensor) -> torch.Tensor:
                hidden: torch.Tensor = self.hidden[0](features).relu()
                return hidden @ self.weight.T + self.bias

        self.model = Network()


def test_the_arrays_of_another_model_are_those_that_answer_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model with a hidden layer trains in the same loop, and `Model` gives from its arrays what was measured."""
    monkeypatch.setitem(IMPLEMENTATIONS, "scratch", Perceptron)
    outcome = trained(changed(model__init_std=0.5))
    assert outcome.tensors.keys() == {"hidden.0.weight", "hidden.0.bias", "weight", "bias"}
    answers = Model(outcome.tensors, "small", ("a", "b", "c"), (4, 4), 255.0).probabilities(TEST.images)
    losses = -np.log(answers[np.arange(len(TEST)), TEST.labels])
    assert losses.mean() == pytest.approx(outcome.history.last.held_out_loss, abs=1e-6)  # float32 logits
    np.testing.assert_array_equal(outcome.snapshots[4], outcome.tensors["weight"])
