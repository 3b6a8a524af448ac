"""Every reader of what people and other programs write: a value, or one line that says what is wrong.

Random texts and bytes, and small changes to whole files, in seeded order: whatever is read, the reader returns, or
raises ValueError, OSError or RuntimeError, which a command prints, of one line that names the file; in time, and
without taking the memory that a header only promises.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_data
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from scratch_project import PARAMS, write_training

from softmax_regression.artifacts.experiment import experiment_name, read_experiment
from softmax_regression.artifacts.model import read_model, read_tensors, write_tensors
from softmax_regression.artifacts.outcome import read_history, read_trained
from softmax_regression.commands.examples import read_examples
from softmax_regression.data import npy
from softmax_regression.data.datasets import REPORT, load, read_report
from softmax_regression.download import idx
from softmax_regression.download.finding import find, part_of, words_of
from softmax_regression.download.own import read_own
from softmax_regression.evaluation.pictures import read_picture
from softmax_regression.files import read_yaml
from softmax_regression.lineage.states import workspace
from softmax_regression.params import load_params
from softmax_regression.sweep.plan import parse_axis, plan
from softmax_regression.tracking.stage_logs import FINDINGS, read_findings

ROOT = Path(__file__).parents[1]
COMMITTED = (ROOT / "params.yaml").read_text()
FEW = settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=2000,  # ms; most take 1, the first of a kind imports its library
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
# What stands in a JSON or YAML file instead of what should: any value, with the traps of both.
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(
        [None, True, 0, -1, 2**63, 10**400, 1e308, float("nan"), float("inf"), "", "a\nb", "\ud800", "1e-3"]
    )
    | st.integers()
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
YAMLS = st.text(st.sampled_from("ab01.:- \n\t[]{},&*!<>|'\"#%?~e+x_\x00é"), max_size=40)


def holds(path: Path, read: Callable[[], object], named: bool = True) -> bool:
    """Return whether the file was read; fail where it was not, and not in the way that is promised."""
    try:
        read()
    except (ValueError, OSError, RuntimeError) as error:
        said = str(error)
        assert said
        assert "\n" not in said
        assert len(said) < 2000
        assert not named or path.name in said or str(path.parent) in said, said
        return False
    return True


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Draw a file that is cut off, or in which a few bytes are others, or whole."""
    content = bytearray(whole)
    for place, byte in draw(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=3)):
        content[place] = byte
    return bytes(content[: draw(st.sampled_from([len(content), draw(st.integers(0, len(content)))]))])


@st.composite
def changed(draw: st.DrawFn, whole: dict[str, Any]) -> str:
    """Draw the JSON text of `whole` in which one value, wherever, is another, or is not there."""
    content = json.loads(json.dumps(whole))
    place: Any = content
    while True:
        key = draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or draw(st.booleans()):
            break
        place = place[key]
    if draw(st.booleans()):
        place[key] = draw(VALUES)
    else:
        del place[key]
    return json.dumps(content)


@FEW
@given(text=YAMLS)
@example(text="[" * 3000)
@example(text="{a: &a [*a]}")
@example(text="? [a]: b")
def test_yaml(text: str) -> None:
    """Any text, as a value of params.yaml or a command line."""
    holds(Path("some.yaml"), lambda: read_yaml(text, "some.yaml"))


@FEW
@given(text=changed(read_yaml(COMMITTED, "params.yaml")))
def test_params(tmp_path: Path, text: str) -> None:
    """params.yaml with one value, or one section, another; JSON is YAML, too."""
    path = tmp_path / "params.yaml"
    path.write_text(text)
    holds(path, lambda: load_params(path))


@FEW
@given(content=damaged(COMMITTED.encode()))
@example(content=COMMITTED.encode("utf-16"))
def test_params_as_bytes(tmp_path: Path, content: bytes) -> None:
    """params.yaml with a few bytes others, in another encoding."""
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    holds(path, lambda: load_params(path))


