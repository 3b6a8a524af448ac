"""Does TPE find better configurations than random search, at equal trials? Best validation accuracies over repeats.

A repeat is a study of each sampler by one worker, from the same seed, asked for and told in batches as
`softmax-regression sweep --study` does, on a part of Fashion-MNIST: 10,000 images to train with and 10,000 to choose
by, five epochs. The repeats differ in the seed of what is drawn alone; weights and order of the images stay the same.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import optuna

from benchmarks.measuring import ROOT, Figure
from softmax_regression.data.datasets import FOLDER, Dataset, load
from softmax_regression.params import Params
from softmax_regression.statistics.families import sign_test
from softmax_regression.statistics.intervals import mean_interval
from softmax_regression.sweep.plan import Axis, changed, parse_axis
from softmax_regression.sweep.replicas import fit_together
from softmax_regression.sweep.study import Result, Sampler, Study

AXES = (
    "optimizer.learning_rate=log(0.001,3)",
    "optimizer.momentum=uniform(0,0.98)",
    "optimizer.weight_decay=log(1e-6,0.1)",
    "optimizer.schedule=constant,cosine",
)
TRIALS = (64, 128)
REPEATS = 10
IMAGES = 10_000  # to train with, and to choose by


def of_tpe(params: Params) -> list[Figure]:
    """Compare the two samplers at 64 and 128 trials."""
    brief = changed(params, {"train.epochs": 5})
    return compared(load(ROOT / FOLDER, "fashion_mnist"), brief, IMAGES, TRIALS, REPEATS)


def compared(dataset: Dataset, params: Params, images: int, trials: tuple[int, ...], repeats: int) -> list[Figure]:
    """Return the mean difference of the best accuracies, TPE's less random search's, and the sign test on repeats."""
    figures = []
    for total in trials:
        best = {
            sampler: np.array([best_of(dataset, params, images, sampler, total, seed) for seed in range(repeats)])
            for sampler in ("tpe", "random")
        }
        gained = best["tpe"] - best["random"]
        low, high = (100 * end for end in mean_interval(gained))
        won, lost = int((gained > 0).sum()), int((gained < 0).sum())
        value = f"{100 * gained.mean():+.2f} points ({low:+.2f} to {high:+.2f}), better in {won} of {repeats}"
        means = ", ".join(f"{sampler} {found.mean():.4f}" for sampler, found in best.items())
        detail = f"means: {means}; {repeats - won - lost} equal, sign test p = {float(sign_test(lost, won)):.2g}"
        figures.append(Figure(f"best of {total} trials: TPE less random", value, "none, reported as it is", detail))
    return figures


def best_of(dataset: Dataset, params: Params, images: int, sampler: Sampler, total: int, seed: int) -> float:
    """Return the best validation accuracy of a study."""
    optuna.logging.disable_default_handler()
    axes: list[Axis] = [parse_axis(text) for text in AXES]
    study = Study(optuna.create_study(direction="maximize"), nullcontext, axes, sampler, seed)
    training, (_, rest) = dataset.split(len(dataset.train.labels) - images, params.train.seed)
    assert rest.rows is not None
    held_out = replace(rest, rows=rest.rows[:images])
    while asked := study.ask(total, set):
        tried = [changed(params, one.changes) for one in asked]
        outcomes = fit_together(
            training,
            held_out,
            scale=dataset.scale,
            num_classes=dataset.num_classes,
            models=[one.model for one in tried],
            optimizers=[one.optimizer for one in tried],
            settings=params.train,
            on_epoch=lambda outcomes: None,
        )
        for one, own in zip(asked, outcomes, strict=True):
            accuracy = own.epochs[-1].held_out_accuracy if own.epochs else None
            result = Result(accuracy, None, own.answers, own.failure)
            study.keep(one.number, result)
            study.tell(one.number, result)
    best = max(one.result.accuracy or 0.0 for one in study.done() if not one.result.failure)
    print(f"{sampler}, {total} trials, seed {seed}: {best:.4f}", flush=True)
    return best
