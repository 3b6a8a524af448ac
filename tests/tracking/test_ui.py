"""The UI opens on model training, with useful columns."""

from __future__ import annotations

import base64
import json
import socket
import zlib
from pathlib import Path

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
