"""sgd.py: numbers by hand, the trajectory of every option against torch.optim.SGD, schedules against torch's own."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import lr_scheduler

from softmax_regression.mathematics.sgd import SGD, Schedule, learning_rate_factor
from softmax_regression.mathematics.softmax import SoftmaxRegression, cross_entropy, loss_and_gradients

# Five epochs of 23 examples in batches of 8, so that each ends with a batch of 7.
EXAMPLES, BATCH, EPOCHS = 23, 8, 5
STEPS = math.ceil(EXAMPLES / BATCH)
RATE = 0.3
SCHEDULE: dict[str, Any] = {
    "steps_per_epoch": STEPS,
    "total_steps": STEPS * EPOCHS,
    "step_epochs": 2,
    "step_factor": 0.5,
    "warmup_epochs": 2,
}


def parameter(value: float, gradient: float) -> Tensor:
    """Return a parameter of one number in float64 with a gradient."""
    result = torch.tensor([value], dtype=torch.float64, requires_grad=True)
    result.grad = torch.tensor([gradient], dtype=torch.float64)
    return result


def draw(*shape: int, seed: int = 0) -> Tensor:
    """Return normal numbers in float64, the same for the same seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def batches(epochs: int = EPOCHS) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the minibatches of a small classification problem: 6 features, 4 classes."""
    features = draw(EXAMPLES, 6, seed=1)
    labels = torch.randint(4, (EXAMPLES,), generator=torch.Generator().manual_seed(2))
    for epoch in range(epochs):
        order = torch.randperm(EXAMPLES, generator=torch.Generator().manual_seed(epoch))
        for start in range(0, EXAMPLES, BATCH):
            indices = order[start : start + BATCH]
            yield features[indices], labels[indices]


def train(model: SoftmaxRegression, optimizer: SGD, schedule: Schedule = "constant", warmup_epochs: int = 0) -> None:
    """Train by hand: closed-form gradients of the summed loss, our SGD, our schedule."""
    rates = [group["lr"] for group in optimizer.param_groups]
    settings = SCHEDULE | {"warmup_epochs": warmup_epochs}
    for step, (features, labels) in enumerate(batches()):
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * learning_rate_factor(schedule, step, **settings)
        set_gradients(model, features, labels)
        optimizer.step(batch_size=len(labels))


def set_gradients(model: SoftmaxRegression, features: Tensor, labels: Tensor) -> None:
    """Set the gradients of the summed loss."""
    result = loss_and_gradients(features, labels, model.weight, model.bias)
    model.weight.grad = result.weight
    if model.bias is not None:
        model.bias.grad = result.bias


def set_autograd_gradients(model: SoftmaxRegression, loss: Tensor) -> None:
    """Set the gradients of `loss` as autograd finds them."""
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        parameter.grad = gradient


def new_model(seed: int = 3) -> SoftmaxRegression:
    """Return a model with a bias, in float64."""
    return SoftmaxRegression(draw(4, 6, seed=seed), draw(4, seed=seed + 1))


def torch_schedule(
    optimizer: torch.optim.Optimizer, schedule: Schedule, warmup_epochs: int
) -> lr_scheduler.LRScheduler:
    """Return torch's own scheduler, stepped once a batch, for one of our schedules with or without warm-up."""
    warmup = warmup_epochs * STEPS
    main: lr_scheduler.LRScheduler
    if schedule == "step":
        main = lr_scheduler.StepLR(optimizer, SCHEDULE["step_epochs"] * STEPS, SCHEDULE["step_factor"])
    elif schedule == "cosine":
        main = lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * STEPS - warmup)
    else:
        main = lr_scheduler.ConstantLR(optimizer, factor=1.0)
    if warmup == 0:
        return main
    rise = lr_scheduler.LinearLR(optimizer, start_factor=1 / warmup, total_iters=warmup - 1)
    return lr_scheduler.SequentialLR(optimizer, [rise, main], milestones=[warmup])


