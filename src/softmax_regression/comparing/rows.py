"""The tables of a comparison, the same in the terminal and on the page. Points are percentage points."""

from collections.abc import Sequence
from typing import NamedTuple

from softmax_regression.comparing.comparison import ComparedRun, Comparison, Disagreement, seed_ranges
from softmax_regression.statistics.families import Judgement
from softmax_regression.statistics.intervals import LEVEL, Interval
from softmax_regression.statistics.models import ModelComparison
from softmax_regression.statistics.seeds import ConfigurationComparison

_FIGURES = {"test loss": "final/test_loss", "calibration error": "final/test_ece", "training loss": "final/train_loss"}


class Table(NamedTuple):
    """A table; `align` has for each column r (figures), l (words), w (words that may be broken) or c (code)."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    align: str

    def columns(self, *indices: int) -> "Table":
        """Return the table of these columns."""
        header, *rows = ([row[i] for i in indices] for row in (self.header, *self.rows))
        return Table(header, rows, "".join(self.align[i] for i in indices))

    def chosen(self, indices: Sequence[int]) -> "Table":
        """Return the table of these rows."""
        return self._replace(rows=[self.rows[i] for i in indices])


def run_table(comparison: Comparison) -> Table:
    """The runs: letter, name, id, accuracy, its interval; then more figures and, if any has one, the DVC experiment."""
    rows = [
        [
            run.letter,
            run.record.name,
            run.record.run_id[:8],
            f"{100 * run.accuracy:.2f}%",
            f"{100 * run.interval.low:.2f} to {100 * run.interval.high:.2f}",
            *(f"{run.record.metrics[key]:.4f}" if key in run.record.metrics else "-" for key in _FIGURES.values()),
            run.record.dvc_experiment or "-",
        ]
        for run in comparison.runs
    ]
    header = ["", "run", "id", "test accuracy", "95% interval", *_FIGURES, "DVC experiment"]
    table = Table(header, rows, "lwcrrrrrl")
    in_dvc = any(run.record.dvc_experiment for run in comparison.runs)
    return table if in_dvc else table.columns(*range(len(header) - 1))


def model_table(tests: Sequence[ModelComparison]) -> Table:
    """All pairs of trained models: the second run minus the first."""
    rows = []
    for test in tests:
        a, b = (name.partition(" ")[0] for name in test.names)
        figures = [f"{100 * test.difference:+.2f}", _interval(test), p_figure(test.p_adjusted)]
        rows.append([b, a, *figures, _verdict(test, a, b)])
    return Table(["", "minus", "points", "95% interval", _p_head(tests), "verdict"], rows, "llrrrl")


def seeds_table(tests: Sequence[ConfigurationComparison]) -> Table:
    """All pairs of configurations by their common seeds: figures on these test examples, verdicts on others, too."""
    rows = []
    for test in tests:
        a, b = (name.partition(" ")[0] for name in test.names)
        median = "-" if test.median is None else f"{100 * test.median:+.2f}"
        won = f"{test.wins[1]} of {len(test.seeds)}"
        figures = [won, median, _interval(test.these), p_figure(test.these.p_adjusted)]
        rows.append([b, a, *figures, _verdict(test.these, a, b), _verdict(test.like_these, a, b)])
    head = ["", "minus", "seeds won", "median", "95% interval", _p_head(tests), "on these", "on others"]
    return Table(head, rows, "llrrrrll")


def _verdict(judgement: Judgement, a: str, b: str) -> str:
    if winner := judgement.winner((a, b)):
        return f"{winner} better"
    return "too few seeds" if judgement.p_value is None else "not shown"


def _interval(judgement: Judgement) -> str:
    return "-" if judgement.interval is None else _points(judgement.interval, 2)


def _p_head(tests: Sequence[object]) -> str:
    return "p (Holm)" if len(tests) > 1 else "p"


def p_figure(p: float | None) -> str:
    """Return a p-value as '< 0.001' or with the digits that keep it on its side of LEVEL; '-' for none."""
    if p is None:
        return "-"
    digits = next(d for d in range(2, 18) if (float(f"{p:.{d}g}") < LEVEL) == (p < LEVEL))
    return "< 0.001" if p < 0.001 else f"{p:.{digits}g}"


def configuration_table(comparison: Comparison) -> Table:
    """The configurations: their seeds, mean test accuracy, and its standard deviation between the seeds in points."""
    rows = []
    for found in comparison.configurations:
        figures = [f"{100 * found.accuracies.mean():.2f}%", "-" if found.sd is None else f"{100 * found.sd:.2f}"]
        rows.append([found.letters, found.hint or "-", seed_ranges(found.seeds), *figures])
    return Table(["", "configuration", "seeds", "mean accuracy", "sd, points"], rows, "llwrr")


def param_table(comparison: Comparison) -> Table:
    """The params that differ, a column for each run."""
    letters = [run.letter for run in comparison.runs]
    rows = [[key, *values] for key, values in comparison.params.items() if len(set(values)) > 1]
    return Table(["param", *letters], rows, "l" + "r" * len(letters))


def shared_param_table(comparison: Comparison) -> Table:
    """The params that are the same in all the runs."""
    rows = [[key, values[0]] for key, values in comparison.params.items() if len(set(values)) == 1]
    return Table(["param", "value"], rows, "lw")


def share_table(comparison: Comparison, runs: Sequence[ComparedRun]) -> Table:
    """Each class: its number of test examples, and how many % of them each run has right."""
    rows = []
    for k, name in enumerate(comparison.class_names):
        shares = [run.share_right(k) for run in runs]
        cells = ["-" if share is None else f"{100 * share:.1f}" for share in shares]
        rows.append([name, f"{(comparison.labels == k).sum():,}", *cells])
    return Table(["class", comparison.noun, *(run.letter for run in runs)], rows, "lr" + "r" * len(runs))


def class_table(comparison: Comparison, found: Disagreement) -> Table:
    """Each class: as `share_table`; the difference in points, its interval; on how many which run alone is right.

    '*' marks a difference that chance in the images does not explain.
    """
    a, b = found.a.letter, found.b.letter
    shares = share_table(comparison, (found.a, found.b))
    more = [f"{b} - {a}", "95% interval", f"only {a} right", f"only {b} right", "neither right, differ"]
    rows = []
    for row, test, counts in zip(shares.rows, found.classes, found.by_class(), strict=True):
        difference, interval = "-", "-"
        if test is not None:
            star = "" if test.verdict == "no difference shown" else "* "
            difference, interval = f"{star}{100 * test.difference:+.1f}", _points(test.interval, 1)
        rows.append([*row, difference, interval, *(f"{count:,}" for count in counts)])
    return Table([*shares.header, *more], rows, shares.align + "r" * len(more))


def _points(interval: Interval, decimals: int) -> str:
    return f"{100 * interval.low:+.{decimals}f} to {100 * interval.high:+.{decimals}f}"
