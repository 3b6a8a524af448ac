"""Where a run comes from: git's state, the code that determines the weights, versions and hardware."""

import ast
import functools
import hashlib
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from softmax_regression.artifacts.experiment import Experiment, digest
from softmax_regression.files import text_of
from softmax_regression.tracking.record import DVC_BASELINE, DVC_EXPERIMENT

# What a run records apart, or what it writes; the rest of the difference to the commit is `code.diff`.
NOT_CODE = ("params.yaml", "dvc.lock", "metrics.json")
# Of other files nothing is recorded: they may be data, or hold keys, as .env, .dvc/config and what is hidden do.
_PROGRAMS = ("*.css", "*.html", "*.jinja", "*.js", "*.py", "*.pyi", "*.sh")
_CODE = (*_PROGRAMS, "*.dvc", "*.lock", "*.toml", "*.yaml", "*.yml", "Makefile")
_EXCLUDED = (":(exclude,glob)**/.*", ":(exclude,glob)**/.*/**", *(f":(exclude){name}" for name in NOT_CODE))
_NEW_CODE = tuple(f"{folder}/{pattern}" for folder in ("src", "pipeline") for pattern in _PROGRAMS)
WEIGHT_CODE = ("data", "mathematics", "numerics", "training")  # the packages that can change a weight
# A person's settings (colours, other prefixes, an own diff program) must not change what `git apply` accepts.
_DIFF = ("diff", "--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/")
PACKAGES = ("torch", "pytorch-lightning", "mlflow", "dvc", "numpy")


@dataclass(frozen=True)
class Origin:
    """Where a run comes from: tags, the code's difference to the commit (`git apply` takes it), params.yaml."""

    tags: Mapping[str, str]
    diff: str = ""
    params: str = ""


def config_key(experiment: Experiment) -> str:
    """Return 16 hexadecimal digits known before the training: params, data, and the code that can change a weight.

    Attempts at one training share it, and a checkpoint is found by it. It is a tag of the run and in no file.
    """
    return digest(replace(experiment, model="").to_json() + weight_code())


@functools.cache
def weight_code(package: Path = Path(__file__).parents[1]) -> str:
    """Return the digest of the packages in WEIGHT_CODE; comments, docstrings and layout do not count."""
    hasher = hashlib.sha256()
    for path in sorted(path for name in WEIGHT_CODE for path in (package / name).glob("*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
        hasher.update(f"{path.relative_to(package).as_posix()}\n{ast.unparse(tree)}\n".encode())
    return hasher.hexdigest()


def git(*arguments: str, folder: Path) -> str:
    """Return what git prints, or nothing where there is no git, no repository or no such thing."""
    try:
        printed = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=False).stdout
    except OSError:
        return ""
    return printed.decode(errors="surrogateescape")


def git_commit(folder: Path = Path(), revision: str = "HEAD") -> str | None:
    """Return the commit that `revision` names, or None outside git, or where there is no such commit."""
    options = "--verify", "--quiet", "--end-of-options"
    return git("rev-parse", *options, f"{revision}^{{commit}}", folder=folder).strip() or None


def code_diff(folder: Path = Path(), base: str = "HEAD", revision: str = "") -> str:
    """Return the difference between the commit `base` and the files here (or `revision`) as `git apply` takes it.

    Empty when there is none. Of the files that git tracks count programs, their settings and the pointers to data, of
    new files here programs where they live (src/ and pipeline/) when git does not ignore them; nothing that is hidden.
    """
    diff = git(*_DIFF, *filter(None, (base, revision)), "--", *_CODE, *_EXCLUDED, folder=folder)
    if revision:
        return diff
    listed = git("ls-files", "-z", "--others", "--exclude-standard", "--", *_NEW_CODE, *_EXCLUDED, folder=folder)
    new = listed.split("\0")
    return diff + "".join(git(*_DIFF, "--no-index", "--", "/dev/null", name, folder=folder) for name in new if name)


def origin_here(folder: Path = Path()) -> Origin:
    """Return the origin of a run that starts now in `folder`, with versions and hardware."""
    commit = git_commit(folder)
    diff = code_diff(folder) if commit else ""
    versions = {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}
    tags = {
        **code_tags(commit, diff),
        "machine": ", ".join(filter(None, _machine())),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        **dvc_experiment_tags(),
    }
    return Origin(tags, diff, text_of(folder / "params.yaml"))


def dvc_experiment_tags() -> dict[str, str]:
    """Return DVC's name of the experiment and the commit it started from, when `dvc exp run` runs this."""
    names = {"DVC_EXP_NAME": DVC_EXPERIMENT, "DVC_EXP_BASELINE_REV": DVC_BASELINE}
    return {tag: os.environ[variable] for variable, tag in names.items() if os.environ.get(variable)}


def code_tags(commit: str | None, diff: str) -> dict[str, str]:
    """Return the tags of code that is a commit, None if it is unknown, and the difference to it."""
    tags = {"mlflow.source.name": "pipeline/train.py", "mlflow.source.type": "PROJECT"}
    if commit is None:
        return tags | {"git.commit": "none", "git.dirty": "unknown"}
    return tags | {"git.commit": commit, "git.dirty": str(bool(diff)).lower(), "mlflow.source.git.commit": commit}


def _machine() -> list[str]:
    """Return the system, the processor, how many, and the GPU, or empty."""
    processor = _stated("model name", Path("/proc/cpuinfo")) or platform.processor() or platform.machine()
    gpu = _stated("Model", *sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")))
    return [f"{platform.system()} {platform.machine()}", processor, f"{os.cpu_count()} CPUs", gpu]


def _stated(name: str, *files: Path) -> str:
    """Return what the first line "name: ..." in files of Linux says; platform.processor() is empty there, mostly."""
    found = re.search(rf"^{name}\s*:(.+)$", "\n".join(map(text_of, files)), re.MULTILINE)
    return found[1].strip() if found else ""


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"
