"""The trained model as arrays, and the two files that keep it: model.safetensors and model.json (no pickle).

The arrays are those of a chain of affine layers: "weight" (K, D) and, if any, "bias" (K,) are the last one's;
"hidden.0.weight", "hidden.0.bias", "hidden.1.weight", ... are those before it, each followed by ReLU. Softmax
regression has no hidden layer. Shapes: N examples, K classes, D features.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from softmax_regression.artifacts.experiment import BY_TRAIN
from softmax_regression.data.datasets import Dataset
from softmax_regression.files import existing, write_atomically


@dataclass(frozen=True)
class Model:
    """The trained arrays with what is needed to use them: `features = pixels / scale`, in `example_shape`."""

    tensors: Mapping[str, npt.NDArray[np.float32]]
    data: str  # the data set's name
    class_names: tuple[str, ...]
    example_shape: tuple[int, ...]
    scale: float

    @property
    def is_linear(self) -> bool:
        """Whether the logits are an affine function of the features: no hidden layer."""
        return "hidden.0.weight" not in self.tensors

    @property
    def is_of_images(self) -> bool:
        """Whether an example is a grey image, to be shown in a grid."""
        return len(self.example_shape) == 2

    def logits(self, examples: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
        """Return the logits (N, K) of raw examples (N, *example_shape), in float64.

        So the digits that are written down depend on no processor's order of additions.
        """
        features = examples.reshape(len(examples), -1).astype(np.float64) / self.scale
        layer = 0
        while f"hidden.{layer}.weight" in self.tensors:
            features = np.maximum(self._affine(features, f"hidden.{layer}."), 0)
            layer += 1
        return self._affine(features, "")

    def probabilities(self, examples: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
        """Return softmax(logits) (N, K) in float64; the row maximum is subtracted, which cancels."""
        logits = self.logits(examples)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        result: npt.NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
        return result

    def _affine(self, features: npt.NDArray[np.float64], layer: str) -> npt.NDArray[np.float64]:
        scores: npt.NDArray[np.float64] = features @ self.tensors[f"{layer}weight"].astype(np.float64).T
        return scores + self.tensors[f"{layer}bias"] if f"{layer}bias" in self.tensors else scores


def write_model(folder: Path, tensors: Mapping[str, npt.NDArray[np.float32]], dataset: Dataset) -> None:
    """Write the trained arrays, and what is needed to use them, into `folder`."""
    write_tensors(folder / "model.safetensors", tensors)
    facts = {
        "data": dataset.name,
        "class_names": dataset.class_names,
        "example_shape": dataset.example_shape,
        "scale": dataset.scale,
    }
    write_atomically(folder / "model.json", json.dumps(facts, indent=2) + "\n")


def read_model(folder: Path) -> Model:
    """Read the trained model from the train stage's folder.

    Raises FileNotFoundError when it is not there, ValueError when it is damaged.
    """
    tensors = read_tensors(folder / "model.safetensors")
    try:
        if "weight" not in tensors:
            raise ValueError("it has no array `weight`")
        facts = json.loads((folder / "model.json").read_text())
        class_names, example_shape = tuple(facts["class_names"]), tuple(facts["example_shape"])
        return Model(tensors, facts["data"], class_names, example_shape, float(facts["scale"]))
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ValueError(f"{folder} holds no readable model: {error}; run `dvc repro -f train`") from None


def write_tensors(path: Path, tensors: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """Write arrays by name as a safetensors file."""
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}  # save takes memory as it lies
    write_atomically(path, save(arrays))


def read_tensors(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Read a safetensors file of the train stage. Raises FileNotFoundError, or ValueError when it is damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors: dict[str, npt.NDArray[np.float32]] = load(existing(path, BY_TRAIN).read_bytes())
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error}; run `dvc repro -f train`") from None
    return tensors
