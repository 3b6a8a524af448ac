"""numpy_solver.py: program B's figures, the gradient against finite differences, blocks, bytes, errors."""

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from softmax_regression.mathematics import numpy_solver
from softmax_regression.mathematics.numpy_solver import Progress, Solution, fit, loss_and_gradients, softmax


def small_problem(examples: int = 40, seed: int = 0) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return features (examples, 5) and labels of 3 classes."""
    generator = np.random.default_rng(seed)
    return generator.normal(size=(examples, 5)), generator.integers(0, 3, examples)


def solve(features: npt.ArrayLike, labels: npt.ArrayLike, **changes: Any) -> Solution:
    """Fit 3 classes with a bias for 20 steps, unless changed."""
    settings: dict[str, Any] = {"learning_rate": 0.5, "iterations": 20, "bias": True}
    return fit(features, labels, 3, **(settings | changes))


@pytest.mark.parametrize(("bias", "loss", "accuracy"), [(False, 0.3394, 0.88), (True, 0.3211, 0.86)])
def test_program_b(bias: bool, loss: float, accuracy: float) -> None:
    """Program B's settings reach its train loss after 1,000 steps at 0.1, and its test accuracy."""
    datasets = pytest.importorskip("sklearn.datasets")
    model_selection = pytest.importorskip("sklearn.model_selection")
    features, labels = datasets.make_classification(
        n_samples=1000, n_features=2, n_informative=2, n_redundant=0, n_classes=3, n_clusters_per_class=1,
        random_state=42,
    )  # fmt: skip
    train, test, train_labels, test_labels = model_selection.train_test_split(
        features, labels, test_size=0.2, random_state=42
    )
    history: list[Progress] = []
    solution = fit(train, train_labels, 3, learning_rate=0.1, iterations=1000, bias=bias, on_iteration=history.append)
    # The figures are published to four and two decimals.
    assert history[-1].loss == pytest.approx(loss, abs=5e-5)
    assert solution.evaluate(test, test_labels)[1] == pytest.approx(accuracy, abs=1e-9)


def test_the_way_there() -> None:
    """The loss is ln K at iteration 0 and falls at every step; the last iteration is that of the solution."""
    history: list[Progress] = []
    solution = solve(*small_problem(), on_iteration=history.append)
    losses = [progress.loss for progress in history]
    assert [progress.iteration for progress in history] == list(range(21))
    assert losses[0] == pytest.approx(math.log(3), abs=1e-15)
    assert all(later < earlier for earlier, later in itertools.pairwise(losses))
    assert not history[0].solution.weight.any()
    assert history[-1].solution is solution


def test_no_iterations_leave_the_zeros() -> None:
    """Without a step all classes are equally probable."""
    features, labels = small_problem()
    assert np.allclose(solve(features, labels, iterations=0).predict_proba(features), 1 / 3, rtol=1e-15)


def test_one_step_by_hand() -> None:
    """One example x = 2 of class 0 of two: P - Y = (-1/2, 1/2), so at rate 1 W = (1, -1) and b = (1/2, -1/2)."""
    solution = fit([[2.0]], [0], 2, learning_rate=1.0, iterations=1, bias=True)
    assert solution.weight.tolist() == [[1.0], [-1.0]]
    assert solution.bias is not None
    assert solution.bias.tolist() == [0.5, -0.5]
    assert fit([[2.0]], [0], 2, learning_rate=1.0, iterations=1, bias=False).bias is None


