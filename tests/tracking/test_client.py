"""MLflow holds what is recorded: a real SQLite store, servers that misbehave, and a real server that dies."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import loopback
import numpy as np
import pytest
import requests
from PIL import Image
from tiny_disk import fill, tiny_disk

from softmax_regression.tracking import processes, ui
from softmax_regression.tracking.client import Client, ModelParts, serve_ui
from softmax_regression.tracking.connection import StoreUnavailableError
from softmax_regression.tracking.record import ATTEMPT, CONFIG
from softmax_regression.tracking.registry import Registry
from softmax_regression.tracking.run_store import RunStore

SECRET = "open-sesame"
MODEL = """
import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel
from safetensors.numpy import load_file


class Model(PythonModel):
    def load_context(self, context):
        self.weight = load_file(context.artifacts["weights"])["weight"]

    def predict(self, model_input: np.ndarray) -> np.ndarray:
        return model_input.reshape(len(model_input), -1) @ self.weight.T


set_model(Model())
"""


@pytest.fixture(autouse=True)
def _environment(bare: pytest.MonkeyPatch) -> None:
    """Every test here is free of a person's settings."""


class Page(list[SimpleNamespace]):
    """A page of what MLflow finds, the last one."""

    token = ""


def query(root: Path, sql: str) -> list[tuple[object, ...]]:
    """Return what the database itself says."""
    with closing(sqlite3.connect(root / "mlflow.db")) as connection, connection:
        return connection.execute(sql).fetchall()


def test_a_new_store_is_where_a_bare_mlflow_ui_looks(root: Path) -> None:
    """The database and the artifacts' folder lie in the project; our experiment has the view that the link names."""
    assert (root / "mlflow.db").is_file()
    assert query(root, "SELECT name FROM experiments ORDER BY 1") == [("Default",), ("softmax-regression",)]
    name, value = ui.view_tag()
    assert query(root, f"SELECT value FROM experiment_tags WHERE key = '{name}'") == [(value,)]
    store = RunStore.open(root)
    assert store.ui_command() == "make ui"
    assert store.run_link("r1") == "http://runs.localhost:5000/#/experiments/1/runs/r1?workflowType=machine_learning"


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_what_holds_runs_is_its_owners_alone(root: Path, mask: int) -> None:
    """Others cannot enter the folder of an experiment's artifacts, and so read none of them."""
    shutil.rmtree(root / "mlruns")
    before = os.umask(mask)
    try:
        store = RunStore.open(root)
        store.start_run("a", "c", {}).log_text("x", "folder/a.txt")
    finally:
        os.umask(before)
    folder = root / "mlruns" / store.experiment_id
    assert list(folder.rglob("a.txt"))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (root / "mlflow.db").stat().st_mode & 0o777 == 0o600


def test_a_folder_that_is_shared_stays_shared(root: Path) -> None:
    """What a person has opened to others is not closed again."""
    RunStore.open(root)
    (experiment,) = (root / "mlruns").glob("[1-9]*")
    for path, mode in ((experiment, 0o750), (root / "mlflow.db", 0o640)):
        path.chmod(mode)
        RunStore.open(root)
        assert path.stat().st_mode & 0o777 == mode


def test_another_experiment_is_named_by_the_environment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLFLOW_EXPERIMENT_NAME adds an experiment, with its files in the project whatever the working folder is."""
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "sweep")
    monkeypatch.chdir(root.parent)
    store = RunStore.open(root)
    run = store.start_run("a", "c", {})
    run.log_text("x", "a.txt")
    assert (root / "mlruns" / store.experiment_id / run.run_id / "artifacts" / "a.txt").is_file()


def test_a_relative_database_is_in_the_project(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A relative MLFLOW_TRACKING_URI is meant from the project's root, also in another working folder."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    monkeypatch.chdir(tmp_path)
    assert RunStore.open(root).uri == f"sqlite:///{root}/mlflow.db"


def test_a_deleted_experiment_is_an_error(root: Path, store: RunStore) -> None:
    """A store whose experiment is in MLflow's bin says how to get it back."""
    store.mlflow.delete_experiment(store.experiment_id)
    with pytest.raises(RuntimeError, match=f"is deleted: run `mlflow experiments restore -x {store.experiment_id}`"):
        RunStore.open(root)


