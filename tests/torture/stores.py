"""The two kinds of store: a project's own SQLite file, and a real `mlflow server` on a real PostgreSQL."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from servers import free_port, postgresql
from servers import why_no_postgresql as why_no_postgresql


class Server:
    """An `mlflow server` that can go down and come back, on the same address."""

    def __init__(self, programs: Path, folder: Path, database: str) -> None:
        self.folder, self.database, self.files = folder, database, folder / "files"
        self._programs, self._port = programs, free_port()
        self.uri = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [str(self._programs / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--workers", "1", "--backend-store-uri", self.database, "--artifacts-destination", str(self.files)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        environment |= {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}
        environment["PATH"] = f"{self._programs}{os.pathsep}{environment['PATH']}"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, process_group=0
            )
        for _ in range(600):
            with suppress(OSError):
                urllib.request.urlopen(f"{self.uri}/health", timeout=1).close()
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError((self.folder / "log").read_text()[-3000:])

    def stop(self) -> None:
        """Kill it and its workers."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextmanager
def mlflow_server(programs: Path, folder: Path) -> Iterator[Server]:
    """Run `mlflow server` on a PostgreSQL of its own."""
    folder.mkdir()
    with postgresql() as database:
        server = Server(programs, folder, database.uri)
        try:
            server.start()
            yield server
        finally:
            server.stop()
