"""What each stage puts into the experiment's MLflow run, taken from the stage's output folder alone.

The stages call these functions when they end, and `sync` calls the same ones on outputs that DVC restored or pulled:
so a rebuilt run holds what the first one held. A new stage needs nothing here: its files go into the run, and what its
findings.json says ("metrics", "tags", "summary", "notes") is shown there.
"""

import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from pydantic import BaseModel, ValidationError

from softmax_regression.artifacts.experiment import Experiment, read_experiment
from softmax_regression.artifacts.model import BEST, FEW_CLASSES, read_model
from softmax_regression.artifacts.outcome import History, read_history
from softmax_regression.data.datasets import FOLDER
from softmax_regression.files import existing, md5_of, md5_of_folder, parse_json, read_text, text_of
from softmax_regression.tracking.client import ModelParts
from softmax_regression.tracking.record import INCOMPLETE, OUTPUTS
from softmax_regression.tracking.run import Run

# an output of DVC's -> where the run has it; others keep their name, the files of train stand at the top
FOLDERS = {"evaluate": "evaluation", "figures": "evaluation/figures", "predict": "predictions"}
FINDINGS = "findings.json"
LIVE_CURVES = "evaluation/figures/curves.png"  # drawn while the training runs, then by the evaluate stage
PREDICTIONS = "evaluation/predictions.csv"
_SHOWN = {"first predictions": "predictions/first.png", "curves": LIVE_CURVES}  # on the run's page
_DESCRIPTION = "mlflow.note.content"  # the tag that the UI shows on top of a run; MLflow keeps 8000 characters
TRAIN = "train"  # the name of the train stage's output
_SERIES = "series"  # a stage's folder series/<key>/<step>.png is an image series of the run
_MODEL_CODE = Path(__file__).with_name("model_code.py")  # given as a path: importing it would import MLflow


def place(name: str) -> str:
    """Return where a run has an output, or one file of it: the path among the run's artifacts."""
    return "experiment.json" if name == TRAIN else FOLDERS.get(name, name)


def run_params(experiment: Experiment) -> dict[str, object]:
    """Return the run's params: those of the experiment, as plain values that MLflow can compare."""
    return {key: "none" if value is None else value for key, value in experiment.params.items()}


def curve_steps(history: History, after: int = 0) -> list[tuple[int, dict[str, float]]]:
    """Return (step, metrics) of the epochs later than `after`.

    The UI groups charts by what stands before the slash, in alphabetical order: the learning rate comes late.
    """
    rows = [history.named(row) for row in history.epochs if row.epoch > after]
    return [
        (
            int(row["epoch"]),
            {
                f"{'schedule' if name == 'learning_rate' else 'curves'}/{name}": value
                for name, value in row.items()
                if name != "epoch"
            },
        )
        for row in rows
    ]


def final_training_metrics(history: History) -> dict[str, float]:
    """Return the last epoch's training figures and, where examples were held out, the best epoch by them.

    There is no best epoch by the test set: nothing is selected by it.
    """
    last = history.last
    metrics = {"final/train_loss": last.train_loss, "final/train_accuracy": last.train_accuracy}
    if history.held_out == "validation":
        best = max(history.epochs, key=lambda row: row.held_out_accuracy)
        metrics |= {
            "final/validation_loss": last.held_out_loss,
            "final/validation_accuracy": last.held_out_accuracy,
            "validation_best/accuracy": best.held_out_accuracy,
            "validation_best/epoch": best.epoch,
        }
    return {name: round(value, 7) for name, value in metrics.items()}  # the UI shows every digit


def log_training(run: Run, folder: Path) -> None:
    """Record the train stage's outputs: curves, final figures, files, the data as inputs, the model."""
    tag = OUTPUTS + TRAIN
    run.set_tags({tag: INCOMPLETE})
    history = read_history(folder / "history.csv")
    run.log_steps(curve_steps(history))
    run.log_metrics(final_training_metrics(history))
    for path in sorted(folder.iterdir()):
        if path.is_file():
            run.log_file(path)
    _log_data(run, folder)
    _log_model(run, folder)
    run.set_tags({tag: md5_of_folder(folder)})


class _Findings(BaseModel):
    metrics: dict[str, float] = {}
    tags: dict[str, str] = {}
    summary: str = ""
    notes: list[str] = []


def read_findings(output: Path) -> dict[str, Any]:
    """Return what the findings.json in `output` holds of "metrics" (by name), "tags", "summary" and "notes".

    Raises FileNotFoundError, or ValueError when it is damaged.
    """
    remedy = f"run `dvc repro -f {output.name}`"
    path = existing(output / FINDINGS, remedy)
    text = read_text(path)
    try:
        return _Findings.model_validate_json(text).model_dump(exclude_unset=True)
    except ValidationError as error:
        problem = error.errors()[0]
        said = " ".join([".".join(map(str, problem["loc"])), *problem["msg"].split()])
        raise ValueError(f"{path} is damaged: {said.strip()}; {remedy}") from None


