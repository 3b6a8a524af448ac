"""Softmax regression by full-batch gradient descent in float64 NumPy: closed-form gradient, no framework.

Shape legend: N examples, D features, K classes. It is the oracle that the torch implementation is tested against,
and a solver of its own. With X the features, Y the one-hot labels and P = softmax(X W^T + b):

    gradient of the mean loss   dL/dW = (P - Y)^T X / N      dL/db = column sums of (P - Y) / N

Data is read in blocks of rows, so that a data set of bytes is never as a whole in memory as float64: the sums are the
same but for the order of the additions (about 1e-16 relative).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

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
    scale: npt.ArrayLike

    def blocks(self, features: npt.NDArray[np.generic]) -> Iterator[tuple[slice, Array, Array]]:
        """Cut raw `features` (N, ...) into blocks of B rows; yield which rows, features (B, D) and logits (B, K)."""
        rows = features.reshape(len(features), -1)
        for start in range(0, len(rows), BLOCK_ROWS):
            part = slice(start, start + BLOCK_ROWS)
            block = rows[part].astype(np.float64) / np.asarray(self.scale)
            logits = block @ self.weight.T
            yield part, block, logits if self.bias is None else logits + self.bias

    def predict_proba(self, features: npt.ArrayLike) -> Array:
        """Return the class probabilities (N, K) of raw `features` (N, ...)."""
        return softmax(np.concatenate([logits for _, _, logits in self.blocks(np.asarray(features))]))

    def evaluate(self, features: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[float, float]:
        """Return mean cross-entropy in nats and accuracy in [0, 1] on raw `features` (N, ...), `labels` (N,) integers.

        A probability below 1e-300 counts as 1e-300, so that the loss is finite.
        """
        probabilities, classes = self.predict_proba(features), np.asarray(labels)
        picked = np.log(np.maximum(probabilities, 1e-300))[np.arange(len(classes)), classes]
        return float(-np.mean(picked)), float(np.mean(classes == probabilities.argmax(axis=1)))


@dataclass(frozen=True)
class Progress:
    """Figures on the training set after `iteration` updates: mean loss in nats, accuracy in [0, 1].

    `solution` does not change later; whoever keeps many of these keeps as many copies of the weights.
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
    scale: npt.ArrayLike = 1.0,
    on_iteration: Callable[[Progress], None] | None = None,
) -> Solution:
    """Return the weights after `iterations` steps p -= learning_rate * gradient of the mean loss, from zeros.

    `features` (N, ...) are raw values of any real dtype, `labels` (N,) integers in [0, `num_classes`).
    `on_iteration` is called at iteration 0, where the loss is ln K, and after each update.
    Raises RuntimeError where the loss is not finite.
    """
    raw, classes = np.asarray(features), np.asarray(labels)
    weight = np.zeros((num_classes, raw[0].size))
    offset = np.zeros(num_classes) if bias else None
    for iteration in range(iterations + 1):
        # The weights are updated into new arrays, so that a Solution kept by a caller does not change.
        solution = Solution(weight, offset, scale)
        loss, accuracy, weight_gradient, bias_gradient = loss_and_gradients(solution, raw, classes)
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
    """Return mean loss in nats, accuracy, and the mean loss's gradients (K, D) and (K,), of raw `features` (N, ...)."""
    loss, correct = 0.0, 0
    weight_gradient, bias_gradient = np.zeros_like(solution.weight), np.zeros(len(solution.weight))
    for part, block, logits in solution.blocks(features):
        shifted = logits - logits.max(axis=1, keepdims=True)
        exponentials = np.exp(shifted)
        total = exponentials.sum(axis=1, keepdims=True)
        one_hot = labels[part, None] == np.arange(logits.shape[1])
        loss += float(np.log(total).sum() - shifted[one_hot].sum())
        correct += int((logits.argmax(axis=1) == labels[part]).sum())
        errors = exponentials / total - one_hot
        weight_gradient += errors.T @ block
        bias_gradient += errors.sum(axis=0)
    count = len(features)
    return loss / count, correct / count, weight_gradient / count, bias_gradient / count
