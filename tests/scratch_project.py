"""A scratch copy of this project: its own git repository, DVC and store, on the digits and a few epochs.

project = make_project(tmp_path / "project"); project.dvc("repro"); project.store().runs()
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from softmax_regression.tracking.client import Store
from softmax_regression.tracking.record import RunRecord

ROOT = Path(__file__).parents[1]
PARTS = (
    "src",
    "pipeline",
    "dvc.yaml",
    "params.yaml",
    ".dvc/config",
    ".dvc/.gitignore",
    ".dvc/plots",
    ".dvcignore",
    ".gitignore",
)


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

    def store(self) -> Store:
        """Open the local store."""
        return Store.open(self.root)

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
