"""Embeddings larger than one likes to copy: memory and time against their number, a plain torch loop, scikit-learn.

The data are made in a temporary folder as the download stage leaves them: packed float16, mapped into memory. Each
measurement that needs a fresh process is a function here that a child calls by its name.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks import measuring
from benchmarks.measuring import ROOT, Figure
from benchmarks.training_speed import fit, with_implementation
from softmax_regression.data import npy
from softmax_regression.data.datasets import Dataset, Examples, label_type
from softmax_regression.params import ModelParams, OptimizerParams, Params, load_params
from softmax_regression.training import devices

_BLOCK = 20_000  # examples made at once
_SCALE = 2.0**12  # an embedding's numbers lie within 8 of zero
WITHIN = 1e-4  # nats above the optimum
DECAY = 1e-4  # optimizer.weight_decay of L-BFGS


def make(folder: Path, examples: int, features: int, classes: int) -> None:
    """Write embeddings into `folder`: a centre a class, its numbers normal with deviation 0.25, under noise of 1."""
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((classes, features), np.float32) / 4
    for split, count in (("train", examples), ("test", 1000)):
        labels = generator.integers(classes, size=count).astype(label_type(classes))
        npy.write(folder / f"{split}-labels.npy", labels)
        with npy.create(folder / f"{split}-images.npy", np.int16, (features,)) as append:
            for start in range(0, count, _BLOCK):
                part = labels[start : start + _BLOCK]
                values = centres[part] + generator.standard_normal((len(part), features), np.float32)
                append(np.rint(values.astype(np.float16).astype(np.float32).clip(-7.9, 7.9) * _SCALE).astype(np.int16))


def made(folder: Path) -> Dataset:
    """Return what `make` has written, mapped into memory."""
    train, test = (
        Examples(npy.read(folder / f"{split}-images.npy"), npy.read(folder / f"{split}-labels.npy"))
        for split in ("train", "test")
    )
    classes = tuple(map(str, range(1 + int(max(train.labels.max(), test.labels.max())))))
    return Dataset("made", classes, (_SCALE,) * train.images.shape[1], train, test)


@contextmanager
def made_in_a_folder(examples: int, features: int, classes: int) -> Iterator[Path]:
    """Yield a temporary folder with embeddings."""
    with tempfile.TemporaryDirectory() as name:
        make(Path(name), examples, features, classes)
        yield Path(name)


def against_number(params: Params, examples: int = 2_000_000, part: int = 200_000) -> list[Figure]:
    """Memory of a training beyond its imports, without the mapped pages, and its time by example against a tenth."""
    with made_in_a_folder(examples, 512, 100) as folder:
        found = _in_a_process("measure_number", str(folder), str(part), params.model.implementation)
    share, megabytes = found["time"], found["anonymous"] / 1e6
    what = f"{examples} x 512 embeddings, 100 classes"
    return [
        Figure(f"{what}: memory beyond imports", f"{megabytes:.0f} MB", "at most 600 MB", "without the mapped pages"),
        Figure(f"{what}: time by example over {part}", f"{share:.2f}", "within 15%", "an epoch each, processor time"),
    ]


def measure_number(folder: str, part: str, implementation: str) -> dict[str, float]:
    """Train an epoch of everything, and some of a part before and after it, on one thread of this process."""
    params, dataset = _params(implementation), made(Path(folder))
    devices.cores = lambda: 1
    few = replace(dataset, train=Examples(dataset.train.images[: int(part)], dataset.train.labels[: int(part)]))
    fit(replace(few, train=few.test), params, epochs=1)  # imports

    def seconds(of: Dataset) -> float:
        """Return those of the processor, to which other processes add nothing."""
        started = time.process_time()
        fit(of, params, epochs=1)
        return time.process_time() - started

    with _anonymous_memory() as peak:
        measured = [seconds(one) for one in (few, few, few, dataset, few, few, dataset, few, few)]
    whole = min(measured[3], measured[6]) * len(few.train) / len(dataset.train)
    return {"time": whole / min(measured[1:3] + measured[4:6] + measured[7:]), "anonymous": peak()}


def against_plain_torch(params: Params, examples: int = 128_000, repeats: int = 3) -> list[Figure]:
    """An epoch of 768 features and 1,000 classes, over one of nn.Linear, F.cross_entropy and torch.optim.SGD."""
    figures = []
    with made_in_a_folder(examples, 768, 1000) as folder:
        dataset = made(folder)
        for name, target in (("exact", "at most 1.5"), ("scratch", "at most 1.1")):
            chosen = with_implementation(params, name)
            fit(replace(dataset, train=dataset.test), chosen, epochs=1)  # sets the threads, for both
            tasks: dict[str, Callable[[], object]] = {
                "ours": lambda chosen=chosen: fit(dataset, chosen, epochs=1),  # type: ignore[misc]
                "plain": lambda: torch_loop(dataset),
            }
            seconds = measuring.interleaved(tasks, repeats)
            detail = f"{seconds['ours']:.1f} s over {seconds['plain']:.1f} s, {torch.get_num_threads()} threads"
            what = f"{examples} x 768, 1,000 classes: {name} over a plain torch loop"
            figures.append(Figure(what, f"{seconds['ours'] / seconds['plain']:.2f}", target, detail))
    return figures


def torch_loop(dataset: Dataset, batch_size: int = 256, learning_rate: float = 0.1) -> float:
    """Train an epoch as torch's users do, minibatches gathered from the memory map; return the last loss."""
    stored, labels = torch.from_numpy(dataset.train.images), torch.from_numpy(dataset.train.labels).long()
    scale = torch.tensor(dataset.scale)
    layer = torch.nn.Linear(stored.shape[1], dataset.num_classes)
    optimizer = torch.optim.SGD(layer.parameters(), learning_rate)
    for chosen in torch.randperm(len(stored)).split(batch_size):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(layer(stored[chosen].float() / scale), labels[chosen])
        loss.backward()
        optimizer.step()
    return loss.item()


