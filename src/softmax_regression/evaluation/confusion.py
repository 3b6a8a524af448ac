"""What is taken for what: the most confused pairs of classes, and a matrix that has room for them.

Shapes: N examples, K classes, P pairs. Nothing here is K x K: with 10,000 classes that would be 800 MB.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from softmax_regression.evaluation.metrics import IntArray, confusion_matrix

OTHERS = "all others"


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix of all classes or, where these are too many, of the most confused ones.

    names: the columns, the last is OTHERS where there are more classes; cells (M, 2): the row and the column of each
    example whose actual class is shown; note: which classes these are, as the end of a title, or nothing.
    """

    names: tuple[str, ...]
    cells: IntArray
    note: str

    @property
    def matrix(self) -> IntArray:
        """How many examples are in each row, an actual class, and column, a predicted one: (R, C) int64."""
        rows = len(self.names) - (self.names[-1] is OTHERS)
        return confusion_matrix(self.cells[:, 0], self.cells[:, 1], len(self.names))[:rows]


def confused_pairs(labels: IntArray, predictions: IntArray) -> IntArray:
    """Return (P, 3) rows: actual class, predicted class, how many examples; the most confused pair first."""
    wrong = labels != predictions
    pairs, counts = np.unique(np.stack([labels[wrong], predictions[wrong]], axis=1), axis=0, return_counts=True)
    return np.column_stack([pairs, counts])[np.argsort(-counts, kind="stable")]


def confusion(labels: IntArray, predictions: IntArray, class_names: Sequence[str], most: int) -> Confusion:
    """Return the confusion matrix of labels and predictions (N,), with at most so many classes."""
    known = len(class_names)
    if known <= most:
        return Confusion(tuple(class_names), np.stack([labels, predictions], axis=1), "")
    pairs = confused_pairs(labels, predictions)
    classes, first = np.unique(np.append(pairs[:, :2].ravel(), np.arange(known)), return_index=True)
    shown = np.sort(classes[np.argsort(first)[:most]])  # those that stand first in the pairs
    place = np.full(known, most)
    place[shown] = np.arange(most)
    cells = np.stack([place[labels], place[predictions]], axis=1)[place[labels] < most]
    names = (*(class_names[k] for k in shown), OTHERS)
    return Confusion(names, cells, f", the {most} most confused of {known:,}")
