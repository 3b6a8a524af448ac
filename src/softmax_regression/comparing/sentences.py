"""The sentences of a comparison on one pair, the same in the terminal and on the page. Points are percentage points."""

from collections.abc import Sequence

from softmax_regression.comparing.comparison import Disagreement
from softmax_regression.comparing.rows import p_figure
from softmax_regression.statistics.families import Judgement
from softmax_regression.statistics.intervals import Interval
from softmax_regression.statistics.models import ModelComparison
from softmax_regression.statistics.seeds import ConfigurationComparison, fewest_seeds

_NAMED = 10  # classes in a sentence


def model_sentence(test: ModelComparison, noun: str) -> str:
    """Return the verdict on two trained models, seen from the better one where there is one."""
    a, b = test.names
    images, minus = f"{test.n:,} {noun}", f"{letters(b)} minus {letters(a)}"
    if test.only_a == test.only_b == 0:
        return f"No difference between {a} and {b}: both have the same of the {images} right."
    difference, interval = _points(test.difference, test)
    figures, p = f"{difference}, {interval}", f"McNemar {_p_words(test)}"
    winner = test.winner(test.names)
    if winner is None:
        return f"No difference between {a} and {b} that {images} can show ({minus}: {figures}; {p})."
    return f"{winner} is better than {other(winner, test.names)}: {figures} on {noun} like these; {p}."


def configuration_sentences(test: ConfigurationComparison, noun: str, pairs: int = 1) -> list[str]:
    """Return the verdicts on two configurations: on these test examples, and on others like these.

    `pairs`: how many pairs are compared, which says how many seeds each takes.
    """
    a, b = test.names
    if test.median is None or test.mean is None:
        return [f"No verdict on {a} and {b}: they have no seed in common."]
    count, (a_wins, b_wins) = len(test.seeds), test.wins
    equal, minus = count - a_wins - b_wins, f"{letters(b)} minus {letters(a)}"
    if test.these.p_value is None:
        takes = f"{fewest_seeds(pairs)} are the fewest" + (f" for {pairs} pairs together" if pairs > 1 else "")
        seeds = "1 seed" if count == 1 else f"{count} seeds"
        return [
            f"No verdict on {a} and {b} with {seeds} in common: {takes}. So far {_wins(test)}; {minus} "
            f"{100 * test.median:+.2f} points (median)."
        ]
    if equal == count:
        return [f"No difference between {a} and {b}: with each of the {count} seeds they have equally many right."]
    difference, interval = _points(test.median, test.these)
    figures, p = f"{difference} (median, {interval})", f"sign test {_p_words(test.these)}"
    spread = f"standard deviation over seeds {100 * (test.sd or 0):.2f}"
    winner = test.these.winner(test.names)
    if winner is None:
        return [
            f"No difference between {a} and {b} that {count} seeds can show on these {test.n:,} {noun}: {_wins(test)}; "
            f"{minus} {figures}; {p}.",
            f"Mean difference {100 * test.mean:+.2f} points, {spread}.",
        ]
    loser, sign = other(winner, test.names), 1 if test.these.favours_b else -1
    worst = ", ".join(f"{100 * sign * value:+.2f} (seed {seed})" for seed, value in test.worst)
    also = f" ({equal} equal)" if equal else ""
    others, like = f"On other {noun} like these", _p_words(test.like_these)
    if on_these_alone(test):
        others += f" that does not show ({like}): which {noun} were drawn could explain the difference."
    else:
        others += f", too: {_points(test.median, test.like_these)[1]}; {like}."
    won = f"{max(test.wins)} of {count} seeds{also}"
    return [
        f"{winner} beats {loser} on these {test.n:,} {noun} with {won}: {figures}; {p}.",
        others,
        f"Mean difference {100 * sign * test.mean:+.2f} points, {spread}; worst for {letters(winner)}: {worst}.",
    ]


def class_verdict(found: Disagreement, class_names: Sequence[str]) -> str:
    """Return where the second run is better or worse by more than chance in the images explains: the largest first."""
    parts = []
    for verdict, words in (("b better", "better"), ("a better", "worse")):
        shown = [
            (abs(test.difference), f"{name} ({100 * test.difference:+.1f} points)")
            for name, test in zip(class_names, found.classes, strict=True)
            if test is not None and test.verdict == verdict
        ]
        named = [words for _, words in sorted(shown, key=lambda one: -one[0])]
        if named:
            rest = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
            parts.append(f"{words} on {', '.join(named[:_NAMED])}{rest}")
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


def letters(name: str) -> str:
    """Return 'B' of 'B (lr0.5)': for a second mention, and for lists."""
    return name.partition(" ")[0]


def other(name: str, names: tuple[str, str]) -> str:
    """Return the one of two names that is not `name`."""
    return names[names[0] == name]


def on_these_alone(test: ConfigurationComparison) -> bool:
    """Return whether a difference shows on these test examples and not on others like them."""
    return test.these.winner(test.names) is not None and test.like_these.winner(test.names) is None


def _wins(test: ConfigurationComparison) -> str:
    """'B is ahead on 22 of 40, A on 17, equal on 1'."""
    count, equal = len(test.seeds), len(test.seeds) - sum(test.wins)
    if equal == count:
        return "they are equal"
    won = sorted(zip(test.wins, map(letters, test.names), strict=True), key=lambda one: -one[0])
    (most, ahead), (least, behind) = won
    words = [f"{ahead} is ahead on {most} of {count}", *([f"{behind} on {least}"] if least else [])]
    return ", ".join([*words, *([f"equal on {equal}"] if equal else [])])


def _p_words(test: Judgement) -> str:
    figure = p_figure(test.p_adjusted)
    p = f"p {figure}" if figure.startswith("<") else f"p = {figure}"
    return f"{p}, {test.family} pairs together" if test.family > 1 else p


def _points(difference: float, test: Judgement) -> tuple[str, str]:
    """'+0.9 points', '95% interval 0.5 to 1.3' of the better one; the fewest decimals at which no figure reads 0."""
    interval = test.interval or Interval(difference, difference)
    points = [100 * difference, 100 * interval.low, 100 * interval.high]
    if test.verdict == "a better":
        points = [-points[0], -points[2], -points[1]]
    # 1e-9 points: less than one image in any test set, so a rounding error of the mean over seeds.
    decimals = next(d for d in range(1, 10) if all(round(x, d) != 0 or abs(x) < 1e-9 for x in points))
    # Adding 0.0 turns -0.0 into 0.0.
    shown, low, high = (round(x, decimals) + 0.0 for x in points)
    return f"{shown:+.{decimals}f} points", f"95% interval {low:.{decimals}f} to {high:.{decimals}f}"
