"""The documentation, typed: what README and docs/ show comes out, links lead somewhere, pictures are not stale.

docs/teams.md has its own test, with two people and their servers (test_teams.py).
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from pages import Shell, Typed, shows, typed_lines
from scratch_project import ROOT, Project, make_project
from servers import free_port

PAGES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]}
TYPED = {name: lines for name, page in PAGES.items() if name != "docs/teams.md" and (lines := typed_lines(page))}
DATA = ROOT.parent / "shared" / "fashion-mnist"

# Pages that are typed after `make run` on Fashion-MNIST; README is what runs it. All others have the digits.
REAL = ("comparing", "reproducibility", "serving", "architecture")
# page -> what its words say to edit in params.yaml, after the first and before the second commit
EDITS = {"docs/processes.md": ("processes: 1", "processes: 2")}
SERVERS = ("make ui", "mlflow models serve", "mlflow server")  # commands that do not end
# What a command that is not typed begins with -> why
NOT_TYPED = {
    "make setup": "it installs all packages",
    "make test": "it runs this test",
    "make check": "it runs this test",
    "pip install": "it changes the environment in which the tests run",
    "jupyter lab": "Jupyter is not among the packages; test_the_notebook_runs has the notebook",
    "torchrun": "it takes two machines; tests/training/test_processes.py has several processes",
    "softmax-regression sweep --study": "64 trainings; tests/sweep/test_search.py has small ones",
}
# picture -> the pipeline's file that it is
PICTURES = {
    "curves.png": "artifacts/figures/curves.png",
    "first.png": "artifacts/predict/first.png",
    "weights.png": "artifacts/figures/weights.png",
}
OVERFLOW = "overflow.png"  # of the training that docs/learning.md lets overflow
SCREENSHOTS = {"compare.png", "ui.png"}

slow, real_data = pytest.mark.slow, pytest.mark.real_data


def make_clone(root: Path, data: str, epochs: int) -> Project:
    """Make a scratch project with what `make` needs, whose .venv is the one that runs the tests."""
    project = make_project(root, epochs)
    (root / "docs").mkdir()
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "docs/softmax.ipynb"):
        shutil.copy(ROOT / name, root / name)
    (root / ".venv").mkdir()
    (root / ".venv" / "bin").symlink_to(Path(sys.prefix) / "bin")
    (root / ".venv" / ".complete").touch()
    if data != "digits":
        project.set("name: digits", f"name: {data}")
    project.commit()
    return project


def type_page(project: Project, lines: list[Typed]) -> None:
    """Type what a page types, in order; each answer must be the one that the page shows."""
    ports = {"5000": str(free_port()), "5001": str(free_port())}
    source = {"PYTHONPATH": str(project.root / "src")}  # also from a sub-folder
    quiet = {"BROWSER": "true", "PORT": ports["5000"], "COLUMNS": "100"}
    with closing(Shell(project.root, project.variables() | source | quiet)) as shell:
        for line in lines:
            if line.command.startswith(tuple(NOT_TYPED)):
                continue
            command = re.sub(r"(?<=[: ])500[01]\b", lambda found: ports[found[0]], line.command)
            if line.command.startswith(SERVERS) and not line.answer:
                shell.serve(command, int(ports["5000" if line.command.startswith("make") else "5001"]))
                continue
            answer, code = shell.type(command)
            told = f"$ {command}\n{answer}\n\nended with {code}; the page shows:\n{line.answer}"
            assert shows(line.answer, answer), told
            assert (code != 0) == bool(re.search(r"^error: |Exception: ", line.answer, re.MULTILINE)), told


@pytest.fixture(scope="module")
def run_by_readme(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone in which README was typed, on Fashion-MNIST."""
    if not DATA.is_dir():
        pytest.skip(f"the Fashion-MNIST files are not in {DATA}")
    folder = tmp_path_factory.mktemp("readme")
    (folder / "shared").mkdir()
    (folder / "shared" / "fashion-mnist").symlink_to(DATA)
    project = make_clone(folder / "softmax-regression", "fashion_mnist", epochs=10)
    type_page(project, TYPED["README.md"])
    project.commit()
    return project


@slow
@real_data
@pytest.mark.timeout(400)
def test_readme(run_by_readme: Project) -> None:
    """The fixture has typed it; what it shows is what git has as the project's own figures."""
    figures = json.loads((ROOT / "metrics.json").read_text())
    for name in ("test_accuracy", "test_accuracy_low", "test_accuracy_high"):
        assert f"{figures[name]:.4f}" in PAGES["README.md"]


@slow
@real_data
@pytest.mark.timeout(400)
@pytest.mark.parametrize("page", REAL)
def test_a_page_on_fashion_mnist(page: str, run_by_readme: Project, tmp_path: Path) -> None:
    """Each page is typed after README, in a copy of that clone."""
    type_page(copied(run_by_readme, tmp_path), TYPED[f"docs/{page}.md"])


@slow
@real_data
@pytest.mark.timeout(400)
def test_the_page_for_learners(run_by_readme: Project, tmp_path: Path) -> None:
    """It is typed like the others, and its training overflows as its picture shows."""
    project = copied(run_by_readme, tmp_path)
    type_page(project, TYPED["docs/learning.md"])
    assert (ROOT / "docs" / OVERFLOW).read_bytes() == (project.root / "reports" / OVERFLOW).read_bytes()


def copied(project: Project, folder: Path) -> Project:
    """Copy a project with the folder that it is in, where its data come from."""
    return Project(shutil.copytree(project.root.parent, folder / "copy", symlinks=True) / project.root.name)


@slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "page", sorted(set(TYPED) - {"README.md", "docs/learning.md", *(f"docs/{page}.md" for page in REAL)})
)
def test_a_page_on_the_digits(page: str, tmp_path: Path) -> None:
    """Each page is typed in a clone of its own."""
    project = make_clone(tmp_path / "softmax-regression", "digits", epochs=3)
    if page in EDITS:
        project.set(*EDITS[page])
        project.commit()
    type_page(project, TYPED[page])


@slow
@real_data
@pytest.mark.timeout(400)
def test_pictures_are_those_of_the_pipeline(run_by_readme: Project) -> None:
    """Byte for byte: `make pictures` was run after the last change of what they show."""
    for picture, output in PICTURES.items():
        assert (ROOT / "docs" / picture).read_bytes() == (run_by_readme.root / output).read_bytes(), picture


@slow
@real_data
@pytest.mark.timeout(400)
def test_the_notebook_runs(run_by_readme: Project, tmp_path: Path) -> None:
    """In less than a minute; each claim is an assert, and its training has the figures of `make run`."""
    told = "\n\nimport json\nprint(json.dumps(history))\n"
    (tmp_path / "softmax.py").write_text("\n\n".join(code_cells()) + told)
    environment = run_by_readme.variables() | {"PYTHONPATH": str(ROOT / "src"), "MPLBACKEND": "Agg"}
    command = [sys.executable, "-W", "error", str(tmp_path / "softmax.py")]
    done = subprocess.run(
        command, cwd=run_by_readme.root / "docs", env=environment, text=True, capture_output=True, timeout=150
    )
    assert done.returncode == 0, done.stderr
    with (run_by_readme.root / "artifacts/train/curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name, values in json.loads(done.stdout.splitlines()[-1]).items():
        assert values == pytest.approx([float(row[name]) for row in rows], abs=2e-4), name  # float32, one image is 1e-4


def code_cells() -> list[str]:
    """Return the source of the notebook's code cells."""
    cells = json.loads((ROOT / "docs/softmax.ipynb").read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_the_notebook_is_stored_without_outputs() -> None:
    """They would be out of date unseen."""
    cells = json.loads((ROOT / "docs/softmax.ipynb").read_text())["cells"]
    assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []
    assert len(code_cells()) > 5


def test_every_line_is_typed_or_says_why_not() -> None:
    """A prompt stands in `console` blocks only, and what is not typed is on some page."""
    for name, page in PAGES.items():
        blocks = re.findall(r"^```(\w*)[^\n]*\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        assert [text for kind, text in blocks if kind != "console" and re.search(r"^\$ ", text, re.MULTILINE)] == [], (
            name
        )
        assert len(re.findall(r"^```console", page, re.MULTILINE)) == [kind for kind, _ in blocks].count("console"), (
            name
        )
    commands = [line.command for lines in TYPED.values() for line in lines]
    assert [start for start in NOT_TYPED if not any(command.startswith(start) for command in commands)] == []
    assert set(EDITS) | {f"docs/{page}.md" for page in REAL} <= set(TYPED)


@pytest.mark.parametrize(
    ("shown", "answer", "expected"),
    [
        ("", "anything", True),
        ("a\nb", "a\nb", True),
        ("a\nb", "a\nb\nc", False),
        ("...\nb\n...", "a\na\nb\nc", True),
        ("...\nb", "b", True),
        ("run: ... ok", "run: 7 of 8 ok", True),
        ("0.8307 in 12 s, id 0123abcd, 1.9e-16", "0.8307 in 3.5 s, id 89ef0000, 2.1e-16", True),
        ("0.8307", "0.8308", False),
        ("f" * 64, "e" * 64, False),
    ],
)
def test_answers_are_compared(shown: str, answer: str, expected: bool) -> None:
    """Dots stand for anything; seconds, short ids and rounding errors may differ, figures and whole digests may not."""
    assert shows(shown, answer) == expected


def test_typed_lines_are_read() -> None:
    """A command goes on after a backslash, and up to END; a block may say who types it."""
    page = "```console\n$ a \\\n  b\n...\nc\n$ p <<'END'\nx\nEND\nd\n```\n```\n$ e\n```\n```console bob\n$ f\n```\n"
    assert typed_lines(page) == [
        Typed("", "a \\\n  b", "...\nc"),
        Typed("", "p <<'END'\nx\nEND\n", "d"),
        Typed("bob", "f", ""),
    ]


def anchors(page: str) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(pages: dict[str, str], root: Path) -> list[str]:
    """Return the relative links of some pages, by name, that lead to no file, or to no heading in one."""
    broken = []
    for name, page in pages.items():
        for target in re.findall(r"\]\(([^)\s]+)\)", page):
            path, _, anchor = target.partition("#")
            file = (root / name).parent / path if path else root / name
            if "://" not in target and not (
                file.exists() and (not anchor or anchor in anchors(file.read_text(encoding="utf-8")))
            ):
                broken.append(f"{name}: {target}")
    return broken


def test_links_lead_somewhere() -> None:
    """To files of the repository, and to headings in them."""
    assert broken_links(PAGES, ROOT) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    """A file that is not there, a heading that is not in it; those of the web are not asked."""
    (tmp_path / "b.md").write_text("# To be, or not\n")
    page = "[a](b.md) [b](b.md#to-be-or-not) [c](c.md) [d](b.md#d) [e](#here) [f](https://example.org/f)\n"
    assert broken_links({"a.md": page}, tmp_path) == ["a.md: c.md", "a.md: b.md#d", "a.md: #here"]


def test_every_picture_is_shown_and_made() -> None:
    """Each of docs/*.png is on some page, and `make pictures` makes it."""
    pictures = {path.name for path in (ROOT / "docs").glob("*.png")}
    shown = {Path(target).name for page in PAGES.values() for target in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page)}
    assert pictures == shown == set(PICTURES) | SCREENSHOTS | {OVERFLOW}
