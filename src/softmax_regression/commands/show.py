"""What a run is, and how to get the state of the project back that it came of."""

from __future__ import annotations

import json
import shlex
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.comparing.run_files import RunFiles
from softmax_regression.lineage import states
from softmax_regression.lineage.provenance import params_at
from softmax_regression.lineage.restore import EXP_ALSO, RESTORED
from softmax_regression.params import flatten
from softmax_regression.tracking.client import Store
from softmax_regression.tracking.record import RunRecord


def show(root: Path, ref: str = states.WORKSPACE) -> str:
    """Return what the run that `ref` names is, and the commands that give its state back.

    `ref` names a run (see `runs.resolve`), or a state of the project: "workspace", a DVC experiment, a commit.
    Raises ValueError if it names neither, or the store has no run for the state.
    """
    store = Store.open(root)
    record = find(store, root, ref)
    with tempfile.TemporaryDirectory() as folder:
        experiment = RunFiles(store, Path(folder)).experiment(record)
    dirty = "code.diff" in store.artifacts(record.run_id)
    facts = "\n".join(f"  {name:<15}{value}" for name, value in _facts(record, experiment).items() if value)
    return f"{record}\n{facts}\n\n{way_back(root, record, experiment, dirty)}"


def difference(root: Path, ref: str) -> str:
    """Return the code.diff of a run, for `git apply`; empty if its code was that of the commit."""
    store = Store.open(root)
    record = find(store, root, ref)
    if "code.diff" not in store.artifacts(record.run_id):
        return ""
    with tempfile.TemporaryDirectory() as folder:
        return store.download(record.run_id, "code.diff", Path(folder)).read_bytes().decode(errors="surrogateescape")


def find(store: Store, root: Path, ref: str) -> RunRecord:
    """Return the run that `ref` names; see `show`."""
    if ref != states.WORKSPACE:
        try:
            return store.resolve(ref)
        except ValueError as error:
            try:
                state = states.at(root, ref)
            except ValueError:
                raise error from None
    else:
        state = states.workspace(root)
    if not state.outputs:
        raise ValueError(f"{ref}: its dvc.lock has no training; run `dvc repro`, and commit dvc.lock")
    record = store.find(state.experiment.key)
    if record is None:
        raise ValueError(
            f"{ref}: the store has no run of the experiment {state.experiment.key}; run `softmax-regression sync`"
        )
    return record


def way_back(root: Path, record: RunRecord, experiment: Experiment | None, dirty: bool) -> str:
    """Return the commands that give the run's state back, as lines of text."""
    commit = record.tags.get("git.commit", "none")
    if commit == "none":
        return "The commit that it came of is not known: its code is recorded in experiment.json, by digest."
    then = params_at(commit, root)
    if then is None:
        return f"It came of commit {commit}, which is not in this repository: run `git fetch`, then this again."
    changes = " ".join(
        f"-S {shlex.quote(f'{key}={_plain(value)}')}" for key, value in _changed(record, experiment, then)
    )
    lines = [
        f"softmax-regression show {record.run_id} --diff > code.diff" if dirty else "",
        f"git checkout {commit}",
        "git apply code.diff" if dirty else "",
        f"dvc exp run {changes}" if changes else "dvc repro",
    ]
    return "To get this state back:\n" + "\n".join(f"  {line}" for line in lines if line)


def _facts(record: RunRecord, experiment: Experiment | None) -> dict[str, str]:
    tags = record.tags
    seconds = f", {(record.end_time - record.start_time) / 1000:.0f} s" if record.end_time else ""
    others = tags.get(EXP_ALSO, "")
    versions = [f"{key.removeprefix('version.')} {value}" for key, value in tags.items() if key.startswith("version.")]
    metrics = [
        f"{name.removeprefix('final/')} {value:.4f}" for name, value in record.metrics.items() if "final/" in name
    ]
    return {
        "run": record.run_id,
        "experiment": f"{record.key or 'not finished'} (configuration {record.config_key}, attempt {record.attempt})",
        "restored": {"true": "rebuilt from the DVC outputs", "completed": "completed from the DVC outputs"}.get(
            tags.get(RESTORED, ""), ""
        ),
        "DVC experiment": f"{record.dvc_experiment} {others}".strip(),
        "started": f"{datetime.fromtimestamp(record.start_time / 1000, UTC):%Y-%m-%d %H:%M} UTC{seconds}",
        "commit": f"{tags.get('git.commit')}{' and code.diff' if tags.get('git.dirty') == 'true' else ''}",
        "data": ", ".join(f"{part} {digest[:12]}" for part, digest in (experiment.data if experiment else {}).items()),
        "machine": ", ".join(
            tags[name] for name in ("platform", "processor", "gpu") if tags.get(name, "none") != "none"
        ),
        "versions": ", ".join([f"python {tags['python']}", *versions] if "python" in tags else []),
        "metrics": ", ".join(sorted(metrics)),
    }


def _changed(record: RunRecord, experiment: Experiment | None, then: dict[str, object]) -> list[tuple[str, Any]]:
    """Return the params of the run that are others than those of its commit's params.yaml."""
    own = experiment.params if experiment else {key: _read(text) for key, text in record.params.items()}
    before = flatten(then)
    return [(key, value) for key, value in sorted(own.items()) if key in before and before[key] != value]


def _read(text: str) -> Any:
    return None if text == "none" else yaml.safe_load(text)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
