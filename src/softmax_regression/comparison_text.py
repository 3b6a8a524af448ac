"""A comparison as text for a terminal: the verdicts first, then the tables that they rest on."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from softmax_regression.compare import Comparison, Disagreement
from softmax_regression.statistics import ConfigurationComparison, ModelComparison
from softmax_regression.text_table import WIDTH, fits, text_table
from softmax_regression.verdicts import class_verdict, configuration_verdicts, model_verdicts


def compare_text(comparison: Comparison) -> str:
    """Return the comparison as lines of at most 100 columns, without colours."""
    count = len(comparison.labels)
    lines = [f"{len(comparison.runs)} runs on {comparison.data}, {count:,} test {comparison.noun}", *_runs(comparison)]
    lines += _wrapped(comparison.notes)
    lines += ["", f"Are these trained models different on {comparison.noun} like these?"]
    lines += _wrapped(model_verdicts(comparison))
    if len(comparison.models) > 1:
        lines += _tests(comparison.models)
    lines += ["", "Is the configuration better?"]
    lines += _wrapped(configuration_verdicts(comparison))
    lines += _configurations(comparison)
    if len(comparison.configuration_tests) > 1:
        lines += _tests(comparison.configuration_tests)
    lines += ["", "Params that differ", *_params(comparison)]
    lines += ["", f"Right by class, in % of the class's {comparison.noun}", *_classes(comparison)]
    lines += _wrapped([class_verdict(found, comparison.class_names) for found in comparison.disagreements])
    lines += ["", f"Where they disagree, in {comparison.noun}"]
    for found in comparison.disagreements:
        lines += _disagreement(comparison, found)
    return "\n".join(lines) + "\n"


def _runs(comparison: Comparison) -> list[str]:
    rows = [
        [
            run.letter,
            run.record.name,
            run.record.run_id[:8],
            f"{100 * run.accuracy:.2f}%",
            f"{100 * run.interval.low:.2f} to {100 * run.interval.high:.2f}",
            _figure(run.record.metrics.get("final/test_loss")),
        ]
        for run in comparison.runs
    ]
    return text_table(["", "run", "id", "accuracy", "95% interval", "test loss"], rows, "lllrrr")


def _tests(tests: Sequence[ModelComparison] | Sequence[ConfigurationComparison]) -> list[str]:
    rows = []
    for test in tests:
        interval = test.interval or test.image_interval if isinstance(test, ConfigurationComparison) else test.interval
        rows.append(
            [
                _letters(test.names[1]),
                _letters(test.names[0]),
                f"{100 * test.difference:+.2f}",
                f"{100 * interval.low:+.2f} to {100 * interval.high:+.2f}",
                "-" if test.p_adjusted is None else f"{test.p_adjusted:.2g}",
                verdict_words(test),
            ]
        )
    return text_table(["", "minus", "points", "95% interval", "p (Holm)", "verdict"], rows, "llrrrl")


def verdict_words(test: ModelComparison | ConfigurationComparison) -> str:
    """Return the verdict on a pair in a few words: 'B better'."""
    if test.verdict == "not answerable":
        return "one seed: no verdict (interval over images alone)"
    a, b = map(_letters, test.names)
    return {"a better": f"{a} better", "b better": f"{b} better"}.get(test.verdict, test.verdict)


def _configurations(comparison: Comparison) -> list[str]:
    rows = []
    for found in comparison.configurations:
        summary = found.summary
        sd = "-" if summary.sd is None else f"{100 * summary.sd:.2f}"
        rows.append([found.letters, ", ".join(found.seeds), f"{100 * summary.mean:.2f}%", sd])
    return text_table(["", "seeds", "mean accuracy", "sd"], rows, "llrr")


def _params(comparison: Comparison) -> list[str]:
    if not comparison.params:
        return ["  none"]
    letters = [run.letter for run in comparison.runs]
    header, rows = ["", *letters], [[key, *values] for key, values in comparison.params.items()]
    if fits(header, rows):
        return text_table(header, rows, "l" + "r" * len(letters))
    settings = [
        f"{letter}: " + ", ".join(f"{key} {values[i]}" for key, values in comparison.params.items())
        for i, letter in enumerate(letters)
    ]
    return _wrapped(settings)


def _classes(comparison: Comparison) -> list[str]:
    rows = []
    for k, name in enumerate(comparison.class_names):
        of_class = comparison.labels == k
        shares = [
            f"{100 * run.predictions.correct[of_class].mean():.1f}" if of_class.any() else "-"
            for run in comparison.runs
        ]
        rows.append([name, f"{int(of_class.sum()):,}", *shares])
    letters = [run.letter for run in comparison.runs]
    header, align = ["", comparison.noun, *letters], "lr" + "r" * len(letters)
    if len(letters) == 2:
        header, align = [*header, "B - A", "95% interval"], f"{align}rr"
        for row, test in zip(rows, comparison.disagreements[0].classes, strict=True):
            row += class_cells(test)
    return text_table(header, rows, align)


def class_cells(test: ModelComparison | None) -> list[str]:
    """Return the difference on one class and its interval, in points; '*' where chance does not explain it."""
    if test is None:
        return ["-", "-"]
    star = "" if test.verdict == "no difference shown" else "*"
    low, high = 100 * test.interval.low, 100 * test.interval.high
    return [f"{star}{100 * test.difference:+.1f}", f"{low:+.1f} to {high:+.1f}"]


def _disagreement(comparison: Comparison, found: Disagreement) -> list[str]:
    a, b = found.a.letter, found.b.letter
    lines = _wrapped(
        [
            f"{a} and {b} answer {found.total:,} of {len(comparison.labels):,} differently: only {a} is right on "
            f"{len(found.only_a):,}, only {b} on {len(found.only_b):,}, neither on {len(found.neither):,}."
        ]
    )
    if len(comparison.runs) > 2 or not found.total:
        return lines
    rows = [
        [name, *(f"{int((comparison.labels[part] == k).sum()):,}" for part in (found.only_a, found.only_b, found.neither))]
        for k, name in enumerate(comparison.class_names)
    ]
    return lines + text_table(["", f"only {a} right", f"only {b} right", "neither"], rows, "lrrr")


def _letters(name: str) -> str:
    return name.partition(" ")[0]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _wrapped(paragraphs: Sequence[str]) -> list[str]:
    return [
        line
        for words in paragraphs
        for line in textwrap.wrap(
            words, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
        )
    ]
