"""What a training had measured before it overflowed: in its run, and as a picture in reports/."""

import io
import sys
from pathlib import Path

import numpy as np

from softmax_regression.artifacts.overflow import FIGURES, LIMIT, Overflow
from softmax_regression.files import write_atomically
from softmax_regression.tracking import stage_logs
from softmax_regression.tracking.run import Run

PICTURE = Path("reports/overflow.png")
_FOLDER = "overflow"  # among the run's artifacts, and its metrics
_WAY_OUT = (
    "The picture has each step's logits and losses, `overflow/steps.csv` the numbers. With `model.implementation: "
    "scratch` the same params train: it subtracts the largest logit before exp, and takes neither log p nor 1 / p."
)


def keep_overflow(run: Run, overflow: Overflow, root: Path) -> None:
    """Record each step's figures, a picture of them and what happened in `run`; say where, on stderr.

    The picture is in `root`/reports, too, unless it cannot be written there.
    """
    from softmax_regression.plots import look
    from softmax_regression.plots.overflow import overflow as draw

    columns = [overflow.column(name) for name in FIGURES]
    first = len(overflow.steps) - 1 if overflow.first is None else overflow.first
    smallest, largest, mean_loss, largest_loss = columns
    picture = look.png_bytes(draw(overflow.steps, (smallest, largest), (mean_loss, largest_loss), LIMIT, first))
    run.log_steps(_metrics(overflow.thinned()))
    run.log_text(_table(overflow), f"{_FOLDER}/steps.csv")
    run.log_bytes(picture, f"{_FOLDER}/{PICTURE.name}")
    summary = f"The textbook's formulas left float32: {overflow.words}. {_WAY_OUT}"
    stage_logs.describe(run, summary, {"logits and losses by step": f"{_FOLDER}/{PICTURE.name}"})
    try:
        write_atomically(root / PICTURE, picture)
        place = f"{PICTURE}, and in"
    except OSError as error:
        print(error, file=sys.stderr)
        place = "in"
    print(f"how it came to that, step by step: {place} the run {run.name}", file=sys.stderr, flush=True)


def _metrics(overflow: Overflow) -> list[tuple[int, dict[str, float]]]:
    """Return the finite figures by step, named as MLflow's charts group them; its UI shows every digit."""
    rows = zip(overflow.steps.tolist(), overflow.figures.tolist(), strict=True)
    return [
        (step, {f"{_FOLDER}/{name}": round(x, 4) for name, x in zip(FIGURES, row, strict=True) if np.isfinite(x)})
        for step, row in rows
    ]


def _table(overflow: Overflow) -> str:
    text = io.StringIO()
    rows = np.column_stack([overflow.steps, overflow.figures])
    np.savetxt(
        text, rows, fmt=["%d", *["%.9g"] * len(FIGURES)], delimiter=",", header=f"step,{','.join(FIGURES)}", comments=""
    )
    return text.getvalue()