def test_gradient_equals_finite_differences() -> None:
    """Each element of the gradient is the slope of the mean loss."""
    features, labels = small_problem()
    generator = np.random.default_rng(1)
    weight, bias = generator.normal(size=(3, 5)), generator.normal(size=3)
    _, _, weight_gradient, bias_gradient = loss_and_gradients(Solution(weight, bias, 1.0), features, labels)
    width = 1e-6
    for gradient, values in ((weight_gradient, weight), (bias_gradient, bias)):
        for position in np.ndindex(values.shape):
            losses = []
            for sign in (1, -1):
                values[position] += sign * width
                losses.append(loss_and_gradients(Solution(weight, bias, 1.0), features, labels)[0])
                values[position] -= sign * width
            # A central difference errs by width^2 times a third derivative below 1 and by 1e-16 / width.
            assert gradient[position] == pytest.approx((losses[0] - losses[1]) / (2 * width), abs=1e-9)


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in blocks of 7 rows or all at once, the weights are the same."""
    features, labels = small_problem()
    whole = solve(features, labels)
    monkeypatch.setattr(numpy_solver, "BLOCK_ROWS", 7)
    blocks = solve(features, labels)
    # The sums run in another order: some roundings of 1e-16, over 20 steps.
    np.testing.assert_allclose(blocks.weight, whole.weight, rtol=0, atol=1e-13)
    np.testing.assert_allclose(blocks.predict_proba(features), whole.predict_proba(features), rtol=0, atol=1e-13)


def test_byte_images_are_scaled() -> None:
    """Byte images of any shape with scale 255 give what their scaled rows give."""
    images = np.random.default_rng(0).integers(0, 256, (40, 2, 3), dtype=np.uint8)
    labels = np.arange(40, dtype=np.uint8) % 3
    of_bytes = solve(images, labels, scale=255)
    of_rows = solve(images.reshape(40, 6) / 255, labels)
    assert np.array_equal(of_bytes.weight, of_rows.weight)
    assert np.array_equal(of_bytes.predict_proba(images), of_rows.predict_proba(images.reshape(40, 6) / 255))


def test_every_feature_may_have_its_own_scale() -> None:
    """Integers with a scale for each column give what the features themselves give."""
    stored = np.random.default_rng(0).integers(-32767, 32768, (40, 3)).astype(np.int16)
    scale, labels = (2.0**13, 2.0**14, 2.0**15), np.arange(40) % 3
    packed, plain = solve(stored, labels, scale=scale), solve(stored / np.array(scale), labels)
    assert np.array_equal(packed.weight, plain.weight)
    assert np.array_equal(packed.predict_proba(stored), plain.predict_proba(stored / np.array(scale)))


def test_softmax_does_not_overflow() -> None:
    """Logits of 1e4 give probabilities that sum to one, and a shift changes nothing."""
    logits = np.random.default_rng(0).normal(size=(50, 10)) * 1e4
    # Ten probabilities, each rounded at 1e-16; the shifted logits are rounded at 1e-12 themselves.
    np.testing.assert_allclose(softmax(logits).sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(softmax(logits + 1e3), softmax(logits), rtol=1e-10, atol=1e-10)


def test_evaluation_by_hand() -> None:
    """Logits ln 3 and 0 are probabilities 3/4 and 1/4: of labels 0 and 1 the loss is ln(16 / 3) / 2, half are right."""
    solution = Solution(np.array([[math.log(3)], [0.0]]), None, scale=2.0)
    loss, accuracy = solution.evaluate(np.array([[2], [2]], np.uint8), np.array([0, 1], np.uint8))
    # Two roundings of logarithms of about 1.
    assert loss == pytest.approx(math.log(16 / 3) / 2, abs=1e-15)
    assert accuracy == 0.5


def test_evaluation_equals_the_trainings_figures() -> None:
    """On the training set itself the loss and accuracy are those of the last iteration."""
    features, labels = small_problem()
    history: list[Progress] = []
    solution = solve(features, labels, on_iteration=history.append)
    loss, accuracy = solution.evaluate(features, labels)
    # The sums run in another order.
    assert loss == pytest.approx(history[-1].loss, abs=1e-14)
    assert accuracy == history[-1].accuracy


def test_a_class_without_any_probability_costs_a_finite_loss() -> None:
    """A probability that underflows to zero counts as 1e-300."""
    solution = Solution(np.array([[2000.0], [0.0]]), None, scale=1.0)
    loss, accuracy = solution.evaluate([[1.0]], [1])
    assert loss == pytest.approx(300 * math.log(10), rel=1e-15)
    assert accuracy == 0.0


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_a_loss_that_is_not_finite_stops() -> None:
    """Weights that overflow stop the run with the iteration and what to lower."""
    with pytest.raises(RuntimeError, match=r"^the loss is (nan|inf) at iteration \d+: lower the learning rate, .*$"):
        solve(*small_problem(), learning_rate=1e308)
