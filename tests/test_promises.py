"""docs/promises.md names the tests that hold each promise: they exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAMED = re.compile(r"^- `(tests/[\w/]+\.py)::(\w+)`$", re.MULTILINE)


def promises(text: str) -> dict[str, list[tuple[str, str]]]:
    """Return the tests, as file and function, that a text names below each promise, a paragraph that begins bold."""
    parts = re.split(r"^\*\*", text, flags=re.MULTILINE)[1:]
    return {part.partition("**")[0]: NAMED.findall(part) for part in parts}


def missing(tests: list[tuple[str, str]], root: Path) -> list[str]:
    """Return those of the tests that there are not."""

    def functions(path: Path) -> set[str]:
        tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
        return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}

    return [f"{file}::{name}" for file, name in tests if name not in functions(root / file)]


def test_each_promise_names_tests_that_exist() -> None:
    """A test that is renamed, or deleted, is renamed or replaced there."""
    found = promises((ROOT / "docs/promises.md").read_text(encoding="utf-8"))
    assert len(found) == 9
    for promise, tests in found.items():
        assert tests, promise
        assert missing(tests, ROOT) == [], promise


def test_a_missing_test_is_found(tmp_path: Path) -> None:
    """A file that is not there, and a function that is not in it."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_a.py").write_text("def test_b(): ...\n")
    named = "".join(f"- `tests/{name}`\n" for name in ("test_a.py::test_b", "test_a.py::test_c", "no.py::test_d"))
    text = f"# Title\n\n**It holds.** Always.\n\n{named}"
    ((promise, tests),) = promises(text).items()
    assert promise == "It holds."
    assert missing(tests, tmp_path) == ["tests/test_a.py::test_c", "tests/no.py::test_d"]
