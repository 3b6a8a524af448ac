"""One training by the solver that the params name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_data

from softmax_regression.artifacts.outcome import History, Outcome
from softmax_regression.data.datasets import FOLDER, Dataset, load
from softmax_regression.download.prepare import download
from softmax_regression.params import Params, load_params
from softmax_regression.training.solving import solve

ROOT = Path(__file__).parents[2]
SMALL = Dataset(
    "small",
    ("a", "b", "c"),
    255,
    small_data.make_examples(90, (4, 4), 3, seed=1),
    small_data.make_examples(30, (4, 4), 3, seed=2),
)


def params_with(**sections: dict[str, Any]) -> Params:
    """Return the committed params with some values changed."""
    values = load_params(ROOT / "params.yaml").model_dump()
    for name, section in sections.items():
        values[name].update(section)
    return Params.model_validate(values)


def solved(params: Params, dataset: Dataset, tmp_path: Path, seen: list[History] | None = None) -> Outcome:
    """Solve; `seen` collects the histories that are passed on."""
    return solve(
        dataset,
        params.data.validation_size,
        params.model,
        params.optimizer,
        params.train,
        on_epoch=seen.append if seen is not None else lambda history: None,
        checkpoint=tmp_path,
    )


@pytest.mark.parametrize(("bias", "loss", "accuracy"), [(False, 0.3394, 0.88), (True, 0.3211, 0.86)])
def test_program_b_reaches_its_figures(bias: bool, loss: float, accuracy: float, tmp_path: Path) -> None:
    """reference.md B: 1,000 steps at 0.1 on make_classification give these figures, through the pipeline's solver."""
    params = params_with(train={"solver": "full_batch_numpy", "epochs": 1000}, model={"bias": bias})
    download("make_classification", tmp_path / FOLDER, params.download, tmp_path)
    outcome = solved(params, load(tmp_path / FOLDER, "make_classification"), tmp_path)
    assert len(outcome.history.epochs) == 1000
    assert outcome.history.held_out == "test"
    assert outcome.history.last.train_loss == pytest.approx(loss, abs=5e-5)  # the reference gives four digits
    assert outcome.history.last.held_out_accuracy == accuracy
    assert set(outcome.tensors) == ({"weight", "bias"} if bias else {"weight"})
    assert len(outcome.snapshots) <= 20


@pytest.mark.parametrize(
    ("implementation", "dtype", "tolerance"),
    [
        ("scratch", np.float32, 1e-5),  # 30 steps in float32 against float64
        ("exact", np.float64, 1e-7),  # the oracle's outcome is rounded to float32, 3e-8 of weights below 1
    ],
)
def test_both_solvers_find_the_same_optimum(
    tmp_path: Path, implementation: str, dtype: type[np.floating], tolerance: float
) -> None:
    """With a batch of all examples and the same start, SGD in torch is the NumPy oracle's descent."""
    train = {"epochs": 30, "batch_size": 90}
    model = {"init_std": 0.0, "implementation": implementation}
    torch_outcome = solved(params_with(train=train, model=model), SMALL, tmp_path)
    numpy_outcome = solved(params_with(train={**train, "solver": "full_batch_numpy"}, model=model), SMALL, tmp_path)
    for name in ("weight", "bias"):
        assert torch_outcome.tensors[name].dtype == dtype
        assert numpy_outcome.tensors[name].dtype == np.float32
        np.testing.assert_allclose(torch_outcome.tensors[name], numpy_outcome.tensors[name], rtol=0, atol=tolerance)
    one, other = torch_outcome.history, numpy_outcome.history
    assert one.last.held_out_loss == pytest.approx(other.last.held_out_loss, abs=tolerance)
    # SGD measures the training examples before each step, the full-batch solver after it.
    assert one.last.train_loss == pytest.approx(other.epochs[-2].train_loss, abs=tolerance)


@pytest.mark.parametrize("solver", ["sgd", "full_batch_numpy"])
def test_held_out_examples_are_measured_and_not_trained_on(solver: str, tmp_path: Path) -> None:
    """With a validation size the curve is of the validation examples; the test set is not looked at."""
    params = params_with(train={"solver": solver, "epochs": 2}, data={"validation_size": 30})
    seen: list[History] = []
    outcome = solved(params, SMALL, tmp_path, seen)
    assert [len(history.epochs) for history in seen] == [1, 2]
    assert outcome.history.held_out == "validation"
    assert "validation_accuracy" in outcome.history.named(outcome.history.last)
    assert set(outcome.snapshots) == {0, 1, 2}
    # Another test set changes nothing.
    other = replace(SMALL, test=small_data.make_examples(30, (4, 4), 3, seed=9))
    assert solved(params, other, tmp_path).history == outcome.history


def test_the_full_batch_solver_refuses_what_it_has_not(tmp_path: Path) -> None:
    """Momentum with the plain solver is an error that says what to set, not a param that is ignored."""
    params = params_with(train={"solver": "full_batch_numpy"}, optimizer={"momentum": 0.9})
    with pytest.raises(ValueError, match=r"optimizer\.momentum is 0\.9.*set optimizer\.momentum: 0\.0 or"):
        solved(params, SMALL, tmp_path)
