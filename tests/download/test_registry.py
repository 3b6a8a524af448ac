"""The registry: every entry is complete, and what scikit-learn makes is the same each time."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softmax_regression.data.datasets import PARTS
from softmax_regression.download.registry import DATA_SETS
from softmax_regression.params import DownloadParams, MakeClassification, load_params

ROOT = Path(__file__).parents[2]
PROGRAM_B: dict[str, Any] = {
    "n_samples": 1000,
    "n_features": 2,
    "n_informative": 2,
    "n_redundant": 0,
    "n_classes": 3,
    "n_clusters_per_class": 1,
    "class_sep": 1.0,
    "test_size": 0.2,
    "random_state": 42,
}


def make(name: str, settings: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return what the entry of an embedded data set makes."""
    maker = DATA_SETS[name].make
    assert maker is not None
    return maker(settings)


@pytest.mark.parametrize("name", DATA_SETS)
def test_an_entry_says_where_the_data_come_from(name: str) -> None:
    """Each data set has four files with digests and sources in params.yaml, or a function that makes it."""
    entry = DATA_SETS[name]
    sources = load_params(ROOT / "params.yaml").download.sources
    if entry.files is None:
        assert entry.make is not None
        assert name not in sources
    else:
        assert tuple(entry.files) == PARTS
        assert len({digest for _, digest in entry.files.values()}) == 4
        assert sources[name]


def test_digits_are_scikit_learns_images_split_by_class() -> None:
    """All 1,797 images of 0 to 16 in 8x8 are there once; each class gives a fifth to the test set."""
    from sklearn.datasets import load_digits

    parts = make("digits", {})
    assert parts["train-images"].shape == (1437, 8, 8)
    assert parts["test-images"].shape == (360, 8, 8)
    together = np.concatenate([parts["train-images"], parts["test-images"]]).reshape(1797, 64)
    original = load_digits().data
    assert sorted(map(tuple, together.tolist())) == sorted(map(tuple, original.astype(int).tolist()))
    counts = np.bincount(parts["test-labels"]) / np.bincount(parts["train-labels"])
    np.testing.assert_allclose(counts, 0.25, atol=0.01)  # a fifth to four fifths, to a whole image a class


def test_program_b_has_its_published_split() -> None:
    """make_classification with program B's settings gives scikit-learn's own arrays, split as program B splits."""
    from sklearn.datasets import make_classification
    from sklearn.model_selection import train_test_split

    features, labels = make_classification(
        n_samples=1000, n_features=2, n_redundant=0, n_classes=3, n_clusters_per_class=1, random_state=42
    )
    expected = train_test_split(features, labels, test_size=0.2, random_state=42)
    parts = make("make_classification", PROGRAM_B)
    for part, array in zip(("train-images", "test-images", "train-labels", "test-labels"), expected, strict=True):
        np.testing.assert_array_equal(parts[part], array)


def test_program_b_reaches_its_published_optimum() -> None:
    """An independent solver finds train loss 0.3198 and test accuracy 0.86 on this split, as published."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    parts = make("make_classification", PROGRAM_B)
    model = LogisticRegression(C=np.inf, tol=1e-8).fit(parts["train-images"], parts["train-labels"])
    loss = log_loss(parts["train-labels"], model.predict_proba(parts["train-images"]))
    assert loss == pytest.approx(0.3198, abs=5e-5)  # published with four digits
    assert model.score(parts["test-images"], parts["test-labels"]) == pytest.approx(0.86)  # of 200: exact


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_clusters_per_class": 2}, r"^download\.make_classification: n_classes.* n_clusters_per_class"),
        ({"n_samples": 4, "n_classes": 4, "test_size": 0.5}, "expected 4 classes in the training set, found 2; raise"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    """What scikit-learn refuses, and a class that the training set lacks, is an error that names the section."""
    with pytest.raises(ValueError, match=message):
        make("make_classification", PROGRAM_B | change)


@pytest.mark.parametrize(
    "change", [{"n_samples": 10**9, "n_features": 10**3}, {"n_features": 2**30, "n_informative": 2**30}]
)
def test_more_than_memory_holds_is_refused_before_it_is_made(change: dict[str, int]) -> None:
    """The line says how many bytes it takes, how many there are, and what to lower."""
    with pytest.raises(
        ValueError,
        match=r"^download\.make_classification: [\d,]+ samples of [\d,]+ features need [\d,]+ bytes of memory, [\d,]+"
        r" are available; lower n_samples$",
    ):
        make("make_classification", PROGRAM_B | change)


def test_the_settings_are_not_changed() -> None:
    """Making data leaves the caller's mapping as it was."""
    settings = dict(PROGRAM_B)
    make("make_classification", settings)
    assert settings == PROGRAM_B


def test_the_settings_of_an_entry_are_a_section_of_params() -> None:
    """What a made data set is made from stands in params.yaml under the name that the entry gives."""
    named = {entry.settings for entry in DATA_SETS.values() if entry.settings}
    assert named <= set(DownloadParams.model_fields)


def test_every_setting_of_program_b_is_in_params() -> None:
    """The settings tested here are those that params.yaml may have, key by key."""
    assert set(PROGRAM_B) == set(MakeClassification.model_fields)
