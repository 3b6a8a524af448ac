"""Every call to MLflow, on one experiment of one store. Only this file imports MLflow (model_code.py runs elsewhere).

MLflow is imported when a store is opened, not with this module: it takes 1 s, and reads its settings then. Its errors,
those of the network and of the disk become one line (StoreUnavailableError), faults of the caller ValueError.
"""

import gc
import getpass
import importlib
import itertools
import json
import logging
import os
import re
import shlex
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, TypeAlias

import numpy as np

from softmax_regression.artifacts.experiment import digest
from softmax_regression.entry import one_line, without_collecting
from softmax_regression.params import plain
from softmax_regression.redaction import redact
from softmax_regression.tracking import connection, database, ui
from softmax_regression.tracking.record import RunRecord

EXPERIMENT = "softmax-regression"
SYSTEM = "system/"  # begins the names of the metrics that MLflow takes for those of the machine
_RUN_ID = re.compile(r"[a-zA-Z0-9][\w-]{0,255}")  # as MLflow checks those that it is given
_TAG_VALUE = re.compile(r"[\w.-]+")  # those of ours by which runs are looked for
Point: TypeAlias = tuple[str, int, float]  # a metric's name, step and value
View: TypeAlias = Literal["active", "deleted", "all"]
_VIEWS: Mapping[View, int] = {"active": 1, "deleted": 2, "all": 3}  # mlflow.entities.ViewType
_NEWEST_FIRST = "attributes.start_time DESC"
_PAGE = 1000  # runs
_PAIRS = 100  # in a tag of an experiment, which holds 5000 characters


class ModelParts(NamedTuple):
    """What an MLflow model is made of: its code is a file (no pickle), its data are `artifacts`.

    The signature is that of the examples: arrays or tables whose first axis counts examples. With `pip_requirements`
    given, MLflow need not load the model to find them out, which takes 10 s.
    """

    code: Path
    artifacts: Mapping[str, Path]
    input_example: np.ndarray
    output_example: Any
    pip_requirements: list[str]


class _Explaining:
    """An MlflowClient whose calls raise what `_explained` makes of their errors."""

    def __init__(self, mlflow: Any, uri: str) -> None:
        self._mlflow, self._uri = mlflow, uri

    def __getattr__(self, name: str) -> Any:
        return _explained(self._uri)(getattr(self._mlflow, name))


