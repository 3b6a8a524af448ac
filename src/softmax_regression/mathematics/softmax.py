"""Softmax regression by hand: softmax, cross-entropy, their gradients, the model, sums over an epoch.

Shape legend: B batch, D features, K classes, R replicas (models trained side by side on the same batches).
Logits are floating point, labels are integers in [0, K), losses are in nats. Only torch's elementary operations
are used: nothing of torch.nn.functional. Source of the formulas: Dive into Deep Learning, 4.1 and 4.4.

Two forms of the same mathematics: the stable one, with its gradient by hand, and the textbook one, which
overflows in float32 near a logit of 89 and leaves the gradient to autograd. Longer than its neighbours because the
formulas, the checks of what they are given and the closed form of the whole model are one thing, read side by side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


def softmax(logits: Tensor) -> Tensor:
    """Return the probabilities exp(z_k) / sum_j exp(z_j) over the last axis; same shape and dtype as `logits`."""
    exponentials = _shifted(logits).exp()
    return exponentials / exponentials.sum(-1, keepdim=True)


def log_softmax(logits: Tensor) -> Tensor:
    """Return z_k - log sum_j exp(z_j) over the last axis; finite wherever the logits are."""
    shifted = _shifted(logits)
    return shifted - shifted.exp().sum(-1, keepdim=True).log()


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return log sum_j exp(z_j) - z_y, one value in nats per example, with its gradient by hand.

    `logits` (..., K), `labels` (...) give losses (...); a batch of no examples gives no losses. The gradient with
    respect to the logits is softmax(z) - onehot(y), itself differentiable.

    Raises ValueError where shapes or dtypes do not fit, or a label is outside [0, K). On a GPU the check of the
    labels waits for the device; a training loop checks them once (`check_labels`) and takes `loss_and_gradients`.
    """
    check_labels(labels, logits)
    losses: Tensor = _CrossEntropy.apply(logits, labels.long())
    return losses


def textbook_softmax(logits: Tensor) -> Tensor:
    """Return exp(z_k) / sum_j exp(z_j) exactly as written: inf / inf = nan once exp overflows."""
    exponentials = logits.exp()
    return exponentials / exponentials.sum(-1, keepdim=True)


