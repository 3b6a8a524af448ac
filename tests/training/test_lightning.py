"""Training with Lightning: the trajectory is the plain one, resuming is exact, a broken run stops with a clear line."""

import itertools
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mathematics.digest_of_training import digest, digests
from safetensors.numpy import load_file
from small_data import make_examples
from torch import nn

from softmax_regression.artifacts.model import Model, cross_entropy
from softmax_regression.artifacts.outcome import History, Outcome
from softmax_regression.artifacts.overflow import OverflowedError
from softmax_regression.data.datasets import Examples
from softmax_regression.mathematics.batches import Minibatches
from softmax_regression.mathematics.implementations import (
    IMPLEMENTATIONS,
    DrawLayer,
    Implementation,
    Measured,
    build,
)
from softmax_regression.mathematics.softmax import RunningSums, SoftmaxRegression
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


def stored_batches(params: Params) -> Minibatches:
    """Return the minibatches that the training draws."""
    tensors = torch.from_numpy(TRAIN.images), torch.from_numpy(TRAIN.labels)
    return Minibatches(*tensors, batch_size=params.train.batch_size, seed=params.train.seed, scale=255)


OURS = pytest.mark.parametrize("implementation", ["exact", "scratch"])


@OURS
def test_the_trajectory_is_that_of_a_bare_loop(implementation: str) -> None:
    """Lightning, chunks and callbacks change nothing: a loop of step calls gives the same weights, bit for bit."""
    params = changed(optimizer__momentum=0.9, model__implementation=implementation)
    batches = stored_batches(params)
    plain = build(params.model, batches.inputs, CLASSES, seed=params.train.seed)
    optimizer = plain.build_optimizer(params.optimizer)
    for epoch in range(4):
        batches.set_epoch(epoch)
        for chunk in batches:
            for stored, labels in chunk:
                plain.step(optimizer, stored, labels)
    assert_same_arrays(trained(params), {name: tensor.numpy() for name, tensor in plain.tensors().items()})


def test_the_four_implementations_agree() -> None:
    """With exact sums, by hand, as the textbook has it, and torch's own end at the same weights."""
    outcomes = [trained(changed(model__implementation=name)) for name in ("exact", "scratch", "textbook", "library")]
    for other in outcomes[1:]:
        # float32, 24 steps of size 0.1 with gradients near 1: a few units in the seventh digit
        np.testing.assert_allclose(outcomes[0].tensors["weight"], other.tensors["weight"], atol=1e-6)
        np.testing.assert_allclose(outcomes[0].tensors["bias"], other.tensors["bias"], atol=1e-6)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("options", [{}, {"optimizer__momentum": 0.9, "optimizer__schedule": "cosine"}])
def test_a_killed_training_that_is_resumed_ends_at_the_same_bits(
    tmp_path: Path, options: dict[str, Any], implementation: str
) -> None:
    """Stopped when any epoch is told, and taken up again: no told epoch is trained again, and all is as without it."""
    params = changed(optimizer__warmup_epochs=1, model__implementation=implementation, **options)
    whole = trained(params)
    for last in (1, 2, 3):

        def die(history: History, last: int = last) -> None:
            if history.last.epoch == last:
                raise OSError("killed")

        folder = tmp_path / str(last)
        with pytest.raises(OSError, match="killed"):
            trained(params, checkpoint=folder, on_epoch=die)
        assert [path.name for path in folder.iterdir()] == [CHECKPOINT]
        seen: list[int] = []
        resumed = trained(
            params, checkpoint=folder, on_epoch=lambda history, seen=seen: seen.append(len(history.epochs))
        )
        assert seen == list(range(last + 1, 5))
        assert_same_arrays(resumed, dict(whole.tensors))
        assert resumed.history == whole.history
        assert resumed.snapshots.keys() == whole.snapshots.keys()
        for epoch, weight in whole.snapshots.items():
            np.testing.assert_array_equal(resumed.snapshots[epoch], weight)


def test_a_checkpoint_is_no_pickle_and_takes_no_room_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors are there as safetensors; nothing is written in the folder for temporary files, which may be full."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    trained(changed(optimizer__momentum=0.9), checkpoint=tmp_path)
    names = list(load_file(tmp_path / CHECKPOINT))
    assert len(names) == 2 + 2 + 5  # weight and bias, their velocities, a snapshot of each epoch and of the start


def test_a_training_that_must_not_resume_starts_anew(tmp_path: Path) -> None:
    """With train.resume false a checkpoint that lies there is not read."""
    (tmp_path / CHECKPOINT).write_bytes(b"no checkpoint")
    outcome = trained(changed(train__resume=False), checkpoint=tmp_path)
    assert [row.epoch for row in outcome.history.epochs] == [1, 2, 3, 4]


