"""Where a run comes from, read from real git repositories."""

from __future__ import annotations

import os
import platform
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from scratch_project import DATA, PARAMS, ROOT, git

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.lineage import provenance
from softmax_regression.lineage.provenance import (
    WEIGHT_CODE,
    code_diff,
    config_key,
    dvc_experiment_tags,
    git_commit,
    origin_here,
    weight_code,
)

PACKAGE = ROOT / "src" / "softmax_regression"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Make a repository with one commit of code and params."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("x = 1\n")
    (tmp_path / "params.yaml").write_text("train: {seed: 0}\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    return tmp_path


def test_a_clean_tree_has_a_commit_and_no_difference(repository: Path) -> None:
    """The commit is git's own, the difference empty, the tag says clean."""
    assert git_commit(repository) == git(repository, "rev-parse", "HEAD")
    assert code_diff(repository) == ""
    assert origin_here(repository).tags["git.dirty"] == "false"


def test_a_dirty_tree_can_be_rebuilt_from_commit_and_difference(repository: Path) -> None:
    """`git apply` of the difference on a fresh checkout gives the same code, new files too; params stay apart."""
    (repository / "src" / "a.py").write_text("x = 2\n")
    (repository / "src" / "new.py").write_text("y = 1\n")
    (repository / "params.yaml").write_text("train: {seed: 1}\n")
    diff = code_diff(repository)
    clone = repository / "clone"
    git(repository, "clone", "--quiet", ".", "clone")
    (clone / "code.diff").write_text(diff)
    git(clone, "apply", "code.diff")
    assert (clone / "src" / "a.py").read_text() == "x = 2\n"
    assert (clone / "src" / "new.py").read_text() == "y = 1\n"
    assert (clone / "params.yaml").read_text() == "train: {seed: 0}\n"


def test_only_code_is_in_the_difference(repository: Path) -> None:
    """Settings with keys, tracked or not, data and pictures are in no run; code, its templates and dvc.yaml are."""
    tracked = [".dvc/config", ".env", ".streamlit/secrets.toml", "notes.ipynb", "datasets/own.csv", "logo.png"]
    tracked += ["dvc.yaml", "src/page.jinja", "Makefile", "datasets/big.dvc", "requirements.lock"]
    for name in tracked:
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text("first\n")
    git(repository, "add", "--all", "--force")
    git(repository, "commit", "--quiet", "-m", "second")
    new = ["src/.env", "src/credentials", "src/.keys/a.py", "src/key.pem", "src/settings.yaml", "b.py", "pipeline/c.py"]
    new += [".dvc/config.local", "src/d.css"]
    for name in tracked + new:
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text("second\n")
    found = set(re.findall(r"^diff --git a/(\S+) ", code_diff(repository), re.MULTILINE))
    there = {"dvc.yaml", "src/page.jinja", "Makefile", "datasets/big.dvc", "requirements.lock"}
    assert found == there | {"pipeline/c.py", "src/d.css"}
    git(repository, "add", "--all", "--force")
    git(repository, "commit", "--quiet", "-m", "third")
    found = set(re.findall(r"^diff --git a/(\S+) ", code_diff(repository, "HEAD^", "HEAD"), re.MULTILINE))
    assert found == there | {"pipeline/c.py", "src/d.css", "b.py", "src/settings.yaml"}


def test_outside_git_nothing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an unpacked archive there is no commit and no difference, and the tags say so."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit(tmp_path) is None
    assert origin_here(tmp_path).tags["git.commit"] == "none"


def test_machine_and_versions_are_a_tag_each(tmp_path: Path) -> None:
    """What a run's page shows of them are two tags, not ten."""
    tags = origin_here(tmp_path).tags
    assert tags["machine"].startswith(f"{platform.system()} {platform.machine()}, ")
    assert f", {os.cpu_count()} CPUs" in tags["machine"]
    assert tags["versions"].startswith(f"python {platform.python_version()}, torch 2.")
    assert not [name for name in tags if name.startswith("version.")]


def test_dvc_names_its_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under `dvc exp run` the run learns the experiment's name and where it started."""
    monkeypatch.setenv("DVC_EXP_NAME", "tidal-wave")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "abc")
    assert dvc_experiment_tags() == {"dvc.exp.name": "tidal-wave", "dvc.exp.baseline": "abc"}


def test_the_difference_does_not_depend_on_a_persons_settings(repository: Path) -> None:
    """Colours, other prefixes and an own diff program in git's configuration change nothing."""
    (repository / "src" / "a.py").write_text("x = 2\n")
    plain = code_diff(repository)
    for setting in ("color.ui always", "diff.noprefix true", "diff.external true"):
        git(repository, "config", *setting.split())
    assert plain == code_diff(repository)


