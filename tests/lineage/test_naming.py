"""HEAD and best name runs too, and best never looks at the test set."""

from __future__ import annotations

from pathlib import Path

import pytest
from filled_project import NOT_EVALUATED, OTHER_DATA, RATE_01, RATE_05, RATE_09, filled_project

from softmax_regression.lineage.naming import best_run, choose
from softmax_regression.tracking.client import Store
from softmax_regression.tracking.record import RunRecord


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with runs."""
    return filled_project(tmp_path_factory.mktemp("choosing"))


@pytest.fixture(scope="module")
def store(root: Path) -> Store:
    """Its store."""
    return Store.open(root)


def record(name: str, live: str = "true", data: str = "d", **metrics: float) -> RunRecord:
    """Return a finished run; '__' in names of metrics stands for the slash."""
    figures = {key.replace("__", "/"): value for key, value in metrics.items()}
    return RunRecord(name, name, "FINISHED", "1", 0, 0, {"data.name": data}, figures, {"experiment.live": live})


def test_head_is_the_run_of_the_outputs_in_the_workspace(store: Store, root: Path) -> None:
    """HEAD is found by the key of artifacts/train/experiment.json, and what it stands for is said."""
    head, other = choose(store, root, ["HEAD", RATE_05])
    assert head.record.name == "small lr0.1 b10 e3 s1"
    assert head.how == "HEAD is small lr0.1 b10 e3 s1, the run of the outputs in this workspace"
    assert (other.record.name, other.how) == (RATE_05, "")


def test_head_without_outputs_or_run_says_what_to_do(store: Store, root: Path, tmp_path: Path) -> None:
    """An empty workspace has to be trained; one whose run the store lacks has to be synced."""
    with pytest.raises(FileNotFoundError, match=r"experiment.json not found; run `dvc repro train`"):
        choose(store, tmp_path, ["HEAD"])
    path = tmp_path / "artifacts" / "train" / "experiment.json"
    path.parent.mkdir(parents=True)
    path.write_text((root / "artifacts/train/experiment.json").read_text().replace('"model": "1"', '"model": "x"'))
    with pytest.raises(ValueError, match=r"has no run in the store; `softmax-regression sync`"):
        choose(store, tmp_path, ["HEAD"])


def test_the_words_of_runs_resolve_are_known(store: Store, root: Path) -> None:
    """A DVC experiment's name and the beginning of an id name a run; an unknown word is told with the nearest."""
    first, second = choose(store, root, ["wavy-cats", RATE_01])
    assert first.record.name == RATE_05
    assert choose(store, root, [second.record.run_id[:8]])[0].record.name == RATE_01
    with pytest.raises(ValueError, match=r"no run is called 'wavy-dogs': the nearest names are wavy-cats"):
        choose(store, root, ["wavy-dogs"])


def test_one_run_under_two_names_is_refused(store: Store, root: Path) -> None:
    """A run is not compared with itself, whichever words name it."""
    with pytest.raises(ValueError, match=r"'wavy-cats' and 'small lr0.5 b10 e3 s0' are the same run"):
        choose(store, root, ["wavy-cats", RATE_05])
    with pytest.raises(ValueError, match="'wavy-cats' stands twice"):
        choose(store, root, ["wavy-cats", "wavy-cats"])


def test_best_is_sought_on_the_data_of_the_other_runs(store: Store, root: Path) -> None:
    """Beside a run of one data set, best is of that data set; here by training loss, so not the best on the test."""
    _, best = choose(store, root, [RATE_01, "best"])
    assert best.record.name == RATE_09
    assert choose(store, root, [OTHER_DATA, NOT_EVALUATED, "best"])[2].record.name == RATE_09
    with pytest.raises(ValueError, match="the same run"):
        choose(store, root, [OTHER_DATA, "best"])


def test_best_goes_by_the_validation_images_where_there_are_any() -> None:
    """Validation accuracy decides among the runs that have it, whatever the test set or the training loss say."""
    runs = [
        record("a", final__validation_accuracy=0.8, final__test_accuracy=0.7, final__train_loss=0.5),
        record("b", final__validation_accuracy=0.9, final__test_accuracy=0.6, final__train_loss=0.6),
        record("c", final__test_accuracy=0.95, final__train_loss=0.1),
        record("d", live="false", final__validation_accuracy=0.99),
        record("e", final__validation_accuracy=float("nan")),
    ]
    best, how = best_run(runs)
    assert best.name == "b"
    assert how == (
        "best is b: the highest validation accuracy, 0.9000, of the 2 live runs on d that held images out "
        "(2 without could not stand); the test images had no say"
    )


def test_best_without_validation_images_goes_by_the_training_loss_and_says_so() -> None:
    """The test accuracy is not used even where there is nothing better; a loss that is no number cannot win."""
    runs = [
        record("a", final__test_accuracy=0.9, final__train_loss=0.5),
        record("b", final__test_accuracy=0.7, final__train_loss=0.4),
        record("c", final__train_loss=float("nan")),
    ]
    best, how = best_run(runs)
    assert best.name == "b"
    assert "the lowest training loss, 0.4000, of the 2 live runs on d" in how
    assert "a weak guide" in how
    with pytest.raises(ValueError, match=r"best: no run on these data has finished; run `dvc repro`"):
        best_run([record("d", live="false", final__train_loss=0.1)])
