"""The download stage: a folder of verified files and a report, all of it or none."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_data import NAMES, make_parts, write_published

from softmax_regression.data import idx
from softmax_regression.data.datasets import PARTS, Dataset, Examples, load, read_report
from softmax_regression.download import registry
from softmax_regression.download.prepare import can_download, describe, download
from softmax_regression.download.sources import NoSourceError
from softmax_regression.files import sha256_of
from softmax_regression.params import load_params

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "fashion-mnist"
PARAMS = load_params(ROOT / "params.yaml").download


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the gzip files of a small data set that the registry knows as "small"."""
    monkeypatch.setitem(registry.DATA_SETS, "small", write_published(tmp_path / "published"))
    return tmp_path / "published"


def get(name: str, folder: Path, *sources: str) -> dict[str, Any]:
    """Download with sources, a root and a limit that suit the tests."""
    params = PARAMS.model_copy(update={"sources": {name: list(sources)}, "timeout": 5.0})
    return download(name, folder, params, root=folder.parent)


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files under a folder, hidden ones included."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_holds_the_data_and_the_report_and_nothing_else(tmp_path: Path, published: Path) -> None:
    """Four decompressed files that `load` reads, report.json as returned; beside the folder nothing is left."""
    report = get("small", tmp_path / "data" / "small", "../published")
    assert set(contents(tmp_path / "data")) == {f"small/{part}" for part in (*PARTS, "report.json")}
    assert json.loads((tmp_path / "data" / "small" / "report.json").read_text()) == report
    dataset = load(tmp_path / "data" / "small", "small")
    np.testing.assert_array_equal(dataset.train.images, make_parts()["train-images"])
    for part in PARTS:
        path = tmp_path / "data" / "small" / part
        assert report["files"][part] == {"bytes": path.stat().st_size, "sha256": sha256_of(path)}


@pytest.mark.parametrize("name", ["small", "digits", "make_classification"])
def test_the_same_again_is_the_same_bytes(tmp_path: Path, published: Path, name: str) -> None:
    """Two downloads to two places are byte-identical, the report too."""
    get(name, tmp_path / "one" / name, str(published))
    get(name, tmp_path / "two" / "elsewhere", str(published))
    assert contents(tmp_path / "one" / name) == contents(tmp_path / "two" / "elsewhere")


@pytest.mark.parametrize(("name", "shape"), [("digits", (8, 8)), ("make_classification", (2,))])
def test_an_embedded_data_set_needs_no_source(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    """It is made, written and read in the same format as any other."""
    report = get(name, tmp_path / name)
    dataset = load(tmp_path / name, name)
    assert dataset.example_shape == shape
    assert report["train"]["examples"] == len(dataset.train)
    assert sum(report["test"]["class_counts"]) == len(dataset.test)
    assert can_download(name, sources=[], root=tmp_path, timeout=0.1)


def test_the_report_records_the_settings_that_made_the_data(tmp_path: Path) -> None:
    """A data set made from params carries them, by dotted key as in params.yaml; one that has none carries none."""
    report = get("make_classification", tmp_path / "points")
    settings = PARAMS.make_classification.model_dump()
    assert report["settings"] == {f"download.make_classification.{key}": value for key, value in settings.items()}
    assert "settings" not in get("digits", tmp_path / "digits")


def test_real_values_are_packed(tmp_path: Path) -> None:
    """Points are stored in two bytes a value, come back to within half a step, and the report says what was lost."""
    report = get("make_classification", tmp_path / "points")
    dataset = load(tmp_path / "points", "make_classification")
    make = registry.DATA_SETS["make_classification"].make
    assert make is not None
    made = make(PARAMS.make_classification.model_dump())
    scale = np.array(dataset.scale)
    assert report["scale"] == scale.tolist()
    assert len(scale) == 2
    errors = []
    for examples, split in ((dataset.train, "train"), (dataset.test, "test")):
        errors.append(np.abs(examples.images / scale - made[f"{split}-images"]))
        np.testing.assert_array_equal(examples.labels, made[f"{split}-labels"])
        assert report["files"][f"{split}-images"]["bytes"] == 12 + 2 * examples.images.size  # 12: the header
    assert (np.concatenate(errors) <= 1 / (2 * scale)).all()
    assert report["type"] == "int16"
    assert report["packing"].keys() == {"bits", "largest_error", "relative_error"}
    assert report["packing"]["bits"] == 16
    assert report["packing"]["largest_error"] == pytest.approx(np.concatenate(errors).max(), rel=5e-3)  # three digits
    assert report["packing"]["relative_error"] < 1 / 32767
    assert "packing" not in get("digits", tmp_path / "digits")


def parts_of(features: np.ndarray) -> dict[str, np.ndarray]:
    """Return the parts of a data set of two classes that has the same examples for training and testing."""
    labels = (np.arange(len(features)) % 2).astype(np.uint8)
    return dict(zip(PARTS, (features, labels, features, labels), strict=True))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_real_values_are_divided_by_the_entrys_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: type
) -> None:
    """Features are stored value / scale before packing and after it, in single and double precision alike."""
    parts = parts_of(np.array([[10, 20], [30, -40]], dtype))
    monkeypatch.setitem(registry.DATA_SETS, "real", registry.Entry(scale=10, make=lambda settings: parts))
    get("real", tmp_path / "real")
    dataset = load(tmp_path / "real", "real")
    np.testing.assert_array_equal(dataset.test.images / np.array(dataset.scale), [[1, 2], [3, -4]])


