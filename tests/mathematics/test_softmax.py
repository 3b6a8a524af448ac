"""softmax.py: numbers by hand, NumPy in float64 as the oracle, properties, gradients, the model, the running sums."""

import ast
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

import softmax_regression
from softmax_regression.mathematics import numpy_solver
from softmax_regression.mathematics.softmax import (
    RunningSums,
    SoftmaxRegression,
    cross_entropy,
    initial_weights,
    is_correct,
    largest,
    loss_and_gradients,
    softmax,
    textbook_cross_entropy,
    textbook_softmax,
)

Losses = Callable[[Tensor, Tensor], Tensor]
BOTH = pytest.mark.parametrize("losses", [cross_entropy, textbook_cross_entropy])

# float64 keeps 16 digits; sums over at most 1,000 terms of exponentials lose fewer than three of them.
FLOAT64 = 1e-12
# float32 keeps 7 digits; the same sums lose one.
FLOAT32 = 2e-6


def draw(*shape: int, seed: int = 0, scale: float = 1.0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return normal numbers times `scale`, the same for the same seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) * scale


def draw_labels(*shape: int, classes: int, seed: int = 1) -> Tensor:
    """Return class indices, the same for the same seed."""
    return torch.randint(classes, shape, generator=torch.Generator().manual_seed(seed))


def assert_close(actual: Tensor | None, wanted: Tensor | npt.ArrayLike | None, tolerance: float) -> None:
    """Fail unless both are there and agree to `tolerance`, absolute and relative."""
    assert actual is not None
    assert wanted is not None
    numbers = wanted.detach().numpy() if isinstance(wanted, Tensor) else np.asarray(wanted)
    np.testing.assert_allclose(actual.detach().numpy(), numbers, rtol=tolerance, atol=tolerance)


def oracle_log_softmax(logits: Tensor) -> npt.NDArray[np.float64]:
    """Return log-softmax from NumPy's own logaddexp, one pair at a time: another road to the same number."""
    values = logits.double().numpy()
    return np.asarray(values - np.logaddexp.reduce(values, axis=-1, keepdims=True))


@BOTH
def test_cross_entropy_of_the_book(losses: Losses) -> None:
    """Probabilities [[.1, .3, .6], [.3, .2, .5]] with labels [0, 2] cost -ln .1 = 2.3026 and -ln .5 = 0.6931."""
    probabilities = torch.tensor([[0.1, 0.3, 0.6], [0.3, 0.2, 0.5]], dtype=torch.float64)
    result = losses(probabilities.log(), torch.tensor([0, 2]))
    assert_close(result, [2.302585092994046, 0.6931471805599453], FLOAT64)


def test_accuracy_of_the_book() -> None:
    """The same two predictions with labels [0, 2] are wrong and right."""
    probabilities = torch.tensor([[0.1, 0.3, 0.6], [0.3, 0.2, 0.5]])
    assert is_correct(probabilities, torch.tensor([0, 2])).tolist() == [False, True]


@BOTH
def test_zero_weights_cost_the_logarithm_of_the_classes(losses: Losses) -> None:
    """Equal logits of 10 classes cost ln 10 whatever the label."""
    assert_close(losses(torch.zeros(10, 10), torch.arange(10)), math.log(10), FLOAT32)


def test_equal_logits_predict_the_first_class() -> None:
    """Of equal logits the first wins, as with argmax, so that an untrained model is right for one class in ten."""
    assert is_correct(torch.zeros(10, 10), torch.arange(10)).tolist() == [True, *[False] * 9]


@pytest.mark.parametrize("scale", [1.0, 100.0, 1e4])
@pytest.mark.parametrize("shape", [(7, 10), (1, 10), (5, 2), (1, 1), (10,), (3, 4, 5)])
def test_stable_form_equals_numpy_in_float64(shape: tuple[int, ...], scale: float) -> None:
    """Softmax and cross-entropy equal NumPy's logaddexp for logits up to 1e4, over any leading axes."""
    logits, labels = draw(*shape, scale=scale), draw_labels(*shape[:-1], classes=shape[-1])
    wanted = oracle_log_softmax(logits)
    picked = -np.take_along_axis(wanted, labels.numpy()[..., None], axis=-1)[..., 0]
    # Logits of 1e4 are rounded at 1e-12 themselves, and the oracle rounds once more: a probability inherits that
    # as a relative error.
    tolerance = 1e-11
    assert_close(softmax(logits), np.exp(wanted), tolerance)
    assert_close(cross_entropy(logits, labels), picked, tolerance)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_stable_form_in_float32_equals_float64(scale: float) -> None:
    """In float32 the losses are those of float64 to float32's precision, at logits of 1e4 too."""
    logits, labels = draw(50, 10, scale=scale, dtype=torch.float32), draw_labels(50, classes=10)
    wanted = cross_entropy(logits.double(), labels)
    assert_close(cross_entropy(logits, labels).double(), wanted, FLOAT32)


