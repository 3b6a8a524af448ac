"""Gathering runs and judging them.

Two questions are kept apart: do these trained models differ on images like these (statistics/models.py), and is the
configuration better, whatever the seed (statistics/seeds.py)? For the second the seeds of each configuration are
gathered from the store and, when it is asked, the missing ones trained. Shapes: N test examples, K classes, S seeds.
"""

import string
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from softmax_regression.comparing.comparison import (
    ComparedRun,
    Comparison,
    Configuration,
    disagreement,
    hints,
    seed_ranges,
)
from softmax_regression.comparing.measured import measure
from softmax_regression.comparing.more_seeds import MOST_SEEDS, add_seeds, offer
from softmax_regression.comparing.run_files import RunFiles
from softmax_regression.data import npy
from softmax_regression.data.datasets import FOLDER, read_report
from softmax_regression.lineage.naming import resolve_all
from softmax_regression.params import load_params
from softmax_regression.statistics.models import compare_all_models
from softmax_regression.statistics.seeds import ConfigurationComparison, compare_all_configurations
from softmax_regression.tracking.configurations import by_configuration, name_without_seed, seed_of
from softmax_regression.tracking.record import RunRecord
from softmax_regression.tracking.run_store import RunStore

LETTERS = string.ascii_uppercase
Content = TypeVar("Content")


def compare(store: RunStore, root: Path, refs: Sequence[str], seeds: int | None = None) -> Comparison:
    """Gather the runs that `refs` name (see `naming.resolve_all`), with the other seeds of each, and judge them.

    A seed counts for a configuration if its params but train.seed and its data are the same. With `seeds`, those of so
    many that a configuration lacks are trained, or measured where a run has its model, and recorded; see more_seeds.py.
    `root` is the project, where the workspace's outputs and the test examples are: a run that was named and holds no
    test predictions is measured on these. Raises ValueError for fewer than 2 or more than 26 runs, unknown ones,
    different data sets, different test examples, and runs that cannot be measured or trained here.
    """
    if not 2 <= len(refs) <= len(LETTERS):
        raise ValueError(f"a comparison takes 2 to {len(LETTERS)} runs, found {len(refs)}; name them after `compare`")
    if seeds is not None and not 1 <= seeds <= MOST_SEEDS:
        raise ValueError(f"--seeds must be 1 to {MOST_SEEDS}, found {seeds}")
    chosen = resolve_all(store, root, refs)
    notes = [run.how for run in chosen if run.how]
    with tempfile.TemporaryDirectory() as folder:
        files = RunFiles(store, Path(folder))
        for run in chosen:
            if files.predictions(run.record) is None:
                notes.append(_measured(store, root, run.record))
        runs = _read_runs([run.record for run in chosen], files)
        configurations = _configurations(store, runs, files)
        if seeds:
            notes += add_seeds(store, root, configurations, seeds)
            configurations = _configurations(store, runs, files)
        facts = _held(files.model_facts(runs[0].record), "model.json", runs[0].record)
    data, class_names = str(runs[0].experiment.params.get("data.name")), tuple(facts["class_names"])
    is_image = len(facts["example_shape"]) > 1
    images, no_images = None, f"the examples of {data} are features, not images"
    if is_image and not isinstance(facts["scale"], list):  # a list: of reals, packed
        images, no_images = read_test_images(root / FOLDER, data, runs[0].predictions.labels, float(facts["scale"]))
    family = len(class_names) * (len(runs) - 1)
    tests = compare_all_configurations({found.name: found.by_seed for found in configurations})
    _count(store, runs, configurations, tests)
    return Comparison(
        data=data,
        noun="images" if is_image else "examples",
        class_names=class_names,
        runs=runs,
        models=compare_all_models({run.name: run.predictions.correct for run in runs}),
        configurations=configurations,
        configuration_tests=tests,
        offer=offer(root, configurations, min((len(test.seeds) for test in tests), default=0)) if tests else None,
        disagreements=tuple(disagreement(runs[0], run, len(class_names), family=family) for run in runs[1:]),
        images=images,
        no_images=no_images,
        notes=tuple(notes),
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


def _measured(store: RunStore, root: Path, record: RunRecord) -> str:
    """Measure a run that holds no test predictions; return a line on it."""
    try:
        measure(store, root, record, load_params(root / "params.yaml").evaluate)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"the run {record} holds no test predictions, so it cannot be compared: `dvc repro` or `softmax-regression "
            f"sync` completes it if DVC has its outputs; it cannot be measured here: {error}"
        ) from error
    return f"{record.name} held no test predictions: it was measured now"


def _configurations(store: RunStore, runs: Sequence[ComparedRun], files: RunFiles) -> tuple[Configuration, ...]:
    """Gather the seeds of the runs' configurations; a compared run counts for its own seed."""
    compared: dict[str, list[ComparedRun]] = {}
    for run in runs:
        compared.setdefault(run.experiment.configuration, []).append(run)
    families = [store.family(members[0].record) for members in compared.values()]
    live = [record for family in families for record in family if record.live]
    groups = by_configuration([*(run.record for run in runs), *live])
    hinted = hints([name_without_seed(members[0].record) for members in compared.values()])
    return tuple(
        _configuration(members, hint, next(group for group in groups if members[0].record in group), files)
        for members, hint in zip(compared.values(), hinted, strict=True)
    )


def _configuration(
    members: Sequence[ComparedRun], hint: str, seeds: Sequence[RunRecord], files: RunFiles
) -> Configuration:
    correct, untested, unmeasured = {}, [], {}
    for record in seeds:
        predictions = files.predictions(record)
        if predictions is not None and np.array_equal(predictions.labels, members[0].predictions.labels):
            correct[seed_of(record)] = predictions.correct
            continue
        untested.append(seed_of(record))
        if predictions is None:
            unmeasured[seed_of(record)] = record
    numbers = f"seed{'s' if len(untested) > 1 else ''} {seed_ranges(untested)}"
    return Configuration(
        letters="=".join(run.letter for run in members),
        hint=hint,
        seeds=tuple(correct),
        correct=np.stack(list(correct.values())),
        experiment=members[0].experiment,
        unmeasured=unmeasured,
        note=f"{numbers} not counted: no predictions on these test examples in the store" if untested else "",
    )


def _count(
    store: RunStore,
    runs: Sequence[ComparedRun],
    configurations: Sequence[Configuration],
    tests: Sequence[ConfigurationComparison],
) -> None:
    """Note which pairs were judged on these test examples: the more there are, the less a verdict on them is worth."""
    keys = {found.name: found.experiment.configuration for found in configurations}
    judged = [[keys[name] for name in test.names] for test in tests if test.these.p_value is not None]
    with suppress(RuntimeError):  # a store that cannot be written is no reason not to answer
        if judged:
            store.count_comparisons(runs[0].experiment.data, judged)
