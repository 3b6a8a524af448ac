"""Softmax regression whose every sum is exact: the same bits on every machine, in whatever order they are added.

The book's formulas, in float64. Addition of rounded numbers depends on the order, which differs between processors,
libraries and numbers of threads. Sums of integers do not, while none is too large for the 53 bits of float64. So what
is summed is first made an integer times a fixed power of two (`round_to`; numerics/grids.py says how fine):

    stored features    q, integers; the feature is q unit
    scaled weights     weight unit, rounded to a grid          logits: sums over D features of scaled weight q
    exponentials       e^(z - max z), rounded to a grid        their total: a sum over K classes
    errors             P - Y, rounded to a grid                gradient (P - Y)^T q: a sum over B examples

All else goes number by number, by operations that IEEE 754 rounds correctly; exp and log are ours, too. The weights
themselves are not rounded: float64 holds them, and each step's scaled weights are made of them.

Shape legend: B batch, D features, K classes, and any axes (...) before the weights' own: many models, one data set.
Classes come before examples here, (K, B): so the reductions over classes run along contiguous memory.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from softmax_regression.mathematics.blocks import in_cache
from softmax_regression.mathematics.products import operand, product
from softmax_regression.mathematics.softmax import largest
from softmax_regression.numerics.elementary import exp, exp_table, log, round_to
from softmax_regression.numerics.grids import LEAST_EXPONENT, Grids


class Likelihood(NamedTuple):
    """A batch's softmax before the logarithm, which is taken of many batches at once; arrays (..., B)."""

    total: Tensor  # sum over classes of e^(z - max z)
    picked: Tensor  # the label's z - max z
    correct: Tensor  # bool: the largest logit, the first of several, is the label's


class ExactSoftmaxRegression(nn.Module):
    """The linear model W x + b for features as stored, with the closed-form gradients of its cross-entropy.

    `weight` (..., K, D) and `bias` (..., K) or None become float64 parameters. A feature is q `unit`, a number or (D,).
    """

    unit: Tensor
    table: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None, unit: Tensor, grids: Grids) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.double(), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.double(), requires_grad=False)
        self.register_buffer("unit", unit, persistent=False)
        self.register_buffer("table", torch.tensor(exp_table()), persistent=False)
        self.grids = grids

    def logits(self, columns: Tensor) -> Tensor:
        """Return the logits (..., K, B) of the features' `operand`, transposed: (D, B).

        They are NaN where one of the model's weights has left the range in which the sums are exact.
        """
        *models, num_features = self.weight.shape
        scaled = torch.empty_like(self.weight).view(-1, num_features)
        largest = scaled.new_empty(len(scaled))
        for weight, target, peak in in_cache(self.weight.view(-1, num_features), scaled, largest):
            target.copy_(round_to(weight * self.unit, self.grids.weight_bits))
            torch.amax(target.abs(), 1, out=peak)
        logits = product(scaled, self.grids.weight_bits, columns).view(*models, columns.shape[1])
        in_range = largest.view(models).amax(-1) < self.grids.largest_weight
        offset = torch.where(in_range, 0.0, math.nan).to(scaled).unsqueeze(-1)
        return logits.add_((offset if self.bias is None else self.bias + offset).unsqueeze(-1))

    def likelihood(self, stored: Tensor, labels: Tensor) -> Likelihood:
        """Return what the loss of features as stored (B, D) with `labels` (B,) int64 is made of."""
        return self.likelihood_and_errors(self.logits(operand(stored).t()), labels)[0]

    def likelihood_and_gradients(self, stored: Tensor, labels: Tensor) -> tuple[Likelihood, Tensor, Tensor | None]:
        """Return what the loss is made of, and the summed loss's gradients: (..., K, D), and (..., K) or None.

        With P = softmax(W X + b) and Y the one-hot labels (K, B), and q the stored features (B, D): (P - Y) q and the
        row sums of P - Y, which is dL/db. Both are exact, so those of a batch's shares add up to the batch's. dL/dW is
        the first times `unit`, which rounds: it comes after the sum.
        """
        features = operand(stored)
        likelihood, errors = self.likelihood_and_errors(self.logits(features.t()), labels)
        rows = errors.view(self.weight[..., 0].numel(), len(labels))
        gradient = product(rows, self.grids.error_bits, features).view(self.weight.shape)
        return likelihood, gradient, None if self.bias is None else errors.sum(-1)

    def likelihood_and_errors(self, logits: Tensor, labels: Tensor) -> tuple[Likelihood, Tensor]:
        """Return what the loss is made of, and P - Y on its grid (..., K, B); `logits` are written over."""
        index = labels.expand(*logits.shape[:-2], 1, -1)
        peak, correct = largest(logits, index, -2)
        picked = logits.gather(-2, index).sub_(peak)
        total = torch.zeros_like(peak)
        for (block,) in in_cache(logits, dim=-2):
            shifted = block.sub_(peak).clamp_(min=LEAST_EXPONENT)  # which cancels
            block.copy_(round_to(exp(shifted, self.table), self.grids.class_bits))
            total += block.sum(-2, keepdim=True)
        wrong = logits.gather(-2, index).div_(total).sub_(1.0)  # P - Y of the labels, P of all others is the next
        for (block,) in in_cache(logits, dim=-2):
            block.copy_(round_to(block.div_(total), self.grids.error_bits))
        errors = logits.scatter_(-2, index, round_to(wrong, self.grids.error_bits))
        return Likelihood(total.squeeze(-2), picked.squeeze(-2), correct.squeeze(-2)), errors

    def losses(self, likelihood: Likelihood) -> Tensor:
        """Return the cross-entropy log sum_j e^z_j - z_y, in nats, in the shape of `likelihood`."""
        return log(likelihood.total, torch.int64) - likelihood.picked
