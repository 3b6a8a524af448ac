"""The training itself: against NumPy's floor, a plain Lightning build, scikit-learn; memory, size of data, GPU."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measuring, plain
from benchmarks.measuring import Figure
from softmax_regression.artifacts.outcome import History
from softmax_regression.data.datasets import Dataset, Examples
from softmax_regression.params import Params

EPOCHS = 10
# What a sweep over learning rate, weight decay and momentum has found by validation data, in half of its epochs.
TUNED: dict[str, Any] = {"learning_rate": 0.1, "momentum": 0.9, "schedule": "cosine", "epochs": 20}


# Train, after the imports that it makes on the way: those that the drawing and the recording make late, too.
PEAK_SCRIPT = """
import re, sys
from pathlib import Path
sys.argv = ["train.py", *sys.argv[1:]]
sys.path.insert(0, "pipeline")
import train, mlflow.store.tracking.sqlalchemy_store, mlflow.pyfunc
from softmax_regression.evaluation import training_pictures
from softmax_regression.training import lightning as training
import matplotlib.backends.backend_agg, pandas, PIL.Image
# Not getrusage: its peak counts what the process was before it became this program, the benchmark's own memory.
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
before = peak()
train.main()
print(f"peak {before} {peak()}")
"""


def fit(
    dataset: Dataset,
    params: Params,
    folder: Path | None = None,
    on_epoch: Callable[[History], None] = lambda history: None,
    **changes: Any,
) -> None:
    """Train as the train stage does; `folder` keeps its checkpoint, `changes` are to its train and optimizer params."""
    from softmax_regression.training import lightning as training

    names = {name: value for name, value in changes.items() if name in type(params.train).model_fields}
    settings = params.train.model_copy(update={"epochs": EPOCHS, "resume": False, **names})
    optimizer = params.optimizer.model_copy(update={k: v for k, v in changes.items() if k not in names})
    training.fit(
        dataset.train,
        ("test", dataset.test),
        scale=dataset.scale,
        num_classes=dataset.num_classes,
        model=params.model,
        optimizer=optimizer,
        settings=settings,
        on_epoch=on_epoch,
        checkpoint=folder,
    )


def over_numpy(dataset: Dataset, params: Params, repeats: int) -> list[Figure]:
    """Ten epochs with test curve, metrics and checkpoint, and a NumPy loop that evaluates as often, over each other."""
    with tempfile.TemporaryDirectory() as folder:
        tasks: dict[str, Callable[[], object]] = {
            "exact": lambda: fit(dataset, with_implementation(params, "exact"), Path(folder)),
            "scratch": lambda: fit(dataset, with_implementation(params, "scratch"), Path(folder)),
            "numpy": lambda: plain.numpy_loop(dataset, EPOCHS),
        }
        measuring.interleaved(tasks, 1)  # imports and first pages
        seconds = measuring.interleaved(tasks, repeats)
    pairs = (
        ("exact", "scratch", "at most 1.5 (ambition 1.25)"),
        ("scratch", "numpy", "at most 1.3"),
        ("exact", "numpy", "at most 2"),
    )
    return [
        Figure(
            f"fit, ten epochs, {first} over {'a bare NumPy loop' if second == 'numpy' else second}",
            f"{seconds[first] / seconds[second]:.2f}",
            target,
            f"{seconds[first]:.2f} s over {seconds[second]:.2f} s, medians of {repeats}",
        )
        for first, second, target in pairs
    ]


def with_implementation(params: Params, name: str) -> Params:
    """Return the params with another `model.implementation`."""
    return params.model_copy(update={"model": params.model.model_copy(update={"implementation": name})})


def parts_of_a_step(dataset: Dataset, params: Params, repeats: int = 300) -> list[Figure]:
    """Where the time of an exact step goes: microseconds of each part, one thread, medians."""
    import torch

    from softmax_regression.mathematics.batches import Minibatches
    from softmax_regression.mathematics.implementations import Exact, build
    from softmax_regression.mathematics.products import operand, product
    from softmax_regression.training.devices import tensors_on

    torch.set_num_threads(1)
    images, labels, _ = tensors_on(dataset.train, torch.device("cpu"))
    batches = Minibatches(images, labels, batch_size=256, seed=0, scale=dataset.scale)
    exact = build(with_implementation(params, "exact").model, batches.inputs, dataset.num_classes, seed=0)
    assert isinstance(exact, Exact)
    model, optimizer = exact.model, exact.build_optimizer(params.optimizer)
    stored, classes = next(iter(next(iter(batches))))
    order, features = batches.order(0)[:256], operand(stored)
    logits = model.logits(features.t())
    likelihood, errors = model.likelihood_and_errors(logits.clone(), classes)
    exact.step(optimizer, stored, classes)  # makes the gradients that the update takes
    parts: dict[str, Callable[[], object]] = {
        "gather": lambda: operand(images.flatten(1).index_select(0, order)),
        "logits": lambda: model.logits(features.t()),
        "softmax": lambda: model.likelihood_and_errors(logits.clone(), classes),
        "gradient": lambda: product(errors, model.grids.error_bits, features),
        "update": lambda: optimizer.step(),
        "log, a batch at a time": lambda: model.losses(likelihood),
        "whole step": lambda: exact.step(optimizer, stored, classes),
    }
    seconds = measuring.interleaved(parts, repeats)
    shares = ", ".join(f"{name} {value * 1e6:.0f}" for name, value in seconds.items())
    return [Figure("parts of an exact step", f"{seconds['whole step'] * 1e6:.0f} us", "none", f"us: {shares}")]


def over_plain_lightning(dataset: Dataset, params: Params) -> list[Figure]:
    """One epoch of each, as the plain build takes minutes for ten; both evaluate the test set after it."""
    with tempfile.TemporaryDirectory() as folder:
        tasks: dict[str, Callable[[], object]] = {
            "ours": lambda: fit(dataset, params, Path(folder), epochs=1),
            "plain": lambda: plain.lightning_build(dataset, 1),
        }
        seconds = measuring.interleaved(tasks, 1)
        ours = measuring.interleaved({"ours": tasks["ours"]}, 3)["ours"]
    detail = f"one epoch: {seconds['plain']:.1f} s against {ours:.2f} s"
    return [Figure("plain Lightning build over ours", f"{seconds['plain'] / ours:.0f}", "at least 10", detail)]


def to_accuracy(dataset: Dataset, params: Params, iterations: int = 100) -> list[Figure]:
    """Seconds until the test accuracy of scikit-learn's LogisticRegression is reached by the tuned configuration."""
    started = time.perf_counter()
    target = plain.library_accuracy(dataset, iterations)
    library = time.perf_counter() - started
    reached: list[float] = []
    best = 0.0

    def watch(history: History) -> None:
        nonlocal best
        best = max(best, history.last.held_out_accuracy)
        if best >= target:
            reached.append(time.perf_counter() - started)

    started = time.perf_counter()
    fit(dataset, params, on_epoch=watch, **TUNED)
    value = f"{library / reached[0]:.1f}" if reached else f"not reached: {best:.4f}"
    ours = f"{reached[0]:.1f} s" if reached else "never"
    what = f"scikit-learn (lbfgs, {iterations} iterations: {target:.4f}) over ours to the same accuracy"
    return [Figure(what, value, "at least 5", f"{library:.1f} s against {ours}")]


