"""The live runs by a metric: one row a configuration, its seeds as mean and standard deviation. Shape: S seeds.

By validation accuracy where a data set has any: the test set is measured, never selected on.
"""

import difflib
import functools
import itertools
import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from softmax_regression.comparing.comparison import seed_ranges
from softmax_regression.lineage.best import VALIDATION_ACCURACY
from softmax_regression.statistics.intervals import Interval
from softmax_regression.tables import WIDTH, text_table
from softmax_regression.tracking.configurations import Seeds, data_sets, mean, name_without_seed, ranked, seed_of
from softmax_regression.tracking.run_store import FINISHED, RunStore

TEST_ACCURACY = "final/test_accuracy"
_SMALL_IS_GOOD = re.compile(r"(^|_)(loss|ece|error)($|_)")
_NOISE = (
    "sd is between seeds; the interval, where there is one, is over images alone (Wilson, of the mean of several "
    "seeds). Differences that lie inside them are noise until shown otherwise: `softmax-regression compare` tests two "
    "runs on the same images, and their seeds."
)
_LEFT_OUT = "Configurations without the figure are left out: --metric NAME ranks by another one."
_KNOWN = 100  # of so many runs, the newest, the metrics are offered where nobody has the one that was asked for
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
    """The best configurations on one data set by `metric`, the best first; `more` have it, too, where that is true.

    `reason` says why this metric, where nobody asked for it.
    """

    metric: str
    reason: str
    ascending: bool
    rows: list[Row]
    more: bool


@dataclass(frozen=True)
class Leaderboard:
    """The ranking of each data set."""

    rankings: dict[str, Ranking]


def leaderboard(store: RunStore, metric: str | None = None, *, top: int) -> Leaderboard:
    """Rank the `top` configurations of the live runs by the mean of `metric` over their seeds, by data set.

    Where `metric` is None it is the validation accuracy, for a data set of which no run has that, the test accuracy.
    Losses and errors rank from the smallest, all else from the largest, NaN last. What it costs: see `ranked`. Raises
    ValueError for a metric that no live run has, with the nearest names, for a `top` below 1, and where no run has
    finished yet.
    """
    if top < 1:
        raise ValueError(f"a leaderboard shows 1 row or more, found top = {top}")
    data = data_sets(store)
    if not data:
        raise ValueError("the store holds no finished run yet; `dvc repro` makes one")
    rankings = {name: _ranking(store, name, metric, top) for name in data}
    if not any(ranking.rows for ranking in rankings.values()):
        metric = metric or TEST_ACCURACY
        raise ValueError(f"no live run has the metric {metric!r}; {_nearest(store, metric)}")
    return Leaderboard(rankings)


def leaderboard_text(board: Leaderboard) -> str:
    """Return the leaderboard as tables of at most 100 columns, and what they do not say."""
    lines = []
    for data, ranking in board.rankings.items():
        order = "smallest first" if ranking.ascending else "largest first"
        number = len(ranking.rows)
        shown = f"{'the best ' if ranking.more else ''}{number} configuration{'s' if number != 1 else ''}"
        lines += textwrap.wrap(f"{ranking.metric} on {data}{ranking.reason}, {order}: {shown}", WIDTH)
        lines += _table(ranking.rows) if number else []
        lines += [""]
    said = [_NOISE, _LEFT_OUT] + [_FLATTERED] * any("test" in one.metric for one in board.rankings.values())
    lines += [line for words in said for line in textwrap.wrap(words, WIDTH, break_on_hyphens=False)]
    return "\n".join(lines) + "\n"


def _ranking(store: RunStore, data: str, metric: str | None, top: int) -> Ranking:
    if metric is None:
        found = _ranking(store, data, VALIDATION_ACCURACY, top)
        reason = " (no run held validation data out)"
        return found if found.rows else replace(_ranking(store, data, TEST_ACCURACY, top), reason=reason)
    ascending = _SMALL_IS_GOOD.search(metric.rpartition("/")[2]) is not None
    name = functools.partial(_name, data=data)
    best = [*itertools.islice(ranked(store, metric, [data], ascending=ascending, tie=name), top + 1)]
    return Ranking(metric, "", ascending, [_row(seeds, name(seeds), metric) for seeds in best[:top]], len(best) > top)


def _name(seeds: Seeds, data: str) -> str:
    return re.sub(rf"^{re.escape(data)}[ _]", "", name_without_seed(seeds[0]))


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


def _row(seeds: Seeds, name: str, metric: str) -> Row:
    values = [run.metrics[metric] for run in seeds]
    bounds = [[run.metrics.get(f"{metric}_{end}", math.nan) for end in ("low", "high")] for run in seeds]
    interval = Interval(*map(float, np.mean(bounds, axis=0)))
    return Row(
        name=name,
        run=seeds[0].run_id[:8],
        seeds=tuple(map(seed_of, seeds)),
        mean=mean(seeds, metric),
        sd=float(np.std(values, ddof=1)) if len(values) > 1 else None,
        interval=interval if math.isfinite(interval.low + interval.high) else None,
    )


def _nearest(store: RunStore, metric: str) -> str:
    known = sorted({name for run in store.newest(FINISHED, _KNOWN) for name in run.metrics})
    near = difflib.get_close_matches(metric, known, n=3, cutoff=0.4)
    near += [name for name in known if name.endswith(f"/{metric}") and name not in near]
    if near:
        return f"the nearest are {', '.join(near)}"
    return f"known are {', '.join(known)}" if known else "the live runs have no metric at all"
