"""The wheel is complete: installed alone, far from the checkout, every command starts and `compare` writes its page.

It is built from a copy of the checkout without a network and installed into a fresh environment. The dependencies are
those of the environment that runs the tests; its editable install of the checkout is not among them.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

import pytest
from filled_project import RATE_01, RATE_05, filled_project

from softmax_regression import cli

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of MLflow's own imports, in this process
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # MLflow leaves connections to the garbage collector
]

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "softmax_regression"


def installable_copy(folder: Path) -> Path:
    """Copy what a wheel is built from, so that the build leaves nothing in the checkout and takes nothing old."""
    folder.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return folder


def build_wheel(project: Path, folder: Path) -> Path:
    """Build the wheel of a project with the setuptools that is installed here; return its file."""
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder), str(project))
    (wheel,) = folder.glob("*.whl")
    return wheel


def pip(*arguments: str) -> None:
    """Run the pip of this environment, without the settings of the person who tests."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    command = [sys.executable, "-m", "pip", *arguments]
    done = subprocess.run(command, cwd=ROOT.anchor, env=environment, text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True)
class Environment:
    """A fresh virtual environment that holds the wheel, and beside it a folder far from any project."""

    folder: Path
    outside: Path

    @property
    def script(self) -> str:
        """The console script that the wheel brings."""
        return str(self.folder / "bin" / "softmax-regression")

    def call(self, *command: str, cwd: Path | None = None) -> str:
        """Run a command, by default in the folder outside; return what it prints on both streams."""
        ours = ("PYTHON", "MLFLOW_", "DVC_", "COV_")
        variables = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        variables |= {"PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "120"}
        done = subprocess.run(
            command, cwd=cwd or self.outside, env=variables, text=True, capture_output=True, timeout=120
        )
        text = done.stdout + done.stderr
        assert done.returncode == 0, text
        assert "Traceback" not in text
        return text


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    return build_wheel(installable_copy(folder / "project"), folder)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Install the wheel into a fresh environment; a .pth file leads to the dependencies, and to no checkout.

    Python reads no .pth files in the folders that a .pth file names, so an editable install there has no effect.
    """
    environment = Environment(tmp_path_factory.mktemp("environment"), tmp_path_factory.mktemp("outside"))
    venv.create(environment.folder, symlinks=True, with_pip=False)
    python = str(environment.folder / "bin" / "python")
    pip("--python", python, "install", "--no-deps", "--no-index", "--no-compile", str(wheel))
    places = [path for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}]
    where = environment.call(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])").strip()
    (Path(where) / "dependencies.pth").write_text("".join(f"{path}\n" for path in places))
    return environment


def commands() -> list[str]:
    """Return the names of all commands of the console script, as its parser has them."""
    choices = [action.choices for action in cli._parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return [name for names in choices for name in names]


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    """What lies in src/softmax_regression lies in the wheel, whatever its kind: code, templates, styles, py.typed."""
    here = {
        path.relative_to(PACKAGE.parent).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("softmax_regression/")}
    assert packed == here


def test_the_wheel_says_its_license_and_needs_what_pyproject_says(wheel: Path) -> None:
    """The metadata names the MIT license and carries its text; the tests' own packages are only in an extra."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
        (license_text,) = (archive.read(name).decode() for name in names if name.endswith("licenses/LICENSE"))
    headers = HeaderParser().parsestr(metadata)
    assert headers["License-Expression"] == "MIT"
    assert license_text == (ROOT / "LICENSE").read_text()
    needed = [line for line in headers.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert any(line.startswith("torch") for line in needed)
    assert not any(line.startswith("pytest") for line in needed)


def test_the_fresh_environment_runs_its_own_copy(installed: Environment) -> None:
    """The package is the wheel's, not the checkout's: else the other tests here would prove nothing."""
    python = str(installed.folder / "bin" / "python")
    found = installed.call(python, "-c", "import softmax_regression; print(softmax_regression.__file__)").strip()
    assert Path(found).is_relative_to(installed.folder)
    assert str(ROOT / "src") not in installed.call(python, "-c", "import sys; print(*sys.path)").split()


def test_every_command_says_how_to_use_it(installed: Environment) -> None:
    """`--help` of the script names each command, and each command has its own help, outside of any project."""
    text = installed.call(installed.script, "--help")
    names = commands()
    assert names
    for name in names:
        assert name in text.split()
        assert f"softmax-regression {name}" in installed.call(installed.script, name, "--help")


def test_compare_writes_its_page(installed: Environment, tmp_path: Path) -> None:
    """A comparison of two runs, by the installed script, gives a page with its style: no file of it is missing."""
    root = filled_project(tmp_path)
    (root / "dvc.yaml").touch()  # what the project's root is known by
    installed.call(installed.script, "compare", RATE_01, RATE_05, "--page", "page.html", cwd=root)
    page = (root / "page.html").read_text()
    style = "".join(re.findall(r"<style[^>]*>(.*?)</style>", page, re.DOTALL))
    assert "prefers-color-scheme" in style
    assert RATE_01 in page
    assert RATE_05 in page
