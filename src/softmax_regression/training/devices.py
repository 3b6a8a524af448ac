"""Where a training computes, and its examples as tensors there: for one training, many, and the parity table."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

from softmax_regression.data.datasets import Examples
from softmax_regression.params import TrainParams

if TYPE_CHECKING:  # torch takes 1.5 s to import, which train.device: cpu need not wait for
    import torch
    from torch import Tensor

EVALUATION_BATCH = 2048  # examples; smaller and larger ones are slower (measured)
_NUMBERS = 2**21  # logits, or features, of a block that are in memory at once: 16 MB in float64
_WORTH_THREADS = 2**23  # multiplications: half a millisecond in float32, a hundred times what a meeting takes


def device_named(name: str) -> torch.device:
    """Return the device that the params name; "auto" is the GPU where there is one.

    Of several processes each has its own. Raises RuntimeError where a GPU is asked for and there is none.
    """
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("train.device is cuda, but torch finds no GPU; set train.device: cpu (or auto)")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    number, found = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if number and number >= found:
        raise RuntimeError(f"each process takes a GPU, and torch finds {found}; lower train.processes")
    return torch.device("cuda", number)


def resolved(name: str) -> str:
    """Return "cpu" or "cuda" for what the params name, so that "auto" is no experiment of its own."""
    return name if name == "cpu" else device_named(name).type


def on_device_in_use(train: TrainParams) -> TrainParams:
    """Return the params with "cpu" or "cuda" for what they name; see `resolved`."""
    return train.model_copy(update={"device": resolved(train.device)})


def evaluation_batch(num_features: int, num_classes: int) -> int:
    """Return how many examples are measured at once: fewer where they have many features or classes."""
    return max(1, min(EVALUATION_BATCH, _NUMBERS // max(num_features, num_classes)))


def tensors_on(examples: Examples, device: torch.device) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the examples as stored, images and labels, and which rows of these are meant, None for all.

    On the CPU they share the memory, or the memory map, of the arrays; a GPU gets those rows alone.
    """
    import torch

    if device.type != "cpu":
        examples = examples.gathered()
    rows = None if examples.rows is None else torch.from_numpy(examples.rows)
    return torch.from_numpy(examples.images).to(device), torch.from_numpy(examples.labels).to(device), rows


def threads_for(multiplications: int, processes: int = 1) -> int:
    """Return on how many threads products of so many multiplications are worth it: one, or a process's share of all."""
    return max(1, cores() // processes) if multiplications >= _WORTH_THREADS else 1


def use_quickest_threads(multiplications: int, processes: int = 1) -> None:
    """Let torch take one thread, or `threads_for` so many if they are quicker just now; no result may depend on it.

    Threads meet after each operation: on an idle machine two are nearly twice as quick as one, on a busy one they wait
    for each other and are several times slower (measured).
    """
    import torch

    threads = threads_for(multiplications, processes)
    torch.set_num_threads(threads if threads > 1 and _seconds(threads) < _seconds(1) else 1)


def _seconds(threads: int) -> float:
    """Let torch take so many threads; return what ten products and sums then take, 2 ms each on one."""
    import torch

    torch.set_num_threads(threads)
    square = torch.ones(512, 512, dtype=torch.float64)
    started = time.perf_counter()
    for _ in range(10):
        (square @ square).add_(square)
    return time.perf_counter() - started


def cores() -> int:
    """Return on how many cores this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def begin_process() -> None:
    """Begin a process that trains beside others: one thread; Ctrl-C is for their parent, with which it ends."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)


def _end_with_parent() -> None:
    """A process whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
