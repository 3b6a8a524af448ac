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
    download("make_classification", tmp_path / FOLDER, params.download, datasets=tmp_path, root=tmp_path)
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


@pytest.mark.parametrize("solver", ["sgd", "lbfgs", "full_batch_numpy"])
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
    again = solved(params, other, tmp_path)
    assert [again.history.named(row) for row in again.history.epochs] == [
        outcome.history.named(row) for row in outcome.history.epochs
    ]


@pytest.mark.parametrize("solver", ["sgd", "lbfgs", "full_batch_numpy"])
def test_a_part_of_the_data_trains_as_its_copy_does(solver: str, tmp_path: Path) -> None:
    """Rows of larger arrays give what the same examples in arrays of their own give, bit for bit."""
    params = params_with(train={"solver": solver, "epochs": 2, "batch_size": 16})
    rows = np.array([0, 1, 2, 5, 8, *range(20, 80)])
    part = replace(SMALL, train=replace(SMALL.train, rows=rows), test=replace(SMALL.test, rows=rows[:9]))
    copy = replace(SMALL, train=part.train.gathered(), test=part.test.gathered())
    one, other = solved(params, part, tmp_path), solved(params, copy, tmp_path)
    for name in ("weight", "bias"):
        np.testing.assert_array_equal(one.tensors[name], other.tensors[name], strict=True)
    assert one.history.named(one.history.last) == other.history.named(other.history.last)


FULL_BATCH_REFUSES = {"momentum": 0.9, "weight_decay": 0.1, "schedule": "cosine", "warmup_epochs": 1}


@pytest.mark.parametrize("key", FULL_BATCH_REFUSES)
@pytest.mark.parametrize("solver", ["lbfgs", "full_batch_numpy"])
def test_a_solver_refuses_what_it_has_not(solver: str, key: str, tmp_path: Path) -> None:
    """Momentum with a solver of the whole data is an error that says what to set, not a param that is ignored."""
    optimizer = {key: FULL_BATCH_REFUSES[key]}
    params = params_with(train={"solver": solver, "epochs": 1}, optimizer=optimizer)
    if (solver, key) == ("lbfgs", "weight_decay"):
        assert len(solved(params, SMALL, tmp_path).history.epochs) == 1
        return
    with pytest.raises(ValueError, match=rf"^optimizer\.{key} is .*{solver} .*; set optimizer\.{key}: .* sgd$"):
        solved(params, SMALL, tmp_path)


def test_lbfgs_ends_when_it_has_converged_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It takes fewer epochs than it may; the last line tells, and so does the outcome, which has no learning rate."""
    options: dict[str, Any] = {"model": {"implementation": "scratch"}, "optimizer": {"weight_decay": 0.01}}
    outcome = solved(params_with(train={"solver": "lbfgs", "epochs": 500}, **options), SMALL, tmp_path)
    epochs = len(outcome.history.epochs)
    assert 5 < epochs < 100
    assert outcome.convergence is not None
    assert (outcome.convergence.at_optimum, outcome.convergence.iterations) == (True, epochs)
    assert max(outcome.snapshots) == epochs
    assert outcome.tensors["weight"].dtype == outcome.snapshots[epochs].dtype == np.float32
    assert "learning_rate" not in outcome.history.named(outcome.history.last)
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"converged in iteration {epochs}: ")
    short = solved(params_with(train={"solver": "lbfgs", "epochs": 3}, **options), SMALL, tmp_path)
    assert short.convergence is not None
    assert not short.convergence.at_optimum
    assert len(short.history.epochs) == 3
    assert "not converged after 3 iterations" in capsys.readouterr().out.splitlines()[-1]
