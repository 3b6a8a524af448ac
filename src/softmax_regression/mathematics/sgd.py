"""Minibatch stochastic gradient descent by hand: the update rule as an optimizer, and learning-rate schedules.

The gradients are those of a batch's *summed* loss; `step` divides them by the true size of the batch, as the
book's updater does (Dive into Deep Learning, 3.4 and 4.4), so a short last batch weights its examples right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from softmax_regression.mathematics.blocks import in_cache
from softmax_regression.numerics.elementary import cos

if TYPE_CHECKING:  # the mathematics runs with torch and NumPy alone
    from softmax_regression.params import OptimizerParams


class SGD(torch.optim.Optimizer):
    """Minibatch SGD with momentum, Nesterov's variant and weight decay, in the conventions of torch.optim.SGD.

    With G the gradient of the summed loss, n the batch size, g = G / n + weight_decay * p the gradient of the mean
    loss plus weight_decay / 2 * |p|^2, and v = 0 at the start:

        plain     p -= lr g
        momentum  v = momentum v + g;  p -= lr v
        Nesterov  v = momentum v + g;  p -= lr (g + momentum v)

    The velocity v does not contain the learning rate, so a schedule acts at once on all of the step (in Keras
    v contains it, and old steps keep their old rate). Every parameter decays, the bias too, as in torch.

    The learning rate is in the parameter groups as "lr", where torch's schedulers look for it.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        learning_rate: float,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            parameters, {"lr": learning_rate, "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None, *, batch_size: int = 1) -> Any:
        """Update every parameter that has a gradient, in place, and return what `closure` returned.

        `batch_size` is the number of examples whose losses were summed; leave it at 1 where the loss is already a
        mean. `closure`, if given, is called first with autograd on and makes the gradients.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group, batch_size)
        return loss

    def _update(self, p: Tensor, gradient: Tensor, group: dict[str, Any], n: int) -> None:
        if group["momentum"] and not self.state[p]:
            self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        velocity = self.state[p].get("momentum_buffer")
        update(p, gradient, velocity, n, group["lr"], group["momentum"], group["weight_decay"], group["nesterov"])


def update(
    p: Tensor,
    gradient: Tensor,
    v: Tensor | None,
    n: int,
    lr: float | Tensor,
    momentum: float | Tensor,
    weight_decay: float | Tensor,
    nesterov: bool,
) -> None:
    """Apply the formulas of `SGD` to `p` and, with momentum, to its velocity `v`, in place.

    Coefficients may be tensors of p's length that broadcast over its other axes. Every product and every sum is rounded
    by itself, whether or not the processor could fuse them: so the bits are the same everywhere, and those of momentum
    0 are those of no `v`.
    """
    for part, slope, velocity, rate, mu, decay in in_cache(p, gradient, v, lr, momentum, weight_decay):
        g = slope * (1 / n)
        if isinstance(decay, Tensor) or decay:
            g += part * decay
        if velocity is not None:
            velocity.mul_(mu).add_(g)
            g = g + velocity * mu if nesterov else velocity
        part -= g * rate


def learning_rate_factor(settings: OptimizerParams, step: int, steps_per_epoch: int, epochs: int) -> float:
    """Return the factor by which the learning rate is multiplied at optimizer step `step` = t = 0, 1, ...

    A pure function of the step, so that a resumed run needs no state. With w = warmup_epochs in steps and T all steps
    of `epochs` epochs:

        warm-up   (t + 1) / w                                for t < w, before every schedule; w is reached at 1
        constant  1
        step      step_factor ^ floor((t - w) / period)      period = step_epochs in steps; torch's StepLR
        cosine    (1 + cos(pi (t - w) / (T - w))) / 2        torch's CosineAnnealingLR with eta_min 0
    """
    warmup = settings.warmup_epochs * steps_per_epoch
    since = step - warmup
    if since < 0:
        return (step + 1) / warmup
    if settings.schedule == "step":
        steps_down = since // (settings.step_epochs * steps_per_epoch)
        return math.prod([settings.step_factor] * steps_down)  # float ** int is the C library's
    if settings.schedule == "cosine":
        return (1 + cos(math.pi * (since / (epochs * steps_per_epoch - warmup)))) / 2
    return 1.0
