"""The logged model: what it answers, what it refuses, and that MLflow's own commands use it without a network."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file
from scipy.special import softmax

from softmax_regression.artifacts.model import BEST, FEW_CLASSES, Model, read_model
from softmax_regression.data import npy
from softmax_regression.download.packing import pack
from softmax_regression.download.raw import Rows
from softmax_regression.tracking import stage_logs
from softmax_regression.tracking.client import ModelParts
from softmax_regression.tracking.registry import Registry
from softmax_regression.tracking.run_store import RunStore

NAMES = ("T-shirt/top", "class", "Bag")  # one of them is also the name of a column
SHAPE = (4, 3)
COLUMNS = ("length", "width in cm", "P(Bag)", "größe")
WEIGHT = np.random.default_rng(0).normal(size=(3, 12)).astype(np.float32)
BIAS = np.array([0.5, -0.5, 0.0], dtype=np.float32)
IMAGES = np.random.default_rng(1).integers(0, 256, size=(5, *SHAPE), dtype=np.uint8)


class SavedAsModel:
    """As much of a run as logging a model takes: it is saved to a folder, as MLflow keeps it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def log_model(self, parts: ModelParts) -> None:
        """Save it."""
        import mlflow.pyfunc
        from mlflow.models import infer_signature

        mlflow.pyfunc.save_model(
            self.folder / "model",
            python_model=str(parts.code),
            artifacts={key: str(path) for key, path in parts.artifacts.items()},
            signature=infer_signature(parts.input_example, parts.output_example),
            input_example=parts.input_example,
            pip_requirements=parts.pip_requirements,
        )


def save(
    folder: Path,
    weight: np.ndarray = WEIGHT,
    bias: np.ndarray | None = BIAS,
    shape: tuple[int, ...] = SHAPE,
    scale: float | list[float] = 255.0,
    hidden: Mapping[str, np.ndarray] | None = None,
    **facts: object,
) -> Path:
    """Save a model as the pipeline logs it and return its path; `facts` replace what its description says."""
    tensors = {"weight": weight} | ({} if bias is None else {"bias": bias})
    save_file(tensors | dict(hidden or {}), folder / "model.safetensors")
    description = {"data": "made", "class_names": NAMES, "example_shape": shape, "scale": scale} | facts
    (folder / "model.json").write_text(json.dumps(description))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's import, and its hint that integer columns cannot hold gaps
        stage_logs._log_model(SavedAsModel(folder), folder)  # type: ignore[arg-type]  # all that it needs of a run
    return folder / "model"


def load(path: Path) -> Any:
    """Load a saved model as MLflow's users do."""
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(str(path))


def save_packed(folder: Path, names: Sequence[str], classes: Sequence[str] = NAMES) -> tuple[Path, np.ndarray]:
    """Save a model of standardised, packed features; return its path and test examples as a person has them.

    Its weights are on the grid on which exact training leaves them; the stored examples lie in `folder`.
    """
    draw = np.random.default_rng(3)
    size = len(names) or 4
    train, test = (draw.normal([1, 500, -3, 0][:size], [0.01, 90, 1, 1e-6][:size], (rows, size)) for rows in (60, 20))
    packed = pack(Rows(((train, None),)), Rows(((test, None),)), folder, standardise=True)
    assert packed.standardisation is not None
    weight, scale = draw.normal(size=(len(classes), size)), np.array(packed.scale)
    drawn = Model({"weight": weight}, "made", tuple(classes), (size,), packed.scale)
    facts = {"class_names": classes, "feature_names": names, "standardise": asdict(packed.standardisation)}
    path = save(folder, drawn._scaled_weight * scale, None, (size,), scale.tolist(), None, **facts)
    return path, test


@pytest.fixture(scope="module")
def table_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """Return the path of a saved model of four named features, and raw test examples as a table, columns reversed."""
    path, test = save_packed(tmp_path_factory.mktemp("table"), COLUMNS)
    return path, pd.DataFrame(test, columns=list(COLUMNS))[[*COLUMNS[::-1]]]


@pytest.fixture(scope="module")
def embedding_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """Return the path of a saved model of four features without names, and raw test examples."""
    return save_packed(tmp_path_factory.mktemp("embeddings"), ())