def against_scikit_learn(examples: int = 128_000, features: int = 768, classes: int = 1000) -> list[Figure]:
    """Seconds and memory until L-BFGS is within 1e-4 nats of the optimum, over scikit-learn's in float32."""
    with made_in_a_folder(examples, features, classes) as folder:
        theirs = _in_a_process("measure_scikit_learn", str(folder))
        ours = _in_a_process("measure_lbfgs", str(folder))
    goal = min(value for one in (ours, theirs) for _, value in one["curve"]) + WITHIN
    seconds = {
        name: next(at for at, value in one["curve"] if value <= goal)
        for name, one in (("ours", ours), ("theirs", theirs))
    }
    what = f"{examples} x {features}, {classes} classes, L-BFGS over scikit-learn's"
    memory = [max(one["anonymous"], 1e6) / 1e6 for one in (ours, theirs)]
    return [
        Figure(
            f"{what}: time to {WITHIN:g} above the optimum",
            f"{seconds['ours'] / seconds['theirs']:.2f}",
            "at most 1.0",
            f"{seconds['ours']:.0f} s over {seconds['theirs']:.0f} s",
        ),
        Figure(
            f"{what}: memory",
            f"{memory[0] / memory[1]:.2f}",
            "at most 0.5",
            f"{memory[0]:.0f} MB over {memory[1]:.0f} MB, without imports and mapped pages",
        ),
    ]


