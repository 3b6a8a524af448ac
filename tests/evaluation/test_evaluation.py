"""The evaluate stage: figures worked by hand, files that DVC and MLflow read, checks that fail when they should."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.artifacts.model import Model
from softmax_regression.artifacts.outcome import Convergence, Epoch, History, Trained
from softmax_regression.data.datasets import Examples
from softmax_regression.evaluation import evaluation
from softmax_regression.evaluation.evaluation import (
    Evaluation,
    answer,
    evaluate,
    metrics_json,
    write_evaluation,
    write_pictures,
)
from softmax_regression.params import EvaluateParams, Params, flatten, load_params
from softmax_regression.plots import quality

PARAMS: Params = load_params(Path(__file__).parents[2] / "params.yaml")
NO_CHECKS = EvaluateParams(checks={}, on_failed_check="record")
# Two features, two classes: class 1 where the second is larger. The logits are 10 times the features.
MODEL = Model({"weight": np.eye(2, dtype=np.float32) * 10}, "made", ("left", "right"), (2,), 1.0)
EXAMPLES = Examples(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 2.0]]), np.array([0, 1, 1, 1], dtype=np.uint8))
HISTORY = History("test", (Epoch(1, 0.4, 0.9, 0.5, 0.8, 0.1),))


def trained(model: Model = MODEL, **changes: Any) -> Trained:
    """Return a training by params.yaml with some dotted keys changed (`__` for a dot)."""
    params = flatten(PARAMS) | {"data.name": model.data} | {k.replace("__", "."): v for k, v in changes.items()}
    return Trained(Experiment(params, {}), model, HISTORY, {})


def evaluated() -> Evaluation:
    """Evaluate the model above, without closing checks."""
    return evaluate(trained(), EXAMPLES, NO_CHECKS)


def write_both(folder: Path, figures: Path, found: Evaluation, model: Model, examples: Examples) -> None:
    """Write an evaluation and draw it, as the stage does."""
    write_evaluation(folder, found, model.class_names)
    write_pictures(figures, found.answers, model, examples)


def test_the_numbers_are_as_worked_by_hand() -> None:
    """Three of four are right; the loss is the mean of log(1 + e^-10) thrice, 10 more once, and e^-20 for the last."""
    found = evaluated()
    assert found.answers.labels.tolist() == [0, 1, 1, 1]
    assert found.answers.predictions.tolist() == [0, 1, 0, 1]
    assert found.numbers["test_accuracy"] == 0.75
    expected = (3 * np.log1p(np.exp(-10)) + 10 + np.log1p(np.exp(-20))) / 4
    assert found.numbers["test_loss"] == round(expected, 7)
    assert (found.numbers["train_loss"], found.numbers["train_accuracy"]) == (0.4, 0.9)
    assert found.failed == ()


def test_a_label_without_any_probability_keeps_the_loss_finite() -> None:
    """A probability that underflows to zero costs the difference of the logits: metrics.json must stay JSON."""
    far = Examples(np.array([[0.0, 200.0]]), np.array([0], dtype=np.uint8))
    found = evaluate(trained(), far, NO_CHECKS)
    assert (found.answers.of_label.tolist(), found.answers.confidences.tolist()) == ([0], [1])
    assert found.answers.losses.tolist() == [2000]
    assert found.numbers["test_loss"] == 2000


@pytest.mark.parametrize("block", [1, 4, 6])
def test_the_answers_do_not_depend_on_the_blocks(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked one by one, in pairs, or three and a rest: the same labels, predictions, probabilities and losses."""
    monkeypatch.setattr(evaluation, "_BLOCK", block)
    in_blocks, at_once = answer(MODEL, EXAMPLES), evaluated().answers
    for name, array in vars(at_once).items():
        assert np.array_equal(getattr(in_blocks, name), array), name


