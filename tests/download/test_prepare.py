"""The download stage: a folder of verified files and a report, all of it or none."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_data import NAMES, make_parts, write_published

from softmax_regression.data.datasets import PARTS, load, read_report
from softmax_regression.download import idx, registry
from softmax_regression.download.prepare import can_download, download
from softmax_regression.download.sources import NoSourceError
from softmax_regression.files import read_yaml, sha256_of
from softmax_regression.params import Params, load_params, parse_params

ROOT = Path(__file__).parents[2]
FILES = {f"small/{name}" for name in (*(f"{part}.npy" for part in PARTS), "report.json")}
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
    return download(name, folder, params, datasets=folder.parent / "datasets", root=folder.parent)


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files under a folder, hidden ones included."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_holds_the_data_and_the_report_and_nothing_else(tmp_path: Path, published: Path) -> None:
    """Four arrays that `load` reads, report.json as returned; beside the folder nothing is left."""
    report = get("small", tmp_path / "data" / "small", "../published")
    assert set(contents(tmp_path / "data")) == FILES
    assert json.loads((tmp_path / "data" / "small" / "report.json").read_text()) == report
    dataset = load(tmp_path / "data" / "small", "small")
    np.testing.assert_array_equal(dataset.train.images, make_parts()["train-images"])
    for part in PARTS:
        path = tmp_path / "data" / "small" / f"{part}.npy"
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
    assert can_download(name, sources=[], datasets=tmp_path, root=tmp_path, timeout=0.1)


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
        assert report["files"][f"{split}-images"]["bytes"] == 128 + 2 * examples.images.size  # 128: the header
    assert (np.concatenate(errors) <= 1 / (2 * scale)).all()
    assert report["type"] == "int16"
    assert report["packing"].keys() == {"bits", "largest_error", "relative_error"}
    assert report["packing"]["bits"] == 15
    assert report["packing"]["largest_error"] == pytest.approx(np.concatenate(errors).max(), rel=5e-3)  # three digits
    assert report["packing"]["relative_error"] < 1 / 32767
    assert "packing" not in get("digits", tmp_path / "digits")


def parts_of(features: np.ndarray) -> dict[str, np.ndarray]:
    """Return the parts of a data set of two classes that has the same examples for training and testing."""
    labels = (np.arange(len(features)) % 2).astype(np.uint8)
    return dict(zip(PARTS, (features, labels, features, labels), strict=True))


def test_published_real_values_are_packed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of doubles from a source end as files of 16-bit integers."""
    features = np.array([[1.5, 2.5], [3.5, -4.5]])
    for part, array in parts_of(features).items():
        idx.write(tmp_path / "source" / part, array)
    files = {part: (part, f"sha256:{sha256_of(tmp_path / 'source' / part)}") for part in PARTS}
    monkeypatch.setitem(registry.DATA_SETS, "real", registry.Entry(1, None, (2,), (2, 2), files=files))
    report = get("real", tmp_path / "real", "source")
    assert report["packing"] == {"bits": 15, "largest_error": 0.0, "relative_error": 0.0}
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
    for part, array in make_parts().items():
        idx.write(tmp_path / "plain" / part, array)
    files = {part: (part, f"sha256:{sha256_of(tmp_path / 'plain' / part)}") for part in PARTS}
    monkeypatch.setitem(registry.DATA_SETS, "small", replace(registry.DATA_SETS["small"], files=files))
    assert get("small", tmp_path / "again", str(tmp_path / "plain")) == first


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
    assert set(contents(tmp_path / "data")) == FILES


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
        download("small", tmp_path / "small", PARAMS, datasets=tmp_path / "datasets", root=tmp_path)


def write_own(folder: Path, name: str = "flowers") -> None:
    """Write a table of a person's own."""
    (folder / "datasets").mkdir(exist_ok=True)
    generator = np.random.default_rng(0)
    table = generator.normal(size=(60, 3)).round(3).astype(str)
    rows = [",".join([*row, "rose" if i % 3 else "tulip"]) for i, row in enumerate(table)]
    (folder / "datasets" / f"{name}.csv").write_text("\n".join(["long,wide,high,class", *rows]))


def own(folder: Path, name: str = "flowers", **changes: Any) -> dict[str, Any]:
    """Download a person's own data set into `folder`/prepared."""
    params = PARAMS.model_copy(update={"own": PARAMS.own.model_copy(update=changes)})
    return download(name, folder / "prepared", params, datasets=folder / "datasets", root=folder)


