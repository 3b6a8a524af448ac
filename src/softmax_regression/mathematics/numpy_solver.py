"""Softmax regression by full-batch gradient descent in float64 NumPy: closed-form gradient, no framework.

Shape legend: N examples, D features, K classes. It is the oracle that the torch implementation is tested against,
and a solver of its own. With X the features, Y the one-hot labels and P = softmax(X W^T + b):

    gradient of the mean loss   dL/dW = (P - Y)^T X / N      dL/db = column sums of (P - Y) / N

Data is read in blocks of rows, so that a data set of bytes never stands in memory as float64: the sums are the same
but for the order of the additions (about 1e-16 relative).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]

# 512 rows of 784 features are 3 MB in float64, which a processor's cache holds: the fastest size measured, of 256
# to 60,000 rows (all at once take 3.6 times as long).
BLOCK_ROWS = 512


@dataclass(frozen=True)
class Solution:
    """Weights after some iterations: `weight` (K, D), `bias` (K,) or None; features are raw values / `scale`."""

    weight: Array
    bias: Array | None
    scale: float

    def predict_proba(self, features: npt.ArrayLike) -> Array:
        """Return the class probabilities (N, K) of raw `features` (N, ...)."""
        rows = _as_rows(np.asarray(features))
        blocks = [self._logits(rows[start : start + BLOCK_ROWS]) for start in range(0, len(rows), BLOCK_ROWS)]
        return softmax(np.concatenate([np.empty((0, len(self.weight))), *blocks]))

    def predict(self, features: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the most probable class (N,) of raw `features` (N, ...)."""
        return np.asarray(self.predict_proba(features).argmax(axis=1), dtype=np.int64)

    def _logits(self, rows: npt.NDArray[np.generic]) -> Array:
        return _affine(rows.astype(np.float64) / self.scale, self.weight, self.bias)


@dataclass(frozen=True)
class Progress:
    """Figures on the training set after `iteration` updates: mean loss in nats, accuracy in [0, 1].

    `solution` is never written to again; who keeps many of these keeps as many copies of the weights.
    """

    iteration: int
    loss: float
    accuracy: float
    solution: Solution


def softmax(logits: Array) -> Array:
    """Return exp(z_k) / sum_j exp(z_j) per row (N, K); the row maximum is subtracted first, so nothing overflows."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def fit(
    features: npt.ArrayLike,
    labels: npt.ArrayLike,
    num_classes: int,
    *,
    learning_rate: float,
    iterations: int,
    bias: bool,
    scale: float = 1.0,
    on_iteration: Callable[[Progress], None] | None = None,
) -> Solution:
    """Return the weights after `iterations` steps p -= learning_rate * gradient of the mean loss, from zeros.

    `features` (N, ...) are raw values of any real dtype, `labels` (N,) integers in [0, `num_classes`).
    `on_iteration` hears of iteration 0, where the loss is ln K, and of each one after its update.
    Raises ValueError where shapes, labels or settings do not fit, and RuntimeError where the loss is not finite.
    """
    rows, classes = _as_rows(np.asarray(features)), np.asarray(labels)
    _check(rows, classes, num_classes, learning_rate, iterations, scale)
    weight = np.zeros((num_classes, rows.shape[1]))
    offset = np.zeros(num_classes) if bias else None
    for iteration in range(iterations + 1):
        # The weights are updated into new arrays, so a Solution that somebody kept does not change.
        solution = Solution(weight, offset, scale)
        loss, accuracy, weight_gradient, bias_gradient = loss_and_gradients(solution, rows, classes)
        if not math.isfinite(loss):
            raise RuntimeError(
                f"the loss is {loss} at iteration {iteration}: lower the learning rate, now {learning_rate}"
            )
        if on_iteration is not None:
            on_iteration(Progress(iteration, loss, accuracy, solution))
        if iteration < iterations:
            weight = weight - learning_rate * weight_gradient
            offset = None if offset is None else offset - learning_rate * bias_gradient
    return solution


def loss_and_gradients(
    solution: Solution, features: npt.NDArray[np.generic], labels: npt.NDArray[np.integer]
) -> tuple[float, float, Array, Array]:
    """Return mean loss in nats, accuracy, and the mean loss's gradients (K, D) and (K,), of raw `features` (N, D)."""
    loss, correct = 0.0, 0
    weight_gradient, bias_gradient = np.zeros_like(solution.weight), np.zeros(len(solution.weight))
    for start in range(0, len(features), BLOCK_ROWS):
        block = features[start : start + BLOCK_ROWS].astype(np.float64) / solution.scale
        classes = labels[start : start + BLOCK_ROWS]
        logits = _affine(block, solution.weight, solution.bias)
        shifted = logits - logits.max(axis=1, keepdims=True)
        exponentials = np.exp(shifted)
        total = exponentials.sum(axis=1, keepdims=True)
        one_hot = classes[:, None] == np.arange(logits.shape[1])
        loss += float(np.log(total).sum() - shifted[one_hot].sum())
        correct += int((logits.argmax(axis=1) == classes).sum())
        errors = exponentials / total - one_hot
        weight_gradient += errors.T @ block
        bias_gradient += errors.sum(axis=0)
    count = len(features)
    return loss / count, correct / count, weight_gradient / count, bias_gradient / count


def _affine(features: Array, weight: Array, bias: Array | None) -> Array:
    return features @ weight.T if bias is None else features @ weight.T + bias


def _as_rows(features: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    if features.ndim < 2:
        raise ValueError(f"features must be (examples, ...), found shape {features.shape}: give one row per example")
    return features.reshape(len(features), math.prod(features.shape[1:]))


def _check(
    rows: npt.NDArray[np.generic],
    labels: npt.NDArray[Any],
    num_classes: int,
    learning_rate: float,
    iterations: int,
    scale: float,
) -> None:
    if labels.shape != (len(rows),) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"labels must be {len(rows)} integers, found {labels.dtype} of shape {labels.shape}: "
            "give one class index per example"
        )
    if len(rows) == 0:
        raise ValueError("the data set holds no examples, at least 1 is needed: check how it was read or split")
    outside = (labels < 0) | (labels >= num_classes)
    if outside.any():
        position = int(outside.argmax())
        raise ValueError(
            f"labels must lie in [0, {num_classes - 1}] for {num_classes} classes, found {labels[position]} "
            f"at position {position}: check the labels or the number of classes"
        )
    for name, value in {"learning_rate": learning_rate, "scale": scale}.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive and finite, found {value}: change it")
    if iterations < 0:
        raise ValueError(f"iterations must be at least 0, found {iterations}: raise it")
