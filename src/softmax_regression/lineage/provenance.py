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
from softmax_regression.files import read_yaml, text_of
from softmax_regression.tracking.record import DVC_BASELINE, DVC_EXPERIMENT

# What a run records apart, or what it writes; the rest of the difference to the commit is `code.diff`.
NOT_CODE = ("params.yaml", "dvc.lock", "metrics.json")
WEIGHT_CODE = ("data", "mathematics", "training")  # the packages that can change a weight
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


def git(*arguments: str, folder: Path, strip: bool = True) -> str:
    """Return what git prints, or nothing where there is no git, no repository or no such thing."""
    try:
        printed = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=False).stdout
    except OSError:
        return ""
    text = printed.decode(errors="surrogateescape")
    return text.strip() if strip else text


def git_commit(folder: Path = Path(), revision: str = "HEAD") -> str | None:
    """Return the commit that `revision` names, or None outside git, or where there is no such commit."""
    return git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}", folder=folder) or None


def code_diff(folder: Path = Path(), base: str = "HEAD", revision: str = "") -> str:
    """Return the difference between the commit `base` and the files here (or `revision`) as `git apply` takes it.

    Empty when there is none. New files here count where code lives (src/ and pipeline/) when git does not ignore them.
    """
    if git_commit(folder) is None:
        return ""
    exclude = [f":(exclude){name}" for name in NOT_CODE]
    diff = git(*_DIFF, *filter(None, (base, revision)), "--", ".", *exclude, folder=folder, strip=False)
    if revision:
        return diff
    new = git("ls-files", "-z", "--others", "--exclude-standard", "src", "pipeline", folder=folder).split("\0")
    return diff + "".join(
        git(*_DIFF, "--no-index", "--", "/dev/null", name, folder=folder, strip=False) for name in new if name
    )


def origin_here(folder: Path = Path()) -> Origin:
    """Return the origin of a run that starts now in `folder`, with versions and hardware."""
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
    return Origin(tags, diff, text_of(folder / "params.yaml"))


def origin_of_outputs(same_code: bool, folder: Path = Path(), base: str = "HEAD", revision: str = "") -> Origin:
    """Return the origin of outputs that were made before, as far as it is known.

    With `same_code` the code here, or of the commit `revision`, is the code that made them: it is described as its
    difference to `base`. Otherwise the commit is unknown. So are versions and hardware: this machine's may be others.
    """
    commit = git_commit(folder, base) if same_code else None
    diff = code_diff(folder, base, revision) if commit else ""
    recorded = ("show", f"{revision}:params.yaml")
    params = git(*recorded, folder=folder, strip=False) if revision else text_of(folder / "params.yaml")
    return Origin(_code_tags(commit, diff), diff, params)


def dvc_experiment_tags() -> dict[str, str]:
    """Return DVC's name of the experiment and the commit it started from, when `dvc exp run` runs this."""
    names = {"DVC_EXP_NAME": DVC_EXPERIMENT, "DVC_EXP_BASELINE_REV": DVC_BASELINE}
    return {tag: os.environ[variable] for variable, tag in names.items() if os.environ.get(variable)}


def params_at(commit: str, folder: Path) -> dict[str, object] | None:
    """Return the params.yaml of a commit, or None when the commit or the file is not there, or cannot be read."""
    found = git_commit(folder, commit)
    content = read_yaml(git("show", f"{found}:params.yaml", folder=folder), "params.yaml") if found else None
    return content if isinstance(content, dict) else None


def _code_tags(commit: str | None, diff: str) -> dict[str, str]:
    tags = {
        "mlflow.source.name": "pipeline/train.py",
        "mlflow.source.type": "PROJECT",
        "git.commit": commit or "none",
        "git.dirty": str(bool(diff)).lower() if commit else "unknown",
    }
    return tags | ({"mlflow.source.git.commit": commit} if commit else {})


def _gpu() -> str:
    """Return the model of the first NVIDIA GPU, as its Linux driver names it, or "none"."""
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        if found := re.search(r"^Model:\s*(.+)$", text_of(path), re.MULTILINE):
            return found[1].strip()
    return "none"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"


def _processor() -> str:
    """Return the processor's name; platform.processor() is empty on most Linux systems."""
    names = re.findall(r"^model name\s*:\s*(.+)$", text_of(Path("/proc/cpuinfo")), re.MULTILINE)
    return names[0] if names else platform.processor() or platform.machine()