@BOTH
def test_equals_torch(losses: Losses) -> None:
    """Losses and gradients equal those of torch's own cross-entropy."""
    logits, labels = draw(20, 10).requires_grad_(), draw_labels(20, classes=10)
    (ours,) = torch.autograd.grad(losses(logits, labels).sum(), logits)
    (theirs,) = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, labels, reduction="sum"), logits)
    assert_close(ours, theirs, FLOAT64)


@pytest.mark.parametrize("function", [softmax, textbook_softmax])
def test_rows_sum_to_one_and_shifts_cancel(function: Callable[[Tensor], Tensor]) -> None:
    """Probabilities sum to one and do not change when a number is added to all logits of a row."""
    logits = draw(30, 10, scale=5.0)
    assert_close(function(logits).sum(-1), 1.0, FLOAT64)
    assert_close(function(logits + 40.0), function(logits), 1e-11)


def test_rows_sum_to_one_where_the_textbook_overflows() -> None:
    """At logits of 1e4 in float32 the stable rows still sum to one."""
    logits = draw(30, 10, scale=1e4, dtype=torch.float32)
    assert_close(softmax(logits).sum(-1), 1.0, FLOAT32)


def test_textbook_overflows_near_89() -> None:
    """In float32 exp(88) is the last that fits: at 89 the textbook's loss is nan, the stable one is right."""
    labels = torch.tensor([0])
    assert textbook_cross_entropy(torch.tensor([[88.0, 0.0]]), labels).isfinite().all()
    assert textbook_cross_entropy(torch.tensor([[89.0, 0.0]]), labels).isnan().all()
    assert cross_entropy(torch.tensor([[0.0, 89.0]]), labels).item() == 89.0


