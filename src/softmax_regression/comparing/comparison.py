"""What a comparison of runs knows, as data: the runs, their configurations, the tests, and where they disagree.

compare.py fills it; sentences.py, verdicts.py, rows.py, text.py and page.py show it.
Shapes: N test examples, K classes, S seeds.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.artifacts.outcome import History
from softmax_regression.comparing.run_files import Predictions
from softmax_regression.params import plain
from softmax_regression.statistics.intervals import Interval, wilson_interval
from softmax_regression.statistics.models import ModelComparison, compare_models
from softmax_regression.statistics.seeds import ConfigurationComparison
from softmax_regression.tracking.record import RunRecord

_LONGEST_HINT = 40


@dataclass(frozen=True, eq=False)
class ComparedRun:
    """A run under its letter. `hint` is what its name says and not all the names say."""

    letter: str
    hint: str
    record: RunRecord
    experiment: Experiment
    predictions: Predictions
    history: History | None

    @property
    def name(self) -> str:
        """What sentences call it: 'B (lr0.5)'."""
        return _called(self.letter, self.hint)

    @property
    def accuracy(self) -> float:
        """Share of the test examples that are right."""
        return float(self.predictions.correct.mean())

    @property
    def interval(self) -> Interval:
        """95% interval of the accuracy over images like these (Wilson)."""
        return wilson_interval(int(self.predictions.correct.sum()), len(self.predictions.labels))

    def share_right(self, class_index: int) -> float | None:
        """Return the share of the class's test examples that are right; None where it has none."""
        of_class = self.predictions.labels == class_index
        return float(self.predictions.correct[of_class].mean()) if of_class.any() else None


@dataclass(frozen=True, eq=False)
class Configuration:
    """A configuration and its `seeds` (S,); `correct` (S, N) bool.

    `letters` are those of the compared runs of it, `experiment` is of the first of them; `unmeasured` are its runs, by
    seed, that hold no test predictions, and `note` says which seeds do not count and why, if any.
    """

    letters: str
    hint: str
    seeds: tuple[str, ...]
    correct: npt.NDArray[np.bool_]
    experiment: Experiment
    unmeasured: Mapping[str, RunRecord]
    note: str

    @property
    def name(self) -> str:
        """What sentences call it; 'A=C (lr0.1)' where two of the runs are of this configuration."""
        return _called(self.letters, self.hint)

    @property
    def by_seed(self) -> dict[str, npt.NDArray[np.bool_]]:
        """What each seed has right, (N,) bool."""
        return dict(zip(self.seeds, self.correct, strict=True))

    @property
    def accuracies(self) -> npt.NDArray[np.float64]:
        """The test accuracy of each seed, (S,)."""
        return np.asarray(self.correct.mean(axis=1))

    @property
    def sd(self) -> float | None:
        """Standard deviation of the accuracy between seeds (ddof 1); None with one seed."""
        return float(self.accuracies.std(ddof=1)) if len(self.seeds) > 1 else None


@dataclass(frozen=True, eq=False)
class Disagreement:
    """Where runs `a` and `b` differ, and for each class the comparison on it alone.

    `classes` (K,): None for a class without test examples; its intervals and p-values hold for all the classes, and
    all the pairs that are shown, together (Bonferroni).
    """

    a: ComparedRun
    b: ComparedRun
    classes: tuple[ModelComparison | None, ...]

    @property
    def kinds(self) -> tuple[npt.NDArray[np.int64], ...]:
        """The indices of the test examples on which only A is right, only B, neither (and they differ)."""
        a, b = self.a.predictions, self.b.predictions
        neither = ~a.correct & ~b.correct & (a.predicted != b.predicted)
        return tuple(np.flatnonzero(kind) for kind in (a.correct & ~b.correct, b.correct & ~a.correct, neither))

    def by_class(self) -> npt.NDArray[np.int64]:
        """Return (K, 3): how many examples each class has of each kind."""
        labels = self.a.predictions.labels
        return np.stack([np.bincount(labels[kind], minlength=len(self.classes)) for kind in self.kinds], axis=1)


@dataclass(frozen=True)
class Offer:
    """What `--seeds` could add: so many `seeds` of each take `runs` to train and `unmeasured` ones, in `seconds`."""

    seeds: int
    runs: int
    unmeasured: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """All that is known about the compared runs. `images` (N, H, W) or, in colour, (N, H, W, 3) uint8, or None
    and `no_images` says why.

    `noun` is what the test examples are called: images, or examples. `disagreements` are of the first run with each of
    the others. `offer` is None where no more seeds can be trained here. `notes` say how runs were found.
    """

    data: str
    noun: str
    class_names: tuple[str, ...]
    runs: tuple[ComparedRun, ...]
    models: tuple[ModelComparison, ...]
    configurations: tuple[Configuration, ...]
    configuration_tests: tuple[ConfigurationComparison, ...]
    offer: Offer | None
    disagreements: tuple[Disagreement, ...]
    images: npt.NDArray[np.uint8] | None
    no_images: str
    notes: tuple[str, ...]

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """The true classes of the test examples, (N,)."""
        return self.runs[0].predictions.labels

    @property
    def params(self) -> dict[str, tuple[str, ...]]:
        """Each param's value in each run, as params.yaml writes it; '-' where a run has no such param."""
        params = [run.experiment.params for run in self.runs]
        values = {key: [own.get(key, "-") for own in params] for key in sorted(set().union(*params))}
        return {key: tuple(map(plain, row)) for key, row in values.items()}


def disagreement(a: ComparedRun, b: ComparedRun, num_classes: int, *, family: int) -> Disagreement:
    """Return where two runs differ; `family` is how many comparisons of classes are shown together."""
    classes = []
    for k in range(num_classes):
        own = a.predictions.labels == k
        right = a.predictions.correct[own], b.predictions.correct[own]
        classes.append(compare_models(*right, names=(a.letter, b.letter), family=family) if own.any() else None)
    return Disagreement(a, b, tuple(classes))


def most_differing(found: Sequence[Disagreement], count: int) -> list[int]:
    """Return the classes on which most examples differ, `count` at most, in their order."""
    differ = sum(one.by_class().sum(axis=1) for one in found)
    return sorted(map(int, np.argsort(-np.asarray(differ), kind="stable")[:count]))


def seed_ranges(seeds: Sequence[str]) -> str:
    """Return seeds in their order, three or more consecutive ones as '0-31'."""
    found: list[list[str]] = []
    for seed in seeds:
        if found and seed.isdecimal() and found[-1][-1].isdecimal() and int(seed) == int(found[-1][-1]) + 1:
            found[-1].append(seed)
        else:
            found.append([seed])
    return ", ".join(f"{own[0]}-{own[-1]}" if len(own) > 2 else ", ".join(own) for own in found)


def hints(names: Sequence[str]) -> list[str]:
    """Return what each name says and not all of them say, word by word."""
    words = [re.split("[ _]", name) for name in names]
    shared = set(words[0]).intersection(*words)
    return [" ".join(word for word in own if word not in shared) for own in words]


def _called(letters: str, hint: str) -> str:
    if len(hint) > _LONGEST_HINT:
        hint = f"{hint[: _LONGEST_HINT - 3].rstrip()}..."
    return f"{letters} ({hint})" if hint else letters
