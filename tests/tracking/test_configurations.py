"""Runs that differ only in seed are one configuration."""

import pytest

from softmax_regression.tracking.configurations import by_configuration, name_without_seed
from softmax_regression.tracking.record import CONFIGURATION, RunRecord


def run(run_id: str, configuration: str, seed: int) -> RunRecord:
    """Return a run of a configuration, empty if that is not known."""
    tags = {CONFIGURATION: configuration} if configuration else {}
    return RunRecord(run_id, f"digits s{seed}", "FINISHED", 0, 0, {"train.seed": str(seed)}, {}, tags)


def grouped(*records: RunRecord) -> list[list[str]]:
    """Return the ids of the groups' runs."""
    return [[record.run_id for record in group] for group in by_configuration(records)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("digits lr0.1 s3", "digits lr0.1"),
        ("digits lr0.1 s3 #2", "digits lr0.1"),
        ("digits lr0.1 s3 [wavy-cats]", "digits lr0.1"),
        ("digits lr0.1 s3 [wavy-cats] #2", "digits lr0.1"),
        ("mine", "mine"),
        ("mine [new]", "mine [new]"),
        ("x s31", "x s31"),
    ],
)
def test_a_name_loses_its_seed(name: str, expected: str) -> None:
    """The seed goes, its DVC experiment, and the number of the attempt; a name that a person gave stays."""
    assert name_without_seed(RunRecord("id", name, "FINISHED", 0, 0, {"train.seed": "3"}, {}, {})) == expected


def test_the_seeds_of_a_configuration_are_one_group() -> None:
    """Groups come in the order of their first runs; the seeds of each are sorted as numbers."""
    assert grouped(run("a", "x", 10), run("b", "y", 0), run("c", "x", 3)) == [["c", "a"], ["b"]]


def test_a_second_run_of_one_seed_is_no_second_draw() -> None:
    """Of two runs of one seed that came to other weights the first counts, so that a named one is put first."""
    one, other, next_seed = run("one", "x", 0), run("other", "x", 0), run("next", "x", 1)
    assert grouped(one, other, next_seed) == [["one", "next"]]
    assert grouped(other, one, next_seed, other) == [["other", "next"]]


def test_a_run_of_an_unknown_configuration_is_alone() -> None:
    """It is not known to be of the same data, so it is no other's seed."""
    assert grouped(run("a", "", 0), run("b", "", 1), run("c", "x", 0)) == [["a"], ["b"], ["c"]]