def log_output(run: Run, output: Path, shown: Mapping[str, str] = _SHOWN) -> None:
    """Record an output of a stage after train, a folder or a file: its files, and what its findings.json says.

    Files of one name replace each other, so a run shows the newest outputs of each stage. `shown` are the pictures on
    the run's page, name to artifact.
    """
    tag, folder = OUTPUTS + output.name, place(output.name)
    run.set_tags({tag: INCOMPLETE})  # first, so that a kill half-way leaves no digest of what is no longer there
    findings = read_findings(output) if (output / FINDINGS).exists() else {}
    run.log_metrics({f"final/{metric}": value for metric, value in findings.get("metrics", {}).items()})
    if output.is_file():
        run.log_file(output)
    for path in sorted(output.rglob("*")):
        inside = path.relative_to(output)
        if path.is_file() and inside.parts[0] != _SERIES:
            run.log_file(path, (Path(folder) / inside.parent).as_posix())
    for series in sorted((output / _SERIES).glob("*")):
        run.log_image_series(series.name, [(int(path.stem), path) for path in sorted(series.glob("*.png"))])
    tags = findings.get("tags", {})
    if "summary" in findings:
        tags[_DESCRIPTION] = _description(run.run_id, findings["summary"], shown, findings.get("notes", []))
    run.set_tags(tags | {tag: md5_of(output) if output.is_file() else md5_of_folder(output)})


def describe(run: Run, summary: str, shown: Mapping[str, str]) -> None:
    """Say on the run's page what happened, with pictures, name to artifact; a stage's findings replace it."""
    run.set_tags({_DESCRIPTION: _description(run.run_id, summary, shown, [])})


def _description(run_id: str, summary: str, shown: Mapping[str, str], notes: list[str]) -> str:
    """Return what the run's page says on top; MLflow's UI serves a run's artifacts under this relative address."""
    pictures = [
        f"![{name}](get-artifact?path={quote(path, safe='')}&run_uuid={run_id})" for name, path in shown.items()
    ]
    return "\n\n".join([summary, *pictures, *(f"- {note}" for note in notes)])


def _log_data(run: Run, folder: Path) -> None:
    """Record the data set as MLflow's inputs of the run."""
    experiment, text = read_experiment(folder / "experiment.json"), text_of(folder / "data.json")
    name = str(experiment.params["data.name"])
    for part, use in (("train", "training"), ("test", "testing")):
        try:
            digest = experiment.data[f"{part}-images"][:16]
            profile = {"num_rows": int(parse_json(text)[part]["examples"])} if text else {}
        except (KeyError, TypeError, ValueError) as error:
            said = f"{folder} says nothing readable of the {part} data ({error})"
            raise ValueError(f"{said}; run `dvc repro -f train`") from None
        run.log_dataset(f"{name} {part}", digest, FOLDER.as_posix(), use, profile)


def _log_model(run: Run, folder: Path) -> None:
    """Record the model as MLflow knows models: with a signature, loadable and servable, without pickle.

    The example of the input is a ramp: of pixels, uint8 from 0 to the model's scale, or of real features, float64 from
    0 to 1, in a table where the features have names. That of the output has the columns and dtypes of model_code.py.
    """
    import pandas as pd

    model = read_model(folder)
    largest = model.scale if isinstance(model.scale, float | int) else 1.0
    ramp = np.linspace(0, largest, math.prod(model.example_shape)).reshape(1, *model.example_shape)
    parts = ModelParts(
        code=_MODEL_CODE,
        artifacts={"weights": folder / "model.safetensors", "description": folder / "model.json"},
        input_example=(
            pd.DataFrame(ramp, columns=list(model.feature_names))
            if model.feature_names
            else ramp.astype(np.uint8 if largest > 1 else np.float64)
        ),
        output_example=pd.DataFrame(_answer_example(model.class_names), index=[0]),
        pip_requirements=[f"{name}=={version(name)}" for name in ("mlflow", "numpy", "pandas", "safetensors")],
    )
    run.log_model(parts)


def _answer_example(class_names: Sequence[str]) -> dict[str, object]:
    """Return an answer of model_code.py by column."""
    answer: dict[str, object] = {"label": class_names[0], "class": 0}
    if len(class_names) <= FEW_CLASSES:
        return answer | {f"P({name})": 1 / len(class_names) for name in class_names}
    answer["probability"] = 0.5
    for place in range(2, BEST + 1):
        answer |= {f"label {place}": class_names[place - 1], f"probability {place}": 0.1}
    return answer
