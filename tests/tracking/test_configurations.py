"""Runs that differ only in seed are one configuration; the best ones are found without looking at all."""

from __future__ import annotations

import itertools
import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from listed_store import Listed
from many_runs import DATA, SEEDS, counted, made_runs

from softmax_regression.tracking.configurations import Seeds, by_configuration, data_sets, name_without_seed, ranked
from softmax_regression.tracking.record import CONFIGURATION, LIVE, RunRecord
from softmax_regression.tracking.run_store import RunStore


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
        ("digits_lr0.1_s3", "digits_lr0.1"),
        ("digits_lr0.1_s3#2", "digits_lr0.1"),
        ("lr0.1_s31", "lr0.1_s31"),
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
    """The seed goes, and the number of the attempt; a name that a person gave stays. Older names have blanks."""
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


# Few values, so that means tie; the largest float is how MLflow keeps infinity.
values = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, -1.0, math.nan, 1.7976931348623157e308])
# A run: its configuration, seed, value or none, and whether it is live.
drawn = st.tuples(st.integers(0, 5), st.integers(0, 3), st.none() | values, st.booleans())


def valued(place: int, configuration: int, seed: int, value: float | None, live: bool) -> RunRecord:
    """Return a finished run with the metric m, if any; `place` 0 is the newest."""
    tags = {CONFIGURATION: str(configuration), LIVE: str(live).lower()}
    metrics = {} if value is None else {"m": value}
    params = {"train.seed": str(seed), "data.name": "d"}
    return RunRecord(f"{place:02}", f"{configuration} s{seed}", "FINISHED", -place, 0, params, metrics, tags)


def all_ranked(records: list[RunRecord], ascending: bool) -> list[Seeds]:
    """Return what `ranked` should yield, from all runs."""

    def place(seeds: Seeds) -> tuple[object, ...]:
        own = [record.metrics["m"] for record in seeds]
        large = sum(value > 1e308 for value in own) > 1  # the mean of two is beyond the largest float
        mean = math.inf if large and not any(map(math.isnan, own)) else math.nan
        mean = mean if large else statistics.fmean(own)
        newest = min(record.run_id for record in seeds)
        return (True, 0, newest) if math.isnan(mean) else (False, mean if ascending else -mean, newest)

    return sorted(by_configuration(run for run in records if run.live and "m" in run.metrics), key=place)


@given(st.lists(drawn, max_size=25), st.booleans(), st.integers(1, 6))
@settings(deadline=None)
def test_the_walk_ranks_as_looking_at_all_does(
    facts: list[tuple[int, int, float | None, bool]], ascending: bool, top: int
) -> None:
    """Whatever the seeds, ties, NaN, superseded runs and runs without the metric."""
    records = [valued(place, *fact) for place, fact in enumerate(facts)]
    found = list(itertools.islice(ranked(Listed(records), "m", ["d"], ascending=ascending), top))
    assert found == all_ranked(records, ascending)[:top]


def test_only_what_may_be_among_the_best_is_fetched() -> None:
    """The best of 500 configurations of 8 seeds takes one run in twenty; the best twenty, one in four."""
    store = Listed(made_runs(500 * SEEDS))
    fetched = []
    for top in (1, 20):
        store.fetched.clear()
        best = list(itertools.islice(ranked(store, "final/test_accuracy", [DATA], ascending=False), top))
        assert len(best) == top
        fetched.append(len(set(store.fetched)))
    assert fetched[0] < 200
    assert fetched[1] < 1000


def test_the_best_is_found_in_a_real_store(many: tuple[RunStore, RunStore]) -> None:
    """MLflow orders and pages as the walk expects, NaN last; among 1,000 runs a fifth is fetched at most."""
    for store in many:
        add = store.start_run("odd", "odd", {"data.name": "it's", "train.seed": 0}, {CONFIGURATION: "odd"})
        add.log_metrics({"final/test_accuracy": math.nan})
        add.finish(key="odd")
        assert data_sets(store) == ["it's", DATA]
        every = list(ranked(store, "final/test_accuracy", ascending=False))
        assert [run.name for run in every[-1]] == ["odd"]
        means = [statistics.fmean(run.metrics["final/test_accuracy"] for run in seeds) for seeds in every[:-1]]
        assert means == sorted(means, reverse=True)
        assert len({seeds[0].configuration for seeds in every}) == len(every)
        assert [seeds[0].name for seeds in ranked(store, "final/test_accuracy", ["it's"], ascending=True)] == ["odd"]
        with counted(store) as pages:
            assert next(ranked(store, "final/test_accuracy", [DATA], ascending=False)) == every[0]
        assert sum(pages) <= 200
        assert not list(ranked(store, "no `such` metric", ascending=True))
        store.mlflow.delete_run(add.run_id)