def textbook_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return -log of the probability of the true class, per example; shapes and errors as `cross_entropy`.

    Autograd differentiates it step by step. It overflows on purpose, for learners to watch.
    """
    check_labels(labels, logits)
    return -textbook_softmax(logits).gather(-1, labels.long().unsqueeze(-1)).squeeze(-1).log()


def check_labels(labels: Tensor, logits: Tensor) -> None:
    """Raise ValueError unless `labels` (...) fit `logits` (..., K) in shape, kind and range."""
    if logits.dim() == 0 or logits.shape[-1] == 0 or not logits.is_floating_point():
        raise ValueError(
            f"logits must be floating point of shape (..., classes), found {_described(logits)}: "
            "give the model's output, one value per class"
        )
    if labels.shape != logits.shape[:-1]:
        raise ValueError(
            f"labels must have the logits' shape without the last axis, {tuple(logits.shape[:-1])}, "
            f"found {_described(labels)}: give one class index per example"
        )
    check_label_range(labels, logits.shape[-1])


def check_label_range(labels: Tensor, num_classes: int) -> None:
    """Raise ValueError, naming the first offender, unless all `labels` are integers in [0, `num_classes`)."""
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"labels must be integers, found {_described(labels)}: give class indices")
    flat = labels.long().flatten()
    if len(flat) == 0:
        return
    low, high = flat.aminmax()
    if low < 0 or high >= num_classes:
        position = int(((flat < 0) | (flat >= num_classes)).nonzero()[0])
        raise ValueError(
            f"labels must lie in [0, {num_classes - 1}] for {num_classes} classes, found {int(flat[position])} "
            f"at position {position}: check the labels or the number of classes"
        )


class LossAndGradients(NamedTuple):
    """What one pass of the whole model gives; the gradients are those of the *summed* loss."""

    losses: Tensor  # (B,) or (B, R), nats
    correct: Tensor  # (B,) or (B, R), bool
    weight: Tensor  # (K, D) or (R, K, D)
    bias: Tensor | None  # (K,) or (R, K)


@torch.no_grad()
def loss_and_gradients(features: Tensor, labels: Tensor, weight: Tensor, bias: Tensor | None) -> LossAndGradients:
    """Return losses and gradients of softmax regression in closed form, without autograd: the hot path.

    With P = softmax(X W^T + b) and Y the one-hot labels: dL/dW = (P - Y)^T X and dL/db = column sums of P - Y.
    `features` X (B, D), `labels` (B,) int64 in [0, K), `weight` (K, D) or (R, K, D), `bias` (K,), (R, K) or None.
    The figures are those of `cross_entropy` with autograd, and an epoch of Fashion-MNIST takes 0.68 of the time.
    Inputs are trusted: a check per step would cost a wait per step on a GPU, and labels do not change while training.
    """
    logits = _affine(features, weight, bias)
    index = labels.view(-1, *[1] * (logits.dim() - 1)).expand(*logits.shape[:-1], 1)
    peak, predicted = logits.max(-1, keepdim=True)
    logits -= peak
    picked = logits.gather(-1, index)
    exponentials = logits.exp_()
    total = exponentials.sum(-1, keepdim=True)
    losses = (total.log() - picked).squeeze(-1)
    errors = exponentials.div_(total)  # P, and with the next line P - Y
    errors.scatter_add_(-1, index, torch.full_like(picked, -1.0))
    errors = errors.flatten(1)  # (B, K) or (B, R * K): replicas are only more columns
    return LossAndGradients(
        losses=losses,
        correct=(predicted == index).squeeze(-1),
        weight=(errors.t() @ features).view(weight.shape),
        bias=None if bias is None else errors.sum(0).view(bias.shape),
    )


def initial_weights(
    num_features: int,
    num_classes: int,
    *,
    init_std: float,
    bias: bool,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor | None]:
    """Return W ~ N(0, init_std^2) of shape (K, D) and b = 0 of shape (K,), or None without a bias.

    W is drawn in float32 on the CPU whatever `dtype` is, so that runs that differ in precision or device start
    at the same numbers. Raises ValueError for a negative or infinite `init_std`.
    """
    if not 0 <= init_std < math.inf:
        raise ValueError(f"init_std must be at least 0 and finite, found {init_std}: try 0.01")
    weight = torch.randn(num_classes, num_features, generator=generator, dtype=torch.float32) * init_std
    return weight.to(dtype), torch.zeros(num_classes, dtype=dtype) if bias else None


class SoftmaxRegression(nn.Module):
    """The linear model x -> W x + b; `forward` returns logits, `softmax` makes probabilities of them.

    `weight` is (K, D), as in nn.Linear, and `bias` (K,) or None; both are copied. With a leading replica axis,
    weight (R, K, D) and bias (R, K), R models read each batch once: logits (B, R, K) by one matrix product.
    Raises ValueError where the shapes do not fit.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        if weight.dim() not in (2, 3):
            raise ValueError(
                f"weight must be (classes, features) or (replicas, classes, features), "
                f"found {_described(weight)}: transpose or stack it"
            )
        if bias is not None and bias.shape != weight.shape[:-1]:
            raise ValueError(
                f"bias must be {tuple(weight.shape[:-1])} to fit the weight, found {_described(bias)}: "
                "give one value per class"
            )
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())

    @classmethod
    def stacked(cls, models: Sequence[SoftmaxRegression]) -> SoftmaxRegression:
        """Return R single models as one with a replica axis."""
        biases: list[Tensor] = [model.bias for model in models if model.bias is not None]
        if biases and len(biases) != len(models):
            raise ValueError("models with and without a bias cannot be stacked: give all of them one, or none")
        return cls(torch.stack([model.weight for model in models]), torch.stack(biases) if biases else None)

    def replica(self, index: int) -> SoftmaxRegression:
        """Return a copy of one replica as a single model."""
        return SoftmaxRegression(self.weight[index], None if self.bias is None else self.bias[index])

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (B, K), or (B, R, K) with replicas, of `features` (B, D)."""
        if features.dim() != 2 or features.shape[1] != self.weight.shape[-1]:
            raise ValueError(
                f"features must be (batch, {self.weight.shape[-1]}), found {_described(features)}: "
                "flatten each example to one row"
            )
        return _affine(features, self.weight, self.bias)


def is_correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Return whether the largest logit (the first, where several are) is the label's; bool of shape (B,) or (B, R)."""
    # max gives the same index as argmax and is ten times faster on logits that are stored column by column.
    return logits.max(-1).indices == labels.view(-1, *[1] * (logits.dim() - 2))


