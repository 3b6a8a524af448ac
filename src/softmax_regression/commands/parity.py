"""`parity`: the hand-coded training and the library's, side by side on the params' data set, as a table."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from softmax_regression.data.datasets import load
from softmax_regression.mathematics.batches import EvaluationBatches, Minibatches
from softmax_regression.mathematics.parity import compare, table
from softmax_regression.params import load_params
from softmax_regression.training.devices import EVALUATION_BATCH, tensors_on

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def parity_report(root: Path, dtype: str, epochs: int | None, log: bool) -> str:
    """Train both on the data set of params.yaml, with its options, and return the table.

    With `log` the table and the differences by epoch also go to an MLflow run of their own.
    """
    params = load_params(root / "params.yaml")
    dataset = load(root / "data" / params.data.name, params.data.name, memory_map=True, size=params.data.resize)
    parts = [tensors_on(examples, torch.device("cpu")) for examples in (dataset.train, dataset.test)]
    scale, kind = dataset.scale, DTYPES[dtype]
    rows = compare(
        params.model,
        params.optimizer,
        Minibatches(*parts[0], batch_size=params.train.batch_size, seed=params.train.seed, scale=scale, dtype=kind),
        EvaluationBatches(*parts[1], batch_size=EVALUATION_BATCH, scale=scale, dtype=kind),
        num_classes=dataset.num_classes,
        epochs=epochs or params.train.epochs,
        seed=params.train.seed,
    )
    text = table(rows)
    if log:
        from softmax_regression.params import flatten
        from softmax_regression.tracking.client import Store

        name = f"parity {dtype}"
        with Store.open(root).start_run(name, name, flatten(params), {"kind": "parity"}) as run:
            for row in rows:
                figures = dataclasses.asdict(row)
                epoch = figures.pop("epoch")
                run.log_metrics({f"parity/{key}": value for key, value in figures.items()}, step=epoch)
            run.log_text(text + "\n", "parity.txt")
    return text
