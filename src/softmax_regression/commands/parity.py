"""`parity`: the hand-coded trainings and the library's, side by side on the params' data set, as a table."""

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
    """Train all on the data set of params.yaml, with its options, and return the table.

    With `log` the table and the differences by epoch also go to an MLflow run of their own.
    Raises ValueError where the params name L-BFGS, which has neither the steps nor the options that are compared.
    """
    params = load_params(root / "params.yaml")
    if params.train.solver == "lbfgs":
        raise ValueError("parity compares trainings by train.solver sgd, found lbfgs; set train.solver: sgd")
    dataset = load(root / FOLDER, params.data.name, size=params.data.resize)
    training, test = (tensors_on(examples, torch.device("cpu")) for examples in (dataset.train, dataset.test))
    train = params.train
    rows = compare(
        params.model,
        params.optimizer,
        Minibatches(*training, batch_size=train.batch_size, seed=train.seed, scale=dataset.scale),
        EvaluationBatches(*test, batch_size=EVALUATION_BATCH),
        num_classes=dataset.num_classes,
        epochs=epochs or train.epochs,
        seed=train.seed,
        dtype=DTYPES[dtype],
    )
    header, cells = table_cells(rows)
    text = "\n".join(text_table(header, cells, "r" * len(header)))
    if log:
        name = f"parity {dtype}"
        with RunStore.open(root).start_run(name, name, flatten(params), {"kind": "parity"}) as run:
            for row in rows:
                run.log_metrics({f"parity/{key}": value for key, value in row.named().items()}, step=row.epoch)
            run.log_text(text + "\n", "parity.txt")
    return text