@pytest.fixture(scope="module")
def colour_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a saved model of 2 x 2 pictures in colour."""
    return save(tmp_path_factory.mktemp("colour"), shape=(2, 2, 3))


@pytest.fixture(scope="module")
def image_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a saved model of 4 x 3 images and three classes."""
    return save(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def feature_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a saved model of two features, without a bias."""
    return save(tmp_path_factory.mktemp("features"), WEIGHT[:, :2].copy(), None, (2,), [16.0, 0.5])


def test_it_answers_raw_images_with_label_class_and_probabilities(image_model: Path) -> None:
    """Pixels are scaled by the description's scale; SciPy's softmax gives the same probabilities."""
    from mlflow.models import infer_signature

    model = load(image_model)
    answer = model.predict(IMAGES)
    expected = softmax(IMAGES.reshape(5, 12) / 255 @ WEIGHT.T.astype(np.float64) + BIAS, axis=1)
    assert list(answer.columns) == ["label", "class", *(f"P({name})" for name in NAMES)]
    # 1e-12: both are float64, a handful of roundings of 1e-16 apart
    np.testing.assert_allclose(answer.iloc[:, 2:].to_numpy(), expected, rtol=1e-12)
    assert list(answer["class"]) == list(expected.argmax(axis=1))
    assert list(answer["label"]) == [NAMES[k] for k in expected.argmax(axis=1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's hint that integer columns cannot hold gaps
        assert infer_signature(answer).inputs == model.metadata.get_output_schema()


def test_an_answer_does_not_depend_on_its_batch(image_model: Path) -> None:
    """One image alone gets the probabilities that it gets among others."""
    model = load(image_model)
    together, alone = model.predict(IMAGES), model.predict(IMAGES[3:4])
    np.testing.assert_allclose(together.iloc[3, 2:].astype(float), alone.iloc[0, 2:].astype(float), rtol=1e-12)


def test_large_logits_do_not_overflow(tmp_path: Path) -> None:
    """Logits of 1e6 give probabilities that sum to one."""
    answer = load(save(tmp_path, WEIGHT * 1e6, BIAS)).predict(IMAGES)
    np.testing.assert_allclose(answer.iloc[:, 2:].sum(axis=1), 1, rtol=1e-12)


def test_no_images_give_no_answers(image_model: Path) -> None:
    """An empty batch of the right shape is answered by an empty table."""
    assert len(load(image_model).predict(IMAGES[:0])) == 0


@pytest.mark.parametrize(
    ("examples", "said"),
    [
        (IMAGES[:, :3], r"does not match expected shape \(-1, 4, 3\)"),
        (IMAGES[0], r"does not match expected shape \(-1, 4, 3\)"),
        (IMAGES.reshape(5, 12), r"does not match expected shape \(-1, 4, 3\)"),
        (IMAGES / 255, "dtype of input float64 does not match expected dtype uint8"),
        (IMAGES.astype(np.int64), "dtype of input int64"),
        ((IMAGES > 254).astype(np.uint8), "no pixel is above 1; give pixels as stored, 0 to 255"),
    ],
    ids=["too few rows", "no batch axis", "flat", "floats", "integers", "scaled to 0..1 and cut off"],
)
def test_it_refuses_what_the_signature_does_not_say(image_model: Path, examples: np.ndarray, said: str) -> None:
    """Another shape or dtype, or pixels that were scaled already, are an error that says what to give."""
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match=said) as caught:
        load(image_model).predict(examples)
    assert caught.value.get_http_status_code() == 400


@pytest.mark.parametrize(
    ("examples", "said"),
    [
        (IMAGES[0], r"the input is uint8 \(4, 3\); give uint8 \(N, 4, 3\)"),
        (IMAGES / 255, r"the input is float64 \(5, 4, 3\); give uint8 \(N, 4, 3\)"),
        (IMAGES.tolist(), r"the input is list \(5, 4, 3\); give uint8 \(N, 4, 3\)"),
    ],
    ids=["no batch axis", "floats", "list"],
)
def test_it_refuses_the_same_without_the_signature(image_model: Path, examples: Any, said: str) -> None:
    """The model called directly, round MLflow's check, says in one line what it found and what to give."""
    with pytest.raises(Exception, match=f"^{said}$"):
        load(image_model).unwrap_python_model().predict(examples)


def test_a_black_image_is_an_image(image_model: Path) -> None:
    """Images of zeros alone get the answer of the bias; so does one among others."""
    answer = load(image_model).predict(IMAGES * 0)
    np.testing.assert_allclose(answer.iloc[:, 2:].to_numpy(), [softmax(BIAS.astype(np.float64))] * 5, rtol=1e-12)


def test_pictures_in_colour_have_three_channels(colour_model: Path) -> None:
    """(N, H, W, 3) of uint8 is answered as inside the package; grey pictures are refused."""
    from mlflow.exceptions import MlflowException

    model, pictures = load(colour_model), IMAGES.reshape(5, 2, 2, 3)
    inside = read_model(colour_model.parent).probabilities(pictures)
    # Inside, weights of float32 are rounded to 30 bits after the point, as those of exact training are.
    np.testing.assert_allclose(model.predict(pictures).iloc[:, 2:].to_numpy(), inside, rtol=1e-6)
    with pytest.raises(MlflowException, match=r"does not match expected shape \(-1, 2, 2, 3\)"):
        model.predict(pictures[..., 0])


def test_pixels_above_a_small_scale_are_refused(tmp_path: Path) -> None:
    """Where pixels go from 0 to 16, as in the digits, 255 is refused though uint8 can hold it."""
    model = load(save(tmp_path, scale=16.0))
    assert len(model.predict(IMAGES // 16)) == 5
    with pytest.raises(Exception, match=f"the input holds {IMAGES.max()}; give pixels of 0 to 16"):
        model.predict(IMAGES)


def test_features_are_taken_as_they_are_and_must_be_finite(feature_model: Path) -> None:
    """A model of two features takes float64 (N, 2), negative ones too, rounds them to their scale, and refuses NaN."""
    points = np.array([[1.5, -2.0], [0.0, 0.0], [1.51, -2.3]])
    answer = load(feature_model).predict(points)
    points[2] = [1.5, -2.0]  # the nearest sixteenth, the nearest even number
    expected = softmax(points @ WEIGHT[:, :2].T.astype(np.float64), axis=1)
    np.testing.assert_allclose(answer.iloc[:, 2:].to_numpy(), expected, rtol=1e-12)
    with pytest.raises(Exception, match="the input holds NaN or infinity; give finite numbers"):
        load(feature_model).predict(np.array([[np.nan, 0.0]]))


def test_a_table_is_answered_as_the_stored_examples_are(table_model: tuple[Path, pd.DataFrame]) -> None:
    """Raw columns, in any order and with others beside, get what evaluate finds of the same examples as stored."""
    path, table = table_model
    model = load(path)
    assert model.metadata.get_input_schema().input_names() == list(COLUMNS)
    answer = model.predict(table.assign(extra="x"))
    inside = read_model(path.parent).probabilities(npy.read(path.parent / "test-images.npy"))
    # Both sum the same numbers in float64; inside, exponentials are rounded to 48 bits after the point.
    np.testing.assert_allclose(answer.iloc[:, 2:].to_numpy(), inside, rtol=1e-12, atol=1e-14)
    assert list(answer["label"]) == [NAMES[k] for k in inside.argmax(axis=1)]
    assert len(model.predict(table.round().astype(np.int32))) == 20  # whole numbers are numbers, too


def test_features_without_names_are_an_array(embedding_model: tuple[Path, np.ndarray]) -> None:
    """Raw float64 (N, D) gets what evaluate finds of the same examples as stored; values out of range, the end."""
    path, raw = embedding_model
    model = load(path)
    inside = read_model(path.parent).probabilities(npy.read(path.parent / "test-images.npy"))
    np.testing.assert_allclose(model.predict(raw).iloc[:, 2:].to_numpy(), inside, rtol=1e-12, atol=1e-14)
    far = read_model(path.parent).probabilities(read_model(path.parent).stored(raw * 1e9))
    np.testing.assert_allclose(model.predict(raw * 1e9).iloc[:, 2:].to_numpy(), far, rtol=1e-12, atol=1e-14)


def test_of_many_classes_the_best_three_are_answered(tmp_path: Path) -> None:
    """With 1,000 classes an answer has three labels with their probabilities, as the signature says."""
    names = [f"kind {k}" for k in range(1000)]
    path, raw = save_packed(tmp_path, COLUMNS, names)
    model = load(path)
    answer = model.predict(pd.DataFrame(raw, columns=list(COLUMNS)))
    inside = read_model(tmp_path).probabilities(npy.read(tmp_path / "test-images.npy"))
    order = (-inside).argsort(axis=1)
    shown = ["label", "class", "probability", "label 2", "probability 2", "label 3", "probability 3"]
    assert list(answer.columns) == shown == model.metadata.get_output_schema().input_names()
    assert answer["class"].tolist() == order[:, 0].tolist()
    for place, end in enumerate(("", " 2", " 3")):
        assert list(answer[f"label{end}"]) == [names[k] for k in order[:, place]]
        best = np.take_along_axis(inside, order[:, place : place + 1], axis=1)[:, 0]
        np.testing.assert_allclose(answer[f"probability{end}"], best, rtol=1e-12, atol=1e-14)


def test_how_many_classes_are_few_is_known_alike() -> None:
    """The code that travels has the package's numbers."""
    source = Path(stage_logs._MODEL_CODE).read_text()
    assert f"FEW_CLASSES, BEST = {FEW_CLASSES}, {BEST}" in source


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.drop(columns="width in cm"), r"missing inputs \['width in cm'\]"),
        (lambda table: table.assign(length="x"), "Incompatible input types for column length"),
        (lambda table: table.assign(length=[1.0] * 19 + [np.nan]), "NaN or infinity in column length, row 20"),
        (lambda table: table.assign(length=np.inf), "NaN or infinity in column length, row 1; give finite numbers"),
    ],
    ids=["missing", "text", "NaN", "infinity"],
)
def test_it_refuses_a_table_that_does_not_fit(table_model: tuple[Path, pd.DataFrame], change: Any, said: str) -> None:
    """A missing column, text, a gap: the caller's mistake (400), which names the column."""
    from mlflow.exceptions import MlflowException

    path, table = table_model
    with pytest.raises(MlflowException, match=said) as caught:
        load(path).predict(change(table))
    assert caught.value.get_http_status_code() == 400