@pytest.mark.parametrize("damage", ["no checkpoint", "cut", "of another version"])
def test_a_damaged_checkpoint_is_reported_and_the_training_starts_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    """A checkpoint that cannot be read is one line, and costs the epochs before the kill, not the training."""
    path = tmp_path / CHECKPOINT
    if damage == "of another version":  # which kept it in PyTorch's own format
        torch.save({"epochs": [], "snapshots": {0: torch.zeros(3, 16)}}, path)
    else:
        trained(changed(), checkpoint=tmp_path)
        path.write_bytes(path.read_bytes()[:1000] if damage == "cut" else b"no checkpoint")
    outcome = trained(changed(), checkpoint=tmp_path)
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"the checkpoint cannot be read \(it is damaged, or of another version: .*\): .*anew", line)
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


@pytest.mark.parametrize("size", [1, 2, 64])
@pytest.mark.parametrize(
    ("rate", "first", "what", "where"),
    [
        (75.0, 10, "a logit is ", "epoch 2, batch 4"),
        (65.0, 8, r"an example's label has .*, and 1 / p, .* overflows", "epoch 2, batch 3"),
        (200.0, 3, r"an example's label has .*, which float32 rounds to 0", "epoch 1, batch 3"),
    ],
)
def test_an_overflow_stops_the_run_and_says_what_led_to_it(
    monkeypatch: pytest.MonkeyPatch, rate: float, first: int, what: str, where: str, size: int
) -> None:
    """The textbook form at a huge rate: the message says what, where and what to change, the figures end there."""
    monkeypatch.setattr("softmax_regression.mathematics.batches.MINIBATCHES_PER_CHUNK", size)
    params = changed(model__implementation="textbook", optimizer__learning_rate=rate, optimizer__warmup_epochs=1)
    expected = (
        rf"^in step {first} {what}.*, so the loss is not finite in {where}, at learning rate [\d.]+: "
        r"lower optimizer\.learning_rate, or set model\.implementation: scratch$"
    )
    with pytest.raises(OverflowedError, match=expected) as caught:
        trained(params)
    overflow = caught.value.overflow
    epoch, batch = map(int, re.findall(r"\d", where))
    assert overflow.steps.tolist() == list(range(1, 6 * (epoch - 1) + batch + 1))
    assert np.isfinite(overflow.figures[:first]).all()
    assert overflow.column("mean_loss")[0] == pytest.approx(np.log(3), abs=0.05)  # the first weights are near 0