@FEW
@given(
    key=st.sampled_from(["optimizer.learning_rate", "optimizer.schedule", "train", "a", "", "a..b", "data.name"]),
    values=YAMLS
    | st.sampled_from(["log(1,2)", "[1,2]", "uniform(-1e308,1e308)", "log(5e-324,1)", ".nan", "1,1.0,true"]),
    samples=st.sampled_from([None, -1, 1, 3, 10**9]),
)
def test_axes_of_a_sweep(key: str, values: str, samples: int | None) -> None:
    """Any key, any values, drawn or not: a plan or one line."""
    base = load_params(ROOT / "params.yaml")
    holds(
        Path(), lambda: plan(base, [parse_axis("data.validation_size=500"), parse_axis(f"{key}={values}")], samples),
        named=False,
    )  # fmt: skip


@FEW
@given(text=YAMLS | changed({"stages": {"train": {"deps": [{"path": "a", "md5": "b"}], "outs": [{"path": "c"}]}}}))
@example(text='{"stages": {"\\n": null}}')
def test_the_lock_file(tmp_path: Path, text: str) -> None:
    """dvc.lock as a merge, an editor or another program leaves it."""
    path = tmp_path / "dvc.lock"
    path.write_text(text, errors="replace")
    state = workspace(tmp_path)
    holds(path, lambda: [state.outputs, state.digest("download", "outs", "data/prepared")])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the outputs of a training; a test gives back what it changed."""
    folder = tmp_path_factory.mktemp("trained")
    write_training(folder)
    (folder / "convergence.json").write_text('{"at_optimum": true, "iterations": 3, "slope": 1e-8}')
    return folder


@pytest.fixture
def restored(trained: Path) -> Iterator[Path]:
    """Return the outputs of a training, and restore them after the test."""
    kept = {path: path.read_bytes() for path in trained.iterdir()}
    yield trained
    for path, content in kept.items():
        path.write_bytes(content)


def facts(name: str) -> Any:
    """Return a file of a training as its reader has it."""
    arrays = {"mean": [0.5] * 4, "deviation": [1.0] * 4}
    return {
        "experiment.json": {"params": PARAMS, "data": {"train-images": "a"}, "model": "b"},
        "model.json": {
            "data": "small",
            "class_names": ["dark", "bright"],
            "example_shape": [8, 8],
            "scale": 16,
            "feature_names": [],
            "standardise": None,
            "framed": True,
        },
        "convergence.json": {"at_optimum": True, "iterations": 3, "slope": 1e-8},
        "vectors": {"data": "small", "class_names": ["a", "b"], "example_shape": [4], "scale": [1.0] * 4,
                    "feature_names": list("abcd"), "standardise": arrays},
    }[name]  # fmt: skip


@pytest.mark.parametrize("name", ["experiment.json", "model.json", "convergence.json"])
@FEW
@given(data=st.data())
def test_json_files_of_a_training(restored: Path, name: str, data: st.DataObject) -> None:
    """One value another, or gone: what is read can be used: the experiment has a name, the model an answer."""
    path = restored / name
    path.write_text(data.draw(changed(facts(name))))

    def use() -> None:
        found = read_trained(restored)
        experiment_name(found.experiment.params)
        found.model.probabilities(np.zeros((1, 8, 8), np.uint8))

    holds(path, use)


@pytest.mark.parametrize("name", ["experiment.json", "model.json", "history.csv", "model.safetensors"])
@FEW
@given(data=st.data())
def test_files_of_a_training_as_bytes(restored: Path, name: str, data: st.DataObject) -> None:
    """Cut off, or a few bytes others."""
    kept = (restored / name).read_bytes()
    (restored / name).write_bytes(data.draw(damaged(kept)))
    holds(restored / name, lambda: [read_experiment(restored / "experiment.json"), read_model(restored)])
    holds(restored / name, lambda: read_history(restored / "history.csv"))
    (restored / name).write_bytes(kept)


@FEW
@given(
    cells=st.lists(
        st.lists(st.sampled_from(["1", "0.5", "nan", "inf", "", "x", '"', "\x00", "1e400", "é"]), max_size=8),
        max_size=4,
    )
)
def test_a_history(tmp_path: Path, cells: list[list[str]]) -> None:
    """Rows of other lengths and of no numbers, under the right header: epochs, or one line."""
    path = tmp_path / "history.csv"
    header = "epoch,train_loss,train_accuracy,test_loss,test_accuracy,learning_rate"
    path.write_text("\n".join([header, *map(",".join, cells)]))
    holds(path, lambda: read_history(path).columns())


@FEW
@given(text=YAMLS | changed({"metrics": {"a": 1.5}, "tags": {"b": "c"}, "summary": "d", "notes": ["e"]}))
def test_findings(tmp_path: Path, text: str) -> None:
    """findings.json with one value another, or any text."""
    path = tmp_path / FINDINGS
    path.write_text(text)
    holds(path, lambda: read_findings(tmp_path))


def tensors(header: object, data: bytes = b"") -> bytes:
    """Return a safetensors file with this header."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@FEW