@BOTH
def test_gradient_is_probabilities_minus_one_hot(losses: Losses) -> None:
    """At zero logits of 4 classes the gradient is 1/4 everywhere, less 1 at the label."""
    logits = torch.zeros(1, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(losses(logits, torch.tensor([2])).sum(), logits)
    assert gradient.tolist() == [[0.25, 0.25, -0.75, 0.25]]


@BOTH
@pytest.mark.parametrize("shape", [(6, 10), (1, 10), (4, 2), (3,), (2, 3, 4)])
def test_gradcheck(losses: Losses, shape: tuple[int, ...]) -> None:
    """The gradient, and its own gradient, agree with finite differences in float64."""
    logits, labels = draw(*shape).requires_grad_(), draw_labels(*shape[:-1], classes=shape[-1])
    assert torch.autograd.gradcheck(losses, (logits, labels))
    assert torch.autograd.gradgradcheck(losses, (logits, labels))


def test_softmax_gradcheck() -> None:
    """Softmax is differentiable, equal maxima included."""
    assert torch.autograd.gradcheck(softmax, (draw(3, 4).requires_grad_(),))
    assert torch.autograd.gradcheck(softmax, (torch.zeros(2, 3, dtype=torch.float64, requires_grad=True),))


@BOTH
def test_transposed_and_strided_logits(losses: Losses) -> None:
    """Logits and labels that are views of other tensors give what their copies give, gradients too."""
    wide = draw(10, 12)
    labels = draw_labels(24, classes=10)[::4]
    logits = wide.t()[::2].requires_grad_()
    copy = logits.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
    assert not logits.is_contiguous()
    assert_close(losses(logits, labels), losses(copy, labels.clone()), FLOAT64)
    (ours,) = torch.autograd.grad(losses(logits, labels).sum(), logits)
    (wanted,) = torch.autograd.grad(losses(copy, labels.clone()).sum(), copy)
    assert_close(ours, wanted, FLOAT64)


@BOTH
def test_an_empty_batch_costs_nothing(losses: Losses) -> None:
    """No examples give no losses and an empty gradient."""
    logits = torch.zeros(0, 10, requires_grad=True)
    result = losses(logits, torch.zeros(0, dtype=torch.int64))
    assert result.shape == (0,)
    (gradient,) = torch.autograd.grad(result.sum(), logits)
    assert gradient.shape == (0, 10)


@BOTH
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_labels_of_any_integer_type(losses: Losses, dtype: torch.dtype) -> None:
    """Labels may be any integers: bytes, as the files hold them, too."""
    logits, labels = draw(6, 10), draw_labels(6, classes=10)
    assert torch.equal(losses(logits, labels.to(dtype)), losses(logits, labels))


@BOTH
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.tensor([2, 3, 0]), r"labels must lie in \[0, 2\] for 3 classes, found 3 at position 1: .*"),
        (torch.tensor([0, 1, -1]), r"labels must lie in \[0, 2\] for 3 classes, found -1 at position 2: .*"),
        (torch.tensor([0.0, 1.0, 2.0]), r"labels must be integers, found float32 of shape \(3,\): .*"),
        (torch.tensor([True, False, True]), r"labels must be integers, found bool of shape \(3,\): .*"),
        (torch.tensor([0, 1]), r"labels must have the logits' shape .* \(3,\), found int64 of shape \(2,\): .*"),
        (torch.tensor([[0], [1], [2]]), r"labels must have the logits' shape .*, found int64 of shape \(3, 1\): .*"),
    ],
)
def test_labels_that_do_not_fit(losses: Losses, labels: Tensor, message: str) -> None:
    """A label out of range, of the wrong kind or of the wrong shape is refused in one line that names it."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        losses(torch.zeros(3, 3), labels)


@pytest.mark.parametrize("logits", [torch.zeros(3, 3, dtype=torch.int64), torch.zeros(3, 0), torch.tensor(1.0)])
def test_logits_that_do_not_fit(logits: Tensor) -> None:
    """Integer logits, no classes and a single number are refused."""
    with pytest.raises(ValueError, match=r"^logits must be floating point of shape \(..., classes\), found .*$"):
        cross_entropy(logits, torch.zeros(logits.shape[:-1], dtype=torch.int64))


def ready_made(file: str) -> set[str]:
    """Return the ready-made softmaxes and losses that a source file of the package takes from a module or tensor."""
    source = (Path(softmax_regression.__file__).parent / "mathematics" / file).read_text()
    attributes = {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}
    return attributes & {"functional", "softmax", "log_softmax", "logsumexp", "cross_entropy", "nll_loss", "Softmax"}


def test_softmax_and_loss_are_by_hand() -> None:
    """No ready-made softmax or loss is used here; the same search finds those of the library twin."""
    assert not ready_made("softmax.py")
    assert {"functional", "cross_entropy"} <= ready_made("implementations.py")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("examples", "classes"), [(7, 10), (1, 10), (5, 2), (0, 4)])
def test_closed_form_equals_autograd(examples: int, classes: int, bias: bool) -> None:
    """The hot path's losses, gradients and hits equal those of the model with cross-entropy and autograd."""
    model = SoftmaxRegression(draw(classes, 6), draw(classes, seed=2) if bias else None)
    features, labels = draw(examples, 6, seed=3), draw_labels(examples, classes=classes)
    logits = model(features)
    losses = cross_entropy(logits, labels)
    wanted = iter(torch.autograd.grad(losses.sum(), list(model.parameters())))
    result = loss_and_gradients(features, labels, model.weight, model.bias)
    assert_close(result.losses, losses, FLOAT64)
    assert torch.equal(result.correct, is_correct(logits, labels))
    assert_close(result.weight, next(wanted), FLOAT64)
    if bias:
        assert_close(result.bias, next(wanted), FLOAT64)
    else:
        assert result.bias is None


@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize("bias", [True, False])
def test_closed_form_equals_the_numpy_oracle(bias: bool, scale: float) -> None:
    """Mean loss, accuracy and gradients equal the NumPy solver's, at logits of 1e4 too."""
    weight, offset = draw(4, 6, scale=scale), draw(4, seed=2) if bias else None
    features, labels = draw(50, 6, seed=3), draw_labels(50, classes=4)
    result = loss_and_gradients(features, labels, weight, offset)
    oracle = numpy_solver.Solution(weight.numpy(), None if offset is None else offset.numpy(), scale=1.0)
    loss, accuracy, weight_gradient, bias_gradient = numpy_solver.loss_and_gradients(
        oracle, features.numpy(), labels.numpy()
    )
    # The two add in another order: logits of 1e4 then differ by 1e-12, and so, relatively, do the probabilities.
    tolerance = 1e-10
    assert_close(result.losses.mean(), loss, tolerance)
    assert_close(result.correct.double().mean(), accuracy, FLOAT64)
    assert_close(result.weight / 50, weight_gradient, tolerance)
    if result.bias is not None:
        assert_close(result.bias / 50, bias_gradient, tolerance)


