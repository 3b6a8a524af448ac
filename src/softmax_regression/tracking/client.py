"""Experiments in MLflow: the store they are in, and every call to it. The only file that imports MLflow.

That makes it long; what can be told without MLflow is elsewhere: standing.py (which run stands for an experiment),
recording.py (a run being written), database.py (the database as a file), connection.py (servers), ui.py.
MLflow is imported when a store is opened, not with this module: it takes 1 s, and reads its settings then.
"""

from __future__ import annotations

import getpass
import importlib
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softmax_regression.entry import without_collecting
from softmax_regression.redaction import redact
from softmax_regression.tracking import database, processes, ui
from softmax_regression.tracking.connection import (
    StoreUnavailableError,
    explain,
    impatience,
    settle_environment,
    without_credentials,
)
from softmax_regression.tracking.record import ATTEMPT, CONFIG, ERROR, KILLED, RunRecord
from softmax_regression.tracking.run import Point, Run
from softmax_regression.tracking.run_store import Standing

if TYPE_CHECKING:
    import numpy as np
    from mlflow.tracking import MlflowClient

EXPERIMENT = "softmax-regression"


class Store(Standing):
    """Where runs are recorded: MLflow's database in the project, or a server; and one experiment in it."""

    def __init__(self, client: MlflowClient, uri: str, experiment_id: str, lock: Path | None) -> None:
        self.client = client
        self.uri = uri
        self.experiment_id = experiment_id
        self._lock = lock

    @classmethod
    def open(cls, root: Path, *, wait: float = 60.0) -> Store:
        """Open the store of the project at `root`; create it if it is not there, mend it if the folder has moved.

        It is what MLFLOW_TRACKING_URI names, or else `mlflow.db` and `mlruns/` in `root`. The experiment is what
        MLFLOW_EXPERIMENT_NAME names, or else "softmax-regression". Another process that is creating the database
        is waited for up to `wait` seconds. Raises RuntimeError if there is no store to be had: a server that does
        not answer (after 4 s) or refuses the credentials, a damaged file; ValueError for a URI of a kind that
        MLflow does not take.
        """
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        root = root.resolve()
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{database.DATABASE}"
        file = database.database_file(uri, root)
        _load_mlflow(local=not uri.startswith("http"))
        from mlflow.tracking import MlflowClient

        if file is None:
            uri, artifacts = without_credentials(uri), root / database.ARTIFACTS
        else:
            uri, artifacts = database.database_uri(file), database.artifact_root(file)
        with _telling(uri), impatience():
            if file is not None:
                database.create_once(
                    database, lambda file: _create(database.database_uri(file), artifacts, experiment), wait
                )
                database.mend(file)
            client = MlflowClient(uri)
            found = client.get_experiment_by_name(experiment)
            if found is None:
                _create(uri, artifacts, experiment)
                found = client.get_experiment_by_name(experiment)
            if found.lifecycle_stage != "active":
                raise RuntimeError(
                    f"the MLflow experiment {experiment!r} is deleted: run "
                    f"`mlflow experiments restore -x {found.experiment_id}`, or set MLFLOW_EXPERIMENT_NAME"
                )
            name, value = ui.view_tag()
            if found.tags.get(name) != value:
                client.set_experiment_tag(found.experiment_id, name, value)
        return cls(client, uri, found.experiment_id, database.lock_file(file) if file else None)

    def start_run(
        self, name: str, config_key: str, params: Mapping[str, object], tags: Mapping[str, str] | None = None
    ) -> Run:
        """Start the run called `name`, or `name #2` if it is the second of its configuration, and so on.

        On a server, two that start within the same milliseconds may get the same number; it is a label only.
        Raises RuntimeError if the store does not take it: nothing has been computed yet that could be lost.
        """
        with database.alone(self._lock) if self._lock else nullcontext():  # or two at once could both be the second
            attempt = 1 + max((record.attempt for record in self.attempts(config_key)), default=0)
            name = name if attempt == 1 else f"{name} #{attempt}"
            own = {
                CONFIG: config_key,
                ATTEMPT: str(attempt),
                processes.TAG: processes.identity(),
                "mlflow.user": _user(),
            }
            safe = {tag: redact(value) for tag, value in {**own, **(tags or {})}.items()}
            with self._telling():
                run_id = self.client.create_run(self.experiment_id, run_name=name, tags=safe).info.run_id
        try:
            self.log_batch(run_id, params=params)
        except BaseException:
            with suppress(RuntimeError):
                self.end_run(run_id, "FAILED")
            raise
        return Run(self, run_id, name, new=True)

    def resume_run(self, run_id: str) -> Run:
        """Take up a run that was killed or failed: it is RUNNING again, and this process writes it.

        Raises ValueError if there is no such run, RuntimeError if another process may still be writing it.
        """
        record = self.existing(run_id)
        writer = record.tags.get(processes.TAG, "")
        if record.status == "RUNNING" and writer != processes.identity() and not processes.why_gone(writer):
            raise RuntimeError(
                f"the run {record} is being written by another process, or one on another machine ({writer or '?'}): "
                "wait for it, or end it"
            )
        self.set_tags(
            run_id, {processes.TAG: processes.identity()}
        )  # before it is RUNNING: nobody sweeps it in between
        with self._telling():
            self.client.update_run(run_id, status="RUNNING")
            for stale in {KILLED, ERROR} & record.tags.keys():
                self.client.delete_tag(run_id, stale)
        return Run(self, run_id, record.name)

    def continue_run(self, run_id: str) -> Run:
        """Add to a run that has ended; its status and end stay as they are. Raises ValueError if there is none."""
        return Run(self, run_id, self.existing(run_id).name, ends=False)

    def run(self, run_id: str) -> RunRecord | None:
        """Return the run with this full id, or None."""
        from mlflow.exceptions import MlflowException

        with self._telling():
            try:
                return _record(self.client.get_run(run_id))
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return None
                raise

    def runs(self, condition: str = "") -> list[RunRecord]:
        """Return the experiment's runs, newest first; `condition` is in MLflow's search syntax."""
        records: list[RunRecord] = []
        token = None
        while True:
            with self._telling():
                page = self.client.search_runs(
                    [self.experiment_id], condition, order_by=["attributes.start_time DESC"], page_token=token
                )
            records += map(_record, page)
            token = page.token
            if not token:
                return records

    def history(self, run_id: str, names: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
        """Return the (step, value) pairs of each metric, in order of step."""
        with self._telling():
            return {
                name: sorted((point.step, point.value) for point in self.client.get_metric_history(run_id, name))
                for name in names
            }

    def artifacts(self, run_id: str, folder: str = "") -> list[str]:
        """Return the paths of the files and folders directly in an artifact folder of the run."""
        with self._telling():
            return [file.path for file in self.client.list_artifacts(run_id, folder or None)]

    def download(self, run_id: str, artifact_path: str, destination: Path) -> Path:
        """Copy an artifact, file or folder, into the folder `destination`; return where it lies there.

        Raises FileNotFoundError if the run has no such artifact.
        """
        if artifact_path not in self.artifacts(run_id, artifact_path.rpartition("/")[0]):
            raise FileNotFoundError(f"the run {run_id} has no artifact {artifact_path!r}")
        destination.mkdir(parents=True, exist_ok=True)
        with self._telling():
            return Path(self.client.download_artifacts(run_id, artifact_path, str(destination)))

    def last_heard(self, record: RunRecord) -> int:
        """Return when the run last recorded a metric, or else when it started, in ms since 1970."""
        with self._telling():
            histories = [self.client.get_metric_history(record.run_id, name) for name in record.metrics]
        return max((point.timestamp for points in histories for point in points), default=record.start_time)

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run in one call."""
        self.log_batch(run_id, tags=tags)

    def log_batch(
        self,
        run_id: str,
        points: Sequence[Point] = (),
        timestamp: int = 0,
        *,
        model_id: str | None = None,
        params: Mapping[str, object] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log metrics, params and tags in as few calls as MLflow allows: 100 params, 100 tags, 1000 in all."""
        from mlflow.entities import Metric, Param, RunTag

        metrics = [Metric(name, value, timestamp, step, model_id=model_id) for name, step, value in points]
        settings = [Param(name, redact(_plain(value))) for name, value in (params or {}).items()]
        labels = [RunTag(name, redact(value)) for name, value in (tags or {}).items()]
        with self._telling():
            while metrics or settings or labels:
                self.client.log_batch(run_id, metrics[:800], settings[:100], labels[:100], synchronous=True)
                del metrics[:800], settings[:100], labels[:100]

    def end_run(self, run_id: str, status: str, end: int | None = None) -> None:
        """Set a run's last status (FINISHED, FAILED, KILLED) and its end, in ms since 1970, now if None."""
        with self._telling():
            self.client.set_terminated(run_id, status, end)

    def log_file(self, run_id: str, path: Path, folder: str = "") -> None:
        """Copy a file into an artifact folder of the run."""
        with self._telling():
            self.client.log_artifact(run_id, str(path), folder or None)

    def log_bytes(self, run_id: str, content: bytes, artifact_path: str) -> None:
        """Write a file among the run's artifacts."""
        folder, _, name = artifact_path.rpartition("/")
        with self._telling(), tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary, name)
            path.write_bytes(content)
            self.client.log_artifact(run_id, str(path), folder or None)

    def log_images(self, run_id: str, key: str, images: Sequence[tuple[int, Path]], *, new: bool = False) -> None:
        """Log (step, picture file) pairs as an image series; if the run is not `new`, only steps that it lacks."""
        from PIL import Image

        with self._telling():
            logged = [] if new else [file.path for file in self.client.list_artifacts(run_id, "images")]
            for step, path in images:
                start = f"images/{key.replace('/', '~')}+step+{step}+"  # MLflow's own naming
                if not any(name.startswith(start) for name in logged):
                    with Image.open(path) as image:
                        self.client.log_image(run_id, image, key=key, step=step, synchronous=True)

    def log_dataset(
        self, run_id: str, name: str, digest: str, source: str, context: str, profile: Mapping[str, object]
    ) -> None:
        """Record a data set as an input of the run."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=name,
            digest=digest[:36],  # MLflow takes no more
            source_type="external",
            source=source,
            profile=json.dumps(profile) if profile else None,
        )
        with self._telling():
            self.client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])

    def model_of(self, run_id: str) -> str | None:
        """Return the id of the model that was last logged to the run, or None."""
        with self._telling():
            outputs = self.client.get_run(run_id).outputs
        models = outputs.model_outputs if outputs else []
        return str(models[-1].model_id) if models else None

    def create_model(self, run_id: str, name: str) -> str:
        """Create the entry of a model that came of the run; return its id."""
        record = self.existing(run_id)
        with self._telling():
            model = self.client.create_logged_model(
                record.experiment_id, name, run_id, params=dict(record.params), model_type="classifier"
            )
        return str(model.model_id)

    def upload_model(
        self,
        run_id: str,
        model_id: str,
        python_model: Path,
        artifacts: Mapping[str, Path],
        input_example: np.ndarray,
        output_example: Any,
        pip_requirements: Sequence[str],
    ) -> None:
        """Fill a model's entry with its files and link it to the run; see `Run.log_model`.

        With `pip_requirements` given, MLflow need not load the model to find them out, which takes 10 s.
        """
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus

        with self._telling(), tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow warns of its own type hints, and of integers that could be missing
            from mlflow import pyfunc
            from mlflow.models import Model, infer_signature

            pyfunc.save_model(
                f"{folder}/model",
                python_model=str(python_model),
                artifacts={key: str(path) for key, path in artifacts.items()},
                signature=infer_signature(input_example, output_example),
                input_example=input_example,
                pip_requirements=list(pip_requirements),
                mlflow_model=Model(run_id=run_id, model_uuid=model_id, model_id=model_id),
            )
            self.client.log_model_artifacts(model_id, f"{folder}/model")
            self.client.finalize_logged_model(model_id, LoggedModelStatus.READY)
            self.client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])

    @property
    def is_server(self) -> bool:
        """Whether a server keeps the runs, not a database in the project."""
        return self.uri.startswith(("http://", "https://"))

    def ui_link(self, base_url: str | None = None) -> str:
        """Return the link to the experiment in the UI at `base_url`: the server itself, or where `make ui` serves."""
        return ui.link(base_url or (self.uri if self.is_server else "http://127.0.0.1:5000"), self.experiment_id)

    def ui_command(self) -> str:
        """Return what to type, or to open in a browser, to see the runs."""
        return self.ui_link() if self.is_server else "make ui"

    def _telling(self) -> AbstractContextManager[None]:
        return _telling(self.uri)


def serve_ui(root: Path, host: str = "127.0.0.1", port: int = 5000) -> None:
    """Run the MLflow UI on the project's store until interrupted, and print the link that shows the experiment.

    Where MLFLOW_TRACKING_URI names a server, its UI is there already: the link is all.
    """
    opened = Store.open(root)
    link = opened.ui_link(None if opened.is_server else f"http://{host}:{port}")
    if opened.is_server:
        print(f"MLflow UI: {link}")
    else:
        file = database.database_file(opened.uri, root)
        ui.serve(opened.uri, database.artifact_root(file or root / database.DATABASE), link, host, port)


def _load_mlflow(*, local: bool) -> None:
    """Import MLflow, quiet: its errors reach people as exceptions, its notices are nothing that they can act on."""
    settle_environment()
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
    from mlflow.entities import ExperimentTag
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    try:
        if uri.startswith("http"):
            MlflowClient(uri).create_experiment(experiment, tags=dict([ui.view_tag()]))
            return
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        backend = SqlAlchemyStore(uri, str(artifacts))  # the client would take ./mlruns of the working folder
        try:
            backend.create_experiment(experiment, tags=[ExperimentTag(*ui.view_tag())])
        finally:
            backend.engine.dispose()
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
            raise


@contextmanager
def _telling(uri: str) -> Iterator[None]:
    """Turn the errors of MLflow, the network and the disk into one line; a fault of the caller into ValueError."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        code = getattr(error, "error_code", "")
        if code == "INVALID_PARAMETER_VALUE" and "'active' state" not in str(error):  # a deleted run's message
            raise ValueError(redact(f"MLflow does not take this: {str(error).splitlines()[0]}")) from error
        raise StoreUnavailableError(explain(uri, error)) from error


def _record(run: Any) -> RunRecord:
    return RunRecord(
        run_id=run.info.run_id,
        name=run.info.run_name,
        status=run.info.status,
        experiment_id=run.info.experiment_id,
        start_time=run.info.start_time,
        end_time=run.info.end_time,
        params=run.data.params,
        metrics=run.data.metrics,
        tags=run.data.tags,
    )


def _plain(value: object) -> str:
    """Return a param as YAML and JSON write it (true, null, 0.1), so that the UI sorts numbers as numbers."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user number without a name, as in containers
        return str(os.getuid())
