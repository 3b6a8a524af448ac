"""The parity table as a command: on the params' data set, in a project of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from softmax_regression.commands.parity import parity_report
from softmax_regression.download.prepare import download

COMMITTED = Path(__file__).parents[2] / "params.yaml"


@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-10), ("float32", 1e-4)])
def test_the_table_shows_that_both_agree(tmp_path: Path, dtype: str, bound: float) -> None:
    """Digits with momentum, two epochs: a row an epoch, weights apart by rounding only, equal accuracies."""
    params = yaml.safe_load(COMMITTED.read_text())
    params["data"]["name"] = "digits"
    params["optimizer"].update(momentum=0.9, nesterov=True, schedule="cosine")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    download("digits", tmp_path / "data" / "digits", sources=[], root=tmp_path, timeout=1, settings={})
    heading, *rows = parity_report(tmp_path, dtype, 2, log=False).splitlines()
    assert heading.split()[:3] == ["epoch", "weight", "difference"]
    assert len(rows) == 2
    for row in rows:
        _, weight_difference, _, first, second = row.split()
        assert float(weight_difference) < bound  # 12 steps; float32 rounding grows with each
        assert first == second
