"""Real SQLite stores for the tests of this folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from softmax_regression.tracking.run_store import RunStore


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No setting of the person who tests; what a test sets is taken back."""
    for name in ("URI", "USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "")
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return monkeypatch


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose store holds no run: made once (2 s), then copied; opening a copy corrects its paths."""
    root = tmp_path_factory.mktemp("empty") / "project"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
        RunStore.open(root)
    return root


@pytest.fixture
def root(empty: Path, tmp_path: Path, bare: pytest.MonkeyPatch) -> Path:
    """A project with an empty store."""
    return Path(shutil.copytree(empty, tmp_path / "project"))


@pytest.fixture
def store(root: Path) -> RunStore:
    """An empty store."""
    return RunStore.open(root)
