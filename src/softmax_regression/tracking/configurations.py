"""Runs of one configuration: the same params but for the seed, and the same data. They show how much seeds matter."""

import re
from collections.abc import Iterable

from softmax_regression.artifacts.experiment import SEED
from softmax_regression.tracking.record import RunRecord


def seed_of(record: RunRecord) -> str:
    """Return the run's seed as it was recorded, "?" if it was not."""
    return record.params.get(SEED, "?")


def name_without_seed(record: RunRecord) -> str:
    """Return the name of the run's configuration: 'digits lr0.1 s3 [wavy-cats] #2' is 'digits lr0.1'.

    The seed goes, the DVC experiment of that seed, and the number of the attempt.
    """
    return re.sub(rf"( s{re.escape(seed_of(record))}( \[[^]]*\])?)?( #\d+)?$", "", record.name)


def by_configuration(records: Iterable[RunRecord]) -> list[tuple[RunRecord, ...]]:
    """Group `records` by configuration, one run a seed, sorted by seed; the groups in the order of their first runs.

    Of several runs of one seed the first counts (so pass the newest first): a second one is no second draw. A run whose
    configuration is not known is a group of its own.
    """
    groups: dict[str, dict[str, RunRecord]] = {}
    for record in records:
        groups.setdefault(record.configuration or record.run_id, {}).setdefault(seed_of(record), record)
    return [
        tuple(group[seed] for seed in sorted(group, key=lambda seed: (len(seed), seed)))  # 2 before 10
        for group in groups.values()
    ]
