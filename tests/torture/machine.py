"""One experiment is one run, whatever a person does in whatever order: a state machine that types at random.

A rule is what a person does; `World` knows what must hold after it. A sequence ends with `sync`, as every promise about
the store may be called in by it.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from torture import faults
from torture.stores import Server
from torture.world import COARSE, EVALUATION, FINE, MATHEMATICS, World, kill

EDITS = (
    ("optimizer.learning_rate", 0.5),
    ("optimizer.learning_rate", 0.1),
    ("train.seed", 1),
    ("train.seed", 0),
    ("predict.count", 4),
    ("predict.count", 6),
    ("train.epochs", 3),
    ("train.epochs", 2),
    ("train.resume", "false"),
    ("train.resume", "true"),
)
edits = st.sampled_from(EDITS)
new_seeds = st.tuples(st.just("train.seed"), st.integers(2, 30))  # mostly one that trains
experiments = st.one_of(st.sampled_from(EDITS[:6]), new_seeds)
accidents = st.one_of(new_seeds, edits)  # when something runs, or nothing does
CLONES_DO = ("sync", "repro", "doctor", "show")
# Which program, and before or after which of its calls of the store. Each makes some tens.
victims = st.sampled_from(("train.py", "evaluate.py", "predict.py"))
kills = st.sampled_from(faults.KINDS[:-1])
calls = st.integers(1, 31)
# Which of the runs or experiments that there are, counted round: what there is does not change what is drawn.
which = st.integers(0, 5)


class OneRunPerExperiment(RuleBasedStateMachine):
    """The rules are the commands and accidents; the model and the promises are in `World`."""

    programs: Path
    template: Path
    server: Server | None = None
    counts: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.world: World

    @initialize(in_a_monorepo=st.booleans())
    def begin(self, in_a_monorepo: bool) -> None:
        """Clone the project: as a repository, or as a folder of one."""
        self.world = World(self.programs, self.template, Path(tempfile.mkdtemp(prefix="w")), self.server, self.counts)
        if in_a_monorepo:
            self.world.into_a_monorepo()

    def did(self, rule: str) -> World:
        """Count a rule; return the world."""
        self.counts[rule] += 1
        return self.world

    # The pipeline

    @rule()
    def a_new_seed(self) -> None:
        """Train what nobody has trained. (By its name the rule that Hypothesis begins with.)"""
        world = self.did("new seed")
        world.set("train.seed", world.new_seed())
        world.repro()

    @rule(edit=edits)
    def repro(self, edit: tuple[str, object]) -> None:
        """Edit a param, or undo it, and run what it concerns."""
        world = self.did("repro")
        world.set(*edit)
        world.repro()

    @rule(edit=edits)
    def edit_only(self, edit: tuple[str, object]) -> None:
        """Edit a param and run nothing yet."""
        self.did("edit").set(*edit)

    @rule()
    def edit_or_undo_the_evaluation(self) -> None:
        """An edit that moves a figure of the same experiment, and back."""
        world = self.did("edit the evaluation")
        world.replace(
            EVALUATION, *((FINE, COARSE) if FINE in (world.root / EVALUATION).read_text() else (COARSE, FINE))
        )
        world.repro()

    @rule()
    def repeat_by_a_comment(self) -> None:
        """A comment in the mathematics: train runs again and comes to the same weights."""
        world = self.did("comment")
        world.comment(MATHEMATICS)
        world.repro()

    @rule()
    def repeat_by_force(self) -> None:
        """`dvc repro --force` of the training alone."""
        world = self.did("force")
        world.type("dvc", "repro", "--force", "--single-item", "train")
        world.settle()

    @rule()
    def lose_the_outputs(self) -> None:
        """Delete the outputs, and let DVC bring them back."""
        world = self.did("dvc checkout")
        world.remove("artifacts", "metrics.json")
        world.type("dvc", "checkout", "--force", fails=None)
        world.settle()

    @rule()
    def edit_metrics_json(self) -> None:
        """Overwrite a result by hand; the pipeline puts it right."""
        world = self.did("edit metrics.json")
        if (world.root / "metrics.json").exists():
            world.note("edit metrics.json: test_accuracy 1.0")
            path = world.root / "metrics.json"
            path.write_text(re.sub(r'("test_accuracy": )[\d.]+', r"\g<1>1.0", path.read_text()))
            world.repro()

    @rule()
    def make_run(self) -> None:
        """`make run`: the pipeline, and a summary that names the run."""
        world = self.did("run")
        text = world.own("run")
        world.after_repro()
        world.settle()
        world.check(re.search(r"^MLflow run: +digits_", text, re.MULTILINE), f"`run` names no run:\n{text}")

    # Experiments of DVC's

    @rule(edit=experiments, how=st.sampled_from(("", "--temp")))
    def exp_run(self, edit: tuple[str, object], how: str) -> None:
        """`dvc exp run`, here or in a temporary workspace."""
        world = self.did(f"exp run {how}".strip())
        world.type("dvc", "exp", "run", *filter(None, [how]), "-n", world.new_name(), "-S", f"{edit[0]}={edit[1]}")
        if not how:
            world.after_repro()
        world.settle()

    @rule(some=st.lists(experiments, min_size=1, max_size=2, unique=True))
    def queue(self, some: list[tuple[str, object]]) -> None:
        """Queue experiments, and let a worker run them."""
        world = self.did("queue")
        for name, value in some:
            world.type("dvc", "exp", "run", "--queue", "-n", world.new_name(), "-S", f"{name}={value}")
        world.run_queue()
        world.settle()

    @rule(which=which, how=st.sampled_from(("apply", "branch", "rename", "remove")))
    def exp(self, which: int, how: str) -> None:
        """Apply, branch off, rename or remove one of DVC's experiments, if there is any."""
        names = self.world.experiments()
        if not names:
            return
        world = self.did(f"exp {how}")
        name = names[which % len(names)]
        more = {"branch": [f"of-{name}"], "rename": [f"{name}-x"]}.get(how, [])
        world.type("dvc", "exp", how, name, *more, fails=None if how in ("branch", "apply") else False)
        world.settle()

    # git, and a second clone

    @rule()
    def commit(self) -> None:
        """Commit what is there."""
        self.did("commit").commit()

    @rule(where=st.sampled_from(("main~1", "main", "HEAD~1")))
    def checkout(self, where: str) -> None:
        """Commit, go to another commit, and let DVC bring its outputs."""
        world = self.did("checkout")
        world.commit()
        if world.has_commit(where):
            world.type("git", "checkout", "--quiet", "--force", where)
            world.type("dvc", "checkout", "--force", fails=None)
        world.settle()

    @rule(
        has=st.sampled_from(("nothing", "remote", "outputs")), then=st.sampled_from(("sync", "repro", "doctor", "show"))
    )
    def second_clone(self, has: str, then: str) -> None:
        """Push, clone, pull or not, and go on there: a run is rebuilt, or what is missing is said in a line."""
        world = self.did("clone")
        world.commit()
        world.second_clone(has, then)

    # The store, and what a person does there

    @rule(doctor=st.booleans(), in_a_sub_folder=st.booleans())
    def sync(self, doctor: bool, in_a_sub_folder: bool) -> None:
        """`sync`: all promises about the store are due."""
        world = self.did("sync")
        if in_a_sub_folder:
            world.own("sync", where=world.root / "pipeline", fails=None)
        world.sync(doctor=doctor)

    @rule(which=which, forever=st.booleans(), syncs=st.booleans())
    def delete_run(self, which: int, forever: bool, syncs: bool) -> None:
        """Delete a run in MLflow, perhaps for ever by `mlflow gc`; a repetition may have to take its place."""
        runs = sorted(self.world.runs().values(), key=lambda run: (not run.live, run.name))
        if not runs:
            return
        world = self.did("mlflow gc" if forever else "delete a run")
        world.delete_run(runs[which % len(runs)], forever)
        if syncs:
            world.sync()

    @rule(syncs=st.booleans())
    def restore_run(self, syncs: bool) -> None:
        """Restore, in MLflow, the run that was deleted last, if there is any."""
        if not self.world.deleted:
            return
        world = self.did("restore a run")
        world.restore_run()
        if syncs:
            world.sync()

    @rule(what=st.sampled_from(("all", "database", "files")))
    def wipe(self, what: str) -> None:
        """Delete the store, or its database alone, or mlruns/ alone."""
        self.did(f"wipe {what}").wipe(what)

    @rule()
    def other_experiment_name(self) -> None:
        """Set MLFLOW_EXPERIMENT_NAME, or unset it."""
        world = self.did("experiment name")
        world.switch_experiment()

    @rule()
    def move(self) -> None:
        """Move the folder."""
        self.did("move").move()

    # Accidents

    @rule(edit=accidents, program=victims, kind=kills, call=calls)
    def killed_at_a_call(self, edit: tuple[str, object], program: str, kind: str, call: int) -> None:
        """A stage is killed before or after one of its calls of the store, alone or with its terminal."""
        world = self.did(f"killed in {program}")
        world.set(*edit)
        world.type("dvc", "repro", fails=None, fault=f"{program} {kind} {call}")
        world.after_a_kill()

    @rule(edit=accidents, tenths=st.integers(1, 35), terminal=st.booleans())
    def killed_at_a_moment(self, edit: tuple[str, object], tenths: int, terminal: bool) -> None:
        """`dvc repro` is killed at any moment, alone or with all that runs in its terminal."""
        world = self.did("killed at a moment")
        world.set(*edit)
        process = world.start("dvc", "repro")
        time.sleep(tenths / 10)
        world.note(f"kill -9 {'-' if terminal else ''}$! after {tenths / 10} s")
        kill(process, terminal=terminal)
        world.after_a_kill()

    @rule(kind=kills, call=st.integers(1, 80))
    def sync_killed(self, kind: str, call: int) -> None:
        """`sync` is killed."""
        world = self.did("killed in sync")
        world.own("sync", fails=None, fault=f"sync {kind} {call}")
        world.settle()

    @rule(edit=accidents, program=victims, call=calls)
    def store_lost(self, edit: tuple[str, object], program: str, call: int) -> None:
        """The store goes away for a stage: it says so in a line, and ends well; a training may refuse to begin."""
        world = self.did("store lost")
        world.set(*edit)
        text = world.type("dvc", "repro", fails=None, fault=f"{program} lose {call}")
        if "failed to reproduce" in text:
            world.check(f"pipeline/{program}" in text and program == "train.py", f"a lost store stops a stage:\n{text}")
        world.after_a_kill()

    @precondition(lambda self: self.server is not None)
    @rule(edit=accidents, tenths=st.integers(5, 50))
    def server_down(self, edit: tuple[str, object], tenths: int) -> None:
        """The server goes down while `dvc repro` runs, and comes back later."""
        world = self.did("server down")
        assert self.server is not None
        world.set(*edit)
        process = world.start("dvc", "repro")
        time.sleep(tenths / 10)
        world.note(f"the server goes down after {tenths / 10} s, until this has ended")
        self.server.stop()
        text, _ = process.communicate(timeout=160)
        world.check("Traceback" not in text, f"with a server gone `dvc repro` prints\n{text}")
        self.server.start()
        world.after_a_kill()

    def teardown(self) -> None:
        """Go on as a person would: run the pipeline, sync, and find one complete run for each experiment."""
        if not hasattr(self, "world"):
            return
        try:
            if not self.world.failed:
                self.world.repro()
                self.world.sync(doctor=True)
        finally:
            self.world.close()


def report(counts: Counter[str], seconds: float) -> str:
    """Return how many operations of each kind were run."""
    rules = {name: count for name, count in counts.items() if name != "commands"}
    lines = [f"{count:6} {name}" for name, count in sorted(rules.items(), key=lambda item: (-item[1], item[0]))]
    total = sum(rules.values())
    rate = f"{total / max(seconds, 1) * 60:.0f} a minute"
    return "\n".join([*lines, f"{total:6} operations ({counts['commands']} commands) in {seconds:.0f} s, {rate}"])


def budget(sequences: int, steps: int, *, shrink: bool = False, derandomize: bool = False) -> settings:
    """Return the settings of so many sequences of so many steps each."""
    return settings(
        max_examples=sequences,
        stateful_step_count=steps,
        derandomize=derandomize,
        database=None,  # a sequence is told by its steps, not by a file
        deadline=None,  # a step trains a model
        suppress_health_check=list(HealthCheck),  # they warn of slow steps, and of data that is filtered
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        report_multiple_bugs=False,
        print_blob=False,
    )
