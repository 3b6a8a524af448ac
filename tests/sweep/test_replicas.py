"""Many models in one pass train as each would alone; shapes: K classes, D features, R replicas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from small_data import make_examples

from softmax_regression.params import ModelParams, OptimizerParams, TrainParams
from softmax_regression.sweep.replicas import ReplicaOutcome, fit_together
from softmax_regression.training import lightning as training

MODEL = ModelParams(implementation="scratch", init_std=0.01, bias=True)
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
SETTINGS = TrainParams(solver="sgd", epochs=3, batch_size=64, seed=3, resume=False, device="cpu")
TRAINING, HELD_OUT = make_examples(300, (6, 6)), make_examples(100, (6, 6), seed=5)
# float32 rounding over 15 steps of weights below 1: the replicas' gradients are summed in another order than one's own
ROUNDING = 2e-6


def together(
    optimizers: list[dict[str, Any]], models: list[dict[str, Any]] | None = None, **settings: Any
) -> list[ReplicaOutcome]:
    """Train OPTIMIZER and MODEL with these changes, all in one pass."""
    return fit_together(
        TRAINING,
        ("validation", HELD_OUT),
        scale=255,
        num_classes=10,
        models=[MODEL.model_copy(update=changes) for changes in models or [{}] * len(optimizers)],
        optimizers=[OPTIMIZER.model_copy(update=changes) for changes in optimizers],
        settings=SETTINGS.model_copy(update=settings),
        on_epoch=lambda outcomes: None,
    )


def assert_as_alone(
    optimizers: list[dict[str, Any]], models: list[dict[str, Any]] | None = None, **settings: Any
) -> None:
    """Fail unless each replica has the weights and the curve that `training.fit` gives it alone."""
    outcomes = together(optimizers, models, **settings)
    for outcome, optimizer, model in zip(outcomes, optimizers, models or [{}] * len(optimizers), strict=True):
        alone = training.fit(
            TRAINING,
            ("validation", HELD_OUT),
            scale=255,
            num_classes=10,
            model=MODEL.model_copy(update=model),
            optimizer=OPTIMIZER.model_copy(update=optimizer),
            settings=SETTINGS.model_copy(update=settings),
            on_epoch=lambda history: None,
        )
        assert outcome.failure is None
        assert outcome.weight is not None
        np.testing.assert_allclose(outcome.weight, alone.weight, rtol=0, atol=ROUNDING)
        if alone.bias is None:
            assert outcome.bias is None
        else:
            assert outcome.bias is not None
            np.testing.assert_allclose(outcome.bias, alone.bias, rtol=0, atol=ROUNDING)
        assert len(outcome.history) == len(alone.history)
        for mine, theirs in zip(outcome.history, alone.history, strict=True):
            assert dict(mine) == pytest.approx(dict(theirs), abs=1e-5)  # mean losses in nats, of weights so close


@pytest.mark.parametrize(
    "optimizers",
    [
        [{"learning_rate": 0.02}, {"learning_rate": 0.3}],
        [{}, {"momentum": 0.9}, {"momentum": 0.5}],
        [{"momentum": 0.9, "nesterov": True}, {"momentum": 0.5, "nesterov": True, "weight_decay": 0.01}],
        [{}, {"weight_decay": 0.1}, {"weight_decay": 0.01, "momentum": 0.9}],
        [{}, {"schedule": "cosine"}, {"schedule": "step"}, {"schedule": "cosine", "warmup_epochs": 1}],
    ],
    ids=["learning_rate", "momentum", "nesterov", "weight_decay", "schedule"],
)
def test_each_replica_trains_as_alone(optimizers: list[dict[str, Any]]) -> None:
    """Weights and curves are those of the same configuration trained alone, the short last batch included."""
    assert_as_alone(optimizers)


def test_initial_scales_share_a_pass() -> None:
    """Replicas that start at other scales, zero too, train as alone."""
    assert_as_alone([{}, {}, {}], [{"init_std": 0.0}, {"init_std": 0.01}, {"init_std": 0.5}])


def test_a_pass_without_bias() -> None:
    """Models without a bias train as alone, from another seed and in another batch size too."""
    assert_as_alone([{}, {"learning_rate": 0.3}], [{"bias": False}] * 2, seed=8, batch_size=50)


def test_a_replica_that_is_not_finite_leaves_the_others_alone() -> None:
    """It is marked with epoch, batch and rate; the other one has the very bits that it has beside a finite one."""
    good, bad = together([{}, {"learning_rate": 1e38}])
    assert bad.failure is not None
    assert "not finite in epoch 1, batch" in bad.failure
    assert "at learning rate 1e+38: lower optimizer.learning_rate" in bad.failure
    assert bad.history == []
    beside_a_finite_one = together([{}, {}])[0]
    assert good.failure is None
    np.testing.assert_array_equal(good.weight, beside_a_finite_one.weight)
    assert len(good.history) == SETTINGS.epochs


def test_a_pass_that_has_failed_altogether_ends() -> None:
    """When no replica is finite any more, no further epoch is trained."""
    heard: list[int] = []
    outcomes = fit_together(
        TRAINING,
        ("validation", HELD_OUT),
        scale=255,
        num_classes=10,
        models=[MODEL],
        optimizers=[OPTIMIZER.model_copy(update={"learning_rate": 1e38})],
        settings=SETTINGS,
        on_epoch=lambda outcomes: heard.append(1),
    )
    assert outcomes[0].failure is not None
    assert len(heard) == 1


@pytest.mark.parametrize(
    ("models", "optimizers", "what"),
    [
        ([{"bias": True}, {"bias": False}], [{}, {}], "model.bias"),
        ([{}, {}], [{"momentum": 0.5}, {"momentum": 0.5, "nesterov": True}], "optimizer.nesterov"),
        ([{"implementation": "library"}], [{}], "model.implementation"),
    ],
)
def test_what_cannot_share_a_pass_is_told(
    models: list[dict[str, Any]], optimizers: list[dict[str, Any]], what: str
) -> None:
    """A pass of models that cannot be stacked is a ValueError that names the key."""
    with pytest.raises(ValueError, match=f"{what}.* cannot share a pass"):
        together(optimizers, models)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told() -> None:
    """train.device cuda without a GPU is a RuntimeError that says what to set."""
    with pytest.raises(RuntimeError, match=r"set train\.device: cpu"):
        together([{}], device="cuda")