def test_packed_examples_are_judged_and_drawn_as_the_features_they_stand_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stored integers with a scale each give the numbers of the features themselves, and those are drawn."""
    scale = (2.0**12, 2.0**13)
    packed = Examples((EXAMPLES.images * np.array(scale)).astype(np.int16), EXAMPLES.labels)
    model = replace(MODEL, scale=scale)
    found = evaluate(trained(model), packed, NO_CHECKS)
    assert found.numbers == evaluated().numbers
    drawn: list[np.ndarray] = []
    draw = quality.decision_regions

    def record(features: np.ndarray, *rest: Any, **options: Any) -> Any:
        drawn.append(features)
        return draw(features, *rest, **options)

    monkeypatch.setattr(quality, "decision_regions", record)
    write_both(tmp_path, tmp_path, found, model, packed)
    assert drawn[0].tolist() == EXAMPLES.images.tolist()


def test_the_files_are_those_that_dvc_and_people_read(tmp_path: Path) -> None:
    """A row an example in predictions.csv, a cell in confusion.csv; scores a class; pictures; the report's lines."""
    found = replace(evaluated(), failed=("a check",), guessing=("a warning",))
    write_both(tmp_path / "tables", tmp_path / "figures", found, MODEL, EXAMPLES)
    with (tmp_path / "tables" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["predicted"] for row in rows] == ["0", "1", "0", "1"]
    assert [row["label"] for row in rows] == ["0", "1", "1", "1"]
    assert float(rows[2]["label_probability"]) == pytest.approx(4.5e-05, abs=1e-6)
    with (tmp_path / "tables" / "confusion.csv").open() as file:
        cells = [tuple(row.values()) for row in csv.DictReader(file)]
    assert cells == [("left", "left", "1"), ("left", "right", "0"), ("right", "left", "1"), ("right", "right", "2")]
    assert "right,1.0,0.666" in (tmp_path / "tables" / "per_class.csv").read_text()
    assert (tmp_path / "tables" / "report.txt").read_text() == "".join(
        f"{line}\n" for line in ("a warning", *found.bands.words, "a check")
    )
    assert not list((tmp_path / "tables").rglob("*.png"))
    assert (tmp_path / "figures" / "decision_regions.png").is_file()
    assert (tmp_path / "figures" / "confusion_matrix.svg").is_file()


def test_equal_evaluations_write_equal_bytes(tmp_path: Path) -> None:
    """Nothing random or dated is in the files, pictures included."""
    for folder in ("first", "second"):
        write_both(tmp_path / folder, tmp_path / folder / "figures", evaluated(), MODEL, EXAMPLES)
    for path in (tmp_path / "first").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "second" / path.relative_to(tmp_path / "first")).read_bytes()


@pytest.mark.parametrize("classes", [20, 30])
def test_of_many_classes_the_worst_are_shown(classes: int, tmp_path: Path) -> None:
    """Above 20: the 20 most confused classes, all pairs as a table, the worst as a picture; every class is scored."""
    labels = np.arange(90) % classes
    predicted = np.where(labels == 7, 29 % classes, labels)
    names = tuple(f"kind {label}" for label in range(classes))
    model = Model({"weight": np.eye(classes, dtype=np.float32) * 9}, "made", names, (classes,), 1.0)
    examples = Examples(np.eye(classes)[predicted], labels.astype(np.uint8))
    write_both(tmp_path, tmp_path, evaluate(trained(model), examples, NO_CHECKS), model, examples)
    actual = {line.partition(",")[0] for line in (tmp_path / "confusion.csv").read_text().splitlines()[1:]}
    assert len(actual) == 20
    assert "kind 7" in actual
    assert len((tmp_path / "per_class.csv").read_text().splitlines()) == 1 + classes
    pairs = tmp_path / "confused_pairs.csv"
    assert pairs.is_file() == (tmp_path / "confused_pairs.png").is_file() == (classes == 30)
    if classes == 30:
        assert pairs.read_text() == "actual,predicted,count\nkind 7,kind 29,3\n"


def test_few_of_many_points_are_drawn(tmp_path: Path) -> None:
    """Of more than 2,000 points the first 2,000 lie over the decision regions, which a title says."""
    many = Examples(np.tile(EXAMPLES.images, (600, 1)), np.tile(EXAMPLES.labels, 600))
    for name, examples in (("all", many), ("first", Examples(many.images[:2000], many.labels[:2000]))):
        found = evaluate(trained(), examples, NO_CHECKS)
        write_both(tmp_path / name, tmp_path / name, found, MODEL, examples)
    points = [(tmp_path / name / "decision_regions.svg").read_text().count("<use ") for name in ("all", "first")]
    assert points[0] - points[1] < 100  # letters of the title


