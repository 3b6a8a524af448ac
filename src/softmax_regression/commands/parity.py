"""`parity`: the hand-coded training and the library's, side by side on the params' data set, as a table."""

import dataclasses
from pathlib import Path

import torch

from softmax_regression.data.datasets import FOLDER, load
from softmax_regression.mathematics.batches import EvaluationBatches, Minibatches
from softmax_regression.mathematics.parity import compare, table_cells
from softmax_regression.params import flatten, load_params
from softmax_regression.tables import text_table
from softmax_regression.tracking.run_store import RunStore
from softmax_regression.training.devices import EVALUATION_BATCH, tensors_on

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def parity_report(root: Path, dtype: str, epochs: int | None, log: bool) -> str:
    """Train both on the data set of params.yaml, with its options, and return the table.

    With `log` the table and the differences by epoch also go to an MLflow run of their own.
    """
    params = load_params(root / "params.yaml")
    dataset = load(root / FOLDER, params.data.name, size=params.data.resize)
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
    header, cells = table_cells(rows)
    text = "\n".join(text_table(header, cells, "r" * len(header)))
    if log:
        name = f"parity {dtype}"
        with RunStore.open(root).start_run(name, name, flatten(params), {"kind": "parity"}) as run:
            for row in rows:
                figures = dataclasses.asdict(row)
                epoch = figures.pop("epoch")
                run.log_metrics({f"parity/{key}": value for key, value in figures.items()}, step=epoch)
            run.log_text(text + "\n", "parity.txt")
    return text
