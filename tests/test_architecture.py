"""The architecture holds: arrows point down, one framework has one place, dvc.yaml declares what stages use."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from softmax_regression.artifacts.experiment import HOW
from softmax_regression.files import read_yaml
from softmax_regression.params import Params, TrainParams, flatten, load_params

ROOT = Path(__file__).parents[1]
PACKAGE = "softmax_regression"
SOURCE = ROOT / "src" / PACKAGE
STAGES: dict[str, Any] = read_yaml((ROOT / "dvc.yaml").read_text(), "dvc.yaml")["stages"]

# From the top down. A package or root module imports what stands on a line below its own, and nothing else.
LAYERS = (
    ("cli",),
    ("commands",),
    ("comparing",),
    ("sweep",),
    ("lineage",),
    ("tracking", "evaluation", "training"),
    ("artifacts", "download"),
    ("data", "mathematics", "statistics", "plots"),
    ("params", "progress", "tables", "numerics"),
    ("entry",),
    ("files", "redaction"),
)
LEVEL = {unit: level for level, units in enumerate(LAYERS) for unit in units}
# They write no stage's files, so no stage depends on them.
RECORDING = {"lineage", "tracking"}

# framework -> the only places that may import it
OWNERS = {
    "pytorch_lightning": {"training/lightning.py"},
    "mlflow": {"tracking/client.py", "tracking/model_code.py"},  # model_code.py travels inside the logged model
    "matplotlib": {"plots"},
    "dvc": {"lineage/states.py"},
    "requests": {"download/transfer.py"},
    "sklearn": {"download/registry.py"},
    "ruamel": {"files.py"},
    "jinja2": {"comparing/page.py"},
    "rich": {"tables.py"},
    "optuna": {"sweep/study.py"},
    "torch": {"mathematics", "training", "sweep/replicas.py", "commands/parity.py"},
}
# file -> the only third-party packages that it may import, where that is a promise
PURE = {
    "numerics/elementary.py": set(),
    "numerics/grids.py": set(),
    "numerics/randomness.py": {"numpy"},
    "mathematics/exact.py": {"torch"},
    "mathematics/products.py": {"torch"},
    "mathematics/softmax.py": {"torch"},
    "mathematics/sgd.py": {"torch"},
    "mathematics/batches.py": {"torch"},
    "mathematics/numpy_solver.py": {"numpy"},
    "statistics/intervals.py": {"numpy", "scipy"},
    "statistics/families.py": {"numpy", "scipy"},
    "statistics/models.py": {"numpy"},
    "statistics/seeds.py": {"numpy", "scipy"},
    "evaluation/metrics.py": {"numpy"},
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


def own_imports(source: str) -> set[str]:
    """Return the modules of our package that a source text imports, as 'tracking.client' or 'files'."""
    names = {name.removeprefix(f"{PACKAGE}.") for name in imported_names(source) if name.startswith(f"{PACKAGE}.")}
    return {name for name in names if (SOURCE / f"{name.replace('.', '/')}.py").is_file()}


def modules() -> dict[str, set[str]]:
    """Return what each module of our package imports of it."""
    files = [path for path in SOURCE.rglob("*.py") if path.name != "__init__.py"]
    return {
        path.relative_to(SOURCE).with_suffix("").as_posix().replace("/", "."): own_imports(path.read_text())
        for path in files
    }


def unit_of(module: str) -> str:
    """Return the package of a module, or the module itself where it stands at the root."""
    return module.partition(".")[0]


def wrong_arrows(imports: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the imports between packages that do not point down."""
    return sorted(
        f"{module} -> {imported}"
        for module, found in imports.items()
        for imported in found
        if unit_of(module) != unit_of(imported) and LEVEL[unit_of(imported)] <= LEVEL[unit_of(module)]
    )


def circles(imports: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the modules that import themselves, directly or through others."""
    found = []
    for module in imports:
        reached: set[str] = set()
        waiting = set(imports[module])
        while waiting:
            reached |= waiting
            waiting = {far for near in waiting for far in imports.get(near, ())} - reached
        if module in reached:
            found.append(module)
    return found


def packages_of_files(script: Path) -> set[str]:
    """Return the packages that run when a stage's script does and may determine its files."""
    found: set[str] = set()
    waiting = own_imports(script.read_text())
    imports = modules()
    while waiting:
        waiting = {module for module in waiting if unit_of(module) not in RECORDING} - found
        found |= waiting
        waiting = {far for near in waiting for far in imports[near]}
    return {unit_of(module) for module in found if "." in module}


def params_read(source: str) -> set[str]:
    """Return what a script reads of the name `params`: sections, or 'section.key'."""
    read: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "params":
            read.add(node.attr)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value).startswith("params."):
            read.add(f"{ast.unparse(node.value).removeprefix('params.')}.{node.attr}")
    longest = {key for key in read if not any(other.startswith(f"{key}.") for other in read)}
    return {key for key in longest if key.partition(".")[0] in Params.model_fields}


def test_packages_import_downwards_only() -> None:
    """No import runs up or sideways between packages."""
    assert wrong_arrows(modules()) == []


def test_there_is_no_circle() -> None:
    """No module imports itself through others, not even inside a function or for its types."""
    assert circles(modules()) == []


def test_each_package_has_a_layer() -> None:
    """A new package or root module must be given its place."""
    assert {unit_of(module) for module in modules()} == set(LEVEL)


