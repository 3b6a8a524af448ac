"""A stage, or `sync`, whose n-th change of a file fails, or kills it, is done again to the same bits, in one run.

A sample of all n: `make torture EVERY_CALL=1` takes each.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from torture.every_failure import make_scenes, strike

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler, which builds what fails a write"),
]


@pytest.fixture(scope="module")
def scenes(programs: Path, template: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Make the project as it is before each stage."""
    return make_scenes(programs, template, tmp_path_factory.mktemp("every") / "scenes")


@pytest.mark.parametrize(
    ("scene", "kind", "number"),
    [
        ("download", "kill-change", 20),
        ("train", "kill-change", 20),  # before the first epoch
        ("train", "kill-change", 110),  # while the model is logged
        ("evaluate", "kill-change", 126),  # between writing metrics.json and renaming it
        ("predict", "kill-change", 40),
        ("sync", "kill-change", 100),
        ("download", "fail-change", 10),
        ("train", "fail-change", 40),  # the checkpoint
        ("evaluate", "fail-change", 100),
        ("sync", "fail-change", 60),
        ("train", "full-disk", 60),
        ("predict", "full-disk", 20),
    ],
)
def test_a_failed_change_does_no_harm(
    programs: Path, scenes: dict[str, Path], scene: str, kind: str, number: int
) -> None:
    """A kill, an error of the disk (EIO) or a full one (ENOSPC): at most one line of error, and nothing half-done."""
    assert strike(programs, scenes, scene, kind, [number]) == (1, [])
