"""How things are timed: interleaved, as medians, in this process or in fresh ones; and what they ran on."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Figure:
    """One row of the table: the measured value beside its target, and in `detail` what was timed."""

    what: str
    value: str
    target: str
    detail: str


def interleaved(tasks: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Run the tasks in turn, `repeats` times, and return each one's median of seconds.

    In turn, so that a machine that slows down for a while slows all of them down.
    """
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats):
        for name, task in tasks.items():
            seconds[name].append(timed(task))
    return {name: statistics.median(values) for name, values in seconds.items()}


def timed(task: Callable[[], object]) -> float:
    """Return the seconds that one call takes."""
    started = time.perf_counter()
    task()
    return time.perf_counter() - started


def run(command: Sequence[str], folder: Path) -> str:
    """Run a command of this Python in `folder` with its src/ first in the path; return what it printed.

    Raises RuntimeError with its last lines when it fails.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "DVC_", "GIT_"))}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": "src",
    }
    for who in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{who}_NAME": "benchmark", f"GIT_{who}_EMAIL": "benchmark@localhost"}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {' '.join((result.stdout + result.stderr).split())[-600:]}")
    return result.stdout


def surroundings() -> dict[str, str]:
    """Return the hardware and the versions that the figures belong to."""
    cpu = [line.partition(":")[2].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    packages = ("torch", "pytorch-lightning", "torchvision", "numpy", "scikit-learn", "mlflow", "dvc")
    return {
        "processor": f"{cpu[0] if cpu else platform.processor()}, {os.cpu_count()} cores",
        "load before": f"{load:.1f}",
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in packages},
    }


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []
