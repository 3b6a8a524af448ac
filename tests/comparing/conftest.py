"""A project with made-up runs, once a module, and what most tests of comparing look at in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from filled_project import RATE_01, RATE_05, filled_project

from softmax_regression.comparing.compare import compare
from softmax_regression.comparing.comparison import Comparison
from softmax_regression.tracking.run_store import RunStore


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with runs."""
    return filled_project(tmp_path_factory.mktemp("comparing"))


@pytest.fixture(scope="module")
def store(root: Path) -> RunStore:
    """Its store."""
    return RunStore.open(root)


@pytest.fixture(scope="module")
def two(store: RunStore, root: Path) -> Comparison:
    """Learning rate 0.1 beside 0.5, three seeds of each in the store."""
    return compare(store, root, [RATE_01, RATE_05])
