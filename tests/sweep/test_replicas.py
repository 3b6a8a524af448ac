"""Many models in one pass have the bits that each has alone; shapes: B batch, K classes, D features, R replicas."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from small_data import make_examples

from softmax_regression.artifacts.outcome import Outcome
from softmax_regression.params import ModelParams, OptimizerParams, TrainParams
from softmax_regression.sweep import replicas
from softmax_regression.sweep.replicas import ReplicaOutcome, fit_together
from softmax_regression.training import lightning as training

MODEL = ModelParams(implementation="exact", init_std=0.01, bias=True)
OPTIMIZER = OptimizerParams(
    learning_rate=0.1,
    momentum=0.0,
    nesterov=False,
    weight_decay=0.0,
    schedule="constant",
    step_epochs=1,
    step_factor=0.5,
    warmup_epochs=0,
)
# 300 examples in batches of 64: the last batch has 44
SETTINGS = TrainParams(solver="sgd", epochs=3, batch_size=64, seed=3, resume=False, device="cpu", processes=1)
TRAINING, HELD_OUT = make_examples(300, (6, 6)), make_examples(100, (6, 6), seed=5)
Changes = dict[str, Any]
TOO_FAST = {"learning_rate": 1e38}
MIXED: list[Changes] = [
    {"learning_rate": 0.3, "schedule": "cosine"},
    {"momentum": 0.9, "weight_decay": 0.001, "schedule": "step"},
    {"warmup_epochs": 2, "weight_decay": 0.1},
    {"momentum": 0.5, "schedule": "cosine", "warmup_epochs": 1},
    {},
]


def together(
    optimizers: Sequence[Changes],
    models: Sequence[Changes] = (),
    on_epoch: Callable[[Sequence[ReplicaOutcome]], None] = lambda outcomes: None,
    rungs: Sequence[int] = (),
    **settings: Any,
) -> list[ReplicaOutcome]:
    """Train OPTIMIZER and MODEL with these changes, all in one pass."""
    return fit_together(
        TRAINING,
        HELD_OUT,
        scale=255,
        num_classes=10,
        models=[MODEL.model_copy(update=changes) for changes in models or [{}] * len(optimizers)],
        optimizers=[OPTIMIZER.model_copy(update=changes) for changes in optimizers],
        settings=SETTINGS.model_copy(update=settings),
        on_epoch=on_epoch,
        rungs=rungs,
    )


def alone(optimizer: Changes, model: Changes, **settings: Any) -> Outcome:
    """Train OPTIMIZER and MODEL with these changes as the train stage does."""
    return training.fit(
        TRAINING,
        ("validation", HELD_OUT),
        scale=255,
        num_classes=10,
        model=MODEL.model_copy(update=model),
        optimizer=OPTIMIZER.model_copy(update=optimizer),
        settings=SETTINGS.model_copy(update=settings),
        on_epoch=lambda history: None,
    )


def assert_same_arrays(mine: Mapping[Any, Any], theirs: Mapping[Any, Any]) -> None:
    """Fail unless both hold the same names and, bit for bit, the same arrays."""
    assert list(mine) == list(theirs)
    for name, array in theirs.items():
        assert (mine[name].dtype, mine[name].shape) == (array.dtype, array.shape)
        assert mine[name].tobytes() == array.tobytes(), name


def assert_equal(outcome: ReplicaOutcome, own: Outcome) -> None:
    """Fail unless a replica has the bits of its own training: arrays, snapshots, history."""
    assert outcome.failure is None
    assert_same_arrays(outcome.tensors, own.tensors)
    assert_same_arrays(outcome.snapshots, own.snapshots)
    assert tuple(outcome.epochs) == own.history.epochs


def assert_as_alone(optimizers: Sequence[Changes], models: Sequence[Changes] = (), **settings: Any) -> None:
    """Fail unless each replica of a pass has the bits that `lightning.fit` gives it alone."""
    outcomes = together(optimizers, models, **settings)
    for outcome, optimizer, model in zip(outcomes, optimizers, models or [{}] * len(optimizers), strict=True):
        assert_equal(outcome, alone(optimizer, model, **settings))


@pytest.mark.parametrize(
    "optimizers",
    [
        [{"learning_rate": 0.02}, {"learning_rate": 0.3}],
        [{"momentum": 0.9}, {"momentum": 0.5}],
        [{}, {"momentum": 0.9}, {"momentum": 0.5}],
        [{"momentum": 0.9, "nesterov": True}, {"momentum": 0.5, "nesterov": True, "weight_decay": 0.01}],
        [{"weight_decay": 0.1}, {"weight_decay": 0.01}],
        [{}, {"weight_decay": 0.1}, {"weight_decay": 0.01, "momentum": 0.9}],
        [{}, {"schedule": "cosine"}, {"schedule": "step"}, {"schedule": "cosine", "warmup_epochs": 1}],
        MIXED,
    ],
    ids=["rate", "momentum", "some momentum", "nesterov", "decay", "some decay", "schedule", "all of them"],
)
def test_each_replica_has_the_bits_of_its_own_training(optimizers: list[Changes]) -> None:
    """Whatever the others of its pass are, the short last batch included."""
    assert_as_alone(optimizers)


def test_initial_scales_share_a_pass() -> None:
    """Replicas that start at other scales, zero too, train as alone, some with momentum."""
    momenta = [{}, {"momentum": 0.9}, {}, {"momentum": 0.9}]
    assert_as_alone(momenta, [{"init_std": 0.0}, {"init_std": 0.0}, {"init_std": 0.01}, {"init_std": 0.5}])


def test_a_pass_without_bias() -> None:
    """Models without a bias train as alone, from another seed and in another batch size too."""
    assert_as_alone([{}, {"learning_rate": 0.3, "momentum": 0.9}], [{"bias": False}] * 2, seed=8, batch_size=50)


def test_an_epoch_that_is_one_batch() -> None:
    """A batch larger than the data is all of it."""
    assert_as_alone([{}, {"momentum": 0.9}], batch_size=1000)


@pytest.mark.parametrize("fewest", [1, 2, 8])
def test_threads_change_nothing(fewest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stacks of 2, 2 and 1 replicas in three threads, and one stack of all, give the same; torch keeps its threads."""
    monkeypatch.setattr(replicas, "FEWEST", fewest)
    torch.set_num_threads(3)
    try:
        outcomes = together(MIXED)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)  # as `lightning.fit` sets it
    for outcome, optimizer in zip(outcomes, MIXED, strict=True):
        assert_equal(outcome, alone(optimizer, {}))


