"""Many models in one pass train as each would alone; shapes: B batch, K classes, D features, R replicas."""

from dataclasses import astuple
from typing import Any

import numpy as np
import pytest
import torch
from small_data import make_examples
from torch import Tensor

from softmax_regression.mathematics.sgd import SGD, learning_rate_factor
from softmax_regression.mathematics.softmax import (
    RunningSums,
    SoftmaxRegression,
    cross_entropy,
    is_correct,
    loss_and_gradients,
)
from softmax_regression.params import ModelParams, OptimizerParams, TrainParams
from softmax_regression.sweep.replicas import ReplicaOutcome, StackedModels, StackedSGD, fit_together
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
FLOAT64 = 1e-12  # float64 keeps 16 digits; the sums here lose fewer than three of them
CPU = torch.device("cpu")


def draw(*shape: int, seed: int = 0) -> Tensor:
    """Return normal numbers in float64, the same for the same seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def draw_models(count: int, classes: int = 4, *, bias: bool = True) -> list[SoftmaxRegression]:
    """Return different models of 6 features in float64."""
    biases = [draw(classes, seed=seed + 10) if bias else None for seed in range(count)]
    return [SoftmaxRegression(draw(classes, 6, seed=seed), biases[seed]) for seed in range(count)]


def stack(models: list[SoftmaxRegression]) -> StackedModels:
    """Return the models side by side."""
    return StackedModels([model.state_dict() for model in models], CPU)


def draw_batch(examples: int, classes: int = 4, seed: int = 20) -> tuple[Tensor, Tensor]:
    """Return features (B, 6) and labels (B,)."""
    labels = torch.randint(classes, (examples,), generator=torch.Generator().manual_seed(seed + 1))
    return draw(examples, 6, seed=seed), labels


def assert_close(actual: Tensor, wanted: Tensor) -> None:
    """Fail unless both agree to float64's precision."""
    torch.testing.assert_close(actual.detach(), wanted.detach(), rtol=FLOAT64, atol=FLOAT64)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize(("examples", "classes"), [(7, 10), (1, 10), (5, 2), (0, 4)])
def test_closed_form_equals_autograd(examples: int, classes: int, replicas: int, bias: bool) -> None:
    """Losses, gradients and hits of a stack equal those of its logits with cross-entropy and autograd."""
    models = stack(draw_models(replicas, classes, bias=bias))
    features, labels = draw_batch(examples, classes)
    for tensor in models.tensors.values():
        tensor.requires_grad_()
    logits = models.logits(features)
    every_label = labels[:, None].expand(examples, replicas)
    losses = cross_entropy(logits, every_label)
    wanted = torch.autograd.grad(losses.sum(), list(models.tensors.values()))
    with torch.no_grad():
        found, correct, gradients = models.loss_and_gradients(features, labels)
    assert_close(found, losses)
    assert torch.equal(correct, is_correct(logits, every_label))
    assert list(gradients) == (["weight", "bias"] if bias else ["weight"])
    for gradient, theirs in zip(gradients.values(), wanted, strict=True):
        assert_close(gradient, theirs)


def test_replicas_equal_single_models() -> None:
    """Stacked models give, replica by replica, the logits and gradients of each model alone."""
    models = draw_models(3)
    stacked = stack(models)
    features, labels = draw_batch(8)
    losses, correct, gradients = stacked.loss_and_gradients(features, labels)
    for index, model in enumerate(models):
        alone = loss_and_gradients(features, labels, model.weight, model.bias)
        assert alone.bias is not None
        assert_close(stacked.logits(features)[:, index], model(features))
        assert_close(losses[:, index], alone.losses)
        assert torch.equal(correct[:, index], alone.correct)
        assert_close(gradients["weight"][index], alone.weight)
        assert_close(gradients["bias"][index], alone.bias)
        assert torch.equal(stacked.tensors["weight"][index], model.weight)


