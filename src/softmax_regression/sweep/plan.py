"""What a sweep trains: from `key=values` on the command line to configurations, and from these to shared passes.

An axis is a dotted key of params.yaml with what it ranges over: `optimizer.learning_rate=0.05,0.1` lists values,
`optimizer.learning_rate=log(0.01,1)` and `optimizer.momentum=uniform(0.5,0.95)` are ranges to draw from. One value
alone sets the key for all: `train.epochs=20`. A list may stand in brackets: `optimizer.learning_rate=[0.05,0.1]`.
"""

import itertools
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from softmax_regression.files import read_yaml
from softmax_regression.numerics.randomness import uniform
from softmax_regression.params import Params, flatten, parse_params

# What configurations of one pass may differ in: it stands in the weights and the update rule, not in the batches.
SHARED_AXES = (
    "model.init_std",
    "optimizer.learning_rate",
    "optimizer.momentum",
    "optimizer.weight_decay",
    "optimizer.schedule",
    "optimizer.step_epochs",
    "optimizer.step_factor",
    "optimizer.warmup_epochs",
)
FIXED = ("data.name", "data.validation_size", "train.seed")  # results that differ in these cannot be ranked
FEWEST = 8  # configurations that are worth a thread of their own: a smaller pass gains nothing by several
LARGEST_PASS = 64  # more at once is no faster: 8 to 64 in one matrix product take the same time each
LARGEST = 10_000  # configurations, seeds included: an hour of small trainings
TOGETHER = {"train.solver": "sgd", "model.implementation": "exact"}  # what a pass can train
_RANGE = re.compile(r"(log|uniform)\((.+),(.+)\)")


@dataclass(frozen=True)
class Axis:
    """A dotted key and what it ranges over: listed `values`, or a `range` ("log" or "uniform", low, high)."""

    key: str
    values: tuple[Any, ...] = ()
    range: tuple[str, float, float] | None = None

    def at(self, share: float) -> Any:
        """Return the value at `share` in [0, 1) of the list, or of the range to three significant digits."""
        if self.range is None:
            return self.values[int(share * len(self.values))]
        kind, low, high = self.range
        scale, back = (math.log, math.exp) if kind == "log" else (float, float)
        return rounded(back(scale(low) + share * (scale(high) - scale(low))))


@dataclass(frozen=True)
class Trial:
    """Params to train with, and `changes`: the values of the sweep's axes that make them, by dotted key."""

    params: Params
    changes: Mapping[str, Any]


def rounded(number: float) -> float:
    """Return a number drawn from a range to three significant digits: finer than any effect, and readable in names."""
    return float(f"{number:.3g}")


def parse_axis(text: str) -> Axis:
    """Read `key=value,value,...`, the list in brackets or not, `key=log(low,high)` or `key=uniform(low,high)`.

    Raises ValueError for another form, a range without two finite numbers, and what is no single value.
    """
    key, _, values = text.partition("=")
    if not key or not values:
        raise ValueError(f"{text!r} is no axis; write key=value,value or key=log(low,high)")
    if match := _RANGE.fullmatch(values.replace(" ", "")):
        kind, low, high = match[1], read_yaml(match[2], repr(text)), read_yaml(match[3], repr(text))
        are_numbers = isinstance(low, int | float) and isinstance(high, int | float)
        if not are_numbers or not (0 if kind == "log" else -sys.float_info.max) < low < high <= sys.float_info.max:
            raise ValueError(f"{text!r}: a range has two numbers, the smaller one first, above 0 for log")
        return Axis(key, range=(kind, float(low), float(high)))
    listed = values.strip()
    if listed.startswith("[") and listed.endswith("]"):
        listed = listed[1:-1]
    if not all(value.strip() for value in listed.split(",")):
        raise ValueError(f"{text!r}: a value is missing beside a comma; write key=value,value")
    found = [read_yaml(value, repr(value)) for value in listed.split(",")]
    if wrong := [value for value in found if not isinstance(value, str | int | float | None)]:
        raise ValueError(f"{text!r}: a value is a number, a word, true, false or null; found {wrong[0]!r}")
    return Axis(key, values=tuple(dict.fromkeys(found)))