def measure_lbfgs(folder: str) -> dict[str, Any]:
    """Train by L-BFGS in this process; the curve is (seconds, objective) after each pass over the data."""
    from softmax_regression.training import lbfgs
    from softmax_regression.training.solving import solve

    dataset, params, curve = made(Path(folder)), _params("scratch"), []
    objective = lbfgs._Objective.__call__

    def watched(self: Any, variables: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        value, gradient = objective(self, variables)
        curve.append((time.perf_counter() - started, value))
        return value, gradient

    lbfgs._Objective.__call__ = watched  # type: ignore[method-assign]
    optimizer = params.optimizer.model_copy(update={"weight_decay": DECAY})
    train = params.train.model_copy(update={"solver": "lbfgs", "epochs": 30})
    with _anonymous_memory() as peak:
        started = time.perf_counter()
        solve(dataset, 0, params.model, optimizer, train, on_epoch=lambda history: None, checkpoint=None)
    return {"curve": curve, "anonymous": peak()}


def measure_scikit_learn(folder: str) -> dict[str, Any]:
    """Train scikit-learn's LogisticRegression in this process, on features in float32; see `measure_lbfgs`."""
    from scipy import optimize
    from sklearn.linear_model import LogisticRegression

    dataset, curve = made(Path(folder)), []
    minimize = optimize.minimize

    def watched(function: Any, *arguments: Any, **options: Any) -> Any:
        def measured(*variables: Any) -> Any:
            found = function(*variables)
            curve.append((time.perf_counter() - started, float(found[0])))
            return found

        return minimize(measured, *arguments, **options)

    optimize.minimize = watched
    with _anonymous_memory() as peak:
        started = time.perf_counter()
        features = dataset.train.images.astype(np.float32)
        features /= np.float32(_SCALE)
        model = LogisticRegression(C=1 / (len(features) * DECAY), max_iter=30, tol=1e-5)
        model.fit(features, dataset.train.labels)
    return {"curve": curve, "anonymous": peak()}


def of_a_sweep(params: Params, examples: int = 200_000, classes: int = 100, replicas: int = 64) -> list[Figure]:
    """An epoch of many configurations in one pass, over as many of one alone: in one process, and in one each."""
    from softmax_regression.sweep.replicas import fit_together

    rates = np.geomspace(0.003, 1, replicas).tolist()
    optimizers: list[OptimizerParams] = [params.optimizer.model_copy(update={"learning_rate": rate}) for rate in rates]
    models: list[ModelParams] = [params.model] * replicas

    def train_together() -> None:
        torch.set_num_threads(devices.cores())  # `fit` has set it
        fit_together(
            dataset.train,
            dataset.test,
            scale=dataset.scale,
            num_classes=dataset.num_classes,
            models=models,
            optimizers=optimizers,
            settings=params.train.model_copy(update={"epochs": 1}),
            on_epoch=lambda outcomes: None,
        )

    with made_in_a_folder(examples, 512, classes) as folder:
        dataset = made(folder)
        tasks: dict[str, Callable[[], object]] = {
            "alone": lambda: fit(dataset, params, epochs=1),
            "process": lambda: _in_a_process("measure_alone", str(folder), params.model.implementation),
        }
        seconds = measuring.interleaved(tasks, 3)
        together = measuring.timed(train_together)
    what = f"{replicas} configurations over {examples} x 512, {classes} classes, one by one over one pass"
    return [
        Figure(
            f"{what}, {name}",
            f"{replicas * seconds[key] / together:.1f}",
            "at least 10",
            f"{together:.1f} s; one alone {seconds[key]:.2f} s",
        )
        for key, name in (("alone", "in one process"), ("process", "each in its own, with its imports"))
    ]


def measure_alone(folder: str, implementation: str) -> dict[str, float]:
    """Train an epoch in this process."""
    return {"seconds": measuring.timed(lambda: fit(made(Path(folder)), _params(implementation), epochs=1))}


def _params(implementation: str) -> Params:
    return with_implementation(load_params(ROOT / "params.yaml"), implementation)


def _in_a_process(function: str, *arguments: str) -> dict[str, Any]:
    """Call a function of this module with texts, in a fresh process; return what it returns."""
    script = f"import json; from benchmarks import large; print('found', json.dumps(large.{function}(*{arguments!r})))"
    found: dict[str, Any] = json.loads(measuring.run([sys.executable, "-c", script], ROOT).split("found ")[-1])
    return found


@contextmanager
def _anonymous_memory() -> Iterator[Callable[[], float]]:
    """Yield a function that returns by how many bytes the process's own memory has grown at most: no mapped pages."""
    status = Path("/proc/self/status")
    peak = before = _anonymous(status)
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, _anonymous(status))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield lambda: float(peak - before)
    finally:
        done.set()
        watcher.join()


def _anonymous(status: Path) -> int:
    lines = [line.split() for line in status.read_text().splitlines()] if status.is_file() else []
    return 1024 * next((int(words[1]) for words in lines if words[:1] == ["RssAnon:"]), 0)
