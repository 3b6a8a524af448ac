"""params.yaml: what is accepted, and the one line that refuses the rest."""

from pathlib import Path
from typing import Any

import pytest

from softmax_regression.files import read_yaml
from softmax_regression.params import Params, flatten, load_params, parse_params

COMMITTED = Path(__file__).parents[1] / "params.yaml"


def edited(key: str, value: object) -> dict[str, Any]:
    """Return the committed params with one dotted key set to `value`."""
    content: dict[str, Any] = read_yaml(COMMITTED.read_text(), "params.yaml")
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
    ("key", "value", "message"),
    [
        ("optimizer.learning_rte", 0.1, "unknown key optimizer.learning_rte; did you mean optimizer.learning_rate?"),
        ("optimzer", {}, "unknown key optimzer; did you mean optimizer?"),
        ("a\nb", 1, "unknown key a b; known there: data, download"),
        ("zzz", 1, "unknown key zzz; known there: data, download, model, optimizer, train, evaluate, predict, "
         "registry"),
        ("train.epochs", 1.5, "train.epochs: input should be a valid integer; found 1.5"),
        ("train.epochs", True, "train.epochs: input should be a valid integer; found True"),
        ("train.epochs", 10**4000, "train.epochs: input should be less than 2147483648; found 1000"),
        ("train.epochs", 0, "train.epochs: input should be greater than 0; found 0"),
        ("optimizer.momentum", 1.0, "optimizer.momentum: input should be less than 1; found 1.0"),
        ("optimizer.learning_rate", float("nan"), "optimizer.learning_rate: input should be a finite number"),
        ("optimizer.learning_rate", "1e-3", "optimizer.learning_rate: input should be a valid number; found '1e-3', "
         "which is text; write it without quotes"),
        ("train.epochs", "10", "train.epochs: input should be a valid integer; found '10', which is text; write it"),
        ("optimizer.learning_rate", "fast", "optimizer.learning_rate: input should be a valid number; found 'fast'"),
        ("optimizer.nesterov", True, "nesterov is true but momentum is 0"),
        ("optimizer.nesterov", "yes", "optimizer.nesterov: input should be a valid boolean; found 'yes'"),
        (
            "model.implementation",
            "torch",
            "model.implementation: input should be 'exact', 'scratch', 'textbook' or 'library'",
        ),
        ("download.sources", ["folder"], "download.sources: input should be a valid dictionary; found ['folder']"),
        ("download.timeout", 0, "download.timeout: input should be greater than 0; found 0"),
        ("data.sources", {}, "unknown key data.sources; did you mean download.sources?"),
        ("download.make_classification.n_classes", 1, "n_classes: input should be greater than or equal to 2; found 1"),
        ("download.make_classification.n_classes", 257, "n_classes: input should be less than or equal to 256; found "),
        ("evaluate.on_failed_check", "warn", "on_failed_check: input should be 'record' or 'stop'; found 'warn'"),
        ("predict.count", 65, "predict.count: input should be less than or equal to 64; found 65"),
        ("registry.model", "a/b", "registry.model: expected up to 100 letters, digits, '.', '_' and '-', the first a "
         "letter or a digit; found 'a/b'"),
        ("registry.model", "..", "registry.model: expected up to 100 letters"),
        ("registry.model", "a" * 101, "registry.model: expected up to 100 letters"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_its_dotted_key(key: str, value: object, message: str) -> None:
    """One line names the dotted key, what was found and what to do."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the text is checked next, all of it
        parse_params(edited(key, value))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_missing_key_is_named() -> None:
    """No value has a default in code: a key that is not there is an error."""
    content = edited("train.seed", 0)
    del content["train"]["seed"]
    with pytest.raises(ValueError, match=r"missing key train\.seed"):
        parse_params(content)


def test_a_missing_section_is_named() -> None:
    """A params.yaml of an earlier version, without the section download, says what to add."""
    content = edited("train.seed", 0)
    del content["download"]
    with pytest.raises(ValueError, match="missing key download; add it"):
        parse_params(content)


def test_all_mistakes_are_reported_at_once() -> None:
    """A person corrects everything in one go."""
    content = edited("train.epochs", 0)
    content["optimizer"]["momentum"] = -1.0
    with pytest.raises(ValueError, match=r"optimizer\.momentum.*train\.epochs"):
        parse_params(content)


@pytest.mark.parametrize("text", ["1e-3", "5e-1", "1e5", "2.5e+3", "1e-7", "1e-05", "1.0e-3", "3"])
def test_a_number_as_people_and_dvc_write_it_is_read(text: str, tmp_path: Path) -> None:
    """With exponents and without a point, as people write it, or as `dvc exp run -S` does: always a number."""
    path = tmp_path / "params.yaml"
    path.write_text(COMMITTED.read_text().replace("weight_decay: 0.0", f"weight_decay: {text}"))
    assert load_params(path).optimizer.weight_decay == float(text)


def test_a_number_without_an_end_is_refused(tmp_path: Path) -> None:
    """Python itself writes no whole number of so many digits into a message."""
    path = tmp_path / "params.yaml"
    path.write_text(COMMITTED.read_text().replace("epochs: 10", f"epochs: 0x{'f' * 9000}"))
    with pytest.raises(ValueError, match=r"train\.epochs: .* less than 2147483648; found a whole number of thousands"):
        load_params(path)


@pytest.mark.parametrize("text", ["'1e-3'", '"0.001"'])
def test_a_quoted_number_is_refused(text: str, tmp_path: Path) -> None:
    """Quotes make text of a number; the error says to leave them out."""
    path = tmp_path / "params.yaml"
    path.write_text(COMMITTED.read_text().replace("weight_decay: 0.0", f"weight_decay: {text}"))
    with pytest.raises(ValueError, match=r"optimizer\.weight_decay: .* which is text; write it without quotes"):
        load_params(path)


def test_yes_is_no_truth_value(tmp_path: Path) -> None:
    """`yes` is text to DVC and so to us; true and false are what is meant."""
    path = tmp_path / "params.yaml"
    path.write_text(COMMITTED.read_text().replace("bias: true", "bias: yes"))
    with pytest.raises(ValueError, match=r"model\.bias: input should be a valid boolean; found 'yes'"):
        load_params(path)


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    """Neither value is taken without a word; the error names the file, the line and the key."""
    path = tmp_path / "params.yaml"
    path.write_text(COMMITTED.read_text() + "\npredict:\n  count: 9\n")
    line = len(COMMITTED.read_text().splitlines()) + 2
    message = rf'params\.yaml is not valid YAML in line {line}: found duplicate key "predict".*; correct it$'
    with pytest.raises(ValueError, match=message) as caught:
        load_params(path)
    assert "\n" not in str(caught.value)


def test_broken_yaml_and_no_file_are_errors(tmp_path: Path) -> None:
    """A file that is no YAML, no mapping, or not there is one clear error each."""
    path = tmp_path / "params.yaml"
    with pytest.raises(FileNotFoundError, match="run from the project's root"):
        load_params(path)
    path.write_text("data: [")
    with pytest.raises(ValueError, match="not valid YAML"):
        load_params(path)
    path.write_bytes(COMMITTED.read_bytes().decode().encode("utf-16"))
    with pytest.raises(ValueError, match=r"params\.yaml is no UTF-8 text"):
        load_params(path)
    path.write_text("just text")
    with pytest.raises(ValueError, match="must hold the sections data, download, model"):
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
    assert flat["download.make_classification.n_samples"] == 1000
    assert list(dict.fromkeys(key.partition(".")[0] for key in flat)) == list(Params.model_fields)


@pytest.mark.parametrize("source", ["https://ann:open-sesame@mirror/data", "https://mirror/data?sig=open-sesame"])
@pytest.mark.parametrize("name", ["fashion_mnist", "another"])
def test_a_source_with_credentials_is_refused_unseen(name: str, source: str) -> None:
    """DVC writes all sources into dvc.lock, also those of other data sets: none may hold a password. netrc holds it."""
    sources = {name: ["../here", source]}
    with pytest.raises(
        ValueError, match=rf"download\.sources\.{name}\.1: .* would reach dvc\.lock .* ~/\.netrc"
    ) as caught:
        parse_params(edited("download.sources", sources))
    assert "sesame" not in str(caught.value)