def findings(folder: Path, found: Evaluation) -> dict[str, Any]:
    """Write an evaluation and return its findings.json."""
    write_both(folder, folder / "figures", found, MODEL, EXAMPLES)
    content: dict[str, Any] = json.loads((folder / "findings.json").read_text())
    return content


def test_the_findings_are_what_a_run_shows(tmp_path: Path) -> None:
    """findings.json holds the numbers of metrics.json, what tags, summary and notes say, and nothing else."""
    found = replace(evaluated(), failed=("train loss: found 0.6, wanted below 0.5", "another check"), guessing=())
    content = findings(tmp_path, found)
    assert set(content) == {"metrics", "tags", "summary", "notes"}
    assert content["metrics"] == json.loads(metrics_json(found))
    assert content["tags"] == {
        "worse_than_guessing": "false",
        "reference.bands": "do not apply",
        "reference.leak": "false",
        "checks.failed": "train loss: found 0.6, wanted below 0.5; another check",
    }
    assert content["summary"] == (
        "**Test accuracy 0.7500** (95% interval 0.3006 to 0.9544), test loss 2.5000, train accuracy 0.9000"
    )
    assert content["notes"] == [*found.bands.words, *found.failed]


def test_a_solver_that_ends_by_itself_says_how(tmp_path: Path) -> None:
    """Whether it has converged is a tag and a note; of other solvers there is nothing to say."""
    ended = Convergence(at_optimum=False, iterations=3, slope=0.1)
    found = evaluate(replace(trained(), convergence=ended), EXAMPLES, NO_CHECKS)
    content = findings(tmp_path, found)
    assert content["tags"]["converged"] == "false"
    assert ended.words in content["notes"]
    assert "converged" not in findings(tmp_path, evaluated())["tags"]


def test_worse_than_guessing_is_said_in_the_summary_a_tag_and_the_notes(tmp_path: Path) -> None:
    """A loss above that of equal chances, here ln 2, comes first in the notes, with what to do."""
    assert evaluate(trained(), Examples(EXAMPLES.images[:2], EXAMPLES.labels[:2]), NO_CHECKS).guessing == ()
    found = evaluated()
    content = findings(tmp_path, found)
    assert content["tags"]["worse_than_guessing"] == "true"
    assert content["summary"].endswith("; **worse than guessing**")
    assert content["notes"][0] == found.guessing[0]
    assert found.guessing[0].startswith("WORSE THAN GUESSING: the test loss is 2.5, ")


@pytest.mark.parametrize(("changes", "bands"), [({}, "outside"), ({"optimizer__momentum": 0.9}, "do not apply")])
def test_a_leak_is_flagged_whatever_the_recipe(tmp_path: Path, changes: dict[str, float], bands: str) -> None:
    """A test accuracy above 0.86 on Fashion-MNIST is a leak: first of the notes, and a tag."""
    perfect = Examples(EXAMPLES.images, np.array([0, 1, 0, 1], dtype=np.uint8))
    found = evaluate(trained(replace(MODEL, data="fashion_mnist"), **changes), perfect, NO_CHECKS)
    assert found.bands.leak
    assert found.words[0].startswith("LEAK")
    tags = {"reference.bands": bands, "reference.leak": "true", "checks.failed": "none", "worse_than_guessing": "false"}
    assert findings(tmp_path, found)["tags"] == tags


def test_a_model_with_hidden_layers_is_no_leak() -> None:
    """What is out of reach of a linear model is not out of reach of another."""
    tensors = {"hidden.0.weight": np.eye(2, dtype=np.float32), **MODEL.tensors}
    perfect = Examples(EXAMPLES.images, np.array([0, 1, 0, 1], dtype=np.uint8))
    deep = replace(MODEL, tensors=tensors, data="fashion_mnist")
    found = evaluate(trained(deep), perfect, NO_CHECKS)
    assert found.numbers["test_accuracy"] == 1
    assert not found.bands.leak
    assert found.words == ("the reference bands do not apply: the model has hidden layers",)


