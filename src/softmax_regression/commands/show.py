"""What a run is, and how to get the state of the project back that it came of."""

import json
import re
import shlex
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.comparing.run_files import RunFiles
from softmax_regression.entry import one_line
from softmax_regression.files import read_yaml
from softmax_regression.lineage.naming import resolve
from softmax_regression.lineage.provenance import git
from softmax_regression.lineage.states import WORKSPACE
from softmax_regression.params import flatten, plain
from softmax_regression.tracking.record import DVC_ALSO, REPRODUCED, REPRODUCES, RESTORED, RunRecord
from softmax_regression.tracking.run_store import RunStore

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")  # SHA-1, SHA-256


def show(root: Path, ref: str = WORKSPACE) -> str:
    """Return what the run that `ref` names (see naming.py) is, and the commands that give its state back."""
    store = RunStore.open(root)
    record = resolve(store, root, ref).record
    with tempfile.TemporaryDirectory() as folder:
        experiment = RunFiles(store, Path(folder)).experiment(record)
    model = store.model_of(record.run_id)
    dirty = "code.diff" in store.artifacts(record.run_id)
    facts = _facts(record, experiment) | {
        "model": f"models:/{model.model_id}" if model else "",
        "page": store.run_link(record.run_id),
    }
    lines = "\n".join(f"  {name:<15}{one_line(value)}" for name, value in facts.items() if value)
    return f"{record}\n{lines}\n\n{way_back(root, record, experiment, dirty)}"


def difference(root: Path, ref: str) -> bytes:
    """Return the code.diff of a run, for `git apply`; empty if its code was that of the commit."""
    store = RunStore.open(root)
    record = resolve(store, root, ref).record
    with suppress(FileNotFoundError), tempfile.TemporaryDirectory() as folder:
        return store.download(record.run_id, "code.diff", Path(folder)).read_bytes()
    return b""


def way_back(root: Path, record: RunRecord, experiment: Experiment | None, dirty: bool) -> str:
    """Return the commands that give the run's state back, as lines of text."""
    commit = record.tags.get("git.commit", "none")
    if not _COMMIT.fullmatch(commit):  # "none", or what somebody else wrote there: it becomes part of commands
        return "The commit that it came of is not known."
    then = read_yaml(git("show", "--end-of-options", f"{commit}:params.yaml", folder=root), "params.yaml")
    if not isinstance(then, dict):
        return f"It came of commit {commit}, which is not in this repository: run `git fetch`, then this again."
    before = flatten(then)
    own = experiment.params if experiment else {key: _value(text) for key, text in record.params.items()}
    changes = {key: value for key, value in sorted(own.items()) if key in before and before[key] != value}
    settings = "".join(f" -S {shlex.quote(f'{key}={plain(value)}')}" for key, value in changes.items())
    lines = [
        f"softmax-regression show {record.run_id} --diff > code.diff" if dirty else "",
        f"git checkout {commit}",
        "git apply code.diff" if dirty else "",
        f"dvc exp run{settings}" if changes else "dvc repro",
    ]
    return "To get this state back:\n" + "\n".join(f"  {line}" for line in lines if line)


def _facts(record: RunRecord, experiment: Experiment | None) -> dict[str, str]:
    tags = record.tags
    seconds = f", {(record.end_time - record.start_time) / 1000:.0f} s" if record.end_time else ""
    restored = {"true": "rebuilt from the DVC outputs", "completed": "completed from the DVC outputs"}
    data = experiment.data if experiment else {}
    # Older runs have a tag for each.
    machine = (tags[name] for name in ("platform", "processor", "gpu") if tags.get(name, "none") != "none")
    versions = [f"{key.removeprefix('version.')} {value}" for key, value in tags.items() if key.startswith("version.")]
    versions = [f"python {tags['python']}", *versions] if "python" in tags else []
    metrics = sorted(
        f"{name.removeprefix('final/')} {value:.4f}" for name, value in record.metrics.items() if "final/" in name
    )
    return {
        "run": record.run_id,
        "experiment": f"{record.key or 'not finished'} (configuration {record.config_key}, attempt {record.attempt})",
        "reproduced": tags.get(REPRODUCED, ""),
        "repetition of": tags.get(REPRODUCES, ""),
        "restored": restored.get(tags.get(RESTORED, ""), ""),
        "DVC experiment": f"{record.dvc_experiment} {tags.get(DVC_ALSO, '')}".strip(),
        "started": f"{datetime.fromtimestamp(record.start_time / 1000, UTC):%Y-%m-%d %H:%M} UTC{seconds}",
        "by": tags.get("mlflow.user", ""),
        "commit": f"{tags.get('git.commit')}{' and code.diff' if tags.get('git.dirty') == 'true' else ''}",
        "data": ", ".join(f"{part} {digest[:12]}" for part, digest in data.items()),
        "machine": tags.get("machine") or ", ".join(machine),
        "versions": tags.get("versions") or ", ".join(versions),
        "metrics": ", ".join(metrics),
    }


def _value(text: str) -> object:
    """Return a param as params.yaml holds it from what a run holds; what `plain` has not written is text."""
    try:
        return None if text == "none" else json.loads(text)
    except (ValueError, RecursionError):
        return text
