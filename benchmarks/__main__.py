"""Measure every figure of speed and print them beside their targets; writes reports/benchmarks.{md,json}."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict

from benchmarks import large, measuring, pipeline_speed, search, store_size, together, training_speed, verdicts
from benchmarks.measuring import ROOT, Figure
from softmax_regression import entry
from softmax_regression.data.datasets import FOLDER, load
from softmax_regression.files import write_atomically
from softmax_regression.params import Params, load_params

NAME = "fashion_mnist"
LARGE: dict[str, Callable[[Params], list[Figure]]] = {  # gigabytes of temporary files; verdicts: half an hour
    "number": large.against_number,
    "torch": large.against_plain_torch,
    "lbfgs": lambda params: large.against_scikit_learn(),
    "together": large.of_a_sweep,
    "processes": lambda params: together.of_processes(),
    "verdicts": verdicts.on_real_seeds,
    "search": search.of_tpe,
    "runs": lambda params: store_size.of_runs(),
}


def main() -> None:
    """Run all groups of benchmarks, or those named; print each figure as soon as it is known."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "groups",
        nargs="*",
        metavar="GROUP",
        help=f"numpy step lightning sklearn size gpu pipeline; minutes each, by name alone: {' '.join(LARGE)}",
    )
    parser.add_argument("--quick", action="store_true", help="fewer repeats, no scikit-learn: a look, no measurement")
    options = parser.parse_args()
    params, data = load_params(ROOT / "params.yaml"), ROOT / FOLDER
    dataset = load(data, NAME)
    raw = dataset.train.images.nbytes + dataset.test.images.nbytes
    repeats = 1 if options.quick else 5
    groups: dict[str, Callable[[], list[Figure]]] = {
        "numpy": lambda: training_speed.over_numpy(dataset, params, repeats),
        "step": lambda: training_speed.parts_of_a_step(dataset, params),
        "lightning": lambda: training_speed.over_plain_lightning(dataset, params),
        "sklearn": lambda: [] if options.quick else training_speed.to_accuracy(dataset, params),
        "size": lambda: training_speed.against_size(
            dataset, params, repeats, (1, 2) if options.quick else (1, 2, 4, 8)
        ),
        "gpu": lambda: training_speed.on_gpu(dataset, params, repeats),
        "pipeline": lambda: pipeline_speed.whole_pipeline(data, raw),
    }
    everything = groups | {name: (lambda measure=measure: measure(params)) for name, measure in LARGE.items()}
    if unknown := sorted(set(options.groups) - set(everything)):
        raise ValueError(f"no group is called {unknown[0]!r}; choose from {', '.join(everything)}")
    facts = measuring.surroundings()
    print(*(f"{name}: {value}" for name, value in facts.items()), sep="; ", flush=True)
    figures: list[Figure] = []
    for name in options.groups or groups:
        for figure in everything[name]():
            figures.append(figure)
            print(f"{figure.what}: {figure.value} (target: {figure.target}; {figure.detail})", flush=True)
    write_atomically(ROOT / "reports" / "benchmarks.md", _markdown(figures, facts))
    content = {"surroundings": facts, "figures": [asdict(figure) for figure in figures]}
    write_atomically(ROOT / "reports" / "benchmarks.json", json.dumps(content, indent=2) + "\n")
    print("written: reports/benchmarks.md and .json")


def _markdown(figures: list[Figure], facts: dict[str, str]) -> str:
    lines = ["| what | measured | target | how |", "|---|---|---|---|"]
    lines += [f"| {one.what} | {one.value} | {one.target} | {one.detail} |" for one in figures]
    return "\n".join([*lines, "", "; ".join(f"{name} {value}" for name, value in facts.items()), ""])


if __name__ == "__main__":
    entry.run(main)
