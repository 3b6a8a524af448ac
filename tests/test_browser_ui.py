"""The MLflow UI in a real browser, on a store of real runs: what a person sees after the first `make ui`."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import small_data

from softmax_regression.artifacts.experiment import describe
from softmax_regression.artifacts.outcome import read_trained, write_outcome
from softmax_regression.data.datasets import Dataset
from softmax_regression.evaluation.evaluation import evaluate, write_evaluation, write_pictures
from softmax_regression.evaluation.prediction import write_predictions
from softmax_regression.evaluation.training_pictures import write_training_pictures
from softmax_regression.lineage.provenance import config_key
from softmax_regression.params import load_params
from softmax_regression.tracking import stage_logs
from softmax_regression.tracking.run_store import RunStore
from softmax_regression.training.solving import solve

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[1]
PARAMS = load_params(ROOT / "params.yaml")
DATASET = Dataset(
    "small",
    ("cat", "dog", "owl"),
    255,
    small_data.make_examples(90, (8, 8), 3, seed=1),
    small_data.make_examples(60, (8, 8), 3, seed=2),
    {
        "scale": 255,
        "standardise": None,
        "train": {"examples": 90},
        "test": {"examples": 60},
        "files": {part: {"sha256": "0" * 64} for part in ("train-images", "test-images")},
    },
)


def record_run(store: RunStore, folder: Path, learning_rate: float) -> str:
    """Train, evaluate and predict on small images, and record all of it as the stages do; return the run's id."""
    data = PARAMS.data.model_copy(update={"name": "small"})
    optimizer = PARAMS.optimizer.model_copy(update={"learning_rate": learning_rate})
    train = PARAMS.train.model_copy(update={"solver": "full_batch_numpy", "epochs": 5})
    experiment = describe(data, PARAMS.model, optimizer, train, DATASET.report)
    name = f"small lr{learning_rate:g}"
    run = store.start_run(name, config_key(experiment), stage_logs.run_params(experiment))
    outcome = solve(DATASET, 0, PARAMS.model, optimizer, train, on_epoch=lambda history: None, checkpoint=None)
    finished = write_outcome(folder / "train", outcome, experiment, DATASET)
    stage_logs.log_training(run, folder / "train")
    run.finish("FINISHED", key=finished.key)

    run = store.continue_run(run.run_id)
    trained = read_trained(folder / "train")
    found = evaluate(trained, DATASET.test, PARAMS.evaluate)
    write_evaluation(folder / "evaluate", found, trained.model.class_names)
    write_pictures(folder / "figures", found.answers, trained.model, DATASET.test)
    write_training_pictures(folder / "figures", trained)
    stage_logs.log_output(run, folder / "evaluate")
    stage_logs.log_output(run, folder / "figures")
    write_predictions(folder / "predict", trained.model, DATASET.test, 6)
    stage_logs.log_output(run, folder / "predict")
    assert run.finish()
    return run.run_id


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Make a project with two finished runs; return it and their ids."""
    root = tmp_path_factory.mktemp("ui")
    (root / "dvc.yaml").write_text("")
    store = RunStore.open(root)
    return root, [record_run(store, root / str(rate), rate) for rate in (0.1, 0.5)]


@pytest.fixture(scope="module")
def link(project: tuple[Path, list[str]]) -> Iterator[str]:
    """Serve the UI as `make ui` does and return the link that it prints."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"DVC_ROOT": str(project[0]), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "softmax_regression.cli", "ui", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\S+", server.stdout.readline())
        assert found
        yield found.group()
        server.send_signal(signal.SIGINT)


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page of a browser that has never seen MLflow."""
    context = browser.new_context(viewport={"width": 1600, "height": 3000})
    opened = context.new_page()
    opened.set_default_timeout(60_000)  # ms; the UI's first start on a busy machine
    yield opened
    context.close()


def test_the_link_shows_the_runs_with_columns_that_matter(page: Any, link: str) -> None:
    """No GenAI view and no modal: run names, test accuracy and learning rate are there at once."""
    page.goto(link)
    for words in ("small lr0.1", "small lr0.5", "final/test_accuracy"):
        page.get_by_text(words, exact=True).first.wait_for()
    assert page.get_by_role("dialog").count() == 0


def test_the_charts_draw_the_curves_of_several_runs(page: Any, link: str) -> None:
    """The chart view has a section of curves, above the final figures."""
    page.goto(link.replace("/runs?", "/runs?compareRunsMode=CHART&"))
    tops = []
    for section in ("curves", "final"):
        heading = page.get_by_text(section, exact=True).first
        heading.wait_for()
        tops.append(heading.bounding_box()["y"])
    assert tops[0] < tops[1]
    page.get_by_text("small lr0.5", exact=False).first.wait_for()


def test_a_runs_page_shows_its_headline_and_its_grid(page: Any, link: str, project: tuple[Path, list[str]]) -> None:
    """The description on the run's page has the accuracy with its interval and the grid, which has loaded."""
    base, experiment = re.match(r"(http://[^/]+)/#/experiments/(\d+)/", link).groups()  # type: ignore[union-attr]
    page.goto(f"{base}/#/experiments/{experiment}/runs/{project[1][0]}?workflowType=machine_learning")
    page.get_by_text("95% interval", exact=False).first.wait_for()
    page.wait_for_function(
        "[...document.images].some(i => i.src.includes('predictions%2Ffirst.png') && i.naturalWidth > 0)"
    )


def test_the_weights_can_be_scrubbed_by_step(page: Any, link: str, project: tuple[Path, list[str]]) -> None:
    """The run's pictures of the weights are an image series with a slider over the epochs."""
    base, experiment = re.match(r"(http://[^/]+)/#/experiments/(\d+)/", link).groups()  # type: ignore[union-attr]
    run = project[1][1]
    page.goto(f"{base}/#/experiments/{experiment}/runs/{run}/model-metrics?workflowType=machine_learning")
    page.get_by_text("weights", exact=True).first.wait_for()
    page.get_by_role("slider").first.wait_for()
