"""Where a run comes from: the project's root, git's state, DVC's experiment, versions and hardware."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import yaml

# What a run records apart, or what it writes; the rest of the difference to the commit is `code.diff`.
NOT_CODE = ("params.yaml", "dvc.lock", "metrics.json")
PACKAGES = ("torch", "pytorch-lightning", "mlflow", "dvc", "numpy")


def project_root() -> Path:
    """Return the real checkout: DVC names it even to a stage that runs in a temporary copy of the workspace.

    Outside DVC it is the nearest folder upwards that holds dvc.yaml. Raises FileNotFoundError when there is none.
    """
    if declared := os.environ.get("DVC_ROOT"):
        return Path(declared).resolve()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file():
            return folder
    raise FileNotFoundError(f"no dvc.yaml in {here} or above it; run from inside the project")


def git_commit(folder: Path = Path()) -> str | None:
    """Return the commit that is checked out, or None outside git (or before the first commit)."""
    return _git("rev-parse", "--verify", "--quiet", "HEAD", folder=folder) or None


def code_diff(folder: Path = Path()) -> str:
    """Return the difference between the commit and the files here as `git apply` takes it; empty when clean.

    New files count where code lives (src/ and pipeline/) when git does not ignore them.
    """
    if git_commit(folder) is None:
        return ""
    exclude = [f":(exclude){name}" for name in NOT_CODE]
    diff = _git("diff", "--binary", "HEAD", "--", ".", *exclude, folder=folder, strip=False)
    new = _git("ls-files", "--others", "--exclude-standard", "src", "pipeline", folder=folder).splitlines()
    return diff + "".join(
        _git("diff", "--binary", "--no-index", "--", "/dev/null", name, folder=folder, strip=False) for name in new
    )


def provenance_tags(folder: Path = Path()) -> dict[str, str]:
    """Return tags that say where the run comes from: git, DVC's experiment, versions, hardware."""
    commit = git_commit(folder)
    tags = {
        "mlflow.source.name": os.environ.get("DVC_STAGE", "train"),
        "mlflow.source.type": "PROJECT",
        "git.commit": commit or "none",
        "git.dirty": str(bool(code_diff(folder))).lower() if commit else "unknown",
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cpu_count": str(os.cpu_count()),
        "python": platform.python_version(),
    }
    if commit:
        tags["mlflow.source.git.commit"] = commit
    tags |= {f"version.{name}": _version(name) for name in PACKAGES}
    return tags | dvc_experiment_tags()


def dvc_experiment_tags() -> dict[str, str]:
    """Return DVC's name of the experiment and the commit it started from, when `dvc exp run` runs this."""
    names = {"DVC_EXP_NAME": "dvc.exp.name", "DVC_EXP_BASELINE_REV": "dvc.exp.baseline"}
    return {tag: os.environ[variable] for variable, tag in names.items() if os.environ.get(variable)}


def params_at(commit: str, folder: Path) -> dict[str, object] | None:
    """Return the params.yaml of a commit, or None when the commit or the file is not there."""
    text = _git("show", f"{commit}:params.yaml", folder=folder)
    content = yaml.safe_load(text) if text else None
    return content if isinstance(content, dict) else None


def _git(*arguments: str, folder: Path, strip: bool = True) -> str:
    """Return what git prints, or nothing where there is no git, no repository or no such thing."""
    try:
        result = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=False)
    except OSError:
        return ""
    text = result.stdout.decode(errors="surrogateescape")
    return text.strip() if strip else text


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"


def _processor() -> str:
    """Return the processor's name; platform.processor() is empty on most Linux systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
