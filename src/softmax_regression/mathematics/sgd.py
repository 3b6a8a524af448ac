"""Minibatch stochastic gradient descent by hand: the update rule as an optimizer, and learning-rate schedules.

The gradients are those of a batch's *summed* loss; `step` divides them by the true size of the batch, as the
book's updater does (Dive into Deep Learning, 4.4), so a short last batch weights its examples right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

Schedule: TypeAlias = Literal["constant", "step", "cosine"]
Coefficient: TypeAlias = float | Tensor  # one number, or one per replica: (R,) or (R, 1, 1) for parameters (R, ...)


class SGD(torch.optim.Optimizer):
    """Minibatch SGD with momentum, Nesterov's variant and weight decay, in the conventions of torch.optim.SGD.

    With G the gradient of the summed loss, n the batch size, g = G / n + weight_decay * p the gradient of the mean
    loss plus weight_decay / 2 * |p|^2, and v = 0 at the start:

        plain     p -= lr g
        momentum  v = momentum v + g;  p -= lr v
        Nesterov  v = momentum v + g;  p -= lr (g + momentum v)

    The velocity v does not contain the learning rate, so a schedule acts at once on all of the step (in Keras
    v contains it, and old steps keep their old rate). Every parameter decays, the bias too, as in torch.

    `learning_rate`, `momentum` and `weight_decay` may each be one number, or a tensor (R,) with one per replica for
    parameters with a leading replica axis; one in float64 is rounded as a plain number is. The learning rate stands
    in the parameter groups under "lr", where torch's schedulers look for it. Raises ValueError for a negative or
    non-finite value, and for Nesterov without momentum.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        learning_rate: Coefficient,
        *,
        momentum: Coefficient = 0.0,
        nesterov: bool = False,
        weight_decay: Coefficient = 0.0,
    ) -> None:
        _check_not_negative("learning_rate", learning_rate)
        _check_not_negative("momentum", momentum)
        _check_not_negative("weight_decay", weight_decay)
        if nesterov and _is_zero(momentum):
            raise ValueError("nesterov needs momentum, found momentum 0: give a momentum, 0.9 say, or nesterov false")
        settings = {"lr": learning_rate, "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}
        super().__init__(parameters, settings)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None, *, batch_size: int = 1) -> Any:
        """Update every parameter that has a gradient, in place, and return what `closure` returned.

        `batch_size` is the number of examples whose losses were summed; leave it at 1 where the loss is already a
        mean. `closure`, if given, is called first with autograd on and makes the gradients.
        Raises ValueError for a batch size below 1.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, found {batch_size}: an empty batch makes no step")
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group, batch_size)
        return loss

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any], batch_size: int) -> None:
        rate, momentum, decay = group["lr"], group["momentum"], group["weight_decay"]
        if _is_zero(momentum):
            _scale(parameter, 1 - rate * decay)
            _add(parameter, gradient, -rate / batch_size)
            return
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        velocity = state["momentum_buffer"]
        _scale(velocity, momentum)
        _add(velocity, gradient, 1 / batch_size)
        _add(velocity, parameter, decay)
        if group["nesterov"]:
            _scale(parameter, 1 - rate * decay)
            _add(parameter, gradient, -rate / batch_size)
            _add(parameter, velocity, -rate * momentum)
        else:
            _add(parameter, velocity, -rate)


def learning_rate_factor(
    schedule: Schedule,
    step: int,
    *,
    steps_per_epoch: int,
    total_steps: int,
    step_epochs: int,
    step_factor: float,
    warmup_epochs: float,
) -> float:
    """Return the factor by which the learning rate is multiplied at optimizer step `step` = t = 0, 1, ...

    A pure function of the step, so that a resumed run needs no state. With w = warmup_epochs in steps (rounded)
    and T = total_steps:

        warm-up   (t + 1) / w                                for t < w, before every schedule; w is reached at 1
        constant  1
        step      step_factor ^ floor((t - w) / period)      period = step_epochs in steps; torch's StepLR
        cosine    (1 + cos(pi (t - w) / (T - w))) / 2        torch's CosineAnnealingLR with eta_min 0; 0 from T on

    Raises ValueError for an unknown schedule.
    """
    if schedule not in get_args(Schedule):
        known = ", ".join(get_args(Schedule))
        raise ValueError(f"schedule must be one of {known}, found {schedule!r}: choose one of these")
    warmup = round(warmup_epochs * steps_per_epoch)
    since = step - warmup
    if since < 0:
        return (step + 1) / warmup
    if schedule == "step":
        return step_factor ** (since // (step_epochs * steps_per_epoch))
    if schedule == "cosine":
        return (1 + math.cos(math.pi * min(since / max(total_steps - warmup, 1), 1.0))) / 2
    return 1.0


def _scale(target: Tensor, factor: Coefficient) -> None:
    """target *= factor, where it changes anything."""
    if isinstance(factor, Tensor):
        target.mul_(_per_replica(factor, target))
    elif factor != 1:
        target.mul_(factor)


def _add(target: Tensor, source: Tensor, factor: Coefficient) -> None:
    """target += factor * source, in one pass and without a temporary."""
    if isinstance(factor, Tensor):
        target.addcmul_(source, _per_replica(factor, target))
    elif factor != 0:
        target.add_(source, alpha=factor)


def _per_replica(factor: Tensor, target: Tensor) -> Tensor:
    """Return `factor` (R,), or a single value (), in the dtype of `target` (R, ...) and shaped to broadcast over it."""
    return factor.to(target).reshape(-1, *[1] * (target.dim() - 1))


def _is_zero(value: Coefficient) -> bool:
    return not isinstance(value, Tensor) and value == 0


def _check_not_negative(name: str, value: Coefficient) -> None:
    values = torch.as_tensor(value, dtype=torch.float64)
    if not bool(((values >= 0) & values.isfinite()).all()):
        raise ValueError(f"{name} must be at least 0 and finite, found {value}: lower it or leave it out")
