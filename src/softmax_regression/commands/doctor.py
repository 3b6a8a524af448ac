"""What is wrong with the project, and how to fix it: git, DVC, Python, data, the store and the runs in it."""

import getpass
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from softmax_regression.data.datasets import FOLDER
from softmax_regression.files import md5_of_folder
from softmax_regression.lineage import states
from softmax_regression.lineage.provenance import code_diff, git, git_commit
from softmax_regression.lineage.sync import lacking
from softmax_regression.params import load_params
from softmax_regression.tracking import processes
from softmax_regression.tracking.database import DATABASE
from softmax_regression.tracking.run_store import RunStore

SYNC = "`softmax-regression sync`"


@dataclass(frozen=True)
class Finding:
    """What was looked at, what was found, and what to do; nothing is to do where it is well."""

    what: str
    found: str
    fix: str = ""

    def __str__(self) -> str:
        fix = f"\n       fix it: {self.fix}" if self.fix else ""
        return f"{'WRONG' if self.fix else 'ok   '}  {self.what}: {self.found}{fix}"


def doctor(root: Path) -> tuple[str, bool]:
    """Return the findings as text, and whether all is well. Ends dead runs, and changes nothing else."""
    findings: list[Finding] = []
    for check in (_git, _user, _dvc, _python, _params, _data, _runs):
        try:
            for finding in check(root):
                findings.append(finding)
        except (RuntimeError, ValueError, OSError) as error:  # a finding, too, after those before it
            findings.append(Finding(check.__name__.lstrip("_"), "cannot be looked at", " ".join(str(error).split())))
    wrong = sum(bool(finding.fix) for finding in findings)
    last = f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong" if wrong else "all is well"
    return "\n".join([*map(str, findings), last]), not wrong


def _git(root: Path) -> Iterator[Finding]:
    if shutil.which("git") is None:
        yield Finding("git", "is not installed", "install git")
    elif not git("rev-parse", "--is-inside-work-tree", folder=root):
        if found := next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), None):
            trust = f"`git config --global --add safe.directory {shlex.quote(str(found))}`"
            fix = f"`git status` says why; if it is another user's, {trust}"
            yield Finding("git", f"git does not read the repository {found}", fix)
            return
        yield Finding("git", f"{root} is no repository", "`git init && git add . && git commit -m first`, or clone it")
    elif (commit := git_commit(root)) is None:
        yield Finding("git", "there is no commit yet", "`git add . && git commit -m first`")
    else:
        dirty = "changed since, which runs record as code.diff" if code_diff(root) else "unchanged since"
        yield Finding("git", f"commit {commit[:12]}, code {dirty}")
        if not git("config", "user.email", folder=root).strip() and not os.environ.get("GIT_AUTHOR_EMAIL"):
            fix = "`git config user.name X; git config user.email Y`"
            yield Finding("git identity", "none, so `dvc exp run` cannot commit", fix)


def _user(root: Path) -> Iterator[Finding]:
    try:
        getpass.getuser()
    except (KeyError, OSError):
        yield Finding("user", f"the user {os.getuid()} has no name, and DVC asks for one", "`export USER=me`")


def _dvc(root: Path) -> Iterator[Finding]:
    dvc = sys.executable, "-m", "dvc"
    version = _says(*dvc, "--version", root=root)
    if not version:
        yield Finding("DVC", "does not start with this Python", "`make setup`")
    elif not (root / "dvc.lock").is_file():
        yield Finding("DVC", f"version {version}; the pipeline has not run yet (no dvc.lock)")
    elif states.workspace(root).stages and _says(*dvc, "status", "--json", root=root) == "{}":
        yield Finding("DVC", f"version {version}; the outputs are those of this code, these params and data")
    else:
        outputs = states.workspace(root).outputs
        absent = outputs and not any((root / path).exists() for path in outputs)  # as in a fresh clone
        fix = "`dvc pull`, or `dvc repro`" if absent else "`dvc repro` (`dvc status` says why)"
        yield Finding("DVC", f"version {version}; the outputs are not up to date", fix)


def _python(root: Path) -> Iterator[Finding]:
    """The stages run the `python` that the PATH finds first."""
    found = _says("python", "-c", "import sys; print(sys.prefix)", root=root)
    if found == sys.prefix:
        yield Finding("python", f"the PATH's is this one, {sys.version.split()[0]}")
    else:
        where = f"belongs to {found}" if found else "is not there"
        fix = f"`export PATH={Path(sys.executable).parent}:$PATH`, or `make run`"
        yield Finding("python", f"the PATH's {where}, not to {sys.prefix}", fix)


def _params(root: Path) -> Iterator[Finding]:
    load_params(root / "params.yaml")
    yield Finding("params", "params.yaml can be read")


def _data(root: Path) -> Iterator[Finding]:
    path = FOLDER.as_posix()
    locked = states.workspace(root).digest("download", "outs", path)
    if not (root / path).is_dir():
        yield Finding("data", f"{path} is not there yet; `dvc repro` makes it")
    elif locked is None:
        yield Finding("data", f"{path} is there, and dvc.lock has no digest of it; `dvc repro` checks it")
    elif (found := md5_of_folder(root / path)) == locked:
        yield Finding("data", f"{path} is what dvc.lock says, {locked}")
    else:
        yield Finding("data", f"{path} was changed: {found}, dvc.lock says {locked}", f"`rm -r {path} && dvc repro`")


def _runs(root: Path) -> Iterator[Finding]:
    if not os.environ.get("MLFLOW_TRACKING_URI") and not (root / DATABASE).exists():
        names = ", ".join(state.name for state in states.all_states(root))
        outputs, fix = (f", but outputs of {names}", SYNC) if names else ("", "")
        yield Finding("store", f"there is no {DATABASE} yet{outputs}", fix)
        return
    store = RunStore.open(root)
    holds = "holds runs" if store.newest() else "holds no run yet"
    yield Finding("store", f"{store.uri} {holds}; to see them: {store.ui_command()}")
    for line in store.end_dead_runs():
        yield Finding("dead run", line)
    for run in store.running():
        if not processes.is_here(run.tags[processes.TAG]):
            silent = max(0, time.time() - store.last_seen(run) / 1000)
            where = "on another machine or in another container"
            yield Finding("running", f"{run.name}, {where}, gave a sign of life {silent:.0f} s ago")
    found = []
    for state in states.all_states(root):
        what = f"runs of {state.name}"
        try:
            record, missing = lacking(store, state)
        except states.NotHereError as error:
            fix = "`dvc pull`, or `dvc repro`" if state.name == states.WORKSPACE else ""  # a commit's were never here
            yield Finding(what, f"none is known: {error}", fix)
            continue
        found += [record] if record else []
        if missing:
            has = f"its run {record.name} lacks {', '.join(missing)}" if record else "it has no run"
            yield Finding(what, has, f"{SYNC[:-1]} {shlex.quote(state.name)}`")
    if next(store.stale(found), None):
        yield Finding("live runs", "a run was deleted or restored, so another represents its experiment", SYNC)


def _says(*command: str, root: Path) -> str:
    """Return what a command prints; nothing if it fails or cannot be started."""
    try:
        result = subprocess.run(command, cwd=root, capture_output=True, check=False, text=True)
    except OSError:
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
