"""DVC stage: train the model, into an MLflow run of its own."""

import sys
from pathlib import Path

from softmax_regression import entry
from softmax_regression.artifacts.experiment import describe
from softmax_regression.artifacts.outcome import write_outcome
from softmax_regression.data.datasets import load
from softmax_regression.evaluation.training_pictures import write_training_pictures
from softmax_regression.lineage.restore import read_report
from softmax_regression.lineage.training_run import TrainingRun
from softmax_regression.params import load_params
from softmax_regression.training.solving import solve


def main() -> None:
    """train.py DATA_FOLDER OUTPUT_FOLDER."""
    data, output = map(Path, sys.argv[1:3])
    params = load_params()
    resize, validation_size = params.data.resize, params.data.validation_size
    dataset = load(data, params.data.name, memory_map=True, size=resize)
    settings = {"name": params.data.name, "resize": resize, "validation_size": validation_size}
    report = read_report(data)
    experiment = describe(settings, params.model, params.optimizer, params.train, report)
    with TrainingRun(experiment, params.train.resume) as run:
        outcome = solve(
            dataset,
            validation_size,
            params.model,
            params.optimizer,
            params.train,
            on_epoch=run.on_epoch,
            checkpoint=run.checkpoint,
        )
        finished = write_outcome(output, outcome, experiment, dataset)
        write_training_pictures(output, outcome, dataset)
        run.complete(finished, output, report)


if __name__ == "__main__":
    entry.run(main)
