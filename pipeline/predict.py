"""DVC stage: grids of test images with what the model says about them."""

import sys
from pathlib import Path

from softmax_regression import entry
from softmax_regression.data.datasets import load
from softmax_regression.experiment import read_experiment
from softmax_regression.params import load_params
from softmax_regression.results.prediction import write_predictions
from softmax_regression.tracking import logbook, tracked
from softmax_regression.training.outcome import read_model


def main() -> None:
    """predict.py DATA_FOLDER TRAIN_FOLDER OUTPUT_FOLDER."""
    data, train, output = map(Path, sys.argv[1:4])
    params = load_params()
    experiment, model = read_experiment(train / "experiment.json"), read_model(train)
    examples = load(data, model.data, memory_map=True, size=experiment.params["data.resize"]).test
    write_predictions(output, model, examples, params.predict.count)
    tracked.record(experiment, train, data, lambda run: logbook.log_predictions(run, output, params.predict.count))


if __name__ == "__main__":
    entry.run(main)
