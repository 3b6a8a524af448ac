"""DVC stage: measure the trained model on the test set, once."""

import sys
from pathlib import Path

from softmax_regression import entry
from softmax_regression.artifacts.experiment import read_experiment
from softmax_regression.artifacts.outcome import read_history, read_model
from softmax_regression.data.datasets import load
from softmax_regression.evaluation import evaluation
from softmax_regression.files import write_atomically
from softmax_regression.lineage import restore
from softmax_regression.params import load_params
from softmax_regression.tracking import stage_logs


def main() -> None:
    """evaluate.py DATA_FOLDER TRAIN_FOLDER OUTPUT_FOLDER METRICS_FILE."""
    data, train, output, metrics = map(Path, sys.argv[1:5])
    params = load_params()
    experiment, model = read_experiment(train / "experiment.json"), read_model(train)
    history = read_history(train / "history.csv")
    examples = load(data, model.data, memory_map=True, size=experiment.params["data.resize"]).test
    answers = evaluation.evaluate(model, examples)
    numbers = evaluation.headline(answers, history)
    findings = evaluation.findings(experiment.params, history, numbers)
    failed = evaluation.failed_checks(params.evaluate.checks.get(model.data), numbers)
    evaluation.write_evaluation(output, answers, model, examples, [*findings.words, *failed])
    write_atomically(metrics, evaluation.metrics_json(numbers))
    restore.record(experiment, train, data, lambda run: stage_logs.log_evaluation(run, metrics, findings, output))
    print(*findings.words, sep="\n", flush=True)
    if failed:
        raise RuntimeError(f"closing checks failed: {'; '.join(failed)}; the result is recorded all the same")


if __name__ == "__main__":
    entry.run(main)
