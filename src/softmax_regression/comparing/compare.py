"""Gathering runs and judging them.

Two questions are kept apart (see statistics.py): do these trained models differ on images like these, and is the
configuration better? For the second the seeds of each configuration are gathered from the store.
Shapes: N test examples, K classes, S seeds.
"""

from __future__ import annotations

import string
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.comparing.comparison import (
    ComparedRun,
    Comparison,
    Configuration,
    differing_params,
    disagreement,
)
from softmax_regression.comparing.run_files import Predictions, RunFiles
from softmax_regression.comparing.seeds import (
    SEED,
    configuration_key,
    differing_code,
    name_without_seed,
    noise_between_seeds,
    siblings_of,
)
from softmax_regression.comparing.statistics import (
    compare_all_configurations,
    compare_all_models,
)
from softmax_regression.data import idx
from softmax_regression.lineage.naming import choose
from softmax_regression.tracking.record import RunRecord

if TYPE_CHECKING:
    from softmax_regression.tracking.client import Store

LETTERS = string.ascii_uppercase
_LONGEST_HINT = 40


def compare(store: Store, root: Path, refs: Sequence[str], *, any_code: bool = False) -> Comparison:
    """Gather the runs that `refs` name (see `choosing.choose`), with the other seeds of each, and judge them.

    A seed counts for a configuration if its params but train.seed, its data and its code are the same; with
    `any_code` the code may differ. `root` is the project, where HEAD's outputs and the test images are.
    Raises ValueError for fewer than 2 or more than 26 runs, unknown ones, different data sets, different test
    examples, and runs that have not been evaluated.
    """
    if not 2 <= len(refs) <= len(LETTERS):
        raise ValueError(f"a comparison takes 2 to {len(LETTERS)} runs, found {len(refs)}; name them after `compare`")
    chosen = choose(store, root, refs)
    with tempfile.TemporaryDirectory() as folder:
        files = RunFiles(store, Path(folder))
        live = [record for record in store.runs() if record.live]
        runs = _read_runs([run.record for run in chosen], files)
        configurations = _configurations(runs, live, files, any_code)
        facts = files.model_facts(runs[0].record) or {}
        noise = noise_between_seeds(live, runs[0].experiment.data, files, any_code=any_code)
    data, labels = str(runs[0].experiment.params.get("data.name", "")), runs[0].predictions.labels
    largest = max(int(max(labels.max(), run.predictions.predicted.max())) for run in runs)
    class_names = tuple(facts.get("class_names", ())) or tuple(f"class {k}" for k in range(largest + 1))
    is_image = len(facts.get("example_shape", ())) == 2
    noun = "images" if is_image else "examples"
    images, no_images = None, f"the examples of {data} are features, not images"
    if not facts:
        no_images = f"the run {runs[0].record} holds no model.json that says what its examples are"
    if is_image:
        images, no_images = read_test_images(root / "data" / data, labels, float(facts["scale"]))
    return Comparison(
        data=data,
        noun=noun,
        class_names=class_names,
        runs=runs,
        models=compare_all_models({run.name: run.predictions.correct for run in runs}, noun=noun),
        configurations=configurations,
        configuration_tests=()
        if len(configurations) < 2
        else compare_all_configurations(
            {configuration.name: configuration.correct for configuration in configurations},
            seed_noise=noise.pooled if noise else None,
            noun=noun,
        ),
        seed_noise=noise,
        params=differing_params([run.experiment for run in runs]),
        code=tuple(sorted(set().union(*(differing_code(a.experiment, b.experiment) for a, b in pairwise(runs))))),
        disagreements=tuple(
            disagreement(runs[0], run, class_names, noun, family=len(class_names) * (len(runs) - 1)) for run in runs[1:]
        ),
        images=images,
        no_images=no_images,
        notes=tuple(run.how for run in chosen if run.how),
    )


