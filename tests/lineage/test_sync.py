"""MLflow is brought up to date with DVC's outputs: rebuilt, completed, linked; again, there is nothing to do."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image
from scratch_project import CURVES, commit, git, write_lock, write_training

from softmax_regression.artifacts.experiment import digest as digest_of
from softmax_regression.artifacts.experiment import read_experiment
from softmax_regression.artifacts.outcome import History
from softmax_regression.lineage import states
from softmax_regression.lineage import sync as module
from softmax_regression.lineage.naming import resolve
from softmax_regression.lineage.provenance import config_key
from softmax_regression.lineage.restore import RESTORE_LOCK
from softmax_regression.lineage.sync import NOTHING_TO_DO, lacking, sync
from softmax_regression.tracking import processes, stage_logs
from softmax_regression.tracking.database import exclusive
from softmax_regression.tracking.record import CONFIGURATION, DELETED, LIVE, REPRODUCES, SETTLING, RunRecord
from softmax_regression.tracking.run_store import RunStore

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # MLflow's own


NOTHING = f"{NOTHING_TO_DO}: MLflow holds a complete run for each state"


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
    assert line == f"workspace: small_lr0.1_e2_s0 ({run.run_id[:8]}): restored"
    assert run.live
    assert run.key == read_experiment(project / "artifacts/train/experiment.json").key
    assert run.tags["experiment.restored"] == "true"
    assert run.tags["reference.leak"] == "false"
    assert run.outputs == {Path(path).name: digest for path, digest in states.workspace(project).outputs.items()}
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
    assert lacking(store, states.workspace(project)) == (before, ["artifacts/predict"])
    assert lacking(store, states.at(project, "HEAD")) == (before, [])  # it shares the run and holds its own grids
    assert list(sync(project)) == [f"workspace: {before.name} ({before.run_id[:8]}): added artifacts/predict"]
    (after,) = store.runs()
    assert (after.run_id, after.end_time, after.live) == (before.run_id, before.end_time, True)
    assert after.tags["outputs.predict"] == states.workspace(project).outputs["artifacts/predict"]


def test_a_torn_lock_file_is_not_nothing_to_do(project: Path) -> None:
    """The workspace's is one line with the way out, the commit's is looked at all the same, and the call fails."""
    (project / "dvc.lock").write_text("<<<<<<< HEAD\n: [\n")
    lines = []
    with pytest.raises(RuntimeError, match="1 of the states could not be synced"):
        for line in sync(project):
            lines.append(line)  # those before the error
    assert lines[0].startswith("workspace: not synced: workspace: dvc.lock is not valid YAML in line 2: ")
    assert lines[0].endswith("; `git checkout dvc.lock`, then `dvc repro`")
    assert [line.partition(":")[0] for line in lines[1:]] == ["HEAD"]


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


def test_nothing_is_missing_where_mlflow_has_the_run(project: Path) -> None:
    """After `dvc gc`, or in a clone that uses the same server, a state without files is complete, and can be shown."""
    list(sync(project))
    (run,) = RunStore.open(project).runs()
    shutil.rmtree(project / ".dvc/cache")
    shutil.rmtree(project / "artifacts")
    for name in ("workspace", "HEAD"):
        assert list(sync(project, [name])) == [f"{NOTHING_TO_DO}: MLflow holds a complete run for each state"]
        assert resolve(RunStore.open(project), project, name).record == run


def test_files_deleted_without_their_database_come_back(project: Path) -> None:
    """Where mlruns/ alone is gone, each run of a state gets its files and its model again, and nothing twice."""
    (project / "artifacts/evaluate/series/weights").mkdir(parents=True)
    Image.new("L", (8, 8)).save(project / "artifacts/evaluate/series/weights/1.png")
    write_lock(project)
    list(sync(project))
    before = files_of(project / "mlruns")
    assert len([name for name in before if "/images/" in name]) == 2
    shutil.rmtree(project / "mlruns")
    (line,) = sync(project)
    assert line.endswith("added artifacts/train, artifacts/evaluate, artifacts/predict")
    assert files_of(project / "mlruns") == before
    (run,) = RunStore.open(project).runs()
    assert run.live
    assert list(sync(project)) == [f"{NOTHING_TO_DO}: MLflow holds a complete run for each state"]


def files_of(folder: Path) -> set[str]:
    """Return the paths of the files in a folder, without locks."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("[!.]*") if path.is_file()}


