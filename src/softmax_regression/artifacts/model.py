"""The trained model as arrays, and the two files that keep it: model.safetensors and model.json (no pickle).

The arrays are those of a chain of affine layers: "weight" (K, D) and, if any, "bias" (K,) are the last one's;
"hidden.0.weight", "hidden.0.bias", "hidden.1.weight", ... are those before it, each followed by ReLU. Softmax
regression has no hidden layer. Shapes: N examples, K classes, D features.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from softmax_regression.artifacts.experiment import BY_TRAIN
from softmax_regression.data.datasets import Dataset, Scale, Standardisation, read_scale, read_standardisation
from softmax_regression.files import existing, parse_json, read_text, write_atomically
from softmax_regression.numerics.elementary import exp, exp_table, log, round_to
from softmax_regression.numerics.grids import (
    LEAST_EXPONENT,
    PIXEL_BITS,
    class_bits,
    largest_weight,
    packed_bits,
    weight_bits,
)

Array: TypeAlias = npt.NDArray[np.floating]  # float32, or float64 where the sums were exact
Floats: TypeAlias = npt.NDArray[np.float64]

FEW_CLASSES = 100  # so many have a column each in a table of answers; of more, the best BEST are named
BEST = 3


@dataclass(frozen=True)
class Model:
    """The trained arrays with what is needed to use them, for examples in `example_shape`.

    A feature is a stored value divided by `scale`, a number or one for each feature (D,). `framed` says of grey
    pictures that each shows one object, light on dark, as large as the picture (see evaluation/pictures.py).
    """

    tensors: Mapping[str, Array]
    data: str  # the data set's name
    class_names: tuple[str, ...]
    example_shape: tuple[int, ...]
    scale: Scale
    feature_names: tuple[str, ...] = ()
    standardisation: Standardisation | None = None
    framed: bool = True

    @property
    def is_linear(self) -> bool:
        """Whether the logits are an affine function of the features: no hidden layer."""
        return "hidden.0.weight" not in self.tensors

    @property
    def is_of_images(self) -> bool:
        """Whether an example is a picture, grey or in colour, to be shown in a grid."""
        return len(self.example_shape) > 1

    def logits(self, examples: npt.NDArray[np.generic]) -> Floats:
        """Return the logits (N, K), in float64, of examples (N, *example_shape): integers as stored, or features.

        Where there is no hidden layer they are those of the exact training, sum by sum (mathematics/exact.py): so no
        digit depends on a processor's order of additions. Pixels are always as stored.
        """
        values = examples.reshape(len(examples), math.prod(self.example_shape)).astype(np.float64)
        scale = np.asarray(self.scale)
        if scale.ndim and not np.issubdtype(examples.dtype, np.integer):
            values = np.rint(values * scale)  # packed, as the download stage does it
        if self.is_linear:
            return self._add_bias(values @ self._scaled_weight.T, "")
        values, layer = values / scale, 0
        while f"hidden.{layer}.weight" in self.tensors:
            values = np.maximum(self._affine(values, f"hidden.{layer}."), 0)
            layer += 1
        return self._affine(values, "")

    def stored(self, raw: npt.NDArray[np.generic]) -> npt.NDArray[np.int16]:
        """Return raw features (N, D) as the download stage stores them; out of range, the nearest.

        Real ones are standardised where the data set was, and packed; with one scale for all they are pixels, 0 to 255.
        """
        values, least, largest = raw.astype(np.float64), 0, 2**PIXEL_BITS - 1
        if np.ndim(self.scale):
            largest = 2 ** packed_bits(values.shape[1]) - 1
            values, least = (self.standardisation or np.asarray)(values) * np.asarray(self.scale), -largest
        stored: npt.NDArray[np.int16] = np.rint(values).clip(least, largest).astype(np.int16)
        return stored

    def features(self, stored: npt.NDArray[np.integer]) -> Floats:
        """Return the features (N, D) that the stored values (N, D) of plain vectors stand for."""
        features: Floats = stored / np.asarray(self.scale)
        return features

    def probabilities(self, examples: npt.NDArray[np.generic]) -> Floats:
        """Return softmax(logits) (N, K) of examples; see `logits`."""
        return softmax(self.logits(examples))

    @cached_property
    def _scaled_weight(self) -> Floats:
        """Return W / scale on the finest grid on which a sum of D features is exact; coarser for larger weights."""
        weight = self.tensors["weight"].astype(np.float64) * (1 / np.asarray(self.scale))
        feature_bits = packed_bits(weight.shape[1]) if np.ndim(self.scale) else PIXEL_BITS
        _, excess = math.frexp(np.abs(weight).max() / largest_weight(feature_bits))
        rounded: Floats = round_to(weight, weight_bits(feature_bits, weight.shape[1]) - max(excess, 0))
        return rounded

    def _affine(self, features: Floats, layer: str) -> Floats:
        return self._add_bias(features @ self.tensors[f"{layer}weight"].astype(np.float64).T, layer)

    def _add_bias(self, scores: Floats, layer: str) -> Floats:
        return scores + self.tensors[f"{layer}bias"] if f"{layer}bias" in self.tensors else scores


def likeliest(probabilities: Floats) -> npt.NDArray[np.intp]:
    """Return the BEST most probable classes of each example (N, BEST), the most probable first; all of fewer."""
    best: npt.NDArray[np.intp] = np.argsort(-probabilities, axis=1, kind="stable")[:, :BEST]
    return best


def softmax(logits: Floats) -> Floats:
    """Return exp(z_k) / sum_j exp(z_j) of `logits` (N, K); the row maximum is subtracted, which cancels."""
    exponentials = _exponentials(_shifted(logits))
    probabilities: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


def cross_entropy(logits: Floats, labels: npt.NDArray[np.integer]) -> Floats:
    """Return log sum_j exp(z_j) - z_y in nats (N,) of `logits` (N, K) and `labels` (N,) in [0, K); d2l 4.1."""
    shifted = _shifted(logits)
    picked = np.take_along_axis(shifted, labels[:, None], axis=1)[:, 0]
    losses: Floats = log(_exponentials(shifted).sum(axis=1), np.int64) - picked
    return losses


def _shifted(logits: Floats) -> Floats:
    shifted: Floats = logits - logits.max(axis=1, keepdims=True)
    return shifted


def _exponentials(shifted: Floats) -> Floats:
    """Return exp(z_k - max z) (N, K) on the grid on which their sum is exact."""
    return round_to(exp(np.maximum(shifted, LEAST_EXPONENT), np.array(exp_table())), class_bits(shifted.shape[1]))


def write_model(folder: Path, tensors: Mapping[str, Array], dataset: Dataset) -> None:
    """Write the trained arrays, and what is needed to use them, into `folder`."""
    write_tensors(folder / "model.safetensors", tensors)
    facts = {
        "data": dataset.name,
        "class_names": dataset.class_names,
        "example_shape": dataset.example_shape,
        "scale": dataset.scale,
        "feature_names": dataset.feature_names,
        "standardise": asdict(dataset.standardisation) if dataset.standardisation else None,
        "framed": dataset.report.get("framed", True),
    }
    write_atomically(folder / "model.json", json.dumps(facts, indent=2) + "\n")


def read_model(folder: Path) -> Model:
    """Read the trained model from the train stage's folder.

    Raises FileNotFoundError when it is not there, ValueError when it is damaged, or its files are of two models.
    """
    tensors = read_tensors(folder / "model.safetensors")
    facts = read_model_facts(folder / "model.json")
    class_names, example_shape = tuple(facts["class_names"]), tuple(facts["example_shape"])
    size = math.prod(example_shape)
    try:
        _check_shapes(tensors, len(class_names), size)
    except ValueError as error:
        raise ValueError(f"{folder} holds no readable model: {error}; run `dvc repro -f train`") from None
    scale, names = read_scale(facts["scale"], size), tuple(facts["feature_names"])
    standardisation = read_standardisation(facts.get("standardise"), size)
    framed = bool(facts.get("framed", True))  # what says nothing is from before people's own pictures
    return Model(tensors, facts["data"], class_names, example_shape, scale, names, standardisation, framed)


def read_model_facts(path: Path) -> dict[str, Any]:
    """Read a model.json. Raises FileNotFoundError, or ValueError when it is damaged or lacks what each model has."""
    text = read_text(existing(path, BY_TRAIN))
    try:
        facts = {"feature_names": []} | parse_json(text)
        for name, kind in {"class_names": str, "example_shape": int, "feature_names": str}.items():
            if not isinstance(facts[name], list) or not all(type(one) is kind for one in facts[name]):
                raise ValueError(f"{name} is no list of {kind.__name__}")
        size = math.prod(facts["example_shape"])
        if not isinstance(facts["data"], str) or not facts["class_names"] or min(facts["example_shape"], default=0) < 1:
            raise ValueError("expected the data set's name, names of classes and the sizes of an example, above 0")
        read_scale(facts["scale"], size)
        read_standardisation(facts.get("standardise"), size)
        if len(facts["feature_names"]) not in (0, size):
            raise ValueError(f"it has {len(facts['feature_names'])} names of {size} features")
    except KeyError as error:
        raise ValueError(f"{path} is damaged: it lacks {error}; run `dvc repro -f train`") from None
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; run `dvc repro -f train`") from None
    return facts


def _check_shapes(tensors: Mapping[str, Array], num_classes: int, num_features: int) -> None:
    """Raise ValueError where the arrays are no chain of layers of finite numbers from features to classes."""
    size = num_features
    for layer in [*(f"hidden.{number}." for number in range(len(tensors)) if f"hidden.{number}.weight" in tensors), ""]:
        if (weight := tensors.get(f"{layer}weight")) is None:
            raise ValueError(f"it has no array `{layer}weight`")
        rows = len(weight) if layer and weight.ndim else num_classes
        for name, shape in (("weight", (rows, size)), ("bias", (rows,))):
            array = tensors.get(f"{layer}{name}")
            if array is not None and (array.shape != shape or array.dtype.kind != "f" or not np.isfinite(array).all()):
                raise ValueError(
                    f"its array `{layer}{name}`: expected finite numbers of shape {shape}, found {array.dtype} of shape"
                    f" {array.shape}"
                )
        size = rows


def write_tensors(path: Path, tensors: Mapping[str, Array]) -> None:
    """Write arrays by name as a safetensors file."""
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}  # save takes memory as it lies
    write_atomically(path, save(arrays))


def read_tensors(path: Path) -> dict[str, Array]:
    """Read a safetensors file of the train stage. Raises FileNotFoundError, or ValueError when it is damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors: dict[str, Array] = load(existing(path, BY_TRAIN).read_bytes())
    except (SafetensorError, ValueError, KeyError) as error:  # KeyError: a type that NumPy has not
        raise ValueError(f"{path} is damaged: {' '.join(str(error).split())[:300]}; run `dvc repro -f train`") from None
    return tensors
