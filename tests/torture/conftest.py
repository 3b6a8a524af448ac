"""The fork server, the project that worlds are copies of, and both stores: once a session, as each takes seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from torture.forkserver import fork_server
from torture.stores import Server, mlflow_server, why_no_postgresql
from torture.world import World, make_template


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run the fork server; the folder of its `python`, `dvc` and `mlflow`."""
    with fork_server(tmp_path_factory.mktemp("fork")) as folder:
        yield folder


@pytest.fixture(scope="session")
def template(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the project whose copies are tortured."""
    return make_template(programs, tmp_path_factory.mktemp("template") / "project")


@pytest.fixture(scope="session")
def postgresql_server(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run `mlflow server` on PostgreSQL."""
    if reason := why_no_postgresql():
        pytest.skip(reason)
    with mlflow_server(programs, tmp_path_factory.mktemp("server") / "mlflow") as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest) -> Server | None:
    """The store of a test, of each kind in turn: a server, or None for the project's own file."""
    return None if request.param == "sqlite" else request.getfixturevalue("postgresql_server")


@pytest.fixture
def make_world(programs: Path, template: Path, server: Server | None, tmp_path: Path) -> Iterator[Callable[[], World]]:
    """Return a maker of worlds, which end with the test."""
    worlds: list[World] = []

    def make() -> World:
        folder = tmp_path / f"world{len(worlds)}"
        folder.mkdir()
        worlds.append(World(programs, template, folder, server, Counter()))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


@pytest.fixture
def world(make_world: Callable[[], World]) -> World:
    """Return a world."""
    return make_world()