def test_a_persons_own_data_are_stored_like_any_other(tmp_path: Path) -> None:
    """Packed, standardised, with the names of features and classes, and how they were read; nothing else is left."""
    write_own(tmp_path)
    report = own(tmp_path)
    dataset = load(tmp_path / "prepared", "flowers")
    assert set(contents(tmp_path / "prepared")) == {name.removeprefix("small/") for name in FILES}
    assert (dataset.class_names, dataset.feature_names) == (("rose", "tulip"), ("long", "wide", "high"))
    assert (len(dataset.train), len(dataset.test)) == (48, 12)
    assert dataset.standardisation is not None
    assert report["settings"]["download.own.label"] == "class"
    assert report["framed"] is False
    assert report["read"]["from"] == (tmp_path / "datasets" / "flowers.csv").as_posix()
    first = contents(tmp_path / "prepared")
    own(tmp_path)
    assert contents(tmp_path / "prepared") == first
    assert can_download("flowers", sources=[], datasets=tmp_path / "datasets", root=tmp_path, timeout=0.1)


def test_a_changed_setting_is_another_experiment(tmp_path: Path) -> None:
    """Where it changes the data, what is recorded differs; a label that was found is as good as one that is named."""
    write_own(tmp_path)
    first = own(tmp_path)
    assert own(tmp_path, label="class") == first
    assert own(tmp_path, missing="drop") == first
    for changes in ({"test_share": 0.3}, {"leave_out": ["high"]}, {"standardise": False}):
        other = own(tmp_path, **changes)
        assert other["settings"] != first["settings"]
        assert other["files"] != first["files"]


def test_a_known_name_wins_and_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """digits are the digits, whatever lies in datasets/."""
    write_own(tmp_path, "digits")
    assert own(tmp_path, "digits")["example_shape"] == [8, 8]
    assert "digits.csv is not read: digits is a known data set; give yours another name" in capsys.readouterr().err


def test_what_an_experiment_has_no_copy_of_is_named(tmp_path: Path) -> None:
    """Where DVC runs the stage in a copy of the workspace, an untracked file is not there: what to do about it."""
    write_own(tmp_path)
    with pytest.raises(
        ValueError, match=r"neither git nor DVC tracks datasets/flowers.csv, .*; run `dvc add datasets/fl"
    ):
        download("flowers", tmp_path / "copy/prepared", PARAMS, datasets=Path("datasets"), root=tmp_path)
    assert not (tmp_path / "copy").exists()


def test_an_unknown_name_has_no_chance(tmp_path: Path) -> None:
    """Before anything is fetched the name is an error."""
    with pytest.raises(ValueError, match="unknown data set"):
        can_download("nonsense", sources=[], datasets=Path("datasets"), root=tmp_path, timeout=0.1)


def test_an_unknown_name_touches_nothing(tmp_path: Path) -> None:
    """A name is looked up before it becomes a folder."""
    with pytest.raises(ValueError, match="unknown data set"):
        get("nonsense", tmp_path / "data" / "nonsense")
    assert not (tmp_path / "data").exists()


HOSTILE = (
    *("x; touch made", "../mlflow.db", "", "../../other", "a\nb", "$(touch made)", "`touch made`", "x" * 10**4, "a\0b"),
    *("-rf", ".", "..", "/", "/etc/passwd", "~", "*", "é漢\u202e", "\x1b[2K", "datasets", ".hidden", "README", "a/b"),
)


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=40)))
def test_a_hostile_name_is_one_line_and_touches_nothing(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    """data.name is looked up among names, never made a path or a command: nothing inside or outside changes."""
    outside = tmp_path_factory.mktemp("outside")
    folder = outside / "project" / "data" / "prepared"
    datasets = outside / "project" / "datasets"
    for path in (folder / "old.npy", datasets / "README.md", datasets / ".hidden" / "a.csv", outside / "mlflow.db"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("kept")
    before = contents(outside)
    with pytest.raises(ValueError, match=r"^data\.name: unknown data set ") as caught:
        download(named(name).data.name, folder, PARAMS, datasets=datasets, root=outside / "project")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 2000
    assert contents(outside) == before


def named(name: str) -> Params:
    """Return the committed params with another data.name, as params.yaml gives it."""
    content = read_yaml((ROOT / "params.yaml").read_text(), "params.yaml")
    content["data"]["name"] = name
    return parse_params(content)


def test_can_download_asks_for_the_published_names(tmp_path: Path, published: Path) -> None:
    """A folder with one of the files will do; one without them will not."""
    assert can_download("small", sources=["published"], datasets=tmp_path, root=tmp_path, timeout=0.1)
    assert not can_download("small", sources=["."], datasets=tmp_path, root=tmp_path, timeout=0.1)


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