@given(header=changed({"weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}))
@example(header='{"a\\nb": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}')
@example(header='{"weight": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}')
def test_safetensors(tmp_path: Path, header: str) -> None:
    """A header that is another one: arrays or one line."""
    path = tmp_path / "model.safetensors"
    for data in (bytes(16), bytes(4)):
        path.write_bytes(tensors(json.loads(header), data))
        holds(path, lambda: read_tensors(path))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a prepared data set."""
    folder = tmp_path_factory.mktemp("data") / "small"
    small_data.write_folder(folder, parts=small_data.make_parts(train=20, test=10, shape=(4, 4), classes=2))
    return folder


@FEW
@given(data=st.data())
def test_the_report_of_the_data(prepared: Path, data: st.DataObject) -> None:
    """report.json with one value another: a data set that can be read, or one line."""
    path = prepared / REPORT
    kept = path.read_text()
    path.write_text(data.draw(changed(json.loads(kept))))
    try:
        if holds(path, lambda: read_report(prepared)):
            holds(path, lambda: load(prepared, "small"))
    finally:
        path.write_text(kept)


@FEW
@given(
    content=damaged(b"\0\0\x08\x02\0\0\0\2\0\0\0\3abcdef")
    | st.builds(
        lambda code, sizes, rest: bytes([0, 0, code, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes) + rest,
        st.sampled_from([8, 9, 11, 12, 13, 14]),
        st.lists(st.sampled_from([0, 1, 2, 2**31, 2**32 - 1]), max_size=70),
        st.binary(max_size=8),
    )
)
def test_idx(tmp_path: Path, content: bytes) -> None:
    """Whatever the header says: an array, or one line."""
    path = tmp_path / "images"
    path.write_bytes(content)
    for memory_map in (False, True):
        holds(path, lambda: idx.read(path, memory_map=memory_map))  # noqa: B023  # called at once


HEADERS = st.builds(
    "{{'descr': {}, 'fortran_order': {}, 'shape': {}, }}".format,
    st.sampled_from(["'<f8'", "'|O'", "'<U5'", "'|V3'", "[('a', '<f8')]", "'<M8[s]'", "3", "'<f99'", "'>i2'", "'|S2'"]),
    st.sampled_from(["False", "True", "1"]),
    st.sampled_from(
        ["(3,)", "(3, 4)", "()", "(0, 4)", "(10**9, 4)", "(1000000000000, 4)", "(-1, 4)", "3", f"{(1,) * 40}"]
    ),
)


def npy_file(header: str, values: bytes) -> bytes:
    """Return an .npy file with this header."""
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + values


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a model of four named features."""
    folder = tmp_path_factory.mktemp("model")
    write_training(folder)
    (folder / "model.json").write_text(json.dumps(facts("vectors")))
    write_tensors(folder / "model.safetensors", {"weight": np.ones((2, 4), np.float32)})
    return read_model(folder)


def ask(path: Path, model: Any) -> None:
    """Read a person's own file for `predict`, and as a data set."""
    holds(path, lambda: [model.probabilities(model.stored(block)) for block in read_examples(path, model).blocks])
    own = load_params(ROOT / "params.yaml").download.own
    folder = path.parent / "here"
    folder.mkdir(exist_ok=True)
    holds(path, lambda: read_own(find(path.stem, path.parent), own, folder))


@FEW
@given(content=st.builds(npy_file, HEADERS, st.binary(max_size=100)), packed=st.booleans())
@example(content=npy_file("{'descr': '<f8', 'fortran_order': True, 'shape': (1000000000000, 4), }", b""), packed=True)
def test_own_arrays(tmp_path: Path, small: Any, content: bytes, packed: bool) -> None:
    """Whatever a header promises, in an .npy file or an archive: no more memory than the file has values."""
    if not packed:
        path = tmp_path / "mine.npy"
        path.write_bytes(content)
        holds(path, lambda: npy.read(path))
    else:
        path = tmp_path / "mine.npz"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("X.npy", content)
            archive.writestr("y.npy", content)
    ask(path, small)
    path.unlink()


def archive() -> bytes:
    """Return a whole .npz."""
    file = io.BytesIO()
    np.savez(file, X=np.arange(48.0).reshape(12, 4), y=np.arange(12) % 2)
    return file.getvalue()


def parquet() -> bytes:
    """Return a whole Parquet file."""
    import pyarrow as pa
    from pyarrow import parquet

    file = io.BytesIO()
    columns: dict[str, Any] = {name: np.arange(12.0) for name in "abcd"}
    parquet.write_table(pa.table(columns | {"label": ["x", "y"] * 6}), file)
    return file.getvalue()


CSV = ("a,b,c,d,label\n" + "".join(f"{n},2,3.5,4,{'xy'[n % 2]}\n" for n in range(12))).encode()
SAFETENSORS = tensors({"X": {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48]}}, bytes(48))


@pytest.mark.parametrize(
    ("name", "whole"), [("mine.npz", archive()), ("mine.parquet", parquet()), ("mine.csv", CSV),
                        ("mine.safetensors", SAFETENSORS)],
)  # fmt: skip
@FEW
@given(data=st.data())
def test_own_files_as_bytes(tmp_path: Path, small: Any, name: str, whole: bytes, data: st.DataObject) -> None:
    """Tables and arrays, cut off, or a few bytes others: answers, or one line."""
    path = tmp_path / name
    path.write_bytes(data.draw(damaged(whole)))
    ask(path, small)


@FEW
@given(text=st.text(st.sampled_from('abcd,;\t\n\r"0.5-e x\x00\ufeffé'), max_size=60))
@example(text='"0\n0"\r')
def test_own_tables(tmp_path: Path, small: Any, text: str) -> None:
    """Any text that is called a table."""
    path = tmp_path / "mine.csv"
    path.write_bytes(text.encode())
    ask(path, small)


def picture(kind: str) -> bytes:
    """Return a whole picture."""
    file = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
@FEW
@given(data=st.data())
def test_pictures(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    """Cut off, or a few bytes others: what the model sees, or one line."""
    path = tmp_path / f"mine.{kind.lower()}"
    path.write_bytes(data.draw(damaged(picture(kind))))
    for shape, framed in (((4, 4), True), ((4, 4, 3), False)):
        holds(path, lambda: read_picture(path, shape, framed=framed))  # noqa: B023  # called at once


@FEW
@given(name=st.text(max_size=20))
@example(name="a'b\"c\nd")
def test_names(tmp_path: Path, name: str) -> None:
    """Any name of a data set or a part."""
    holds(tmp_path / "datasets", lambda: find(name, tmp_path / "datasets"))
    assert part_of(name) in (None, "train", "validation", "test")
    assert all(word.islower() or not word.isascii() for word in words_of(name))