def against_size(dataset: Dataset, params: Params, repeats: int, factors: Sequence[int] = (1, 2, 4, 8)) -> list[Figure]:
    """Seconds an example in an epoch over memory-mapped files of 1 to 8 times the data, relative to once."""
    empty = Examples(dataset.test.images[:10], dataset.test.labels[:10])  # next to no evaluation
    with tempfile.TemporaryDirectory() as folder:
        tasks = {str(factor): _epoch_of(_repeated(dataset, factor, empty, Path(folder)), params) for factor in factors}
        measuring.interleaved(tasks, 1)
        seconds = measuring.interleaved(tasks, repeats)
    relative = {factor: seconds[str(factor)] / factor / seconds[str(factors[0])] for factor in factors}
    worst = max(abs(value - 1) for value in relative.values())
    detail = ", ".join(f"{factor}x: {value:.2f}" for factor, value in relative.items())
    return [Figure("epoch time per example, 1x to 8x data", f"within {worst:.0%}", "within 10%", detail)]


def peak_memory(data: Path, folder: Path, raw_bytes: int) -> list[Figure]:
    """Peak memory of the train stage beyond its imports, in a process of its own, over the raw data (Linux only)."""
    if sys.platform != "linux":
        return []
    output = measuring.run([sys.executable, "-c", PEAK_SCRIPT, str(data), "artifacts/train"], folder)
    before, after = map(int, output.split("peak ")[-1].split()[:2])
    beyond = (after - before) * 1024
    detail = f"{beyond / 1e6:.0f} MB beyond {before * 1024 / 1e6:.0f} MB of imports; raw data {raw_bytes / 1e6:.0f} MB"
    return [
        Figure("peak memory of train beyond imports, over raw data", f"{beyond / raw_bytes:.2f}", "at most 2.5", detail)
    ]


def on_gpu(dataset: Dataset, params: Params, repeats: int) -> list[Figure]:
    """Ten epochs on the GPU, or no figure where there is none."""
    import torch

    if not torch.cuda.is_available():
        return []
    fit(dataset, params, device="cuda", epochs=1)
    seconds = statistics.median(measuring.timed(lambda: fit(dataset, params, device="cuda")) for _ in range(repeats))
    return [Figure("ten epochs on the GPU", f"{seconds:.2f} s", "under 1 s", torch.cuda.get_device_name())]


def _repeated(dataset: Dataset, factor: int, test: Examples, folder: Path) -> Dataset:
    """Return the data set with its training examples `factor` times, in a memory map."""
    path = folder / f"{factor}"
    with path.open("wb") as file:
        for _ in range(factor):
            file.write(np.ascontiguousarray(dataset.train.images).tobytes())
    shape = (factor * len(dataset.train), *dataset.example_shape)
    images = np.memmap(path, dataset.train.images.dtype, "c", shape=shape)
    train = Examples(images, np.tile(dataset.train.labels, factor))
    return Dataset(dataset.name, dataset.class_names, dataset.scale, train, test)


def _epoch_of(dataset: Dataset, params: Params) -> Callable[[], object]:
    return lambda: fit(dataset, params, epochs=1)