SAMPLE = '''"""A module."""

RATE = 0.1  # nats


class Rule:
    """A class."""

    def step(self, weight, gradient):
        """A method."""
        return weight - RATE * gradient


def lonely():
    """Only a docstring."""
'''
# Edits of the sample: what is replaced, and by what.
HARMLESS = {
    "a comment": ("# nats", "# nats an example"),
    "a comment of its own": ("RATE =", "# tried out\nRATE ="),
    "the module's docstring": ("A module.", "A module of mathematics."),
    "the class's docstring": ("A class.", "A class, once more."),
    "the method's docstring": ("A method.", "A method.\n\n        In more words.\n        "),
    "the function's docstring": ("Only a docstring.", "Nothing else."),
    "blank lines": ("\n\n\n", "\n\n\n\n"),
    "layout": ("weight - RATE * gradient", "(\n            weight - RATE\n            * gradient)"),
    "quotes and digits": ("0.1", "1e-1"),
}
HARMFUL = {
    "a sign": ("weight - RATE", "weight + RATE"),
    "a constant": ("0.1", "0.2"),
    "the order of operations": ("weight - RATE * gradient", "(weight - RATE) * gradient"),
    "a name": ("def step", "def leap"),
    "a text that is no docstring": ("# nats", '\nUNIT = "nats"'),
    "a default": ("weight, gradient", "weight, gradient=0"),
}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package's code, with the sample in mathematics/."""
    copy = tmp_path_factory.mktemp("code") / "package"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "mathematics" / "sample.py").write_text(SAMPLE)
    return copy


@pytest.fixture
def copy(package: Path, tmp_path: Path) -> Path:
    """A copy of that copy to edit: `weight_code` remembers what it has read in a folder."""
    return Path(shutil.copytree(package, tmp_path / "package"))


@pytest.mark.parametrize("edit", HARMLESS)
def test_words_and_layout_are_no_code_of_the_weights(package: Path, copy: Path, edit: str) -> None:
    """An edit of a comment, a docstring or the layout in mathematics/ changes nothing."""
    (copy / "mathematics" / "sample.py").write_text(SAMPLE.replace(*HARMLESS[edit], 1))
    assert (copy / "mathematics" / "sample.py").read_text() != SAMPLE
    assert weight_code(copy) == weight_code(package)


@pytest.mark.parametrize("edit", HARMFUL)
def test_an_expression_is_code_of_the_weights(package: Path, copy: Path, edit: str) -> None:
    """An edit of what is computed changes the digest."""
    (copy / "mathematics" / "sample.py").write_text(SAMPLE.replace(*HARMFUL[edit], 1))
    assert (copy / "mathematics" / "sample.py").read_text() != SAMPLE
    assert weight_code(copy) != weight_code(package)


def test_a_comment_in_any_real_file_changes_nothing(package: Path, copy: Path) -> None:
    """The code as it is, not only a sample: a comment at the end of each file of the weights."""
    for name in WEIGHT_CODE:
        for path in (copy / name).glob("*.py"):
            path.write_text(f"{path.read_text()}# tried out\n")
    assert weight_code(copy) == weight_code(package)


@pytest.mark.parametrize("name", WEIGHT_CODE)
def test_each_package_of_the_weights_counts(package: Path, copy: Path, name: str) -> None:
    """A new module in data/, mathematics/ or training/ changes the digest."""
    (copy / name / "new.py").write_text("RATE = 0.1\n")
    assert weight_code(copy) != weight_code(package)


@pytest.mark.parametrize("name", ["plots", "tracking", "download", "lineage", "evaluation", "comparing"])
def test_other_packages_do_not_count(package: Path, copy: Path, name: str) -> None:
    """Edits and a new module where pictures, runs or downloads are made change nothing."""
    assert list((copy / name).glob("*.py"))
    for path in (copy / name).glob("*.py"):
        path.write_text("RATE = 0.1\n")
    (copy / name / "new.py").write_text("RATE = 0.1\n")
    assert weight_code(copy) == weight_code(package)


def test_the_configuration_is_params_data_and_code_of_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them gives another key, what the training comes to does not: it is known before."""
    experiment = Experiment(PARAMS, DATA)
    keys = [config_key(experiment)]
    assert config_key(replace(experiment, model="1" * 64)) == keys[0]
    keys += [
        config_key(replace(experiment, params={**PARAMS, "train.seed": 1})),
        config_key(replace(experiment, data={**DATA, "test-images": "c" * 64})),
    ]
    monkeypatch.setattr(provenance, "weight_code", lambda: "other")
    keys.append(config_key(experiment))
    assert len(set(keys)) == 4
    assert all(re.fullmatch("[0-9a-f]{16}", key) for key in keys)
