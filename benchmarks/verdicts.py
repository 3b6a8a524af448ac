"""Are the verdicts on configurations right? Level and power over real seeds; and how much seeds matter.

Twelve recipes are trained with 128 seeds each on Fashion-MNIST (half an hour; each seed's answers are kept under
reports/verdicts/, so a run that was stopped goes on). Half of the seeds are then taken for the population: samples of
S of them, drawn with replacement, are judged by the rule that `compare` uses, for each of 66 pairs of recipes. Drawn
without replacement they would flatter: 32 of 64 seeds lie closer to the median of the 64 than 32 new ones would. For
images like these the 10,000 test images are drawn anew, too. Differences are shifted so that the population has the
median, or mean, that is wanted; equal ones are parted by less than an image, for on a tie neither recipe is better.

Shapes: P seeds of the population, R recipes, N images, S seeds of a sample, M samples.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.measuring import ROOT, Figure
from softmax_regression.data.datasets import FOLDER, Dataset, load
from softmax_regression.evaluation.reference import BANDS
from softmax_regression.files import write_atomically
from softmax_regression.params import Params
from softmax_regression.statistics.intervals import LEVEL, paired_mean
from softmax_regression.statistics.seeds import p_values
from softmax_regression.sweep.replicas import fit_together

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
# What each recipe changes of the book's.
RECIPES: Mapping[str, Mapping[str, object]] = {
    "lr 0.05": {"learning_rate": 0.05},
    "lr 0.1": {"learning_rate": 0.1},
    "lr 0.2": {"learning_rate": 0.2},
    "lr 0.3": {"learning_rate": 0.3},
    "lr 0.5": {"learning_rate": 0.5},
    "lr 0.1 cosine": {"learning_rate": 0.1, "schedule": "cosine"},
    "lr 0.5 cosine": {"learning_rate": 0.5, "schedule": "cosine"},
    "lr 0.3 step": {"learning_rate": 0.3, "schedule": "step"},
    "lr 0.02 momentum 0.9": {"learning_rate": 0.02, "momentum": 0.9},
    "lr 0.1 momentum 0.9": {"learning_rate": 0.1, "momentum": 0.9},
    "lr 0.1 momentum 0.9 cosine": {"learning_rate": 0.1, "momentum": 0.9, "schedule": "cosine"},
    "lr 0.2 decay 0.001": {"learning_rate": 0.2, "weight_decay": 1e-3},
}
BOOK = list(RECIPES).index("lr 0.1")
SEEDS = 128
SIZES = (6, 8, 16, 32)
POINT = 0.01
SAMPLES = 2000
# What is true of the population: its median difference, or else its mean.
TRUTHS = ("median 0", "median 1 point", "the recipes' own difference", "mean 0")
QUESTIONS = ("these images", "images like these")
PAIRED_T = "paired t, these images"  # for comparison


def on_real_seeds(params: Params) -> list[Figure]:
    """Train what is missing, judge, and write reports/verdicts.md."""
    dataset = load(ROOT / FOLDER, "fashion_mnist")
    correct, training = trained(dataset, params, SEEDS, ROOT / "reports" / "verdicts")
    # The method was chosen on the even seeds; the odd ones say how good it is.
    shares = judged(correct[1::2])
    noise = seed_noise(correct, training)
    write_atomically(ROOT / "reports" / "verdicts.md", f"{_table(shares)}\n{noise}")
    print(f"{noise}written: reports/verdicts.md", flush=True)
    figures = []
    for question, size in itertools.product(QUESTIONS, SIZES):
        level, power = (100 * shares[truth, size, question] for truth in TRUTHS[:2])
        value = f"{level.mean():.1f}%, worst pair {level.max():.1f}%"
        what = f"{size} seeds, {question}: false verdicts"
        figures.append(Figure(what, value, "at most 5%, 7%", f"1 point is found in {power.mean():.0f}%"))
    return figures


def trained(dataset: Dataset, params: Params, seeds: int, folder: Path) -> tuple[BoolArray, FloatArray]:
    """Return what the seeds of all recipes have right (P, R, N) and, of epochs 1 and last, loss and accuracy.

    The latter, of training, are (P, R, 2, 2). A seed's file in `folder` is taken as it is.
    """
    optimizers = [params.optimizer.model_copy(update=dict(change)) for change in RECIPES.values()]
    settings = repr((dataset.name, len(dataset.train.labels), params.model, optimizers, params.train))
    folder = folder / hashlib.sha256(settings.encode()).hexdigest()[:8]
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(seeds):
        if (file := folder / f"{seed}.npz").exists():
            continue
        outcomes = fit_together(
            dataset.train,
            dataset.test,
            scale=dataset.scale,
            num_classes=dataset.num_classes,
            models=[params.model] * len(RECIPES),
            optimizers=optimizers,
            settings=params.train.model_copy(update={"seed": seed}),
            on_epoch=lambda outcomes: None,
        )
        answers = np.stack([one.answers for one in outcomes if one.answers is not None])
        ends = [[[one.train_loss, one.train_accuracy] for one in (o.epochs[0], o.epochs[-1])] for o in outcomes]
        np.savez(file.with_suffix(".part.npz"), correct=np.packbits(answers, axis=1), train=ends)
        file.with_suffix(".part.npz").rename(file)
        print(f"seed {seed} of {seeds}: {answers.mean(axis=1).round(4).tolist()}", flush=True)
    count, found = len(dataset.test.labels), [np.load(folder / f"{seed}.npz") for seed in range(seeds)]
    correct = np.stack([np.unpackbits(one["correct"], axis=1, count=count).astype(bool) for one in found])
    return correct, np.stack([one["train"] for one in found]).reshape(seeds, len(RECIPES), 2, 2)


def judged(
    correct: BoolArray, sizes: tuple[int, ...] = SIZES, samples: int = SAMPLES
) -> dict[tuple[str, int, str], FloatArray]:
    """Return the share of samples with a verdict, (pairs,), by truth, seeds in a sample, and question.

    `correct` (P, R, N).
    """
    rng = np.random.default_rng(0)
    population, recipes, n = correct.shape
    draws = rng.multinomial(n, np.full(n, 1 / n), samples // 4).astype(
        np.float32
    )  # four samples of seeds an image draw
    rows = np.repeat(np.arange(len(draws)), 4)
    shares: dict[tuple[str, int, str], list[float]] = {}
    for a, b in itertools.combinations(range(recipes), 2):
        gaps = correct[:, b].astype(np.float32) - correct[:, a]
        parted = rng.uniform(-0.5, 0.5, population) / n
        these, like_these = gaps.mean(axis=1) + parted, draws @ gaps.T / n + parted
        shifts = (-np.median(these), POINT - np.median(these), 0.0, -these.mean())
        for size in sizes:
            chosen = rng.integers(population, size=(len(rows), size))
            sampled = these[chosen], like_these[rows[:, None], chosen]
            error = _errors(gaps, chosen, draws[rows])
            for truth, shift in zip(TRUTHS, shifts, strict=True):
                verdicts = {
                    QUESTIONS[0]: p_values(sampled[0] + shift, error)[0],
                    QUESTIONS[1]: p_values(sampled[1] + shift, error)[1],
                    PAIRED_T: stats.ttest_1samp(sampled[0] + shift, 0, axis=1).pvalue,
                }
                for question, p in verdicts.items():
                    shares.setdefault((truth, size, question), []).append(float(np.mean(p < LEVEL)))
    return {key: np.array(values) for key, values in shares.items()}


def _errors(gaps: NDArray[np.float32], chosen: NDArray[np.int64], draws: NDArray[np.float32]) -> FloatArray:
    """Return the images' standard errors (M,); `gaps` (P, N), `chosen` (M, S), `draws` (M, N): how often each image."""
    found = []
    for seeds, draw in zip(chosen, draws, strict=True):
        weights = np.bincount(seeds, minlength=len(gaps)).astype(np.float32) / len(seeds)
        means = weights @ gaps
        found.append(paired_mean(float(draw @ means), float(draw @ means**2), len(draw))[1])
    return np.array(found)


