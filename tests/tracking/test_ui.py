"""The UI opens on model training, with useful columns."""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import webbrowser
import zlib
from pathlib import Path
from typing import Any

import pytest

from softmax_regression.tracking import ui


def test_the_view_is_packed_as_the_ui_reads_it() -> None:
    """The tag holds a deflated state with columns, their order and widths; the link names the same view."""
    name, value = ui.view_tag()
    state = json.loads(zlib.decompress(base64.b64decode(json.loads(value)["state"].removeprefix("deflate;"))))
    assert state["selectedColumns"] == state["columnOrder"] == list(ui.COLUMNS)
    assert state["columnWidths"] == ui.COLUMNS
    assert "metrics.`final/test_accuracy`" in ui.COLUMNS
    assert len(value) < 5000  # what an experiment's tag holds
    assert name == f"mlflow.sharedViewState.{ui.VIEW}"
    assert ui.link("http://host/", "7") == (
        "http://host/#/experiments/7/runs?workflowType=machine_learning&viewStateShareKey=model-training"
    )


def test_each_chart_is_in_a_section_of_the_view() -> None:
    """Sections are in their order, closed where MLflow fills them; the first charts show train and test together."""
    _, value = ui.view_tag()
    state = json.loads(zlib.decompress(base64.b64decode(json.loads(value)["state"].removeprefix("deflate;"))))
    sections, charts = state["compareRunSections"], state["compareRunCharts"]
    assert [section["name"] for section in sections] == list(ui.SECTIONS)
    assert {chart["metricSectionId"] for chart in charts} == {one["uuid"] for one in sections if one["display"]}
    assert len({chart["uuid"] for chart in charts}) == len(charts)
    for figure, chart in zip(("loss", "accuracy"), charts, strict=False):
        assert chart["type"] == "LINE"
        assert {f"curves/train_{figure}", f"curves/test_{figure}"} <= set(chart["selectedMetricKeys"])
    assert state["isAccordionReordered"] is True


def test_a_runs_link_leads_to_model_training() -> None:
    """Without that word MLflow shows it among evaluation runs; an id cannot lead elsewhere."""
    link = ui.run_link("http://host/", "7", "r/1")
    assert link == "http://host/#/experiments/7/runs/r%2F1?workflowType=machine_learning"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", ["http://runs.localhost:5000", "http://127.0.0.1:5000"]),
        ("localhost", ["http://runs.localhost:5000", "http://localhost:5000"]),
        ("127.0.0.2", ["http://127.0.0.2:5000"]),  # the name stands for 127.0.0.1
        ("0.0.0.0", ["http://0.0.0.0:5000"]),
    ],
)
def test_this_machines_ui_has_a_name_under_which_the_panel_stays_closed(host: str, expected: list[str]) -> None:
    """The best address first; the plain one for a browser that does not know the name."""
    assert ui.addresses(host, 5000) == expected


@pytest.mark.parametrize(
    ("environment", "system", "expected"),
    [
        ({"DISPLAY": ":0"}, "linux", "name"),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", "name"),
        ({"DISPLAY": ":10", "SSH_CONNECTION": "a 1 b 2"}, "linux", "name"),  # a forwarded display
        ({"BROWSER": "open-at-home"}, "linux", "number"),
        ({}, "linux", None),
        ({"SSH_CONNECTION": "a 1 b 2"}, "linux", None),
        ({"CI": "true", "DISPLAY": ":0", "BROWSER": "x"}, "linux", None),
        ({}, "win32", "name"),
        ({}, "darwin", "number"),  # Safari knows no names below localhost
        ({"SSH_CONNECTION": "a 1 b 2"}, "darwin", None),
    ],
)
def test_a_browser_is_opened_where_somebody_sees_it(
    environment: dict[str, str], system: str, expected: str | None
) -> None:
    """Not in CI, nor without a display; under the name that this system's browser is sure to find."""
    assert ui.to_open(["name", "number"], environment, system) == expected
    assert ui.to_open(["only"], environment, system) == (expected and "only")


def test_the_browser_gets_the_chosen_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python's webbrowser opens it, once or not at all."""
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("BROWSER", "any")
    ui.open_in_browser(["name", "number"])
    monkeypatch.setenv("CI", "true")
    ui.open_in_browser(["name", "number"])
    assert opened == ["number"]


def test_the_view_is_always_the_same() -> None:
    """Opening a store again changes nothing in it."""
    assert ui.view_tag() == ui.view_tag()


def test_a_port_in_use_is_an_error_at_once(tmp_path: Path) -> None:
    """The UI is not started on a port that is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            RuntimeError, match=rf"port {port} of 127.0.0.1 is not available \(Address already in use\)"
        ):
            ui.serve("sqlite:///nowhere.db", tmp_path, "1", "127.0.0.1", port)


OTHERS = ("0.0.0.0", "192.168.0.7", "::", "host", "127.0.0.1.example.org", "localhost.example.org", "")


@pytest.mark.parametrize("host", OTHERS)
def test_others_reach_the_ui_only_where_a_person_says_so(tmp_path: Path, host: str) -> None:
    """It knows no passwords: an address that is not this machine's own is refused, with safe ways."""
    with pytest.raises(ValueError, match=rf"--host {re.escape(host)} .* `ssh -L 5000:127\.0\.0\.1:5000 .*--insecure"):
        ui.serve("sqlite:///nowhere.db", tmp_path, "1", host, 5000)


@pytest.mark.parametrize(
    ("host", "insecure", "allowed"),
    [
        ("127.0.0.1", False, "127.0.0.1,127.0.0.1:*,localhost,localhost:*,runs.localhost,runs.localhost:*"),
        ("127.0.0.2", False, "127.0.0.1,127.0.0.1:*,127.0.0.2,127.0.0.2:*,localhost,localhost:*"),
        ("localhost", False, "127.0.0.1,127.0.0.1:*,localhost,localhost:*,runs.localhost,runs.localhost:*"),
        ("0.0.0.0", True, None),  # any name of this machine: MLflow takes private addresses
    ],
)
def test_the_server_does_no_more_than_show_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, insecure: bool, allowed: str | None
) -> None:
    """It answers to the names in use alone, unpickles nothing, runs no jobs; what it writes is its owner's alone."""
    for name in ("ENABLE_JOB_EXECUTION", "ALLOWED_HOSTS", "CORS_ALLOWED_ORIGINS"):
        monkeypatch.delenv(f"MLFLOW_SERVER_{name}", raising=False)
    monkeypatch.delenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", raising=False)
    started: list[dict[str, Any]] = []

    def start(command: list[str], **settings: Any) -> None:
        started.append(settings)
        raise RuntimeError("not in a test")

    monkeypatch.setattr(subprocess, "Popen", start)
    with pytest.raises(RuntimeError, match="not in a test"):
        ui.serve("sqlite:///nowhere.db", tmp_path, "1", host, 0, insecure=insecure)
    (settings,) = started
    assert settings["env"]["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    assert settings["env"]["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert settings["env"].get("MLFLOW_SERVER_ALLOWED_HOSTS") == allowed
    origin = "http://runs.localhost:0" if allowed and "runs" in allowed else None
    assert settings["env"].get("MLFLOW_SERVER_CORS_ALLOWED_ORIGINS") == origin
    assert settings["umask"] == 0o077


def test_the_link_names_an_experiment_and_nothing_else() -> None:
    """An id is a server's: it cannot lead elsewhere."""
    assert "/experiments/%2F..%2F%3Fx%20%23/runs?" in ui.link("http://host", "/../?x #")
