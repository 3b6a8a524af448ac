"""What is installed is what was chosen: pinned, hashed, looked up; no code comes in by a pickle."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tomllib
from datetime import date
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEEDED = [Requirement(text) for text in PROJECT["dependencies"]]
SOURCES = [ast.parse(path.read_text()) for path in (ROOT / "src").rglob("*.py")]


def pins() -> dict[str, tuple[str, int]]:
    """Return of each package in the lock its version and the number of its hashes."""
    entries = re.findall(r"^([\w.-]+)==(\S+).*((?:\n {4}--hash=sha256:[0-9a-f]{64}(?: \\)?)*)$", LOCK, re.MULTILINE)
    return {name: (version, hashes.count("--hash")) for name, version, hashes in entries}


def imported() -> set[str]:
    """Return the top-level names of all modules that src imports, wherever."""
    names: set[str] = set()
    for node in (node for tree in SOURCES for node in ast.walk(tree)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def test_the_lock_is_pins_with_hashes_and_nothing_else() -> None:
    """Every package has a version and the hashes of its files; there is no URL, and so no index of somebody's own."""
    header, *lines = LOCK.splitlines()
    assert header.startswith("# Made by `make lock`")
    assert len(pins()) == sum(not line.startswith("    --hash=sha256:") for line in lines)
    assert all(count for version, count in pins().values())
    assert "://" not in LOCK


def test_the_lock_has_what_pyproject_asks_for() -> None:
    """Each requirement, of the package and of its development, is locked at a version that it allows."""
    for needed in NEEDED + [Requirement(text) for text in PROJECT["optional-dependencies"]["dev"]]:
        version, _ = pins()[canonicalize_name(needed.name)]
        assert needed.specifier.contains(version), needed


def test_setup_installs_nothing_without_its_hash() -> None:
    """Of all that `make setup` gives to pip only this checkout has no hash, and nothing is fetched to build with."""
    recipe = (ROOT / "Makefile").read_text().partition("$(VENV)/.complete: ")[2].partition("\n\n")[0]
    calls = [line for line in recipe.splitlines() if "$(PIP)" in line]
    assert len(calls) == 3
    assert all("--require-hashes" in call or "--no-deps --no-build-isolation --editable ." in call for call in calls)
    assert all("--no-build-isolation" in call for call in calls[1:])
    assert (ROOT / "Makefile").read_text().count("pip install") == 2  # PIP itself, and uv at one version
    assert " uv==" in (ROOT / "Makefile").read_text()


def test_the_package_asks_for_no_more_than_it_imports() -> None:
    """Each dependency is imported by src; what only tests and benchmarks import is in the extra."""
    owners = packages_distributions()
    found = {canonicalize_name(owner) for name in imported() for owner in owners.get(name, ())}
    assert {canonicalize_name(needed.name) for needed in NEEDED} - found == set()


def test_no_code_comes_in_by_a_pickle() -> None:
    """Nothing here reads or writes pickles, by itself, by torch or by NumPy."""
    assert not imported() & {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    for call in (node for tree in SOURCES for node in ast.walk(tree) if isinstance(node, ast.Call)):
        assert ast.unparse(call.func) not in {"torch.load", "torch.save"}
        for argument in call.keywords:
            assert argument.arg != "allow_pickle" or ast.unparse(argument.value) == "False"


def test_what_is_known_is_of_a_locked_package_dated_and_has_a_reason() -> None:
    """A line whose package is no longer locked at that version is to be looked into again."""
    lines = (ROOT / ".ci" / "audit-known.txt").read_text().splitlines()
    for line in (line for line in lines if not line.startswith("#")):
        identity, package, day, reason = line.split(maxsplit=3)
        assert re.fullmatch(r"(CVE|GHSA|PYSEC)-[\w-]+", identity)
        name, _, version = package.partition("==")
        assert pins()[name][0] == version
        assert date.fromisoformat(day)
        assert len(reason.split()) > 5


@pytest.mark.parametrize(
    ("says", "status", "prints", "ends"),
    [
        ("No known vulnerabilities found, 1 ignored", 0, "No known vulnerabilities found, 1 ignored\n", 0),
        ("Found 2 known vulnerabilities in 1 package", 1, "Found 2 known vulnerabilities in 1 package\n", 1),
        (
            "Traceback ...\nE: no name",
            1,
            "error: nothing was audited: E: no name; try again where pip-audit reaches",
            2,
        ),
    ],
)
def test_the_audit_says_what_it_could_not_look_up(
    tmp_path: Path, says: str, status: int, prints: str, ends: int
) -> None:
    """What is found fails, and so does a service that does not answer: in one line, never as if all were well."""
    uvx = tmp_path / "uvx"
    uvx.write_text(f"#!/bin/sh\necho \"$@\" > '{tmp_path}/asked'\nprintf '%s\\n' '{says}'\nexit {status}\n")
    uvx.chmod(0o755)
    done = subprocess.run(
        [ROOT / ".ci" / "audit"], env=os.environ | {"UVX": str(uvx)}, text=True, capture_output=True, timeout=30
    )
    assert (done.stdout + done.stderr).startswith(prints)
    assert done.returncode == ends
    asked = (tmp_path / "asked").read_text()
    assert "--strict" in asked
    assert "--ignore-vuln CVE-2025-69872" in asked
    assert "#" not in asked


def test_actions_are_pinned() -> None:
    """A workflow runs other people's actions at one commit, which a tag moved by somebody does not change."""
    for path in (ROOT / ".github" / "workflows").iterdir():
        for used in re.findall(r"uses: (\S+)", path.read_text()):
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", used), path
