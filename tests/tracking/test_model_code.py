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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from scipy.special import softmax

from softmax_regression.artifacts.model import read_model
from softmax_regression.tracking import stage_logs
from softmax_regression.tracking.client import ModelParts

NAMES = ("T-shirt/top", "class", "Bag")  # one of them is also the name of a column
SHAPE = (4, 3)
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
) -> Path:
    """Save a model as the pipeline logs it and return its path."""
    tensors = {"weight": weight} | ({} if bias is None else {"bias": bias})
    save_file(tensors | dict(hidden or {}), folder / "model.safetensors")
    description = {"data": "made", "class_names": NAMES, "example_shape": shape, "scale": scale}
    (folder / "model.json").write_text(json.dumps(description))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's import, and its hint that integer columns cannot hold gaps
        stage_logs._log_model(SavedAsModel(folder), folder)  # type: ignore[arg-type]  # all that it needs of a run
    return folder / "model"


def load(path: Path) -> Any:
    """Load a saved model as MLflow's users do."""
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(str(path))


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
        ((IMAGES / 255).astype(np.uint8), "no pixel is above 1; give pixels as stored, 0 to 255"),
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


@pytest.fixture(scope="module")
def server(image_model: Path) -> Iterator[str]:
    """Yield the address of `mlflow models serve`, started on a free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(image_model)]
    command += ["--env-manager", "local", "-h", "127.0.0.1", "-p", str(port)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where uvicorn is
    process = subprocess.Popen(
        command,
        cwd=image_model.parent,
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


def post(server: str, inputs: Any) -> tuple[int, str]:
    """Send {"inputs": ...} to the server; return status and body."""
    body = json.dumps({"inputs": inputs}).encode()
    request = urllib.request.Request(f"{server}/invocations", body, {"Content-Type": "application/json"})
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