@pytest.mark.parametrize("warmup_epochs", [0, 2])
@pytest.mark.parametrize("schedule", ["constant", "step", "cosine"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_trajectory_equals_torch(
    momentum: float, nesterov: bool, weight_decay: float, schedule: Schedule, warmup_epochs: int
) -> None:
    """Weights after every option of the optimizer equal those of torch's model, loss, SGD and scheduler."""
    ours, theirs = new_model(), new_model()
    settings: dict[str, Any] = {"momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}
    train(ours, SGD(ours.parameters(), RATE, **settings), schedule, warmup_epochs)
    optimizer = torch.optim.SGD(theirs.parameters(), RATE, **settings)
    scheduler = torch_schedule(optimizer, schedule, warmup_epochs)
    for features, labels in batches():
        loss = torch.nn.functional.cross_entropy(torch.nn.functional.linear(features, *theirs.parameters()), labels)
        set_autograd_gradients(theirs, loss)
        optimizer.step()
        scheduler.step()
    # float64 rounds at 1e-16; 15 steps at these rates do not amplify that a millionfold.
    for mine, wanted in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, wanted, rtol=0, atol=1e-10)


def test_the_closed_form_and_autograd_take_the_same_path() -> None:
    """Training through the model, `cross_entropy` and autograd ends where the closed form of the hot path does."""
    fast, plain = new_model(), new_model()
    train(fast, SGD(fast.parameters(), RATE, momentum=0.9))
    optimizer = SGD(plain.parameters(), RATE, momentum=0.9)
    for features, labels in batches():
        loss = cross_entropy(plain(features), labels).sum()
        set_autograd_gradients(plain, loss)
        optimizer.step(batch_size=len(labels))
    # The same sums in the same precision, some in another order.
    for ours, wanted in zip(fast.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, wanted, rtol=0, atol=1e-12)


def test_plain_step_by_hand() -> None:
    """1 - 0.1 * 4 / 2 = 0.8: the gradient of the summed loss is divided by the batch size."""
    value = parameter(1.0, 4.0)
    SGD([value], 0.1).step(batch_size=2)
    assert value.tolist() == [0.8]


def test_momentum_by_hand() -> None:
    """With momentum 0.5, rate 0.1 and gradients of 1: v = 1, then 1.5; p = 0.9, then 0.75."""
    value = parameter(1.0, 1.0)
    optimizer = SGD([value], 0.1, momentum=0.5)
    optimizer.step()
    assert value.tolist() == [0.9]
    optimizer.step()
    assert value.tolist() == [0.75]


def test_nesterov_by_hand() -> None:
    """With Nesterov the first step of the same is 0.1 * (1 + 0.5 * 1) = 0.15."""
    value = parameter(1.0, 1.0)
    SGD([value], 0.1, momentum=0.5, nesterov=True).step()
    # One rounding of 0.15 in float64.
    assert value.item() == pytest.approx(0.85, abs=1e-15)


def test_weight_decay_by_hand() -> None:
    """The decay is of the mean loss: 2 - 0.1 * (4 / 2 + 0.5 * 2) = 1.7, whatever the batch size."""
    value = parameter(2.0, 4.0)
    SGD([value], 0.1, weight_decay=0.5).step(batch_size=2)
    assert value.item() == pytest.approx(1.7, abs=1e-15)


def test_velocity_does_not_contain_the_learning_rate() -> None:
    """A new rate acts at once on the whole step: with v = 1.5 and rate 0.2 the step is 0.3 (in Keras it is 0.25)."""
    value = parameter(1.0, 1.0)
    optimizer = SGD([value], 0.1, momentum=0.5)
    optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.2
    optimizer.step()
    assert value.item() == pytest.approx(0.9 - 0.3, abs=1e-15)


@pytest.mark.parametrize("nesterov", [False, True])
def test_replicas_equal_runs_of_their_own(nesterov: bool) -> None:
    """Models stacked on a replica axis, each with its own rate, momentum and decay, end as each does alone."""
    rates, momenta, decays = [0.1, 0.3, 0.5], [0.0, 0.5, 0.9], [0.05, 0.0, 0.01]
    singles = [new_model(seed) for seed in range(3)]
    stacked = SoftmaxRegression.stacked(singles)
    train(
        stacked,
        SGD(
            stacked.parameters(),
            torch.tensor(rates, dtype=torch.float64),
            momentum=torch.tensor(momenta, dtype=torch.float64),
            weight_decay=torch.tensor(decays, dtype=torch.float64),
            nesterov=nesterov,
        ),
        "cosine",
    )
    for index, single in enumerate(singles):
        optimizer = SGD(
            single.parameters(),
            rates[index],
            momentum=momenta[index],
            weight_decay=decays[index],
            nesterov=nesterov and momenta[index] > 0,
        )
        train(single, optimizer, "cosine")
        for together, alone in zip(stacked.replica(index).parameters(), single.parameters(), strict=True):
            torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


def test_one_rate_shaped_for_the_weight_serves_the_bias() -> None:
    """A rate of shape (R, 1, 1) does the same as one of shape (R,)."""
    models = [SoftmaxRegression.stacked([new_model(0), new_model(1)]) for _ in range(2)]
    rates = torch.tensor([0.1, 0.2])
    train(models[0], SGD(models[0].parameters(), rates))
    train(models[1], SGD(models[1].parameters(), rates.view(2, 1, 1)))
    assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True))


