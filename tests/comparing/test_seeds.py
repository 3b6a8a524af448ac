"""Runs that differ only in seed are one configuration; other code is told, not mixed in."""

from __future__ import annotations

from pathlib import Path

import pytest
from filled_project import PARAMS, RATE_01, add_run, filled_project

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.comparing.run_files import RunFiles
from softmax_regression.comparing.seeds import (
    NoiseBetweenSeeds,
    by_configuration,
    configuration_key,
    name_without_seed,
    noise_between_seeds,
    siblings_of,
)
from softmax_regression.comparing.statistics import SeedNoise
from softmax_regression.tracking.client import Store
from softmax_regression.tracking.record import RunRecord

DATA = {"train-images": "d1", "test-images": "d1"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with runs."""
    return Store.open(filled_project(tmp_path_factory.mktemp("seeds")))


@pytest.fixture
def live(store: Store) -> list[RunRecord]:
    """Its live runs, the newest first."""
    return [record for record in store.runs() if record.live]


@pytest.fixture
def files(store: Store, tmp_path: Path) -> RunFiles:
    """The runs' files."""
    return RunFiles(store, tmp_path)


def seeds(records: tuple[RunRecord, ...]) -> list[str]:
    """Return the seeds of some runs."""
    return [record.params["train.seed"] for record in records]


def test_a_configuration_is_all_but_the_seed_and_the_weights() -> None:
    """Seed and weights do not count; params, data and code do, the code only if it is asked to."""
    base = Experiment(PARAMS, {"test-images": "1"}, {"sgd.py": "1"}, "weights")
    key = configuration_key(base)
    assert configuration_key(Experiment(PARAMS | {"train.seed": 7}, base.data, base.code, "others")) == key
    assert configuration_key(Experiment(PARAMS | {"train.epochs": 7}, base.data, base.code)) != key
    assert configuration_key(Experiment(PARAMS, {"test-images": "2"}, base.code)) != key
    changed = Experiment(PARAMS, base.data, {"sgd.py": "2"})
    assert configuration_key(changed) != key
    assert configuration_key(changed, any_code=True) == configuration_key(base, any_code=True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("digits lr0.1 s3", "digits lr0.1"), ("digits lr0.1 s3 #2", "digits lr0.1"), ("mine", "mine"), ("x s31", "x s31")],
)
def test_a_name_loses_its_seed(name: str, expected: str) -> None:
    """The seed at the end and the number of the attempt go; a name that a person gave stays."""
    record = RunRecord("id", name, "FINISHED", "1", 0, 0, {"train.seed": "3"}, {}, {})
    assert name_without_seed(record) == expected


def test_the_siblings_of_a_run_are_its_other_seeds(store: Store, live: list[RunRecord], files: RunFiles) -> None:
    """Three seeds of the same code count; the fourth is of other code and is told apart, with the file."""
    found = siblings_of([store.resolve(RATE_01)], live, files)
    assert seeds(found.records) == ["0", "1", "2"]
    assert seeds(found.other_code) == ["3"]
    assert found.code_that_differs == ("src/sgd.py",)


def test_other_code_counts_if_it_is_asked_to(store: Store, live: list[RunRecord], files: RunFiles) -> None:
    """With any_code all four seeds are siblings."""
    found = siblings_of([store.resolve(RATE_01)], live, files, any_code=True)
    assert seeds(found.records) == ["0", "1", "2", "3"]
    assert found.other_code == ()


def test_noise_is_pooled_over_the_configurations_on_the_same_data(live: list[RunRecord], files: RunFiles) -> None:
    """0.80 0.79 0.81 and 0.96 0.95 0.97: both have a standard deviation of 0.01, 2 + 2 degrees of freedom."""
    noise = noise_between_seeds(live, DATA, files)
    assert noise is not None
    # 1e-12: rounding of a few sums in float64
    assert noise.pooled.sd == pytest.approx(0.01, abs=1e-12)
    assert (noise.pooled.degrees_of_freedom, noise.pooled.groups) == (4, 2)
    assert noise.words == ""
    assert noise_between_seeds(live, {"test-images": "d3"}, files) is None


def test_noise_that_differs_between_configurations_is_told_with_its_range() -> None:
    """The pooled figure alone would hide that one configuration has 0.1 points and another 2."""
    noise = NoiseBetweenSeeds(SeedNoise(0.0142, 4, 2), 0.001, 0.02)
    assert noise.words == (
        "This noise is pooled; it is not alike in all configurations: from a standard deviation of 0.10 to one of "
        "2.00 points."
    )


def test_a_second_run_of_one_seed_is_no_second_draw(tmp_path: Path) -> None:
    """Of two runs of one seed, of different code, one counts: the named one, else the newest."""
    store = Store.open(filled_project(tmp_path))
    add_run(store, range(30), code="2")  # learning rate 0.1, seed 0 again
    live = [record for record in store.runs() if record.live]
    twins = [record for record in live if record.name.startswith("small lr0.1") and record.params["train.seed"] == "0"]
    files = RunFiles(store, tmp_path / "files")
    for named in twins:
        found = siblings_of([named], live, files, any_code=True)
        assert [record.run_id for record in found.records if record.params["train.seed"] == "0"] == [named.run_id]
    groups = by_configuration(live, files, any_code=True)
    (group,) = (group for group in groups if "3" in group)
    assert group["0"].run_id == twins[0].run_id  # the newest


def test_a_run_without_its_experiment_file_stands_alone(live: list[RunRecord], tmp_path: Path) -> None:
    """Without the file it is not known to be of the same data and code, so it is no sibling."""

    class Empty:
        def artifacts(self, run_id: str, folder: str = "") -> list[str]:
            return []

    groups = by_configuration(live, RunFiles(Empty(), tmp_path))  # type: ignore[arg-type]  # a store without files
    assert all(len(group) == 1 for group in groups)
