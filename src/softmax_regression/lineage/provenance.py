"""Where a run comes from: the project's root, git's state, DVC's experiment, versions and hardware."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import yaml

from softmax_regression.files import md5_of

# What a run records apart, or what it writes; the rest of the difference to the commit is `code.diff`.
NOT_CODE = ("params.yaml", "dvc.lock", "metrics.json")
# A person's settings (colours, other prefixes, an own diff program) must not change what `git apply` shall take.
_DIFF = ("diff", "--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/")
EXP_NAME, EXP_BASELINE = "dvc.exp.name", "dvc.exp.baseline"
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


def code_diff(folder: Path = Path(), base: str = "HEAD", revision: str = "") -> str:
    """Return the difference between the commit `base` and the files here (or `revision`) as `git apply` takes it.

    Empty when there is none. New files here count where code lives (src/ and pipeline/) when git does not ignore them.
    """
    if git_commit(folder) is None:
        return ""
    exclude = [f":(exclude){name}" for name in NOT_CODE]
    diff = _git(*_DIFF, *filter(None, (base, revision)), "--", ".", *exclude, folder=folder, strip=False)
    if revision:
        return diff
    new = _git("ls-files", "-z", "--others", "--exclude-standard", "src", "pipeline", folder=folder).split("\0")
    return diff + "".join(
        _git(*_DIFF, "--no-index", "--", "/dev/null", name, folder=folder, strip=False) for name in new if name
    )


@dataclass(frozen=True)
class Origin:
    """Where a run comes from: tags, the code's difference to the commit (`git apply` takes it), params.yaml."""

    tags: Mapping[str, str]
    diff: str = ""
    params: str = ""


def origin_here(folder: Path = Path()) -> Origin:
    """Return the origin of a training that runs now, in `folder`: git, DVC's experiment, versions, hardware."""
    commit, diff = git_commit(folder), code_diff(folder)
    tags = {
        **_code_tags(commit, diff),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cpu_count": str(os.cpu_count()),
        "gpu": _gpu(),
        "python": platform.python_version(),
        **{f"version.{name}": _version(name) for name in PACKAGES},
        **dvc_experiment_tags(),
    }
    return Origin(tags, diff, _text(folder / "params.yaml"))


def origin_of_outputs(code: Mapping[str, str], folder: Path = Path(), base: str = "HEAD", revision: str = "") -> Origin:
    """Return the origin of outputs that were made before, as far as it can be known.

    `code` maps files to the MD5 that they had then. Where the files here, or those of the commit `revision`, are the
    same, they are described as their difference to `base`; otherwise the commit is unknown. So are versions and
    hardware: those of this machine may be others.
    """
    same = all(_md5_at(folder, revision, name) == digest for name, digest in code.items())
    commit = _git("rev-parse", "--verify", "--quiet", f"{base}^{{commit}}", folder=folder) if same else ""
    diff = code_diff(folder, base, revision) if commit else ""
    params = _git("show", f"{revision}:params.yaml", folder=folder) if revision else _text(folder / "params.yaml")
    return Origin(_code_tags(commit or None, diff), diff, params)


def _code_tags(commit: str | None, diff: str) -> dict[str, str]:
    tags = {
        "mlflow.source.name": "pipeline/train.py",
        "mlflow.source.type": "PROJECT",
        "git.commit": commit or "none",
        "git.dirty": str(bool(diff)).lower() if commit else "unknown",
    }
    return tags | ({"mlflow.source.git.commit": commit} if commit else {})


def dvc_experiment_tags() -> dict[str, str]:
    """Return DVC's name of the experiment and the commit it started from, when `dvc exp run` runs this."""
    names = {"DVC_EXP_NAME": EXP_NAME, "DVC_EXP_BASELINE_REV": EXP_BASELINE}
    return {tag: os.environ[variable] for variable, tag in names.items() if os.environ.get(variable)}


def params_at(commit: str, folder: Path) -> dict[str, object] | None:
    """Return the params.yaml of a commit, or None when the commit or the file is not there."""
    text = _git("show", f"{commit}:params.yaml", folder=folder)
    content = yaml.safe_load(text) if text else None
    return content if isinstance(content, dict) else None


def _git(*arguments: str, folder: Path, strip: bool = True) -> str:
    """Return what git prints, or nothing where there is no git, no repository or no such thing."""
    text = _git_bytes(*arguments, folder=folder).decode(errors="surrogateescape")
    return text.strip() if strip else text


def _git_bytes(*arguments: str, folder: Path) -> bytes:
    try:
        return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=False).stdout
    except OSError:
        return b""


def _md5_at(folder: Path, revision: str, name: str) -> str:
    """Return the MD5 of a file here, or in a commit; that of nothing when it is not there."""
    if revision:
        return hashlib.md5(_git_bytes("show", f"{revision}:{name}", folder=folder), usedforsecurity=False).hexdigest()
    return md5_of(folder / name) if (folder / name).is_file() else ""


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def _gpu() -> str:
    """Return the model of the first NVIDIA GPU, as its Linux driver tells it, or "none"."""
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        if found := re.search(r"^Model:\s*(.+)$", _text(path), re.MULTILINE):
            return found[1].strip()
    return "none"


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
