"""Every change of a file and every call of the store fails once, one after the other, as SQLite is tested.

A scene is the project as it is before a stage, or before `sync` into an empty store. In a copy of it the command runs
under a fault at its n-th change, then again without, then `sync`: n = 1, 2, ... until no fault strikes any more.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from torture import faults
from torture.stores import Server
from torture.world import OWN, World

STAGES = ("download", "train", "evaluate", "predict")
SCENES = (*STAGES, "sync")
KINDS = (*faults.CHANGES, "kill-after", "lose")
DONE = "done"
EPOCH = re.compile(r"^epoch (\d+)/", re.MULTILINE)


def make_scenes(programs: Path, template: Path, folder: Path) -> dict[str, Path]:
    """Return the project as it is in each scene, and when all is done."""
    folder.mkdir()
    scenes = {"download": shutil.copytree(template, folder / "download", symlinks=True), "train": template}
    for name in ("data/prepared", ".dvc/cache"):
        shutil.rmtree(scenes["download"] / name)
    world = World(programs, template, folder, None, Counter())
    for stage, following in (("train", "evaluate"), ("evaluate", "predict"), ("predict", DONE)):
        world.type("dvc", "repro", stage)
        scenes[following] = shutil.copytree(world.root, folder / following, symlinks=True)
    scenes["sync"] = shutil.copytree(world.root, folder / "sync", symlinks=True)
    shutil.rmtree(scenes["sync"] / "mlruns")
    shutil.copytree(template / "mlruns", scenes["sync"] / "mlruns")
    shutil.copy(template / "mlflow.db", scenes["sync"])
    return scenes


def under(world: World, scene: str, fault: str) -> str:
    """Run the scene's program under a fault; return what it prints. It ends well, or with one line of error."""
    program = (*OWN, "sync") if scene == "sync" else ("python", *_script(world, scene))
    text = world.type(*program, fails=None, fault=f"{scene if scene == 'sync' else Path(program[1]).name} {fault}")
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    world.check(len(errors) < 2, f"more than one line of error:\n{text}")
    return text


def recover(world: World, scene: str, before: str, done: Path) -> None:
    """Let DVC run the stage, and sync: the bits of `done`, in one complete run, and nothing half-written.

    An epoch that was told `before` is not trained again, unless the run is complete.
    """
    world.after_a_kill()
    _age(world.root)
    told = set() if world.live() else set(EPOCH.findall(before))
    if scene != "sync":
        again = told & set(EPOCH.findall(world.type("dvc", "repro", scene)))
        world.check(not again, f"the epochs {again} were told, and are trained again")
    world.own("sync")
    runs = world.check_synced()
    live = world.live()
    world.check(len(live) == (scene != "download"), f"{len(live)} live runs")
    world.check(all(run.live or run.repeats for run in runs.values()), "a run is neither live nor a repetition")
    for path in sorted(done.glob("artifacts/*/**/*")):
        own = world.root / path.relative_to(done)
        if own.parent.is_dir() and path.is_file():
            world.check(own.is_file() and own.read_bytes() == path.read_bytes(), f"{own.name} has other bits")
    world.check(not _begun(world.root), f"half-written files are left behind: {_begun(world.root)}")


def _begun(root: Path) -> list[Path]:
    """Return the files beside the outputs that a killed process had begun to write."""
    return [path for path in root.glob(".*") if re.search(r"[.][0-9a-f]{32}[.]", path.name)]


def _age(root: Path) -> None:
    """Let them lie for two hours."""
    for path in _begun(root):
        os.utime(path, (time.time() - 7200, time.time() - 7200))


def _script(world: World, stage: str) -> list[str]:
    """Return the arguments of Python with which DVC runs a stage."""
    from ruamel.yaml import YAML

    command = YAML(typ="safe").load(world.root / "dvc.yaml")["stages"][stage]["cmd"]
    return str(command).partition(" python ")[2].split()


def strike(
    programs: Path, scenes: dict[str, Path], scene: str, kind: str, numbers: Iterable[int], server: Server | None = None
) -> tuple[int, list[str]]:
    """Let the n-th change or call of a scene fail for each n of `numbers`; return how many struck, what was broken.

    It ends with the first n that strikes nothing.
    """
    count, broken = 0, []
    for number in numbers:
        world = World(programs, scenes[scene], Path(tempfile.mkdtemp(prefix="torture-")), server, Counter())
        try:
            before = under(world, scene, f"{kind} {number}")
            if faults.STRUCK not in before:
                break
            count += 1
            recover(world, scene, before, scenes[DONE])
        except (AssertionError, subprocess.TimeoutExpired) as violation:
            broken.append(f"{scene} {kind} {number}: {violation}")
        finally:
            world.close()
    return count, broken
