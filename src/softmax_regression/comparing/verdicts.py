"""The verdicts of a comparison in words, the same in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from softmax_regression.comparing.comparison import Comparison, Disagreement
from softmax_regression.comparing.statistics import ConfigurationComparison, ModelComparison

Test: TypeAlias = ModelComparison | ConfigurationComparison

_TOLD_ONE_BY_ONE = 3  # so many pairs (three runs); of more the best is told against the rest
ANOTHER_SEED = "`dvc exp run --set-param train.seed=1`, with the other params of the run, trains another seed."
UNANSWERED_NOTE = "Where a configuration has one seed there is no verdict, and the interval is over {noun} alone."


def model_verdicts(comparison: Comparison) -> list[str]:
    """Question 1: are these trained models different on images like these?"""
    return _verdicts(comparison.models)


def configuration_verdicts(comparison: Comparison) -> list[str]:
    """Question 2: is the configuration better? Seeds that do not count are told with the reason."""
    if comparison.configuration_tests:
        lines = _verdicts(comparison.configuration_tests)
        if any(test.verdict == "not answerable" for test in comparison.configuration_tests):
            noise = comparison.seed_noise.words if comparison.seed_noise else ""
            lines += [words for words in (noise, ANOTHER_SEED) if words]
    else:
        only = comparison.configurations[0]
        lines = [
            "These runs are of one configuration, so there is none to prefer: what differs is the seed. "
            f"Its test accuracy: {only.summary.words}."
        ]
    lines += [f"{found.name}: {note}." for found in comparison.configurations for note in found.notes]
    if comparison.code and len(comparison.configurations) > 1:
        lines.append(f"The code differs too, so the params alone may not be the cause: {', '.join(comparison.code)}.")
    return lines


def class_verdict(found: Disagreement, class_names: Sequence[str]) -> str:
    """Where the second run is better or worse by more than chance in the images explains, class by class."""
    parts = []
    for verdict, words in (("b better", "better"), ("a better", "worse")):
        shown = [
            f"{name} ({100 * test.difference:+.1f} points)"
            for name, test in zip(class_names, found.classes, strict=True)
            if test is not None and test.verdict == verdict
        ]
        if shown:
            parts.append(f"{words} on {', '.join(shown)}")
    if not parts:
        return f"On no single class a difference between {found.a.name} and {found.b.name} shows."
    rest = " On the other classes no difference shows." if _some_undecided(found) else ""
    return f"{found.b.name} against {found.a.name}: {'; '.join(parts)}.{rest}"


def disagreement_words(found: Disagreement, noun: str) -> str:
    """How often two runs answer differently, and who is right then."""
    a, b, total = found.a.letter, found.b.letter, len(found.a.predictions.labels)
    if not found.total:
        return f"{a} and {b} give the same answer on all of the {total:,} {noun}."
    return (
        f"{a} and {b} answer {found.total:,} of {total:,} {noun} differently: only {a} is right on "
        f"{len(found.only_a):,}, only {b} on {len(found.only_b):,}, neither on {len(found.neither):,}."
    )


def short_answer(tests: Sequence[Test]) -> str:
    """The answer to the question on one pair, at a glance; on none, that both are one configuration."""
    if not tests:
        return "One configuration."
    (test,) = tests
    winner = {"a better": test.names[0], "b better": test.names[1]}.get(test.verdict)
    if winner is not None:
        return f"Yes: {winner} is better."
    return "No answer with one seed." if test.verdict == "not answerable" else "Not that it shows."


PAIR_HEADER = ("", "minus", "points", "95% interval", "p", "verdict")


def pair_cells(test: Test) -> list[str]:
    """Return a row of the table of all pairs, as PAIR_HEADER heads it; p is Holm's where there are several."""
    a, b = (name.partition(" ")[0] for name in test.names)
    interval = test.interval
    if interval is None:
        assert isinstance(test, ConfigurationComparison)  # the trained models always have one
        interval = test.image_interval
    low, high = 100 * interval.low, 100 * interval.high
    verdict = {"a better": f"{a} better", "b better": f"{b} better", "not answerable": "no verdict: one seed"}
    return [
        b,
        a,
        f"{100 * test.difference:+.2f}",
        f"{low:+.2f} to {high:+.2f}",
        p_words(test),
        verdict.get(test.verdict, test.verdict),
    ]


def p_words(test: Test) -> str:
    """Return the adjusted p-value with the digits that keep it on its side of the level; '-' without one."""
    p, level = test.p_adjusted, round(1 - test.confidence, 15)  # 0.05, not 0.050000000000000044
    if p is None:
        return "-"
    if p < 0.001:
        return "< 0.001"
    digits = next(d for d in range(2, 18) if (float(f"{p:.{d}g}") < level) == (p < level))
    return f"{p:.{digits}g}"


def class_cells(test: ModelComparison | None) -> list[str]:
    """Return the difference on one class and its interval in points; '*' where chance does not explain it."""
    if test is None:
        return ["-", "-"]
    star = "" if test.verdict == "no difference shown" else "* "
    low, high = 100 * test.interval.low, 100 * test.interval.high
    return [f"{star}{100 * test.difference:+.1f}", f"{low:+.1f} to {high:+.1f}"]


def _verdicts(tests: Sequence[Test]) -> list[str]:
    unanswered = sum(test.verdict == "not answerable" for test in tests)
    if len(tests) == 1 or (len(tests) <= _TOLD_ONE_BY_ONE and not unanswered):
        return [_sentence(test.words) for test in tests]
    accuracies = {name: value for test in tests for name, value in zip(test.names, test.accuracies, strict=True)}
    best = max(accuracies, key=lambda name: accuracies[name])
    against: dict[str, list[str]] = {}
    for test in tests:
        if best in test.names:
            verdict = "better" if test.verdict.endswith("better") else test.verdict
            against.setdefault(verdict, []).append(test.names[test.names[0] == best])
    lines = [f"Highest test accuracy: {best}, {100 * accuracies[best]:.2f}%."]
    if "better" in against:
        family = max(test.family for test in tests)
        together = f"; {family} pairs tested together (Holm)" if family > 1 else ""
        lines.append(f"It is better than {_listed(against['better'])} by more than chance explains{together}.")
    if "no difference shown" in against:
        lines.append(f"No difference can be shown between it and {_listed(against['no difference shown'])}.")
    if "not answerable" in against:
        lines.append(
            f"No verdict between it and {_listed(against['not answerable'])}: with one seed of either, seed noise is "
            "not accounted for."
        )
    noises = [test.seed_noise for test in tests if isinstance(test, ConfigurationComparison) and test.seed_noise]
    if noises:
        lines.append(f"Between runs that differ only in seed the standard deviation was {noises[0].words}.")
    return lines


def _some_undecided(found: Disagreement) -> bool:
    return any(test is None or test.verdict == "no difference shown" for test in found.classes)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _sentence(words: str) -> str:
    words = words[0].upper() + words[1:]
    return words if words.endswith(".") else f"{words}."
