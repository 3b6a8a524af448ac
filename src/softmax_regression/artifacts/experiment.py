"""What makes an experiment: its params, data and code, and the weights that came of them.

`experiment.json` is an output of the train stage and holds nothing random or dated, so that the same experiment
gives the same bytes everywhere. Its digest is the experiment's key: MLflow runs carry it as a tag, and every later
stage finds its run by it, whether the training ran here or DVC restored it from a cache.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from softmax_regression.files import md5_of
from softmax_regression.params import flatten

NOT_IDENTITY = ("train.resume",)  # how a training is carried out, not what it is


@dataclass(frozen=True)
class Experiment:
    """One experiment. `params` maps dotted keys to values; `data` and `code` map file names to digests.

    `model` is the SHA-256 of model.safetensors, empty until the training has ended.
    """

    params: Mapping[str, Any]
    data: Mapping[str, str]
    code: Mapping[str, str]
    model: str = ""

    @property
    def config_key(self) -> str:
        """16 hexadecimal digits that stand for params, data and code: known before the training starts."""
        return _digest(replace(self, model="").to_json())

    @property
    def key(self) -> str:
        """16 hexadecimal digits that stand for the whole experiment, its weights too."""
        return _digest(self.to_json())

    def to_json(self) -> str:
        """Return the text of experiment.json: keys sorted, so that equal experiments are equal bytes."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"


def read_experiment(path: Path) -> Experiment:
    """Read an experiment.json. Raises FileNotFoundError, or ValueError when it is none."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found; run `dvc repro train` (or `dvc pull`) to get it")
    try:
        return Experiment(**json.loads(path.read_text()))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is no experiment.json: {error}; run `dvc repro -f train`") from None


def describe(
    data: Mapping[str, Any], model: BaseModel, optimizer: BaseModel, train: BaseModel, report: Mapping[str, Any]
) -> Experiment:
    """Return the experiment that these params make of the data set that the download stage's `report` is about.

    `data` holds the data params that the training reads; those that a made data set was made from are in the report.
    Params that only say how a training is carried out are left out.
    """
    sections: dict[str, BaseModel | dict[str, Any]] = {
        "data": {**data, **report.get("settings", {})},
        "model": model,
        "optimizer": optimizer,
        "train": train,
    }
    params = {key: value for name, section in sections.items() for key, value in flatten(section, f"{name}.").items()}
    return Experiment(
        params={key: value for key, value in params.items() if key not in NOT_IDENTITY},
        data={part: facts["sha256"] for part, facts in report["files"].items()},
        code=code_digests("train"),
    )


def code_digests(stage: str, root: Path = Path()) -> dict[str, str]:
    """Return the MD5, as in dvc.lock, of every code file that dvc.yaml declares for `stage`."""
    declared = yaml.safe_load((root / "dvc.yaml").read_text())["stages"][stage]["deps"]
    return {path: md5_of(root / path) for path in declared if path.endswith(".py")}


def experiment_name(params: Mapping[str, Any]) -> str:
    """Return a short, deterministic name that tells runs apart at a glance.

    The data set and solver, then the rate, epochs and seed, then whatever departs from the plain recipe.
    """
    parts = [str(params["data.name"])]
    if params["train.solver"] == "full_batch_numpy":
        parts.append("full-batch")
    elif params["model.implementation"] != "scratch":
        parts.append(str(params["model.implementation"]))
    parts.append(f"lr{params['optimizer.learning_rate']:g}")
    if params["train.solver"] == "sgd":
        parts.append(f"b{params['train.batch_size']}")
        parts += [f"m{params['optimizer.momentum']:g}"] if params["optimizer.momentum"] else []
        parts += ["nesterov"] if params["optimizer.nesterov"] else []
        parts += [f"wd{params['optimizer.weight_decay']:g}"] if params["optimizer.weight_decay"] else []
        parts += [params["optimizer.schedule"]] if params["optimizer.schedule"] != "constant" else []
        parts += [f"warmup{params['optimizer.warmup_epochs']}"] if params["optimizer.warmup_epochs"] else []
    parts += [f"e{params['train.epochs']}", f"s{params['train.seed']}"]
    return " ".join(parts)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
