"""Surroundings that people have: a command works there, or ends with one line, and goes on when they are mended."""

from __future__ import annotations

import compileall
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_disk import FILLER, fill, tiny_disk
from torture.world import MATHEMATICS, World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
on_sqlite = pytest.mark.parametrize("server", ["sqlite"], indirect=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 32 MB, of which the project takes a quarter."""
    with tiny_disk(tmp_path / "disk", 2**25) as folder:
        yield folder


@pytest.fixture
def on_disk(programs: Path, template: Path, disk: Path) -> Iterator[World]:
    """Return a world on that disk."""
    (disk / "world").mkdir()
    world = World(programs, template, disk / "world", None, Counter())
    # As `make setup` does: on a full disk Python before 3.13.1 leaves cut-off bytecode, which it then cannot import.
    assert compileall.compile_dir(world.repository / "src", quiet=1)
    yield world
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    world.close()


def make_readonly(disk: Path) -> None:
    """Let nobody write there any more, root neither."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)


# It is full for the store, for evaluate's tables, for its pictures, for what DVC keeps and writes.
@pytest.mark.parametrize("leave", [30_000, 150_000, 400_000, 700_000])
def test_a_disk_that_fills_up(on_disk: World, disk: Path, leave: int) -> None:
    """One line that says so; with room made the pipeline goes on to one complete run.

    DVC may have cut off its own dvc.lock, and then stops without a word: `run` says what to do.
    """
    fill(disk, leave)
    text = on_disk.type("dvc", "repro", fails=True)
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    assert len(errors) < 2
    assert "disk is full" in text or "No space left on device" in text
    (disk / FILLER).unlink()
    if "failed to reproduce" in on_disk.type("dvc", "repro", fails=None):
        assert "`git checkout dvc.lock`" in on_disk.own("run", fails=True)
        on_disk.type("git", "checkout", "dvc.lock")
    on_disk.repro()
    on_disk.sync(doctor=True)
    assert len(on_disk.live()) == 1


def test_a_project_that_may_only_be_read(on_disk: World, disk: Path) -> None:
    """What only looks, works; what writes, says in a line that it cannot."""
    on_disk.repro()
    make_readonly(disk)
    for name in ("show", "leaderboard"):
        on_disk.own(name)
    for name in ("sync", "run"):
        text = on_disk.own(name, fails=True)
        assert "Read-only file system" in text
    assert "Read-only file system" in on_disk.type("dvc", "repro", "--force", fails=True)


@on_sqlite
@pytest.mark.parametrize(("name", "value"), [("HOME", None), ("HOME", "{disk}"), ("TMPDIR", "{disk}")])
def test_no_folder_of_ones_own(
    world: World, disk: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    """Without HOME, or where it or TMPDIR may only be read, all works."""
    make_readonly(disk)
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value.format(disk=disk))
    world.repro()
    world.sync(doctor=True)


@on_sqlite
def test_a_machine_without_git(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline and `sync` need none; the doctor misses it."""
    (tmp_path / "bin").mkdir()
    for folder in map(Path, os.environ["PATH"].split(os.pathsep)):
        for path in folder.glob("*"):
            if not path.name.startswith("git") and not (tmp_path / "bin" / path.name).exists():
                (tmp_path / "bin" / path.name).symlink_to(path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    world.repro()
    world.sync()
    assert "git: is not installed" in world.own("doctor", fails=True)


@on_sqlite
def test_a_clock_that_goes_back(world: World) -> None:
    """By an hour in the midst of a training, by two before it is repeated and predict runs: one run, and complete."""
    world.type("dvc", "repro", fails=None, fault="train.py kill-after 22")
    world.after_a_kill()
    world.type("dvc", "repro", fault="train.py clock-back 3600")
    world.sync(doctor=True)
    (run,) = world.live()
    world.comment(MATHEMATICS)
    world.type("dvc", "repro", fault="train.py clock-back 7200")
    world.set("predict.count", 4)
    world.type("dvc", "repro", fault="predict.py clock-back 7200")
    world.sync(doctor=True)
    assert [found.run_id for found in world.live()] == [run.run_id]