def write_old_store(root: Path, revision: str) -> None:
    """Write the database of an older MLflow, with one run, as its own migrations make it."""
    from alembic import command
    from mlflow.store.db import utils
    from mlflow.store.tracking.dbmodels.initial_models import Base

    root.mkdir()
    uri = f"sqlite:///{root}/mlflow.db"
    engine = utils.create_sqlalchemy_engine(uri)
    Base.metadata.create_all(engine)
    config = utils._get_alembic_config(uri)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
    place = f"{root}/mlruns/7"
    for sql in (
        f"experiments (experiment_id, name, artifact_location, lifecycle_stage) "
        f"VALUES (7, 'softmax-regression', '{place}', 'active')",
        f"runs (run_uuid, name, experiment_id, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri) "
        f"VALUES ('r', 'old', 7, 'ann', 'FINISHED', 1, 2, 'active', '{place}/r/artifacts')",
        "metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES ('m', 0.5, 1, 'r', 1, 0)",
        "metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES ('m', 0.25, 2, 'r', 2, 0)",
        "latest_metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES ('m', 0.25, 2, 'r', 2, 0)",
        "params (key, value, run_uuid) VALUES ('p', '1', 'r')",
        "tags (key, value, run_uuid) VALUES ('experiment.live', 'true', 'r')",
    ):
        query(root, f"INSERT INTO {sql}")


