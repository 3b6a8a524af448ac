"""DVC stage: train the model, into an MLflow run of its own."""

import sys
from pathlib import Path

from softmax_regression import entry
from softmax_regression.artifacts.experiment import describe
from softmax_regression.artifacts.outcome import write_outcome
from softmax_regression.data.datasets import load
from softmax_regression.lineage.provenance import config_key
from softmax_regression.lineage.training_run import TrainingRun
from softmax_regression.params import load_params
from softmax_regression.training.devices import on_device_in_use
from softmax_regression.training.processes import together
from softmax_regression.training.solving import solve


def main() -> None:
    """train.py DATA_FOLDER OUTPUT_FOLDER."""
    data, output = map(Path, sys.argv[1:3])
    params = load_params()
    train = on_device_in_use(params.train)
    dataset = load(data, params.data.name, size=params.data.resize)
    experiment = describe(params.data, params.model, params.optimizer, train, dataset.report)
    task = dataset, params.data.validation_size, params.model, params.optimizer, train
    with together(train, config_key(experiment)) as processes:
        if processes.rank:  # the first process has the run and the files
            solve(*task, on_epoch=lambda history: None, checkpoint=None, processes=processes)
            return
        with TrainingRun(experiment, train.resume, processes.count) as run:
            outcome = solve(*task, on_epoch=run.on_epoch, checkpoint=run.checkpoint, processes=processes)
            run.complete(write_outcome(output, outcome, experiment, dataset), output)


if __name__ == "__main__":
    entry.run(main)