@pytest.mark.parametrize(
    ("momenta", "decays", "nesterov"),
    [
        ([0.0, 0.5, 0.9], [0.05, 0.0, 0.01], False),
        ([0.0, 0.5, 0.9], [0.05, 0.0, 0.01], True),
        ([0.9, 0.9, 0.9], [0.01, 0.01, 0.01], False),
        ([0.9, 0.9, 0.9], [0.01, 0.01, 0.01], True),
        ([0.0, 0.0, 0.0], [0.01, 0.01, 0.01], False),
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], False),
    ],
)
def test_update_rule_equals_runs_of_their_own(momenta: list[float], decays: list[float], nesterov: bool) -> None:
    """Replicas with a rate, momentum and decay each, shared or not, end as each does alone, under a cosine too."""
    rates, models = [0.1, 0.3, 0.5], draw_models(3)
    settings = [
        OPTIMIZER.model_copy(update={"momentum": momentum, "weight_decay": decay, "nesterov": nesterov})
        for momentum, decay in zip(momenta, decays, strict=True)
    ]
    stacked = stack(models)
    together = StackedSGD(stacked.tensors, settings)
    alone = [
        SGD(model.parameters(), rate, momentum=momentum, weight_decay=decay, nesterov=nesterov and momentum > 0)
        for model, rate, momentum, decay in zip(models, rates, momenta, decays, strict=True)
    ]
    for step in range(15):
        features, labels = draw_batch(7 if step % 3 == 2 else 8, seed=30 + step)
        factor = learning_rate_factor(OPTIMIZER.model_copy(update={"schedule": "cosine"}), step, 3, 5)
        _, _, gradients = stacked.loss_and_gradients(features, labels)
        together.step(gradients, torch.tensor(rates, dtype=torch.float64) * factor, len(labels))
        for model, optimizer, rate in zip(models, alone, rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * factor
            own = loss_and_gradients(features, labels, model.weight, model.bias)
            assert model.bias is not None
            model.weight.grad, model.bias.grad = own.weight, own.bias
            optimizer.step(batch_size=len(labels))
    for index, model in enumerate(models):
        for name, parameter in model.named_parameters():
            assert_close(stacked.tensors[name][index], parameter)


def test_running_sums_of_replicas() -> None:
    """With a replica axis each replica has its own mean."""
    sums = RunningSums()
    sums.add(torch.tensor([[1.0, 2.0], [3.0, 6.0]]), torch.tensor([[True, False], [True, True]]))
    assert sums.mean_loss.tolist() == [2.0, 4.0]
    assert sums.accuracy.tolist() == [1.0, 0.5]


def together(
    optimizers: list[dict[str, Any]], models: list[dict[str, Any]] | None = None, **settings: Any
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
        assert list(outcome.tensors) == list(alone.tensors)
        for name, array in alone.tensors.items():
            np.testing.assert_allclose(outcome.tensors[name], array, rtol=0, atol=ROUNDING)
        assert len(outcome.history) == len(alone.history.epochs)
        for mine, theirs in zip(outcome.history, alone.history.epochs, strict=True):
            assert astuple(mine) == pytest.approx(astuple(theirs), abs=1e-5)  # losses in nats, of weights so close


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
    for name, array in beside_a_finite_one.tensors.items():
        np.testing.assert_array_equal(good.tensors[name], array)
    assert len(good.history) == SETTINGS.epochs


def test_a_pass_that_has_failed_altogether_ends() -> None:
    """When no replica is finite any more, no further epoch is trained."""
    calls: list[int] = []
    outcomes = fit_together(
        TRAINING,
        HELD_OUT,
        scale=255,
        num_classes=10,
        models=[MODEL],
        optimizers=[OPTIMIZER.model_copy(update={"learning_rate": 1e38})],
        settings=SETTINGS,
        on_epoch=lambda outcomes: calls.append(1),
    )
    assert outcomes[0].failure is not None
    assert len(calls) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told() -> None:
    """train.device cuda without a GPU is a RuntimeError that says what to set."""
    with pytest.raises(RuntimeError, match=r"set train\.device: cpu"):
        together([{}], device="cuda")