def test_published_real_values_are_packed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of doubles from a source end as files of 16-bit integers."""
    features = np.array([[1.5, 2.5], [3.5, -4.5]])
    for part, array in parts_of(features).items():
        idx.write(tmp_path / "source" / part, array)
    files = {part: (part, f"sha256:{sha256_of(tmp_path / 'source' / part)}") for part in PARTS}
    monkeypatch.setitem(registry.DATA_SETS, "real", registry.Entry(scale=1, files=files))
    report = get("real", tmp_path / "real", "source")
    assert report["packing"] == {"bits": 16, "largest_error": 0.0, "relative_error": 0.0}
    dataset = load(tmp_path / "real", "real")
    np.testing.assert_array_equal(dataset.train.images / np.array(dataset.scale), features)


def test_what_is_no_number_is_found_before_it_is_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NaN has no integer: the download stage fails, and leaves nothing."""
    parts = parts_of(np.array([[1.0, 2.0], [np.nan, 4.0]]))
    monkeypatch.setitem(registry.DATA_SETS, "real", registry.Entry(scale=1, make=lambda settings: parts))
    with pytest.raises(ValueError, match=r"^train-images: expected finite features, found NaN or infinity$"):
        get("real", tmp_path / "data" / "real")
    assert contents(tmp_path / "data") == {}