def test_closure_is_called_with_autograd_on() -> None:
    """A closure makes the gradients before the step, and its loss is returned: how Lightning drives an optimizer."""
    value = torch.tensor([3.0], requires_grad=True)
    optimizer = SGD([value], 0.5)

    def closure() -> Tensor:
        loss = (value * value).sum()
        (value.grad,) = torch.autograd.grad(loss, value)
        return loss

    assert optimizer.step(closure).item() == 9.0
    assert value.tolist() == [0.0]


def test_resuming_is_exact() -> None:
    """Stopped half-way and restored from the state dict, the trajectory is the same, bit for bit."""
    settings: dict[str, Any] = {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}
    whole = new_model()
    optimizer = SGD(whole.parameters(), RATE, **settings)
    halves = new_model()
    current = SGD(halves.parameters(), RATE, **settings)
    for step, (features, labels) in enumerate(batches()):
        if step == 7:
            state = copy.deepcopy((halves.state_dict(), current.state_dict()))
            halves = new_model(seed=99)
            current = SGD(halves.parameters(), 1.0)
            halves.load_state_dict(state[0])
            current.load_state_dict(state[1])
        for model, updater in ((whole, optimizer), (halves, current)):
            set_gradients(model, features, labels)
            updater.step(batch_size=len(labels))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), halves.parameters(), strict=True))


def test_step_is_in_place_and_leaves_other_parameters_alone() -> None:
    """Parameters stay where they are in memory, gradients are not changed, and without a gradient nothing moves."""
    moved, still = parameter(1.0, 1.0), torch.ones(1, requires_grad=True)
    place = moved.data_ptr()
    SGD([moved, still], 0.1, momentum=0.5, weight_decay=0.1).step()
    assert moved.data_ptr() == place
    assert moved.grad is not None
    assert moved.grad.tolist() == [1.0]
    assert still.tolist() == [1.0]


def test_a_torch_scheduler_drives_our_optimizer() -> None:
    """The rate stands under "lr", so StepLR halves it."""
    optimizer = SGD([parameter(1.0, 1.0)], 0.4)
    scheduler = lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.2


