"""L-BFGS (Liu & Nocedal 1989; SciPy's) on the closed-form loss and gradient: no rate to choose, and an end.

With the N training examples X, their one-hot labels Y and P = softmax(X W^T + b), what is minimised is convex:

    F(W, b) = mean cross-entropy + weight_decay / 2 |W|^2      the bias is not penalised
    dF/dW   = (P - Y)^T X / N + weight_decay W                 dF/db = column sums of (P - Y) / N

The start therefore does not matter to the optimum; it is zero. The optimum is that of scikit-learn's LogisticRegression
with C = 1 / (N weight_decay). An epoch is an iteration: one pass over the data, seldom two, block by block. While the
slopes are steep a pass computes in float32, which takes half the time; the end is in float64.

The sums are torch's, and shared by threads, so the last bits are not the same on every machine.
Shapes: B examples of a block, D features, K classes.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import OptimizeResult, minimize
from torch import Tensor

from softmax_regression.artifacts.outcome import Convergence
from softmax_regression.mathematics.batches import EvaluationBatches, Inputs
from softmax_regression.mathematics.softmax import RunningSums, affine, loss_and_gradients, losses_and_errors

Floats: TypeAlias = npt.NDArray[np.float64]

TOLERANCE = 1e-7  # of the slope at the optimum, see `Convergence`
# In turn: what is computed in, and at which slope, or which fall of F in an iteration, relative to it, that ends.
_PHASES = ((torch.float32, 1e-6, 1e-6), (torch.float64, TOLERANCE, 1e-16))
_PASSES = 50  # at most, of an iteration; scikit-learn's number


@dataclass(frozen=True)
class Iterate:
    """The weights (K, D) and (K,) or None after an iteration, in float64, and their figures on the training set."""

    iteration: int  # 1, 2, ...
    weight: Tensor
    bias: Tensor | None
    loss: float  # mean cross-entropy in nats, without the penalty
    accuracy: float


class _Objective:
    """F and its gradient, in one pass over the training set; the variables are W row by row, then b, as one vector."""

    def __init__(
        self,
        training: EvaluationBatches,
        inputs: Inputs,
        num_classes: int,
        bias: bool,
        weight_decay: float,
        threads: int,
    ) -> None:
        self.shares = training.shares(threads)
        self.pool = ThreadPoolExecutor(len(self.shares), initializer=torch.set_num_threads, initargs=(1,))
        self.inputs, self.num_classes, self.bias, self.weight_decay = inputs, num_classes, bias, weight_decay
        self.dtype = torch.float64
        self.at: Floats | None = None  # where it was measured last, and what was found there
        self.loss = self.accuracy = self.slope = 0.0

    def start(self) -> Floats:
        """Return zeros."""
        return np.zeros(self.num_classes * (self.inputs.num_features + self.bias))

    def weights(self, variables: Floats) -> tuple[Tensor, Tensor | None]:
        """Return W (K, D) and b (K,) or None; they share the memory of `variables`."""
        size = self.num_classes * self.inputs.num_features
        vector = torch.from_numpy(variables)
        return vector[:size].view(self.num_classes, -1), vector[size:] if self.bias else None

    def __call__(self, variables: Floats) -> tuple[float, Floats]:
        """Return F in nats and its gradient, in the order of the variables."""
        weight, bias = self.weights(variables)
        device = self.inputs.scale.device
        rounded = weight.to(device, self.dtype), None if bias is None else bias.to(device, self.dtype)
        shares = list(self.pool.map(lambda share: self._sums(share, *rounded), self.shares))
        gradients, losses, hits, numbers = zip(*shares, strict=True)
        gradient, loss, correct, examples = gradients[0], sum(losses), sum(hits), sum(numbers)
        for other in gradients[1:]:
            gradient += other
        gradient /= examples
        self.weights(gradient)[0].add_(weight, alpha=self.weight_decay)
        self.at, self.loss, self.accuracy = variables.copy(), loss / examples, correct / examples
        self.slope = float(np.abs(gradient).max())
        return self.loss + self.weight_decay / 2 * float(weight.square().sum()), gradient

    def _sums(self, blocks: EvaluationBatches, weight: Tensor, bias: Tensor | None) -> tuple[Floats, float, int, int]:
        """Return the summed loss's gradient, that loss, the hits and the number of the examples in `blocks`."""
        gradient = self.start()
        weight_gradient, bias_gradient = self.weights(gradient)
        loss, correct, examples = 0.0, 0, 0
        for stored, labels in blocks:
            part = loss_and_gradients(self.inputs.features(stored, self.dtype), labels, weight, bias)
            loss += float(part.losses.double().sum())
            correct += int(part.correct.sum())
            examples += len(labels)
            weight_gradient += part.weight.cpu()
            if bias_gradient is not None and part.bias is not None:
                bias_gradient += part.bias.cpu()
        return gradient, loss, correct, examples


def fit(
    training: EvaluationBatches,
    inputs: Inputs,
    num_classes: int,
    *,
    bias: bool,
    weight_decay: float,
    iterations: int,
    threads: int,
    on_iteration: Callable[[Iterate], None],
) -> tuple[Iterate, Convergence]:
    """Return the optimum, or where `iterations` of them have led, and which of the two it is.

    `on_iteration` is called after each, with weights that do not change later. `inputs.scale` is on the data's device.
    The `threads` share the blocks of a pass and meet at its end.
    """
    objective = _Objective(training, inputs, num_classes, bias, weight_decay, threads)
    variables, done = objective.start(), 0
    last: Iterate | None = None

    def report(at: Floats) -> Iterate:
        nonlocal done
        if objective.at is None or not np.array_equal(objective.at, at):
            objective(at)
        done += 1
        assert objective.at is not None
        found = Iterate(done, *objective.weights(objective.at), objective.loss, objective.accuracy)
        on_iteration(found)
        return found

    def callback(intermediate_result: OptimizeResult) -> None:  # SciPy knows it by the name of its argument
        nonlocal last
        last = report(intermediate_result.x)

    with objective.pool:
        for dtype, slope, fall in _PHASES:
            objective.dtype = dtype
            objective.at = None  # to be measured anew
            options = {"maxiter": iterations - done, "maxfun": _PASSES * iterations, "maxls": _PASSES}
            found = minimize(
                objective,
                variables,
                jac=True,
                method="L-BFGS-B",
                callback=callback,
                options=options | {"gtol": slope, "ftol": fall},
            )
            variables = found.x
            if done == iterations:
                break
        last = last or report(variables)  # no step was taken: it began at the optimum
    ended = done < iterations or objective.slope <= TOLERANCE
    return last, Convergence(ended, done, objective.slope)


def measure(blocks: EvaluationBatches, inputs: Inputs, iterate: Iterate) -> tuple[float, float]:
    """Return mean cross-entropy in nats and accuracy of other examples, in float64."""
    device = inputs.scale.device
    weight, bias = iterate.weight.to(device), None if iterate.bias is None else iterate.bias.to(device)
    sums = RunningSums()
    for stored, labels in blocks:
        losses, correct, _ = losses_and_errors(affine(inputs.features(stored, torch.float64), weight, bias), labels)
        sums.add(losses, correct)
    return float(sums.mean_loss), float(sums.accuracy)
