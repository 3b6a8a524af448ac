"""params.yaml: what is accepted, and the one line that refuses the rest."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from softmax_regression.params import flatten, flatten_fields, load_params, parse_params

COMMITTED = Path(__file__).parents[1] / "params.yaml"


def edited(key: str, value: object) -> dict[str, Any]:
    """Return the committed params with one dotted key set to `value`."""
    content: dict[str, Any] = copy.deepcopy(yaml.safe_load(COMMITTED.read_text()))
    *sections, name = key.split(".")
    inner = content
    for section in sections:
        inner = inner[section]
    inner[name] = value
    return content


def test_the_committed_params_are_the_books_recipe() -> None:
    """reference.md A: learning rate 0.1, batches of 256, ten epochs, W ~ N(0, 0.01^2), no held-out images."""
    params = load_params(COMMITTED)
    assert (params.optimizer.learning_rate, params.train.batch_size, params.train.epochs) == (0.1, 256, 10)
    assert (params.model.init_std, params.data.validation_size, params.optimizer.momentum) == (0.01, 0, 0.0)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("optimizer.learning_rte", 0.1, "unknown key optimizer.learning_rte; did you mean optimizer.learning_rate?"),
        ("optimzer", {}, "unknown key optimzer; did you mean optimizer?"),
        ("train.epochs", 1.5, "train.epochs: input should be a valid integer; found 1.5"),
        ("train.epochs", True, "train.epochs: input should be a valid integer; found True"),
        ("train.epochs", 0, "train.epochs: input should be greater than 0; found 0"),
        ("optimizer.momentum", 1.0, "optimizer.momentum: input should be less than 1; found 1.0"),
        ("optimizer.learning_rate", float("nan"), "optimizer.learning_rate: input should be a finite number"),
        ("optimizer.learning_rate", "1e-3", "optimizer.learning_rate: input should be a valid number; found '1e-3', "
         "which YAML reads as text; write 0.001"),
        ("optimizer.nesterov", True, "nesterov is true but momentum is 0"),
        ("optimizer.nesterov", "yes", "optimizer.nesterov: input should be a valid boolean; found 'yes'"),
        ("model.implementation", "torch", "model.implementation: input should be 'scratch', 'textbook' or 'library'"),
        ("data.sources", ["folder"], "data.sources: input should be a valid dictionary; found ['folder']"),
        ("predict.count", 65, "predict.count: input should be less than or equal to 64; found 65"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_its_dotted_key(key: str, value: object, told: str) -> None:
    """One line names the dotted key, what was found and what to do."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the text is checked next, all of it
        parse_params(edited(key, value))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_key_is_named() -> None:
    """No value has a default in code: a key that is not there is an error."""
    content = edited("train.seed", 0)
    del content["train"]["seed"]
    with pytest.raises(ValueError, match=r"missing key train\.seed"):
        parse_params(content)


def test_all_mistakes_are_told_at_once() -> None:
    """A person mends everything in one go."""
    content = edited("train.epochs", 0)
    content["optimizer"]["momentum"] = -1.0
    with pytest.raises(ValueError, match=r"optimizer\.momentum.*train\.epochs"):
        parse_params(content)


@pytest.mark.parametrize("text", ["1e-3", "5e-1", "1e5", "2.5e+3", "1e-7"])
def test_the_advice_on_exponents_is_read_as_a_number(text: str) -> None:
    """What the message tells to write is a number in YAML, and the one that was meant."""
    with pytest.raises(ValueError, match="write ") as caught:
        parse_params(edited("optimizer.learning_rate", text))
    advice = str(caught.value).rpartition("write ")[2]
    assert yaml.safe_load(advice) == float(text)


@pytest.mark.parametrize("value", [1e-5, 2.5e-7, 1e-10])
def test_a_number_as_dvc_writes_it_is_read(value: float, tmp_path: Path) -> None:
    """`dvc exp run -S` writes small numbers as Python does, 1e-05: text to PyYAML, a number here."""
    path = tmp_path / "params.yaml"
    path.write_text(COMMITTED.read_text().replace("weight_decay: 0.0", f"weight_decay: {value!r}"))
    assert load_params(path).optimizer.weight_decay == value


def test_a_number_as_people_write_it_is_told(tmp_path: Path) -> None:
    """`1e-3` in the file is one clear line, as other YAML tools would read it as text."""
    path = tmp_path / "params.yaml"
    path.write_text(COMMITTED.read_text().replace("weight_decay: 0.0", "weight_decay: 1e-3"))
    with pytest.raises(ValueError, match=r"optimizer\.weight_decay: .* found '1e-3', which YAML reads as text"):
        load_params(path)


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """PyYAML alone would keep the last one without a word."""
    path = tmp_path / "params.yaml"
    path.write_text(COMMITTED.read_text() + "\npredict:\n  count: 9\n")
    with pytest.raises(ValueError, match="key 'predict' stands twice"):
        load_params(path)


def test_broken_yaml_and_no_file_are_told(tmp_path: Path) -> None:
    """A file that is no YAML, no mapping, or not there is one clear error each."""
    path = tmp_path / "params.yaml"
    with pytest.raises(FileNotFoundError, match="run from the project's root"):
        load_params(path)
    path.write_text("data: [")
    with pytest.raises(ValueError, match="not valid YAML"):
        load_params(path)
    path.write_text("just text")
    with pytest.raises(ValueError, match="must hold the sections data, model"):
        load_params(path)


def test_params_cannot_be_changed() -> None:
    """Parsed params are frozen: no code can change what was asked for."""
    params = load_params(COMMITTED)
    with pytest.raises(ValueError, match="frozen"):
        params.train.epochs = 3  # type: ignore[misc]  # that is the test


def test_flat_params_have_dotted_names() -> None:
    """Nested values come out under dotted keys, in the order of the file."""
    flat = flatten(load_params(COMMITTED))
    assert flat["optimizer.learning_rate"] == 0.1
    assert flat["data.make_classification.n_samples"] == 1000
    assert "train.epochs" in flatten_fields(type(load_params(COMMITTED)))
