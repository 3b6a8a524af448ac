"""The verdicts of a comparison in sentences, the same in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Sequence

from softmax_regression.compare import Comparison, Disagreement
from softmax_regression.statistics import ConfigurationComparison, ModelComparison

Test = ModelComparison | ConfigurationComparison

_IN_SENTENCES = 3  # so many pairs (three runs) are told one by one; of more the best is told against the rest
MORE_SEEDS = "To train another seed: dvc exp run --set-param train.seed=1 (with the params of the run)."


def model_verdicts(comparison: Comparison) -> list[str]:
    """Question 1: are these trained models different on images like these?"""
    return _verdicts(comparison.models)


def configuration_verdicts(comparison: Comparison) -> list[str]:
    """Question 2: is the configuration better? Seeds that do not count are told with the reason."""
    if comparison.configuration_tests:
        lines = _verdicts(comparison.configuration_tests)
        if any(test.verdict == "not answerable" for test in comparison.configuration_tests):
            lines.append(MORE_SEEDS)
    else:
        only = comparison.configurations[0]
        lines = [
            "These runs are of one configuration, so there is none to prefer: they differ by chance alone, in the seed. "
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
    b, a = found.b.name, found.a.name
    if not parts:
        return f"On no single class a difference between {a} and {b} shows."
    return f"{b} against {a}: {'; '.join(parts)}. On the other classes no difference shows."


def _verdicts(tests: Sequence[Test]) -> list[str]:
    if len(tests) <= _IN_SENTENCES:
        return [_sentence(test.words) for test in tests]
    accuracies = {name: value for test in tests for name, value in zip(test.names, test.accuracies, strict=True)}
    best = max(accuracies, key=lambda name: accuracies[name])
    lines = [f"Highest test accuracy: {best}, {100 * accuracies[best]:.2f}%."]
    against: dict[str, list[str]] = {"better": [], "no difference shown": [], "not answerable": []}
    for test in tests:
        if best in test.names:
            other = test.names[1] if test.names[0] == best else test.names[0]
            against[test.verdict if test.verdict in against else "better"].append(other)
    family = max(test.family for test in tests)
    if against["better"]:
        lines.append(f"It is better than {_list(against['better'])} (all {family} pairs tested together, Holm).")
    if against["no difference shown"]:
        lines.append(f"No difference can be shown between it and {_list(against['no difference shown'])}.")
    if against["not answerable"]:
        lines.append(
            f"No verdict against {_list(against['not answerable'])}: with one seed of either, seed noise is not "
            "accounted for."
        )
        noise = next((test.seed_noise for test in tests if isinstance(test, ConfigurationComparison)), None)
        if noise is not None:
            lines.append(f"Between runs that differ only in seed the standard deviation was {noise.words}.")
    return lines


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _sentence(words: str) -> str:
    words = words[0].upper() + words[1:]
    return words if words.endswith((".", "!")) else f"{words}."
