"""A scratch copy of this project: its own git repository, DVC and store, on the digits and a few epochs.

    project = make_project(tmp_path / "project"); project.dvc("repro"); project.store().runs()

Where no stage need run: write_training(root / "artifacts/train"); write_lock(root); commit(root).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import small_data

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.artifacts.outcome import Epoch, History, Outcome, write_outcome
from softmax_regression.data.datasets import Dataset, HeldOut
from softmax_regression.files import md5_of, md5_of_folder
from softmax_regression.tracking.record import RunRecord
from softmax_regression.tracking.run_store import RunStore

ROOT = Path(__file__).parents[1]
PARTS = (
    "src",
    "pipeline",
    "datasets/README.md",
    "dvc.yaml",
    "params.yaml",
    ".dvc/config",
    ".dvc/.gitignore",
    ".dvc/plots",
    ".dvcignore",
    ".gitignore",
)
# Params of a training whose outputs are made up.
PARAMS: dict[str, object] = {
    "data.name": "small",
    "model.implementation": "exact",
    "optimizer.learning_rate": 0.1,
    "optimizer.momentum": 0.0,
    "optimizer.nesterov": False,
    "optimizer.schedule": "constant",
    "optimizer.warmup_epochs": 0,
    "optimizer.weight_decay": 0.0,
    "train.batch_size": 256,
    "train.epochs": 2,
    "train.seed": 0,
    "train.solver": "sgd",
}
DATA = {"train-images": "a" * 64, "test-images": "b" * 64}
CURVES = (Epoch(1, 1.0, 0.5, 1.1, 0.4, 0.1), Epoch(2, 0.5, 0.75, 0.6, 0.7, 0.1))


@dataclass
class Project:
    """A project's folder; `environment` is added to that of the commands."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def call(self, *command: str, fails: bool = False) -> str:
        """Run a command in the project; return what it prints on both streams."""
        done = subprocess.run(command, cwd=self.root, env=self.variables(), text=True, capture_output=True, timeout=160)
        text = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, text
        return text

    def variables(self) -> dict[str, str]:
        """Return the environment of the commands: this Python first, nothing of the person who runs the tests."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DVC_", "MLFLOW_", "GIT_", "COV_"))
        }
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**kept, "PATH": path, "PYTHONPATH": "src", "PYTHONWARNINGS": "ignore", **self.environment}

    def dvc(self, *arguments: str, fails: bool = False) -> str:
        """Run DVC."""
        return self.call(sys.executable, "-m", "dvc", *arguments, fails=fails)

    def git(self, *arguments: str) -> str:
        """Run git."""
        return self.call("git", *arguments)

    def own(self, *arguments: str, fails: bool = False) -> str:
        """Run our console script."""
        return self.call(sys.executable, "-m", "softmax_regression.cli", *arguments, fails=fails)

    def set(self, old: str, new: str) -> None:
        """Edit params.yaml."""
        path = self.root / "params.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def commit(self) -> str:
        """Commit everything; return the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "next")
        return self.git("rev-parse", "HEAD").strip()

    def store(self) -> RunStore:
        """Open the local store."""
        return RunStore.open(self.root)

    def runs(self) -> list[RunRecord]:
        """Return the runs of the local store, oldest first."""
        return self.store().runs()[::-1]

    def weights(self) -> bytes:
        """Return the trained weights."""
        return (self.root / "artifacts/train/model.safetensors").read_bytes()


def make_project(root: Path, epochs: int = 3) -> Project:
    """Copy the project's tracked parts into `root`, on the digits, with one commit."""
    for name in PARTS:
        source, target = ROOT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, target)
    project = Project(root)
    project.set("name: fashion_mnist", "name: digits")
    project.set("epochs: 10", f"epochs: {epochs}")
    project.call("git", "init", "--quiet", "--initial-branch=main")
    project.git("config", "user.name", "a")
    project.git("config", "user.email", "a@b.c")
    project.commit()
    return project


def write_training(
    folder: Path, weight: float = 1.0, held_out: HeldOut = "test", epochs: Sequence[Epoch] = CURVES, **changes: object
) -> Experiment:
    """Write made-up outputs of a training of PARAMS with `changes` ('__' stands for the point): 8x8 images, 2 classes.

    The model calls an image "bright" where the sum of its pixels is above 10 scales / `weight`, else "dark".
    """
    params = PARAMS | {name.replace("__", "."): value for name, value in changes.items()}
    train, test = (small_data.make_examples(size, (8, 8), 2, seed=size) for size in (6, 4))
    report = {"train": {"examples": 6}, "test": {"examples": 4}}
    dataset = Dataset(str(params["data.name"]), ("dark", "bright"), 16, train, test, report)
    rows = np.stack([np.zeros(64), np.full(64, weight)]).astype(np.float32)
    tensors = {"weight": rows, "bias": np.array([10, 0], np.float32)}
    outcome = Outcome(tensors, History(held_out, tuple(epochs)), {0: rows * 0, len(epochs): rows})
    return write_outcome(folder, outcome, Experiment(params, DATA), dataset)


def write_lock(root: Path) -> None:
    """Let DVC know the folders artifacts/<stage> as outputs of stages that ran just now: pipeline, lock and cache.

    metrics.json, where it is there, is one of evaluate's. A stage after train depends on artifacts/train, as in the
    real pipeline. No DVC is started: that takes seconds.
    """
    stages: dict[str, Any] = {}
    locked: dict[str, Any] = {}
    for folder in sorted(root.glob("artifacts/*"), key=lambda path: path.name != "train"):
        deps = [] if folder.name == "train" else ["artifacts/train"]
        path = f"artifacts/{folder.name}"
        stages[folder.name] = {"cmd": "true", "deps": deps, "outs": [path]}
        locked[folder.name] = {
            "cmd": "true",
            "deps": [{"path": dep, "hash": "md5", "md5": md5_of_folder(root / dep)} for dep in deps],
            "outs": [{"path": path, "hash": "md5", "md5": md5_of_folder(folder)}],
        }
        _cache(root, folder)
    if (metrics := root / "metrics.json").is_file():
        stages["evaluate"]["metrics"] = [{"metrics.json": {"cache": False}}]
        locked["evaluate"]["outs"].append({"path": "metrics.json", "hash": "md5", "md5": md5_of(metrics)})
    (root / ".dvc" / "config").touch()
    (root / ".gitignore").write_text("artifacts/\ndata/\nmlflow.db*\nmlruns/\ncheckpoints/\n.dvc/cache\n.dvc/tmp\n")
    (root / "dvc.yaml").write_text(json.dumps({"stages": stages}))  # JSON is YAML, too
    (root / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": locked}))


def commit(root: Path, message: str = "next") -> str:
    """Commit what is in `root`, as somebody, in a repository that is made if there is none; return the commit."""
    if not (root / ".git").is_dir():
        git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", message)
    return git(root, "rev-parse", "HEAD")


def git(root: Path, *arguments: str) -> str:
    """Run git in `root` as somebody; return what it prints."""
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def _cache(root: Path, folder: Path) -> None:
    """Put a folder into DVC's cache: its files, and the list of them, each under its digest."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    listed = json.dumps([{"md5": md5_of(files[name]), "relpath": name} for name in sorted(files)])
    contents = [(md5_of(path), path.read_bytes()) for path in files.values()]
    for digest, content in [(md5_of_folder(folder), listed.encode()), *contents]:
        place = root / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