def _table(shares: Mapping[tuple[str, int, str], FloatArray]) -> str:
    lines = ["| truth | verdicts on | " + " | ".join(f"{size} seeds" for size in SIZES) + " |", "|---" * 6 + "|"]
    for truth, question in itertools.product(TRUTHS, (*QUESTIONS, PAIRED_T)):
        cells = (100 * shares[truth, size, question] for size in SIZES)
        figures = " | ".join(f"{cell.mean():.1f} ({cell.min():.1f} to {cell.max():.1f})" for cell in cells)
        lines.append(f"| {truth} | {question} | {figures} |")
    return "\n".join([*lines, ""])


def seed_noise(correct: BoolArray, training: FloatArray) -> str:
    """Return how the figures of the book's recipe, of `reference.BANDS`, vary over seeds, as a table."""
    figures = dict(zip(BANDS, [*training[:, BOOK].reshape(-1, 4).T, correct[:, BOOK].mean(axis=1)], strict=True))
    shares = (0.005, 0.01, 0.025, 0.25, 0.5, 0.75, 0.975, 0.99, 0.995)
    head = ["figure", "seeds", "mean", "sd", "skewness", "min", *(f"{100 * q:g}%" for q in shares), "max", "outside"]
    lines = [" | ".join(["", *head, ""]).strip(), "|---" * len(head) + "|"]
    for name, values in figures.items():
        low, high = BANDS[name]
        outside = f"{np.mean((values < low) | (values > high)):.1%} of {low} to {high}"
        moments = [values.mean(), values.std(ddof=1), stats.skew(values, bias=False), values.min()]
        numbers = [f"{x:.4f}" for x in (*moments, *np.quantile(values, shares), values.max())]
        lines.append(" | ".join(["", name, str(len(values)), *numbers, outside, ""]).strip())
    return "\n".join([*lines, ""])
