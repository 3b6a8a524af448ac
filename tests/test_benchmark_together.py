"""The benchmark of several processes trains by the train stage itself; on small data its figure means nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks import large, together
from softmax_regression.data.datasets import load


@pytest.mark.slow  # two train stages
def test_one_process_is_timed_against_two() -> None:
    """A figure for each batch size; each run is a process of its own, and this one keeps its cores."""
    before = os.sched_getaffinity(0)
    (figure,) = together.of_processes(30000, 20, 5, (16,), repeats=1)
    assert float(figure.value) > 0
    assert "the same weights" in figure.detail
    assert os.sched_getaffinity(0) == before


def test_the_data_are_a_prepared_folder(tmp_path: Path) -> None:
    """The train stage reads what is made, and a changed report is seen."""
    large.make(tmp_path, 300, 20, 5)
    together.write_report(tmp_path)
    dataset = load(tmp_path, together.NAME)
    assert (len(dataset.train), dataset.example_shape, dataset.num_classes) == (300, (20,), 5)
    report = json.loads((tmp_path / "report.json").read_text())
    (tmp_path / "report.json").write_text(json.dumps(report | {"scale": [3.0] * 20}))
    with pytest.raises(ValueError, match="powers of two"):
        load(tmp_path, together.NAME)
