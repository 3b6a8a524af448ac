"""States of the pipeline: which outputs DVC has for the workspace, for a commit, for one of its experiments.

Nothing is run and the workspace is not touched: dvc.lock says what belongs together, and DVC reads the files from the
workspace, its cache or its remote. The only file that imports DVC.
"""

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter, ValidationError

from softmax_regression.artifacts.experiment import Experiment, parse_experiment
from softmax_regression.files import md5_of, md5_of_folder, read_yaml, text_of
from softmax_regression.lineage.provenance import Origin, code_diff, code_tags, git, git_commit
from softmax_regression.tracking.record import DVC_BASELINE, DVC_EXPERIMENT

ARTIFACTS = "artifacts"  # the outputs of the stages after download are folders in it
TRAIN = f"{ARTIFACTS}/train"
WORKSPACE = "workspace"


class _Entry(BaseModel):
    path: str
    hash: Literal["md5"] = "md5"
    md5: str | None = None


class _Stage(BaseModel):
    """What is read of a stage in dvc.lock; DVC writes more."""

    deps: list[_Entry] = []
    outs: list[_Entry] = []
    params: dict[str, dict[str, Any]] = {}


class NotHereError(RuntimeError):
    """DVC has the files of a state neither in the workspace nor in its cache or remote."""


@dataclass(frozen=True)
class State:
    """One state of the project at `root`: of the workspace, or of the commit `revision`, which `base` led to."""

    name: str
    root: Path
    revision: str = ""
    base: str = "HEAD"
    dvc_experiment: str = ""  # its name, where the state is one

    @cached_property
    def stages(self) -> Mapping[str, Any]:
        """What dvc.lock says of each stage; nothing if it is not there.

        Raises ValueError where it is torn, by a merge conflict say, or has another shape than DVC gives it.
        """
        try:
            return _stages(self._text("dvc.lock"))
        except ValueError as error:
            said = " ".join(str(error).split())
            raise ValueError(f"{self.name}: {said}; `git checkout dvc.lock`, then `dvc repro`") from None

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The digests, by path, of what belongs to the last training: of train's outputs and what depends on them."""
        train = self.digest("train", "outs", TRAIN)
        if train is None:
            return {}
        found = {TRAIN: train}
        for stage, entry in self.stages.items():
            if self.digest(stage, "deps", TRAIN) == train:  # or it is about an older training
                found |= {out["path"]: out["md5"] for out in entry.get("outs", []) if "md5" in out}
        return found

    @property
    def dvc_tags(self) -> dict[str, str]:
        """The tags that lead from a run to DVC's experiment."""
        return {DVC_EXPERIMENT: self.dvc_experiment, DVC_BASELINE: self.base} if self.dvc_experiment else {}

    @cached_property
    def experiment(self) -> Experiment:
        """experiment.json. Raises ValueError where there is no training, RuntimeError where DVC does not have it."""
        if not self.outputs:
            raise ValueError(f"{self.name}: its dvc.lock has no training; run `dvc repro`, and commit dvc.lock")
        path = f"{TRAIN}/experiment.json"
        with self._files() as files:
            return parse_experiment(files.read_text(f"/{path}"), f"{path} of {self.name}")

    def has_code_of_training(self) -> bool:
        """Say whether the code of this state is what dvc.lock says the training was made with."""
        deps = self.stages.get("train", {}).get("deps", [])
        code = [dep for dep in deps if dep["path"].startswith(("src/", "pipeline/"))]
        with self._files() as files, tempfile.TemporaryDirectory() as folder, suppress(FileNotFoundError):
            return bool(code) and all(_copied(files, dep["path"], Path(folder)) == dep.get("md5") for dep in code)
        return False  # renamed or removed since

    def origin(self) -> Origin:
        """Return where the outputs come from, as far as it is known.

        If the code of this state made them, it is described as its difference to the commit `base`; else the commit is
        unknown. So are versions and hardware: this machine's may be others.
        """
        commit = git_commit(self.root, self.base) if self.has_code_of_training() else None
        diff = code_diff(self.root, self.base, self.revision) if commit else ""
        return Origin(code_tags(commit, diff), diff, self._text("params.yaml"))

    def copy_outputs(self, destination: Path, paths: Iterable[str]) -> None:
        """Copy the outputs at `paths` into the folder `destination`, under the same paths.

        Raises RuntimeError where DVC does not have them, or they are not what dvc.lock says.
        """
        with self._files() as files:
            for path in paths:
                if _copied(files, path, destination) != self.outputs[path]:
                    raise RuntimeError(f"{path} is not what dvc.lock says: run `dvc repro`")

    def digest(self, stage: str, kind: str, path: str) -> str | None:
        """Return the digest that dvc.lock has for `path` among the "deps" or "outs" of a stage, or None."""
        entries = self.stages.get(stage, {}).get(kind, [])
        return next((entry["md5"] for entry in entries if entry["path"] == path and "md5" in entry), None)

    def _text(self, name: str) -> str:
        """Return the text of a file that git keeps; nothing where it is not there."""
        if self.revision:
            return git("show", f"{self.revision}:{name}", folder=self.root)
        return text_of(self.root / name)

    @contextmanager
    def _files(self) -> Iterator[Any]:
        """Yield DVC's view of the files, with the project as "/"; its errors become NotHereError.

        A path without that "/" is one from the folder in which the program was started.
        """
        from dvc.api import DVCFileSystem
        from dvc.exceptions import DvcException
        from dvc_data.index import DataIndexDirError

        try:
            yield DVCFileSystem(str(self.root), rev=self.revision or None)
        except (DvcException, DataIndexDirError, OSError) as error:
            raise NotHereError(f"DVC does not have its outputs ({error}): run `dvc pull`, or `dvc repro`") from error


