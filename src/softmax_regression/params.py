"""params.yaml, parsed once at the edge into frozen, checked objects.

No value has a default here: params.yaml holds them all and is the one source of truth. A mistake is a ValueError of
one line that names the dotted key, what was found, and what to do.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from softmax_regression.files import read_yaml

PositiveInt = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class MakeClassification(_Section):
    """Arguments of scikit-learn's `make_classification`, and the share of its examples held out as test set."""

    n_samples: PositiveInt
    n_features: PositiveInt
    n_informative: PositiveInt
    n_redundant: Count
    n_classes: Annotated[int, Field(ge=2)]
    n_clusters_per_class: PositiveInt
    class_sep: Positive
    test_size: Fraction
    random_state: Count


class DataParams(_Section):
    """Which data set, at what size (`resize` in pixels), and how many training examples are held out."""

    name: str
    resize: PositiveInt | None
    validation_size: Count


class DownloadParams(_Section):
    """Where a data set comes from: `sources` by its name, `timeout` in seconds; or what it is made from."""

    sources: dict[str, list[str]]
    timeout: Positive
    make_classification: MakeClassification


class ModelParams(_Section):
    """The layer and which of the three implementations trains it. `init_std` is the sigma of W ~ N(0, sigma^2)."""

    implementation: Literal["scratch", "textbook", "library"]
    init_std: NonNegative
    bias: bool


class OptimizerParams(_Section):
    """Minibatch SGD and its learning-rate schedule; `step_epochs` and `warmup_epochs` are in epochs."""

    learning_rate: Positive
    momentum: Annotated[float, Field(ge=0, lt=1)]
    nesterov: bool
    weight_decay: NonNegative
    schedule: Literal["constant", "step", "cosine"]
    step_epochs: PositiveInt
    step_factor: Annotated[float, Field(gt=0, le=1)]
    warmup_epochs: Count

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> OptimizerParams:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov is true but momentum is 0; set a momentum, 0.9 say, or nesterov: false")
        return self


class TrainParams(_Section):
    """The training loop. For `full_batch_numpy` an epoch is one step over the whole training set."""

    solver: Literal["sgd", "full_batch_numpy"]
    epochs: PositiveInt
    batch_size: PositiveInt
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    resume: bool
    device: Literal["cpu", "cuda", "auto"]


class ClosingChecks(_Section):
    """Bounds that a finished training must keep, or null for no bound."""

    max_train_loss: Positive | None
    min_train_accuracy: Share | None
    min_test_accuracy: Share | None


class EvaluateParams(_Section):
    """The closing checks by data set; a data set without an entry has none."""

    checks: dict[str, ClosingChecks]


class PredictParams(_Section):
    """The prediction grid: how many test images it shows."""

    count: Annotated[int, Field(ge=1, le=64)]


class Params(_Section):
    """All of params.yaml, one field a section."""

    data: DataParams
    download: DownloadParams
    model: ModelParams
    optimizer: OptimizerParams
    train: TrainParams
    evaluate: EvaluateParams
    predict: PredictParams


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check `path`.

    Raises FileNotFoundError when there is no such file and ValueError when it is no YAML or does not fit: unknown,
    missing or wrongly typed keys, values out of range.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found; run from the project's root, where params.yaml is")
    return parse_params(read_yaml(path.read_text(), str(path)), str(path))


def parse_params(content: object, origin: str = "params.yaml") -> Params:
    """Check `content`, the nested mapping that a params.yaml holds; `origin` names it in errors."""
    if not isinstance(content, dict):
        raise ValueError(f"{origin} must hold the sections {', '.join(Params.model_fields)}; found {content!r}")
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        messages = dict.fromkeys(_explain(dict(problem)) for problem in error.errors())
        raise ValueError(f"{origin}: {'; '.join(messages)}") from None


def flatten(section: BaseModel | dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return `{"optimizer.learning_rate": 0.1, ...}`: dotted keys to plain values, lists as they are."""
    values = section.model_dump() if isinstance(section, BaseModel) else section
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _explain(problem: dict[str, Any]) -> str:
    """Turn one of pydantic's problems into: dotted key, what was found, what to do."""
    location, found, kind = problem["loc"], problem["input"], problem["type"]
    key = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        return f"unknown key {key}; {_nearest(location)}"
    if kind == "missing":
        return f"missing key {key}; add it (the params.yaml in git shows its usual value)"
    if kind == "value_error":
        return f"{key}: {problem['msg'].removeprefix('Value error, ')}"
    hint = f"{key}: {problem['msg'][0].lower()}{problem['msg'][1:]}; found {found!r}"
    if isinstance(found, str) and kind in {"float_type", "int_type"} and _is_number(found):
        return f"{hint}, which is text; write it without quotes"
    return hint


def _nearest(location: tuple[str | int, ...]) -> str:
    known = list(flatten_fields(Params))
    sections = [key.rpartition(".")[0] for key in known]
    dotted = ".".join(map(str, location))
    if len(location) == 1:
        known = list(Params.model_fields)
    matches = difflib.get_close_matches(dotted, [*known, *sections], n=1, cutoff=0.5)
    if matches:
        return f"did you mean {matches[0]}?"
    section = dotted.rpartition(".")[0]
    siblings = [key for key in known if key.rpartition(".")[0] == section]
    return f"known there: {', '.join(siblings or Params.model_fields)}"


def flatten_fields(section: type[BaseModel], prefix: str = "") -> list[str]:
    """Return the dotted name of every key that `section` knows, in order."""
    names: list[str] = []
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names += flatten_fields(kind, f"{prefix}{name}.")
        else:
            names.append(f"{prefix}{name}")
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
