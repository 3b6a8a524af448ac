"""Softmax regression by hand: softmax, cross-entropy, their gradients, the model, sums over an epoch.

Shape legend: B batch, D features, K classes. Logits (B, K) are floating point, labels (B,) integers in [0, K), losses
in nats. Only torch's elementary operations are used: nothing of torch.nn.functional. Source of the formulas: Dive into
Deep Learning, 4.1 and 4.4.

Two forms of the same mathematics: the stable one, with its gradient by hand, and the textbook one, which overflows in
float32 near a logit of 89 and leaves the gradient to autograd. Both work on the last axis, whatever axes come before.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from softmax_regression.numerics.randomness import normal


def softmax(logits: Tensor) -> Tensor:
    """Return the probabilities exp(z_k) / sum_j exp(z_j), of the shape and dtype of `logits` (B, K)."""
    exponentials = _shifted(logits).exp()
    return exponentials / exponentials.sum(-1, keepdim=True)


def textbook_softmax(logits: Tensor) -> Tensor:
    """Return exp(z_k) / sum_j exp(z_j) exactly as written: inf / inf = nan once exp overflows."""
    exponentials = logits.exp()
    return exponentials / exponentials.sum(-1, keepdim=True)


def initial_weights(
    num_features: int, num_classes: int, *, stream: str, init_std: float, bias: bool, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor | None]:
    """Return W ~ N(0, init_std^2) of shape (K, D) and b = 0 of shape (K,), or None without a bias.

    `stream` names the random numbers, see `randomness`. W is rounded to float32 whatever `dtype` is, so that runs
    that differ in precision start at the same numbers.
    """
    draws = torch.from_numpy(normal(stream, num_classes * num_features)).view(num_classes, num_features)
    weight = draws.mul_(init_std).float().add_(0.0)  # no zero is negative: its sign would survive sums of zeros or not
    return weight.to(dtype), torch.zeros(num_classes, dtype=dtype) if bias else None


class SoftmaxRegression(nn.Module):
    """The linear model x -> W x + b; `forward` returns logits, `softmax` makes probabilities of them.

    `weight` is (K, D), as in nn.Linear, and `bias` (K,) or None; both are copied.
    Raises ValueError where the shapes do not fit.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        if weight.dim() != 2:
            raise ValueError(f"weight must be (classes, features), found {_described(weight)}: give a matrix")
        if bias is not None and bias.shape != weight.shape[:1]:
            raise ValueError(
                f"bias must be ({len(weight)},) to fit the weight, found {_described(bias)}: give one value per class"
            )
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (B, K) of `features` (B, D)."""
        if features.dim() != 2 or features.shape[1] != self.weight.shape[1]:
            raise ValueError(
                f"features must be (batch, {self.weight.shape[1]}), found {_described(features)}: "
                "flatten each example to one row"
            )
        return affine(features, self.weight, self.bias)


def affine(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return X W^T + b (B, K) of X (B, D), W (K, D) and b (K,) or None, computed as (W X^T + b)^T.

    The result is then stored class by class: matrix product and the softmax's reductions over classes run along
    contiguous memory. An epoch then takes 0.87 of the time that X W^T takes on one thread, and 0.98 on two.
    """
    columns = features.t()
    return (weight @ columns if bias is None else torch.addmm(bias.unsqueeze(1), weight, columns)).t()


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return log sum_j exp(z_j) - z_y, one value in nats per example, with its gradient by hand.

    `logits` (B, K), `labels` (B,) give losses (B,); a batch of no examples gives no losses. The gradient with
    respect to the logits is softmax(z) - onehot(y), itself differentiable.

    Raises ValueError where shapes or dtypes do not fit, or a label is outside [0, K). On a GPU the check of the
    labels waits for the device; a training loop takes `loss_and_gradients`, which does not check.
    """
    _check_labels(labels, logits)
    losses: Tensor = _CrossEntropy.apply(logits, labels.long())
    return losses


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


def textbook_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return -log of the probability of the true class, per example; shapes and errors as `cross_entropy`.

    Autograd differentiates it step by step. It overflows on purpose, for learners to watch.
    """
    _check_labels(labels, logits)
    return -textbook_softmax(logits).gather(-1, labels.long().unsqueeze(-1)).squeeze(-1).log()


class LossAndGradients(NamedTuple):
    """What one pass of the whole model gives; the gradients are those of the *summed* loss."""

    losses: Tensor  # (B,), nats
    correct: Tensor  # (B,), bool
    weight: Tensor  # (K, D)
    bias: Tensor | None  # (K,)


@torch.no_grad()
def loss_and_gradients(features: Tensor, labels: Tensor, weight: Tensor, bias: Tensor | None) -> LossAndGradients:
    """Return losses and gradients of softmax regression in closed form, without autograd: the hot path.

    With P = softmax(X W^T + b) and Y the one-hot labels: dL/dW = (P - Y)^T X and dL/db = column sums of P - Y.
    `features` X (B, D), `labels` (B,) int64 in [0, K), `weight` W (K, D), `bias` b (K,) or None.
    The figures are those of `cross_entropy` with autograd, and an epoch of Fashion-MNIST takes 0.68 of the time.
    Inputs are trusted: a check per step would cost a wait per step on a GPU, and labels do not change while training.
    """
    losses, correct, errors = losses_and_errors(affine(features, weight, bias), labels)
    return LossAndGradients(losses, correct, errors.t() @ features, None if bias is None else errors.sum(0))


