"""The MLflow UI as people should meet it: model training in view, useful columns, one link that leads there.

A fresh browser opens an experiment in MLflow's GenAI view, where runs are not to be seen, and its table shows no
params or metrics; the link's arguments and a view stored with the experiment change both (MLflow 3.17, undocumented).
"""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import zlib
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

VIEW = "model-training"
# column of the runs table -> its width in pixels
COLUMNS = {
    "attributes.`Run Name`": 240,
    "metrics.`final/test_accuracy`": 160,
    "metrics.`final/test_loss`": 130,
    "metrics.`final/train_accuracy`": 160,
    "metrics.`final/train_loss`": 130,
    "params.`optimizer.learning_rate`": 180,
    "params.`train.batch_size`": 140,
    "params.`train.epochs`": 120,
    "params.`train.seed`": 110,
    "tags.`experiment.live`": 130,
    "attributes.`Dataset`": 240,
}
_LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}")  # what only this machine reaches (RFC 1122, 3.2.1.3)


def view_tag() -> tuple[str, str]:
    """Return the experiment tag, name and value, that holds the view named in `link`."""
    state = {
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "selectedColumns": list(COLUMNS),
        "columnOrder": list(COLUMNS),
        "columnWidths": COLUMNS,
        "runsHiddenMode": "FIRST_20_RUNS",
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode(), 9)).decode()
    view = {"name": "Model training", "createdAt": 0, "updatedAt": 0, "state": f"deflate;{packed}"}
    return f"mlflow.sharedViewState.{VIEW}", json.dumps(view)


def link(base_url: str, experiment_id: str) -> str:
    """Return the address of the experiment's runs in the UI at `base_url`."""
    query = f"workflowType=machine_learning&viewStateShareKey={VIEW}"
    return f"{base_url.rstrip('/')}/#/experiments/{quote(experiment_id, safe='')}/runs?{query}"


def serve(uri: str, artifacts: Path, link: str, host: str, port: int, *, insecure: bool = False) -> None:
    """Run the MLflow UI on the store at `uri` until Ctrl-C, and print `link` when it answers.

    What others send to it as a server is kept in `artifacts`, not in the working folder. One worker, and no runner of
    GenAI evaluation jobs: half the memory and the time to start. Nothing of it is left running. It knows no passwords,
    and answers only to requests that name this machine, so that no web page reaches it by a name of its own.
    Raises ValueError for a `host` that others reach, unless `insecure`; RuntimeError if the port is taken, or the UI
    ends by itself.
    """
    if not insecure and not _LOOPBACK.fullmatch(host):
        raise ValueError(
            f"--host {host} lets everybody who reaches this machine read, change and delete the runs, without a "
            f"password; there, type `ssh -L {port}:127.0.0.1:{port} {socket.gethostname()}` instead, or set up a "
            "server with passwords (README, Serving), or add --insecure"
        )
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just given back is free
        try:
            probe.bind((host, port))
        except OSError as error:
            raise RuntimeError(
                f"port {port} of {host} is not available ({error.strerror}); choose another with --port"
            ) from None
    command = [sys.executable, "-m", "mlflow", "server", "--artifacts-destination", str(artifacts)]
    command += ["--host", host, "--port", str(port), "--workers", "1", "--uvicorn-opts", "--log-level warning"]
    quiet = {"MLFLOW_LOGGING_LEVEL": "ERROR", "PYTHONWARNINGS": "ignore"}
    safe = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    if host != "0.0.0.0":  # there any name will do, and MLflow's own list of private addresses is the least
        names = sorted({host, "127.0.0.1", "localhost"})
        safe["MLFLOW_SERVER_ALLOWED_HOSTS"] = ",".join(f"{name},{name}:*" for name in names)
    where = {"MLFLOW_BACKEND_STORE_URI": uri, "MLFLOW_REGISTRY_STORE_URI": uri}  # `ps` shows arguments, with passwords
    server = subprocess.Popen(command, env=quiet | safe | os.environ | where, start_new_session=True, umask=0o077)
    try:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        while server.poll() is None and not _listens(host, port):
            time.sleep(0.2)
        if server.poll() is None:
            print(f"MLflow UI: {link}\n(Ctrl-C ends it)", flush=True)
        raise RuntimeError(f"the MLflow UI ended by itself with code {server.wait()}, see the lines above")
    except KeyboardInterrupt:
        return
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)  # its workers, too
        server.wait()


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0
