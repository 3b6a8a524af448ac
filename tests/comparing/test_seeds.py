"""Runs that differ only in seed are one configuration, whichever version recorded them."""

import math
from pathlib import Path

import pytest
from filled_project import add_old_run, add_run, filled_project

from softmax_regression.comparing.run_files import RunFiles
from softmax_regression.comparing.seeds import by_configuration, name_without_seed, noise_between_seeds
from softmax_regression.tracking.record import RunRecord
from softmax_regression.tracking.run_store import RunStore

DATA = {"train-images": "d1", "test-images": "d1"}


@pytest.fixture
def live(store: RunStore) -> list[RunRecord]:
    """Its live runs, the newest first."""
    return [record for record in store.runs() if record.live]


@pytest.fixture
def files(store: RunStore, tmp_path: Path) -> RunFiles:
    """The runs' files."""
    return RunFiles(store, tmp_path)


def seeds(records: tuple[RunRecord, ...]) -> list[str]:
    """Return the seeds of some runs."""
    return [record.params["train.seed"] for record in records]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("digits lr0.1 s3", "digits lr0.1"), ("digits lr0.1 s3 #2", "digits lr0.1"), ("mine", "mine"), ("x s31", "x s31")],
)
def test_a_name_loses_its_seed(name: str, expected: str) -> None:
    """The seed at the end and the number of the attempt go; a name that a person gave stays."""
    record = RunRecord("id", name, "FINISHED", 0, 0, {"train.seed": "3"}, {}, {})
    assert name_without_seed(record) == expected


def test_the_seeds_of_a_configuration_are_one_group(live: list[RunRecord], files: RunFiles) -> None:
    """Groups come in the order of their first runs, the newest; the seeds of each are sorted."""
    groups = by_configuration([record for record in live if record.name.startswith("small")], files)
    assert [(name_without_seed(group[0]), seeds(group)) for group in groups] == [
        ("small lr0.3 b10 e3", ["0"]),
        ("small lr0.2 b10 e3", ["0"]),
        ("small lr0.9 b10 e3", ["0"]),
        ("small lr0.5 b10 e3", ["0", "1", "2"]),
        ("small lr0.1 b10 e3", ["0", "1", "2", "3"]),
    ]


def test_seeds_are_sorted_as_numbers(tmp_path: Path) -> None:
    """Seed 10 comes after seed 3."""
    store = RunStore.open(filled_project(tmp_path))
    add_run(store, range(9), train__seed=10)
    groups = by_configuration(store.runs(), RunFiles(store, tmp_path / "files"))
    assert ["0", "1", "2", "3", "10"] in [seeds(group) for group in groups]


def test_other_data_are_another_configuration(tmp_path: Path) -> None:
    """The same params on other files make no seed of this configuration."""
    store = RunStore.open(filled_project(tmp_path))
    add_run(store, range(9), train__seed=4, digest="others")
    groups = by_configuration(store.runs(), RunFiles(store, tmp_path / "files"))
    assert ["4"] in [seeds(group) for group in groups]


def test_seeds_that_an_older_version_recorded_count(tmp_path: Path) -> None:
    """Its runs recorded their code, and the settings of a made data set in another section."""
    store = RunStore.open(filled_project(tmp_path))
    add_old_run(store, range(66), train__seed=5)
    add_run(store, range(60), download__make_classification__n_samples=1000)
    groups = by_configuration(store.runs(), RunFiles(store, tmp_path / "files"))
    assert seeds(groups[0]) == ["0", "5"]


def test_noise_is_pooled_over_the_configurations_on_the_same_data(live: list[RunRecord], files: RunFiles) -> None:
    """0.80 0.79 0.81 0.70 and 0.96 0.95 0.97: sums of squares 0.0077 and 0.0002, 3 + 2 degrees of freedom."""
    groups = by_configuration(live, files)
    noise = noise_between_seeds(groups, DATA, files)
    assert noise is not None
    # 1e-12: rounding of a few sums in float64
    assert noise.sd == pytest.approx(math.sqrt(0.0079 / 5), abs=1e-12)
    assert noise.degrees_of_freedom == 5
    assert sorted(noise.each) == pytest.approx([0.01, math.sqrt(0.0077 / 3)], abs=1e-12)
    assert noise_between_seeds(groups, {"test-images": "d3"}, files) is None


def test_a_second_run_of_one_seed_is_no_second_draw(tmp_path: Path) -> None:
    """Of two runs of one seed that came to other weights one counts: the first, so that a named one is put first."""
    store = RunStore.open(filled_project(tmp_path))
    add_run(store, range(30), weights="other")  # learning rate 0.1, seed 0 again
    twins = [record for record in store.runs() if record.name.startswith("small lr0.1 b10 e3 s0")]
    files = RunFiles(store, tmp_path / "files")
    for named in twins:
        groups = by_configuration([named, *store.runs()], files)
        assert [record.run_id for record in groups[0] if record.params["train.seed"] == "0"] == [named.run_id]
        assert seeds(groups[0]) == ["0", "1", "2", "3"]


def test_a_run_without_its_experiment_file_is_alone(live: list[RunRecord], tmp_path: Path) -> None:
    """Without the file it is not known to be of the same data, so it is no other's seed."""

    class Empty:
        def download(self, run_id: str, artifact_path: str, destination: Path) -> Path:
            raise FileNotFoundError

    groups = by_configuration(live, RunFiles(Empty(), tmp_path))  # type: ignore[arg-type]  # a store without files
    assert all(len(group) == 1 for group in groups)
