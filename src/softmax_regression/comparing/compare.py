"""Gathering runs and judging them.

Two questions are kept apart (see statistics.py): do these trained models differ on images like these, and is the
configuration better? For the second the seeds of each configuration are gathered from the store.
Shapes: N test examples, K classes, S seeds.
"""

import string
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from softmax_regression.comparing.comparison import ComparedRun, Comparison, Configuration, disagreement, hints
from softmax_regression.comparing.run_files import RunFiles
from softmax_regression.comparing.seeds import by_configuration, name_without_seed, noise_between_seeds, seed_of
from softmax_regression.comparing.statistics import compare_all_configurations, compare_all_models
from softmax_regression.data import npy
from softmax_regression.data.datasets import FOLDER, read_report
from softmax_regression.lineage.naming import resolve_all
from softmax_regression.tracking.record import RunRecord
from softmax_regression.tracking.run_store import RunStore

LETTERS = string.ascii_uppercase
Content = TypeVar("Content")


def compare(store: RunStore, root: Path, refs: Sequence[str]) -> Comparison:
    """Gather the runs that `refs` name (see `naming.resolve_all`), with the other seeds of each, and judge them.

    A seed counts for a configuration if its params but train.seed and its data are the same. `root` is the project,
    where the workspace's outputs and the test images are. Raises ValueError for fewer than 2 or more than 26 runs,
    unknown ones, different data sets, different test examples, and runs that have not been evaluated.
    """
    if not 2 <= len(refs) <= len(LETTERS):
        raise ValueError(f"a comparison takes 2 to {len(LETTERS)} runs, found {len(refs)}; name them after `compare`")
    chosen = resolve_all(store, root, refs)
    with tempfile.TemporaryDirectory() as folder:
        files = RunFiles(store, Path(folder))
        runs = _read_runs([run.record for run in chosen], files)
        # The compared runs come first, so that they count for their seeds.
        live = [record for record in store.settled_runs() if record.live]
        groups = by_configuration([*(run.record for run in runs), *live], files)
        configurations = _configurations(runs, groups, files)
        noise = noise_between_seeds(groups, runs[0].experiment.data, files)
        facts = _held(files.model_facts(runs[0].record), "model.json", runs[0].record)
    data, class_names = str(runs[0].experiment.params.get("data.name")), tuple(facts["class_names"])
    is_image = len(facts["example_shape"]) > 1
    images, no_images = None, f"the examples of {data} are features, not images"
    if is_image and not isinstance(facts["scale"], list):  # a list: of reals, packed
        images, no_images = read_test_images(root / FOLDER, data, runs[0].predictions.labels, float(facts["scale"]))
    family = len(class_names) * (len(runs) - 1)
    return Comparison(
        data=data,
        noun="images" if is_image else "examples",
        class_names=class_names,
        runs=runs,
        models=compare_all_models({run.name: run.predictions.correct for run in runs}),
        configurations=configurations,
        configuration_tests=compare_all_configurations({found.name: found.correct for found in configurations}),
        seed_noise=noise,
        disagreements=tuple(disagreement(runs[0], run, len(class_names), family=family) for run in runs[1:]),
        images=images,
        no_images=no_images,
        notes=tuple(run.how for run in chosen if run.how),
    )


def read_test_images(
    folder: Path, data: str, labels: npt.NDArray[np.int64], scale: float
) -> tuple[npt.NDArray[np.uint8] | None, str]:
    """Return the test images of `data` as (N, H, W) or (N, H, W, 3) uint8, white 255, or None and why there is none."""
    try:
        prepared = read_report(folder)["name"]
        images, found = (npy.read(folder / f"test-{kind}.npy") for kind in ("images", "labels"))
    except FileNotFoundError:
        return None, f"the test images are not in {FOLDER}; `dvc repro download` gets them"
    except ValueError as error:
        return None, f"the test images cannot be read: {error}"
    if prepared != data:
        return None, f"{FOLDER} holds {prepared}, not {data}"
    if not np.array_equal(found, labels):
        return None, f"{FOLDER} holds other examples than these runs were tested on"
    return (images if scale == 255 else np.round(images * (255 / scale)).astype(np.uint8)), ""


def _read_runs(records: Sequence[RunRecord], files: RunFiles) -> tuple[ComparedRun, ...]:
    runs = tuple(
        ComparedRun(
            letter,
            hint,
            record,
            _held(files.experiment(record), "experiment.json", record),
            _held(files.predictions(record), "test predictions", record),
            files.history(record),
        )
        for letter, hint, record in zip(LETTERS, hints([record.name for record in records]), records, strict=False)
    )
    data = [str(run.experiment.params.get("data.name")) for run in runs]
    if len(set(data)) > 1:
        found = ", ".join(f"{run.record.name} of {name}" for run, name in zip(runs, data, strict=True))
        raise ValueError(f"the runs are of different data sets: {found}; compare runs of one data set")
    labels = runs[0].predictions.labels
    for run in runs[1:]:
        if not np.array_equal(run.predictions.labels, labels):
            raise ValueError(
                f"the runs {runs[0].record} and {run.record} were tested on different examples ({len(labels)} and "
                f"{len(run.predictions.labels)}, or other labels); evaluate both on the same data"
            )
    return runs


def _held(content: Content | None, name: str, record: RunRecord) -> Content:
    if content is None:
        raise ValueError(
            f"the run {record} holds no {name}, so it cannot be compared; if it is this workspace's, run `dvc repro`, "
            "else `softmax-regression sync`"
        )
    return content


def _configurations(
    runs: Sequence[ComparedRun], groups: Sequence[Sequence[RunRecord]], files: RunFiles
) -> tuple[Configuration, ...]:
    compared: dict[str, list[ComparedRun]] = {}
    for run in runs:
        compared.setdefault(run.experiment.configuration, []).append(run)
    hinted = hints([name_without_seed(members[0].record) for members in compared.values()])
    return tuple(
        _configuration(members, hint, next(group for group in groups if members[0].record in group), files)
        for members, hint in zip(compared.values(), hinted, strict=True)
    )


def _configuration(
    members: Sequence[ComparedRun], hint: str, seeds: Sequence[RunRecord], files: RunFiles
) -> Configuration:
    correct, untested = {}, []
    for record in seeds:
        predictions = files.predictions(record)
        if predictions is None or not np.array_equal(predictions.labels, members[0].predictions.labels):
            untested.append(seed_of(record))
        else:
            correct[seed_of(record)] = predictions.correct
    numbers = f"seed{'s' if len(untested) > 1 else ''} {', '.join(untested)}"
    return Configuration(
        letters="=".join(run.letter for run in members),
        hint=hint,
        seeds=tuple(correct),
        correct=np.stack(list(correct.values())),
        note=f"{numbers} not counted: no predictions on these test examples in the store" if untested else "",
    )
