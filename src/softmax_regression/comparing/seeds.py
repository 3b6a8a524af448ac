"""Runs of one configuration: the same params but for the seed, the same data, the same code.

The code counts, because another version of it may train another model from the same params. Where that is known not
to be so (a changed figure, a comment), `any_code` leaves it out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.comparing.run_files import RunFiles
from softmax_regression.comparing.statistics import SeedNoise, pooled_seed_noise
from softmax_regression.tracking.record import RunRecord

SEED = "train.seed"
ACCURACY = "final/test_accuracy"
_ALIKE = 2.0  # standard deviations of a few seeds each differ by that much where the noise is the same


def configuration_key(experiment: Experiment, *, any_code: bool = False) -> str:
    """Return a digest that the seeds of one configuration share."""
    params = {key: value for key, value in experiment.params.items() if key != SEED}
    return replace(experiment, params=params, code={} if any_code else experiment.code).config_key


def name_without_seed(record: RunRecord) -> str:
    """Return the run's name less what tells its seed and its attempt: 'digits lr0.1 s3 #2' is 'digits lr0.1'."""
    name = re.sub(r" #\d+$", "", record.name)
    return name.removesuffix(f" s{record.params.get(SEED)}")


@dataclass(frozen=True)
class Siblings:
    """The runs of one configuration, one a seed; and the live runs of other code that share all the rest."""

    records: tuple[RunRecord, ...]
    other_code: tuple[RunRecord, ...]
    code_that_differs: tuple[str, ...]


def siblings_of(
    named: Sequence[RunRecord], live: Iterable[RunRecord], files: RunFiles, *, any_code: bool = False
) -> Siblings:
    """Return the runs of the configuration of `named` (its runs, of different seeds where there are several).

    Of several runs of one seed the first counts: a named one, else the one that comes first in `live` (the newest).
    A second run of one seed is no second draw: its weights are the same, or its code is not.
    """
    experiment = files.experiment(named[0])
    assert experiment is not None  # a named run has been read
    key, loose_key = configuration_key(experiment, any_code=any_code), configuration_key(experiment, any_code=True)
    by_seed: dict[str, RunRecord] = {}
    others: list[RunRecord] = []
    code: set[str] = set()
    for record in [*named, *(run for run in live if _params_but_seed(run) == _params_but_seed(named[0]))]:
        found = files.experiment(record)
        if found is None or configuration_key(found, any_code=True) != loose_key:
            continue
        if configuration_key(found, any_code=any_code) == key:
            by_seed.setdefault(record.params.get(SEED, ""), record)
        else:
            others.append(record)
            code |= differing_code(experiment, found)
    ordered = sorted(by_seed.values(), key=lambda record: (len(record.params.get(SEED, "")), record.params.get(SEED)))
    return Siblings(tuple(ordered), tuple(others), tuple(sorted(code)))


def differing_code(a: Experiment, b: Experiment) -> set[str]:
    """Return the code files that are not the same in both."""
    return {path for path in {*a.code, *b.code} if a.code.get(path) != b.code.get(path)}


def by_configuration(
    records: Sequence[RunRecord], files: RunFiles, *, any_code: bool = False
) -> list[dict[str, RunRecord]]:
    """Group `records` by configuration, one run a seed (the first, so pass the newest first), in order of first run.

    The experiment.json is read only where params leave a doubt. A run without one stands alone.
    """
    loose: dict[frozenset[tuple[str, str]], list[RunRecord]] = {}
    for record in records:
        loose.setdefault(_params_but_seed(record), []).append(record)
    groups: dict[object, dict[str, RunRecord]] = {}
    for alike in loose.values():
        for record in alike:
            experiment = files.experiment(record) if len(alike) > 1 else None
            key = configuration_key(experiment, any_code=any_code) if experiment else record.run_id
            groups.setdefault(key, {}).setdefault(record.params.get(SEED, ""), record)
    return list(groups.values())


@dataclass(frozen=True)
class NoiseBetweenSeeds:
    """How much seeds matter in the store: pooled, and the least and most that one configuration shows."""

    pooled: SeedNoise
    smallest: float
    largest: float

    @property
    def words(self) -> str:
        """The range in a sentence, empty where the configurations are alike."""
        if self.largest <= _ALIKE * self.smallest:
            return ""
        return (
            "This noise is pooled; it is not alike in all configurations: from a standard deviation of "
            f"{100 * self.smallest:.2f} to one of {100 * self.largest:.2f} points."
        )


def noise_between_seeds(
    live: Sequence[RunRecord], data: Mapping[str, str], files: RunFiles, *, any_code: bool = False
) -> NoiseBetweenSeeds | None:
    """Measure the spread of test accuracy between seeds in all configurations of the store on these data.

    `data` are the digests of the compared runs' data: on other data seeds may matter more, or less. None where no
    configuration has two seeds.
    """
    accuracies = []
    for group in by_configuration([run for run in live if ACCURACY in run.metrics], files, any_code=any_code):
        records = list(group.values())
        if len(records) > 1 and (experiment := files.experiment(records[0])) and experiment.data == data:
            accuracies.append([record.metrics[ACCURACY] for record in records])
    pooled = pooled_seed_noise(accuracies)
    if pooled is None:
        return None
    spreads = [noise.sd for group in accuracies if (noise := pooled_seed_noise([group]))]
    return NoiseBetweenSeeds(pooled, min(spreads), max(spreads))


def _params_but_seed(record: RunRecord) -> frozenset[tuple[str, str]]:
    return frozenset((key, value) for key, value in record.params.items() if key != SEED)
