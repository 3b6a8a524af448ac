"""The architecture holds: arrows point one way, one framework has one file, dvc.yaml declares what stages use."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from softmax_regression.params import Params, flatten_fields

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "softmax_regression"
PACKAGE = "softmax_regression"
STAGES: dict[str, dict[str, list[str]]] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]

# framework -> the only files that may import it
OWNERS = {
    "pytorch_lightning": {"lightning.py"},
    "mlflow": {"mlflow_store.py", "serving.py"},  # serving.py travels inside the logged model
    "matplotlib": {"figures.py"},
    "requests": {"transfer.py"},
    "torch": {
        "softmax.py",
        "sgd.py",
        "batches.py",
        "implementations.py",
        "lightning.py",
        "devices.py",
        "parity.py",
        "parity_report.py",
        "sweep.py",
    },
}
# file -> the only third-party packages that it may import, where that is a promise
PURE = {
    "mathematics/softmax.py": {"torch"},
    "mathematics/sgd.py": {"torch"},
    "mathematics/batches.py": {"torch"},
    "mathematics/numpy_solver.py": {"numpy"},
    "results/metrics.py": {"numpy"},
}


def imported_names(source: str) -> set[str]:
    """Return the dotted names of all modules that a source text imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def own_files(source: str) -> set[Path]:
    """Return the files of our package that a source text imports, directly."""
    names = [name for name in imported_names(source) if name.startswith(f"{PACKAGE}.")]
    candidates = {ROOT / "src" / f"{name.replace('.', '/')}.py" for name in names}
    return {path for path in candidates if path.is_file()}


def code_of(script: Path) -> set[str]:
    """Return every project file that runs when `script` does, itself included, as paths from the root."""
    found: set[Path] = set()
    waiting = {script}
    while waiting:
        path = waiting.pop()
        found.add(path)
        waiting |= own_files(path.read_text()) - found
    return {path.relative_to(ROOT).as_posix() for path in found}


class _ParamsRead(ast.NodeVisitor):
    """Collects the chains of attributes on the name `params`, each at its longest."""

    def __init__(self) -> None:
        leaves = flatten_fields(Params)
        self.known = {*leaves, *(key.rpartition(".")[0] for key in leaves), *Params.model_fields}
        self.found: set[str] = set()

    def visit_Attribute(self, node: ast.Attribute) -> None:
        parts: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            parts.insert(0, inner.attr)
            inner = inner.value
        if not (isinstance(inner, ast.Name) and inner.id == "params"):
            self.generic_visit(node)
            return
        while parts and ".".join(parts) not in self.known:
            parts.pop()  # a method or a property of the value
        self.found.add(".".join(parts))


def params_read(source: str) -> set[str]:
    """Return the dotted params that a script reads; one whose whole section is read is in that."""
    reader = _ParamsRead()
    reader.visit(ast.parse(source))
    return {key for key in reader.found if not any(key.startswith(f"{section}.") for section in reader.found)}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_the_code_it_imports(stage: str) -> None:
    """The .py files among a stage's deps are its script and every project file imported from there."""
    declared = {path for path in STAGES[stage]["deps"] if path.endswith(".py")}
    assert declared == code_of(ROOT / "pipeline" / f"{stage}.py")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_the_params_it_reads(stage: str) -> None:
    """The params of a stage in dvc.yaml are those that its script reads, no more and no fewer."""
    assert set(STAGES[stage].get("params", [])) == params_read((ROOT / "pipeline" / f"{stage}.py").read_text())


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_script_is_thin(stage: str) -> None:
    """A stage script parses, calls and writes in fewer than 40 lines of code and defines only main."""
    source = (ROOT / "pipeline" / f"{stage}.py").read_text()
    functions = [node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    assert functions == ["main"]
    assert len([line for line in source.splitlines() if line.strip()]) < 40


@pytest.mark.parametrize("framework", OWNERS)
def test_one_framework_has_one_file(framework: str) -> None:
    """Only the owners of a framework import it, at the top or inside a function."""
    importers = {
        path.name
        for path in SOURCE.rglob("*.py")
        if any(name.split(".")[0] == framework for name in imported_names(path.read_text()))
    }
    assert importers <= OWNERS[framework]


@pytest.mark.parametrize("file", PURE)
def test_the_mathematics_imports_its_one_package(file: str) -> None:
    """A file that promises one third-party package imports no other."""
    names = {name.split(".")[0] for name in imported_names((SOURCE / file).read_text())}
    assert names - set(sys.stdlib_module_names) - {PACKAGE} <= PURE[file]


def modules_after(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after `statement`."""
    code = f"{statement}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_params_and_data_load_without_a_framework() -> None:
    """Reading params and data loads no torch, Lightning, MLflow, matplotlib, SciPy or scikit-learn."""
    loaded = modules_after("import softmax_regression.params, softmax_regression.data.datasets")
    assert not loaded & {"torch", "pytorch_lightning", "mlflow", "matplotlib", "scipy", "sklearn"}


def test_tracking_and_training_do_not_know_each_other() -> None:
    """Loading the MLflow file loads no Lightning and no torch."""
    assert not modules_after("import softmax_regression.tracking.client") & {"torch", "pytorch_lightning"}


def test_the_purity_check_can_fail() -> None:
    """The check sees what is loaded: an interpreter that imports numpy is seen to have it."""
    assert "numpy" in modules_after("import numpy")


def test_the_import_reader_sees_every_form() -> None:
    """Imports inside functions, with aliases and from-imports are all seen."""
    source = "import a.b as c\ndef f():\n    from softmax_regression.mathematics import softmax\n    import torch.nn\n"
    assert imported_names(source) >= {"a.b", "softmax_regression.mathematics.softmax", "torch.nn"}


def test_the_params_reader_keeps_the_longest_chain() -> None:
    """`params.train.epochs` is one param, not the section; a method is none; a section read whole covers its keys."""
    source = "f(params.train.epochs, params.optimizer, params.optimizer.momentum, params.data.name.upper())"
    assert params_read(source) == {"train.epochs", "optimizer", "data.name"}
