"""The logged MLflow model: this file is copied into it ("models from code") and runs where the model is used.

It stands alone: numpy, pandas, safetensors and MLflow; no torch, no pickle, nothing else of this package.
The input is what a person has: uint8 images (N, H, W) of 0 to 255, as stored, or real features (N, D) in float64:

    mlflow models serve -m models:/<id> --env-manager local -p 5001
    curl http://127.0.0.1:5001/invocations -H 'Content-Type: application/json' -d '{"inputs": [[[0, 17, ...], ...]]}'

answers {"predictions": [{"label": "Ankle boot", "class": 9, "P(T-shirt/top)": 0.0001, ...}]}. MLflow refuses (400) what
the signature does not say: shape, dtype, from JSON also numbers outside 0 to 255, NaN, null, text and ragged lists.
Two things it lets through, as it casts JSON to uint8 before it looks. Fractions are cut off: pixels scaled to [0, 1]
arrive as black images, which are refused here. And tables ("dataframe_split") wrap 256 to 0: send "inputs".

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
        self.scale = np.array(description["scale"], np.float64)  # one for each feature where they were packed

    def predict(self, model_input: np.ndarray) -> pd.DataFrame:
        """Return a row per example: "label", its number "class", and the probability "P(name)" of each class.

        model_input (N, *example_shape). Features (N, D) are pixels / scale; real ones are rounded to what the data set
        stores of them, a multiple of 1 / scale. logits = features W^T + b (after ReLU layers, if any), probabilities =
        softmax(logits) (d2l 4.4), in float64. Raises MlflowException (HTTP 400) for what is no such input.
        """
        self._check(model_input)
        values = model_input.reshape(len(model_input), self.layers[0][0].shape[1])
        features = (np.rint(values * self.scale) if self.scale.ndim else values) / self.scale
        for weight, bias in self.layers[:-1]:
            features = np.maximum(features @ weight.T + bias, 0)
        weight, bias = self.layers[-1]
        logits = features @ weight.T + bias
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))  # exp(-max) cancels; it prevents overflow
        probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        classes = logits.argmax(axis=1)
        columns = {f"P({name})": probabilities[:, k] for k, name in enumerate(self.class_names)}
        return pd.DataFrame({"label": [self.class_names[k] for k in classes], "class": classes} | columns)

    def _check(self, examples: np.ndarray) -> None:
        """Refuse what the signature lets through, and again what it refuses: it does not see every caller."""
        is_image = self.scale.ndim == 0 and self.scale > 1
        dtype = np.dtype(np.uint8 if is_image else np.float64)
        problem = ""
        if not isinstance(examples, np.ndarray) or (examples.shape[1:], examples.dtype) != (self.example_shape, dtype):
            found = f"{getattr(examples, 'dtype', type(examples).__name__)} {np.shape(examples)}"
            problem = f"the input is {found}; give {dtype} (N, {', '.join(map(str, self.example_shape))})"
        elif not np.isfinite(examples).all():
            problem = "the input holds NaN or infinity; give finite numbers"
        elif is_image and examples.max(initial=0) > self.scale:
            problem = f"the input holds {examples.max()}; give pixels of 0 to {self.scale:g}"
        elif is_image and examples.size and examples.max() <= 1:
            problem = f"no pixel is above 1; give pixels as stored, 0 to {self.scale:g}, not scaled to [0, 1]"
        if problem:
            raise MlflowException.invalid_parameter_value(problem)


mlflow.models.set_model(SoftmaxRegression())
