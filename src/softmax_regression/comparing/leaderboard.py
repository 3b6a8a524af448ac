"""The live runs by a metric: one row a configuration, its seeds as mean and standard deviation. Shape: S seeds."""

import difflib
import math
import re
import tempfile
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from softmax_regression.comparing.run_files import RunFiles
from softmax_regression.comparing.seeds import by_configuration, name_without_seed, seed_of
from softmax_regression.evaluation.metrics import Interval
from softmax_regression.tables import WIDTH, text_table
from softmax_regression.tracking.record import RunRecord
from softmax_regression.tracking.run_store import RunStore

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
class Leaderboard:
    """The `rows` of each data set, the best first, of which the `top` ones are shown."""

    metric: str
    ascending: bool
    rows: dict[str, list[Row]]
    top: int


def leaderboard(store: RunStore, metric: str, *, top: int) -> Leaderboard:
    """Rank the configurations of the live runs by the mean of `metric` over their seeds, each data set by itself.

    Losses and errors rank from the smallest, all else from the largest, NaN last. Raises ValueError for a metric that
    no live run has, with the nearest names, for a `top` below 1, and where no run has finished yet.
    """
    live = [record for record in store.settled_runs() if record.live]
    if top < 1:
        raise ValueError(f"a leaderboard shows 1 row or more, found top = {top}")
    if not live:
        raise ValueError("the store holds no finished run yet; `dvc repro` makes one")
    ranked = [record for record in live if metric in record.metrics]
    if not ranked:
        raise ValueError(f"no live run has the metric {metric!r}; {_nearest(metric, live)}")
    ascending = _SMALL_IS_GOOD.search(metric.rpartition("/")[2]) is not None
    by_data: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for group in by_configuration(ranked, RunFiles(store, Path(folder))):
            data = group[0].params.get("data.name", "?")
            by_data.setdefault(data, []).append(_row(group, data, metric))
    for rows in by_data.values():
        rows.sort(key=lambda row: (math.isnan(row.mean), row.mean if ascending else -row.mean, row.name))
    return Leaderboard(metric, ascending, {data: by_data[data] for data in sorted(by_data)}, top)


def leaderboard_text(board: Leaderboard) -> str:
    """Return the leaderboard as tables of at most 100 columns, and what they do not say."""
    lines = []
    order = "smallest first" if board.ascending else "largest first"
    for data, rows in board.rows.items():
        shown = f"{board.top} of {len(rows)}" if board.top < len(rows) else f"{len(rows)}"
        lines += [f"{board.metric} on {data}, {order}: {shown} configuration{'s' if len(rows) > 1 else ''}"]
        lines += [*_table(rows[: board.top]), ""]
    lines += textwrap.wrap(_NOISE, WIDTH)
    lines += textwrap.wrap(_FLATTERED, WIDTH) if "test" in board.metric else []
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[Row]) -> list[str]:
    cells = [
        [
            str(place),
            row.name,
            f"{row.mean:.4f}",
            "-" if row.sd is None else f"{row.sd:.4f}",
            "-" if row.interval is None else f"{row.interval.low:.4f} to {row.interval.high:.4f}",
            ", ".join(row.seeds),
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
