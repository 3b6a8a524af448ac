"""What an experiment is: what went in (params and data) and what came out (the weights), not who wrote it down.

`experiment.json` is an output of the train stage and holds nothing random or dated, and no code: the same weights from
the same params and data are the same experiment, whatever was edited around them. Its digest is the experiment's key.
MLflow runs carry the key as a tag, and every later stage finds its run by it, whether the training ran here or DVC
restored it from a cache.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from softmax_regression.files import existing, parse_json, read_text
from softmax_regression.params import DataParams, ModelParams, OptimizerParams, TrainParams, flatten

SEED = "train.seed"
HOW = ("train.resume", "train.processes")  # how a training is carried out, not what it is
BY_TRAIN = "run `dvc repro train` (or `dvc pull`) to get it"
RATE = "optimizer.learning_rate"
# What a name is made of, in its order: param -> the book's value, of which a name says nothing, and the word before
# another one. A switch is its word alone.
_IN_NAMES: Mapping[str, tuple[Any, str]] = {
    "data.name": ("fashion_mnist", ""),
    "data.resize": (None, "size"),
    "data.validation_size": (0, "val"),
    "train.solver": ("sgd", ""),
    "model.implementation": ("exact", ""),
    RATE: (0.1, "lr"),
    "train.batch_size": (256, "b"),
    "optimizer.momentum": (0.0, "m"),
    "optimizer.nesterov": (False, "nesterov"),
    "optimizer.weight_decay": (0.0, "wd"),
    "optimizer.schedule": ("constant", ""),
    "optimizer.step_epochs": (5, "every"),
    "optimizer.step_factor": (0.1, "by"),
    "optimizer.warmup_epochs": (0, "warmup"),
    "model.init_std": (0.01, "init"),
    "model.bias": (True, "nobias"),
    "train.device": ("cpu", ""),
    "train.epochs": (10, "e"),
}
_RENAMED = ("data.make_classification.", "download.make_classification.")  # a prefix before version 0.2, and today


@dataclass(frozen=True)
class Experiment:
    """One experiment. `params` maps dotted keys to values, `data` file names to digests.

    `model` is the SHA-256 of model.safetensors, empty until the training has ended. `code` is empty but for
    experiments recorded before version 0.2, whose key contains it.
    """

    params: Mapping[str, Any]
    data: Mapping[str, str]
    model: str = ""
    code: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """16 hexadecimal digits that stand for the experiment: params, data, weights."""
        return digest(self.to_json())

    @property
    def configuration(self) -> str:
        """16 hexadecimal digits that the seeds of one configuration share: params without the seed, and data."""
        params = {key.replace(*_RENAMED): value for key, value in self.params.items() if key != SEED}
        return digest(Experiment(params, self.data).to_json())

    def to_json(self) -> str:
        """Return the text of experiment.json: keys sorted, so that equal experiments are equal bytes."""
        facts = {"params": dict(self.params), "data": dict(self.data), "model": self.model}
        if self.code:
            facts["code"] = dict(self.code)
        return json.dumps(facts, indent=2, sort_keys=True) + "\n"


def digest(text: str) -> str:
    """Return 16 hexadecimal digits that stand for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_experiment(path: Path) -> Experiment:
    """Read an experiment.json. Raises FileNotFoundError, or ValueError when it is damaged."""
    return parse_experiment(read_text(existing(path, BY_TRAIN)), str(path))


def parse_experiment(text: str, origin: str) -> Experiment:
    """Return the experiment of an experiment.json's text. Raises ValueError, naming `origin`, when it is damaged.

    Of one that was recorded before version 0.2, which has `code`, the params are not looked into.
    """
    try:
        found = Experiment(**parse_json(text))
        for name in ("params", "data", "code"):
            if not isinstance(held := getattr(found, name), dict):
                raise ValueError(f"its {name} are no mapping: {held!r}")
        if not all(isinstance(value, str) for value in (found.model, *found.data.values(), *found.code.values())):
            raise ValueError("a digest is no text")
        if not found.code:
            experiment_name(found.params)
        return found
    except KeyError as error:
        problem = f"it lacks {error}"
    except (TypeError, ValueError) as error:
        problem = " ".join(str(error).split())
    raise ValueError(f"{origin} is no experiment.json: {problem}; run `dvc repro -f train`")


def describe(
    data: DataParams, model: ModelParams, optimizer: OptimizerParams, train: TrainParams, report: Mapping[str, Any]
) -> Experiment:
    """Return the experiment that these params make of the data set that the download stage's `report` is about.

    What a made data set was made from is in the report. `train.device` is the device in use, not "auto".
    """
    params = flatten({"data": data, "model": model, "optimizer": optimizer, "train": train})
    for key in HOW:
        del params[key]
    if train.solver != "sgd":
        del params["model.implementation"]  # of a step of SGD
    elif model.implementation == "exact":
        del params["train.device"]  # the same bits on every one
    return Experiment(params | report.get("settings", {}), data_digests(report))


def data_digests(report: Mapping[str, Any]) -> dict[str, str]:
    """Return what an experiment says of its data: digests by file, and of how the stored integers are to be read."""
    digests = {part: facts["sha256"] for part, facts in report["files"].items()}
    if isinstance(report["scale"], list):  # packed features: the same integers may stand for others
        digests["scale"] = digest(json.dumps(report["scale"]))
    if report["standardise"]:
        digests["standardise"] = digest(json.dumps(report["standardise"]))
    return digests


def experiment_name(params: Mapping[str, Any]) -> str:
    """Return a name that says the rate, what else departs from the book's recipe, and the seed: 'digits_lr0.1_m0.9_s0'.

    Different configurations of one data set have different names; the settings that its examples were made or read with
    are not said, nor the book's rate for L-BFGS, which has none. No character of ours need be quoted in a shell. The
    seed comes last; see `name_without_seed`. Raises KeyError where the data set, solver, rate or seed is missing,
    TypeError or ValueError where a number is none.
    """
    said = {"data.name", "train.solver"} | ({RATE} if params["train.solver"] != "lbfgs" else set())
    words = []
    for key, (book, word) in _IN_NAMES.items():
        value = params[key] if key in said else params.get(key, book)
        if value != book or (key == RATE and key in said):
            words.append(word + _value(value, book))
    return "_".join([*words, f"s{params[SEED]}"])


def _value(value: Any, book: Any) -> str:
    """Return what a name says of a value: a number, as the book's is one, in as few digits as tell it from others."""
    if isinstance(value, bool):
        return ""
    return repr(float(value)).removesuffix(".0") if isinstance(book, int | float) else str(value)
