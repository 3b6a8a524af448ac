"""States of the pipeline: which outputs DVC has for the workspace, for a commit, for one of its experiments.

Nothing is run and the workspace is not touched: dvc.lock says what belongs together, and DVC reads the files from the
workspace, its cache or its remote. The only file that imports DVC.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.files import md5_of_folder
from softmax_regression.lineage.provenance import EXP_BASELINE, EXP_NAME
from softmax_regression.tracking.stage_logs import EVALUATE_OUTPUTS, TRAIN_OUTPUTS, predict_outputs

TRAIN, EVALUATE, PREDICT, METRICS = "artifacts/train", "artifacts/evaluate", "artifacts/predict", "metrics.json"
WORKSPACE = "workspace"


@dataclass(frozen=True)
class State:
    """One state of the project at `root`: of the workspace, or of the commit `revision`, which `base` led to.

    `stages` is what dvc.lock says there. `dvc_experiment` is the name of DVC's experiment, or empty.
    """

    name: str
    root: Path
    stages: Mapping[str, Any]
    revision: str = ""
    base: str = "HEAD"
    dvc_experiment: str = ""

    @property
    def outputs(self) -> dict[str, str]:
        """Return the digests of the outputs that belong to the last training, under the tags that runs have them."""
        train = self.digest("train", "outs", TRAIN)
        if train is None:
            return {}
        found = {TRAIN_OUTPUTS: train}
        for stage, path, tag in (
            ("evaluate", EVALUATE, EVALUATE_OUTPUTS),
            ("predict", PREDICT, predict_outputs(self.count)),
        ):
            digest = self.digest(stage, "outs", path)
            if digest and self.digest(stage, "deps", TRAIN) == train:  # or it is about an older training
                found[tag] = digest
        return found

    @property
    def count(self) -> int:
        """Return how many images the grids show."""
        params = self.stages.get("predict", {}).get("params", {}).get("params.yaml", {})
        return int(params.get("predict.count", 0))

    @property
    def dvc_tags(self) -> dict[str, str]:
        """Return the tags that lead from a run to DVC's experiment."""
        return {EXP_NAME: self.dvc_experiment, EXP_BASELINE: self.base} if self.dvc_experiment else {}

    @cached_property
    def experiment(self) -> Experiment:
        """Return experiment.json. Raises RuntimeError where DVC does not have it."""
        with self._reading() as files:
            return Experiment(**json.loads(files.read_text(f"{TRAIN}/experiment.json")))

    def report(self) -> dict[str, Any]:
        """Return the report on the data set. Raises RuntimeError where DVC does not have it."""
        with self._reading() as files:
            report: dict[str, Any] = json.loads(
                files.read_text(f"data/{self.experiment.params['data.name']}/report.json")
            )
            return report

    def copy_outputs(self, destination: Path) -> None:
        """Copy the outputs into the folder `destination`, under their paths in the project.

        Raises RuntimeError where DVC does not have them, or they are not what dvc.lock says.
        """
        paths = {TRAIN_OUTPUTS: TRAIN, EVALUATE_OUTPUTS: EVALUATE, predict_outputs(self.count): PREDICT}
        for tag, digest in self.outputs.items():
            copy = destination / paths[tag]
            copy.parent.mkdir(parents=True, exist_ok=True)
            with self._reading() as files:
                files.get(paths[tag], str(copy), recursive=True)
                if tag == EVALUATE_OUTPUTS:
                    files.get(METRICS, str(destination / METRICS))
            if md5_of_folder(copy) != digest:
                raise RuntimeError(f"{paths[tag]} is not what dvc.lock says: run `dvc repro` or `dvc checkout --force`")

    def digest(self, stage: str, kind: str, path: str) -> str | None:
        """Return the digest that dvc.lock has for `path` among the "deps" or "outs" of a stage, or None."""
        entries = self.stages.get(stage, {}).get(kind, [])
        return next((entry["md5"] for entry in entries if entry["path"] == path and "md5" in entry), None)

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        """Yield DVC's view of the files; its errors become RuntimeError."""
        from dvc.api import DVCFileSystem
        from dvc.exceptions import DvcException

        try:
            yield DVCFileSystem(str(self.root), rev=self.revision or None)
        except (DvcException, OSError) as error:
            raise RuntimeError(f"DVC does not have its outputs ({error}): run `dvc pull`, or `dvc repro`") from error


def workspace(root: Path) -> State:
    """Return the state of the workspace."""
    lock = root / "dvc.lock"
    return State(WORKSPACE, root, _stages(lock.read_text() if lock.is_file() else ""))


def at(root: Path, name: str) -> State:
    """Return the state that `name` names: "workspace", a DVC experiment, or a commit as git names it.

    Raises ValueError where there is none.
    """
    if name == WORKSPACE:
        return workspace(root)
    for state in experiments(root):
        if name in (state.name, state.revision):
            return state
    revision = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").strip()
    if not revision:
        raise ValueError(f"{name!r} is neither a DVC experiment (`dvc exp list --all`) nor a commit")
    return State(name, root, _stages(_git(root, "show", f"{revision}:dvc.lock")), revision, base=revision)


def experiments(root: Path) -> list[State]:
    """Return the states of all experiments that `dvc exp list --all` knows."""
    found = []
    for line in _git(root, "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").splitlines():
        # refs/exps/<2 digits of the commit that it started from>/<the other 38>/<name>; DVC keeps others for itself
        if match := re.fullmatch(r"(\w{40}) refs/exps/([0-9a-f]{2})/([0-9a-f]{38})/([^/]+)", line):
            revision, start, rest, name = match.groups()
            stages = _stages(_git(root, "show", f"{revision}:dvc.lock"))
            found.append(State(name, root, stages, revision, base=start + rest, dvc_experiment=name))
    return found


def _stages(lock: str) -> Mapping[str, Any]:
    """Return what a dvc.lock says of each stage; nothing if it is empty, or torn by a conflict."""
    try:
        content = yaml.load(lock, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # both are safe
    except yaml.YAMLError:
        return {}
    stages: Mapping[str, Any] = (content or {}).get("stages", {})
    return stages


def _git(root: Path, *arguments: str) -> str:
    try:
        return subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False, text=True).stdout
    except OSError:
        return ""
