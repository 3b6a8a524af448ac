"""What each stage puts into a run, from its folder alone; what is logged with the model fits the model."""

from __future__ import annotations

import ast
import json
import math
import re
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scratch_project import CURVES, DATA, write_training

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.artifacts.model import write_tensors
from softmax_regression.artifacts.outcome import History
from softmax_regression.files import md5_of, md5_of_folder
from softmax_regression.tracking import stage_logs


class Notes:
    """As much of a run as logging takes: it notes every call, in order."""

    run_id = "r1"

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, call: str) -> Any:
        return lambda *values, **more: self.calls.append((call, values, more))

    def of(self, call: str) -> list[tuple[Any, ...]]:
        """Return the arguments by place of each call of this name."""
        return [values for name, values, _ in self.calls if name == call]

    def merged(self, call: str) -> dict[str, Any]:
        """Return the mappings that the calls of this name were given, as one."""
        return {key: value for (values, *_) in self.of(call) for key, value in values.items()}

    def files(self) -> set[str]:
        """Return the paths that the logged files have in the run."""
        return {f"{rest[0]}/{path.name}" if rest else path.name for path, *rest in self.of("log_file")}


@pytest.fixture
def notes() -> Any:
    """A run that notes what it is given."""
    return Notes()


def write(folder: Path, *names: str, findings: object = None) -> Path:
    """Write files, each with its name as content, and findings.json if there are findings; return the folder."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    if findings is not None:
        (folder / "findings.json").write_text(json.dumps(findings))
    return folder


def test_params_are_plain_values() -> None:
    """null is the word none, so that the UI can show and compare it; the rest stays."""
    experiment = Experiment({"data.resize": None, "model.bias": True, "optimizer.learning_rate": 0.1}, {})
    assert stage_logs.run_params(experiment) == {
        "data.resize": "none",
        "model.bias": True,
        "optimizer.learning_rate": 0.1,
    }


@pytest.mark.parametrize("held_out", ["test", "validation"])
def test_curves_have_one_step_an_epoch(held_out: Any) -> None:
    """Figures are grouped under curves/, what was held out by its name, the rate apart; none is sent again."""
    history = History(held_out, CURVES)
    steps = stage_logs.curve_steps(history)
    assert [epoch for epoch, _ in steps] == [1, 2]
    assert steps[1][1] == {
        "curves/train_loss": 0.5,
        "curves/train_accuracy": 0.75,
        f"curves/{held_out}_loss": 0.6,
        f"curves/{held_out}_accuracy": 0.7,
        "schedule/learning_rate": 0.1,
    }
    assert [epoch for epoch, _ in stage_logs.curve_steps(history, after=1)] == [2]


def test_nothing_is_selected_by_the_test_set() -> None:
    """Without validation images the final figures are those of training; with them, the best epoch is recorded, too."""
    final = {"final/train_loss": 0.5, "final/train_accuracy": 0.75}
    assert stage_logs.final_training_metrics(History("test", CURVES)) == final
    worse = replace(CURVES[1], epoch=3, held_out_accuracy=0.6, held_out_loss=1 / 3)
    assert stage_logs.final_training_metrics(History("validation", (*CURVES, worse))) == final | {
        "final/validation_loss": 0.3333333,  # seven digits: the UI shows every one
        "final/validation_accuracy": 0.6,
        "validation_best/accuracy": 0.7,
        "validation_best/epoch": 2,
    }


def test_a_training_is_recorded_from_its_folder(notes: Any, tmp_path: Path) -> None:
    """Curves, final figures, every file, the data as inputs, the model; the digest of it all comes last."""
    write_training(tmp_path)
    stage_logs.log_training(notes, tmp_path)
    ((steps,),) = notes.of("log_steps")
    assert len(steps) == 2
    assert notes.merged("log_metrics") == {"final/train_loss": 0.5, "final/train_accuracy": 0.75}
    assert notes.files() == {path.name for path in tmp_path.iterdir()}
    assert {"experiment.json", "history.csv", "model.safetensors", "model.json", "data.json"} <= notes.files()
    assert notes.of("log_dataset") == [
        ("small train", DATA["train-images"][:16], "data/prepared", "training", {"num_rows": 6}),
        ("small test", DATA["test-images"][:16], "data/prepared", "testing", {"num_rows": 4}),
    ]
    assert len(notes.of("log_model")) == 1
    assert notes.calls[-1] == ("set_tags", ({"outputs.train": md5_of_folder(tmp_path)},), {})


def test_outputs_without_a_report_are_recorded_too(notes: Any, tmp_path: Path) -> None:
    """A training by version 0.1 has no data.json in its folder: its inputs have no profile."""
    write_training(tmp_path)
    (tmp_path / "data.json").unlink()
    stage_logs.log_training(notes, tmp_path)
    assert [profile for *_, profile in notes.of("log_dataset")] == [{}, {}]


@pytest.mark.parametrize(
    ("stage", "place"), [("evaluate", "evaluation"), ("predict", "predictions"), ("explain", "explain")]
)
def test_a_stages_files_go_into_its_folder_of_the_run(notes: Any, tmp_path: Path, stage: str, place: str) -> None:
    """Files keep their paths; the outputs of a stage that nobody here knows of are recorded like any other."""
    folder = write(tmp_path / stage, "table.csv", "figures/curves.png")
    stage_logs.log_output(notes, folder)
    assert notes.files() == {f"{place}/table.csv", f"{place}/figures/curves.png"}
    assert notes.of("set_tags") == [
        ({f"outputs.{stage}": "incomplete"},),
        ({f"outputs.{stage}": md5_of_folder(folder)},),
    ]
    assert notes.calls[0][0] == notes.calls[-1][0] == "set_tags"


def test_an_output_may_be_a_file(notes: Any, tmp_path: Path) -> None:
    """It stands at the top of the run, with its digest as in dvc.lock."""
    (tmp_path / "metrics.json").write_text("{}")
    stage_logs.log_output(notes, tmp_path / "metrics.json")
    assert notes.files() == {"metrics.json"}
    assert notes.merged("set_tags") == {"outputs.metrics.json": md5_of(tmp_path / "metrics.json")}


def test_findings_are_shown_in_the_run(notes: Any, tmp_path: Path) -> None:
    """Metrics become final/..., tags are tags, summary and notes are the page's text, with the pictures between."""
    findings = {
        "metrics": {"test_accuracy": 0.8, "test_loss": 0.5},
        "tags": {"reference.leak": "false"},
        "summary": "**80%**",
        "notes": ["inside", "no leak"],
    }
    folder = write(tmp_path / "evaluate", "a.csv", findings=findings)
    stage_logs.log_output(notes, folder)
    assert notes.merged("log_metrics") == {"final/test_accuracy": 0.8, "final/test_loss": 0.5}
    tags = notes.merged("set_tags")
    text = tags.pop("mlflow.note.content")
    assert re.fullmatch(
        r"\*\*80%\*\*\n\n(!\[[\w ]+\]\(get-artifact\?path=[\w%.]+&run_uuid=r1\)\n\n){2}- inside\n\n- no leak", text
    )
    assert "path=predictions%2Ffirst.png&" in text
    assert "evaluation/findings.json" in notes.files()
    assert tags == {"reference.leak": "false", "outputs.evaluate": md5_of_folder(folder)}
    assert notes.calls[-1][0] == "set_tags"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "[" * 10**5, '{"metrics": [1]}', '{"metrics": {"a": "b"}}', '{"tags": {"a": 1}}', '{"notes": 3}'],
)
def test_damaged_findings_are_one_line(notes: Any, tmp_path: Path, text: str) -> None:
    """No JSON, or another kind of value: which file, and what to do."""
    folder = write(tmp_path / "evaluate", "a.csv", "findings.json")
    (folder / "findings.json").write_text(text)
    with pytest.raises(ValueError, match=r"findings\.json is damaged: .*; run `dvc repro -f evaluate`$") as caught:
        stage_logs.log_output(notes, folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"train": 3}', '{"train": {"examples": "many"}}'])
