"""The logged MLflow model: this file is copied into it ("models from code") and runs where the model is used.

It stands alone: numpy, pandas, safetensors and MLflow; no torch, no pickle, nothing else of this package.
The input is what a person has: uint8 images, grey (N, H, W) or in colour (N, H, W, 3), of 0 to 255, as stored; a table
with the features' names as columns, in any order; or, where they have no names, real features (N, D) in float64. They
are standardised and rounded here as the download stage did it.

    mlflow models serve -m models:/<id> --env-manager local -p 5001
    curl http://127.0.0.1:5001/invocations -H 'Content-Type: application/json' -d '{"inputs": [[[0, 17, ...], ...]]}'
    ... -d '{"dataframe_records": [{"petal_length": 1.4, "petal_width": 0.2, ...}, ...]}'

answers {"predictions": [{"label": "Ankle boot", "class": 9, "P(T-shirt/top)": 0.0001, ...}]}. MLflow refuses (400) what
the signature does not say: shape, dtype, a missing column, from JSON also numbers outside 0 to 255, NaN in images, text
and ragged lists. Two things it lets through, as it casts JSON to uint8 before it looks. Fractions are cut off: of
pixels scaled to [0, 1] zeros and ones arrive, which are refused here, but nothing tells zeros alone from a black image.
And tables ("dataframe_split") wrap 256 to 0: send images as "inputs".

Shapes: N examples, D features, K classes.
"""

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from safetensors.numpy import load_file

FEW_CLASSES, BEST = 100, 3  # up to so many classes have a column each; of more, the best three are named


class SoftmaxRegression(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # MLflow's types are not followed
    """The model as MLflow serves it: raw examples in, labels and probabilities out."""

    def load_context(self, context: Any) -> None:
        """Read the artifacts "weights" (affine layers, see artifacts/model.py) and "description" (JSON)."""
        tensors = {name: tensor.astype(np.float64) for name, tensor in load_file(context.artifacts["weights"]).items()}
        hidden = sum(name.startswith("hidden.") and name.endswith(".weight") for name in tensors)
        names = [*(f"hidden.{layer}." for layer in range(hidden)), ""]
        self.layers = [(tensors[f"{name}weight"], tensors.get(f"{name}bias", np.zeros(1))) for name in names]
        description = json.loads(Path(context.artifacts["description"]).read_text(encoding="utf-8"))
        self.class_names: list[str] = description["class_names"]
        self.example_shape = tuple(description["example_shape"])
        self.feature_names: list[str] = description.get("feature_names", [])
        self.scale = np.array(description["scale"], np.float64)  # one for each feature where they were packed
        standardise = description.get("standardise") or {"mean": 0, "deviation": 1}
        self.mean, self.deviation = (np.array(standardise[key], np.float64) for key in ("mean", "deviation"))

    def predict(self, model_input: np.ndarray) -> pd.DataFrame:
        """Return a row per example: "label", its number "class", and the probability "P(name)" of each class.

        Of more than 100 classes it is the label's "probability", and "label 2", "probability 2", ... of the next ones.

        model_input (N, *example_shape), or a table with a column for each feature. logits = features W^T + b (after
        ReLU layers, if any), probabilities = softmax(logits) (d2l 4.4), in float64. Raises MlflowException (HTTP 400)
        for what is no such input.
        """
        if isinstance(model_input, pd.DataFrame):  # MLflow warns of a type hint that says so
            model_input = self._columns(model_input)
        self._check(model_input)
        features = self._features(model_input.reshape(len(model_input), self.layers[0][0].shape[1]))
        for weight, bias in self.layers[:-1]:
            features = np.maximum(features @ weight.T + bias, 0)
        weight, bias = self.layers[-1]
        logits = features @ weight.T + bias
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))  # exp(-max) cancels; it prevents overflow
        probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        return self._answers(logits, probabilities)

    def _features(self, values: np.ndarray) -> np.ndarray:
        """Return the features (N, D) of raw values: pixels / scale, or what the data set stores of real numbers.

        These are standardised, if it was, and rounded to multiples of 1 / scale, at most 2^P - 1 of them, where P is
        15, and less for more than 8,192 features (see numerics/grids.py).
        """
        if not self.scale.ndim:
            return values / self.scale
        largest = 2 ** min(15, 28 - (values.shape[1] - 1).bit_length()) - 1
        standardised = (values - self.mean) / self.deviation
        return np.clip(np.rint(standardised * self.scale), -largest, largest) / self.scale

    def _answers(self, logits: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
        best = (-logits).argsort(axis=1, kind="stable")[:, :BEST]
        labels = np.array(self.class_names, object)
        table: dict[str, Any] = {"label": labels[best[:, 0]], "class": best[:, 0]}
        if len(self.class_names) <= FEW_CLASSES:
            table |= {f"P({name})": probabilities[:, k] for k, name in enumerate(self.class_names)}
            return pd.DataFrame(table)
        table["probability"] = np.take_along_axis(probabilities, best[:, :1], axis=1)[:, 0]
        for k in range(1, BEST):
            table[f"label {k + 1}"] = labels[best[:, k]]
            table[f"probability {k + 1}"] = np.take_along_axis(probabilities, best[:, k : k + 1], axis=1)[:, 0]
        return pd.DataFrame(table)

    def _columns(self, table: pd.DataFrame) -> np.ndarray:
        """Return the features (N, D) of a table."""
        if missing := [name for name in self.feature_names if name not in table.columns]:
            raise MlflowException.invalid_parameter_value(f"the input lacks the columns {', '.join(missing)}")
        if not self.feature_names:
            raise MlflowException.invalid_parameter_value("the model's features have no names; give an array")
        try:
            return np.asarray(table[self.feature_names], np.float64)
        except (ValueError, TypeError) as error:
            raise MlflowException.invalid_parameter_value(f"the input holds no numbers: {error}") from error

    def _check(self, examples: np.ndarray) -> None:
        """Refuse what the signature lets through, and again what it refuses: it does not see every caller."""
        is_image = self.scale.ndim == 0 and self.scale > 1
        dtype = np.dtype(np.uint8 if is_image else np.float64)
        problem = ""
        if not isinstance(examples, np.ndarray) or (examples.shape[1:], examples.dtype) != (self.example_shape, dtype):
            found = f"{getattr(examples, 'dtype', type(examples).__name__)} {np.shape(examples)}"
            problem = f"the input is {found}; give {dtype} (N, {', '.join(map(str, self.example_shape))})"
        elif not np.isfinite(examples).all():
            problem = f"the input holds NaN or infinity{self._place(examples)}; give finite numbers"
        elif is_image and examples.max(initial=0) > self.scale:
            problem = f"the input holds {examples.max()}; give pixels of 0 to {self.scale:g}"
        elif is_image and examples.max(initial=0) == 1:
            problem = f"no pixel is above 1; give pixels as stored, 0 to {self.scale:g}, not scaled to [0, 1]"
        if problem:
            raise MlflowException.invalid_parameter_value(problem)

    def _place(self, examples: np.ndarray) -> str:
        """Return where the first number that is not finite stands, if features have names."""
        if not self.feature_names:
            return ""
        row, column = np.argwhere(~np.isfinite(examples))[0]
        return f" in column {self.feature_names[column]}, row {row + 1}"


mlflow.models.set_model(SoftmaxRegression())
