"""The UI opens on model training, with useful columns."""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
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
    assert name == f"mlflow.sharedViewState.{ui.VIEW}"
    assert ui.link("http://host/", "7") == (
        "http://host/#/experiments/7/runs?workflowType=machine_learning&viewStateShareKey=model-training"
    )


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
            ui.serve("sqlite:///nowhere.db", tmp_path, "link", "127.0.0.1", port)


OTHERS = ("0.0.0.0", "192.168.0.7", "::", "host", "127.0.0.1.example.org", "localhost.example.org", "")


@pytest.mark.parametrize("host", OTHERS)
def test_others_reach_the_ui_only_where_a_person_says_so(tmp_path: Path, host: str) -> None:
    """It knows no passwords: an address that is not this machine's own is refused, with safe ways."""
    with pytest.raises(ValueError, match=rf"--host {re.escape(host)} .* `ssh -L 5000:127\.0\.0\.1:5000 .*--insecure"):
        ui.serve("sqlite:///nowhere.db", tmp_path, "link", host, 5000)


@pytest.mark.parametrize(
    ("host", "insecure", "allowed"),
    [
        ("127.0.0.1", False, "127.0.0.1,127.0.0.1:*,localhost,localhost:*"),
        ("127.0.0.2", False, "127.0.0.1,127.0.0.1:*,127.0.0.2,127.0.0.2:*,localhost,localhost:*"),
        ("localhost", False, "127.0.0.1,127.0.0.1:*,localhost,localhost:*"),
        ("0.0.0.0", True, None),  # any name of this machine: MLflow takes private addresses
    ],
)
def test_the_server_does_no_more_than_show_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, insecure: bool, allowed: str | None
) -> None:
    """It answers to the names in use alone, unpickles nothing, runs no jobs; what it writes is its owner's alone."""
    for name in ("ALLOW_PICKLE_DESERIALIZATION", "SERVER_ENABLE_JOB_EXECUTION", "SERVER_ALLOWED_HOSTS"):
        monkeypatch.delenv(f"MLFLOW_{name}", raising=False)
    started: list[dict[str, Any]] = []

    def start(command: list[str], **settings: Any) -> None:
        started.append(settings)
        raise RuntimeError("not in a test")

    monkeypatch.setattr(subprocess, "Popen", start)
    with pytest.raises(RuntimeError, match="not in a test"):
        ui.serve("sqlite:///nowhere.db", tmp_path, "link", host, 0, insecure=insecure)
    (settings,) = started
    assert settings["env"]["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    assert settings["env"]["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert settings["env"].get("MLFLOW_SERVER_ALLOWED_HOSTS") == allowed
    assert settings["umask"] == 0o077


def test_the_link_names_an_experiment_and_nothing_else() -> None:
    """An id is a server's: it cannot lead elsewhere."""
    assert "/experiments/%2F..%2F%3Fx%20%23/runs?" in ui.link("http://host", "/../?x #")
