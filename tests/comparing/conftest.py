"""A project with made-up runs, once a module, and what most tests of comparing look at in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from filled_project import RATE_01, RATE_05, add_run, filled_project

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


@pytest.fixture(scope="session")
def six_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with six seeds of learning rates 0.1 and 0.5."""
    root = filled_project(tmp_path_factory.mktemp("six"))
    store = RunStore.open(root)
    more = {(0.1, 4): range(66), (0.1, 5): range(54), (0.5, 3): range(18), (0.5, 4): range(6), (0.5, 5): range(54, 84)}
    for (rate, seed), wrong in more.items():
        add_run(store, wrong, optimizer__learning_rate=rate, train__seed=seed)
    return root


@pytest.fixture(scope="session")
def six(six_root: Path) -> Comparison:
    """Learning rate 0.1 beside 0.5, the latter better by 16, 16, 16, 24, 20 and 8 points with seeds 0 to 5."""
    return compare(RunStore.open(six_root), six_root, [RATE_01, RATE_05])