def plan(base: Params, axes: Sequence[Axis], samples: int | None = None, seed: int = 0) -> list[Trial]:
    """Return the configurations of the full grid over `axes` or, given `samples`, so many different random ones.

    All are checked as params.yaml is. Raises ValueError for keys that stand twice, that params.yaml does not have or
    that cannot be compared, for a range without `samples`, for more than LARGEST, and for values that do not fit.
    """
    keys = [axis.key for axis in axes]
    if repeated := sorted({key for key in keys if keys.count(key) > 1}):
        raise ValueError(f"{repeated[0]} is given twice; join its values: {repeated[0]}=a,b")
    for axis in axes:
        if axis.key in FIXED and len(axis.values) != 1:
            hint = " and --seeds n" if axis.key == "train.seed" else ""
            raise ValueError(f"{axis.key} cannot vary in a sweep, the results would not compare; give one value{hint}")
        if axis.range and samples is None:
            raise ValueError(f"{axis.key} is a range, which has no grid; add --random n, or list values")
    if samples is None:
        if (size := math.prod(len(axis.values) for axis in axes)) > LARGEST:
            raise ValueError(
                f"the grid has {size:,} configurations, {LARGEST:,} are the most; list fewer values, or add --random n"
            )
        drawn = [dict(zip(keys, values, strict=True)) for values in itertools.product(*(axis.values for axis in axes))]
    else:
        drawn = _sample(axes, samples, seed)
    configurations = [Trial(changed(base, changes), changes) for changes in drawn]
    for configuration in configurations:
        values = flatten(configuration.params)
        if not values["data.validation_size"]:
            raise ValueError("a sweep chooses by validation data, never by the test set; add data.validation_size=5000")
        for key, needed in TOGETHER.items():
            if values[key] != needed:
                raise ValueError(f"a sweep trains with {key} {needed}, found {values[key]}; add {key}={needed}")
    return configurations


def shares_passes(params: Params) -> bool:
    """Return whether such configurations can be trained together: minibatch SGD with exact sums."""
    return all(flatten(params)[key] == needed for key, needed in TOGETHER.items())


def passes(configurations: Sequence[Trial], largest: int) -> list[list[Trial]]:
    """Group what can be trained together, in order of first appearance, at most `largest` at a time."""
    groups: dict[str, list[Trial]] = {}
    for one in configurations:
        values = flatten(one.params)
        keys = SHARED_AXES if shares_passes(one.params) else ()
        common = {key: value for key, value in values.items() if key not in keys}
        groups.setdefault(repr(common), []).append(one)
    return [group[i : i + largest] for group in groups.values() for i in range(0, len(group), largest)]


def rungs(epochs: int) -> list[int]:
    """Return after which epochs successive halving keeps the better half: a quarter and a half of a training.

    The half that stays trains twice as long, so that each rung costs the same (Jamieson and Talwalkar 2016): half of
    what all would cost. A training of fewer than four epochs has fewer rungs.
    """
    return sorted({epochs // 4, epochs // 2} - {0})


def with_seeds(configurations: Sequence[Trial], seeds: int) -> list[Trial]:
    """Return each configuration with `seeds` seeds, from its own upwards; its changes stay those of the axes."""
    if seeds < 1:
        raise ValueError(f"--seeds must be at least 1, found {seeds}")
    if (size := seeds * len(configurations)) > LARGEST:
        raise ValueError(
            f"{len(configurations):,} configurations with {seeds:,} seeds each are {size:,} trainings, {LARGEST:,} are"
            " the most; lower --seeds"
        )
    return [
        Trial(changed(one.params, {"train.seed": one.params.train.seed + offset}), one.changes)
        for offset in range(seeds)
        for one in configurations
    ]


def patch(changes: Mapping[str, Any], content: dict[str, Any] | None = None) -> dict[str, Any]:
    """Set dotted keys in `content` (default: nothing yet), the nested mapping that params.yaml is, and return it."""
    nested = content or {}
    for key, value in changes.items():
        *sections, name = key.split(".")
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise ValueError(f"unknown key {key}; {section} has no keys of its own")
        place[name] = value
    return nested


def changed(base: Params, changes: Mapping[str, Any]) -> Params:
    """Return `base` with the values of these dotted keys; checked as params.yaml is."""
    return parse_params(patch(changes, base.model_dump()), "sweep")


def _sample(axes: Sequence[Axis], samples: int, seed: int) -> list[dict[str, Any]]:
    """Draw different configurations; each axis has random numbers of its own, whatever other axes there are."""
    if samples > LARGEST:
        raise ValueError(f"--random {samples}: {LARGEST:,} configurations are the most; lower it")
    shares = [uniform(f"sweep of seed {seed} axis {axis.key}", 100 * max(samples, 0)) for axis in axes]
    found: dict[str, dict[str, Any]] = {}
    for drawn in zip(*shares, strict=True):
        changes = {axis.key: axis.at(float(share)) for axis, share in zip(axes, drawn, strict=True)}
        found.setdefault(repr(changes), changes)
        if len(found) == samples:
            return list(found.values())
    raise ValueError(f"--random {samples}: found {len(found)} distinct configurations; ask for 1 to what the axes hold")
