"""What runs on other people's machines: the workflow does what `.ci/run` does, the container what the README says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
REQUIRES = SpecifierSet(
    re.findall(r'^requires-python = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[0]
)


def test_the_workflow_runs_the_one_script() -> None:
    """On the oldest Python that the package allows and on a newer one, with pip's downloads kept."""
    (job,) = WORKFLOW["jobs"].values()
    oldest, *newer = job["strategy"]["matrix"]["python"]
    assert newer
    assert oldest in REQUIRES
    assert str(REQUIRES) == f">={oldest}"
    (setup,) = (step["with"] for step in job["steps"] if "setup-python" in step.get("uses", ""))
    assert setup["python-version"] == "${{ matrix.python }}"
    assert setup["cache"] == "pip"
    assert (ROOT / setup["cache-dependency-path"]).is_file()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"]


def test_the_script_runs_the_readmes_commands() -> None:
    """`make check`, and `make run`, after which nothing that is committed has changed."""
    lines = (ROOT / ".ci/run").read_text().splitlines()
    places = [lines.index(command) for command in ("make check", "make run")]
    assert places == sorted(places)
    assert any(line.startswith("git diff --exit-code") for line in lines[places[1] :])


def test_the_container_is_set_up_by_make() -> None:
    """Its image has the workflow's oldest Python, and make, git and a compiler (the full image, not the slim one)."""
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    (job,) = WORKFLOW["jobs"].values()
    assert container["image"] == f"python:{job['strategy']['matrix']['python'][0]}"
    assert container["postCreateCommand"] == "make setup"
    assert container["forwardPorts"] == [5000]
    assert re.search(r"^setup:", (ROOT / "Makefile").read_text(), re.MULTILINE)
