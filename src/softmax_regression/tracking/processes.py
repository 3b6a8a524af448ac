"""Who writes a run: which machine, which boot of it, which process; and whether that process is gone.

A process of this machine is looked up. One on another machine, or in another container, cannot be: it gives a sign of
life every minute, and is taken for gone when it has been silent for too long.
"""

import hashlib
import os
import platform
import re
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import psutil

TAG, SEEN = "writer", "writer.seen"  # tags of a run: who writes it; its last sign of life, in ms since 1970
EVERY = 60.0  # seconds between two signs of life
DEADLINE = 600.0  # seconds of silence that are allowed


def identity() -> str:
    """Return the value of the tag that names this process as the writer of a run: "host boot pid started".

    `host` is a digest (nothing of the machine can be read back) of the host name, the machine id, the network
    card's address and the process namespace: two machines, or two containers, that could take each other's process
    numbers for their own differ in it. `started` is when the process started, in clock ticks since boot on Linux,
    which no change of the clock moves; in seconds since 1970 elsewhere.
    """
    pid = os.getpid()
    return f"{host()} {_boot()} {pid} {_started(pid) or '-'}"


def sign_of_life() -> dict[str, str]:
    """Return the tag that says that the process which writes a run is alive now, by its own clock."""
    return {SEEN: str(time.time_ns() // 1_000_000)}


def is_here(writer: str) -> bool:
    """Say whether a run's tag names a process of this machine, or of this container, which can be looked up."""
    return re.fullmatch(rf"{host()} \S+ \d+ \S+", writer) is not None


def why_gone(writer: str, seen: int) -> str | None:
    """Return why the process named by a run's tag can no longer be writing, or None where it may be.

    Of a process of this machine that is known, however long it is silent. Any other one is judged by its last sign of
    life, `seen` in ms since 1970. The clocks of two machines may differ: the deadline of ten signs leaves minutes for
    that. It may be judged wrongly all the same, where its machine slept: then it still ends its run as it ends itself.
    """
    if not is_here(writer):
        if time.time() - seen / 1000 <= DEADLINE:
            return None
        since = datetime.fromtimestamp(seen / 1000, UTC)
        return f"no sign of life since {since:%Y-%m-%d %H:%M} UTC, {DEADLINE / 60:.0f} minutes are allowed"
    _, boot, pid, its_start = writer.split()
    if boot != _boot():
        return "the machine has been restarted since"
    started = _started(int(pid))
    if started is None:
        return f"process {pid} has ended"
    if started and started != its_start:
        return f"process {pid} has ended, its number belongs to another one now"
    return None


@lru_cache(maxsize=1)
def host() -> str:
    """Return the digest that stands for this machine or container: 16 hexadecimal digits."""
    card = uuid.getnode()
    made_up = card >> 40 & 1  # RFC 9562: without a card, getnode draws a number at random and sets this bit
    namespace = Path("/proc/self/ns/pid")
    facts = [
        platform.node(),
        _text("/etc/machine-id"),
        "" if made_up else f"{card:012x}",
        str(namespace.readlink()) if namespace.is_symlink() else "",
    ]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


@lru_cache(maxsize=1)
def _boot() -> str:
    """Return the id of this boot; "-" where the system has none and the start time must do."""
    return _text("/proc/sys/kernel/random/boot_id") or "-"


def _started(pid: int) -> str | None:
    """Return when process `pid` started; None if there is no such process; empty if that is hidden from us.

    A process that has ended and only awaits its parent is none.
    """
    with suppress(OSError):  # no such process, or a system without /proc
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        state, ticks = fields[0], fields[19]  # proc(5): fields 3 and 22, counted after the name in brackets
        return None if state in "ZX" else ticks
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return None
    except psutil.Error:
        return ""


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