def test_a_damaged_report_of_the_data_is_one_line(notes: Any, tmp_path: Path, text: str) -> None:
    """data.json that is none: which folder, and what to do."""
    write_training(tmp_path)
    (tmp_path / "data.json").write_text(text)
    with pytest.raises(ValueError, match=r" says nothing readable of the train data .*; run `dvc repro -f train`$"):
        stage_logs.log_training(notes, tmp_path)


def test_a_series_of_pictures_has_a_slider(notes: Any, tmp_path: Path) -> None:
    """series/<key>/<step>.png are the steps of an image series, in their order, and no single files."""
    pictures = [f"series/{name}.png" for name in ("weights/010", "weights/002", "bias/0")]
    folder = write(tmp_path / "evaluate", *pictures, "a.csv")
    stage_logs.log_output(notes, folder)
    assert notes.of("log_image_series") == [
        ("bias", [(0, folder / "series/bias/0.png")]),
        ("weights", [(2, folder / "series/weights/002.png"), (10, folder / "series/weights/010.png")]),
    ]
    assert notes.files() == {"evaluation/a.csv"}


def parts_of(notes: Any, folder: Path, **facts: object) -> Any:
    """Return what is logged of a model with these facts."""
    described: dict[str, Any] = {"data": "small", "class_names": ["a", "b"], "example_shape": [2], "scale": [4.0, 0.5]}
    described |= facts
    shape = len(described["class_names"]), math.prod(described["example_shape"])
    write_tensors(folder / "model.safetensors", {"weight": np.zeros(shape, np.float32)})
    (folder / "model.json").write_text(json.dumps(described))
    stage_logs._log_model(notes, folder)
    return notes.of("log_model")[0][0]


