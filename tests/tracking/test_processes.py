"""A process of this machine is known to be gone only when that is proven; any other one when it is silent too long."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from softmax_regression.tracking import processes

LONG_AGO = 0  # ms since 1970: of a process that can be looked up the last sign of life does not matter
IDENTITY = "from softmax_regression.tracking.processes import identity; print(identity(), flush=True)"


def ended_writer() -> str:
    """Return the identity of a process that has ended and has been waited for."""
    return subprocess.run([sys.executable, "-c", IDENTITY], capture_output=True, text=True, check=True).stdout.strip()


def test_this_process_is_alive() -> None:
    """A process does not take itself for gone, and names itself the same way each time."""
    assert processes.why_gone(processes.identity(), LONG_AGO) is None
    assert processes.identity() == processes.identity()
    assert processes.identity().split()[2] == str(os.getpid())


def test_another_live_process_is_alive_until_it_ends() -> None:
    """A process is gone once it has ended, even while it waits for its parent to notice."""
    code = f"{IDENTITY}; input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        writer = process.stdout.readline().strip()
        assert processes.why_gone(writer, LONG_AGO) is None
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, not buried
        assert processes.why_gone(writer, LONG_AGO) == f"process {process.pid} has ended"


def test_an_ended_process_is_gone() -> None:
    """The process of an earlier program is gone."""
    writer = ended_writer()
    now = int(processes.sign_of_life()[processes.SEEN])
    assert processes.why_gone(writer, now) == f"process {writer.split()[2]} has ended"


def test_a_number_used_again_is_not_the_same_process() -> None:
    """A process with the number of the writer that started at another time is another one."""
    host, boot, pid, _ = processes.identity().split()
    assert "belongs to another one" in str(processes.why_gone(f"{host} {boot} {pid} 12345", LONG_AGO))


def test_a_restart_ends_every_process() -> None:
    """What was written before the machine was restarted is no longer written, whatever runs under the number now."""
    host, _, pid, started = processes.identity().split()
    writer = f"{host} before {pid} {started}"
    assert processes.why_gone(writer, LONG_AGO) == "the machine has been restarted since"


@pytest.mark.parametrize("writer", ["", "nonsense", "elsewhere boot 1 2", "a b c d e", "HERE boot pid 1"])
def test_who_cannot_be_looked_up_is_gone_after_ten_minutes_of_silence(writer: str) -> None:
    """A process of another machine, or whose name is damaged or missing, may be writing until the deadline is over."""
    writer = writer.replace("HERE", processes.host())
    assert not processes.is_here(writer)
    now = time.time()
    for seconds in (-3600, 0, 590):  # a clock that is ahead, too
        assert processes.why_gone(writer, int((now - seconds) * 1000)) is None
    assert "10 minutes are allowed" in str(processes.why_gone(writer, int((now - 601) * 1000)))
    said = "no sign of life since 2026-01-01 12:00 UTC, 10 minutes are allowed"
    assert processes.why_gone(writer, 1767268800999) == said


def test_a_sign_of_life_is_of_now() -> None:
    """It says the present time, in ms."""
    before = time.time()
    assert int(before * 1000) <= int(processes.sign_of_life()["writer.seen"]) <= time.time() * 1000
