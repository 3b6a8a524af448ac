"""Training by several processes, over one: an epoch of embeddings, by the train stage itself, one thread a process."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import large, measuring
from benchmarks.measuring import Figure
from benchmarks.pipeline_speed import scratch_copy
from softmax_regression.data.datasets import FOLDER, PARTS, REPORT
from softmax_regression.files import read_yaml, sha256_of, write_atomically

NAME = "made"
_EPOCHS = 2  # what precedes the end of the first one is start-up, too


def of_processes(
    examples: int = 2_000_000,
    features: int = 512,
    classes: int = 100,
    batch_sizes: Sequence[int] = (256, 1024, 4096, 16384),
    processes: int = 2,
    repeats: int = 2,
) -> list[Figure]:
    """Seconds of an epoch by one process, over those by several, for each batch size; the quickest of `repeats`.

    An epoch holds what the stage does in it: its steps, the measuring of 1,000 test examples, a checkpoint. Raises
    RuntimeError where the weights differ.
    """
    figures = []
    with scratch_copy() as project:
        data = project / FOLDER
        data.mkdir(parents=True)
        large.make(data, examples, features, classes)
        write_report(data)
        for batch_size in batch_sizes:
            seconds: dict[int, float] = {}
            weights = set()
            for count in (1, processes) * repeats:
                found = _epoch(project, batch_size, count)
                seconds[count] = min(found, seconds.get(count, found))
                weights.add(sha256_of(project / "artifacts" / "train" / "model.safetensors"))
            if len(weights) > 1:
                raise RuntimeError(f"{processes} processes come to other weights than one, at batch size {batch_size}")
            detail = f"{seconds[1]:.1f} s over {seconds[processes]:.1f} s an epoch, one thread each, the same weights"
            what = f"{examples} x {features}, {classes} classes, batches of {batch_size}: 1 process over {processes}"
            ratio = f"{seconds[1] / seconds[processes]:.2f}"
            figures.append(Figure(what, ratio, f"none, {processes} is ideal", detail))
    return figures


def write_report(folder: Path) -> None:
    """Write the report that the download stage would leave beside the data of `large.make`."""
    dataset = large.made(folder)
    report: dict[str, Any] = {
        "name": NAME,
        "example_shape": dataset.example_shape,
        "scale": dataset.scale,
        "standardise": None,
        "class_names": dataset.class_names,
        "feature_names": [],
        "train": {"examples": len(dataset.train)},
        "test": {"examples": len(dataset.test)},
        "files": {part: {"sha256": sha256_of(folder / f"{part}.npy")} for part in PARTS},
    }
    write_atomically(folder / REPORT, json.dumps(report))


def _epoch(project: Path, batch_size: int, processes: int) -> float:
    """Return the seconds from the end of the first epoch to that of the second, of the train stage in `project`."""
    params = project / "params.yaml"
    values = read_yaml(params.read_text(), "params.yaml")
    values["data"] |= {"name": NAME, "validation_size": 0}
    values["train"] |= {"epochs": _EPOCHS, "batch_size": batch_size, "processes": processes}
    params.write_text(json.dumps(values))  # JSON is YAML
    with _cores(processes):
        said = measuring.run([sys.executable, "pipeline/train.py", str(FOLDER), "artifacts/train"], project)
    first, second = (float(seconds) for seconds in re.findall(rf"^epoch \d/{_EPOCHS} .*\(([\d.]+) s\)$", said, re.M))
    return second - first


@contextmanager
def _cores(count: int) -> Iterator[None]:
    """Within it this process, and those that it starts, have so many cores: so each of `count` takes one thread."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