# The last of MLflow 2 (2.22), which knows no logged models, and that of 3.1: written by these versions, tried by hand.
@pytest.mark.usefixtures("empty")  # MLflow is loaded as ever
@pytest.mark.parametrize("revision", ["0584bdc529eb", "6953534de441"])
def test_a_store_of_an_older_mlflow_is_migrated(
    tmp_path: Path, revision: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its runs are there, it takes new ones, the old file is kept, and one line says so, once."""
    root = tmp_path / "project"
    write_old_store(root, revision)
    old = (root / "mlflow.db").read_bytes()
    store = RunStore.open(root)
    assert (root / f"mlflow.db.before-{revision}").read_bytes() == old
    assert f"(schema {revision}): migrating it to MLflow" in capsys.readouterr().err
    (record,) = store.runs()
    assert (record.name, record.status, record.live) == ("old", "FINISHED", True)
    assert (record.params, record.metrics) == ({"p": "1"}, {"m": 0.25})
    assert store.history("r", ["m"]) == {"m": [(1, 0.5), (2, 0.25)]}
    assert store.start_run("a", "c", {"p": 2}).finish()
    assert len(RunStore.open(root).runs()) == 2
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("empty")
def test_a_migration_finds_no_room(tmp_path: Path) -> None:
    """On a disk where the old file fits and the new one does not, the old one stays, alone."""
    with tiny_disk(tmp_path / "disk", 2**20) as disk:
        root = disk / "project"
        write_old_store(root, "0584bdc529eb")
        old = (root / "mlflow.db").read_bytes()
        fill(disk, leave=400_000)  # the copy needs 225 kB, and 950 kB when it is migrated
        with pytest.raises(RuntimeError, match=r"not migrated: .*mlflow\.db cannot be written: it needs more than"):
            RunStore.open(root)
        assert sorted(path.name for path in root.iterdir()) == ["mlflow.db", "mlruns"]
        assert (root / "mlflow.db").read_bytes() == old


def test_a_store_finds_no_room(tmp_path: Path) -> None:
    """Where a new store does not fit, one line says so and nothing of it is left."""
    with tiny_disk(tmp_path / "disk", 400_000) as disk:
        with pytest.raises(RuntimeError, match=r"mlflow\.db does not take a call: the disk is full \([\d,]+ bytes are"):
            RunStore.open(disk)
        assert [path.name for path in disk.iterdir()] == ["mlruns"]


def test_a_store_of_a_newer_mlflow_is_an_error(root: Path) -> None:
    """A database with a schema that this MLflow does not know is refused, with the way out."""
    query(root, "UPDATE alembic_version SET version_num = 'other'")
    with pytest.raises(RuntimeError, match=r"has the schema other, which MLflow 3\..* does not know: .*; install that"):
        RunStore.open(root)


def test_a_moved_store_takes_its_files_along(root: Path, store: RunStore, tmp_path: Path) -> None:
    """After a move old artifacts are found and new ones written in the new place, also one with an awkward name."""
    old = store.start_run("a", "c", {})
    old.log_text("old", "old.txt")
    place = root.rename(tmp_path / "it's 50% né #2")
    store = RunStore.open(place)
    new = store.start_run("b", "c", {})  # not the old run: MLflow remembers its folder while the process lives
    new.log_text("new", "folder/new.txt")
    assert store.download(old.run_id, "old.txt", tmp_path / "out").read_text() == "old"
    with pytest.raises(FileNotFoundError, match=r"has no artifact 'absent\.txt'"):
        store.download(old.run_id, "absent.txt", tmp_path / "out")
    assert store.artifacts(new.run_id) == ["folder"]
    assert (place / "mlruns" / store.experiment_id / new.run_id / "artifacts" / "folder" / "new.txt").is_file()
    assert not root.exists()


def test_a_run_carries_what_identifies_it(store: RunStore) -> None:
    """Params are written as in YAML, however many; tags say configuration, attempt and writer."""
    params: dict[str, object] = {"a": 0.1, "b": True, "c": None, "d": "text", "e": [1, 2]}
    run = store.start_run("a", "c", params | {f"p{i}": i for i in range(150)}, {"git.commit": "abc"})
    record = store.run(run.run_id)
    assert record is not None
    assert {name: record.params[name] for name in params} == {
        "a": "0.1", "b": "true", "c": "null", "d": "text", "e": "[1, 2]",
    }  # fmt: skip
    assert len(record.params) == 155
    expected = {CONFIG: "c", ATTEMPT: "1", processes.TAG: processes.identity(), "git.commit": "abc"}
    assert record.tags.items() >= expected.items()
    assert (record.status, record.live, record.key) == ("RUNNING", False, "")


@pytest.mark.parametrize("run_id", ["../../x", "/etc/x", "", ".", "a\nb", "-rf", "a" * 257])
def test_a_run_with_an_id_that_is_none_is_refused(run_id: str) -> None:
    """Ids name folders and are parts of commands: one that MLflow itself would not take comes from no store of ours."""
    info = SimpleNamespace(run_id=run_id, lifecycle_stage="active", experiment_id="7")
    page = Page([SimpleNamespace(info=info)])
    client = Client(
        SimpleNamespace(search_runs=lambda *_, **__: page, get_run=lambda _: page[0]), "http://h", "7", None
    )
    for ask in (client.runs, lambda: client.run("x")):
        with pytest.raises(RuntimeError, match=r"^the store at http://h holds a run whose id is none: .*; delete it"):
            ask()


def test_a_name_is_one_line(store: RunStore) -> None:
    """Who else writes into the store may call runs as they like: a terminal does not obey their names."""
    run_id = store.create_run("a\nb\x1b[2K", {})
    assert store.existing(run_id).name == r"a\nb\x1b[2K"
    assert store.existing(store.create_run("", {})).name


@pytest.mark.parametrize("value", ["a' or 'b", "`", "a\\", '"', "%", "a b", ""])
def test_a_tag_of_a_store_cannot_bend_a_search(store: RunStore, value: str) -> None:
    """A value that is none of ours finds nothing, and stops no command."""
    run = store.start_run("a", "c", {}, {CONFIG: value})
    assert store.tagged(CONFIG, value) == []
    assert run.finish(key=value), run.lost


def test_an_attempt_that_is_no_number_is_the_first(store: RunStore) -> None:
    """A tag that somebody has edited stops no later run."""
    for number in ("many", "9" * 5000, "-3"):
        store.create_run("odd", {CONFIG: "c", ATTEMPT: number})
    assert store.existing(store.start_run("a", "c", {}).run_id).attempt == 2


def test_nothing_to_log_is_no_call(store: RunStore) -> None:
    """Neither tags, params nor metrics: the store is not asked, even where it could not answer."""
    store.log_batch("no run of this id")
    store.set_tags("no run of this id", {})


def test_curves_come_back_as_they_went(store: RunStore) -> None:
    """History is in order of step; what is recorded twice is there once; NaN and infinity pass."""
    run = store.start_run("a", "c", {})
    run.log_steps([(step, {"curves/train_loss": 1 / step, "odd": float("inf")}) for step in (1, 2, 10)])
    run.log_metrics({"curves/train_loss": float("nan")}, 11)
    store.continue_run(run.run_id).log_steps([(2, {"curves/train_loss": 0.5}), (3, {"curves/train_loss": 0.3})])
    curve = store.history(run.run_id, ["curves/train_loss", "absent"])
    assert curve["curves/train_loss"][:-1] == [(1, 1.0), (2, 0.5), (3, 0.3), (10, 0.1)]
    assert curve["absent"] == []


def test_pictures_form_a_series_without_doubles(store: RunStore, tmp_path: Path) -> None:
    """Each step has one picture under MLflow's names, with the tag that makes the UI show them."""
    pictures = []
    for step in range(3):
        Image.new("L", (8, 8), step).save(tmp_path / f"{step}.png")
        pictures.append((step, tmp_path / f"{step}.png"))
    run = store.start_run("a", "c", {})
    run.log_image_series("weights/all", pictures[:2])
    store.continue_run(run.run_id).log_image_series("weights/all", pictures)
    names = [name for name in store.artifacts(run.run_id, "images") if name.endswith(".png")]
    steps = [re.match(r"images/weights~all\+step\+(\d+)\+timestamp\+\d+\+", name) for name in names]
    assert sorted(match[1] for match in steps if match) == ["0", "1", "2"]
    assert store.existing(run.run_id).tags["mlflow.loggedImages"] == "True"


def test_a_picture_whose_thumbnail_is_missing_gets_it(store: RunStore, tmp_path: Path) -> None:
    """A kill between the two files of a step: recorded again, both are there once, under the names that were there."""
    Image.new("L", (8, 8)).save(tmp_path / "0.png")
    run = store.start_run("a", "c", {})
    run.log_image_series("weights", [(0, tmp_path / "0.png")])
    names = store.artifacts(run.run_id, "images")
    assert sorted(Path(name).suffix for name in names) == [".png", ".webp"]
    (files,) = store.database_file.parent.glob(f"mlruns/*/{run.run_id}/artifacts")  # type: ignore[union-attr]
    (thumbnail,) = files.glob("images/*.webp")
    thumbnail.unlink()
    store.continue_run(run.run_id).log_image_series("weights", [(0, tmp_path / "0.png")])
    assert store.artifacts(run.run_id, "images") == names


def test_a_picture_is_named_by_no_path_of_a_store(
    store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a server lists as a picture of the step, with folders in its name, is not taken for one."""
    run = store.start_run("a", "c", {})
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    monkeypatch.setattr(store, "artifacts", lambda *_: ["images/grid+step+1+timestamp+/../../made.png"])
    run.log_image_series("grid", [(1, tmp_path / "a.png")])
    assert run.lost is None
    monkeypatch.undo()
    assert [name.count("/") for name in store.artifacts(run.run_id, "images")] == [1, 1]


def test_a_picture_of_a_step_is_the_newest(store: RunStore, tmp_path: Path) -> None:
    """Drawn otherwise, it replaces the one before, also one that MLflow itself has named."""
    with Image.new("L", (8, 8), 7) as image:
        image.save(tmp_path / "0.png")
        run = store.start_run("a", "c", {})
        store.mlflow.log_image(run.run_id, image, key="weights", step=0, synchronous=True)
    Image.new("L", (8, 8), 9).save(tmp_path / "0.png")
    run.log_image_series("weights", [(0, tmp_path / "0.png")])
    names = store.artifacts(run.run_id, "images")
    assert len(names) == 2
    (name,) = (name for name in names if name.endswith(".png"))
    with Image.open(store.download(run.run_id, name, tmp_path / "got")) as found:
        assert found.getpixel((0, 0)) == 9


def test_data_sets_are_inputs(store: RunStore) -> None:
    """A data set is among the run's inputs, with its use, digest and facts."""
    run = store.start_run("a", "c", {})
    run.log_dataset("digits train", "f" * 16, "data/digits", "training", {"num_rows": 5})
    (entry,) = store.mlflow.get_run(run.run_id).inputs.dataset_inputs
    assert (entry.dataset.name, entry.dataset.digest, entry.dataset.profile) == (
        "digits train",
        "f" * 16,
        '{"num_rows": 5}',
    )
    assert [(tag.key, tag.value) for tag in entry.tags] == [("mlflow.data.context", "training")]


def small_model(folder: Path) -> ModelParts:
    """Write the files of a model of 2 x 2 inputs and three outputs; return its parts."""
    from safetensors.numpy import save_file

    (folder / "model_code.py").write_text(MODEL)
    save_file({"weight": np.ones((3, 4), np.float32)}, folder / "model.safetensors")
    return ModelParts(
        code=folder / "model_code.py",
        artifacts={"weights": folder / "model.safetensors"},
        input_example=np.zeros((1, 2, 2), np.float32),
        output_example=np.zeros((1, 3), np.float32),
        pip_requirements=["mlflow", "numpy", "safetensors"],
    )


def test_the_model_is_one_that_mlflow_loads(store: RunStore, tmp_path: Path) -> None:
    """The logged model predicts, refuses what its signature does not say, and knows its run, whose name it has.

    As MLflow takes it: without points.
    """
    from mlflow import pyfunc
    from mlflow.exceptions import MlflowException

    run = store.start_run("lr0.5_s0", "c", {"p": 1})
    for writing in (run, store.continue_run(run.run_id)):  # the second time there is one
        writing.log_model(small_model(tmp_path))
    assert run.finish(), run.lost
    (model,) = store.mlflow.search_logged_models([store.experiment_id])
    assert (model.name, model.source_run_id, str(model.status)) == ("lr0,5_s0", run.run_id, "READY")
    folder = Path(model.artifact_location)
    assert (folder / "requirements.txt").read_text().split() == ["mlflow", "numpy", "safetensors"]
    assert not list(folder.rglob("*.pkl"))
    loaded = pyfunc.load_model(str(folder))
    np.testing.assert_array_equal(loaded.predict(np.ones((5, 2, 2), np.float32)), np.full((5, 3), 4.0))
    with pytest.raises(MlflowException, match="does not match expected shape"):
        loaded.predict(np.ones((5, 2, 3), np.float32))


def test_a_model_without_files_is_filled(store: RunStore, tmp_path: Path) -> None:
    """Where its folder was deleted, the entry stays the run's one model, and gets its files again."""
    run = store.start_run("a", "c", {})
    run.log_model(small_model(tmp_path))
    (model,) = store.mlflow.search_logged_models([store.experiment_id])
    before = sorted(path.name for path in Path(model.artifact_location).iterdir())
    shutil.rmtree(model.artifact_location)
    run.log_model(small_model(tmp_path))
    (after,) = store.mlflow.search_logged_models([store.experiment_id])
    assert (after.model_id, str(after.status)) == (model.model_id, "READY")
    assert sorted(path.name for path in Path(model.artifact_location).iterdir()) == before
    assert [output.model_id for output in store.mlflow.get_run(run.run_id).outputs.model_outputs] == [model.model_id]


def test_a_model_is_created_once(store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the upload of a model fails, the second try fills the entry that the first one made."""
    upload, tries = store.mlflow.log_model_artifacts, []

    def fail_once(model_id: str, folder: str) -> None:
        tries.append(model_id)
        if len(tries) == 1:
            raise StoreUnavailableError("gone")
        upload(model_id, folder)

    monkeypatch.setattr(store.mlflow, "log_model_artifacts", fail_once, raising=False)
    run = store.start_run("a", "c", {})
    run.log_model(small_model(tmp_path))
    assert run.lost == "gone"
    assert run.finish()
    (model,) = store.mlflow.search_logged_models([store.experiment_id])
    assert (tries, str(model.status)) == ([model.model_id] * 2, "READY")
    assert [output.model_id for output in store.mlflow.get_run(run.run_id).outputs.model_outputs] == [model.model_id]


def test_a_model_is_asked_as_a_server_asks_it(store: RunStore, tmp_path: Path) -> None:
    """It answers what fits its signature; other examples are the caller's fault; damaged files are named."""
    run = store.start_run("a", "c", {})
    assert store.model_of(run.run_id) is None
    run.log_model(small_model(tmp_path))
    model = store.model_of(run.run_id)
    assert model is not None
    np.testing.assert_array_equal(store.model_answers(model, np.ones((5, 2, 2), np.float32)), np.full((5, 3), 4.0))
    with pytest.raises(ValueError, match="MLflow does not take this: Failed to enforce schema"):
        store.model_answers(model, np.ones((5, 2, 3), np.float32))
    (weights,) = Path(model.artifact_location).rglob("*.safetensors")
    weights.write_bytes(b"damaged")
    with pytest.raises(RuntimeError, match=f"the MLflow model {model.model_id} cannot be loaded: .*header"):
        store.model_answers(model, np.ones((5, 2, 2), np.float32))
    store.mlflow.delete_logged_model(model.model_id)
    assert store.model_of(run.run_id) is None


def test_comparisons_on_a_test_set_are_counted_once_each(store: RunStore, root: Path) -> None:
    """By pair, whichever comes first and whoever judges it; the training data do not matter, other test data do."""
    data = {"test-images": "1", "test-labels": "2", "train-images": "3"}
    assert store.count_comparisons(data, [["a", "b"]]) == 1
    assert RunStore.open(root).count_comparisons(data | {"train-images": "4"}, [["b", "a"]]) == 1
    assert store.count_comparisons(data, [["a", "c"], ["a", "b"]]) == 2
    assert store.count_comparisons(data | {"test-labels": "5"}, [["a", "c"]]) == 1


def test_the_pairs_of_a_comparison_are_noted_in_few_calls(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """26 runs are 325 pairs: one read and four writes; again, one read. A tag of the version before counts, too."""
    pairs = list(itertools.combinations((f"{number:016}" for number in range(26)), 2))
    experiment, wrote = store.experiment_id, store.mlflow.set_experiment_tag
    wrote(experiment, "compared.6b86b273.0", " ".join(pairs[0]))
    calls: list[str] = []

    def write(*arguments: str) -> None:
        calls.append(arguments[1])
        wrote(*arguments)

    monkeypatch.setattr(store.mlflow, "set_experiment_tag", write, raising=False)
    for _ in range(2):
        assert store.count_comparisons({"test-images": "1"}, pairs) == 325
    assert len(calls) == 4


def test_no_credential_is_recorded(
    store: RunStore, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the database nor any artifact holds a password of the environment, whatever carried it there."""
    monkeypatch.setenv("MIRROR_PASSWORD", SECRET)
    (tmp_path / "params.yaml").write_text(f"sources: https://ann:{SECRET}@mirror/")
    run = store.start_run("a", "c", {"url": f"x {SECRET}"}, {"t": SECRET})
    run.set_tags({"more": SECRET})
    run.set_tags({"mlflow.note.content": SECRET})
    run.log_text(SECRET, "a.diff")
    run.log_file(tmp_path / "params.yaml")
    run.log_dataset("d", "1", f"https://ann:{SECRET}@mirror/", "training", {})
    with pytest.raises(OSError, match=SECRET), run:
        raise OSError(f"no {SECRET}")
    files = [path for path in root.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"mlflow.db", "a.diff", "params.yaml"}
    assert not [path.name for path in files if SECRET.encode() in path.read_bytes()]


def test_a_store_that_fails_for_a_while_loses_nothing(store: RunStore, root: Path) -> None:
    """A database that takes no metrics while training does not stop it; when it does again, all arrive at the end."""
    run = store.start_run("a", "c", {})
    run.log_metrics({"m": 1.0}, 1)
    query(root, "ALTER TABLE metrics RENAME TO away")
    run.log_metrics({"m": 2.0}, 2)
    assert "no such table: metrics" in str(run.lost)
    run.log_metrics({"m": 3.0}, 3)
    query(root, "ALTER TABLE away RENAME TO metrics")
    assert run.finish(key="k")
    assert store.history(run.run_id, ["m"]) == {"m": [(1, 1.0), (2, 2.0), (3, 3.0)]}
    assert store.existing(run.run_id).live


def test_a_run_that_is_deleted_in_the_ui_does_not_stop_the_training(store: RunStore) -> None:
    """Somebody may delete a run while it is written: it is lost, and no error."""
    run = store.start_run("a", "c", {})
    store.mlflow.delete_run(run.run_id)
    run.log_metrics({"m": 1.0})
    assert "must be in the 'active' state" in str(run.lost)
    assert not run.finish()


def test_what_mlflow_refuses_is_the_callers_fault(store: RunStore) -> None:
    """A name that MLflow does not take, of a tag or a metric, is an error of ours, not an outage."""
    run = store.start_run("a", "c", {})
    for name in ("", "loss%", "a\nb"):
        with pytest.raises(ValueError, match=r"MLflow does not take this: Invalid value .* for parameter '.*name'"):
            run.log_metrics({name: 1.0})
    with pytest.raises(ValueError, match="MLflow does not take this"):
        run.set_tags({"bad\nname": "x"})
    assert run.lost is None
    with pytest.raises(ValueError, match="no run with the id 'absent'"):
        store.continue_run("absent")


@pytest.mark.parametrize(
    ("behaviour", "user", "message"),
    [
        ("members", "ann:wrong-password", r"refuses the credentials \(401\); check MLFLOW_TRACKING_USERNAME"),
        ("gone", "", "refuses a call: "),
        ("silent", "", "does not answer: timed out; see that it runs, or unset MLFLOW_TRACKING_URI"),
    ],
)
def test_a_server_that_is_none_is_an_error_in_seconds(
    behaviour: str, user: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any work: one line says what the server does, where, and what to do, without the password."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1" if behaviour == "silent" else "4")
    with loopback.serve({}) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url(behaviour, user))
        with pytest.raises(RuntimeError, match=message) as caught:
            RunStore.open(tmp_path)
    assert "wrong-password" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_no_server_is_an_error_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port where nothing listens gives one line, long before MLflow itself would give up (4 minutes)."""
    address = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address.replace("//", f"//ann:{SECRET}@"))
    started = time.monotonic()
    with pytest.raises(RuntimeError, match=f"server at {address} does not answer: Connection refused; see that"):
        RunStore.open(tmp_path)
    assert time.monotonic() - started < 4  # it takes 0.1 s; the rest is for a busy machine


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(root: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `serve_ui` on the project's store in another process; yield it and the server's address."""
    port = free_port()
    code = "import sys; from pathlib import Path; from softmax_regression.tracking.client import serve_ui\n"
    command = [sys.executable, "-c", f"{code}serve_ui(Path(sys.argv[1]), port={port})", str(root)]
    with subprocess.Popen(command, stdout=-1, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith(f"MLflow UI: http://runs.localhost:{port}/#/experiments/"), line
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def test_a_server_keeps_runs_until_it_dies(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server takes all that a local store takes; when it dies, the training goes on and the run says what is lost."""
    with served(root) as (process, uri):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "remote")  # made by the server: it keeps the files, too
        store = RunStore.open(tmp_path / "client")
        assert store.ui_command() == ui.link(uri, store.experiment_id)
        assert store.run_link("r1") == ui.run_link(uri, store.experiment_id, "r1")
        run = store.start_run("a", "c", {"p": 1}, {"t": "x"})
        run.log_metrics({"m": 1.0}, 1)
        run.log_text("text", "folder/a.txt")
        run.log_dataset("digits", "1", "data/digits", "training", {})
        assert run.finish(key="k"), run.lost
        found = store.find("k")
        assert found is not None
        assert (found.params, found.metrics, found.live) == ({"p": "1"}, {"m": 1.0}, True)
        assert store.download(run.run_id, "folder/a.txt", tmp_path / "out").read_text() == "text"
        run.log_model(small_model(tmp_path))
        registry = Registry(store, "clothes")
        registry.crown(registry.register(run.run_id, {"t": "x"}))
        assert registry.register(run.run_id, {"t": "y"}).number == "1"
        champion = registry.champion()
        assert champion is not None
        assert (champion.run_id, champion.tags["t"]) == (run.run_id, "y")
        answers = store.model_answers(store.model_of(run.run_id), np.ones((1, 2, 2), np.float32))
        np.testing.assert_array_equal(answers, [[4.0, 4.0, 4.0]])
        assert store.count_comparisons({"test-images": "1"}, [["a", "b"]]) == 1
        assert not (tmp_path / "client").exists()
        assert not [path for path in (root / "mlruns").rglob("a.txt") if path.stat().st_mode & 0o077]

        for name, status in {"localhost:8080": 200, "evil.example": 403, "10.0.0.1:5000": 403}.items():
            answer = requests.get(f"{uri}/api/2.0/mlflow/experiments/get?experiment_id=0", headers={"Host": name})
            assert answer.status_code == status, name

        run = store.start_run("a", "c", {"p": 1})
        process.send_signal(signal.SIGINT)
        process.wait(timeout=10)
        started = time.monotonic()
        for epoch in range(20):
            run.log_metrics({"m": 1.0}, epoch)
        assert not run.finish(key="k")
        assert f"the MLflow server at {uri} does not answer: Connection refused" in str(run.lost)
        # One retry after up to a second, MLflow's jitter; then nothing is tried until the end. 20 retries take 10 s.
        assert time.monotonic() - started < 6


def test_the_ui_of_a_server_is_only_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where a server keeps the runs, `serve_ui` prints the link and starts nothing."""
    client = Client(None, "http://host:5000", "7", None)  # MLflow's client is never asked
    monkeypatch.setattr(Client, "open", lambda root: client)
    serve_ui(Path())
    assert capsys.readouterr().out == f"MLflow UI: {ui.link('http://host:5000', '7')}\n"


def test_importing_this_file_does_not_import_mlflow() -> None:
    """MLflow is loaded when a store is opened."""
    code = "import sys, softmax_regression.tracking.client; sys.exit('mlflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)