class Client:
    """MLflow's database in the project, or a server; and one experiment in it."""

    def __init__(self, mlflow: Any, uri: str, experiment_id: str, database_file: Path | None) -> None:
        self.mlflow = _Explaining(mlflow, uri)
        self.uri = uri
        self.experiment_id = experiment_id
        self.database_file = database_file  # None where a server keeps the runs

    @classmethod
    def open(cls, root: Path) -> Self:
        """Open the store of the project at `root`; create it if it is not there, repair it if the folder has moved.

        A database of an older MLflow is migrated, see `database.migrate`.
        MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME may name another store than `mlflow.db` and `mlruns/` in `root`,
        and another experiment. Raises RuntimeError if no store can be opened: a server that does not answer (after 4 s)
        or refuses the credentials, a damaged file; ValueError for a URI of a kind that MLflow does not take.
        """
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        root = root.resolve()
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{database.DATABASE}"
        file = database.database_file(uri, root)
        _load_mlflow(local=not uri.startswith("http"))
        from mlflow.tracking import MlflowClient

        if file is None:
            uri, artifacts = connection.without_credentials(uri), root / database.ARTIFACTS
        else:
            uri, artifacts = database.database_uri(file), database.artifact_root(file)
        with _explained(uri), connection.impatience():
            if file is not None:
                database.create_once(file, lambda new: _create(database.database_uri(new), artifacts, experiment))
                database.migrate(file, _schema())
                database.relocate(file)
                database.tune(file)
            client = MlflowClient(uri)
            found = client.get_experiment_by_name(experiment)
            if found is None:
                _create(uri, artifacts, experiment)
                found = client.get_experiment_by_name(experiment)
            if found.lifecycle_stage != "active":
                raise RuntimeError(
                    f"the MLflow experiment {experiment!r} is deleted: run "
                    f"`mlflow experiments restore -x {shlex.quote(found.experiment_id)}`, or set MLFLOW_EXPERIMENT_NAME"
                )
            if file is not None:
                database.private_folder(file, found.experiment_id)
            name, value = ui.view_tag()
            if found.tags.get(name) != value:
                client.set_experiment_tag(found.experiment_id, name, value)
        return cls(client, uri, found.experiment_id, file)

    @property
    def is_server(self) -> bool:
        """Whether a server keeps the runs, not a database in the project."""
        return self.uri.startswith("http")

    def ui_command(self) -> str:
        """Return what to type, or to open in a browser, to see the runs."""
        return ui.link(self.uri, self.experiment_id) if self.is_server else "make ui"

    def run_link(self, run_id: str) -> str:
        """Return the address of a run's page: on the server, or in the UI that `make ui` runs."""
        address = self.uri if self.is_server else ui.addresses("127.0.0.1", ui.PORT)[0]
        return ui.run_link(address, self.experiment_id, run_id)

    def run(self, run_id: str) -> RunRecord | None:
        """Return the run with this full id, or None; deleted runs, and those of other experiments, are none."""
        try:
            run = self.mlflow.get_run(run_id)
        except connection.StoreUnavailableError as error:
            if getattr(error.__cause__, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        here = run.info.lifecycle_stage == "active" and run.info.experiment_id == self.experiment_id
        return self._record(run) if here else None

    def runs(self, condition: str = "", view: View = "active") -> list[RunRecord]:
        """Return the experiment's runs, newest first; `condition` is in MLflow's search syntax."""
        return list(self.walk(condition, view=view))

    def walk(
        self, condition: str = "", order: str = _NEWEST_FIRST, *, view: View = "active", page: int = _PAGE
    ) -> Iterator[RunRecord]:
        """Yield runs in their order, fetched when they are asked for: a page of so many, then twice as many, ..."""
        token = None
        while True:
            found = self._page(condition, order, view, page, token)
            yield from map(self._record, found)
            page, token = min(2 * page, _PAGE), found.token
            if not token:
                return

    def _page(self, condition: str, order: str, view: View, size: int, token: str | None) -> Any:
        gc.disable()  # a run is a hundred objects of MLflow's, which the collector would walk again and again: 0.6 ms
        try:
            return self.mlflow.search_runs([self.experiment_id], condition, _VIEWS[view], size, [order], token)
        finally:
            gc.enable()

    def newest(self, condition: str = "", count: int = 1) -> list[RunRecord]:
        """Return the newest runs, `count` at most."""
        return list(itertools.islice(self.walk(condition, page=count), count))

    def tagged(self, tag: str, value: str, view: View = "active") -> list[RunRecord]:
        """Return the runs with this digest, or word, as a tag, newest first; none where the value is neither."""
        return self.runs(f"tags.`{tag}` = '{value}'", view) if _TAG_VALUE.fullmatch(value) else []

    def _record(self, run: Any) -> RunRecord:
        """Return what a run has on record. Its id names folders and is part of commands, its name is printed."""
        if not _RUN_ID.fullmatch(run.info.run_id):
            raise RuntimeError(f"the store at {self.uri} holds a run whose id is none: {run.info.run_id!r}; delete it")
        return RunRecord(
            run_id=run.info.run_id,
            name=one_line(run.info.run_name),
            status=run.info.status,
            start_time=run.info.start_time,
            end_time=run.info.end_time,
            params=run.data.params,
            metrics={name: value for name, value in run.data.metrics.items() if not name.startswith(SYSTEM)},
            tags=run.data.tags,
            deleted=run.info.lifecycle_stage != "active",
        )

    def history(self, run_id: str, names: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
        """Return the (step, value) pairs of each metric, in order of step; see `recorded`."""
        found = self.recorded(run_id, names)
        return {name: [(step, value) for (own, step), (_, value) in found.items() if own == name] for name in names}

    def recorded(self, run_id: str, names: Iterable[str]) -> dict[tuple[str, int], tuple[int, float]]:
        """Return {(metric's name, step): (ms since 1970, value)}, in order of step; of a step's values the latest."""
        points = (point for name in names for point in self.mlflow.get_metric_history(run_id, name))
        ordered = sorted((point.key, point.step, point.timestamp, point.value) for point in points)
        return {(name, step): (time, value) for name, step, time, value in ordered}

    def last_recorded(self, record: RunRecord) -> int:
        """Return when the run last recorded a metric, or else when it started, in ms since 1970."""
        times = (time for time, _ in self.recorded(record.run_id, record.metrics).values())
        return max(times, default=record.start_time)

    def artifacts(self, run_id: str, folder: str = "") -> list[str]:
        """Return the paths of the files and folders directly in an artifact folder of the run."""
        return [file.path for file in self.mlflow.list_artifacts(run_id, folder or None)]

    def download(self, run_id: str, artifact_path: str, destination: Path) -> Path:
        """Copy an artifact, file or folder, into the folder `destination`; return where it lies there.

        Raises FileNotFoundError if the run has no such artifact.
        """
        if artifact_path not in self.artifacts(run_id, artifact_path.rpartition("/")[0]):
            raise FileNotFoundError(f"the run {run_id} has no artifact {artifact_path!r}")
        destination.mkdir(parents=True, exist_ok=True)
        return Path(self.mlflow.download_artifacts(run_id, artifact_path, str(destination)))

    def create_run(self, name: str, tags: Mapping[str, str]) -> str:
        """Create a RUNNING run; return its id."""
        safe = {tag: redact(value) for tag, value in {"mlflow.user": _user(), **tags}.items()}
        with connection.once():
            return str(self.mlflow.create_run(self.experiment_id, run_name=name, tags=safe).info.run_id)

    def reopen_run(self, run_id: str, stale_tags: Sequence[str]) -> None:
        """Set a run that has ended to RUNNING, without these tags."""
        self.mlflow.update_run(run_id, status="RUNNING")
        for tag in stale_tags:
            self.mlflow.delete_tag(run_id, tag)

    def end_run(self, run_id: str, status: str, end: int | None = None) -> None:
        """Set a run's last status (FINISHED, FAILED, KILLED) and its end, in ms since 1970, now if None."""
        self.mlflow.set_terminated(run_id, status, end)

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run in one call."""
        self.log_batch(run_id, tags=tags)

    def log_batch(
        self,
        run_id: str,
        points: Sequence[Point] = (),
        timestamp: int = 0,
        *,
        params: Mapping[str, object] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log metrics, params and tags, in as few calls as MLflow allows: none for nothing."""
        if not (points or params or tags):
            return
        from mlflow.entities import Metric, Param, RunTag

        metrics = [Metric(name, value, timestamp, step) for name, step, value in points]
        settings = [Param(name, redact(plain(value))) for name, value in (params or {}).items()]
        labels = [RunTag(name, redact(value)) for name, value in (tags or {}).items()]
        self.mlflow.log_batch(run_id, metrics, settings, labels, synchronous=True)

    def measure_machine(self) -> Callable[[], dict[str, float]]:
        """Return a function that measures the machine's load: CPU, memory, disk, network, GPUs where there are any.

        Measured and named by MLflow, whose UI shows them as a run's system metrics; not recorded by it, as its thread
        ends for good where one call fails. The CPU's is the mean since the call before, of this thread's.
        """
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        monitors = SystemMetricsMonitor("", tracking_uri=self.uri).monitors

        def measure() -> dict[str, float]:
            values: dict[str, float] = {}
            for monitor in monitors:
                monitor.clear_metrics()
                monitor.collect_metrics()
                values |= monitor.aggregate_metrics()
            return {f"{SYSTEM}{name}": value for name, value in values.items()}

        measure()  # the first one of the CPU is 0
        return measure

    def log_bytes(self, run_id: str, content: bytes, artifact_path: str) -> None:
        """Write a file among the run's artifacts."""
        folder, _, name = artifact_path.rpartition("/")
        with _explained(self.uri), tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary, name)
            path.write_bytes(content)
            self.mlflow.log_artifact(run_id, str(path), folder or None)

    def log_images(self, run_id: str, key: str, images: Sequence[tuple[int, Path]]) -> None:
        """Log (step, picture file) pairs as an image series; a picture of a step replaces the one before.

        The files are named as MLflow's `log_image` names them. Its names hold the time and a random number, so that a
        call that was cut off between a picture and its thumbnail could only be repeated under another name.
        """
        from mlflow.tracking.multimedia import compress_image_size
        from PIL import Image

        logged = self.artifacts(run_id, "images")
        with tempfile.TemporaryDirectory() as folder:
            for step, path in images:
                start = f"{key.replace('/', '~')}+step+{step}+timestamp+"
                there = (Path(name).stem for name in logged if name.endswith(".png"))
                stem = next((name for name in there if name.startswith(start)), f"{start}0+{uuid.UUID(int=step)}")
                with Image.open(path) as image:
                    image.save(Path(folder, f"{stem}.png"))
                    compress_image_size(image).save(Path(folder, f"{stem}+compressed.webp"))
            self.mlflow.log_artifacts(run_id, folder, "images")
        self.set_tags(run_id, {"mlflow.loggedImages": "True"})

    def log_dataset(
        self, run_id: str, name: str, digest: str, source: str, context: str, profile: Mapping[str, object]
    ) -> None:
        """Record a data set as an input of the run."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        facts = json.dumps(profile) if profile else None
        dataset = Dataset(name, digest, source_type="external", source=redact(source), profile=facts)
        self.mlflow.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])

    def log_model(self, run_id: str, parts: ModelParts) -> None:
        """Log an MLflow model that came of the run, unless it has one; one that is not whole is filled."""
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus

        run = self.mlflow.get_run(run_id)
        experiment = run.info.experiment_id
        linked = {output.model_id for output in run.outputs.model_outputs} if run.outputs else set()
        found = self.mlflow.search_logged_models([experiment], f"source_run_id = '{run_id}'")
        model = next((model for model in found if model.model_id in linked), found[0] if found else None)
        if model is None:
            params = dict(run.data.params)
            name = re.sub(r"[/:.%\"']", ",", run.info.run_name)  # what MLflow takes in a model's name
            settings = {"params": params, "model_type": "classifier"}
            with connection.once():
                model = self.mlflow.create_logged_model(experiment, name, run_id, **settings)
        model_id = model.model_id
        if model_id in linked and self.mlflow.list_logged_model_artifacts(model_id):
            return
        with _explained(self.uri), tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow warns of its own type hints, and of integers that could be missing
            from mlflow import pyfunc
            from mlflow.models import Model, infer_signature
            from mlflow.utils import requirements_utils

            # MLflow compares these requirements with what is installed, which they are, and for that reads the list of
            # every file of every package: 0.5 s.
            requirements_utils._MODULES_TO_PACKAGES = requirements_utils._MODULES_TO_PACKAGES or {"mlflow": ["mlflow"]}
            pyfunc.save_model(
                f"{folder}/model",
                python_model=str(parts.code),
                artifacts={key: str(path) for key, path in parts.artifacts.items()},
                signature=infer_signature(parts.input_example, parts.output_example),
                input_example=parts.input_example,
                pip_requirements=parts.pip_requirements,
                mlflow_model=Model(run_id=run_id, model_uuid=model_id, model_id=model_id),
            )
            self.mlflow.log_model_artifacts(model_id, f"{folder}/model")
        self.mlflow.finalize_logged_model(model_id, LoggedModelStatus.READY)
        if model_id not in linked:  # the last step: a run that names its model has all of it
            self.mlflow.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])

    def model_of(self, run_id: str) -> Any | None:
        """Return MLflow's entry of the model that came of the run, or None where there is none, or it was deleted."""
        outputs = self.mlflow.get_run(run_id).outputs
        linked = {output.model_id for output in outputs.model_outputs} if outputs else set()
        found = self.mlflow.search_logged_models([self.experiment_id], f"source_run_id = '{run_id}'") if linked else []
        return next((model for model in found if model.model_id in linked), None)

    def model_answers(self, model: Any, examples: Any) -> Any:
        """Return the table of what a logged model answers, a row an example, loaded and asked as MLflow's server does.

        `examples`: an array or a table, as its signature says. Raises ValueError where the model refuses them,
        RuntimeError where it cannot be loaded.
        """
        with _explained(self.uri), tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as in `log_model`
            from mlflow import artifacts, pyfunc
            from mlflow.exceptions import MlflowException

            place = artifacts.download_artifacts(model.artifact_location, dst_path=folder, tracking_uri=self.uri)
            try:
                loaded = pyfunc.load_model(place)
            except MlflowException:
                raise
            except Exception as error:  # what is damaged may raise anything
                reason = " ".join(str(error).split())
                raise RuntimeError(f"the MLflow model {model.model_id} cannot be loaded: {reason}") from error
            return loaded.predict(examples)

    def count_comparisons(self, data: Mapping[str, str], pairs: Iterable[Iterable[str]]) -> int:
        """Note that pairs of configurations were judged on a test set; return how many pairs it has served so far.

        `data` are the digests of an experiment's data by part, a pair two configurations' digests. New pairs are a tag
        of MLflow's experiment, so that a pair judged again, or by two processes at once, counts once.
        """
        test = digest("".join(value for part, value in sorted(data.items()) if part.startswith("test-")))
        prefix, judged = f"compared.{test[:8]}.", {" ".join(sorted(pair)) for pair in pairs}
        tags = self.mlflow.get_experiment(self.experiment_id).tags
        known = {pair for tag, value in tags.items() if tag.startswith(prefix) for pair in value.split(", ")}
        new = sorted(judged - known)
        for start in range(0, len(new), _PAIRS):
            value = ", ".join(new[start : start + _PAIRS])
            self.mlflow.set_experiment_tag(self.experiment_id, f"{prefix}{digest(value)[:8]}", value)
        return len(known | judged)


def pattern(text: str) -> str:
    """Return what MLflow's LIKE finds `text` by, and maybe others: what its syntax may not hold is any character."""
    return re.sub(r"[^\w .-]", "_", text)


def serve_ui(
    root: Path, host: str = "127.0.0.1", port: int = ui.PORT, *, insecure: bool = False, browser: bool = False
) -> None:
    """Run the MLflow UI on the project's store until interrupted, and print the link that shows the experiment.

    Where MLFLOW_TRACKING_URI names a server, its UI is there already: the link is all. `insecure`, `browser`: see
    `ui.serve`.
    """
    client = Client.open(root)
    if client.is_server:
        print(f"MLflow UI: {client.ui_command()}")
        if browser:
            ui.open_in_browser([client.ui_command()])
    else:
        file = client.database_file or root / database.DATABASE
        where = client.uri, database.artifact_root(file), client.experiment_id
        ui.serve(*where, host, port, insecure=insecure, browser=browser)


def _load_mlflow(*, local: bool) -> None:
    """Import MLflow, quiet: its errors reach people as exceptions, its notices are nothing that they can act on."""
    connection.settle_environment()
    with warnings.catch_warnings(), without_collecting():
        warnings.simplefilter("ignore", DeprecationWarning)  # of MLflow's use of SQLAlchemy, and the like
        importlib.import_module("mlflow.tracking")
        if local:
            importlib.import_module("mlflow.store.tracking.sqlalchemy_store")
    if not os.environ.get("MLFLOW_LOGGING_LEVEL"):
        for name in ("mlflow", "alembic", "urllib3.connectionpool"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _create(uri: str, artifacts: Path, experiment: str) -> None:
    """Create the experiment, and the database if it is empty, with its runs' files below `artifacts`."""
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    try:
        if uri.startswith("http"):
            MlflowClient(uri).create_experiment(experiment)
            return
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        backend = SqlAlchemyStore(uri, str(artifacts))  # the client would take ./mlruns of the working folder
        try:
            backend.create_experiment(experiment)
        finally:
            backend.engine.dispose()
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
            raise


def _schema() -> database.Schema:
    """Return what the installed MLflow knows of its databases (15 ms)."""
    from alembic.script import ScriptDirectory
    from mlflow.store import db_migrations
    from mlflow.store.db import utils
    from mlflow.version import VERSION

    def upgrade(file: Path) -> None:
        engine = utils.create_sqlalchemy_engine(database.database_uri(file))
        try:
            utils._upgrade_db(engine)  # what `mlflow db upgrade` does
        finally:
            engine.dispose()

    scripts = ScriptDirectory(str(Path(db_migrations.__file__).parent))
    return database.Schema(VERSION, [script.revision for script in scripts.walk_revisions()], upgrade)


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Turn the errors of MLflow, the network and the disk into one line; a fault of the caller into ValueError."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        code = getattr(error, "error_code", "")
        if code == "INVALID_PARAMETER_VALUE" and "'active' state" not in str(error):  # a deleted run's message
            raise ValueError(redact(f"MLflow does not take this: {str(error).splitlines()[0]}")) from error
        raise connection.StoreUnavailableError(connection.explain(uri, error)) from error


def _user() -> str:
    """Return who records a run: the name that the server knows, or else the machine."""
    if account := os.environ.get("MLFLOW_TRACKING_USERNAME"):
        return account
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user number without a name, as in containers
        return str(os.getuid())
