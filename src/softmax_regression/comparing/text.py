"""A comparison as text for a terminal: the verdicts first, then the tables that they rest on."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from softmax_regression.comparing.comparison import Comparison, Disagreement
from softmax_regression.comparing.verdicts import (
    PAIR_HEADER,
    UNANSWERED_NOTE,
    Test,
    class_cells,
    class_verdict,
    configuration_verdicts,
    disagreement_words,
    model_verdicts,
    pair_cells,
)
from softmax_regression.tables import WIDTH, fits, text_table


def compare_text(comparison: Comparison) -> str:
    """Return the comparison as lines of at most 100 columns, without colours."""
    noun = comparison.noun
    lines = [f"{len(comparison.runs)} runs on {comparison.data}, {len(comparison.labels):,} test {noun}"]
    lines += [*_runs(comparison), *_wrapped(comparison.notes)]
    lines += ["", f"Are these trained models different on {noun} like these?", *_wrapped(model_verdicts(comparison))]
    lines += _tests(comparison.models, noun)
    lines += ["", "Is the configuration better?", *_wrapped(configuration_verdicts(comparison))]
    lines += [*_configurations(comparison), *_tests(comparison.configuration_tests, noun)]
    lines += ["", "Params that differ", *_params(comparison)]
    lines += ["", f"Right by class, in % of the {noun} of the class", *_classes(comparison)]
    lines += _wrapped([class_verdict(found, comparison.class_names) for found in comparison.disagreements])
    lines += ["", "Where they disagree"]
    for found in comparison.disagreements:
        lines += _wrapped([disagreement_words(found, noun)])
    if len(comparison.disagreements) == 1 and comparison.disagreements[0].total:
        lines += _disagreement(comparison, comparison.disagreements[0])
    return "\n".join(lines) + "\n"


def _runs(comparison: Comparison) -> list[str]:
    rows = [
        [
            run.letter,
            run.record.name,
            run.record.run_id[:8],
            f"{100 * run.accuracy:.2f}%",
            f"{100 * run.interval.low:.2f} to {100 * run.interval.high:.2f}",
        ]
        for run in comparison.runs
    ]
    return text_table(["", "run", "id", "accuracy", "95% interval"], rows, "lllrr")


def _tests(tests: Sequence[Test], noun: str) -> list[str]:
    if len(tests) < 2:
        return []
    header = [*PAIR_HEADER[:4], "p (Holm)", PAIR_HEADER[5]]
    note = [UNANSWERED_NOTE.format(noun=noun)] if any(test.p_adjusted is None for test in tests) else []
    return text_table(header, [pair_cells(test) for test in tests], "llrrrl") + _wrapped(note)


def _configurations(comparison: Comparison) -> list[str]:
    rows = []
    for found in comparison.configurations:
        summary = found.summary
        sd = "-" if summary.sd is None else f"{100 * summary.sd:.2f}"
        rows.append([found.letters, ", ".join(found.seeds), f"{100 * summary.mean:.2f}%", sd])
    return text_table(["", "seeds", "mean accuracy", "sd"], rows, "llrr")


def _params(comparison: Comparison) -> list[str]:
    letters = [run.letter for run in comparison.runs]
    header, rows = ["", *letters], [[key, *values] for key, values in comparison.params.items()]
    if not rows:
        return ["  none"]
    if fits(header, rows):
        return text_table(header, rows, "l" + "r" * len(letters))
    return _wrapped(
        f"{letter}: {', '.join(f'{key} {values[i]}' for key, values in comparison.params.items())}"
        for i, letter in enumerate(letters)
    )


def _classes(comparison: Comparison) -> list[str]:
    letters = [run.letter for run in comparison.runs]
    header, align = ["", comparison.noun, *letters], "lr" + "r" * len(letters)
    rows = []
    for k, name in enumerate(comparison.class_names):
        shares = [run.share_right(k) for run in comparison.runs]
        cells = ["-" if share is None else f"{100 * share:.1f}" for share in shares]
        rows.append([name, f"{int((comparison.labels == k).sum()):,}", *cells])
    if len(letters) == 2:
        header, align = [*header, "B - A", "95% interval"], f"{align}rr"
        tests = comparison.disagreements[0].classes
        rows = [[*row, *class_cells(test)] for row, test in zip(rows, tests, strict=True)]
    return text_table(header, rows, align)


def _disagreement(comparison: Comparison, found: Disagreement) -> list[str]:
    a, b = found.a.letter, found.b.letter
    header = ["", f"only {a} right", f"only {b} right", "neither"]
    return text_table(header, [[row[0], *map(str, row[1:])] for row in found.by_class(comparison.class_names)], "lrrr")


def _wrapped(paragraphs: Iterable[str]) -> list[str]:
    return [
        line
        for words in paragraphs
        for line in textwrap.wrap(words, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
    ]
