"""lbfgs.py: the optimum is scikit-learn's, figures are those of the weights, the end is told."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from softmax_regression.artifacts.outcome import Convergence
from softmax_regression.mathematics import numpy_solver
from softmax_regression.mathematics.batches import EvaluationBatches, Inputs
from softmax_regression.training.lbfgs import Iterate, fit, measure

DIGITS = load_digits()
IMAGES, LABELS = DIGITS.data[:600].astype(np.uint8), DIGITS.target[:600].astype(np.uint8)
INPUTS = Inputs(64, torch.uint8, torch.tensor(16.0, dtype=torch.float64), 128)


def blocks_of(images: np.ndarray = IMAGES, labels: np.ndarray = LABELS, size: int = 128) -> EvaluationBatches:
    """Return the examples in blocks."""
    return EvaluationBatches(torch.from_numpy(images), torch.from_numpy(labels), batch_size=size)


def solved(
    weight_decay: float,
    bias: bool = True,
    iterations: int = 2000,
    size: int = 128,
    threads: int = 1,
    seen: list[Iterate] | None = None,
) -> tuple[Iterate, Convergence]:
    """Solve for the digits."""
    return fit(
        blocks_of(size=size),
        INPUTS,
        10,
        bias=bias,
        weight_decay=weight_decay,
        iterations=iterations,
        threads=threads,
        on_iteration=(lambda iterate: None) if seen is None else seen.append,
    )


def objective(weight: np.ndarray, bias: np.ndarray, weight_decay: float) -> float:
    """Return F in NumPy."""
    loss, _ = numpy_solver.Solution(weight, bias, 16.0).evaluate(IMAGES, LABELS)
    return loss + weight_decay / 2 * float(np.square(weight).sum())


def arrays(iterate: Iterate) -> tuple[np.ndarray, np.ndarray]:
    """Return weight and bias, zeros where there is none."""
    return iterate.weight.numpy(), np.zeros(10) if iterate.bias is None else iterate.bias.numpy()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("weight_decay", [1.0, 1e-2, 1e-4])
def test_the_optimum_is_that_of_scikit_learn(weight_decay: float, bias: bool) -> None:
    """The same penalty, C = 1 / (N weight_decay), gives the same objective to 1e-6, and nearly the same weights."""
    found, convergence = solved(weight_decay, bias)
    model = LogisticRegression(C=1 / (600 * weight_decay), fit_intercept=bias, tol=1e-10, max_iter=20_000)
    model.fit(IMAGES / 16, LABELS)
    assert convergence.at_optimum
    assert convergence.slope <= 1e-7
    theirs = objective(model.coef_, model.intercept_ * np.ones(10), weight_decay)
    assert objective(*arrays(found), weight_decay) == pytest.approx(theirs, abs=1e-6)
    # F is strongly convex: |W - W*| <= |dF| / weight_decay, with slopes of 1e-7 at most in 650 variables; theirs, too.
    tolerance = 2 * 1e-7 * math.sqrt(650) / weight_decay
    np.testing.assert_allclose(found.weight.numpy(), model.coef_, rtol=0, atol=tolerance)


def test_without_a_penalty_it_descends_to_no_slope() -> None:
    """Images that a line separates have no optimum: the loss falls until the slopes are below the tolerance."""
    found, convergence = solved(0.0)
    assert convergence.at_optimum
    assert convergence.slope <= 1e-7
    assert found.loss < 1e-5
    assert found.accuracy == 1.0


def test_the_figures_are_those_of_the_weights() -> None:
    """After each iteration loss and accuracy are the NumPy oracle's; the first phase has them in float32."""
    seen: list[Iterate] = []
    last, convergence = solved(1e-3, seen=seen)
    assert [iterate.iteration for iterate in seen] == list(range(1, convergence.iterations + 1))
    assert seen[-1] is last
    for iterate in seen:
        loss, accuracy = numpy_solver.Solution(*arrays(iterate), 16.0).evaluate(IMAGES, LABELS)
        assert iterate.loss == pytest.approx(loss, abs=1e-6)  # float32, 64 features
        assert iterate.accuracy == pytest.approx(accuracy, abs=2 / 600)  # of equal logits either may win
    loss, accuracy = numpy_solver.Solution(*arrays(last), 16.0).evaluate(IMAGES, LABELS)
    assert last.loss == pytest.approx(loss, abs=1e-12)
    assert last.accuracy == accuracy


def test_other_examples_are_measured_in_float64() -> None:
    """The figures of examples that it has not seen are the NumPy oracle's."""
    last, _ = solved(1e-3, iterations=5)
    images, labels = DIGITS.data[600:900].astype(np.uint8), DIGITS.target[600:900].astype(np.uint8)
    loss, accuracy = numpy_solver.Solution(*arrays(last), 16.0).evaluate(images, labels)
    found_loss, found_accuracy = measure(blocks_of(images, labels, 77), INPUTS, last)
    assert found_loss == pytest.approx(loss, abs=1e-8)  # in units of 2^-26
    assert found_accuracy == pytest.approx(accuracy, abs=1e-12)


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_neither_blocks_nor_threads_matter(threads: int) -> None:
    """Whatever the blocks and whoever shares them, the optimum is the same, to what its tolerance leaves open."""
    one, other = solved(0.1, size=600)[0], solved(0.1, size=70 + threads, threads=threads)[0]
    np.testing.assert_allclose(one.weight, other.weight, rtol=0, atol=2 * 1e-7 * math.sqrt(650) / 0.1)


@pytest.mark.parametrize("iterations", [1, 2, 7])
def test_it_takes_no_more_iterations_than_it_may(iterations: int) -> None:
    """Where they are over it has not converged, and the slope says how far it is."""
    seen: list[Iterate] = []
    _, convergence = solved(1e-3, iterations=iterations, seen=seen)
    assert not convergence.at_optimum
    assert convergence.iterations == len(seen) == iterations
    assert convergence.slope > 1e-3


def test_a_start_at_the_optimum_is_one_epoch() -> None:
    """Where no image tells anything and all classes are equal in number zero is the optimum; there is one row of it."""
    seen: list[Iterate] = []
    found, convergence = fit(
        blocks_of(np.zeros((20, 64), np.uint8), np.arange(20, dtype=np.uint8) % 10),
        INPUTS,
        10,
        bias=True,
        weight_decay=0.1,
        iterations=9,
        threads=2,
        on_iteration=seen.append,
    )
    assert (convergence.at_optimum, convergence.iterations, len(seen)) == (True, 1, 1)
    assert found.loss == pytest.approx(math.log(10), abs=1e-12)


def test_scipy_is_loaded_by_this_solver_alone() -> None:
    """A training by SGD does not wait for SciPy's import."""
    code = "import sys; from softmax_regression.training import solving; print('scipy' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