def workspace(root: Path) -> State:
    """Return the state of the workspace."""
    return State(WORKSPACE, root)


def at(root: Path, name: str) -> State:
    """Return the state of the workspace, a DVC experiment or a commit as git names it; ValueError if there is none."""
    if name == WORKSPACE:
        return workspace(root)
    for state in experiments(root):
        if name in (state.name, state.revision):
            return state
    revision = git_commit(root, name)
    if not revision:
        raise ValueError(f"{name!r} is neither a DVC experiment (`dvc exp list --all`) nor a commit")
    return State(name, root, revision, base=revision)


def experiments(root: Path) -> list[State]:
    """Return the states of all experiments that `dvc exp list --all` knows."""
    refs = git("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps", folder=root)
    # refs/exps/<2 digits of the commit that it started from>/<the other 38>/<name>; DVC keeps others for itself
    found = re.findall(r"^(\w{40}) refs/exps/([0-9a-f]{2})/([0-9a-f]{38})/([^/\n]+)$", refs, re.MULTILINE)
    return [State(name, root, tip, base=start + rest, dvc_experiment=name) for tip, start, rest, name in found]


def all_states(root: Path) -> list[State]:
    """Return the workspace, the checked-out commit where it has other outputs, and DVC's experiments.

    One without outputs is left out; not so one whose dvc.lock is damaged: who looks at its outputs has a ValueError.
    """
    here, commit = workspace(root), git_commit(root)
    head = State("HEAD", root, commit, base=commit) if commit else here
    others = [head, *experiments(root)] if _known(head) != _known(here) else experiments(root)
    return [state for state in [here, *others] if _known(state) != {}]


def _known(state: State) -> Mapping[str, str] | None:
    """Return the outputs of a state; None where its dvc.lock is damaged."""
    with suppress(ValueError):
        return state.outputs
    return None


def _stages(text: str) -> dict[str, Any]:
    """Return what a dvc.lock's text says of each stage. Raises ValueError for a text of another shape."""
    content = {} if not text.strip() else read_yaml(text, "dvc.lock")
    stages = content.get("stages", {}) if isinstance(content, dict) else None
    if not isinstance(stages, dict):
        raise ValueError("dvc.lock has no stages")
    try:
        TypeAdapter(dict[str, _Stage]).validate_python(stages)
    except ValidationError as error:
        problem = error.errors()[0]
        raise ValueError(f"dvc.lock: {'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
    return stages


def _copied(files: Any, path: str, destination: Path) -> str:
    """Copy a file or folder of DVC's view into `destination`, under its path; return its digest as in dvc.lock.

    Raises ValueError for a path that leads elsewhere: the dvc.lock of a commit or an experiment is other people's.
    """
    copy = destination / path
    if ".." in copy.parts or not copy.is_relative_to(destination):
        raise ValueError(
            f"dvc.lock names {path!r}, outside of the project; see who changed it, and do not run that state"
        )
    copy.parent.mkdir(parents=True, exist_ok=True)
    files.get(f"/{path}", str(copy), recursive=True)
    return md5_of_folder(copy) if copy.is_dir() else md5_of(copy)