def test_closing_checks_are_those_of_the_data_set() -> None:
    """The bounds of params.yaml hold for the data set that they name, and a data set without any has none."""
    bounds = PARAMS.evaluate.checks["fashion_mnist"].model_copy(update={"max_train_loss": 0.3})
    checks = EvaluateParams(checks={"fashion_mnist": bounds}, on_failed_check="record")
    assert evaluate(trained(), EXAMPLES, checks).failed == ()
    found = evaluate(trained(replace(MODEL, data="fashion_mnist")), EXAMPLES, checks)
    assert found.failed == ("train loss: found 0.4, wanted below 0.3",)
    assert found.words[-1] == "train loss: found 0.4, wanted below 0.3"


def test_metrics_json_is_short() -> None:
    """Seven digits, a newline at the end."""
    found = evaluate(trained(), Examples(EXAMPLES.images[:3], EXAMPLES.labels[:3]), NO_CHECKS)
    assert metrics_json(found).startswith('{\n  "test_accuracy": 0.6666667,\n')
    assert metrics_json(found).endswith('  "train_accuracy": 0.9\n}\n')


EVALUATE = """
import sys
from pathlib import Path
import numpy as np
sys.path[:0] = sys.argv[2:]
from small_data import make_examples
from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.artifacts.model import Model
from softmax_regression.artifacts.outcome import Epoch, History, Trained
from softmax_regression.data.datasets import Examples, Standardisation
from softmax_regression.evaluation.evaluation import evaluate, metrics_json, write_evaluation, write_pictures
from softmax_regression.evaluation.prediction import write_predictions
from softmax_regression.evaluation.training_pictures import write_training_pictures
from softmax_regression.numerics.randomness import normal
from softmax_regression.params import EvaluateParams, flatten, load_params
weight = normal("weight", 7840).reshape(10, 784)
pictures = Model({"weight": weight}, "made", tuple("abcdefghij"), (28, 28), 255.0)
taken = Standardisation((1.1,) * 40, (0.3,) * 40)
names = tuple(f"kind {k}" for k in range(30))
vectors = Model({"weight": weight[:, :120].reshape(30, 40)}, "made", names, (40,), (2.0**12,) * 40, (), taken)
stored = np.rint(normal("vectors", 80_000).reshape(2000, 40) * 2**12).astype(np.int16)
history = History("test", tuple(Epoch(n, 1 / n, 1 - 1 / n, 1.1 / n, 1 - 1.1 / n, 0.1) for n in range(1, 4)))
params = load_params(Path(sys.argv[2]).parent / "params.yaml")
checks = EvaluateParams(checks={}, on_failed_check="record")
for model, examples in (
    (pictures, make_examples(2000)),
    (vectors, Examples(stored, (np.arange(2000) % 30).astype(np.uint8))),
):
    folder = Path(sys.argv[1]) / str(len(model.class_names))
    weight = model.tensors["weight"]
    trained = Trained(Experiment(flatten(params), {}), model, history, {0: weight / 2, 3: weight})
    found = evaluate(trained, examples, checks)
    write_evaluation(folder, found, model.class_names)
    write_pictures(folder / "figures", found.answers, model, examples)
    write_training_pictures(folder / "figures", trained)
    write_predictions(folder / "predict", model, examples, 6)
    (folder / "metrics.json").write_text(metrics_json(found))
"""


@pytest.mark.slow  # three processes that draw
def test_kinds_of_processors_do_not_matter(tmp_path: Path) -> None:
    """Numbers, tables and pictures are the same bytes where NumPy and its BLAS use no newer instructions."""
    root = Path(__file__).parents[2]
    for name, environment in {
        "here": {},
        "plain": {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL", "OPENBLAS_CORETYPE": "Nehalem"},
        "threads": {"OPENBLAS_NUM_THREADS": "2", "OPENBLAS_CORETYPE": "Haswell"},
    }.items():
        command = [sys.executable, "-c", EVALUATE, str(tmp_path / name), str(root / "src"), str(root / "tests")]
        subprocess.run(command, env={**os.environ, **environment}, check=True)
    written = [path.relative_to(tmp_path / "here") for path in (tmp_path / "here").rglob("*.*")]
    assert len(written) > 50
    for path in written:
        contents = {(tmp_path / name / path).read_bytes() for name in ("here", "plain", "threads")}
        assert len(contents) == 1, path
