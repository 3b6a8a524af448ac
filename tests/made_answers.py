"""Made answers, of which all figures follow by hand: what two models, or the seeds of a configuration, have right."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from softmax_regression.statistics.seeds import ConfigurationComparison, compare_configurations

Answers = npt.NDArray[np.bool_]


def models(only_a: int, only_b: int, n: int = 1000) -> tuple[Answers, Answers]:
    """Return two models' correctness, (n,) bool, with these discordant counts."""
    a, b = np.ones(n, bool), np.ones(n, bool)
    b[:only_a] = False
    a[n - only_b :] = False
    return a, b


def group(right: Sequence[int]) -> dict[str, Answers]:
    """Return a configuration that with seed 0, 1, ... has the first so many of 1,000 images right."""
    return {str(seed): np.arange(1000) < count for seed, count in enumerate(right)}


def compared(images: Sequence[int], names: tuple[str, str] = ("old", "new")) -> ConfigurationComparison:
    """Compare configurations of which the second has with each seed so many images more right than the first's 500."""
    return compare_configurations(group([500] * len(images)), group([500 + more for more in images]), names=names)