@pytest.mark.parametrize(
    ("module", "imported"),
    [("tracking.client", "commands.run"), ("files", "params"), ("training.solving", "tracking.run"), ("cli", "cli.x")],
)
def test_the_check_of_layers_can_fail(module: str, imported: str) -> None:
    """An arrow that runs up, or sideways, is found; one inside a package is not looked at."""
    found = wrong_arrows({module: {imported}, "lineage.sync": {"files"}})
    assert found == ([] if module == "cli" else [f"{module} -> {imported}"])


def test_the_check_of_circles_can_fail() -> None:
    """A circle of two or three modules is found, a diamond is none."""
    assert circles({"a": {"b"}, "b": {"a"}}) == ["a", "b"]
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c"]
    assert circles({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}) == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_the_code_of_its_files(stage: str) -> None:
    """The code among a stage's deps is its script and every package that may determine what it writes."""
    script = f"pipeline/{stage}.py"
    declared = {path for path in STAGES[stage]["deps"] if path.startswith(("pipeline/", "src/"))}
    packages = {f"src/{PACKAGE}/{package}" for package in packages_of_files(ROOT / script)}
    assert declared == {script} | packages


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_the_params_it_reads(stage: str) -> None:
    """What a stage's script reads of params.yaml is declared, by itself or as its section, and nothing else is.

    But for how a training is carried out: an edit of that trains nothing again.
    """
    declared = set(STAGES[stage]["params"])
    read = params_read((ROOT / "pipeline" / f"{stage}.py").read_text())
    if stage == "train":
        read = read - {"train"} | {f"train.{key}" for key in TrainParams.model_fields} - set(HOW)
    assert {key if key in declared else key.partition(".")[0] for key in read} == declared


def test_no_value_of_params_reaches_a_command_or_a_path() -> None:
    """dvc.yaml interpolates nothing: a value of params.yaml can name neither what runs nor what DVC deletes."""
    text = (ROOT / "dvc.yaml").read_text()
    assert "${" not in text
    assert "foreach" not in text
    values = {value for value in flatten(load_params(ROOT / "params.yaml")).values() if isinstance(value, str)}
    for stage in STAGES.values():
        named = [stage["cmd"], *stage["deps"], *map(str, stage["outs"])]
        assert not values & {word for text in named for word in re.split(r"[\s/]", text)}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_script_is_thin(stage: str) -> None:
    """A stage script parses, calls and writes in fewer than 40 lines of code and defines only main."""
    source = (ROOT / "pipeline" / f"{stage}.py").read_text()
    functions = [node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    assert functions == ["main"]
    assert len([line for line in source.splitlines() if line.strip()]) < 40


@pytest.mark.parametrize("framework", OWNERS)
def test_one_framework_has_one_place(framework: str) -> None:
    """Only the owners of a framework import it, at the top or inside a function."""
    importers = {
        path.relative_to(SOURCE)
        for path in SOURCE.rglob("*.py")
        if any(name.split(".")[0] == framework for name in imported_names(path.read_text()))
    }
    assert importers
    assert {path for path in importers if not {path.as_posix(), path.parts[0]} & OWNERS[framework]} == set()


@pytest.mark.parametrize("file", PURE)
def test_the_mathematics_imports_its_one_package(file: str) -> None:
    """A file that promises one third-party package imports no other."""
    names = {name.split(".")[0] for name in imported_names((SOURCE / file).read_text())}
    assert names - set(sys.stdlib_module_names) - {PACKAGE} <= PURE[file]


@pytest.mark.parametrize("module", sorted(module for module in modules() if module != "cli"))
def test_each_module_has_its_test_file(module: str) -> None:
    """tests/ mirrors src/; the console script is started by tests/test_commands.py."""
    *package, name = module.split(".")
    assert ROOT.joinpath("tests", *package, f"test_{name}.py").is_file()


def modules_after(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after `statement`."""
    code = f"{statement}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        (
            "import softmax_regression.params, softmax_regression.data.datasets",
            {"torch", "pytorch_lightning", "mlflow", "matplotlib", "scipy", "sklearn", "rich", "jinja2"},
        ),
        ("import softmax_regression.tracking.run_store", {"torch", "pytorch_lightning", "mlflow", "matplotlib"}),
        (
            "import softmax_regression.lineage.training_run",
            {"torch", "pytorch_lightning", "mlflow", "matplotlib", "dvc"},
        ),
        ("import softmax_regression.evaluation.evaluation", {"torch", "pytorch_lightning", "mlflow"}),
        ("import softmax_regression.cli", {"torch", "pytorch_lightning", "mlflow", "matplotlib", "rich", "numpy"}),
    ],
)
def test_a_module_loads_only_what_it_needs(statement: str, absent: set[str]) -> None:
    """Frameworks are imported where they are used, not before."""
    assert not modules_after(statement) & absent


def test_the_check_of_what_is_loaded_can_fail() -> None:
    """The check sees what is loaded: an interpreter that imports numpy is seen to have it."""
    assert "numpy" in modules_after("import numpy")


def test_the_import_reader_sees_every_form() -> None:
    """Imports inside functions, with aliases and from-imports are all seen."""
    source = "import a.b as c\ndef f():\n    from softmax_regression.mathematics import softmax\n    import torch.nn\n"
    assert imported_names(source) >= {"a.b", "softmax_regression.mathematics.softmax", "torch.nn"}
    assert own_imports(source) == {"mathematics.softmax"}


def test_the_params_reader_keeps_the_longest_chain() -> None:
    """`params.train.epochs` is one param, not the section; a whole section is itself; a method is none."""
    source = "f(params.train.epochs, params.optimizer, params.data.name, params.model_dump())"
    assert params_read(source) == {"train.epochs", "optimizer", "data.name"}
