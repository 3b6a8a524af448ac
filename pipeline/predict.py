"""DVC stage: grids of test images with what the model says about them."""

import sys
from pathlib import Path

from softmax_regression import entry
from softmax_regression.artifacts.experiment import read_experiment
from softmax_regression.artifacts.outcome import read_model
from softmax_regression.data.datasets import load
from softmax_regression.evaluation.prediction import write_predictions
from softmax_regression.lineage import restore
from softmax_regression.params import load_params
from softmax_regression.tracking import stage_logs


def main() -> None:
    """predict.py DATA_FOLDER TRAIN_FOLDER OUTPUT_FOLDER."""
    data, train, output = map(Path, sys.argv[1:4])
    params = load_params()
    experiment, model = read_experiment(train / "experiment.json"), read_model(train)
    examples = load(data, model.data, memory_map=True, size=experiment.params["data.resize"]).test
    write_predictions(output, model, examples, params.predict.count)
    restore.record(experiment, train, data, lambda run: stage_logs.log_predictions(run, output, params.predict.count))


if __name__ == "__main__":
    entry.run(main)