def test_it_refuses_the_same_tables_without_the_signature(table_model: tuple[Path, pd.DataFrame]) -> None:
    """The model called directly names the columns, too; one without names takes no table."""
    path, table = table_model
    model = load(path).unwrap_python_model()
    with pytest.raises(Exception, match="the input lacks the columns length"):
        model.predict(table.drop(columns="length"))
    with pytest.raises(Exception, match="the input holds no numbers: could not convert string to float: 'x'"):
        model.predict(table.assign(length="x"))
    assert len(model.predict(table)) == 20


def test_hidden_layers_are_followed_by_relu(tmp_path: Path) -> None:
    """A network of two hidden layers answers as the formula says, and as the model does inside the package."""
    draw = np.random.default_rng(2)
    first, second, last = (draw.normal(size=size).astype(np.float32) for size in ((7, 12), (5, 7), (3, 5)))
    bias = draw.normal(size=7).astype(np.float32)
    hidden = {"hidden.0.weight": first, "hidden.0.bias": bias, "hidden.1.weight": second}
    answer = load(save(tmp_path, last, hidden=hidden)).predict(IMAGES)
    inside = np.maximum(IMAGES.reshape(5, 12) / 255 @ first.T.astype(np.float64) + bias, 0)
    expected = softmax(np.maximum(inside @ second.T.astype(np.float64), 0) @ last.T.astype(np.float64) + BIAS, axis=1)
    probabilities = answer.iloc[:, 2:].to_numpy()
    np.testing.assert_allclose(probabilities, expected, rtol=1e-12)  # float64, sums of at most 12 terms
    # Inside, exponentials are rounded to 48 bits after the point.
    np.testing.assert_allclose(probabilities, read_model(tmp_path).probabilities(IMAGES), rtol=1e-12, atol=1e-14)


