"""What a training had measured when float32 could not hold the textbook's formulas."""

import pickle

import numpy as np
import pytest
import torch

from softmax_regression.artifacts.overflow import LIMIT, Overflow, OverflowedError
from softmax_regression.mathematics.softmax import textbook_cross_entropy


def of(*figures: tuple[float, float, float, float]) -> Overflow:
    """Make one of these figures a step: the smallest and the largest logit, the mean and the largest loss."""
    return Overflow(np.arange(1, len(figures) + 1), np.array(figures))


START = (-0.5, 0.5, 2.3, 2.5)


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ((-9, 1165.4, 9, 194.9), r"in step 2 a logit is 1,165\.40, and exp overflows in float32 above 88\.72"),
        (
            (-60, 60, 9, 97.44),
            r"in step 2 an example's label has p = exp\(-97\.44\), and 1 / p, in the gradient, overfl",
        ),
        ((-60, 60, 9, 120), r"in step 2 an example's label has p = exp\(-120\.00\), which float32 rounds to 0"),
        ((-60, 60, 9, 88.7), r"a sum, or an example that is not trained on, is beyond float32"),
    ],
)
def test_what_float32_could_not_hold_is_said(last: tuple[float, float, float, float], words: str) -> None:
    """An overflow of exp, of 1 / p, a probability of 0, or none of the three in a training step."""
    with pytest.raises(OverflowedError, match=rf"^{words}.*, so the loss is not finite$"):
        raise OverflowedError("the loss is not finite", of(START, last))


@pytest.mark.parametrize(
    ("logits", "finite_loss", "finite_gradient"),
    [
        ((88.7, 0.0), True, True),
        ((88.8, 0.0), False, False),  # exp overflows
        ((0.0, -88.6), True, True),
        ((0.0, -88.8), True, False),  # 1 / p overflows
        ((50.0, -53.7), True, False),
        ((50.0, -54.3), False, False),  # p = 0: the loss is 104.3
    ],
)
def test_the_limits_are_those_of_the_textbooks_formulas(
    logits: tuple[float, float], finite_loss: bool, finite_gradient: bool
) -> None:
    """Just inside a limit loss and gradient are finite, just outside they are not, and `first` says the same."""
    z = torch.tensor([logits], requires_grad=True)
    label = torch.tensor([0 if logits[0] > LIMIT - 1 else 1])
    loss = textbook_cross_entropy(z, label)
    loss.sum().backward()
    assert z.grad is not None
    assert (bool(loss.isfinite().all()), bool(z.grad.isfinite().all())) == (finite_loss, finite_gradient)
    stable = float(torch.nn.functional.cross_entropy(z.detach(), label))
    found = of((min(logits), max(logits), stable, stable))
    assert (found.first is None) == finite_gradient
    assert ("rounds to 0" in found.words) == (stable > 103.97)


def test_a_long_training_is_thinned_and_keeps_what_matters() -> None:
    """At most 300 steps, evenly, with the first beyond the limit and the last; a short one stays as it is."""
    figures = [START] * 1998 + [(-1.0, 99.0, 3.0, 5.0), (np.nan,) * 4]
    thin = of(*figures).thinned()
    assert 290 < len(thin.steps) <= 300
    assert thin.steps[[0, -2, -1]].tolist() == [1, 1999, 2000]
    assert thin.first == len(thin.steps) - 2
    assert np.diff(thin.steps).max() < 8
    assert of(START, figures[-1]).thinned().steps.tolist() == [1, 2]


def test_the_error_crosses_processes() -> None:
    """A process that trains hands it to the one that asked."""
    error = OverflowedError("the loss is not finite", of(START, (0, 90, 3, 5)))
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert again.overflow.steps.tolist() == [1, 2]
