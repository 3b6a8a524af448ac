"""What a run has on record, and how it is called in a line."""

from __future__ import annotations

import pytest

from softmax_regression.tracking.record import RunRecord


def record(status: str = "FINISHED", **tags: str) -> RunRecord:
    """Return a record with these tags; underscores in their names stand for points."""
    dotted = {key.replace("_", "."): value for key, value in tags.items()}
    return RunRecord("12345678ab", "n", status, 0, None, {}, {}, dotted)


def test_tags_have_names_of_their_own() -> None:
    """What the tags say can be read by name; a run that is no experiment has empty keys and is a first attempt."""
    full = record(
        experiment_config="c",
        experiment_key="k",
        experiment_configuration="s",
        experiment_attempt="3",
        dvc_exp_name="wavy-cats",
    )
    assert (full.config_key, full.key, full.configuration) == ("c", "k", "s")
    assert (full.attempt, full.dvc_experiment) == (3, "wavy-cats")
    bare = record()
    assert (bare.config_key, bare.key, bare.configuration, bare.attempt, bare.dvc_experiment) == ("", "", "", 1, "")


def test_a_run_is_live_only_when_it_has_finished() -> None:
    """A run that is resumed is not live while it runs."""
    assert record(experiment_live="true").live
    assert not record("RUNNING", experiment_live="true").live
    assert not record(experiment_live="false").live


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (record("KILLED"), "n (12345678, killed)"),
        (record(experiment_live="true"), "n (12345678, live)"),
        (record(experiment_live="false"), "n (12345678, superseded)"),
        (record(experiment_live="false", experiment_reproduces="f"), "n (12345678, a repetition)"),
    ],
)
def test_a_line_names_the_run_and_its_state(found: RunRecord, said: str) -> None:
    """Name, first digits of the id, and whether it represents its experiment."""
    assert str(found) == said
