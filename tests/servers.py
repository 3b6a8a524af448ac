"""PostgreSQL on the loopback interface, which ends with the process that starts it; ports, and waiting for them."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import sqlalchemy

POSTGRESQL = max(Path("/usr/lib/postgresql").glob("*/bin/postgres"), default=Path("postgres")).parent


class Postgresql(NamedTuple):
    """Its superuser `postgres` comes in by the socket in `folder` alone; all others on 127.0.0.1, with passwords."""

    folder: Path
    port: int

    @property
    def uri(self) -> str:
        """The empty database `postgres`, for its superuser."""
        return f"postgresql+psycopg2://postgres@/postgres?host={self.folder}&port={self.port}"

    def add_database(self, name: str, owner: str, password: str) -> str:
        """Make an empty database and the role that owns it; return its URL."""
        engine = sqlalchemy.create_engine(self.uri, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"CREATE ROLE {owner} LOGIN PASSWORD '{password}'"))
            connection.execute(sqlalchemy.text(f"CREATE DATABASE {name} OWNER {owner}"))
        engine.dispose()
        return f"postgresql://{owner}:{password}@127.0.0.1:{self.port}/{name}"


def why_no_postgresql() -> str:
    """Return why PostgreSQL cannot be started here, or nothing."""
    if not (POSTGRESQL / "initdb").exists():
        return "no PostgreSQL on this machine (Debian: apt-get install postgresql)"
    if shutil.which("setpriv") is None:
        return "no setpriv on this machine (util-linux), under which PostgreSQL runs"
    return ""


@contextmanager
def postgresql() -> Iterator[Postgresql]:
    """Run PostgreSQL with an empty database."""
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    as_user = ["setpriv", "--pdeathsig", "TERM"]  # it ends where this process is killed, too
    if os.geteuid() == 0:  # PostgreSQL refuses root
        user = _unprivileged()
        as_user += [f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups"]
        shutil.chown(folder, user)
    data, port = folder / "data", free_port()
    quiet = {"cwd": "/", "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = [str(POSTGRESQL / "initdb"), "-D", str(data), "-U", "postgres", "-E", "UTF8", "--no-sync"]
    command += ["--auth-local=trust", "--auth-host=scram-sha-256"]  # the folder is its user's alone
    subprocess.run([*as_user, *command], check=True, **quiet)  # type: ignore[call-overload]
    settings = [f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", "fsync=off"]
    command = [str(POSTGRESQL / "postgres"), "-D", str(data), *(word for text in settings for word in ("-c", text))]
    server = subprocess.Popen([*as_user, *command], start_new_session=True, **quiet)  # type: ignore[call-overload]
    try:
        wait_for(port, lambda: server.poll() is None)
        time.sleep(0.5)
        yield Postgresql(folder, port)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            server.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(port: int, alive: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until somebody listens on a port. Raises RuntimeError if nobody does in time, or is not `alive` any more."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and alive():
        with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), timeout=1)):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nobody listens on port {port} after at most {seconds:.0f} s")


def free_port() -> int:
    """Return a port of the loopback interface that nobody uses now."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _unprivileged() -> str:
    return "postgres" if any(user.pw_name == "postgres" for user in pwd.getpwall()) else "nobody"
