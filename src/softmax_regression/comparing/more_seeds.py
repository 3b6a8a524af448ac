"""The seeds that a verdict lacks: which they are, what they cost, and training them in passes that they share.

Each is the run of its experiment, with the key, and in exact arithmetic the bits, that `dvc exp run -S train.seed=7`
gives it; measured on the test set, but without pictures. A seed trained together with the same seed of another
configuration sees the same batches, as it does in the pipeline.
"""

import math
from collections.abc import Collection, Sequence
from pathlib import Path

from softmax_regression.artifacts.experiment import SEED, Experiment, describe
from softmax_regression.artifacts.outcome import read_trained
from softmax_regression.comparing.comparison import Configuration, Offer
from softmax_regression.comparing.measured import measure, record_evaluation
from softmax_regression.data.datasets import FOLDER, Examples, read_report
from softmax_regression.lineage.provenance import origin_here
from softmax_regression.params import Params, flatten, load_params
from softmax_regression.sweep.passes import prepared, record, train_passes
from softmax_regression.sweep.plan import LARGEST_PASS, Trial, changed, passes
from softmax_regression.tracking.record import RunRecord
from softmax_regression.tracking.run import Run
from softmax_regression.tracking.run_store import RunStore
from softmax_regression.training.devices import cores, on_device_in_use

OFFERED = 32  # seeds: with them a difference of 0.72 deviations of paired seeds is found in 8 of 10 cases
MOST_SEEDS = 1000
# Of Fashion-MNIST, two configurations a pass, on a core of an AMD EPYC: 0.7 s for a training of 4.7e9 multiplications
# (examples x features x classes x epochs), 0.35 s to measure and record it, 4 s until the processes have begun.
_A_MULTIPLICATION, _A_RUN, _A_START = 1.5e-10, 0.35, 4.0
_SECTIONS = ("data", "model", "optimizer", "train")


def add_seeds(store: RunStore, root: Path, configurations: Sequence[Configuration], count: int) -> list[str]:
    """Train, measure and record what is missing of `count` seeds of each; return a line for each training that failed.

    What is done stays done, whatever stops the rest. Raises FileNotFoundError or ValueError where the configurations
    cannot be trained here (see `params_of`), RuntimeError where the store does not take a run.
    """
    base = load_params(root / "params.yaml")
    missing, unmeasured = _lacking(root, base, configurations, count)
    for run in unmeasured:
        measure(store, root, run, base.evaluate)
    if not missing:
        return []
    for line in store.end_dead_runs():
        print(line, flush=True)
    plural = "s" if len(missing) > 1 else ""
    print(f"training {len(missing)} run{plural}, about {_seconds(root, missing):.0f} s", flush=True)
    return _train(store, root, missing)


def offer(root: Path, configurations: Sequence[Configuration], common: int) -> Offer | None:
    """Return what more seeds than the `common` ones would cost; None where they cannot be trained here."""
    count = OFFERED if common < OFFERED else min(2 * common, MOST_SEEDS)
    try:
        missing, unmeasured = _lacking(root, load_params(root / "params.yaml"), configurations, count)
        seconds = (_seconds(root, missing) if missing else 0.0) + len(unmeasured) * _A_RUN
        return Offer(count, len(missing), len(unmeasured), seconds)
    except (OSError, ValueError):
        return None


def chosen_seeds(held: Sequence[Collection[int]], count: int) -> list[int]:
    """Return the `count` seeds that all should have: those that most configurations have, of equals the smallest.

    Nothing that came out takes part in the choice.
    """
    known = {seed for seeds in held for seed in seeds} | set(range(count))
    return sorted(sorted(known, key=lambda seed: (-sum(seed in seeds for seeds in held), seed))[:count])


def params_of(experiment: Experiment, base: Params, root: Path) -> Params:
    """Return the params with which the pipeline would train `experiment` again; what it does not say is as in `base`.

    Raises FileNotFoundError where no data are prepared, ValueError where they are others, or these params make another
    configuration of them: those of an older version may.
    """
    ours = {key for key in flatten(base) if key.partition(".")[0] in _SECTIONS}
    params = changed(base, {key: value for key, value in experiment.params.items() if key in ours})
    report = read_report(root / FOLDER, params.data.name)
    made = describe(params.data, params.model, params.optimizer, on_device_in_use(params.train), report)
    if made.configuration != experiment.configuration:
        raise ValueError(
            f"{FOLDER} holds other data of the name {params.data.name}, or this version trains with other params; "
            "`softmax-regression show` says how to get a run's state back"
        )
    return params


def _lacking(
    root: Path, base: Params, configurations: Sequence[Configuration], count: int
) -> tuple[list[Params], list[RunRecord]]:
    """Return what is to be trained, seed by seed, and the runs to be measured, so that all have `count` seeds."""
    measured = [{int(seed) for seed in found.seeds if seed.isdecimal()} for found in configurations]
    recorded = [
        {int(seed): run for seed, run in found.unmeasured.items() if seed.isdecimal()} for found in configurations
    ]
    seeds = chosen_seeds([own | set(runs) for own, runs in zip(measured, recorded, strict=True)], count)
    params = [params_of(found.experiment, base, root) for found in configurations]
    train = [
        changed(own, {SEED: seed})
        for seed in seeds
        for own, ready, runs in zip(params, measured, recorded, strict=True)
        if seed not in ready and seed not in runs
    ]
    return train, [runs[seed] for runs in recorded for seed in seeds if seed in runs]


def _seconds(root: Path, missing: Sequence[Params]) -> float:
    """Estimate how long `_train` takes."""
    report = read_report(root / FOLDER)
    size: int = report["train"]["examples"] * math.prod(report["example_shape"]) * len(report["class_names"])
    work = [size * params.train.epochs * _A_MULTIPLICATION + _A_RUN for params in missing]
    return _A_START + sum(work) / cores()


def _train(store: RunStore, root: Path, missing: Sequence[Params]) -> list[str]:
    origin = origin_here(root)
    tags = {"mlflow.source.name": "softmax-regression compare"}
    failed = []
    groups = passes([Trial(params, {}) for params in missing], LARGEST_PASS)
    for done in train_passes(groups, root / FOLDER):
        for one in done:
            params = one.trial.params
            test = prepared(root / FOLDER, params.data.name, params.data.resize).test

            def evaluated(run: Run, output: Path, test: Examples = test, params: Params = params) -> None:
                record_evaluation(run, read_trained(output), test, params.evaluate)

            record(store, one, root / FOLDER, origin, tags, evaluated)
            if one.failure:
                failed.append(f"a seed that failed does not count: {params.train.seed}, {one.failure}")
    return failed
