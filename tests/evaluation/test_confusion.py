"""What is taken for what: pairs by number, and the matrix of the classes that are confused most."""

import numpy as np

from softmax_regression.evaluation.confusion import OTHERS, confused_pairs, confusion

NAMES = ("a", "b", "c", "d", "e")
LABELS = np.array([0, 0, 1, 2, 2, 3, 4, 4])
PREDICTIONS = np.array([0, 0, 3, 4, 4, 3, 2, 0])


def test_pairs_are_sorted_by_number() -> None:
    """The most confused pair comes first; of equal ones that of the first classes; a right prediction is no pair."""
    assert confused_pairs(LABELS, PREDICTIONS).tolist() == [[2, 4, 2], [1, 3, 1], [4, 0, 1], [4, 2, 1]]


def test_no_mistakes_are_no_pairs() -> None:
    """Where all is right there is an empty list of triples."""
    assert confused_pairs(LABELS, LABELS).shape == (0, 3)


def test_few_classes_are_all_in_the_matrix() -> None:
    """Up to `most` classes it is the plain confusion matrix, and needs no words."""
    found = confusion(LABELS, PREDICTIONS, NAMES, 5)
    assert (found.names, found.note) == (NAMES, "")
    assert found.matrix.sum() == 8
    assert found.matrix[2, 4] == 2


def test_of_more_classes_those_of_the_most_confused_pairs_are_shown() -> None:
    """c and e, then b of the next pair; the examples of other classes are left out, other answers are one column."""
    found = confusion(LABELS, PREDICTIONS, NAMES, 3)
    assert (found.names, found.note) == (("b", "c", "e", OTHERS), ", the 3 most confused of 5")
    assert found.matrix.tolist() == [[0, 0, 0, 1], [0, 0, 2, 0], [0, 1, 0, 1]]
    assert found.cells.tolist() == [[0, 3], [1, 2], [1, 2], [2, 1], [2, 3]]


def test_without_mistakes_the_first_classes_are_shown() -> None:
    """Pairs that do not suffice are filled up by the first classes."""
    assert confusion(LABELS, LABELS, NAMES, 2).matrix.tolist() == [[2, 0, 0], [0, 1, 0]]