def test_mlflow_predict_runs_in_a_bare_environment(image_model: Path, tmp_path: Path) -> None:
    """`mlflow models predict` answers the saved example where neither this package nor torch can be imported."""
    blocked = "import sys; sys.modules.update(dict.fromkeys(['softmax_regression', 'torch']))"
    arguments = ["models", "predict", "-m", str(image_model), "--env-manager", "local"]
    arguments += ["-i", str(image_model / "serving_input_example.json"), "-o", str(tmp_path / "answer.json")]
    code = f"{blocked}; from mlflow.cli import cli; cli({arguments!r})"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=tmp_path)
    (answer,) = json.loads((tmp_path / "answer.json").read_text())["predictions"]
    ramp = np.linspace(0, 255, 12).astype(np.uint8)  # the saved example
    expected = softmax(ramp / 255 @ WEIGHT.T.astype(np.float64) + BIAS)
    assert answer["label"] == NAMES[int(expected.argmax())]
    assert answer["P(Bag)"] == pytest.approx(expected[2], rel=1e-12)


@contextmanager
def served(model: Path | str, project: Path | None = None) -> Iterator[str]:
    """Yield the address of `mlflow models serve`, started on a free port of this machine, in the folder `project`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(model)]
    command += ["--env-manager", "local", "-h", "127.0.0.1", "-p", str(port)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where uvicorn is
    process = subprocess.Popen(
        command,
        cwd=project or Path(model).parent,
        env=os.environ | {"PATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for _ in range(600):  # 60 s; 4 s on an idle machine
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=10).close()
                break
            except urllib.error.URLError:
                assert process.poll() is None, "the server has ended"
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # the server is a child of the command
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def server(image_model: Path) -> Iterator[str]:
    """Yield the address of a server of the model of images."""
    with served(image_model) as address:
        yield address


@pytest.fixture(scope="module")
def table_server(table_model: tuple[Path, pd.DataFrame]) -> Iterator[str]:
    """Yield the address of a server of the model of named features."""
    with served(table_model[0]) as address:
        yield address


def post(server: str, inputs: Any, key: str = "inputs") -> tuple[int, str]:
    """Send {"inputs": ...} to the server; return status and body."""
    return send(server, json.dumps({key: inputs}).encode(), "application/json")


def send(server: str, body: bytes, kind: str) -> tuple[int, str]:
    """Send a body of this content type; return status and body."""
    request = urllib.request.Request(f"{server}/invocations", body, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_the_server_answers_lists_of_whole_numbers(server: str, image_model: Path) -> None:
    """A JSON list of images gets, record by record, what the loaded model answers."""
    status, body = post(server, IMAGES.tolist())
    assert status == 200
    assert json.loads(body)["predictions"] == load(image_model).predict(IMAGES).to_dict(orient="records")


def with_pixel(value: Any) -> Any:
    """Return a batch of one image, as lists, whose first pixel is `value`."""
    inputs: Any = IMAGES[:1].tolist()
    inputs[0][0][0] = value
    return inputs


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (IMAGES[:, :3].tolist(), "does not match expected shape (-1, 4, 3)"),
        (IMAGES[0].tolist(), "does not match expected shape (-1, 4, 3)"),
        ([[[1, 2, 3], [4]]], "inhomogeneous"),
        ((IMAGES / 255).tolist(), "give pixels as stored, 0 to 255, not scaled to [0, 1]"),
        (with_pixel(256), "256 out of bounds for uint8"),
        (with_pixel(-1), "-1 out of bounds for uint8"),
        (with_pixel(float("nan")), "cannot convert float NaN"),
        (with_pixel(None), "NoneType"),
        (with_pixel("dark"), "'dark'"),
    ],
    ids=["rows", "no batch axis", "ragged", "scaled", "256", "negative", "NaN", "null", "text"],
)
def test_the_server_refuses_the_rest_with_400(server: str, inputs: Any, said: str) -> None:
    """What the signature does not say is the caller's mistake (400), never the server's (500), and is named."""
    status, body = post(server, inputs)
    assert status == 400
    assert said in json.loads(body)["message"]


NO_INPUTS = (
    b"",
    b"{",
    b"\xff",
    b"null",
    b"[]",
    b"{}",
    b"x" * 5_000_000,
    b'{"dataframe_split": 5}',
    b'{"inputs": 1e400}',
)


@pytest.mark.parametrize("body", [*NO_INPUTS, *(b'{"inputs": %b}' % text for text in (b"null", b"{}", b'"a"', b"[]"))])
def test_the_server_refuses_what_is_no_request_with_400(server: str, body: bytes) -> None:
    """Text that is cut off, no text, another form, megabytes: the server says so, and answers the next one."""
    status, said = send(server, body, "application/json")
    assert status == 400
    assert "Traceback" not in said
    assert post(server, IMAGES[:1].tolist())[0] == 200


@pytest.mark.parametrize("value", [0, 255, 0.0, 255.0])
def test_the_server_answers_a_black_image_and_a_white_one(server: str, value: float) -> None:
    """Zeros alone are an image, and so is the largest value alone, written as whole numbers or with a point."""
    assert post(server, np.full((1, 4, 3), value).tolist())[0] == 200


def test_the_server_answers_columns_by_their_names(table_server: str, table_model: tuple[Path, pd.DataFrame]) -> None:
    """Records, a split table and CSV, their columns in any order and whole numbers among them, get the same answers."""
    path, table = table_model
    table = table.assign(length=1, extra="x")
    wanted = load(path).predict(table.assign(length=1.0)).to_dict(orient="records")
    replies = [
        post(table_server, table.to_dict(orient="records"), "dataframe_records"),
        post(table_server, table.to_dict(orient="split"), "dataframe_split"),
        post(table_server, table.drop(columns="extra").to_dict(orient="list")),
        send(table_server, table.to_csv(index=False).encode(), "text/csv"),
    ]
    for status, body in replies:
        assert status == 200, body
        assert json.loads(body)["predictions"] == wanted


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"length": None}, "NaN or infinity in column length, row 1; give finite numbers"),
        ({"length": "long"}, "long"),
        ({"length": float("nan")}, "NaN or infinity in column length, row 1"),
    ],
    ids=["null", "text", "NaN"],
)
def test_the_server_refuses_rows_with_400(
    table_server: str, table_model: tuple[Path, pd.DataFrame], change: dict[str, Any], said: str
) -> None:
    """A gap or text in a feature is the caller's mistake, and is named."""
    record = table_model[1].iloc[0].to_dict() | change
    status, body = post(table_server, [record], "dataframe_records")
    assert status == 400
    assert said in json.loads(body)["message"]


