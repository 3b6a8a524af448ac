"""The live runs by a metric: one row a configuration, its seeds as mean and standard deviation. Shape: S seeds."""

from __future__ import annotations

import difflib
import math
import re
import tempfile
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from softmax_regression.comparing.run_files import RunFiles
from softmax_regression.comparing.seeds import SEED, by_configuration, name_without_seed
from softmax_regression.evaluation.metrics import Interval
from softmax_regression.tables import WIDTH, text_table
from softmax_regression.tracking.record import RunRecord

if TYPE_CHECKING:
    from softmax_regression.tracking.client import Store

DEFAULT_METRIC = "final/test_accuracy"
_SMALL_IS_GOOD = re.compile(r"(^|_)(loss|ece|error)($|_)")


@dataclass(frozen=True)
class Row:
    """A configuration: `values` (S,) of its `seeds`, in their order, of the runs `records`.

    `interval` is the 95% interval over images (Wilson) of the mean, where the runs record one; None elsewhere.
    """

    name: str
    seeds: tuple[str, ...]
    records: tuple[RunRecord, ...]
    values: tuple[float, ...]
    interval: Interval | None

    @property
    def mean(self) -> float:
        """Mean over the seeds; NaN if one of them is."""
        return float(np.mean(self.values))

    @property
    def sd(self) -> float | None:
        """Standard deviation over the seeds (ddof 1); None with one seed."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Leaderboard:
    """The best `rows` of each data set, the best first; `total` counts its configurations, shown or not."""

    metric: str
    ascending: bool
    rows: dict[str, tuple[Row, ...]]
    total: dict[str, int]


def leaderboard(store: Store, metric: str = DEFAULT_METRIC, *, top: int = 20, any_code: bool = False) -> Leaderboard:
    """Rank the configurations of the live runs by the mean of `metric` over their seeds, each data set by itself.

    Losses and errors rank from the smallest, all else from the largest, NaN last. With `any_code` runs of different
    code count as one configuration. Raises ValueError for a metric that no live run has, with the nearest names, for
    a `top` below 1, and where no run has finished yet.
    """
    live = [record for record in store.runs() if record.live]
    if top < 1:
        raise ValueError(f"a leaderboard shows 1 row or more, found top = {top}")
    if not live:
        raise ValueError("the store holds no finished run yet; `dvc repro` makes one")
    ranked = [record for record in live if metric in record.metrics]
    if not ranked:
        known = sorted({name for record in live for name in record.metrics})
        raise ValueError(f"no live run has the metric {metric!r}; {_nearest(metric, known)}")
    ascending = _SMALL_IS_GOOD.search(metric.rpartition("/")[2]) is not None
    by_data: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for group in by_configuration(ranked, RunFiles(store, Path(folder)), any_code=any_code):
            row = _row(group, metric)
            by_data.setdefault(row.records[0].params.get("data.name", "?"), []).append(row)
    for rows in by_data.values():
        rows.sort(key=lambda row: (math.isnan(row.mean), row.mean if ascending else -row.mean, row.name))
    return Leaderboard(
        metric,
        ascending,
        rows={data: tuple(by_data[data][:top]) for data in sorted(by_data)},
        total={data: len(rows) for data, rows in by_data.items()},
    )


def leaderboard_text(board: Leaderboard) -> str:
    """Return the leaderboard as tables of at most 100 columns, and what they do not say."""
    lines = []
    order = "smallest first" if board.ascending else "largest first"
    for data, rows in board.rows.items():
        shown = f"{len(rows)} of {board.total[data]}" if len(rows) < board.total[data] else f"{len(rows)}"
        lines += [f"{board.metric} on {data}, {order}: {shown} configuration{'s' if board.total[data] > 1 else ''}"]
        lines += [*_table(rows), ""]
    if any(row.interval for rows in board.rows.values() for row in rows):
        notes = [
            "The interval is over images alone (Wilson, of the mean where there are several seeds); sd is between "
            "seeds. Differences that lie inside the intervals, or inside the seeds' spread, are noise until shown "
            "otherwise: `softmax-regression compare` tests two runs on the same images, and their seeds."
        ]
    else:
        notes = ["sd is between seeds; a difference inside it is noise until `softmax-regression compare` shows more."]
    if "test" in board.metric:
        notes.append(
            "Choosing the top row by its test figure flatters it: choose by validation (data.validation_size), and "
            "take the test figure of what was chosen."
        )
    return "\n".join(lines + [line for note in notes for line in textwrap.wrap(note, WIDTH)]) + "\n"


def _table(rows: Sequence[Row]) -> list[str]:
    cells = [
        [
            str(place),
            row.name,
            f"{row.mean:.4f}",
            "-" if row.sd is None else f"{row.sd:.4f}",
            "-" if row.interval is None else f"{row.interval.low:.4f} to {row.interval.high:.4f}",
            ", ".join(row.seeds),
            row.records[0].run_id[:8] if len(row.records) == 1 else f"{len(row.records)} runs",
        ]
        for place, row in enumerate(rows, start=1)
    ]
    return text_table(["", "configuration", "mean", "sd", "95% interval", "seeds", "run"], cells, "rlrrrll")


def _row(group: dict[str, RunRecord], metric: str) -> Row:
    records = sorted(group.values(), key=lambda record: (len(record.params.get(SEED, "")), record.params.get(SEED)))
    bounds = [[record.metrics.get(f"{metric}_{end}", math.nan) for end in ("low", "high")] for record in records]
    low, high = (float(bound) for bound in np.mean(bounds, axis=0))
    return Row(
        name=name_without_seed(records[0]).removeprefix(f"{records[0].params.get('data.name')} "),
        seeds=tuple(record.params.get(SEED, "?") for record in records),
        records=tuple(records),
        values=tuple(record.metrics[metric] for record in records),
        interval=Interval(low, high) if math.isfinite(low + high) else None,
    )


def _nearest(metric: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(metric, known, n=3, cutoff=0.4)
    near += [name for name in known if name.endswith(f"/{metric}") and name not in near]
    if near:
        return f"the nearest are {', '.join(near)}"
    return f"known are {', '.join(known)}" if known else "the live runs have no metric at all"
