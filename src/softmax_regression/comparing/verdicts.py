"""The answers of a comparison in words, the same in the terminal and on the page; on one pair see sentences.py."""

from collections.abc import Sequence

from softmax_regression.comparing.comparison import Comparison, Configuration, Offer
from softmax_regression.comparing.sentences import (
    configuration_sentences,
    letters,
    model_sentence,
    on_these_alone,
    other,
)
from softmax_regression.statistics.families import Judgement
from softmax_regression.statistics.intervals import mean_interval
from softmax_regression.statistics.seeds import detectable, fewest_seeds

MODEL_QUESTION = "Are these trained models different on {noun} like these?"
CONFIGURATION_QUESTION = "Is one configuration better, beyond the luck of the seed?"
_ONE_BY_ONE = 3  # up to so many pairs (three runs) each has its sentence; of more the best is set against the rest


def model_verdicts(comparison: Comparison) -> list[str]:
    """Answer MODEL_QUESTION."""
    tests, noun = comparison.models, comparison.noun
    if len(tests) <= _ONE_BY_ONE:
        return [model_sentence(test, noun) for test in tests]
    accuracies = {name: value for test in tests for name, value in zip(test.names, test.accuracies, strict=True)}
    best = max(accuracies, key=lambda name: accuracies[name])
    lines = [f"Highest test accuracy: {best}, {100 * accuracies[best]:.2f}%."]
    return lines + _best_against(best, [(test.names, test) for test in tests], len(tests))


def configuration_verdicts(comparison: Comparison) -> list[str]:
    """Answer CONFIGURATION_QUESTION, and say what the seeds can show. Seeds that do not count are named."""
    tests, noun = comparison.configuration_tests, comparison.noun
    if not tests:
        lines = [
            "These runs are of one configuration (at most the seed differs), so there is none to prefer. "
            f"Its test accuracy: {_over_seeds(comparison.configurations[0])}."
        ]
    elif len(tests) <= _ONE_BY_ONE:
        lines = [words for test in tests for words in configuration_sentences(test, noun, len(tests))]
    else:
        means = {found.name: float(found.accuracies.mean()) for found in comparison.configurations}
        best = max(means, key=lambda name: means[name])
        lines = [f"Highest mean test accuracy: {best}, {100 * means[best]:.2f}%. Seed by seed, on these {noun}:"]
        lines += _best_against(best, [(test.names, test.these) for test in tests], len(tests))
        weak = [letters(other(best, test.names)) for test in tests if best in test.names and on_these_alone(test)]
        lines += [f"On other {noun} like these no difference between it and {_listed(weak)} shows."] if weak else []
    lines += power_words(comparison)
    return lines + [f"{found.name}: {found.note}." for found in comparison.configurations if found.note]


def power_words(comparison: Comparison) -> list[str]:
    """Return what the common seeds can show, and what more of them would show and cost."""
    tests, offer, on = comparison.configuration_tests, comparison.offer, f"on these {comparison.noun}"
    if not tests:
        return []
    pairs, common = len(tests), min(len(test.seeds) for test in tests)
    deviation = max((test.sd for test in tests if test.sd is not None), default=0.0)
    now, later = (detectable(deviation, seeds, pairs) for seeds in (common, offer.seeds if offer else 0))
    between = " between any two" if pairs > 1 else ""
    words = []
    if now:
        words.append(
            f"If the true difference{between} {on} is about {100 * now:.2g} points, {common} seeds show it in 8 of 10 "
            "cases; if it is smaller, in fewer."
        )
    if offer and (offer.runs or offer.unmeasured):
        if now and later:
            gain = f"would do so for {100 * later:.2g} points"
        elif later:
            gain = f"would show a true difference{between} of about {100 * later:.2g} points {on} in 8 of 10 cases"
        else:
            gain = "would allow a verdict"
        words.append(f"`--seeds {offer.seeds}` {gain}: {_cost(offer)}.")
    return [" ".join(words)] if words else []


def _cost(offer: Offer) -> str:
    kinds = (offer.runs, "train"), (offer.unmeasured, "measure")
    parts = [f"{count} run{'s' if count > 1 else ''} to {verb}" for count, verb in kinds if count]
    seconds = offer.seconds
    lasts = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"
    return f"{' and '.join(parts)}, about {lasts if seconds < 6000 else f'{seconds / 3600:.0f} hours'}"


def model_answer(comparison: Comparison) -> str:
    """Return the answer to MODEL_QUESTION at a glance; of several pairs, nothing."""
    tests = comparison.models
    return _answer(tests[0], tests[0].names) if len(tests) == 1 else ""


def configuration_answer(comparison: Comparison) -> str:
    """Return the answer to CONFIGURATION_QUESTION at a glance; of several pairs, nothing."""
    tests = comparison.configuration_tests
    if not tests:
        return "One configuration."
    if len(tests) > 1:
        return ""
    return _answer(tests[0].these, tests[0].names, f", on these {comparison.noun}" if on_these_alone(tests[0]) else "")


def _answer(judgement: Judgement, names: tuple[str, str], where: str = "") -> str:
    winner = judgement.winner(names)
    if winner:
        return f"Yes{where}: {winner} is better."
    return "No answer with so few seeds." if judgement.p_value is None else "No difference shown."


def _best_against(best: str, judged: Sequence[tuple[tuple[str, str], Judgement]], pairs: int) -> list[str]:
    """Return whom the best is better than, from all pairs that were judged; by seeds another may be better than it."""
    others: dict[str, list[str]] = {"better": [], "worse": [], "unshown": [], "unanswered": []}
    for names, judgement in judged:
        if best in names:
            winner = judgement.winner(names)
            undecided = "unanswered" if judgement.p_value is None else "unshown"
            kind = undecided if winner is None else "better" if winner == best else "worse"
            others[kind].append(letters(other(best, names)))
    better, worse, unshown, unanswered = others.values()
    family = max(judgement.family for _, judgement in judged)
    together = f"; {family} pairs tested together (Holm)" if family > 1 else ""
    lines = []
    if better:
        lines.append(f"It is better than {_listed(better)} by more than chance explains{together}.")
    if worse:
        lines.append(f"{_listed(worse)} {'is' if len(worse) == 1 else 'are'} better than it on most seeds{together}.")
    if unshown:
        lines.append(f"No difference can be shown between it and {_listed(unshown)}.")
    if unanswered:
        lines.append(
            f"No verdict between it and {_listed(unanswered)}: too few seeds in common; {fewest_seeds(pairs)} are the "
            f"fewest for {pairs} pairs together."
        )
    return lines


def _over_seeds(found: Configuration) -> str:
    mean = f"{100 * found.accuracies.mean():.2f}%"
    if found.sd is None:
        return f"{mean} (one seed, no standard deviation)"
    low, high = (100 * end for end in mean_interval(found.accuracies))
    return (
        f"{mean} in the mean of {len(found.seeds)} seeds (95% interval {low:.2f} to {high:.2f}), standard deviation "
        f"{100 * found.sd:.2f} points"
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
