"""The processes that train one model together, on this machine or on several, and the sums over all of them.

torchrun starts them, or the train stage starts others like itself. Each takes its share of every minibatch, and all
hold the same weights, as each step waits for the sum of the shares' gradients. The first one has the run and the files.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from softmax_regression.params import TrainParams

if TYPE_CHECKING:
    import torch
    from torch import Tensor

DEADLINE = 180.0  # seconds that a process may be silent: as long as a slow tracking server may hold the first one up
_STORE = "SOFTMAX_REGRESSION_STORE"  # the file through which processes meet that were not started by torchrun


class StoppedError(RuntimeError):
    """A reason to stop that all processes have; the first one says it."""


class Processes:
    """This process, the one of number `rank` of `count`, `here` of them on this machine. Meet the others by `join`."""

    def __init__(self, rank: int = 0, count: int = 1, here: int = 1, task: str = "") -> None:
        """`task`: digest of what is to be done, which must be the same in all."""
        self.rank, self.count, self.here, self._task = rank, count, here, task
        self.others: list[subprocess.Popen[bytes]] = []  # that this process has started
        self.variables: dict[str, str] = {}  # of the environment that this process has set
        self.device: torch.device | None = None

    @property
    def share(self) -> tuple[int, int]:
        """Which part of every minibatch is this one's: number `rank` of `count`."""
        return self.rank, self.count

    def join(self, device: torch.device) -> None:
        """Meet the others, sums on `device` from here on.

        Raises RuntimeError where they do not come, or have another task.
        """
        if self.count == 1:
            return
        import torch.distributed as dist

        self.device = device
        backend, timeout = "nccl" if device.type == "cuda" else "gloo", timedelta(seconds=DEADLINE)
        with self._explained():
            if path := os.environ.get(_STORE):
                store = dist.FileStore(path, self.count)  # type: ignore[attr-defined]
                store.add("here", 1)
                self._await(lambda: store.add("here", 0) == self.count)
                dist.init_process_group(backend, None, timeout, self.count, self.rank, store)
            else:
                dist.init_process_group(backend, timeout=timeout)
            number = int(self._task[:15] or "0", 16)
            same = self.largest(number) == -self.largest(-number)
        if not same:
            raise StoppedError(
                f"the {self.count} processes do not train the same: their params, data or code differ; give each "
                "machine the same commit, params.yaml and data"
            )

    def leave(self) -> None:
        """End what `join` began, and the processes that this one has started."""
        if self.device is not None:
            import torch.distributed as dist

            if dist.is_initialized():
                dist.destroy_process_group()
        for other in self.others:
            other.kill()
            other.wait()
        for name in self.variables:
            os.environ.pop(name, None)

    def add(self, sums: Tensor) -> None:
        """Add to `sums`, in place, those of the other processes."""
        if self.count > 1:
            import torch.distributed as dist

            with self._explained():
                dist.all_reduce(sums)

    def largest(self, value: int) -> int:
        """Return the largest of the processes' values, which int64 holds."""
        if self.count == 1:
            return value
        import torch
        import torch.distributed as dist

        held = torch.tensor(int(value), device=self.device)
        with self._explained():
            dist.all_reduce(held, dist.ReduceOp.MAX)
        return int(held)

    def from_first(self, content: bytes) -> bytes:
        """Return the first process's content."""
        if self.count == 1:
            return content
        import torch
        import torch.distributed as dist

        size = self.largest(len(content) if self.rank == 0 else 0)
        held = torch.zeros(size, dtype=torch.uint8)
        if self.rank == 0:
            held = torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else held
        held = held.to(self.device)
        with self._explained():
            dist.broadcast(held, 0)
        return held.cpu().numpy().tobytes()

    def wait(self) -> None:
        """Wait for the others."""
        self.largest(0)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn the errors of torch.distributed, of many lines and kinds, into one line."""
        try:
            yield
        except StoppedError:
            raise
        except RuntimeError as error:
            raise StoppedError(f"{self._why_lost()}; the epochs that are done are kept, start it again") from error

    def _why_lost(self) -> str:
        until = time.monotonic() + 1.0  # what ends closes its connections a little before
        while self.others and time.monotonic() < until:
            if dead := self._dead():
                return dead
            time.sleep(0.05)
        return f"another process of this training has ended, or was silent for {DEADLINE:.0f} s"

    def _dead(self) -> str:
        """Return which of the processes that this one has started has ended, and how; nothing where all live."""
        for rank, other in enumerate(self.others, 1):
            if (code := other.poll()) is not None:
                how = f"was killed by signal {-code}" if code < 0 else f"has ended with exit code {code}"
                return f"process {rank + 1} of the {self.count} that train {how}"
        return ""

    def _await(self, all_here: Callable[[], bool]) -> None:
        until = time.monotonic() + DEADLINE
        while not all_here():
            if time.monotonic() > until or self._dead():
                raise RuntimeError
            time.sleep(0.02)


ALONE = Processes()


@contextmanager
def together(train: TrainParams, task: str) -> Iterator[Processes]:
    """Within it this process is one of those that train together: torchrun's, or `train.processes` on this machine.

    Those that are not the first end without a word where all have the same reason to, and on Ctrl-C.
    """
    environment = os.environ
    if "RANK" in environment:
        rank, count, here = (int(environment[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"))
        processes = Processes(rank, count, here, task)
        if processes.rank:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    else:
        processes = Processes(0, train.processes, train.processes, task)
    with tempfile.TemporaryDirectory() as folder:
        if _STORE in environment:
            threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
        elif "RANK" not in environment and processes.count > 1:
            _start_others(processes, Path(folder, "store"))
        try:
            yield processes
        except StoppedError:
            if processes.rank:
                sys.exit(1)
            raise
        finally:
            processes.leave()


def _start_others(processes: Processes, store: Path) -> None:
    """Start this program again for each of the other processes, as torchrun would; they meet on this machine alone."""
    loopback = next(
        (name for name, found in psutil.net_if_addrs().items() if any(one.address == "127.0.0.1" for one in found)), ""
    )
    count = str(processes.count)
    shared = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "GROUP_RANK": "0", _STORE: str(store)}
    shared |= dict.fromkeys({"GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"} - os.environ.keys(), loopback)
    processes.variables = shared | {"RANK": "0", "LOCAL_RANK": "0"}
    os.environ.update(processes.variables)
    on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # they inherit it: Ctrl-C is for the first process
    try:
        for rank in range(1, processes.count):
            own = os.environ | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            processes.others.append(subprocess.Popen([sys.executable, *sys.argv], env=own))
    finally:
        signal.signal(signal.SIGINT, on_interrupt)


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)