def test_closed_form_of_transposed_inputs() -> None:
    """Features, labels, weight and bias that are views of other tensors give what their copies give."""
    features, labels = draw(6, 14, seed=3).t()[::2], draw_labels(14, classes=4)[::2]
    weight, bias = draw(6, 4).t(), draw(8, seed=2)[::2]
    inputs = (features, labels, weight, bias)
    copies = [tensor.clone(memory_format=torch.contiguous_format) for tensor in inputs]
    assert not any(tensor.is_contiguous() for tensor in inputs)
    for ours, wanted in zip(loss_and_gradients(*inputs), loss_and_gradients(*copies), strict=True):
        assert_close(ours, wanted, FLOAT64)


def test_model_returns_logits() -> None:
    """The model's output is x W^T + b, not probabilities: 1 * 2 + 1 * 3 + 0.5 = 5.5."""
    model = SoftmaxRegression(torch.tensor([[2.0, 3.0]]), torch.tensor([0.5]))
    assert model(torch.ones(1, 2)).tolist() == [[5.5]]
    assert list(model.state_dict()) == ["weight", "bias"]


def test_model_copies_its_weights() -> None:
    """Two models made of the same tensors do not share them."""
    weight = torch.zeros(2, 3)
    first, second = SoftmaxRegression(weight), SoftmaxRegression(weight)
    with torch.no_grad():
        first.weight.add_(1)
    assert not weight.any()
    assert not second.weight.any()


@pytest.mark.parametrize("shape", [(3,), (5, 4), (5, 1, 3)])
def test_features_that_do_not_fit(shape: tuple[int, ...]) -> None:
    """Features of another shape than (batch, features) are refused with both shapes."""
    with pytest.raises(ValueError, match=r"^features must be \(batch, 3\), found float32 of shape .*$"):
        SoftmaxRegression(torch.zeros(2, 3))(torch.zeros(shape))


@pytest.mark.parametrize(
    ("weight", "bias", "message"),
    [
        ((3,), None, r"weight must be \(classes, features\), found float32 of shape \(3,\): .*"),
        ((2, 3, 4), None, r"weight must be \(classes, features\), found float32 of shape \(2, 3, 4\): .*"),
        ((2, 3), (3,), r"bias must be \(2,\) to fit the weight, found float32 of shape \(3,\): .*"),
    ],
)
def test_weights_that_do_not_fit(weight: tuple[int, ...], bias: tuple[int, ...] | None, message: str) -> None:
    """A weight that is no matrix, and a bias that is not one value per class, are refused."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        SoftmaxRegression(torch.zeros(weight), None if bias is None else torch.zeros(bias))


def initial(seed: int = 0, init_std: float = 0.01, **settings: Any) -> tuple[Tensor, Tensor | None]:
    """Return the initial weights of the book's model."""
    return initial_weights(784, 10, stream=f"seed {seed}", init_std=init_std, **{"bias": True, **settings})


def test_initial_weights_are_normal() -> None:
    """W has mean 0 and standard deviation init_std, b is zero; without a bias there is none."""
    weight, bias = initial()
    assert weight.shape == (10, 784)
    assert bias is not None
    assert bias.tolist() == [0.0] * 10
    # 7,840 draws: the mean's standard error is 0.01 / sqrt(7840) = 1.1e-4, the deviation's 0.8e-4; four of each.
    assert abs(weight.mean().item()) < 4.6e-4
    assert abs(weight.std().item() - 0.01) < 3.2e-4
    assert initial(bias=False)[1] is None


def test_initial_weights_depend_on_the_stream_alone() -> None:
    """The same name gives the same numbers, in float64 too; another name gives others."""
    weight, _ = initial()
    assert torch.equal(initial()[0], weight)
    assert torch.equal(initial(dtype=torch.float64)[0], weight.double())
    assert not torch.equal(initial(seed=1)[0], weight)


def test_running_sums_weight_every_example_equally() -> None:
    """Batches of 3 and of 1: the mean is over 4 examples, not over 2 batches."""
    sums = RunningSums()
    sums.add(torch.tensor([1.0, 1.0, 1.0]), torch.tensor([True, True, False]))
    sums.add(torch.tensor([5.0]), torch.tensor([False]))
    assert sums.examples == 4
    assert sums.mean_loss.item() == 2.0
    assert sums.accuracy.item() == 0.5