def test_a_file_without_gz_is_taken_as_it_is(tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A publisher who does not compress is served by the same entry with other names."""
    first = get("small", tmp_path / "small", str(published))
    files = {part: (part, f"sha256:{first['files'][part]['sha256']}") for part in PARTS}
    monkeypatch.setitem(registry.DATA_SETS, "small", replace(registry.DATA_SETS["small"], files=files))
    assert get("small", tmp_path / "again", str(tmp_path / "small")) == first


def test_a_failed_download_changes_nothing(tmp_path: Path, published: Path) -> None:
    """What was there before stays whole, and of the failure nothing is left."""
    get("small", tmp_path / "data" / "small", str(published))
    before = contents(tmp_path / "data")
    (published / NAMES["test-images"]).write_bytes(b"damaged")
    with pytest.raises(NoSourceError):
        get("small", tmp_path / "data" / "small", str(published))
    assert contents(tmp_path / "data") == before
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["small"]


def test_a_new_download_replaces_the_old_one_whole(tmp_path: Path, published: Path) -> None:
    """Neither a stranger in the folder nor the leavings of a killed download get into the new one."""
    for folder in ("small", ".small.partial"):
        (tmp_path / "data" / folder / "published").mkdir(parents=True)
        (tmp_path / "data" / folder / "published" / "stranger").write_text("old")
    get("small", tmp_path / "data" / "small", str(published))
    assert set(contents(tmp_path / "data")) == {f"small/{part}" for part in (*PARTS, "report.json")}


def test_without_a_source_the_error_gives_the_ways_out(tmp_path: Path, published: Path) -> None:
    """What was tried and why it failed, then: the folder to fill, the param to edit, the data set that needs none."""
    with pytest.raises(NoSourceError) as caught:
        get("small", tmp_path / "small", "http://127.0.0.1:9/", "nowhere")
    message = str(caught.value)
    assert message.startswith(f"no source serves {', '.join(NAMES.values())}; tried: http://127.0.0.1:9/: ")
    assert f"nowhere ({tmp_path}/nowhere): no such folder" in message
    assert "; ways out: put the files into nowhere; edit download.sources.small in params.yaml; " in message
    assert message.endswith("set data.name: digits, which needs no download")


def test_an_entry_that_does_not_fit_its_files_is_found_at_once(
    tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newcomer's slip in the registry shows in the download stage, and no data folder appears."""
    entry = replace(registry.DATA_SETS["small"], sizes=(601, 200))
    monkeypatch.setitem(registry.DATA_SETS, "small", entry)
    with pytest.raises(ValueError, match="small: train-images: expected 601 examples, found 600"):
        get("small", tmp_path / "data" / "small", str(published))
    assert contents(tmp_path / "data") == {}


def test_another_data_set_takes_the_place_of_the_first(tmp_path: Path, published: Path) -> None:
    """The folder is the same for every data set: it holds the last one, whole, and says which."""
    get("small", tmp_path / "prepared", str(published))
    report = get("digits", tmp_path / "prepared")
    assert read_report(tmp_path / "prepared") == report
    assert load(tmp_path / "prepared", "digits").example_shape == (8, 8)


def test_a_name_without_sources_has_the_ways_out_too(tmp_path: Path, published: Path) -> None:
    """A data set that download.sources does not name is one error as well: nothing was tried."""
    with pytest.raises(NoSourceError, match="the list of sources is empty; ways out: put the files into a folder and"):
        download("small", tmp_path / "small", PARAMS, root=tmp_path)


def test_an_unknown_name_touches_nothing(tmp_path: Path) -> None:
    """A name is looked up before it becomes a folder."""
    with pytest.raises(ValueError, match="unknown data set"):
        get("nonsense", tmp_path / "data" / "nonsense")
    assert not (tmp_path / "data").exists()


def test_can_download_asks_for_the_published_names(tmp_path: Path, published: Path) -> None:
    """A folder with one of the files will do; one without them will not."""
    assert can_download("small", sources=["published"], root=tmp_path, timeout=0.1)
    assert not can_download("small", sources=["."], root=tmp_path, timeout=0.1)


def test_the_report_counts_by_hand() -> None:
    """Eight examples with every kind of repetition, counted on paper."""
    a, b, c, d = (np.full((2, 2), value, np.uint8) for value in (1, 2, 3, 250))
    train = Examples(np.stack([a, a, a, b, c]), np.array([0, 0, 1, 1, 2], np.uint8))  # two repeat a, one as class 1
    test = Examples(np.stack([b, b, d]), np.array([1, 2, 0], np.uint8))  # one repeats b as class 2; both b in train
    report = describe(Dataset("hand", ("x", "y", "z", "w"), 255, train, test))
    assert report["train"] == {"examples": 5, "class_counts": [2, 2, 1, 0], "range": [1, 3], "duplicates": 2}
    assert report["test"] == {"examples": 3, "class_counts": [1, 1, 1, 0], "range": [2, 250], "duplicates": 1}
    assert report["test_examples_in_train"] == 2
    assert report["conflicting_labels"] == 2  # a as 0 and 1, b as 1 and 2
    assert (report["class_names"], report["example_shape"], report["type"]) == (["x", "y", "z", "w"], [2, 2], "uint8")


@pytest.mark.real_data
def test_the_official_files_are_what_the_papers_say(tmp_path: Path) -> None:
    """Fashion-MNIST: 6,000 and 1,000 examples a class, all 256 grey levels, no example twice."""
    if not REAL.is_dir():
        pytest.skip(f"the official files are not in {REAL}")
    report = get("fashion_mnist", tmp_path / "fashion_mnist", str(REAL))
    assert report["train"] == {"examples": 60_000, "class_counts": [6000] * 10, "range": [0, 255], "duplicates": 0}
    assert report["test"] == {"examples": 10_000, "class_counts": [1000] * 10, "range": [0, 255], "duplicates": 0}
    assert report["test_examples_in_train"] == report["conflicting_labels"] == 0
    dataset = load(tmp_path / "fashion_mnist", "fashion_mnist")
    assert [dataset.class_names[label] for label in dataset.test.labels[:3]] == ["Ankle boot", "Pullover", "Trouser"]
