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

from softmax_regression.artifacts.experiment import describe, experiment_name
from softmax_regression.artifacts.outcome import read_trained, write_outcome
from softmax_regression.data.datasets import Dataset
from softmax_regression.evaluation.evaluation import evaluate, write_evaluation, write_pictures
from softmax_regression.evaluation.prediction import write_predictions
from softmax_regression.evaluation.training_pictures import write_training_pictures
from softmax_regression.lineage.provenance import config_key
from softmax_regression.params import load_params
from softmax_regression.tracking import stage_logs, ui
from softmax_regression.tracking.run_store import RunStore
from softmax_regression.training.solving import solve

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[1]
PARAMS = load_params(ROOT / "params.yaml")
SEEN = ("final/test_accuracy", "final/test_loss", "optimizer.learning_rate")  # MLflow shows no column without a value
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
    train = PARAMS.train.model_copy(update={"solver": "full_batch_numpy"})
    experiment = describe(data, PARAMS.model, optimizer, train, DATASET.report)
    run = store.start_run(experiment_name(experiment.params), config_key(experiment), stage_logs.run_params(experiment))
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
    """Serve the UI as `make ui` does and return the link that it prints, the best of two."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"DVC_ROOT": str(project[0]), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "softmax_regression.cli", "ui", "--no-browser", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        found = re.search(r"http://runs\.localhost:\S+", server.stdout.readline())
        assert found
        yield found.group()
        server.send_signal(signal.SIGINT)


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page of a browser that has never seen MLflow, as wide as a small laptop's."""
    context = browser.new_context(viewport={"width": 1280, "height": 1800})
    opened = context.new_page()
    opened.set_default_timeout(60_000)  # ms; the UI's first start on a busy machine
    yield opened
    context.close()


def run_page(link: str, run_id: str) -> str:
    """Return the address of a run's page as `make run` prints it."""
    base, experiment = re.match(r"(http://[^/]+)/#/experiments/(\d+)/", link).groups()  # type: ignore[union-attr]
    return ui.run_link(base, experiment, run_id)


def test_the_link_shows_the_runs_with_columns_that_matter(page: Any, link: str) -> None:
    """No GenAI view, no dialog, no panel: names, accuracies, test loss and rate side by side, none of them cut."""
    page.goto(link)
    for rate in (0.1, 0.5):
        page.get_by_text(f"small_full_batch_numpy_lr{rate}_s0", exact=True).first.wait_for()
    ends = 0.0  # of the column before, in pixels
    for column in SEEN:
        heading = page.get_by_text(column, exact=True).first
        heading.wait_for()
        box = heading.bounding_box()
        assert box["x"] > ends, column
        ends = box["x"] + box["width"]
    table = page.get_by_role("grid").first.bounding_box()
    assert ends < table["x"] + table["width"] <= 1280
    assert page.get_by_role("dialog").count() == 0
    assert page.get_by_text("MLflow Assistant").count() == 0


def test_the_charts_begin_with_train_and_test_together(page: Any, link: str) -> None:
    """Loss and accuracy by epoch, a chart each with both lines; the rate and single figures are folded away."""
    page.goto(link.replace("/runs?", "/runs?compareRunsMode=CHART&"))
    for figure in ("loss", "accuracy"):
        page.get_by_text(f"curves/train_{figure} vs curves/test_{figure}", exact=False).first.wait_for()
        for part in ("train", "test"):  # in the legend
            page.get_by_text(f"(curves/{part}_{figure})", exact=False).first.wait_for()
    tops = []
    for section in ui.SECTIONS:
        heading = page.get_by_text(section, exact=True).first
        heading.wait_for()
        tops.append(heading.bounding_box()["y"])
    assert tops == sorted(tops)
    assert page.get_by_text("schedule/learning_rate", exact=False).count() == 0
    assert page.get_by_text("final/train_loss", exact=False).count() == 0


def test_the_charts_show_the_weights_by_epoch(page: Any, link: str) -> None:
    """The picture of an epoch of each run, which has loaded, above a slider."""
    page.goto(link.replace("/runs?", "/runs?compareRunsMode=CHART&"))
    page.get_by_role("slider").first.wait_for()
    page.wait_for_function(
        "[...document.images].filter(i => i.src.includes('weights') && i.naturalWidth > 0"
        " && i.getBoundingClientRect().width > 100).length >= 2"
    )


def test_a_runs_page_shows_its_headline_and_its_grid(page: Any, link: str, project: tuple[Path, list[str]]) -> None:
    """The description on the run's page has the accuracy with its interval, above all tags, and the grid."""
    page.goto(run_page(link, project[1][0]))
    headline = page.get_by_text("95% interval", exact=False).first
    headline.wait_for()
    assert headline.bounding_box()["y"] < 300
    page.wait_for_function(
        "[...document.images].some(i => i.src.includes('predictions%2Ffirst.png') && i.naturalWidth > 0)"
    )


def test_a_runs_metrics_begin_with_its_curves(page: Any, link: str, project: tuple[Path, list[str]]) -> None:
    """There MLflow draws one chart a metric, by name: the learning rate comes after curves and final figures."""
    page.goto(run_page(link, project[1][1]).replace("?", "/model-metrics?"))
    tops = []
    for section in ("curves", "final", "schedule"):
        heading = page.get_by_text(section, exact=True).first
        heading.wait_for()
        tops.append(heading.bounding_box()["y"])
    assert tops == sorted(tops)


def test_models_are_named_after_their_runs(page: Any, link: str) -> None:
    """On the Models page one is told from another; MLflow takes no points in their names."""
    page.goto(link.replace("/runs?", "/models?"))
    for rate in ("0,1", "0,5"):
        page.get_by_text(f"small_full_batch_numpy_lr{rate}_s0", exact=True).first.wait_for()
