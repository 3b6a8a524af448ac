"""The pipeline as people run it: cold, after an edit, after nothing; and a sweep against one run after the other."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import measuring, plain, training_speed
from benchmarks.measuring import ROOT, Figure
from softmax_regression.data.datasets import FOLDER

DVC = (sys.executable, "-m", "dvc")
EDITS = (  # what is edited, the lines of params.yaml before and after, the target
    ("a training param", "learning_rate: 0.1", "learning_rate: 0.2", "15 s"),
    ("a predict param", "count: 6", "count: 9", "6 s"),
    ("nothing", "", "", "2 s"),
)
SWEEP = (  # 64 configurations of ten epochs, as params.yaml has it
    "data.validation_size=5000",
    "optimizer.learning_rate=0.03,0.05,0.1,0.2,0.3,0.4,0.6,0.9",
    "optimizer.weight_decay=0,1e-5,1e-4,1e-3",
    "optimizer.schedule=constant,cosine",
)


@contextmanager
def scratch_copy() -> Iterator[Path]:
    """Yield a copy of the checkout, committed in a git of its own, without outputs, store or DVC cache."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, names.split("\0")):
            if (ROOT / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, copy / name)
        if (ROOT.parent / "shared").is_dir():  # where params.yaml looks for the published files first
            (copy.parent / "shared").symlink_to(ROOT.parent / "shared")
        for arguments in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "benchmark"]):
            measuring.run(["git", *arguments], copy)
        (copy / "dvc.lock").unlink(missing_ok=True)
        yield copy


def whole_pipeline(data: Path, raw_bytes: int) -> list[Figure]:
    """Cold and warm `dvc repro`, the train stage's memory, and the sweep, in one scratch copy."""
    with scratch_copy() as copy:
        minimal = measuring.timed(lambda: measuring.run([sys.executable, "-c", plain.MINIMAL_SCRIPT, str(data)], copy))
        cold = measuring.timed(lambda: measuring.run([*DVC, "repro"], copy))
        again = measuring.timed(lambda: measuring.run([sys.executable, "-c", plain.MINIMAL_SCRIPT, str(data)], copy))
        script = (minimal + again) / 2
        what, detail = "cold dvc repro over a minimal script", f"{cold:.1f} s over {script:.1f} s"
        figures = [Figure(what, f"{cold / script:.2f}", "at most 2.5", detail)]
        params = copy / "params.yaml"
        for name, before, after, target in EDITS:
            params.write_text(params.read_text().replace(before, after) if before else params.read_text())
            seconds = measuring.timed(lambda: measuring.run([*DVC, "repro"], copy))
            figures.append(Figure(f"dvc repro after editing {name}", f"{seconds:.1f} s", target, "once"))
        figures += training_speed.peak_memory(data, copy, raw_bytes)
        return figures + _sweep(copy, data)


def _sweep(copy: Path, data: Path) -> list[Figure]:
    """64 configurations, tracked, against 64 train stages, of which one is measured before and one after."""
    stage = [sys.executable, "pipeline/train.py", str(data), "artifacts/train"]
    command = [sys.executable, "-m", "softmax_regression.cli", "sweep", *SWEEP]
    if not (copy / FOLDER).exists():
        shutil.copytree(data, copy / FOLDER)
    first = measuring.timed(lambda: measuring.run(stage, copy))
    seconds = measuring.timed(lambda: measuring.run(command, copy))
    single = (first + measuring.timed(lambda: measuring.run(stage, copy))) / 2
    detail = f"64 of ten epochs, tracked; one train stage {single:.1f} s"
    return [
        Figure("sweep of 64 configurations", f"{seconds:.1f} s", "under 60 s", detail),
        Figure("64 train stages over the sweep", f"{64 * single / seconds:.0f}", "at least 20", "one stage times 64"),
    ]