def test_the_server_refuses_a_missing_column_with_400(
    table_server: str, table_model: tuple[Path, pd.DataFrame]
) -> None:
    """The column is named."""
    record = table_model[1].iloc[0].drop("length").to_dict()
    status, body = post(table_server, [record], "dataframe_records")
    assert status == 400
    assert "length" in json.loads(body)["message"]


@pytest.mark.slow
def test_a_server_of_embeddings_answers_arrays(embedding_model: tuple[Path, np.ndarray]) -> None:
    """{"inputs": (N, D)} gets what the loaded model answers; another length is refused with 400."""
    path, raw = embedding_model
    with served(path) as server:
        status, body = post(server, raw.tolist())
        assert (status, json.loads(body)["predictions"]) == (200, load(path).predict(raw).to_dict(orient="records"))
        assert post(server, raw[:, :3].tolist())[0] == 400


@pytest.mark.slow
def test_a_server_of_pictures_in_colour_answers_them(colour_model: Path) -> None:
    """{"inputs": (N, H, W, 3)} gets what the loaded model answers; grey pictures are refused with 400."""
    pictures = IMAGES.reshape(5, 2, 2, 3)
    with served(colour_model) as server:
        status, body = post(server, pictures.tolist())
        wanted = load(colour_model).predict(pictures).to_dict(orient="records")
        assert (status, json.loads(body)["predictions"]) == (200, wanted)
        assert post(server, pictures[..., 0].tolist())[0] == 400


@pytest.mark.slow
def test_a_server_of_the_champion_answers(store: RunStore, root: Path, tmp_path: Path) -> None:
    """`-m models:/NAME@champion` serves the champion's model where it is asked for in the project."""
    save(tmp_path)  # the files of a model beside the MLflow model
    run = store.start_run("a", "c", {})
    stage_logs._log_model(run, tmp_path)
    assert run.finish(), run.lost
    registry = Registry(store, "clothes")
    registry.crown(registry.register(run.run_id, {}))
    with served(registry.uri, root) as server:
        status, body = post(server, IMAGES.tolist())
    wanted = load(tmp_path / "model").predict(IMAGES).to_dict(orient="records")
    assert (status, json.loads(body)["predictions"]) == (200, wanted)
