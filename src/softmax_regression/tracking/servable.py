"""What MLflow is told about the model when it is logged: its code, its examples of input and output, its needs.

The code is serving.py, given as a path: importing it would import MLflow.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

CODE = Path(__file__).with_name("serving.py")


def input_example(example_shape: tuple[int, ...], scale: float) -> NDArray[Any]:
    """Return one example (1, *example_shape) as the model takes it: a ramp from 0 to `scale`.

    uint8 for pixels (scale above 1), float64 for features: the dtypes in which data sets store them.
    """
    ramp = np.linspace(0, scale, int(np.prod(example_shape))).reshape(1, *example_shape)
    return ramp.astype(np.uint8 if scale > 1 else np.float64)


def output_example(class_names: tuple[str, ...]) -> pd.DataFrame:
    """Return a table of the model's output, one row, with the columns and dtypes that serving.py gives."""
    import pandas as pd

    chances = {f"P({name})": 1 / len(class_names) for name in class_names}
    return pd.DataFrame({"label": class_names[0], "class": 0} | chances, index=[0])


def pip_requirements() -> list[str]:
    """Return what serving.py imports, pinned to the versions installed here."""
    return [f"{name}=={version(name)}" for name in ("mlflow", "numpy", "pandas", "safetensors")]
