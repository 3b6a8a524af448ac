"""A project under torture: its folders and its store, the commands that a person types, and what must hold.

The model is small. `figures` maps each experiment to what its last evaluation found; `represented` are the experiments
that have had a live run which no person took away; `cut_off` the runs of trainings that were killed. Everything else
is read from the files and the store at the moment when it is asked.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import psutil
from scratch_project import Project, make_project
from torture import faults
from torture.snapshot import StoredRun, digest, json_of, key_of, postgresql_snapshot, sqlite_snapshot
from torture.stores import Server

OWN = ("python", "-m", "softmax_regression.cli")
CODE = "src/softmax_regression"
MATHEMATICS = f"{CODE}/mathematics/softmax.py"
# An edit of the evaluation that moves the figures of metrics.json.
EVALUATION, FINE, COARSE = f"{CODE}/evaluation/evaluation.py", "round(value, 7)", "round(value, 4)"
# Drawing takes most of a stage's time, and no promise is about it: one of each kind, and none as SVG.
LESS_DRAWING = (
    (f"{CODE}/evaluation/evaluation.py", "in pictures.items():", "in list(pictures.items())[:1]:"),
    (f"{CODE}/evaluation/training_pictures.py", "sorted(trained.snapshots.items())", "[(0, weight)]"),
    (f"{CODE}/evaluation/training_pictures.py", "look.save(curves.training_curves_book(", "(("),
    (f"{CODE}/plots/look.py", '.svg"), svg_bytes(figure))', '.svg"), "<svg/>")'),
)
SYNC_LINE = re.compile(
    r"nothing to do: |.+: its process is gone|(.+: )?.+ \(\w{8}\): |[\w/.#-]+: not synced: |error: \d+ of the states"
)


class Violation(AssertionError):  # noqa: N818  # it is what was broken
    """A promise was broken; the text says which, and what was typed until then."""


@dataclass
class Named:
    """What is remembered of one MLflow experiment name of a store."""

    represented: set[str] = field(default_factory=set)  # keys that must have exactly one live run
    finished: dict[str, str] = field(default_factory=dict)  # run ids -> keys: none of them may be lost
    cut_off: dict[str, set[str]] = field(default_factory=dict)  # configurations -> runs that a training left unfinished
    lost_files: set[str] = field(default_factory=set)  # runs whose files a person has deleted
    unsettled: bool = False  # a person restored a run: two may be live until a command has opened the store


def make_template(programs: Path, folder: Path) -> Path:
    """Make the project that each world is a copy of: two epochs on the digits, the data downloaded, committed."""
    project = make_project(folder, epochs=2)
    for name, old, new in LESS_DRAWING:
        path = folder / name
        path.write_text(path.read_text().replace(old, new))
    project.environment["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"
    project.call("dvc", "repro", "download")
    project.commit()
    project.call("python", "-m", "softmax_regression.cli", "sync")  # an empty store: to make one takes seconds
    return folder


class World:
    """A copy of the template with a store of its own: the project's file, or an experiment name on `server`."""

    def __init__(self, programs: Path, template: Path, folder: Path, server: Server | None, counts: Counter[str]):
        self.folder, self.server, self.counts = folder, server, counts
        self._programs = programs
        self.journal: list[str] = []
        self.repository, self._inside = folder / "repository", ""
        shutil.copytree(template, self.repository, symlinks=True)
        self.failed, self._names = False, 0
        self.experiment = self._first = f"torture-{uuid4().hex[:8]}" if server else "softmax-regression"
        self._named: dict[str, Named] = {}  # by MLFLOW_EXPERIMENT_NAME
        self.figures: dict[tuple[str, str], str] = {}  # (experiment's key, the evaluation's code) -> metrics.json
        self.weights: dict[str, str] = {}  # params of an experiment -> digest of its weights
        self.deleted: list[str] = []  # runs that a person deleted, in order, and that can be restored

    # What a person types

    def type(self, *command: str, where: Path | None = None, fails: bool | None = False, fault: str = "") -> str:
        """Run a command; return what it prints. It must succeed (or fail, or either where `fails` is None).

        `fault` is what befalls it or a process that it starts, see `faults`.
        """
        text, code = self._run(command, where or self.root, {faults.VARIABLE: fault} if fault else {})
        self._check_text(command, text, code)
        if fails is not None and fails != (code != 0):
            self.broken(f"`{' '.join(command)}` ended with {code}:\n{text[-3000:]}")
        return text

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command in a terminal of its own, a process group."""
        self.journal.append(f"{' '.join(command)} &")
        return subprocess.Popen(
            command,
            cwd=self.root,
            env=self._environment(self.root),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )

    def own(self, *arguments: str, where: Path | None = None, fails: bool | None = False, fault: str = "") -> str:
        """Run our console script."""
        return self.type(*OWN, *arguments, where=where, fails=fails, fault=fault)

    def mlflow(self, *arguments: str, fails: bool | None = False) -> None:
        """Run MLflow's own command on this store."""
        _, code = self._run(("mlflow", *arguments), self.root, {"MLFLOW_TRACKING_URI": self._uri})
        self.check(fails is None or code == 0, f"`mlflow {' '.join(arguments)}` ended with {code}")

    def set(self, key: str, value: object, where: Path | None = None) -> None:
        """Edit a param in params.yaml by the last part of its name."""
        path = (where or self.root) / "params.yaml"
        before = path.read_text()
        after = re.sub(rf"^(  {key.rpartition('.')[2]}:) [^\s#]+", rf"\1 {value}", before, flags=re.MULTILINE)
        if after != before:
            self.journal.append(f"edit params.yaml: {key} {value}")
            path.write_text(after)

    def replace(self, name: str, old: str, new: str) -> None:
        """Edit a file of the project."""
        path = self.root / name
        text = path.read_text()
        if old in text:
            self.journal.append(f"edit {name}: {old!r} -> {new!r}")
            path.write_text(text.replace(old, new))

    def comment(self, name: str) -> None:
        """Add a comment at the end of a file of the project."""
        self.journal.append(f"echo '# tried out' >> {name}")
        with (self.root / name).open("a") as file:
            file.write("# tried out\n")

    def note(self, what: str) -> None:
        """Write down what a person does by other means than a command."""
        self.journal.append(what)

    def remove(self, *names: str) -> None:
        """`rm -r`, in the project."""
        self.journal.append(f"rm -rf {' '.join(names)}")
        for name in names:
            for path in self.root.glob(name):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def close(self) -> None:
        """End what may still run in this world, and delete it."""
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if Path(process.cwd()).is_relative_to(self.folder):
                    process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    # What a person does, in several steps

    def repro(self, where: Path | None = None) -> None:
        """Run the pipeline."""
        self.type("dvc", "repro", where=where)
        self.after_repro(where)
        if where is None:
            self.settle()
            key = key_of(self.root / "artifacts/train")
            represented = [run for run in self.runs().values() if run.live and run.key == key]
            ran_nothing = not represented and key not in self.store.represented  # DVC had it all: `sync` fills in
            self.check(
                ran_nothing or len(represented) == 1, f"after `dvc repro` {key} has {len(represented)} live runs"
            )

    def after_a_kill(self) -> None:
        """Remember which trainings were cut off; check what holds even now."""
        store, runs = self.store, self.runs()
        whole = {run.config for run in runs.values() if run.status == "FINISHED"}
        resumes = "resume: true" in (self.root / "params.yaml").read_text()
        for run in runs.values():
            if run.config not in whole and resumes:
                store.cut_off.setdefault(run.config, set()).add(run.run_id)
        store.cut_off = {config: ids for config, ids in store.cut_off.items() if len(ids) == 1}  # else which?
        self.settle()

    def killed_and_resumed(self, fault: str) -> bool:
        """Run the pipeline under a fault, then again, and sync: one complete run. Say whether the fault struck."""
        struck = "failed to reproduce" in self.type("dvc", "repro", fails=None, fault=fault)
        self.after_a_kill()
        self.repro()
        self.sync(doctor=True)
        self.check(len(self.runs()) == 1, "more runs than trainings")
        return struck

    def run_queue(self) -> None:
        """Start a worker until all queued has been run; a worker may hear the "shut down" meant for the last."""
        for _ in range(4):
            self.type("dvc", "queue", "start")
            for waited in range(60):
                status, _ = self._run(("dvc", "queue", "status"), self.root, {}, silent=True)
                if not re.search(r"Queued|Running", status):
                    return
                if waited > 8 and "0 active, 0 idle" in status:
                    break
                time.sleep(0.5)
        self.broken(f"the queue does not end:\n{status}")

    def into_a_monorepo(self) -> None:
        """Make the project a folder of a larger repository."""
        self.note("(the project is a folder of a larger repository)")
        shutil.rmtree(self.root / ".git")
        self.repository.rename(self.folder / "project")
        self.repository.mkdir()
        (self.folder / "project").rename(self.repository / "project")
        self._inside = "project"
        for command in (
            "git init --quiet --initial-branch=main",
            "git config user.name a",
            "git config user.email a@b.c",
            "git add --all .",
            "git commit --quiet --message first",
        ):
            subprocess.run(command.split(), cwd=self.repository, check=True)

    def commit(self) -> None:
        """Commit all that git does not ignore."""
        self.type("git", "add", "--all", ".")
        self.type("git", "commit", "--quiet", "--allow-empty", "--message", "next")

    def new_name(self) -> str:
        """Return a name for an experiment of DVC's that none has had."""
        self._names += 1
        return f"exp-{self._names}"

    def new_seed(self) -> int:
        """Return a seed that none of the rules' edits has."""
        self._names += 1
        return 100 + self._names

    def has_commit(self, name: str) -> bool:
        """Say whether git knows a commit by this name."""
        command = ["git", "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"]
        return subprocess.run(command, cwd=self.root, capture_output=True).returncode == 0

    def second_clone(self, has: str, then: str) -> None:
        """Push, clone the repository elsewhere, and go on there; it has nothing, the remote, or what it pulled."""
        remote = "dvc", "remote", "add", "--default", "--local", "shared", str(self.folder / "remote")
        if not (self.folder / "remote").exists():
            self.type(*remote)
        self.type("dvc", "push", fails=None)
        top = self.folder / "clone"
        shutil.rmtree(top, ignore_errors=True)
        self.type("git", "clone", "--quiet", str(self.repository), str(top))
        clone = top / self._inside
        if has != "nothing":
            self.type(
                "dvc", "remote", "add", "--default", "--local", "shared", str(self.folder / "remote"), where=clone
            )
        if has == "outputs":
            self.type("dvc", "pull", where=clone, fails=None)
        if then == "repro":
            self.repro(clone)
        elif then == "sync":
            self.sync(where=clone)
        else:
            self.own(then, where=clone, fails=None)
        if self.server:
            self.settle()

    def delete_run(self, run: StoredRun, forever: bool) -> None:
        """Delete a run in MLflow; repetitions of it may have to take its place."""
        self.journal.append(f"(the next deletes {run})")
        self.mlflow("runs", "delete", "--run-id", run.run_id)
        store = self.store
        store.finished.pop(run.run_id, None)
        store.unsettled = True
        store.cut_off = {config: ids for config, ids in store.cut_off.items() if run.run_id not in ids}
        if run.live:
            store.represented.discard(run.key)
        if forever:
            self.mlflow("gc", "--backend-store-uri", self.server.database if self.server else self._uri)
            self.deleted = []
        else:
            self.deleted.append(run.run_id)
        self.settle()

    def restore_run(self) -> None:
        """Restore in MLflow the run that was deleted last, if it is one of this experiment's."""
        self.mlflow("runs", "restore", "--run-id", self.deleted.pop(), fails=None)
        self.store.unsettled = True
        self.settle()

    def wipe(self, what: str) -> None:
        """Delete the store, its database or its files; on a server all runs, or their files."""
        store = self.store
        if what == "files":
            store.lost_files |= self.runs().keys()
        else:
            store.represented, store.finished, store.cut_off, store.unsettled = set(), {}, {}, False
            self.deleted = []
        if self.server is None:
            self.remove(*({"all": ("mlflow.db*", "mlruns"), "database": ("mlflow.db*",), "files": ("mlruns",)}[what]))
            if what != "files":
                self._named = {}
        elif what == "files":
            self.note("(the server's files are deleted)")
            shutil.rmtree(self.server.files, ignore_errors=True)
        else:
            for run_id in self.runs():
                self.mlflow("runs", "delete", "--run-id", run_id)
        self.settle()

    def switch_experiment(self) -> None:
        """Set MLFLOW_EXPERIMENT_NAME to another, or back."""
        self.experiment = f"{self._first}-other" if self.experiment == self._first else self._first
        self.note(f"export MLFLOW_EXPERIMENT_NAME={self.experiment}")

    def move(self) -> None:
        """Move the repository's folder."""
        target = self.repository.with_name(f"{self.repository.name}-moved")
        self.journal.append(f"mv {self.repository.name} {target.name}")
        self.repository.rename(target)
        self.repository = target

    # What there is

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.repository / self._inside

    @property
    def store(self) -> Named:
        """What is remembered of the store as it is named now."""
        return self._named.setdefault(self.experiment, Named())

    def runs(self, where: Path | None = None) -> dict[str, StoredRun]:
        """Return the active runs, by id."""
        if self.server:
            return postgresql_snapshot(self.server.database, self.server.files, self.experiment)
        return sqlite_snapshot(where or self.root, self.experiment)

    def live(self) -> list[StoredRun]:
        """Return the live runs, oldest first."""
        return [run for run in self.runs().values() if run.live]

    def experiments(self) -> list[str]:
        """Return the names of DVC's experiments."""
        printed = subprocess.run(
            ["git", "for-each-ref", "--format=%(refname)", "refs/exps"], cwd=self.root, capture_output=True, text=True
        ).stdout
        return sorted(re.findall(r"^refs/exps/\w\w/\w{38}/([^/\n]+)$", printed, re.MULTILINE))

    def locked(self, where: Path | None = None) -> dict[str, str]:
        """Return what dvc.lock says of the folders in artifacts/ that belong to its training: name -> digest."""
        from ruamel.yaml import YAML

        path = (where or self.root) / "dvc.lock"
        stages = YAML(typ="safe").load(path.read_text())["stages"] if path.is_file() else {}
        outs = {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}
        train = outs.get("artifacts/train")
        if train is None:
            return {}
        found = {"train": train}
        for stage in stages.values():
            if any(dep["path"] == "artifacts/train" and dep["md5"] == train for dep in stage.get("deps", [])):
                folders = [out for out in stage["outs"] if out["path"].startswith("artifacts/")]
                found |= {out["path"].removeprefix("artifacts/"): out["md5"] for out in folders}
        return found

    def whole(self, where: Path | None = None) -> bool:
        """Say whether the outputs in the workspace are there, and are what dvc.lock says."""
        root, locked = where or self.root, self.locked(where)
        folders = all(_md5_of_folder(root / "artifacts" / name) == md5 for name, md5 in locked.items())
        metrics = "evaluate" not in locked or (root / "metrics.json").is_file()  # git's to bring back, not DVC's
        return bool(locked) and folders and metrics

    # What must hold

    def broken(self, promise: str) -> None:
        """Say which promise was broken, and by what."""
        self.failed = True
        steps = "\n".join(f"  {line}" for line in self.journal)
        raise Violation(f"{promise}\n\nRuns:\n{self._table()}\n\nTyped until then:\n{steps}")

    def check(self, holds: object, promise: str) -> None:
        """Break off where a promise does not hold."""
        if not holds:
            self.broken(promise)

    def after_repro(self, where: Path | None = None) -> None:
        """Check what a `dvc repro` that succeeded promises, and remember what it found."""
        root = where or self.root
        train = root / "artifacts/train"
        key, experiment = key_of(train), json_of(train / "experiment.json")
        self.check(self.whole(where), "after `dvc repro` the outputs are not what dvc.lock says")
        weights = digest(train / "model.safetensors")
        self.check(experiment["model"] == weights, "experiment.json names other weights than model.safetensors")
        params = json.dumps([experiment["params"], experiment["data"]], sort_keys=True)
        same = self.weights.setdefault(params, weights)
        self.check(same == weights, f"the same params gave other weights: {params}")
        digits = FINE if FINE in (root / EVALUATION).read_text() else COARSE
        found = (root / "metrics.json").read_text()
        self.check(self.figures.setdefault((key, digits), found) == found, f"the experiment {key} got other figures")

    def settle(self) -> None:
        """Check what holds at every moment, and remember the runs that have come."""
        runs, store = self.runs(), self.store
        live: dict[str, StoredRun] = {}
        for run in runs.values():
            if run.live:
                twin = live.get(run.key)
                self.check(twin is None or store.unsettled, f"two live runs of one experiment: {run} and {twin}")
                live[run.key] = run
        if gone := store.represented - live.keys():
            self.broken(
                f"no live run of the experiment {', '.join(gone)}, which had one and lost it by no person's wish"
            )
        for run_id, key in store.finished.items():
            found = runs.get(run_id)
            self.check(found is not None and found.status == "FINISHED", f"the finished run {run_id} of {key} is lost")
        for run in runs.values():
            if run.repeats and not store.unsettled:
                first = runs.get(run.repeats)
                standing = first is not None and first.live and first.key == run.key
                self.check(standing or run.key not in store.represented, f"{run} repeats a run that is not live")
            if run.status == "FINISHED" and run.key and run.run_id not in store.lost_files:
                self._check_files(run)
        for run in live.values():
            for cut_off in store.cut_off.pop(run.config, set()):
                self.check(cut_off == run.run_id, f"the killed training {cut_off} ended in another run, {run}")
        store.finished |= {run.run_id: run.key for run in runs.values() if run.status == "FINISHED" and run.key}
        store.represented |= live.keys() - {""}

    def sync(self, *names: str, where: Path | None = None, doctor: bool = False) -> None:
        """Type `sync`, and check all that holds after it; in a sub-folder or a clone, too."""
        root = where or self.root
        runs, store = self.runs(root), self.store
        text, code = self._run((*OWN, "sync", *names), root, {})
        self._check_text(("softmax-regression", "sync"), text, code)
        for line in text.splitlines():
            self.check(SYNC_LINE.match(line), f"sync prints a line of no known form: {line}")
        unread = re.findall(r"^([\w/.-]+): not synced: ", text, re.MULTILINE)
        self.check(("workspace" in unread) == (code != 0), f"sync ended with {code}:\n{text}")
        if self.whole(where):
            self.check("workspace" not in unread, f"the workspace is whole, and sync did not read it:\n{text}")
        others = set(unread) - {"workspace"}
        self.check(not others or where, f"sync did not read a state:\n{text}")
        if where is None or self.server:
            store.unsettled = False
        after = self.check_synced(where, whole="workspace" not in unread)
        again, code = self._run((*OWN, "sync", *names), root, {})
        idle = not re.search(r"\(\w{8}\): ", again) and (unread or "nothing to do" in again)
        self.check(idle, f"a second sync finds something to do:\n{text}then\n{again}")
        self.check(_facts(self.runs(root)) == _facts(after), f"a second sync changes the store:\n{again}")
        if doctor and not unread and where is None:
            said = self.own("doctor", fails=None)
            for line in said.splitlines():
                if line.startswith("WRONG"):
                    self.check("the outputs are not up to date" in line, f"after sync the doctor says: {line}")
                self.check("cannot be looked at" not in line, f"after sync the doctor says: {line}")
        if not where:
            self.settle()
        lost = runs.keys() - after.keys()
        self.check(not lost, f"sync lost the runs {lost}")

    def check_synced(self, where: Path | None = None, *, whole: bool = True) -> dict[str, StoredRun]:
        """Check that no run is RUNNING and that the workspace's, if it is `whole`, holds it; return all runs."""
        root = where or self.root
        runs = self.runs(root)
        running = [run for run in runs.values() if run.status == "RUNNING"]
        self.check(not running, f"RUNNING after sync: {', '.join(map(str, running))}")
        if whole and (locked := self.locked(where)):
            self._check_workspace(root, runs, locked)
        return runs

    # The steps of the above

    def _check_files(self, run: StoredRun) -> None:
        """Check that a finished run's files are those of its experiment, with one model that can be used."""
        recorded = json_of(run.files / "experiment.json")
        self.check(key_of(run.files) == run.key, f"experiment.json of {run} is that of another experiment, or missing")
        weights = digest(run.files / "model.safetensors")
        self.check(weights == recorded["model"], f"model.safetensors of {run} is not the experiment's")
        ready = [model for model in run.models if model.ready]
        self.check(len(run.models) == 1 and len(ready) == 1, f"{run} has {len(run.models)} models, {len(ready)} ready")
        for name in ("MLmodel", "artifacts/model.safetensors", "artifacts/model.json"):
            self.check((ready[0].files / name).is_file(), f"the model of {run} has no {name}")
        self.check(digest(ready[0].files / "artifacts/model.safetensors") == weights, f"the model of {run} has others")

    def _check_workspace(self, root: Path, runs: dict[str, StoredRun], locked: dict[str, str]) -> None:
        """Check that the workspace's run holds what dvc.lock says, and shows the figures that lie in the workspace."""
        held = {f"outputs.{name}": md5 for name, md5 in locked.items()}
        fitting = [run for run in runs.values() if run.live and held.items() <= run.tags.items()]
        self.check(fitting, f"after sync no live run holds what dvc.lock says: {held}")
        train = root / "artifacts/train"
        if not train.is_dir():
            return
        self.check(len(fitting) == 1, f"after sync several live runs hold it: {', '.join(map(str, fitting))}")
        run = fitting[0]
        self.store.lost_files.discard(run.run_id)
        self._check_files(run)
        for stage in locked:
            if _md5_of_folder(root / "artifacts" / stage) != locked[stage]:
                continue
            for name, value in json_of(root / "artifacts" / stage / "findings.json").get("metrics", {}).items():
                shown = run.metrics.get(f"final/{name}")
                self.check(shown == value, f"{run} shows {name} {shown}, findings.json of {stage} says {value}")
        history = (train / "history.csv").read_text().splitlines()
        last = dict(zip(history[0].split(","), history[-1].split(","), strict=True))
        for name in ("train_loss", "train_accuracy"):
            shown = run.metrics.get(f"curves/{name}")
            self.check(shown == float(last[name]), f"{run} shows {name} {shown}, history.csv says {last[name]}")
        places = {"predict": "predictions", "evaluate": "evaluation", "figures": "evaluation/figures"}
        for stage, place in places.items():
            for path in (root / "artifacts" / stage).glob("*"):
                if stage in locked and path.is_file() and _md5_of_folder(path.parent) == locked[stage]:
                    same = digest(path) == digest(run.files / place / path.name)
                    self.check(same, f"{place}/{path.name} of {run} is not the workspace's")
        if "figures" in locked:
            self._check_series(run)

    def _check_series(self, run: StoredRun) -> None:
        """Check that each step of an image series has its picture and its thumbnail, once."""
        names = sorted(path.name for path in (run.files / "images").glob("*"))
        steps = Counter((name.partition("+timestamp")[0], Path(name).suffix) for name in names)
        whole = {(step, kind) for step, _ in steps for kind in (".png", ".webp")}
        self.check(names, f"{run} has no images")
        self.check(set(steps) == whole and set(steps.values()) == {1}, f"the image series of {run}: {names}")

    def _check_text(self, command: tuple[str, ...], text: str, code: int) -> None:
        """Check that a command prints no traceback, and one line where it fails."""
        self.check("Traceback (most recent call last)" not in text, f"`{' '.join(command)}` prints\n{text[-4000:]}")
        if code > 0 and "softmax_regression.cli" in command and "doctor" not in command:
            errors = [line for line in text.splitlines() if line.startswith("error: ")]
            self.check(len(errors) == 1, f"`{' '.join(command)}` failed with {len(errors)} lines of error:\n{text}")

    def _run(
        self, command: tuple[str, ...], where: Path, variables: dict[str, str], *, silent: bool = False
    ) -> tuple[str, int]:
        place = "" if where == self.root else f"cd {where.relative_to(self.folder)}; "
        if not silent:
            self.journal.append(f"{place}{_assignments(variables)}{' '.join(command)}")
        self.counts["commands"] += 1
        with tempfile.TemporaryFile("w+", errors="replace") as printed:  # no pipe: DVC's queue workers keep it open
            done = subprocess.run(
                command,
                cwd=where,
                env=self._environment(where) | variables,
                stdout=printed,
                stderr=subprocess.STDOUT,
                timeout=160,
                process_group=0,
            )
            printed.seek(0)
            return printed.read(), done.returncode

    @property
    def _uri(self) -> str:
        return self.server.uri if self.server else f"sqlite:///{self.root}/mlflow.db"

    def _environment(self, where: Path) -> dict[str, str]:
        root = next(folder for folder in (where, *where.parents) if (folder / "dvc.yaml").exists())
        added = {"PATH": f"{self._programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(root / "src")}
        if self.server:
            added["MLFLOW_TRACKING_URI"] = self.server.uri
        if self.server or self.experiment != self._first:
            added["MLFLOW_EXPERIMENT_NAME"] = self.experiment
        return Project(root, added).variables()

    def _table(self) -> str:
        lines = []
        with suppress(Exception):
            for run in self.runs().values():
                stages = [name.removeprefix("outputs.") for name in run.tags if name.startswith("outputs.")]
                lines.append(f"  {run} key {run.key} config {run.config[:6]} holds {' '.join(sorted(stages))}")
        return "\n".join(lines)


def _facts(runs: dict[str, StoredRun]) -> dict[str, tuple[object, ...]]:
    return {run.run_id: (run.status, run.tags, run.metrics, len(run.models)) for run in runs.values()}


def _assignments(variables: dict[str, str]) -> str:
    return "".join(f"{name}='{value}' " for name, value in variables.items())


def _md5_of_folder(folder: Path) -> str:
    from softmax_regression.files import md5_of_folder

    return md5_of_folder(folder) if folder.is_dir() else ""


def kill(process: subprocess.Popen[str], *, terminal: bool) -> str:
    """SIGKILL a command, with all that was started from its terminal or alone; return what it printed."""
    if terminal:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    text, _ = process.communicate(timeout=60)
    return text