def count_correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Return how many of a batch are right, int64, () or (R,): the book's accuracy before it is divided."""
    return is_correct(logits, labels).sum(0)


class RunningSums:
    """Sums over an epoch, so that its mean loss and accuracy weight every example equally, in a short batch too.

    The sums stay tensors on the device of the losses, () or (R,), loss in float64: nothing waits for a GPU until
    somebody reads them.
    """

    def __init__(self) -> None:
        self.loss = torch.zeros((), dtype=torch.float64)
        self.correct = torch.zeros((), dtype=torch.int64)
        self.examples = 0

    def add(self, losses: Tensor, correct: Tensor) -> Tensor:
        """Add a batch, `losses` (B,) or (B, R) in nats and `correct` bool likewise; return the batch's loss sum."""
        batch_loss = losses.detach().sum(0, dtype=torch.float64)
        self.loss = self.loss + batch_loss
        self.correct = self.correct + correct.sum(0)
        self.examples += len(losses)
        return batch_loss

    @property
    def mean_loss(self) -> Tensor:
        """Loss per example in nats, float64, () or (R,)."""
        return self.loss / self._counted()

    @property
    def accuracy(self) -> Tensor:
        """Share of examples whose largest logit is the label's, in [0, 1], float64, () or (R,)."""
        return self.correct.double() / self._counted()

    def _counted(self) -> int:
        if self.examples == 0:
            raise ValueError("no examples were added, so there is no mean: check that the data is not empty")
        return self.examples


class _CrossEntropy(torch.autograd.Function):
    """Cross-entropy with its gradient by hand: dl/dz = softmax(z) - onehot(y)."""

    @staticmethod
    def forward(context: Any, logits: Tensor, labels: Tensor) -> Tensor:
        context.save_for_backward(logits, labels)
        shifted = _shifted(logits)
        return shifted.exp().sum(-1).log() - shifted.gather(-1, labels.unsqueeze(-1)).squeeze(-1)

    @staticmethod
    def backward(context: Any, upstream: Tensor) -> tuple[Tensor, None]:
        logits, labels = context.saved_tensors
        index = labels.unsqueeze(-1)
        minus_one = -torch.ones_like(index, dtype=logits.dtype)
        # softmax is made of differentiable operations, so this gradient has a gradient, too.
        errors = softmax(logits).scatter_add(-1, index, minus_one)
        return upstream.unsqueeze(-1) * errors, None


def _shifted(logits: Tensor) -> Tensor:
    """Return the logits less their maximum: softmax does not change, exp(-m) cancels; it only prevents overflow."""
    return logits - logits.detach().amax(-1, keepdim=True)  # what cancels needs no gradient


def _affine(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return X W^T + b, computed as (W X^T + b)^T.

    The result is then stored class by class: matrix product and the softmax's reductions over classes run along
    contiguous memory. An epoch then takes 0.87 of the time that X W^T takes on one thread, and 0.98 on two.
    """
    rows = weight.flatten(0, -2)
    columns = features.t()
    product = rows @ columns if bias is None else torch.addmm(bias.reshape(-1, 1), rows, columns)
    return product.t().view(len(features), *weight.shape[:-1])


def _described(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
