"""DVC stage: grids of test images with what the model says about them."""

import sys
from pathlib import Path

from softmax_regression import entry
from softmax_regression.artifacts.outcome import read_trained
from softmax_regression.data.datasets import load
from softmax_regression.evaluation.prediction import write_predictions
from softmax_regression.lineage.restore import record
from softmax_regression.params import load_params


def main() -> None:
    """predict.py DATA_FOLDER TRAIN_FOLDER OUTPUT_FOLDER."""
    data, train, output = map(Path, sys.argv[1:4])
    params = load_params()
    trained = read_trained(train)
    examples = load(data, trained.model.data, size=trained.experiment.params["data.resize"]).test
    write_predictions(output, trained.model, examples, params.predict.count)
    record(train, output)


if __name__ == "__main__":
    entry.run(main)
