"""Runs of one configuration: the same params but for the seed, and the same data. They show how much seeds matter."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from softmax_regression.artifacts.experiment import SEED
from softmax_regression.comparing.run_files import RunFiles
from softmax_regression.comparing.statistics import SeedNoise, pooled_seed_noise
from softmax_regression.tracking.record import RunRecord

ACCURACY = "final/test_accuracy"


def seed_of(record: RunRecord) -> str:
    """Return the run's seed as it was recorded, "?" if it was not."""
    return record.params.get(SEED, "?")


def name_without_seed(record: RunRecord) -> str:
    """Return the run's name without its seed and its attempt: 'digits lr0.1 s3 #2' is 'digits lr0.1'."""
    return re.sub(r" #\d+$", "", record.name).removesuffix(f" s{seed_of(record)}")


def by_configuration(records: Sequence[RunRecord], files: RunFiles) -> list[tuple[RunRecord, ...]]:
    """Group `records` by configuration, one run a seed, sorted by seed; the groups in the order of their first runs.

    Of several runs of one seed the first counts (so pass the newest first): a second one is no second draw.
    The experiment.json is read only where params leave a doubt. A run without one is a group of its own.
    """
    alike = Counter(map(_params_but_seed, records))
    groups: dict[str, dict[str, RunRecord]] = {}
    for record in records:
        experiment = files.experiment(record) if alike[_params_but_seed(record)] > 1 else None
        key = experiment.configuration if experiment else record.run_id
        groups.setdefault(key, {}).setdefault(seed_of(record), record)
    return [
        tuple(group[seed] for seed in sorted(group, key=lambda seed: (len(seed), seed)))  # 2 before 10
        for group in groups.values()
    ]


def noise_between_seeds(
    groups: Iterable[Sequence[RunRecord]], data: Mapping[str, str], files: RunFiles
) -> SeedNoise | None:
    """Measure the spread of test accuracy between the seeds of configurations, see `by_configuration`.

    `data` are the digests of the compared runs' data: on other data seeds may matter more, or less. None where no
    configuration has two seeds.
    """
    accuracies = []
    for group in groups:
        tested = [record for record in group if ACCURACY in record.metrics]
        if len(tested) > 1 and (experiment := files.experiment(tested[0])) and experiment.data == data:
            accuracies.append([record.metrics[ACCURACY] for record in tested])
    return pooled_seed_noise(accuracies)


def _params_but_seed(record: RunRecord) -> frozenset[tuple[str, str]]:
    """Return the run's params without their sections: a param may have moved to another since an old run."""
    return frozenset((key.rpartition(".")[2], value) for key, value in record.params.items() if key != SEED)
