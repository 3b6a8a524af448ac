"""People name runs in several ways, and are told when a name is none or many."""

from __future__ import annotations

import pytest

from softmax_regression.tracking.record import RunRecord, resolve


def record(run_id: str, name: str, status: str = "FINISHED", **tags: str) -> RunRecord:
    """Return a record with these tags; underscores in their names stand for points."""
    dotted = {key.replace("_", "."): value for key, value in tags.items()}
    return RunRecord(run_id, name, status, "1", 0, None, {}, {}, dotted)


FIRST = record("aaaa1111", "digits lr0.1", experiment_key="feed01", experiment_config="c1", experiment_live="false")
SECOND = record("aaaa2222", "digits lr0.1 #2", experiment_key="feed01", experiment_config="c1", experiment_live="true")
OTHER = record("bbbb3333", "digits lr0.5", experiment_key="beef02", experiment_config="c2", dvc_exp_name="wavy-cats")
RUNS = [FIRST, SECOND, OTHER]


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("aaaa1111", FIRST),
        ("aaaa2", SECOND),
        ("digits lr0.1", FIRST),
        ("digits lr0.1 #2", SECOND),
        ("wavy-cats", OTHER),
        ("beef", OTHER),
        ("feed01", SECOND),  # two attempts: the live one
    ],
)
def test_a_run_is_found_by_each_of_its_names(ref: str, expected: RunRecord) -> None:
    """Ids, beginnings of ids and keys, names and DVC's names lead to the run."""
    assert resolve(RUNS, ref) is expected


def test_an_ambiguous_name_lists_the_candidates() -> None:
    """What names runs of two configurations is refused with both runs."""
    other = record("aaaa3333", "other", experiment_config="c3", experiment_live="true")
    with pytest.raises(ValueError, match=r"'aaaa' names 2 runs.*aaaa2222, live.*aaaa3333, live"):
        resolve([SECOND, other], "aaaa")


@pytest.mark.parametrize(
    ("ref", "near"), [("digits lr0.2", "digits lr0.1"), ("wavy-dogs", "wavy-cats"), ("", "digits")]
)
def test_an_unknown_name_brings_the_nearest(ref: str, near: str) -> None:
    """What names no run is refused with the names that come near."""
    with pytest.raises(ValueError, match=f"no run is called {ref!r}.*{near}"):
        resolve(RUNS, ref)


def test_short_beginnings_name_nothing() -> None:
    """Three characters of an id are too few; an empty store says so."""
    with pytest.raises(ValueError, match="no run is called 'bbb'"):
        resolve(RUNS, "bbb")
    with pytest.raises(ValueError, match="holds no run yet"):
        resolve([], "bbbb3333")


def test_a_run_is_live_only_when_it_has_finished() -> None:
    """A run that is resumed is not live while it runs."""
    assert SECOND.live
    assert not record("1", "n", "RUNNING", experiment_live="true").live
    assert str(record("12345678ab", "n", "KILLED")) == "n (12345678, killed)"
