"""params.yaml, parsed once at the edge into frozen, checked objects.

No value has a default here: params.yaml holds them all and is the one source of truth. A mistake is a ValueError of
one line that names the dotted key, what was found, and what to do.
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from softmax_regression.files import existing, read_text, read_yaml
from softmax_regression.redaction import holds_credentials

PositiveInt = Annotated[int, Field(gt=0, lt=2**31)]
Count = Annotated[int, Field(ge=0, lt=2**31)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_LONGEST = 200  # characters of a value in an error
Share = Annotated[float, Field(ge=0, le=1)]


def _is_public(source: str) -> str:
    if holds_credentials(source):
        raise ValueError(
            "it holds a user name, a password or a token, which would reach dvc.lock and every run; leave that out and "
            "write a line into ~/.netrc: machine HOST login NAME password PASSWORD"
        )
    return source


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class MakeClassification(_Section):
    """Arguments of scikit-learn's `make_classification`, and the share of its examples held out as test set."""

    n_samples: PositiveInt
    n_features: PositiveInt
    n_informative: PositiveInt
    n_redundant: Count
    n_classes: Annotated[int, Field(ge=2, le=2**8)]
    n_clusters_per_class: PositiveInt
    class_sep: Positive
    test_size: Annotated[float, Field(gt=0, lt=1)]
    random_state: Count


class DataParams(_Section):
    """Which data set, at what size (`resize` in pixels), and how many training examples are held out."""

    name: str
    resize: PositiveInt | None
    validation_size: Count


class OwnData(_Section):
    """How a person's own data set is read; `test_share` and `group` count where it has no test part."""

    label: str | None
    leave_out: list[str]
    group: str | None
    test_share: Annotated[float, Field(gt=0, lt=1)]
    missing: Literal["refuse", "drop", "mean"]
    standardise: bool | None
    side: Annotated[int, Field(gt=0, le=4096)] | None
    colour: bool


class DownloadParams(_Section):
    """Where a data set comes from (`sources` by name, in `timeout` seconds), what it is made from, how it is read."""

    sources: dict[str, list[Annotated[str, AfterValidator(_is_public)]]]
    timeout: Positive
    make_classification: MakeClassification
    own: OwnData


class ModelParams(_Section):
    """The layer and which of the four implementations trains it. `init_std` is the sigma of W ~ N(0, sigma^2)."""

    implementation: Literal["exact", "scratch", "textbook", "library"]
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
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov is true but momentum is 0; set a momentum, 0.9 say, or nesterov: false")
        return self


class TrainParams(_Section):
    """The training loop. For `lbfgs` and `full_batch_numpy` an epoch is one step over the whole training set."""

    solver: Literal["sgd", "lbfgs", "full_batch_numpy"]
    epochs: PositiveInt
    batch_size: PositiveInt
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    resume: bool
    processes: Annotated[int, Field(gt=0, le=1024)]
    device: Literal["cpu", "cuda", "auto"]


class ClosingChecks(_Section):
    """Bounds that a finished training must keep, or null for no bound."""

    max_train_loss: Positive | None
    min_train_accuracy: Share | None
    min_test_accuracy: Share | None


class EvaluateParams(_Section):
    """The closing checks by data set (one without an entry has none), and whether one that fails stops the pipeline."""

    checks: dict[str, ClosingChecks]
    on_failed_check: Literal["record", "stop"]


class PredictParams(_Section):
    """The prediction grid: how many test images it shows."""

    count: Annotated[int, Field(ge=1, le=64)]


class RegistryParams(_Section):
    """The name of the model in MLflow's registry, of characters that need no quoting in `models:/NAME@champion`."""

    model: str

    @field_validator("model")
    @classmethod
    def _is_plain(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
            raise ValueError(
                f"expected up to 100 letters, digits, '.', '_' and '-', the first a letter or a digit; found {name!r}"
            )
        return name


class Params(_Section):
    """All of params.yaml, one field a section."""

    data: DataParams
    download: DownloadParams
    model: ModelParams
    optimizer: OptimizerParams
    train: TrainParams
    evaluate: EvaluateParams
    predict: PredictParams
    registry: RegistryParams


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check `path`.

    Raises FileNotFoundError when there is no such file and ValueError when it is no YAML in UTF-8 or does not fit:
    unknown, missing or wrongly typed keys, values out of range.
    """
    text = read_text(existing(path, "run from the project's root, where params.yaml is"))
    return parse_params(read_yaml(text, str(path)), str(path))


def parse_params(content: object, origin: str = "params.yaml") -> Params:
    """Check `content`, the nested mapping that a params.yaml holds; `origin` names it in errors."""
    if not isinstance(content, dict):
        raise ValueError(f"{origin} must hold the sections {', '.join(Params.model_fields)}; found {_shown(content)}")
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        messages = dict.fromkeys(_explain(dict(problem)) for problem in error.errors())
        raise ValueError(" ".join(f"{origin}: {'; '.join(messages)}".split())) from None


def flatten(sections: BaseModel | Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return `{"optimizer.learning_rate": 0.1, ...}`: dotted keys to plain values, lists as they are."""
    flat: dict[str, Any] = {}
    for key, value in dict(sections).items():
        if isinstance(value, BaseModel | dict):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def plain(value: object) -> str:
    """Return a value as params.yaml writes it and DVC reads it: true, null, 0.1; text as it is."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _explain(problem: dict[str, Any]) -> str:
    """Turn one of pydantic's problems into: dotted key, what was found, what to do."""
    found, kind = problem["input"], problem["type"]
    key = ".".join(str(part) for part in problem["loc"])
    if kind == "extra_forbidden":
        return f"unknown key {key}; {_nearest(key)}"
    if kind == "missing":
        return f"missing key {key}; add it (the params.yaml in git shows its usual value)"
    if kind == "value_error":
        return f"{key}: {problem['msg'].removeprefix('Value error, ')}"
    hint = f"{key}: {problem['msg'][0].lower()}{problem['msg'][1:]}; found {_shown(found)}"
    if isinstance(found, str) and kind in {"float_type", "int_type"}:
        with suppress(ValueError):
            float(found)
            return f"{hint}, which is text; write it without quotes"
    return hint


def _shown(found: object) -> str:
    """Return what was found as a line of some length, whatever it is; str() takes no whole number of 4,300 digits."""
    try:
        return shown if len(shown := repr(found)) <= _LONGEST else f"{shown[:_LONGEST]}..."
    except ValueError:
        return "a whole number of thousands of digits"


def _nearest(key: str) -> str:
    known = list(_known_keys(Params))
    if matches := difflib.get_close_matches(key, known, n=1, cutoff=0.5):
        return f"did you mean {matches[0]}?"
    siblings = [name for name in known if name.rpartition(".")[0] == key.rpartition(".")[0]]
    return f"known there: {', '.join(siblings or Params.model_fields)}"


def _known_keys(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted name of every section and key."""
    for name, field in section.model_fields.items():
        yield f"{prefix}{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _known_keys(field.annotation, f"{prefix}{name}.")