def read_test_images(
    folder: Path, labels: npt.NDArray[np.int64], scale: float
) -> tuple[npt.NDArray[np.uint8] | None, str]:
    """Return the test images in a data set's folder as (N, H, W) uint8 with white 255, or None and the reason."""
    try:
        images = idx.read(folder / "test-images", memory_map=True)
        found = idx.read(folder / "test-labels")
    except FileNotFoundError:
        return None, f"the test images are not in data/{folder.name}; `dvc repro download` brings them"
    except ValueError as error:
        return None, f"the test images cannot be read: {error}"
    if not np.array_equal(found, labels):
        return None, f"data/{folder.name} holds other examples than these runs were tested on"
    if scale == 255:
        return images, ""
    return np.round(images * (255 / scale)).astype(np.uint8), ""


def _read_runs(records: Sequence[RunRecord], files: RunFiles) -> tuple[ComparedRun, ...]:
    experiments, answers = [], []
    for record in records:
        experiment, predictions = files.experiment(record), files.predictions(record)
        if experiment is None or predictions is None:
            raise ValueError(
                f"the run {record} holds no {'experiment.json' if experiment is None else 'test predictions'}, so it "
                "cannot be compared; if it is this workspace's, run `dvc repro`, else `softmax-regression sync`"
            )
        experiments.append(experiment)
        answers.append(predictions)
    _check_same_data(records, experiments, answers)
    words = [record.name.split(" ") for record in records]
    shared = set(words[0]).intersection(*words[1:])
    return tuple(
        ComparedRun(
            letter=LETTERS[i],
            hint=" ".join(word for word in words[i] if word not in shared),
            record=record,
            experiment=experiments[i],
            predictions=answers[i],
            history=files.history(record),
        )
        for i, record in enumerate(records)
    )


def _check_same_data(
    records: Sequence[RunRecord], experiments: Sequence[Experiment], answers: Sequence[Predictions]
) -> None:
    names = [str(experiment.params.get("data.name")) for experiment in experiments]
    if len(set(names)) > 1:
        found = ", ".join(f"{record.name} of {name}" for record, name in zip(records, names, strict=True))
        raise ValueError(f"the runs are of different data sets: {found}; compare runs of one data set")
    for record, predictions in zip(records[1:], answers[1:], strict=True):
        if not np.array_equal(predictions.labels, answers[0].labels):
            raise ValueError(
                f"the runs {records[0]} and {record} were tested on different examples ({len(answers[0].labels)} and "
                f"{len(predictions.labels)}, or other labels); evaluate both on the same data"
            )


def _configurations(
    runs: Sequence[ComparedRun], live: Sequence[RunRecord], files: RunFiles, any_code: bool
) -> tuple[Configuration, ...]:
    groups: dict[str, list[ComparedRun]] = {}
    for run in runs:
        groups.setdefault(configuration_key(run.experiment, any_code=any_code), []).append(run)
    words = [name_without_seed(members[0].record).split(" ") for members in groups.values()]
    shared = set(words[0]).intersection(*words[1:])
    return tuple(
        _configuration(members, " ".join(word for word in own if word not in shared), live, files, any_code)
        for members, own in zip(groups.values(), words, strict=True)
    )


def _configuration(
    members: Sequence[ComparedRun], hint: str, live: Sequence[RunRecord], files: RunFiles, any_code: bool
) -> Configuration:
    known = {run.record.run_id: run.predictions for run in members}
    siblings = siblings_of([run.record for run in members], live, files, any_code=any_code)
    tested, correct, untested = [], [], []
    for record in siblings.records:
        predictions = known.get(record.run_id) or files.predictions(record)
        if predictions is None or not np.array_equal(predictions.labels, members[0].predictions.labels):
            untested.append(record)
        else:
            tested.append(record)
            correct.append(predictions.correct)
    notes = []
    if untested:
        notes.append(f"{_seeds(untested)} not counted: no predictions on these test examples in the store")
    if siblings.other_code:
        notes.append(
            f"{_seeds(siblings.other_code)} not counted: trained by other code "
            f"({', '.join(siblings.code_that_differs)}); --any-code counts them"
        )
    return Configuration(
        letters="=".join(run.letter for run in members),
        hint=hint,
        seeds=tuple(record.params.get(SEED, "?") for record in tested),
        records=tuple(tested),
        correct=np.stack(correct),
        notes=tuple(notes),
    )


def _seeds(records: Sequence[RunRecord]) -> str:
    numbers = sorted({record.params.get(SEED, "?") for record in records}, key=lambda seed: (len(seed), seed))
    return f"seed{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"