def test_metrics_that_were_edited_are_not_recorded(project: Path) -> None:
    """After a wipe, metrics.json counts only if it is what dvc.lock says; a run has it, and its digest."""
    (project / "metrics.json").write_text('{"test_accuracy": 0.5}')
    write_lock(project)
    (project / "metrics.json").write_text('{"test_accuracy": 0.9999}')
    lines: list[str] = []
    with pytest.raises(RuntimeError, match="1 of the states"):
        lines.extend(sync(project, ["workspace"]))
    assert lines == ["workspace: not synced: metrics.json is not what dvc.lock says: run `dvc repro`"]
    assert RunStore.open(project).runs() == []
    (project / "metrics.json").write_text('{"test_accuracy": 0.5}')
    list(sync(project, ["workspace"]))
    (run,) = RunStore.open(project).runs()
    assert run.outputs["metrics.json"] == states.workspace(project).outputs["metrics.json"]
    assert "metrics.json" in RunStore.open(project).artifacts(run.run_id)


def test_a_figure_that_comes_back_is_the_runs_again(project: Path) -> None:
    """Evaluated otherwise, and undone: DVC restores the outputs, and the run's latest values are theirs."""
    for accuracy in (0.5, 0.6, 0.5):
        path = project / "artifacts/evaluate/findings.json"
        path.write_text(path.read_text().replace("0.5", str(accuracy)).replace("0.6", str(accuracy)))
        write_lock(project)
        list(sync(project, ["workspace"]))
        (run,) = RunStore.open(project).runs()
        assert run.metrics["final/test_accuracy"] == accuracy


def test_a_repetition_takes_the_place_of_a_deleted_run(project: Path) -> None:
    """The complete run deleted in MLflow: its repetition is live and completed; restored, it is live again."""
    list(sync(project))
    store = RunStore.open(project)
    (first,) = store.runs()
    again = store.start_run("again", first.config_key, {})
    stage_logs.log_training(again, project / "artifacts/train")
    again.finish(key=first.key)
    store.mlflow.delete_run(first.run_id)
    assert [run.live for run in store.settled(store.runs())] == [True]
    lines = list(sync(project))
    assert lines[0].endswith("added artifacts/evaluate, artifacts/predict")
    assert lines[1:] == [f"again#2 ({again.run_id[:8]}): live again"]
    assert store.existing(again.run_id).live
    store.mlflow.restore_run(first.run_id)
    assert [run.run_id for run in store.settled(store.runs()) if run.live] == [first.run_id]
    assert list(sync(project)) == [f"again#2 ({again.run_id[:8]}): no longer live"]
    assert store.existing(first.run_id).tags["experiment.reproduced"].startswith("1 time, last on 20")
    assert list(sync(project)) == [f"{NOTHING_TO_DO}: MLflow holds a complete run for each state"]


def repeated(project: Path) -> tuple[RunStore, RunRecord, RunRecord]:
    """Return a store with two complete runs of an experiment that DVC does not know any more; the first is live."""
    list(sync(project))
    store = RunStore.open(project)
    (first,) = store.runs()
    again = store.start_run("again", first.config_key, {}, {CONFIGURATION: first.configuration})
    stage_logs.log_training(again, project / "artifacts/train")
    for output in ("evaluate", "predict"):
        stage_logs.log_output(again, project / "artifacts" / output)
    again.finish(key=first.key)
    (project / "dvc.lock").unlink()
    commit(project)
    return store, first, store.existing(again.run_id)


def test_a_run_restored_long_after_it_was_deleted_is_settled_too(project: Path) -> None:
    """Though neither DVC knows the experiment nor MLflow lists a deleted run: those that stayed remember it."""
    store, first, again = repeated(project)
    store.mlflow.delete_run(first.run_id)
    lines = list(sync(project))
    assert lines == [f"{again.name} ({again.run_id[:8]}): live again"]
    assert store.existing(again.run_id).tags[DELETED] == "1"
    assert list(sync(project)) == [NOTHING]
    store.mlflow.restore_run(first.run_id)
    assert list(sync(project)) == [f"{again.name} ({again.run_id[:8]}): no longer live"]
    assert [run.run_id for run in store.runs() if run.live] == [first.run_id]
    assert {run.tags[DELETED] for run in store.runs() if DELETED in run.tags} == {""}
    assert list(sync(project)) == [NOTHING]