def losses_and_errors(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return losses (B,) in nats, hits (B,) bool, and the errors P - Y (B, K), which are written over `logits`."""
    index = labels.unsqueeze(-1)
    peak, correct = largest(logits, index, -1)
    logits -= peak
    picked = logits.gather(-1, index)
    exponentials = logits.exp_()
    total = exponentials.sum(-1, keepdim=True)
    losses = (total.log() - picked).squeeze(-1)
    errors = exponentials.div_(total)  # P, and with the next line P - Y
    errors.scatter_add_(-1, index, torch.full_like(picked, -1.0))
    return losses, correct.squeeze(-1), errors


def largest(logits: Tensor, index: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return the largest logits along `dim`, which stays with length 1, and whether the first of them is at `index`.

    Of many logits their places take torch 20 times as long as their values, and are needed only where two are equal.
    """
    if logits.numel() > _MANY_LOGITS and logits.device.type == "cpu":
        peak = logits.amax(dim, keepdim=True)
        if int((logits == peak).count_nonzero()) == peak.numel():
            return peak, logits.gather(dim, index) == peak
    peak, first = logits.max(dim, keepdim=True)
    return peak, first == index


def is_correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Return whether the largest logit (the first, where several are) is the label's; bool of shape (B,)."""
    # max gives the same index as argmax and is ten times faster on logits that are stored column by column.
    return logits.max(-1).indices == labels


class RunningSums:
    """Sums over an epoch, so that its mean loss and accuracy weight every example equally, in a short batch too.

    The sums stay on the device: nothing waits for a GPU until they are read. They are integers, hits and losses in
    units of 2^-26 nats, so that no order of addition matters. Axes after the batch's are kept.
    """

    def __init__(self) -> None:
        self.loss = torch.zeros((), dtype=torch.int64)
        self.correct = torch.zeros((), dtype=torch.int64)
        self.examples = 0

    def add(self, losses: Tensor, correct: Tensor) -> None:
        """Add finite `losses` (B,) in nats and `correct` (B,) bool."""
        self.loss = self.loss + (losses.detach().double() * _PER_NAT).round().long().sum(0)
        self.correct = self.correct + correct.sum(0)
        self.examples += len(losses)

    def add_shares(self, add: Callable[[Tensor], object]) -> None:
        """Add the sums of other shares of the examples; `add` adds theirs to a tensor (3,) int64, in place."""
        add(sums := torch.stack([self.loss, self.correct, torch.full_like(self.loss, self.examples)]))
        self.loss, self.correct = sums[:2]
        self.examples = int(sums[2])

    @property
    def mean_loss(self) -> Tensor:
        """Loss per example in nats, float64, on the CPU."""
        return self.loss.cpu().double() / _PER_NAT / self._counted()

    @property
    def accuracy(self) -> Tensor:
        """Share of examples whose largest logit is the label's, in [0, 1], float64, on the CPU."""
        return self.correct.cpu().double() / self._counted()

    def _counted(self) -> int:
        if self.examples == 0:
            raise ValueError("no examples were added, so there is no mean: check that the data is not empty")
        return self.examples


_MANY_LOGITS = 2**15
_PER_NAT = 2.0**26  # int64 then holds the loss of a billion examples at 100 nats, each to 7e-9


def _shifted(logits: Tensor) -> Tensor:
    """Return the logits less their maximum: softmax does not change, exp(-m) cancels; it only prevents overflow."""
    return logits - logits.detach().amax(-1, keepdim=True)  # what cancels needs no gradient


def _check_labels(labels: Tensor, logits: Tensor) -> None:
    """Raise ValueError unless `labels` fit `logits` in shape, kind and range; the first one out of range is named."""
    if logits.dim() == 0 or logits.shape[-1] == 0 or not logits.is_floating_point():
        raise ValueError(
            f"logits must be floating point of shape (..., classes), found {_described(logits)}: "
            "give the model's output, one value per class"
        )
    *examples, num_classes = logits.shape
    if list(labels.shape) != examples:
        raise ValueError(
            f"labels must have the logits' shape without the last axis, {tuple(examples)}, "
            f"found {_described(labels)}: give one class index per example"
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"labels must be integers, found {_described(labels)}: give class indices")
    flat = labels.long().flatten()
    outside = (flat < 0) | (flat >= num_classes)
    if outside.any():
        position = int(outside.nonzero()[0])
        raise ValueError(
            f"labels must lie in [0, {num_classes - 1}] for {num_classes} classes, found {int(flat[position])} "
            f"at position {position}: check the labels or the number of classes"
        )


def _described(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
