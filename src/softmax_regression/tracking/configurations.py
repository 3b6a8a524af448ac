"""Runs of one configuration: the same params but for the seed, and the same data. They show how much seeds matter."""

import heapq
import math
import re
import statistics
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, TypeAlias

from softmax_regression.artifacts.experiment import SEED
from softmax_regression.tracking.client import pattern
from softmax_regression.tracking.record import RunRecord
from softmax_regression.tracking.run_store import FINISHED, RunStore

Seeds: TypeAlias = tuple[RunRecord, ...]  # one run a seed, of one configuration, sorted by seed
_PAGE = 50  # runs: MLflow sorts all for each page, and takes a millisecond for each run in it
DATA = "data.name"  # the param that names a run's data set
_NO_VALUE = "1.5e308"  # MLflow finds runs by a metric's value, not by its presence


def seed_of(record: RunRecord) -> str:
    """Return the run's seed as it was recorded, "?" if it was not."""
    return record.params.get(SEED, "?")


def data_of(record: RunRecord) -> str:
    """Return the name of the run's data set, "" if it was not recorded."""
    return record.params.get(DATA, "")


def name_without_seed(record: RunRecord) -> str:
    """Return the name of the run's configuration: 'digits_lr0.1_s3#2' is 'digits_lr0.1'.

    The seed goes, and the number of the attempt. Older names have blanks between the words, and may have the DVC
    experiment behind the seed: 'digits lr0.1 s3 [wavy-cats] #2'.
    """
    return re.sub(rf"([ _]s{re.escape(seed_of(record))}( \[[^]]*\])?)?( ?#\d+)?$", "", record.name)


def by_configuration(records: Iterable[RunRecord]) -> list[Seeds]:
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


def mean(seeds: Seeds, metric: str) -> float:
    """Return the mean of a metric over the seeds; a seed without it counts as infinite."""
    try:
        return statistics.fmean(run.metrics.get(metric, math.inf) for run in seeds)
    except OverflowError:  # MLflow keeps infinity as the largest float
        return math.inf


def data_sets(store: RunStore) -> list[str]:
    """Return the names of the data sets of finished runs, sorted; those of other programs may hold both quotes."""
    found: list[str] = []
    condition = FINISHED
    while run := next(iter(store.newest(f"{condition} AND params.`{DATA}` != ''")), None):
        found.append(data_of(run))
        quote = '"' if "'" in found[-1] else "'"
        if quote in found[-1]:
            break
        condition += f" AND params.`{DATA}` != {quote}{found[-1]}{quote}"
    return sorted(found)


def ranked(
    store: RunStore,
    metric: str,
    data: Collection[str] = (),
    *,
    ascending: bool,
    tie: Callable[[Seeds], Any] = lambda seeds: 0,
) -> Iterator[Seeds]:
    """Yield the configurations by the mean of `metric` over their seeds, the best first, those with a NaN last.

    Their seeds are the live runs that have the metric, on the data sets `data` where it names any. Equal means are in
    the order of `tie`, then the newest first.

    No mean is better than its best seed. So the runs are walked from the best value on, page by page; a configuration
    is fetched when its first run is met, and given out when its mean is better than the value at which the walk stands
    (the threshold algorithm of Fagin, Lotem and Naor, 2001). What is fetched are the runs that are better than the
    last mean that was asked for, and the seeds of their configurations: at worst, where seeds differ more than
    configurations or all have one value, every run.
    """
    if not re.fullmatch(r"[\w./: -]+", metric):  # as MLflow takes them
        return
    condition = f"{FINISHED} AND metrics.`{metric}` != {_NO_VALUE}"
    if len(data) == 1:
        condition += f" AND params.`{DATA}` LIKE '{pattern(*data)}'"
    order = f"metrics.`{metric}` {'ASC' if ascending else 'DESC'}"
    waiting: list[tuple[Any, ...]] = []
    met: set[str] = set()

    def place(value: float) -> tuple[bool, float]:
        return (True, 0) if math.isnan(value) else (False, value if ascending else -value)

    for run in store.walk(condition, order, page=_PAGE):
        while waiting and waiting[0][:2] < place(run.metrics[metric]):
            yield heapq.heappop(waiting)[-1]
        if run.run_id in met or (data and data_of(run) not in data):
            continue
        family = store.family(run)
        met |= {one.run_id for one in family}
        for seeds in by_configuration(one for one in family if one.live and metric in one.metrics):
            newest = max(seeds, key=lambda one: one.start_time)
            heapq.heappush(waiting, (*place(mean(seeds, metric)), tie(seeds), -newest.start_time, newest.run_id, seeds))
    while waiting:
        yield heapq.heappop(waiting)[-1]
