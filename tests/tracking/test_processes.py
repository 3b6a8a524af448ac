"""A process is known to be gone only when that is proven."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from softmax_regression.tracking import processes

IDENTITY = "from softmax_regression.tracking.processes import identity; print(identity(), flush=True)"


def ended_writer() -> str:
    """Return the identity of a process that has ended and has been waited for."""
    return subprocess.run([sys.executable, "-c", IDENTITY], capture_output=True, text=True, check=True).stdout.strip()


def test_this_process_is_alive() -> None:
    """A process does not take itself for gone, and names itself the same way each time."""
    assert processes.why_gone(processes.identity()) is None
    assert processes.identity() == processes.identity()
    assert processes.identity().split()[2] == str(os.getpid())


def test_another_live_process_is_alive_until_it_ends() -> None:
    """A process is gone once it has ended, even while it waits for its parent to notice."""
    code = f"{IDENTITY}; input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        writer = process.stdout.readline().strip()
        assert processes.why_gone(writer) is None
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, not buried
        assert processes.why_gone(writer) == f"process {process.pid} has ended"


def test_an_ended_process_is_gone() -> None:
    """The process of an earlier program is gone."""
    writer = ended_writer()
    assert processes.why_gone(writer) == f"process {writer.split()[2]} has ended"


def test_a_number_used_again_is_not_the_same_process() -> None:
    """A process with the number of the writer that started at another time is another one."""
    host, boot, pid, _ = processes.identity().split()
    assert "belongs to another one" in str(processes.why_gone(f"{host} {boot} {pid} 12345"))


def test_a_restart_ends_every_process() -> None:
    """What was written before the machine was restarted is no longer written, whatever runs under the number now."""
    host, _, pid, started = processes.identity().split()
    assert processes.why_gone(f"{host} before {pid} {started}") == "the machine has been restarted since"


@pytest.mark.parametrize("writer", ["", "nonsense", "elsewhere boot 1 2", "a b c d e"])
def test_silence_is_no_proof(writer: str) -> None:
    """A process of another machine, or one that is not named, is not known to be gone."""
    assert processes.why_gone(writer) is None


def test_a_number_that_is_none_proves_nothing() -> None:
    """A damaged tag of this machine does not end a run."""
    assert processes.why_gone(f"{processes.host()} boot pid 1") is None
