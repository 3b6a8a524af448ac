"""The verdicts of a comparison in words, the same in the terminal and on the page. Points are percentage points."""

from collections.abc import Sequence

from softmax_regression.comparing.comparison import Comparison, Configuration, Disagreement
from softmax_regression.comparing.rows import p_figure
from softmax_regression.comparing.statistics import (
    ConfigurationComparison,
    ModelComparison,
    PairComparison,
    SeedNoise,
    mean_interval,
)

MODEL_QUESTION = "Are these trained models different on {noun} like these?"
CONFIGURATION_QUESTION = "Is the configuration better?"
ONE_SEED_NOTE = "Where a configuration has one seed there is no verdict, and the interval is over {noun} alone."
_ANOTHER_SEED = (
    "Train several seeds of each: `dvc exp run --set-param train.seed=1`, with the other params of the run, trains one."
)
_ONE_BY_ONE = 3  # up to so many pairs (three runs) each has its sentence; of more the best is set against the rest
_ALIKE = 2.0  # standard deviations of a few seeds each differ by that much where the noise is the same


def model_verdicts(comparison: Comparison) -> list[str]:
    """Answer MODEL_QUESTION."""
    return _verdicts(comparison.models, comparison.noun)


def configuration_verdicts(comparison: Comparison) -> list[str]:
    """Answer CONFIGURATION_QUESTION. Seeds that do not count are named, with the reason."""
    tests, noise = comparison.configuration_tests, comparison.seed_noise
    if tests:
        lines = _verdicts(tests, comparison.noun)
    else:
        lines = [
            "These runs are of one configuration (at most the seed differs), so there is none to prefer. "
            f"Its test accuracy: {_over_seeds(comparison.configurations[0])}."
        ]
    if any_one_seed(tests):
        lines += [noise_words(noise, tests), _ANOTHER_SEED] if noise else [_ANOTHER_SEED]
    return lines + [f"{found.name}: {found.note}." for found in comparison.configurations if found.note]


def any_one_seed(tests: Sequence[PairComparison]) -> bool:
    """Return whether some pair has no verdict, because one of the two has one seed."""
    return any(test.verdict == "not answerable" for test in tests)


def sentence(test: ModelComparison | ConfigurationComparison, noun: str) -> str:
    """Return the verdict on a pair, seen from the better one where there is one."""
    a, b = test.names
    images = f"{test.n:,} {noun}"
    if isinstance(test, ModelComparison):
        if test.only_a == test.only_b == 0:
            return f"No difference between {a} and {b}: both have the same of the {images} right."
        pair, sample, chance, p = f"{a} and {b}", images, f"on {noun} like these", f"McNemar {_p_words(test)}"
    else:
        if test.verdict == "not answerable":
            single = "each" if max(test.seeds) == 1 else f"of {a if test.seeds[0] == 1 else b}"
            return (
                f"One seed {single}: seed noise is not accounted for, so no verdict on the configurations; these "
                f"trained models: {b} minus {a} {_figures(test)} over {noun} alone."
            )
        seeds = f"{test.seeds[0]} and {test.seeds[1]} seeds"
        pair, sample = f"the configurations {a} and {b}", f"{seeds} on {images}"
        chance, p = f"over seeds and {noun} ({seeds})", _p_words(test)
    if test.verdict == "no difference shown":
        return f"No difference between {pair} that {sample} can show ({b} minus {a}: {_figures(test)}; {p})."
    winner, loser = (b, a) if test.verdict == "b better" else (a, b)
    return f"{winner} is better than {loser}: {_figures(test)} {chance}; {p}."


