"""DVC stage: measure the trained model on the test set, once, and draw its training."""

import sys
from pathlib import Path

from softmax_regression import entry
from softmax_regression.artifacts.outcome import read_trained
from softmax_regression.data.datasets import load
from softmax_regression.evaluation.evaluation import evaluate, metrics_json, write_evaluation, write_pictures
from softmax_regression.evaluation.training_pictures import write_training_pictures
from softmax_regression.files import write_atomically
from softmax_regression.lineage.restore import record
from softmax_regression.params import load_params


def main() -> None:
    """evaluate.py DATA_FOLDER TRAIN_FOLDER OUTPUT_FOLDER FIGURES_FOLDER METRICS_FILE."""
    data, train, output, figures, metrics = map(Path, sys.argv[1:6])
    params = load_params()
    trained = read_trained(train)
    examples = load(data, trained.model.data, size=trained.experiment.params["data.resize"]).test
    found = evaluate(trained, examples, params.evaluate)
    write_evaluation(output, found, trained.model.class_names)
    write_pictures(figures, found.answers, trained.model, examples)
    write_training_pictures(figures, trained)
    write_atomically(metrics, metrics_json(found))
    record(train, output, figures, metrics)
    print(*found.guessing, *found.bands.words, sep="\n", flush=True)
    if found.failed:
        said = f"closing checks failed: {'; '.join(found.failed)}; the result is recorded all the same"
        if params.evaluate.on_failed_check == "stop":
            raise RuntimeError(said)
        print(said, flush=True)


if __name__ == "__main__":
    entry.run(main)
