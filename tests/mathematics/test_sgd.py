"""sgd.py: numbers by hand, the trajectory of every option against torch.optim.SGD, schedules against torch's own."""

import copy
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import lr_scheduler

from softmax_regression.mathematics.sgd import SGD, learning_rate_factor, update
from softmax_regression.mathematics.softmax import SoftmaxRegression, cross_entropy, loss_and_gradients
from softmax_regression.params import OptimizerParams

# Five epochs of 23 examples in batches of 8, so that each ends with a batch of 7.
EXAMPLES, BATCH, EPOCHS = 23, 8, 5
STEPS = math.ceil(EXAMPLES / BATCH)
RATE = 0.3
SETTINGS = OptimizerParams(
    learning_rate=RATE,
    momentum=0.0,
    nesterov=False,
    weight_decay=0.0,
    schedule="constant",
    step_epochs=2,
    step_factor=0.5,
    warmup_epochs=0,
)


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


def train(model: SoftmaxRegression, optimizer: SGD, schedule: str = "constant", warmup_epochs: int = 0) -> None:
    """Train by hand: closed-form gradients of the summed loss, our SGD, our schedule."""
    rates = [group["lr"] for group in optimizer.param_groups]
    settings = SETTINGS.model_copy(update={"schedule": schedule, "warmup_epochs": warmup_epochs})
    for step, (features, labels) in enumerate(batches()):
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * learning_rate_factor(settings, step, STEPS, EPOCHS)
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


def torch_schedule(optimizer: torch.optim.Optimizer, schedule: str, warmup_epochs: int) -> lr_scheduler.LRScheduler:
    """Return torch's own scheduler, stepped once a batch, for one of our schedules with or without warm-up."""
    warmup = warmup_epochs * STEPS
    main: lr_scheduler.LRScheduler
    if schedule == "step":
        main = lr_scheduler.StepLR(optimizer, SETTINGS.step_epochs * STEPS, SETTINGS.step_factor)
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
    momentum: float, nesterov: bool, weight_decay: float, schedule: str, warmup_epochs: int
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


# Learning rate, momentum, weight decay of five models; with Nesterov or without, as torch has it, for all of them.
MANY = torch.tensor(
    [[0.1, 0.9, 0.01], [0.1, 0.9, 0.0], [0.3, 0.5, 0.1], [0.7, 0.0, 0.01], [0.2, 0.0, 0.0]], dtype=torch.float64
)


@pytest.mark.parametrize("nesterov", [False, True])
def test_tensor_coefficients_are_numbers_bit_for_bit(nesterov: bool) -> None:
    """Five models updated at once, each with coefficients of its own, stay where five optimizers take them alone.

    Some have momentum 0 beside others' velocities, some no weight decay: nothing of it shows in a bit.
    """
    together = draw(len(MANY), 4, 6)
    velocity = torch.zeros_like(together)
    alone = list(together.clone())
    optimizers = [
        SGD([p], lr, momentum=momentum, nesterov=nesterov, weight_decay=decay)
        for p, (lr, momentum, decay) in zip(alone, MANY.tolist(), strict=True)
    ]
    lr, momentum, decay = MANY.t().reshape(3, -1, 1, 1)
    for step in range(10):
        gradients = draw(len(MANY), 4, 6, seed=step)
        update(together, gradients, velocity, 7, lr, momentum, decay, nesterov)
        for p, gradient, optimizer in zip(alone, gradients, optimizers, strict=True):
            p.grad = gradient.clone()
            optimizer.step(batch_size=7)
    assert torch.equal(together, torch.stack(alone))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_momentum_0_with_a_velocity_is_none(dtype: torch.dtype, nesterov: bool, weight_decay: float) -> None:
    """Momentum 0 changes no bit, whether or not a velocity is kept."""
    plain = draw(4, 6).to(dtype)
    kept, velocity = plain.clone(), torch.zeros_like(plain)
    for step in range(10):
        gradient = draw(4, 6, seed=step).to(dtype)
        update(plain, gradient, None, 3, 0.3, 0.0, weight_decay, nesterov=False)
        update(kept, gradient, velocity, 3, 0.3, 0.0, weight_decay, nesterov)
    assert torch.equal(kept, plain)


def test_no_product_and_sum_are_fused() -> None:
    """Each product is rounded before it is added, as in NumPy, which has no fused operation."""
    p, gradient = draw(1000, seed=1), draw(1000, seed=2)
    rounded = p.numpy() - gradient.numpy() * 0.1
    velocity = draw(1000, seed=3)
    moved = velocity.numpy() * 0.9 + gradient.numpy()
    plain, heavy = p.clone(), p.clone()
    update(plain, gradient, None, 1, 0.1, 0.0, 0.0, nesterov=False)
    update(heavy, gradient, velocity, 1, 0.1, 0.9, 0.0, nesterov=False)
    assert plain.tolist() == rounded.tolist()
    assert velocity.tolist() == moved.tolist()
    assert heavy.tolist() == (p.numpy() - moved * 0.1).tolist()


def test_a_torch_scheduler_drives_our_optimizer() -> None:
    """The rate is under "lr", so StepLR halves it."""
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


def factors(schedule: str, steps: int, warmup_epochs: int = 0) -> list[float]:
    """Return the factors of the first `steps` steps of four epochs, 4 steps an epoch; a period is one epoch."""
    changes = {"schedule": schedule, "step_epochs": 1, "warmup_epochs": warmup_epochs}
    return [learning_rate_factor(SETTINGS.model_copy(update=changes), step, 4, 4) for step in range(steps)]


def test_schedules_by_hand() -> None:
    """Constant 1; halved every 4 steps; cosine 1, (1 + cos 45 degrees) / 2, 1/2, ... and all but 0 at the last."""
    assert factors("constant", 3) == [1.0, 1.0, 1.0]
    assert factors("step", 9) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]
    cosine = factors("cosine", 16)
    wanted = [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.cos(math.pi / 16)) / 2]
    # Rounding of cosines in float64.
    assert [cosine[0], cosine[4], cosine[8], cosine[15]] == pytest.approx(wanted, abs=1e-15)


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine"])
def test_warmup_by_hand(schedule: str) -> None:
    """Over one epoch of 4 steps the factor rises 1/4, 2/4, 3/4, 1, and then the schedule starts at 1."""
    assert factors(schedule, 5, warmup_epochs=1) == [0.25, 0.5, 0.75, 1.0, 1.0]


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine"])
@pytest.mark.parametrize("warmup_epochs", [4, 5])
def test_warmup_as_long_as_the_training(schedule: str, warmup_epochs: int) -> None:
    """A warm-up over all of the training or longer never reaches the schedule."""
    assert factors(schedule, 16, warmup_epochs) == [(step + 1) / (4 * warmup_epochs) for step in range(16)]