def test_32_examples_are_memorized() -> None:
    """With more features than examples, training drives the loss towards zero and gets every example right."""
    features = draw(32, 64)
    labels = torch.randint(10, (32,), generator=torch.Generator().manual_seed(1))
    model = SoftmaxRegression(torch.zeros(10, 64, dtype=torch.float64), torch.zeros(10, dtype=torch.float64))
    optimizer = SGD(model.parameters(), 0.5, momentum=0.9)
    for _ in range(200):
        set_gradients(model, features, labels)
        optimizer.step(batch_size=32)
    result = loss_and_gradients(features, labels, model.weight, model.bias)
    assert result.correct.all()
    # Separable data has no minimum: the loss falls like 1 / t; 0.05 is a fiftieth of where it starts, ln 10.
    assert result.losses.mean().item() < 0.05


@pytest.mark.parametrize("value", [-0.1, math.inf, math.nan, torch.tensor([0.1, -0.1])])
@pytest.mark.parametrize("name", ["learning_rate", "momentum", "weight_decay"])
def test_values_out_of_range(name: str, value: float | Tensor) -> None:
    """A negative or non-finite setting is refused by name, one replica's too."""
    with pytest.raises(ValueError, match=rf"^{name} must be at least 0 and finite, found .*: .*$"):
        SGD([parameter(1.0, 1.0)], **({"learning_rate": 0.1} | {name: value}))  # type: ignore[arg-type]  # one of three


def test_nesterov_needs_momentum() -> None:
    """Nesterov without momentum would silently be plain SGD."""
    with pytest.raises(ValueError, match=r"^nesterov needs momentum, found momentum 0: .*$"):
        SGD([parameter(1.0, 1.0)], 0.1, nesterov=True)


def test_an_empty_batch_makes_no_step() -> None:
    """A batch of no examples has no mean gradient, and is refused before anything moves."""
    value = parameter(1.0, 1.0)
    with pytest.raises(ValueError, match=r"^batch_size must be at least 1, found 0: .*$"):
        SGD([value], 0.1).step(batch_size=0)
    assert value.tolist() == [1.0]


def factors(schedule: Schedule, steps: int, **changes: Any) -> list[float]:
    """Return the factors of the first `steps` steps, 4 steps an epoch, 16 in all unless changed."""
    settings = {"steps_per_epoch": 4, "total_steps": 16, "step_epochs": 1, "step_factor": 0.5, "warmup_epochs": 0}
    return [learning_rate_factor(schedule, step, **(settings | changes)) for step in range(steps)]


def test_schedules_by_hand() -> None:
    """Constant 1; halved every 4 steps; cosine 1, (1 + cos 45 degrees) / 2, ... 0 at the end and after it."""
    assert factors("constant", 3) == [1.0, 1.0, 1.0]
    assert factors("step", 9) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]
    cosine = factors("cosine", 20)
    # Rounding of cosines in float64.
    assert [cosine[0], cosine[4], cosine[8]] == pytest.approx([1, (1 + math.sqrt(0.5)) / 2, 0.5], abs=1e-15)
    assert cosine[16:] == [0.0] * 4


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine"])
def test_warmup_by_hand(schedule: Schedule) -> None:
    """Over one epoch of 4 steps the factor rises 1/4, 2/4, 3/4, 1, and then the schedule starts at 1."""
    assert factors(schedule, 5, warmup_epochs=1) == [0.25, 0.5, 0.75, 1.0, 1.0]


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine"])
def test_warmup_as_long_as_the_training(schedule: Schedule) -> None:
    """A warm-up over all of the training never reaches the schedule, and asking for more steps does no harm."""
    rising = factors(schedule, 18, warmup_epochs=4)
    assert rising[:16] == [(step + 1) / 16 for step in range(16)]
    assert all(0 <= factor <= 1 for factor in rising[16:])


def test_unknown_schedule() -> None:
    """An unknown schedule is refused with the known ones."""
    with pytest.raises(ValueError, match=r"^schedule must be one of constant, step, cosine, found 'linear': .*$"):
        factors("linear", 1, warmup_epochs=1)  # type: ignore[arg-type]  # the point of the test
