"""`make run`: the whole pipeline by DVC, the offline fall-back, and a short summary of what came out."""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from softmax_regression.artifacts.experiment import read_experiment
from softmax_regression.data.datasets import FOLDER, read_report
from softmax_regression.download.prepare import can_download
from softmax_regression.lineage import states
from softmax_regression.lineage.provenance import git, git_commit
from softmax_regression.lineage.sync import NOTHING_TO_DO, sync
from softmax_regression.params import load_params
from softmax_regression.tracking.run_store import RunStore
from softmax_regression.tracking.stage_logs import read_findings

OWN_DATA = Path("datasets")  # as dvc.yaml has it
OFFLINE_DATA = "digits"  # in scikit-learn's own package: always available
OFFLINE_EXPERIMENT = "offline-digits"
_HINTS = (  # which DVC prints after every run, whether or not anything has changed
    "To track the changes with git, run:",
    "\tgit add ",
    "To enable auto staging, run:",
    "\tdvc config core.autostage",
    "Use `dvc push`",
)
_COMMITTED = ("dvc.lock", "metrics.json")
REACH_SECONDS = 15.0  # for finding out whether any source can be reached


def run(root: Path) -> str:
    """Run `dvc repro` and return the summary; fall back to embedded data where no source can be reached.

    The fall-back is a DVC experiment in a temporary workspace, so params.yaml and dvc.lock stay as they were; where
    nothing has changed since the last one, DVC restores it from its cache. Raises RuntimeError when the pipeline fails,
    ValueError where dvc.lock is torn.
    """
    _ = states.workspace(root).stages
    params = load_params(root / "params.yaml")
    name, sources = params.data.name, params.download.sources.get(params.data.name, [])
    at_hand = _has_data(root, name) or can_download(
        name, sources=sources, datasets=OWN_DATA, root=root, timeout=REACH_SECONDS
    )
    if at_hand:
        if not _dvc(root, "repro"):
            raise RuntimeError("the pipeline stopped; the stage's message above says why")
        _complete_run(root)
        if git("status", "--porcelain", "--", *_COMMITTED, folder=root):
            print(f"{' or '.join(_COMMITTED)} changed: commit both, if this is the state to keep", flush=True)
        return summary(root, root)
    print(f"No source of {name} can be reached: falling back to the embedded data set {OFFLINE_DATA}.", flush=True)
    if git_commit(root) is None:
        raise RuntimeError(f"the fall-back needs a git commit; set data.name: {OFFLINE_DATA} in params.yaml instead")
    if any(state.name == OFFLINE_EXPERIMENT for state in states.experiments(root)):
        _dvc(root, "exp", "remove", "--quiet", OFFLINE_EXPERIMENT)
    if not _dvc(root, "exp", "run", "--temp", "--name", OFFLINE_EXPERIMENT, "--set-param", f"data.name={OFFLINE_DATA}"):
        raise RuntimeError(f"the fall-back to {OFFLINE_DATA} stopped; the stage's message above says why")
    outputs = root / "reports" / OFFLINE_EXPERIMENT
    shutil.rmtree(outputs, ignore_errors=True)
    state = states.at(root, OFFLINE_EXPERIMENT)
    state.copy_outputs(outputs, state.outputs)
    return summary(root, outputs)


def _complete_run(root: Path) -> None:
    """Fill in what DVC restored without running a stage: the workspace's run holds all of its outputs."""
    try:
        for line in sync(root, [states.WORKSPACE]):
            if not line.startswith(NOTHING_TO_DO):
                print(line, flush=True)
    except RuntimeError as error:
        print(f"not recorded in MLflow: {error}", file=sys.stderr, flush=True)


def _has_data(root: Path, name: str) -> bool:
    """Say whether the data set lies in the workspace or, complete or not, in DVC's cache."""
    with suppress(ValueError, OSError):
        return bool(read_report(root / FOLDER)["name"] == name)
    state = states.workspace(root)
    digest = state.digest("download", "outs", FOLDER.as_posix()) or ""
    used = state.stages.get("download", {}).get("params", {}).get("params.yaml", {}).get("data.name")
    cached = root / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]
    return used == name and cached.is_file()


def summary(root: Path, outputs: Path) -> str:
    """Return what came out, in a few lines, from the outputs in `outputs` and the run in the store of `root`."""
    artifacts = outputs / states.ARTIFACTS
    experiment = read_experiment(artifacts / "train" / "experiment.json")
    try:
        findings = read_findings(artifacts / "evaluate")
        numbers, failed = findings["metrics"], findings["tags"]["checks.failed"]
        accuracy, low, high = (numbers[name] for name in ("test_accuracy", "test_accuracy_low", "test_accuracy_high"))
    except KeyError as error:
        raise ValueError(f"the findings of evaluate lack {error}; run `dvc repro -f evaluate`") from None
    try:
        store = RunStore.open(root)
        found = store.find(experiment.key)
        run = found.name if found else "none in this store; `softmax-regression sync` fills it in"
        look, page = store.ui_command(), store.run_link(found.run_id) if found else ""
    except RuntimeError as error:
        run, look, page = f"unknown: {error}", "make ui", ""
    lines = {
        "data set": experiment.params["data.name"],
        "test accuracy": f"{accuracy:.4f} (95% interval {low:.4f} to {high:.4f})",
        **({} if failed == "none" else {"checks failed": failed}),
        "MLflow run": run,
        "predictions": (artifacts / "predict" / "first.png").relative_to(root),
        "see the runs": look,
        **({"see this run": page} if page else {}),
    }
    return "\n".join(f"{name + ':':<15}{value}" for name, value in lines.items())


def _dvc(root: Path, *arguments: str) -> bool:
    """Run this Python's DVC, and its stages with this Python, whatever the PATH says; say whether it succeeded."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    for who in ("AUTHOR", "COMMITTER"):  # `dvc exp run` commits; on a fresh machine git knows nobody
        environment.setdefault(f"GIT_{who}_NAME", "softmax-regression")
        environment.setdefault(f"GIT_{who}_EMAIL", "softmax-regression@localhost")
    command = [sys.executable, "-m", "dvc", *arguments]
    environment["PYTHONUNBUFFERED"] = "1"  # so that its lines and those of the stages keep their order
    with subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        blank = ""  # which stood around the hints, too
        for line in process.stdout:
            if not line.strip():
                blank = line
            elif not line.startswith(_HINTS):
                print(blank + line, end="", flush=True)
                blank = ""
    return process.returncode == 0
