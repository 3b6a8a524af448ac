"""MLflow is brought up to date with DVC's outputs: rebuilt, completed, linked; again, there is nothing to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from filelock import FileLock
from scratch_project import CURVES, commit, git, write_lock, write_training

from softmax_regression.artifacts.experiment import digest as digest_of
from softmax_regression.artifacts.experiment import read_experiment
from softmax_regression.artifacts.outcome import History
from softmax_regression.lineage import states
from softmax_regression.lineage import sync as module
from softmax_regression.lineage.provenance import config_key
from softmax_regression.lineage.restore import RESTORE_LOCK
from softmax_regression.lineage.sync import NOTHING_TO_DO, lacking, sync
from softmax_regression.tracking import processes, stage_logs
from softmax_regression.tracking.database import exclusive
from softmax_regression.tracking.run_store import RunStore

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # MLflow's own


def write_late_stages(root: Path, shown: str = "six images") -> None:
    """Write outputs of evaluate and predict beside those of train, and let DVC know them all."""
    findings = {"metrics": {"test_accuracy": 0.5}, "tags": {"reference.leak": "false"}, "summary": "half"}
    for stage, name, content in [
        ("evaluate", "findings.json", json.dumps(findings)),
        ("evaluate", "predictions.csv", "index\n"),
        ("predict", "first.png", shown),
    ]:
        path = root / "artifacts" / stage / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    write_lock(root)


@pytest.fixture
def project(root: Path, tmp_path: Path, here: pytest.MonkeyPatch) -> Path:
    """A project with outputs of all stages, in a commit and in the workspace, and an empty store."""
    project = Path(shutil.copytree(root, tmp_path / "project"))
    here.setenv("DVC_ROOT", str(project))
    here.chdir(project)
    write_training(project / "artifacts/train")
    write_late_stages(project)
    commit(project)
    return project


def test_a_missing_run_is_rebuilt_from_the_outputs_of_all_stages(project: Path) -> None:
    """It is live, marked as restored, has what the stages log; a second time there is nothing to do."""
    (line,) = sync(project)
    store = RunStore.open(project)
    (run,) = store.runs()
    assert line == f"workspace: small lr0.1 b256 e2 s0 ({run.run_id[:8]}): restored"
    assert run.live
    assert run.key == read_experiment(project / "artifacts/train/experiment.json").key
    assert run.tags["experiment.restored"] == "true"
    held = {stage_logs.outputs_tag(stage): digest for stage, digest in states.workspace(project).outputs.items()}
    assert run.tags.items() >= {**held, "reference.leak": "false"}.items()
    assert run.metrics["final/test_accuracy"] == 0.5
    assert {"model.safetensors", "evaluation", "predictions"} <= set(store.artifacts(run.run_id))
    assert list(sync(project)) == [f"{NOTHING_TO_DO}: MLflow holds a complete run for each state"]
    assert store.runs() == [run]


def test_a_stage_that_was_not_recorded_is_added(project: Path) -> None:
    """Of a run that is there only what it lacks is logged: a stage without digest, or in the workspace another."""
    list(sync(project))
    store = RunStore.open(project)
    (before,) = store.runs()
    assert lacking(store, states.workspace(project)) == (before, [])
    write_late_stages(project, shown="nine images")
    assert lacking(store, states.workspace(project)) == (before, ["predict"])
    assert lacking(store, states.at(project, "HEAD")) == (before, [])  # it shares the run and holds its own grids
    assert list(sync(project)) == [f"workspace: {before.name} ({before.run_id[:8]}): added predict"]
    (after,) = store.runs()
    assert (after.run_id, after.end_time, after.live) == (before.run_id, before.end_time, True)
    assert after.tags["outputs.predict"] == states.workspace(project).outputs["predict"]


def test_a_stage_that_nobody_here_knows_is_recorded_too(project: Path) -> None:
    """A new stage in dvc.yaml with outputs in artifacts/<its name> needs no code for its run."""
    (project / "artifacts/explain").mkdir()
    (project / "artifacts/explain/why.txt").write_text("because")
    write_lock(project)
    list(sync(project))
    (run,) = RunStore.open(project).runs()
    assert RunStore.open(project).artifacts(run.run_id, "explain") == ["explain/why.txt"]
    assert "outputs.explain" in run.tags


def test_experiments_of_dvcs_are_rebuilt_and_linked(project: Path) -> None:
    """Each has its run; one that shares another's run is named in it; a commit's outputs come from the cache."""
    base = git(project, "rev-parse", "HEAD")
    for name, seed in {"same": 0, "other": 5}.items():
        write_training(project / "artifacts/train", train__seed=seed)
        write_late_stages(project)
        (project / "note").write_text(name)  # so that there is something to commit
        commit(project)
        git(project, "update-ref", f"refs/exps/{base[:2]}/{base[2:]}/{name}", "HEAD")
        git(project, "reset", "--quiet", "--hard", base)
    shutil.rmtree(project / "artifacts")
    lines = list(sync(project, ["HEAD", "same", "other"]))
    assert [line.rpartition(": ")[2] for line in lines] == ["restored", "linked", "restored"]
    runs = {run.params["train.seed"]: run for run in RunStore.open(project).runs()}
    assert set(runs) == {"0", "5"}
    assert runs["0"].dvc_experiment == "same"
    assert runs["5"].dvc_experiment == "other"
    assert runs["5"].tags["dvc.exp.baseline"] == base
    assert runs["5"].name.endswith("[other]")


@pytest.mark.parametrize("named_by", ["name", "id", "key", "commit"])
def test_a_state_can_be_named_by_its_run(project: Path, named_by: str) -> None:
    """What names a run elsewhere names here the outputs that it came of."""
    list(sync(project))
    store = RunStore.open(project)
    (run,) = store.runs()
    store.mlflow.delete_tag(run.run_id, "outputs.evaluate")
    refs = {"name": run.name, "id": run.run_id, "key": run.key, "commit": git(project, "rev-parse", "HEAD")}
    (line,) = sync(project, [refs[named_by]])
    assert line.endswith("added evaluate")


def test_a_state_without_its_files_does_not_stop_the_others(project: Path) -> None:
    """It is named with the reason, the others are brought up to date, and the command fails in the end."""
    shutil.rmtree(project / ".dvc/cache")
    write_training(project / "artifacts/train", train__seed=5)
    write_late_stages(project)
    lines: list[str] = []
    with pytest.raises(RuntimeError, match="1 of the states could not be synced; the lines above say why"):
        lines.extend(sync(project))
    assert lines[0].startswith("workspace: small lr0.1 b256 e2 s5")
    assert lines[1].startswith("HEAD: not synced: DVC does not have its outputs")


def test_folders_that_dvc_does_not_have_are_an_error(project: Path) -> None:
    """Where the cache has experiment.json and not the rest, as after an interrupted pull, that is said in a line."""
    store = RunStore.open(project)
    digest = states.workspace(project).outputs["evaluate"]
    (project / ".dvc/cache/files/md5" / digest[:2] / digest[2:]).unlink()
    shutil.rmtree(project / "artifacts/evaluate")
    lines: list[str] = []
    with pytest.raises(RuntimeError, match="1 of the states"):
        lines.extend(sync(project))
    assert lines[0].startswith("workspace: not synced: DVC does not have its outputs")
    assert store.runs() == []


def test_a_dead_run_is_ended_and_a_cut_off_one_completed(project: Path) -> None:
    """What a killed process left RUNNING is KILLED, then goes on where the outputs are a continuation of it."""
    store = RunStore.open(project)
    experiment = read_experiment(project / "artifacts/train/experiment.json")
    run = store.start_run("small", config_key(experiment), {})
    run.log_steps(stage_logs.curve_steps(History("test", CURVES[:1])))
    host, boot, _, _ = processes.identity().split()
    store.set_tags(run.run_id, {processes.TAG: f"{host} {boot} 999999999 1"})  # above the largest process number
    assert list(sync(project)) == [
        "small: its process is gone, so it is KILLED now",
        f"workspace: small ({run.run_id[:8]}): restored",
    ]
    (found,) = store.runs()
    assert (found.run_id, found.live, found.tags["experiment.restored"]) == (run.run_id, True, "completed")
    assert len(store.history(run.run_id, ["curves/train_loss"])["curves/train_loss"]) == 2


def test_a_lock_that_is_not_granted_is_said(project: Path, here: pytest.MonkeyPatch) -> None:
    """While another process rebuilds runs and does not end, nothing is rebuilt a second time."""
    here.setattr(module, "exclusive", lambda lock: exclusive(lock, wait=0.1))
    lines: list[str] = []
    with FileLock(project / RESTORE_LOCK), pytest.raises(RuntimeError, match="1 of the states could not be synced"):
        lines.extend(sync(project))
    assert lines == [
        f"workspace: not synced: another process has held {project / RESTORE_LOCK} for 0 seconds: end it, or wait, and "
        "start again"
    ]
    assert RunStore.open(project).runs() == []


def test_outputs_of_version_0_1_are_known_by_the_key_with_their_code(project: Path) -> None:
    """The run that recorded them is the one that is found; only the tag of its grids has another name since."""
    path = project / "artifacts/train/experiment.json"
    text = json.dumps({**json.loads(path.read_text()), "code": {"src/sgd.py": "1"}}, indent=2, sort_keys=True) + "\n"
    path.write_text(text)
    write_late_stages(project)
    old = states.workspace(project).outputs
    store = RunStore.open(project)
    run = store.start_run("old", "c", {}, {"outputs.train": old["train"], "outputs.evaluate": old["evaluate"]})
    run.set_tags({"outputs.predict.first_6": old["predict"]})
    assert run.finish(key=digest_of(text))
    assert list(sync(project, ["workspace"])) == [f"workspace: old ({run.run_id[:8]}): added predict"]
    assert list(sync(project, ["workspace"])) == [f"{NOTHING_TO_DO}: MLflow holds a complete run for each state"]
    assert len(store.runs()) == 1