def test_a_run_removed_for_ever_is_missed_by_looking_at_everything(project: Path) -> None:
    """`mlflow gc` before anybody looked leaves no trace."""
    store, first, again = repeated(project)
    store.mlflow.delete_run(first.run_id)
    with closing(sqlite3.connect(project / "mlflow.db")) as connection, connection:
        for table in ("tags", "params", "metrics", "latest_metrics", "runs"):
            connection.execute(f"DELETE FROM {table} WHERE run_uuid = ?", (first.run_id,))
    assert list(sync(project)) == [NOTHING]
    assert list(sync(project, everything=True)) == [f"{again.name} ({again.run_id[:8]}): live again"]
    assert list(sync(project, everything=True)) == [NOTHING]


def test_a_run_whose_process_was_killed_while_it_settled_is_settled(project: Path) -> None:
    """It has finished and nobody has said yet which one represents the experiment."""
    store, first, again = repeated(project)
    store.set_tags(again.run_id, {LIVE: SETTLING, REPRODUCES: ""})
    assert list(sync(project)) == [f"{again.name} ({again.run_id[:8]}): no longer live"]
    assert store.existing(again.run_id).tags[REPRODUCES] == first.run_id


def test_runs_of_an_older_version_get_the_tag_of_their_configuration(project: Path) -> None:
    """Once, so that nothing reads their files for it again; the digest is that which a new run starts with."""
    list(sync(project))
    store = RunStore.open(project)
    (new,) = store.runs()
    store.mlflow.delete_tag(new.run_id, CONFIGURATION)
    list(sync(project))
    assert store.existing(new.run_id).configuration == new.configuration
    assert new.configuration


def test_a_rebuilt_run_gives_way_to_the_one_it_replaced(project: Path) -> None:
    """Deleted, rebuilt by sync, then restored in MLflow: one is live, and nothing was reproduced."""
    list(sync(project))
    store = RunStore.open(project)
    (first,) = store.runs()
    store.mlflow.delete_run(first.run_id)
    (line,) = sync(project)
    assert line.endswith("restored")
    store.mlflow.restore_run(first.run_id)
    list(sync(project))
    assert [run.run_id for run in store.runs() if run.live] == [first.run_id]
    assert not store.existing(first.run_id).tags.get("experiment.reproduced")


@pytest.mark.parametrize("named_by", ["name", "id", "key", "commit"])
def test_a_state_can_be_named_by_its_run(project: Path, named_by: str) -> None:
    """What names a run elsewhere names here the outputs that it came of."""
    list(sync(project))
    store = RunStore.open(project)
    (run,) = store.runs()
    store.mlflow.delete_tag(run.run_id, "outputs.evaluate")
    refs = {"name": run.name, "id": run.run_id, "key": run.key, "commit": git(project, "rev-parse", "HEAD")}
    (line,) = sync(project, [refs[named_by]])
    assert line.endswith("added artifacts/evaluate")


def test_a_state_without_its_files_does_not_stop_the_others(project: Path) -> None:
    """It is named with the reason and the others are brought up to date; it is an error where it was asked for."""
    shutil.rmtree(project / ".dvc/cache")
    write_training(project / "artifacts/train", train__seed=5)
    write_late_stages(project)
    for said in (
        "workspace: small_lr0.1_e2_s5",
        "nothing to do: MLflow holds a complete run for each other state",
    ):
        lines = list(sync(project))
        assert len([line for line in lines if line.startswith(said)]) == 1
        assert [line for line in lines if line.startswith("HEAD: not synced: DVC does not have its outputs")]
    with pytest.raises(RuntimeError, match="1 of the states could not be synced; the lines above say why"):
        list(sync(project, ["HEAD"]))


def test_folders_that_dvc_does_not_have_are_an_error(project: Path) -> None:
    """Where the cache has experiment.json and not the rest, as after an interrupted pull, that is said in a line."""
    store = RunStore.open(project)
    digest = states.workspace(project).outputs["artifacts/evaluate"]
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
        "small: its process is gone (process 999999999 has ended), so it is KILLED now",
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
    tags = {"outputs.train": old["artifacts/train"], "outputs.evaluate": old["artifacts/evaluate"]}
    run = store.start_run("old", "c", {}, tags | {"outputs.predict.first_6": old["artifacts/predict"]})
    for place in ("experiment.json", "evaluation/predictions.csv", "predictions/first.png"):
        run.log_text(text, place)
    assert run.finish(key=digest_of(text))
    assert list(sync(project, ["workspace"])) == [f"workspace: old ({run.run_id[:8]}): added artifacts/predict"]
    assert list(sync(project, ["workspace"])) == [f"{NOTHING_TO_DO}: MLflow holds a complete run for each state"]
    assert len(store.runs()) == 1
