"""The two kinds of store: a project's own SQLite file, and a real `mlflow server` on a real PostgreSQL."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

POSTGRESQL = max(Path("/usr/lib/postgresql").glob("*/bin/postgres"), default=Path("postgres")).parent


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


def why_no_postgresql() -> str:
    """Return why PostgreSQL cannot be started here, or nothing."""
    if not (POSTGRESQL / "initdb").exists():
        return "no PostgreSQL on this machine (Debian: apt-get install postgresql)"
    if shutil.which("setpriv") is None:
        return "no setpriv on this machine (util-linux), under which PostgreSQL runs"
    return ""


@contextmanager
def postgresql() -> Iterator[str]:
    """Run PostgreSQL on the loopback interface with an empty database; yield its URI."""
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    as_user = ["setpriv", "--pdeathsig", "TERM"]  # it ends where this process is killed, too
    if os.geteuid() == 0:  # PostgreSQL refuses root
        user = _unprivileged()
        as_user += [f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups"]
        shutil.chown(folder, user)
    data, port = folder / "data", free_port()
    quiet = {"cwd": "/", "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = [str(POSTGRESQL / "initdb"), "-D", str(data), "-U", "mlflow", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run([*as_user, *command], check=True, **quiet)  # type: ignore[call-overload]
    settings = [f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", "fsync=off"]
    command = [str(POSTGRESQL / "postgres"), "-D", str(data), *(word for text in settings for word in ("-c", text))]
    server = subprocess.Popen([*as_user, *command], start_new_session=True, **quiet)  # type: ignore[call-overload]
    try:
        for _ in range(200):
            with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), timeout=1)):
                break
            time.sleep(0.05)
        time.sleep(0.5)
        yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/postgres"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            server.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def mlflow_server(programs: Path, folder: Path) -> Iterator[Server]:
    """Run `mlflow server` on a PostgreSQL of its own."""
    folder.mkdir()
    with postgresql() as database:
        server = Server(programs, folder, database)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def free_port() -> int:
    """Return a port of the loopback interface that nobody uses now."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _unprivileged() -> str:
    return "postgres" if any(user.pw_name == "postgres" for user in pwd.getpwall()) else "nobody"
