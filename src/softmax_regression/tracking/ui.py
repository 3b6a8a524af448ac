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
import webbrowser
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

PORT = 5000  # MLflow's own default
VIEW = "model-training"
_TRAINING = "workflowType=machine_learning"  # without it a link leads into the GenAI view
# column of the runs table -> its width in pixels; what stands first fits a window of 1280
COLUMNS = {
    "attributes.`Run Name`": 230,
    "metrics.`final/test_accuracy`": 135,
    "metrics.`final/validation_accuracy`": 168,
    "metrics.`final/test_loss`": 105,
    "params.`optimizer.learning_rate`": 158,
    "params.`train.epochs`": 115,
    "params.`train.batch_size`": 135,
    "params.`optimizer.momentum`": 160,
    "params.`optimizer.schedule`": 150,
    "params.`train.seed`": 105,
    "metrics.`final/train_accuracy`": 150,
    "metrics.`final/train_loss`": 125,
    "attributes.`Dataset`": 220,
    "tags.`dvc.exp.name`": 140,
    "tags.`experiment.live`": 130,
}
# section of the charts -> its cards, side by side; MLflow adds what no card shows to the section that its name begins
# with, here a closed one, and does not show titles of one's own
SECTIONS: dict[str, list[dict[str, object]]] = {
    "By epoch: train and held-out data": [
        {
            "type": "LINE",
            "metricKey": f"curves/train_{figure}",
            "selectedMetricKeys": [f"curves/{part}_{figure}" for part in ("train", "test", "validation")],
        }
        for figure in ("loss", "accuracy")
    ],
    "After training": [
        {"type": "BAR", "metricKey": "final/test_accuracy"},
        {
            "type": "SCATTER",
            "xaxis": {"key": "optimizer.learning_rate", "type": "PARAM"},
            "yaxis": {"key": "final/test_accuracy", "type": "METRIC"},
        },
    ],
    "Weights by epoch": [  # at the book's last one; of a shorter training the slider finds earlier ones
        {"type": "IMAGE", "imageKeys": ["weights"], "step": 10, "showRunParams": False}
    ],
    "curves": [],
    "schedule": [],
    "final": [],
    "validation_best": [],
    "overflow": [],
    "System metrics": [],
}
_NAME = "runs.localhost"
_LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}")  # what only this machine reaches (RFC 1122, 3.2.1.3)


def view_tag() -> tuple[str, str]:
    """Return the experiment tag, name and value, that holds the view named in `link`."""
    sections = [
        {"uuid": name, "name": name, "display": bool(cards), "columns": len(cards) or 3}
        for name, cards in SECTIONS.items()
    ]
    charts = [
        {"uuid": f"{name} {place}", "metricSectionId": name, "runsCountToCompare": 10, "deleted": False} | card
        for name, cards in SECTIONS.items()
        for place, card in enumerate(cards)
    ]
    state = {
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "selectedColumns": list(COLUMNS),
        "columnOrder": list(COLUMNS),
        "columnWidths": COLUMNS,
        "runsHiddenMode": "FIRST_10_RUNS",
        "compareRunSections": sections,
        "compareRunCharts": charts,
        "isAccordionReordered": True,  # or the sections would be sorted by name
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode(), 9)).decode()
    view = {"name": "Model training", "createdAt": 0, "updatedAt": 0, "state": f"deflate;{packed}"}
    return f"mlflow.sharedViewState.{VIEW}", json.dumps(view)


def link(base_url: str, experiment_id: str) -> str:
    """Return the address of the experiment's runs in the UI at `base_url`; with a filter it would lose the view."""
    return f"{_experiment(base_url, experiment_id)}/runs?{_TRAINING}&viewStateShareKey={VIEW}"


def run_link(base_url: str, experiment_id: str, run_id: str) -> str:
    """Return the address of a run's page in the UI at `base_url`."""
    return f"{_experiment(base_url, experiment_id)}/runs/{quote(run_id, safe='')}?{_TRAINING}"


def _experiment(base_url: str, experiment_id: str) -> str:
    return f"{base_url.rstrip('/')}/#/experiments/{quote(experiment_id, safe='')}"


def addresses(host: str, port: int) -> list[str]:
    """Return where the UI on `host` is to be reached, the best first.

    Under a name that is not localhost, MLflow's Assistant does not open its panel over a third of the page. Chromium,
    Edge and Firefox know every name below localhost by themselves (RFC 6761, 6.3), Safari does not.
    """
    own = f"http://{host}:{port}"
    return [f"http://{_NAME}:{port}", own] if host in ("127.0.0.1", "localhost") else [own]


def to_open(links: Sequence[str], environment: Mapping[str, str], system: str) -> str | None:
    """Return which of the links of `addresses` to open in a browser; None where nobody would see it.

    So it is in CI, and without a display, over SSH, say. `system` is sys.platform. BROWSER may name a program that
    opens the page on another machine, which finds this one by its number alone.
    """
    if environment.get("CI"):
        return None
    if environment.get("BROWSER"):
        return links[-1]
    if environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"):
        return links[0]
    desktop = {"win32": links[0], "darwin": links[-1]}  # there the browser may be Safari
    return None if "SSH_CONNECTION" in environment else desktop.get(system)


def serve(
    uri: str,
    artifacts: Path,
    experiment_id: str,
    host: str,
    port: int,
    *,
    insecure: bool = False,
    browser: bool = False,
) -> None:
    """Run the MLflow UI on the store at `uri` until Ctrl-C; when it answers, print the link to the experiment's runs.

    With `browser`, open it in one, see `to_open`.

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
            "server with passwords (docs/teams.md), or add --insecure"
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
    places = addresses(host, port)
    quiet = {"MLFLOW_LOGGING_LEVEL": "ERROR", "PYTHONWARNINGS": "ignore"}
    safe = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    if host != "0.0.0.0":  # there any name will do, and MLflow's own list of private addresses is the least
        names = sorted({host, "127.0.0.1", "localhost", *({_NAME} if len(places) > 1 else ())})
        safe["MLFLOW_SERVER_ALLOWED_HOSTS"] = ",".join(f"{name},{name}:*" for name in names)
    if len(places) > 1:  # or the page's own requests are taken for those of another site
        safe["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] = places[0]
    where = {"MLFLOW_BACKEND_STORE_URI": uri, "MLFLOW_REGISTRY_STORE_URI": uri}  # `ps` shows arguments, with passwords
    server = subprocess.Popen(command, env=quiet | safe | os.environ | where, start_new_session=True, umask=0o077)
    try:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        while server.poll() is None and not _listens(host, port):
            time.sleep(0.2)
        if server.poll() is None:
            links = [link(place, experiment_id) for place in places]
            print(f"MLflow UI: {links[0]}", *(f"Safari:    {other}" for other in links[1:]), sep="\n")
            print("(Ctrl-C ends it)", flush=True)
            if browser:
                open_in_browser(links)
        raise RuntimeError(f"the MLflow UI ended by itself with code {server.wait()}, see the lines above")
    except KeyboardInterrupt:
        return
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)  # its workers, too
        server.wait()


def open_in_browser(links: Sequence[str]) -> None:
    """Open one of the links of `addresses` in a person's browser, if there is one."""
    if chosen := to_open(links, os.environ, sys.platform):
        webbrowser.open(chosen)


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0
