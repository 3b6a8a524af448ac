"""What each stage puts into the experiment's MLflow run, taken from the stage's output files alone.

The stages call these functions when they end, and `sync` calls the same ones on outputs that DVC restored or pulled:
so a rebuilt run holds what the first one held.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.artifacts.outcome import Epoch, read_history, read_model
from softmax_regression.evaluation.metrics import BandReport
from softmax_regression.files import md5_of_folder
from softmax_regression.tracking import servable
from softmax_regression.tracking.run import Run

# Tags with the digest, as in dvc.lock, of a stage's outputs. Set last: the run that has one holds those outputs, all.
TRAIN_OUTPUTS, EVALUATE_OUTPUTS = "outputs.train", "outputs.evaluate"

NEWEST_GRID = "predictions/first.png"  # the grid that the run's description shows
# column of history.csv -> metric; MLflow's charts group by what stands before the slash
CURVES = {
    "train_loss": "curves/train_loss",
    "train_accuracy": "curves/train_accuracy",
    "test_loss": "curves/test_loss",
    "test_accuracy": "curves/test_accuracy",
    "validation_loss": "curves/validation_loss",
    "validation_accuracy": "curves/validation_accuracy",
    "learning_rate": "curves/learning_rate",
}


def curve_metrics(row: Epoch) -> dict[str, float]:
    """Return one epoch's figures under their MLflow names."""
    return {CURVES[name]: float(value) for name, value in row.items() if name in CURVES}  # type: ignore[arg-type]


def run_params(experiment: Experiment) -> dict[str, object]:
    """Return the run's params: those of the experiment, as plain values that MLflow can compare."""
    return {key: "none" if value is None else value for key, value in experiment.params.items()}


def log_curves(run: Run, history: Sequence[Epoch]) -> None:
    """Record the curves, step = epoch; what the run already has is not recorded again."""
    run.log_steps([(row["epoch"], curve_metrics(row)) for row in history])


def log_training(
    run: Run, folder: Path, experiment: Experiment, report: Mapping[str, Any], *, has_model: bool = False
) -> None:
    """Record the train stage's outputs: final figures, model, pictures, files, and the data as an input.

    `has_model`: the run holds the model already, which MLflow would list a second time.
    """
    history = read_history(folder / "history.csv")
    log_curves(run, history)
    run.log_metrics(final_training_metrics(history))
    for name in ("model.safetensors", "model.json", "history.csv", "experiment.json"):
        run.log_file(folder / name)
    for path in sorted((folder / "figures").iterdir()):
        run.log_file(path, "figures")
    series = [(int(path.stem.removeprefix("epoch_")), path) for path in sorted((folder / "weights").glob("*.png"))]
    run.log_image_series("weights", series)
    log_data(run, experiment, report)
    if not has_model:
        log_model(run, folder)
    run.set_tags({TRAIN_OUTPUTS: md5_of_folder(folder)})


def final_training_metrics(history: Sequence[Epoch]) -> dict[str, float]:
    """Return the last epoch's training figures and, where images were held out, the best epoch by them.

    There is no best epoch by the test set: nothing is selected by it.
    """
    last = history[-1]
    metrics = {"final/train_loss": last["train_loss"], "final/train_accuracy": last["train_accuracy"]}
    if "validation_accuracy" in last:
        best = max(history, key=lambda row: row["validation_accuracy"])
        metrics |= {
            "final/validation_loss": last["validation_loss"],
            "final/validation_accuracy": last["validation_accuracy"],
            "validation_best/accuracy": best["validation_accuracy"],
            "validation_best/epoch": best["epoch"],
        }
    return {name: round(value, 7) for name, value in metrics.items()}  # the UI shows every digit


def log_data(run: Run, experiment: Experiment, report: Mapping[str, Any]) -> None:
    """Record the data set as MLflow's input of the run, and its report as a file."""
    name = str(experiment.params["data.name"])
    for part in ("train", "test"):
        run.log_input_dataset(
            f"{name} {part}",
            experiment.data[f"{part}-images"][:16],
            f"data/{name}",
            context="training" if part == "train" else "testing",
            profile={"num_rows": report[part]["examples"]},
        )
    run.log_text(json.dumps(report, indent=2) + "\n", "data.json")


def log_model(run: Run, folder: Path) -> None:
    """Record the model as MLflow knows models: with a signature, loadable and servable, without pickle."""
    model = read_model(folder)
    run.log_model(
        "model",
        python_model=servable.CODE,
        artifacts={"weights": folder / "model.safetensors", "description": folder / "model.json"},
        input_example=servable.input_example(model.example_shape, model.scale),
        output_example=servable.output_example(model.class_names),
        pip_requirements=servable.pip_requirements(),
    )


def log_evaluation(run: Run, metrics: Path, findings: BandReport, folder: Path) -> None:
    """Record the evaluate stage's outputs: metrics.json, pictures, per-example predictions."""
    numbers = json.loads(metrics.read_text())
    run.log_metrics({f"final/{name}": value for name, value in numbers.items()})
    run.set_description(_description(run.run_id, numbers, findings))
    inside = {True: "inside", False: "outside", None: "do not apply"}[findings.inside]
    run.set_tags({"reference.bands": inside, "reference.leak": str(findings.leak).lower()})
    _log_folder(run, folder, "evaluation")
    run.set_tags({EVALUATE_OUTPUTS: md5_of_folder(folder)})


def _description(run_id: str, numbers: Mapping[str, float], findings: BandReport) -> str:
    """Return what the run's page says on top: the headline numbers, the grid, the curves, the findings.

    MLflow's UI serves a run's artifacts under this relative address.
    """
    lines = [
        f"**Test accuracy {numbers['test_accuracy']:.4f}** (95% interval {numbers['test_accuracy_low']:.4f} to "
        f"{numbers['test_accuracy_high']:.4f}), test loss {numbers['test_loss']:.4f}, "
        f"train accuracy {numbers['train_accuracy']:.4f}"
    ]
    pictures = {"first predictions": NEWEST_GRID, "curves": "figures/curves.png"}
    lines += [
        f"![{name}](get-artifact?path={quote(path, safe='')}&run_uuid={run_id})" for name, path in pictures.items()
    ]
    return "\n\n".join([*lines, *(f"- {line}" for line in findings.words)])


def log_predictions(run: Run, folder: Path, count: int) -> None:
    """Record the predict stage's grids; one of another size joins those that are there."""
    _log_folder(run, folder, f"predictions/first_{count}")
    run.log_bytes((folder / "first.png").read_bytes(), NEWEST_GRID)
    run.set_tags({predict_outputs(count): md5_of_folder(folder)})


def predict_outputs(count: int) -> str:
    """Return the tag with the digest of the grids of `count` images."""
    return f"outputs.predict.first_{count}"


def _log_folder(run: Run, folder: Path, name: str) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            run.log_file(path, (Path(name) / path.relative_to(folder).parent).as_posix())
