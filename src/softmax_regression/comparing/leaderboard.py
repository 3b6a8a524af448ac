"""The live runs by a metric: one row a configuration, its seeds as mean and standard deviation. Shape: S seeds.

By validation accuracy where a data set has any: the test set is measured, never selected on.
"""

import difflib
import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from softmax_regression.comparing.comparison import seed_ranges
from softmax_regression.lineage.best import VALIDATION_ACCURACY
from softmax_regression.statistics.intervals import Interval
from softmax_regression.tables import WIDTH, text_table
from softmax_regression.tracking.configurations import by_configuration, name_without_seed, seed_of
from softmax_regression.tracking.record import RunRecord
from softmax_regression.tracking.run_store import RunStore

TEST_ACCURACY = "final/test_accuracy"
_SMALL_IS_GOOD = re.compile(r"(^|_)(loss|ece|error)($|_)")
_NOISE = (
    "sd is between seeds; the interval, where there is one, is over images alone (Wilson, of the mean of several "
    "seeds). Differences that lie inside them are noise until shown otherwise: `softmax-regression compare` tests two "
    "runs on the same images, and their seeds."
)
_FLATTERED = (
    "Choosing the top row by its test figure flatters it: choose by validation (data.validation_size), and take the "
    "test figure of what was chosen."
)


@dataclass(frozen=True)
class Row:
    """A configuration: mean and standard deviation (ddof 1; None with one seed) of the metric over its `seeds` (S,).

    `interval` is the 95% interval over images (Wilson) of the mean, where the runs record one; None elsewhere. `run` is
    the id of its first run.
    """

    name: str
    run: str
    seeds: tuple[str, ...]
    mean: float
    sd: float | None
    interval: Interval | None


@dataclass(frozen=True)
class Ranking:
    """The configurations on one data set that have `metric`, the best first; `unranked` is the number of the others.

    `reason` says why this metric, where nobody asked for it.
    """

    metric: str
    reason: str
    ascending: bool
    rows: list[Row]
    unranked: int


@dataclass(frozen=True)
class Leaderboard:
    """The ranking of each data set, of which the `top` rows are shown."""

    rankings: dict[str, Ranking]
    top: int


def leaderboard(store: RunStore, metric: str | None = None, *, top: int) -> Leaderboard:
    """Rank the configurations of the live runs by the mean of `metric` over their seeds, each data set by itself.

    Where `metric` is None it is the validation accuracy, for a data set of which no run has that, the test accuracy.
    Losses and errors rank from the smallest, all else from the largest, NaN last. Raises ValueError for a metric that
    no live run has, with the nearest names, for a `top` below 1, and where no run has finished yet.
    """
    live = [record for record in store.settled_runs() if record.live]
    if top < 1:
        raise ValueError(f"a leaderboard shows 1 row or more, found top = {top}")
    if not live:
        raise ValueError("the store holds no finished run yet; `dvc repro` makes one")
    by_data: dict[str, list[RunRecord]] = {}
    for record in live:
        by_data.setdefault(record.params.get("data.name", "?"), []).append(record)
    rankings = {data: _ranking(by_data[data], data, metric) for data in sorted(by_data)}
    if not any(ranking.rows for ranking in rankings.values()):
        metric = metric or TEST_ACCURACY
        raise ValueError(f"no live run has the metric {metric!r}; {_nearest(metric, live)}")
    return Leaderboard({data: ranking for data, ranking in rankings.items() if ranking.rows or ranking.unranked}, top)


def leaderboard_text(board: Leaderboard) -> str:
    """Return the leaderboard as tables of at most 100 columns, and what they do not say."""
    lines = []
    for data, ranking in board.rankings.items():
        order = "smallest first" if ranking.ascending else "largest first"
        number = len(ranking.rows)
        shown = f"{board.top} of {number}" if board.top < number else f"{number}"
        heading = f"{ranking.metric} on {data}{ranking.reason}, {order}: {shown} {_configurations(number)}"
        lines += textwrap.wrap(heading, WIDTH)
        lines += _table(ranking.rows[: board.top]) if number else []
        if ranking.unranked:
            more = f"{ranking.unranked} {'more ' if number else ''}{_configurations(ranking.unranked)} without"
            lines += [f"{more} {ranking.metric}: --metric NAME ranks by another figure"]
        lines += [""]
    said = [_NOISE] + [_FLATTERED] * any("test" in one.metric for one in board.rankings.values())
    lines += [line for words in said for line in textwrap.wrap(words, WIDTH, break_on_hyphens=False)]
    return "\n".join(lines) + "\n"


def _ranking(live: Sequence[RunRecord], data: str, metric: str | None) -> Ranking:
    reason = ""
    if metric is None:
        validated = any(VALIDATION_ACCURACY in record.metrics for record in live)
        metric = VALIDATION_ACCURACY if validated else TEST_ACCURACY
        reason = "" if validated else " (no run held validation data out)"
    groups = by_configuration(record for record in live if metric in record.metrics)
    ascending = _SMALL_IS_GOOD.search(metric.rpartition("/")[2]) is not None
    rows = [_row(group, data, metric) for group in groups]
    rows.sort(key=lambda row: (math.isnan(row.mean), row.mean if ascending else -row.mean, row.name))
    known = {record.configuration for record in live if record.configuration}
    unranked = known - {group[0].configuration for group in groups}
    return Ranking(metric, reason, ascending, rows, len(unranked))


def _configurations(number: int) -> str:
    return "configuration" if number == 1 else "configurations"


def _table(rows: Sequence[Row]) -> list[str]:
    cells = [
        [
            str(place),
            row.name,
            f"{row.mean:.4f}",
            "-" if row.sd is None else f"{row.sd:.4f}",
            "-" if row.interval is None else f"{row.interval.low:.4f} to {row.interval.high:.4f}",
            seed_ranges(row.seeds),
            row.run if len(row.seeds) == 1 else f"{len(row.seeds)} runs",
        ]
        for place, row in enumerate(rows, start=1)
    ]
    return text_table(["", "configuration", "mean", "sd", "95% interval", "seeds", "run"], cells, "rlrrrll")


def _row(records: Sequence[RunRecord], data: str, metric: str) -> Row:
    values = [record.metrics[metric] for record in records]
    bounds = [[record.metrics.get(f"{metric}_{end}", math.nan) for end in ("low", "high")] for record in records]
    interval = Interval(*map(float, np.mean(bounds, axis=0)))
    return Row(
        name=name_without_seed(records[0]).removeprefix(f"{data} "),
        run=records[0].run_id[:8],
        seeds=tuple(map(seed_of, records)),
        mean=float(np.mean(values)),
        sd=float(np.std(values, ddof=1)) if len(values) > 1 else None,
        interval=interval if math.isfinite(interval.low + interval.high) else None,
    )


def _nearest(metric: str, live: Sequence[RunRecord]) -> str:
    known = sorted({name for record in live for name in record.metrics})
    near = difflib.get_close_matches(metric, known, n=3, cutoff=0.4)
    near += [name for name in known if name.endswith(f"/{metric}") and name not in near]
    if near:
        return f"the nearest are {', '.join(near)}"
    return f"known are {', '.join(known)}" if known else "the live runs have no metric at all"
