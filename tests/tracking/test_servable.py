"""What is logged with the model fits the model."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import version

import numpy as np
import pytest

from softmax_regression.tracking import servable


@pytest.mark.parametrize(("shape", "scale", "dtype"), [((28, 28), 255.0, "uint8"), ((2,), 1.0, "float64")])
def test_the_input_example_is_one_example_as_stored(shape: tuple[int, ...], scale: float, dtype: str) -> None:
    """Pixels are uint8 and use the whole range, features are float64."""
    example = servable.input_example(shape, scale)
    assert (example.shape, example.dtype) == ((1, *shape), np.dtype(dtype))
    assert (example.min(), example.max()) == (0, scale)


def test_the_requirements_are_the_imports_of_the_code_pinned() -> None:
    """serving.py imports exactly what the model's requirements.txt will name, at the versions installed."""
    tree = ast.parse(servable.CODE.read_text())
    imports = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imports |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    packages = {name.split(".")[0] for name in imports} - set(sys.stdlib_module_names)
    assert {f"{name}=={version(name)}" for name in packages} == set(servable.pip_requirements())
    assert all(re.fullmatch(r"[a-z]+==\d[\w.]*", line) for line in servable.pip_requirements())