@pytest.mark.parametrize(
    ("shape", "scale", "dtype"),
    [((28, 28), 255.0, "uint8"), ((8, 8, 3), 255.0, "uint8"), ((2,), [4.0, 0.5], "float64")],
)
def test_the_input_example_is_one_example_as_served(
    notes: Any, tmp_path: Path, shape: tuple[int, ...], scale: float | list[float], dtype: str
) -> None:
    """Pixels are uint8 and use the whole range, features are float64."""
    example = parts_of(notes, tmp_path, example_shape=shape, scale=scale).input_example
    assert (example.shape, example.dtype) == ((1, *shape), np.dtype(dtype))
    assert (example.min(), example.max()) == (0, scale if isinstance(scale, float) else 1)


def test_named_features_are_the_columns_of_the_input_example(notes: Any, tmp_path: Path) -> None:
    """The signature is by columns: a table with the features' names in their order, float64."""
    example = parts_of(notes, tmp_path, feature_names=["width", "length"]).input_example
    assert list(example.columns) == ["width", "length"]
    assert example.to_numpy().tolist() == [[0.0, 1.0]]
    assert set(example.dtypes) == {np.dtype(np.float64)}


@pytest.mark.parametrize("classes", [2, 100, 101])
def test_the_output_example_has_a_column_a_class_where_they_are_few(notes: Any, tmp_path: Path, classes: int) -> None:
    """Up to 100 classes have a probability each; of more, the three best are named."""
    names = [f"kind {k}" for k in range(classes)]
    columns = list(parts_of(notes, tmp_path, class_names=names).output_example.columns)
    if classes <= 100:
        assert columns == ["label", "class", *(f"P({name})" for name in names)]
    else:
        assert columns == ["label", "class", "probability", "label 2", "probability 2", "label 3", "probability 3"]


def test_the_model_is_logged_with_its_examples_and_requirements(notes: Any, tmp_path: Path) -> None:
    """The code is model_code.py, the data are the two files of the folder, one row of output a row of input.

    model_code.py imports exactly what the model's requirements.txt will name, at the versions installed.
    """
    write_training(tmp_path)
    stage_logs.log_training(notes, tmp_path)
    ((parts,),) = notes.of("log_model")
    code = parts.code
    assert code.name == "model_code.py"
    assert parts.artifacts == {
        "weights": tmp_path / "model.safetensors",
        "description": tmp_path / "model.json",
    }
    assert parts.input_example.shape == (1, 8, 8)
    assert list(parts.output_example.columns) == ["label", "class", "P(dark)", "P(bright)"]
    tree = ast.parse(code.read_text())
    imports = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imports |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    packages = {name.split(".")[0] for name in imports} - set(sys.stdlib_module_names)
    assert {f"{name}=={version(name)}" for name in packages} == set(parts.pip_requirements)
    assert all(re.fullmatch(r"[a-z]+==\d[\w.]*", line) for line in parts.pip_requirements)