def noise_words(noise: SeedNoise, tests: Sequence[ConfigurationComparison]) -> str:
    """Return how much seeds matter: in the store, and for the difference if `tests` is of one pair.

    The pooled figure alone would hide that the noise is not the same in all configurations.
    """
    groups = f"{len(noise.each)} configuration{'s' if len(noise.each) > 1 else ''}"
    words = (
        f"Between runs that differ only in seed the standard deviation was {100 * noise.sd:.2f} points "
        f"({noise.degrees_of_freedom} degrees of freedom, {groups})"
    )
    if len(tests) == 1:
        margin = noise.margin(tests[0].seeds)
        size = "no more" if abs(tests[0].difference) <= margin else "more"
        words += f"; seeds alone can make a difference of {100 * margin:.2f} points (95% bound), and this one is {size}"
    if max(noise.each) > _ALIKE * min(noise.each):
        words += (
            ". This noise is pooled; it is not the same in all configurations: the standard deviation ranges from "
            f"{100 * min(noise.each):.2f} to {100 * max(noise.each):.2f} points"
        )
    return f"{words}."


def class_verdict(found: Disagreement, class_names: Sequence[str]) -> str:
    """Return where the second run is better or worse by more than chance in the images explains, class by class."""
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
        return f"No difference between {found.a.name} and {found.b.name} shows on any single class."
    undecided = any(test is None or test.verdict == "no difference shown" for test in found.classes)
    rest = " On the other classes no difference shows." if undecided else ""
    return f"{found.b.name} against {found.a.name}: {'; '.join(parts)}.{rest}"


def disagreement_words(found: Disagreement, noun: str) -> str:
    """Return how often two runs answer differently, and who is right then."""
    a, b, examples = found.a.letter, found.b.letter, f"{len(found.a.predictions.labels):,} {noun}"
    only_a, only_b, neither = map(len, found.kinds)
    if not only_a + only_b + neither:
        return f"{a} and {b} give the same answer on all of the {examples}."
    return (
        f"{a} and {b} answer {only_a + only_b + neither:,} of {examples} differently: only {a} is right on {only_a:,}, "
        f"only {b} on {only_b:,}, neither on {neither:,}."
    )


def short_answer(tests: Sequence[PairComparison]) -> str:
    """Return the answer on one pair at a glance; of none, that both are one configuration; of several, nothing."""
    if len(tests) > 1:
        return ""
    if not tests:
        return "One configuration."
    a, b = tests[0].names
    return {
        "a better": f"Yes: {a} is better.",
        "b better": f"Yes: {b} is better.",
        "no difference shown": "No difference shown.",
        "not answerable": "No answer with one seed.",
    }[tests[0].verdict]


def _verdicts(tests: Sequence[ModelComparison] | Sequence[ConfigurationComparison], noun: str) -> list[str]:
    if len(tests) == 1 or (len(tests) <= _ONE_BY_ONE and not any_one_seed(tests)):
        return [sentence(test, noun) for test in tests]
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
    return lines


def _p_words(test: PairComparison) -> str:
    figure = p_figure(test.p_adjusted)
    p = f"p {figure}" if figure.startswith("<") else f"p = {figure}"
    return f"{p} after Holm over {test.family}" if test.family > 1 else p


def _figures(test: PairComparison) -> str:
    """'+0.9 points, 95% interval 0.5 to 1.3' of the better one, with the fewest decimals at which no figure reads 0."""
    points = [100 * test.difference, 100 * test.interval.low, 100 * test.interval.high]
    if test.verdict == "a better":
        points = [-points[0], -points[2], -points[1]]
    # 1e-9 points: less than one image in any test set, so a rounding error of the mean over seeds.
    decimals = next(d for d in range(1, 10) if all(round(x, d) != 0 or abs(x) < 1e-9 for x in points))
    # Adding 0.0 turns -0.0 into 0.0.
    shown, low, high = (round(x, decimals) + 0.0 for x in points)
    family = f" over {test.family} comparisons together" if test.family > 1 else ""
    return f"{shown:+.{decimals}f} points, 95% interval {low:.{decimals}f} to {high:.{decimals}f}{family}"


def _over_seeds(found: Configuration) -> str:
    mean = f"{found.accuracies.mean():.4f}"
    if found.sd is None:
        return f"{mean} (one seed, no standard deviation)"
    low, high = mean_interval(found.accuracies)
    return (
        f"{mean} +- {found.sd:.4f} standard deviation ({len(found.seeds)} seeds, 95% interval of the mean {low:.4f} to "
        f"{high:.4f})"
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