@pytest.mark.parametrize("size", [1, 1001])
def test_running_sums_lose_nothing_over_many_examples(size: int) -> None:
    """1,000 losses of 0.1 after one of 1e8 still count, within a batch and over batches."""
    sums = RunningSums()
    for losses in torch.split(torch.tensor([1e8, *[0.1] * 1000]), size):
        sums.add(losses, losses > 0)
    # float32 alone would have lost them: its steps are 8 wide at 1e8. What is left is the rounding of 0.1 to float32,
    # 1.5e-9, and to units of 2^-26, 7.5e-9 at most, a thousand times each.
    assert sums.mean_loss.item() * 1001 - 1e8 == pytest.approx(100.0, abs=1e-5)


def test_running_sums_depend_on_neither_order_nor_grouping() -> None:
    """The same examples, shuffled and cut into other batches, give the same sums, bit for bit."""
    losses, correct = draw(500).exp(), draw(500, seed=1) > 0
    found = []
    for order, size in itertools.product((torch.arange(500), draw(500, seed=2).argsort()), (1, 7, 500)):
        sums = RunningSums()
        for indices in torch.split(order, size):
            sums.add(losses[indices], correct[indices])
        found.append((sums.loss.item(), sums.correct.item(), sums.mean_loss.item(), sums.accuracy.item()))
    assert len(set(found)) == 1
    # Each loss is rounded to a multiple of 2^-26.
    assert found[0][2] == pytest.approx(losses.mean().item(), abs=2**-27)
    assert found[0][3] == correct.double().mean().item()
    # Sums of float64 would differ: from first to last they are not those from last to first.
    assert losses.cumsum(0)[-1] != losses.flip(0).cumsum(0)[-1]


def test_running_sums_of_many_models() -> None:
    """Axes after the batch's are models: each has its own mean."""
    sums = RunningSums()
    sums.add(torch.tensor([[1.0, 2.0], [3.0, 6.0]]), torch.tensor([[True, False], [False, False]]))
    assert sums.mean_loss.tolist() == [2.0, 4.0]
    assert sums.accuracy.tolist() == [0.5, 0.0]


def test_running_sums_of_nothing_have_no_mean() -> None:
    """A mean over no examples is refused."""
    with pytest.raises(ValueError, match=r"^no examples were added.*$"):
        _ = RunningSums().mean_loss


@pytest.mark.parametrize("many", [0, 10**9])
def test_of_equal_logits_the_first_counts(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the largest is looked for: alone, among several, with something that is no number, along each axis."""
    monkeypatch.setattr("softmax_regression.mathematics.softmax._MANY_LOGITS", many)
    logits = torch.tensor([[1.0, 3.0, 2.0], [3.0, 1.0, 2.0], [2.0, 5.0, 1.0]])
    for extra in ([], [[4.0, 4.0, 0.0]], [[0.0, 0.0, 0.0]], [[0.0, torch.nan, 0.0]]):
        together = torch.cat([logits, torch.tensor(extra).view(-1, 3)])
        for label in range(3):
            index = torch.full((len(together), 1), label)
            for dim, values, places in ((-1, together, index), (-2, together.t(), index.t())):
                peak, correct = largest(values, places, dim)
                wanted = values.max(dim, keepdim=True)
                torch.testing.assert_close(peak, wanted.values, rtol=0, atol=0, equal_nan=True)
                assert torch.equal(correct, wanted.indices == label)


def test_sums_of_shares_are_those_of_all() -> None:
    """Losses, hits and counts of two shares, one of them empty, added as processes add them."""
    losses, correct = torch.tensor([0.5, 1.25, 2.0]), torch.tensor([True, False, True])
    sums = [RunningSums(), RunningSums(), RunningSums()]
    for own, part in zip(sums, (slice(0, 1), slice(1, 1), slice(1, 3)), strict=True):
        own.add(losses[part], correct[part])
    found: list[Tensor] = []
    for own in sums:
        own.add_shares(lambda held: found.append(held.clone()))
    total = torch.stack(found).sum(0)
    sums[0].add_shares(lambda held: held.copy_(total))
    assert (float(sums[0].mean_loss), float(sums[0].accuracy), sums[0].examples) == (1.25, 2 / 3, 3)
