"""What a training had measured, step by step, when float32 could not hold the textbook's formulas.

With logits z, p_k = exp(z_k) / sum_j exp(z_j) and the loss -log p_y of the label y, float32 has no number for

    exp(z)         where z is above LIMIT, the logarithm of its largest number
    1 / p_y        where the loss is above LIMIT: the logarithm's slope, which the gradient starts with
    log p_y        where the loss is above 103.97: p_y has been rounded to 0

The first of them makes the weights NaN, and the loss infinite or NaN, in this step or in the next one.
Shapes: S steps.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from softmax_regression.artifacts.model import Array

LIMIT = math.log(float(np.finfo(np.float32).max))  # 88.72
_ROUNDED_TO_ZERO = 150 * math.log(2)  # nats; exp(-x) is nearer to 0 than to float32's smallest number, 2^-149
FIGURES = ("smallest_logit", "largest_logit", "mean_loss", "largest_loss")
_POINTS = 299  # of a chart, besides the one that matters


@dataclass(frozen=True)
class Overflow:
    """The steps of a training (S,), counted from 1, up to the one that stopped it, and the `FIGURES` of each (S, 4).

    Of a resumed training they are those since then, of a long one the last 16,000. Losses are in nats, by the stable
    formula: finite where the logits are.
    """

    steps: npt.NDArray[np.integer]
    figures: Array

    def column(self, name: str) -> Array:
        """Return one of the `FIGURES` (S,)."""
        return self.figures[:, FIGURES.index(name)]

    @property
    def first(self) -> int | None:
        """The place (not the number) of the first step with a logit or a loss above LIMIT; None where there is none."""
        above = (self.column("largest_logit") > LIMIT) | (self.column("largest_loss") > LIMIT)
        return int(above.argmax()) if above.any() else None

    @property
    def words(self) -> str:
        """What float32 could not hold, and in which step."""
        if self.first is None:
            return "a sum, or an example that is not trained on, is beyond float32"
        logit, loss = self.column("largest_logit")[self.first], self.column("largest_loss")[self.first]
        step = f"in step {self.steps[self.first]:,}"
        if logit > LIMIT:
            return f"{step} a logit is {logit:,.2f}, and exp overflows in float32 above {LIMIT:.2f}"
        what = "which float32 rounds to 0" if loss > _ROUNDED_TO_ZERO else "and 1 / p, in the gradient, overflows"
        return f"{step} an example's label has p = exp(-{loss:,.2f}), {what}"

    def thinned(self) -> "Overflow":
        """Return at most 300 of the steps, evenly over all of them, with the first above LIMIT and the last."""
        count = len(self.steps)
        places = np.linspace(0, count - 1, min(count, _POINTS)).astype(int)
        places = np.unique([*places, count - 1 if self.first is None else self.first])
        return Overflow(self.steps[places], self.figures[places])


class OverflowedError(RuntimeError):
    """A training was stopped by what float32 could not hold; `overflow` is what it had measured."""

    def __init__(self, message: str, overflow: Overflow) -> None:
        super().__init__(message, overflow)
        self.overflow = overflow

    def __str__(self) -> str:
        return f"{self.overflow.words}, so {self.args[0]}"