def test_an_overflow_of_what_is_not_trained_on_stops_the_run() -> None:
    """Dark images to train on, bright ones held out: these overflow first, after the epoch's last batch."""
    params = changed(model__implementation="textbook", optimizer__learning_rate=90.0)
    expected = r"^a sum, or an example that is not trained on, .* not finite in epoch 1, after its last batch, "
    with pytest.raises(OverflowedError, match=expected) as caught:
        fit(
            Examples(TRAIN.images // 50, TRAIN.labels),
            ("test", Examples(255 - TEST.images // 50, TEST.labels)),
            scale=255,
            num_classes=CLASSES,
            model=params.model,
            optimizer=params.optimizer,
            settings=params.train,
            on_epoch=lambda history: None,
        )
    assert caught.value.overflow.steps.tolist() == [1, 2, 3, 4, 5, 6]


def test_a_weight_out_of_range_stops_an_exact_run_and_says_what_to_change() -> None:
    """Where sums are no longer exact the message says so, where it was, and what to change."""
    params = changed(optimizer__learning_rate=5000.0)
    assert params.model.implementation == "exact"
    expected = (
        r"^a weight times its largest feature is no longer below 32, so sums are not exact in epoch 1, batch [23456], "
        r"at learning rate 5000: lower optimizer\.learning_rate, .* or set model\.implementation: scratch$"
    )
    with pytest.raises(RuntimeError, match=expected):
        trained(params)


@OURS
@pytest.mark.parametrize("size", [1, 2, 64])
def test_the_batch_whose_loss_is_not_finite_is_named(
    monkeypatch: pytest.MonkeyPatch, implementation: str, size: int
) -> None:
    """The message names the first bad batch, wherever in a chunk it is."""
    kind, calls = IMPLEMENTATIONS[implementation], itertools.count(1)
    step = kind.step

    def fail_at_5(self: Implementation, optimizer: Any, stored: torch.Tensor, labels: torch.Tensor) -> Measured:
        if next(calls) == 5:
            self.tensors()["weight"].fill_(torch.nan)
        return step(self, optimizer, stored, labels)

    monkeypatch.setattr(kind, "step", fail_at_5)
    monkeypatch.setattr("softmax_regression.mathematics.batches.MINIBATCHES_PER_CHUNK", size)
    with pytest.raises(RuntimeError, match="in epoch 1, batch 5, at"):
        trained(changed(model__implementation=implementation))


@OURS
def test_the_history_weighs_every_example_equally(implementation: str) -> None:
    """With a rate of nearly zero the epoch's figures are those of all 90 examples at the initial weights."""
    params = changed(optimizer__learning_rate=1e-12, model__implementation=implementation)
    inputs = stored_batches(params).inputs
    start = build(params.model, inputs, CLASSES, seed=params.train.seed).tensors()["weight"].numpy()
    logits = TRAIN.images.reshape(90, -1).astype(np.float64) / 255 @ start.T
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(90), TRAIN.labels]
    # Logits in float32; exact ones are off by 16 x 255 x 2^-34 = 2.4e-7 at most, and a loss by twice that.
    tolerance = 5e-7 if implementation == "exact" else 1e-6
    for row in trained(params).history.epochs:
        assert row.train_loss == pytest.approx(losses.mean(), abs=tolerance)
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

    def build_model(self, settings: ModelParams, num_classes: int, draw: DrawLayer) -> nn.Module:
        """Draw the hidden layer's arrays, then the last one's."""
        hidden, last = SoftmaxRegression(*draw(self.inputs.num_features, 6)), draw(6, num_classes)

        class Network(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.hidden = nn.ModuleList([hidden])
                self.weight, self.bias = (nn.Parameter(array) for array in last if array is not None)

            def forward(self, features: torch.Tensor) -> torch.Tensor:
                hidden: torch.Tensor = self.hidden[0](features).relu()
                return hidden @ self.weight.T + self.bias

        return Network()


def test_the_arrays_of_another_model_are_those_that_answer_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model with a hidden layer trains in the same loop, and `Model` gives from its arrays what was measured."""
    monkeypatch.setitem(IMPLEMENTATIONS, "scratch", Perceptron)
    outcome = trained(changed(model__init_std=0.5, model__implementation="scratch"))
    assert outcome.tensors.keys() == {"hidden.0.weight", "hidden.0.bias", "weight", "bias"}
    answers = Model(outcome.tensors, "small", ("a", "b", "c"), (4, 4), 255.0).probabilities(TEST.images)
    losses = -np.log(answers[np.arange(len(TEST)), TEST.labels])
    assert losses.mean() == pytest.approx(outcome.history.last.held_out_loss, abs=1e-6)  # float32 logits
    np.testing.assert_array_equal(outcome.snapshots[4], outcome.tensors["weight"])


def test_the_arrays_of_exact_training_give_what_was_measured() -> None:
    """`Model` gives the very losses that the training measured last, and keeps the weights in float64."""
    outcome = trained(changed())
    assert all(array.dtype == np.float64 for array in outcome.tensors.values())
    assert outcome.snapshots[4].tolist() == outcome.tensors["weight"].astype(np.float32).tolist()
    logits = Model(outcome.tensors, "small", ("a", "b", "c"), (4, 4), 255.0).logits(TEST.images)
    sums = RunningSums()
    sums.add(torch.from_numpy(cross_entropy(logits, TEST.labels.astype(np.int64))), torch.zeros(len(TEST)))
    assert sums.mean_loss.item() == outcome.history.last.held_out_loss


def test_packed_features_train() -> None:
    """Real-valued features, packed with a scale each, train with exact sums and by hand to the same weights."""
    generator = np.random.default_rng(0)
    labels = generator.integers(CLASSES, size=90).astype(np.uint8)
    scale = (2.0**13, 2.0**14, 2.0**15)
    stored = np.rint((np.eye(CLASSES)[labels] + generator.normal(size=(90, 3)) / 4) * 2.0**13).astype(np.int16)
    packed = Examples(stored, labels)
    arrays = []
    for name in ("exact", "scratch"):
        params = changed(model__implementation=name)
        outcome = fit(
            packed,
            ("test", packed),
            scale=scale,
            num_classes=CLASSES,
            model=params.model,
            optimizer=params.optimizer,
            settings=params.train,
            on_epoch=lambda history: None,
        )
        assert outcome.history.last.held_out_accuracy > 0.8
        arrays.append(outcome.tensors)
    # float32, 24 steps of size 0.1 with gradients near 1: a few units in the seventh digit
    np.testing.assert_allclose(arrays[0]["weight"], arrays[1]["weight"], atol=1e-6)


def test_the_stage_trains_as_the_driver_of_digests_does() -> None:
    """What tests/mathematics pins, and an emulated processor repeats, is what the train stage computes."""
    data = make_examples(700, (14, 14))
    params = changed(train__epochs=3, train__batch_size=256)
    outcome = fit(
        data,
        ("test", data),
        scale=255,
        num_classes=10,
        model=params.model,
        optimizer=params.optimizer,
        settings=params.train,
        on_epoch=lambda history: None,
    )
    *_, last = digests(torch.from_numpy(data.images), torch.from_numpy(data.labels), 3)
    arrays = (torch.from_numpy(outcome.tensors[name]) for name in ("weight", "bias"))
    assert digest(*arrays) == last.split()[0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
@pytest.mark.parametrize("options", [{}, {"optimizer__momentum": 0.9, "optimizer__weight_decay": 1e-3}])
def test_a_gpu_has_the_same_bits(options: dict[str, Any]) -> None:
    """Exact sums on a GPU end at the CPU's weights and history, bit for bit."""
    there, here = (trained(changed(train__device=device, **options)) for device in ("cuda", "cpu"))
    assert there.history == here.history
    assert_same_arrays(there, dict(here.tensors))
