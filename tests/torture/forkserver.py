"""A Python that has imported torch, Lightning, MLflow and DVC once, and forks a child for each command: 0.1 s, not 5 s.

    with fork_server(tmp_path) as programs: subprocess.run(["dvc", "repro"], env={"PATH": f"{programs}:..."})

`programs` is a folder with `python`, `dvc` and `mlflow` that behave as the real ones (see shim.py). Nothing of the
project is imported beforehand: a child imports it from where its PYTHONPATH says, as it is edited at that time.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import os
import runpy
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROGRAMS = {"python": "", "dvc": "-m dvc", "mlflow": "-m mlflow"}
# What the stages, DVC and our commands import of others. A module that is not there is imported by the child.
MODULES = Path(__file__).with_name("modules.txt").read_text().split()


@contextmanager
def fork_server(folder: Path) -> Iterator[Path]:
    """Run a server; yield the folder of programs that use it, in `folder`."""
    programs, address = folder / "programs", folder / "fork.socket"
    programs.mkdir(parents=True)
    for name, start in PROGRAMS.items():
        path = programs / name
        shim = Path(__file__).with_name("shim.py")
        interpreter = os.path.realpath(sys.executable)
        words = f"'{interpreter}' -SEI '{shim}' '{address}' '{sys.executable}' {start}"
        path.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        path.chmod(0o755)
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_"))}
    environment |= {**threads, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}
    if library := failing_library(folder):
        environment["LD_PRELOAD"] = str(library)
    environment["JE_ARROW_MALLOC_CONF"] = "background_thread:false"  # pyarrow's allocator would start one
    command = [sys.executable, __file__, str(address), str(programs / "python")]
    with (folder / "fork.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            while not address.exists():
                if server.poll() is not None:
                    raise RuntimeError((folder / "fork.log").read_text())
                time.sleep(0.02)
            yield programs
        finally:
            server.kill()
            server.wait()


def failing_library(folder: Path) -> Path | None:
    """Compile failing.c into `folder`; None where there is no C compiler."""
    compiler, source, library = shutil.which("cc"), Path(__file__).with_name("failing.c"), folder / "failing.so"
    if compiler is None:
        return None
    subprocess.run([compiler, "-Wall", "-Werror", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


def serve(address: str, python: str) -> None:
    """Import, listen on the socket `address`, fork a child per request and report its end; `python` is the shim."""
    end_with_parent()
    for name in MODULES:
        with suppress(ImportError):
            importlib.import_module(name)
    if (tasks := len(list(Path("/proc/self/task").iterdir()))) > 1:
        sys.exit(f"{tasks} threads: a fork is not safe, see which import starts one")
    warm_matplotlib()
    gc.collect()
    gc.freeze()  # a child's collections and its end walk nothing of this
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{address}.new")
    listener.listen(64)
    Path(f"{address}.new").rename(address)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    running: dict[int, tuple[int, socket.socket]] = {}  # a child's pidfd -> its number, the connection to its shim
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                connection, _ = listener.accept()
                request, files = _received(connection)
                if request and (child := os.fork()) == 0:
                    _become(request.split(b"\0"), files, python)
                for file in files:
                    os.close(file)
                if request:
                    ended = os.pidfd_open(child)
                    running[ended] = child, connection
                    selector.register(ended, selectors.EVENT_READ, ended)
                    selector.register(connection, selectors.EVENT_READ, ended)
            elif key.data not in running:
                continue  # it ended, and its shim was killed, at one time
            elif key.fileobj == key.data:
                child, connection = running.pop(key.data)
                for watched in (key.data, connection):
                    with suppress(KeyError):
                        selector.unregister(watched)
                os.close(key.data)
                code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                with connection, suppress(OSError):
                    connection.send(code.to_bytes(4, "big", signed=True))
            else:  # its shim was killed
                selector.unregister(key.fileobj)
                signal.pidfd_send_signal(key.data, signal.SIGKILL)


def _received(connection: socket.socket) -> tuple[bytes, list[int]]:
    """Return a request and the three open files that come with it; no request where the shim was killed meanwhile."""
    with suppress(ConnectionError):
        size, files, *_ = socket.recv_fds(connection, 4, 3)
        request = b""
        while part := connection.recv(1 << 20):
            request += part
            if len(request) == int.from_bytes(size, "big"):
                return request, files
        return b"", files
    return b"", []


def end_with_parent() -> None:
    """Let this process be killed when the one that started it ends, even by SIGKILL; Linux only, as pidfd_open is."""
    ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))  # PR_SET_PDEATHSIG


def warm_matplotlib() -> None:
    """Let it find its fonts."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    figure.add_subplot().set_title("a")
    FigureCanvasAgg(figure).draw()


def _become(request: list[bytes], files: list[int], python: str) -> None:
    """Run the requested program in this child, and end it."""
    folder, group, count, *rest = request
    arguments = [os.fsdecode(argument) for argument in rest[: int(count)]]
    end_with_parent()
    try:
        os.setpgid(0, int(group))
    except OSError:  # of another session, as DVC's queue workers are
        os.setsid()
    for target, file in enumerate(files):
        os.dup2(file, target)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(folder)
    os.environ.clear()
    os.environb.update(dict(entry.split(b"=", 1) for entry in rest[int(count) :]))
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False, errors="backslashreplace")  # noqa: SIM115
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.executable = python
    warnings.resetwarnings()
    warnings.simplefilter("ignore" if os.environ.get("PYTHONWARNINGS") == "ignore" else "default")
    code = 0
    try:
        _run(arguments)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if code == 1 and not isinstance(stop.code, int):
            print(stop.code, file=sys.stderr)
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        traceback.print_exc()
        code = 1
    with suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]
    with suppress(BaseException):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code & 0xFF)


def _run(arguments: list[str]) -> None:
    """Run a script, a module or a text as the interpreter does with these arguments."""
    from torture import faults

    what, *rest = arguments
    first = str(Path.cwd()) if what == "-m" else "" if what == "-c" else str(Path(what).resolve().parent)
    own = [str(Path(entry).absolute()) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:] = [first, *own, *sys.path[1:]]
    sys.path_importer_cache.clear()
    importlib.invalidate_caches()
    faults.install(arguments)
    if what == "-m":
        sys.argv[:] = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif what == "-c":
        sys.argv[:] = ["-c", *rest[1:]]
        main = types.ModuleType("__main__")
        sys.modules["__main__"] = main
        exec(rest[0], main.__dict__)
    else:
        sys.argv[:] = arguments
        runpy.run_path(what, run_name="__main__")


if __name__ == "__main__":
    sys.path.insert(1, str(Path(__file__).parents[1]))
    from torture import faults  # noqa: F401  # so that a child need not

    sys.path.pop(1)
    serve(*sys.argv[1:])