@pytest.mark.parametrize("fewest", [2, 8])
def test_who_stays_has_the_bits_of_its_own_training(fewest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of five, three go on after the first rung and two after the second; in one stack or in several the same two."""
    monkeypatch.setattr(replicas, "FEWEST", fewest)
    torch.set_num_threads(3)
    try:
        outcomes = together(MIXED, rungs=(1, 2), epochs=4)
    finally:
        torch.set_num_threads(1)  # as `lightning.fit` sets it
    assert sorted(len(one.epochs) for one in outcomes) == [1, 1, 2, 4, 4]
    for outcome, optimizer in zip(outcomes, MIXED, strict=True):
        own = alone(optimizer, {}, epochs=4)
        assert tuple(outcome.epochs) == own.history.epochs[: len(outcome.epochs)]
        if outcome.pruned:
            assert outcome.tensors == {}
            assert outcome.answers is None
        else:
            assert_equal(outcome, own)
            assert outcome.answers is not None


def test_the_worse_half_makes_room() -> None:
    """By validation accuracy at the rung, which is said with the place; who has failed is counted with neither half."""
    outcomes = together([*MIXED, TOO_FAST], rungs=(2,))
    assert [one.failure is not None for one in outcomes] == [False] * 5 + [True]
    at_rung = [one.epochs[1].held_out_accuracy for one in outcomes[:5]]
    pruned = [one.pruned is not None for one in outcomes[:5]]
    assert sum(pruned) == 2
    assert max(a for a, out in zip(at_rung, pruned, strict=True) if out) <= min(
        a for a, out in zip(at_rung, pruned, strict=True) if not out
    )
    worst = min(outcomes[:5], key=lambda one: (one.epochs[1].held_out_accuracy, -one.epochs[1].held_out_loss))
    assert worst.pruned == f"pruned after epoch 2 of 3: accuracy {min(at_rung):.4f}, place 5 of 5"
    (alone_in_its_pass,) = together([{}], rungs=(1, 2))
    assert alone_in_its_pass.pruned is None


@pytest.mark.parametrize(
    ("bad", "where"),
    [
        (TOO_FAST, "in epoch 1, batch 2, at learning rate 1e+38"),
        ({"learning_rate": 63}, "in epoch 2, batch 3, at learning rate 63"),
        ({"learning_rate": 17.8, "momentum": 0.9}, "in epoch 2, after its last batch, at learning rate 17.8"),
    ],
    ids=["at once", "later", "in the last step of an epoch"],
)
def test_a_replica_that_leaves_its_range_leaves_the_others_alone(bad: Changes, where: str) -> None:
    """It is marked in the words of its own training; the others keep the bits that they have alone."""
    first, failed, last = together([{"momentum": 0.9}, bad, {}])
    with pytest.raises(RuntimeError, match=re.escape(where)) as error:
        alone(bad, {})
    assert failed.failure == str(error.value)
    assert failed.tensors == {}
    assert len(failed.epochs) == (1 if "epoch 2" in where else 0)
    assert_equal(first, alone({"momentum": 0.9}, {}))
    assert_equal(last, alone({}, {}))


def test_a_pass_that_has_failed_altogether_ends() -> None:
    """When no replica is finite any more, no further epoch is trained."""
    calls: list[int] = []
    outcomes = together([TOO_FAST], on_epoch=lambda outcomes: calls.append(1))
    assert outcomes[0].failure is not None
    assert "epoch 1, batch 2, at learning rate 1e+38: lower optimizer.learning_rate" in outcomes[0].failure
    assert outcomes[0].epochs == []
    assert len(calls) == 1


def test_histories_grow_by_a_row_an_epoch() -> None:
    """`on_epoch` sees them after every epoch."""
    seen: list[list[int]] = []
    together([{}, {}], on_epoch=lambda outcomes: seen.append([len(outcome.epochs) for outcome in outcomes]))
    assert seen == [[1, 1], [2, 2], [3, 3]]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told() -> None:
    """train.device cuda without a GPU is a RuntimeError that says what to set."""
    with pytest.raises(RuntimeError, match=r"set train\.device: cpu"):
        together([{}], device="cuda")


def test_arrays_are_float64() -> None:
    """The arrays of an outcome are those that the train stage writes."""
    (outcome,) = together([{}])
    assert {name: array.dtype for name, array in outcome.tensors.items()} == dict.fromkeys(
        ["weight", "bias"], np.float64
    )
