"""What makes an experiment, and the keys that stand for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from softmax_regression.artifacts.experiment import (
    Experiment,
    code_digests,
    describe,
    experiment_name,
    read_experiment,
)
from softmax_regression.files import md5_of
from softmax_regression.params import flatten, load_params

ROOT = Path(__file__).parents[2]
EXPERIMENT = Experiment(params={"b": 1, "a": 0.1}, data={"train-images": "00"}, code={"x.py": "11"}, model="22")


def test_the_file_keeps_the_experiment(tmp_path: Path) -> None:
    """What is written is read back equal, and equal experiments are equal bytes whatever the order of keys."""
    path = tmp_path / "experiment.json"
    path.write_text(EXPERIMENT.to_json())
    assert read_experiment(path) == EXPERIMENT
    assert replace(EXPERIMENT, params={"a": 0.1, "b": 1}).to_json() == EXPERIMENT.to_json()


@pytest.mark.parametrize("change", [{"params": {"a": 2}}, {"data": {}}, {"code": {"x.py": "12"}}])
def test_params_data_and_code_make_the_configuration(change: dict[str, dict[str, object]]) -> None:
    """Changing any of the three changes both keys."""
    other = replace(EXPERIMENT, **change)  # type: ignore[arg-type]  # one field of three
    assert other.config_key != EXPERIMENT.config_key
    assert other.key != EXPERIMENT.key


def test_the_weights_change_the_key_but_not_the_configuration() -> None:
    """The configuration is known before the training, the key after it."""
    other = replace(EXPERIMENT, model="33")
    assert other.config_key == EXPERIMENT.config_key
    assert other.key != EXPERIMENT.key


def test_an_experiment_is_its_params_data_and_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """All training params under dotted keys, made data's settings too, but not whether it was resumed."""
    monkeypatch.chdir(ROOT)
    params = load_params(ROOT / "params.yaml")
    report = {"files": {"train-images": {"sha256": "00"}}, "settings": {"make_classification.n_samples": 9}}
    experiment = describe({"name": "made"}, params.model, params.optimizer, params.train, report)
    assert experiment.params["data.name"] == "made"
    assert experiment.params["data.make_classification.n_samples"] == 9
    assert experiment.params["train.seed"] == params.train.seed
    assert "train.resume" not in experiment.params
    assert experiment.data == {"train-images": "00"}
    assert "pipeline/train.py" in experiment.code


def test_code_digests_are_those_of_dvc() -> None:
    """Each code file that dvc.yaml declares for the stage is there with its MD5."""
    digests = code_digests("train", ROOT)
    assert digests["pipeline/train.py"] == md5_of(ROOT / "pipeline/train.py")
    assert all(path.endswith(".py") for path in digests)


def test_no_or_broken_experiment_says_what_to_run(tmp_path: Path) -> None:
    """A missing or foreign file is one line with the command that makes it."""
    path = tmp_path / "experiment.json"
    with pytest.raises(FileNotFoundError, match="dvc repro train"):
        read_experiment(path)
    path.write_text('{"other": 1}')
    with pytest.raises(ValueError, match="is no experiment"):
        read_experiment(path)


def test_names_show_what_departs_from_the_plain_recipe() -> None:
    """The data set, rate, batch size, epochs and seed always; momentum and its like only where they are on."""
    flat = flatten(load_params(ROOT / "params.yaml"))
    assert experiment_name(flat) == "fashion_mnist lr0.1 b256 e10 s0"
    changed = flat | {"optimizer.momentum": 0.9, "optimizer.nesterov": True, "optimizer.schedule": "cosine"}
    assert experiment_name(changed) == "fashion_mnist lr0.1 b256 m0.9 nesterov cosine e10 s0"
    assert experiment_name(flat | {"train.solver": "full_batch_numpy"}) == "fashion_mnist full-batch lr0.1 e10 s0"
