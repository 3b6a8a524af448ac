"""The committed dvc.lock is of the committed code and params: a fresh clone finds nothing stale."""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from softmax_regression.files import md5_of, md5_of_folder, read_yaml

ROOT = Path(__file__).parents[1]
PIPELINE: dict[str, Any] = read_yaml((ROOT / "dvc.yaml").read_text(), "dvc.yaml")["stages"]
LOCKED: dict[str, Any] = read_yaml((ROOT / "dvc.lock").read_text(), "dvc.lock")["stages"]
PARAMS: dict[str, Any] = read_yaml((ROOT / "params.yaml").read_text(), "params.yaml")


@pytest.mark.parametrize("stage", PIPELINE)
def test_the_lock_has_the_code_of_each_stage(stage: str) -> None:
    """`dvc repro`, then commit dvc.lock, where this fails: the digests of code are those of the files here."""
    locked = {dep["path"]: dep["md5"] for dep in LOCKED[stage]["deps"]}
    assert set(locked) == set(PIPELINE[stage]["deps"])
    here = {path: ROOT / path for path in locked if path.startswith(("src/", "pipeline/"))}
    found = {name: md5_of_folder(path) if path.is_dir() else md5_of(path) for name, path in here.items()}
    assert found == {name: locked[name] for name in here}


@pytest.mark.parametrize("stage", PIPELINE)
def test_the_lock_has_the_params_of_each_stage(stage: str) -> None:
    """The values in dvc.lock are those of params.yaml, and the command is that of dvc.yaml."""
    locked = LOCKED[stage]["params"]["params.yaml"]
    assert locked == {key: reduce(lambda section, name: section[name], key.split("."), PARAMS) for key in locked}
    assert set(locked) == set(PIPELINE[stage]["params"])
    assert LOCKED[stage]["cmd"] == PIPELINE[stage]["cmd"]
