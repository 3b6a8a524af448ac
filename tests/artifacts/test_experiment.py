"""What makes an experiment, and the keys that stand for it."""

import hashlib
import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scratch_project import PARAMS

from softmax_regression.artifacts.experiment import (
    HOW,
    Experiment,
    describe,
    experiment_name,
    parse_experiment,
    read_experiment,
)
from softmax_regression.params import Params, flatten, load_params

ROOT = Path(__file__).parents[2]
EXPERIMENT = Experiment(params=PARAMS, data={"train-images": "00"}, model="22")
# An experiment.json as it was written before version 0.2: with the digests of the code, made data under "data".
OLD = """{
  "code": {
    "pipeline/train.py": "1f"
  },
  "data": {
    "train-images": "00"
  },
  "model": "22",
  "params": {
    "data.make_classification.n_samples": 9,
    "data.name": "make_classification",
    "train.seed": 3
  }
}
"""


@pytest.fixture
def params() -> Params:
    """Return the project's own params."""
    return load_params(ROOT / "params.yaml")


def described(params: Params, report: dict[str, Any]) -> Experiment:
    """Describe the experiment that these params make of the data of `report`, which are as they were."""
    return describe(params.data, params.model, params.optimizer, params.train, {"standardise": None, **report})


def test_the_file_keeps_the_experiment(tmp_path: Path) -> None:
    """What is written is read back equal, and equal experiments are equal bytes whatever the order of keys."""
    path = tmp_path / "experiment.json"
    path.write_text(EXPERIMENT.to_json())
    assert read_experiment(path) == EXPERIMENT
    assert replace(EXPERIMENT, params=dict(reversed(PARAMS.items()))).to_json() == EXPERIMENT.to_json()


@pytest.mark.parametrize("change", [{"params": {"a": 2}}, {"data": {}}, {"model": "33"}])
def test_params_data_and_weights_make_the_key(change: dict[str, Any]) -> None:
    """Changing any of the three changes the key, which is 16 digits of the file's SHA-256."""
    assert replace(EXPERIMENT, **change).key != EXPERIMENT.key
    assert EXPERIMENT.key == hashlib.sha256(EXPERIMENT.to_json().encode()).hexdigest()[:16]


def test_the_key_holds_no_code(params: Params) -> None:
    """experiment.json names params, data and weights, and nothing of who wrote them down."""
    experiment = replace(described(params, {"files": {"train-images": {"sha256": "00"}}, "scale": 255}), model="22")
    assert set(json.loads(experiment.to_json())) == {"params", "data", "model"}
    assert not [word for word in (".py", "src", "pipeline") if word in experiment.to_json()]


def test_an_old_experiment_keeps_its_key() -> None:
    """Runs recorded before version 0.2 are found by the key they had: the digest of the whole text, code included."""
    old = parse_experiment(OLD, "experiment.json")
    assert old.code == {"pipeline/train.py": "1f"}
    assert old.key == hashlib.sha256(OLD.encode()).hexdigest()[:16]
    assert replace(old, code={}).key != old.key


def test_an_old_experiment_has_the_configuration_of_the_same_one_today() -> None:
    """Neither code nor the name that a param had then keeps an old run from being compared with today's seeds."""
    today = Experiment(
        params={
            "data.name": "make_classification",
            "download.make_classification.n_samples": 9,
            "train.seed": 0,
        },
        data={"train-images": "00"},
        model="44",
    )
    assert parse_experiment(OLD, "experiment.json").configuration == today.configuration


def test_seeds_of_one_configuration_share_it() -> None:
    """Another seed, and so other weights, is the same configuration; another param or data set is not."""
    one = Experiment(params={"a": 1, "train.seed": 0}, data={"train-images": "00"}, model="22")
    assert replace(one, params={"a": 1, "train.seed": 7}, model="33").configuration == one.configuration
    assert replace(one, params={"a": 2, "train.seed": 0}).configuration != one.configuration
    assert replace(one, data={"train-images": "01"}).configuration != one.configuration


def with_implementation(params: Params, name: str) -> Params:
    """Return the params with another implementation."""
    return params.model_copy(update={"model": params.model.model_copy(update={"implementation": name})})


@pytest.mark.parametrize("solver", ["lbfgs", "full_batch_numpy"])
def test_the_implementation_is_part_of_trainings_by_sgd_alone(params: Params, solver: str) -> None:
    """Other solvers do not use it: whichever is set, the experiment is one, and it promises no exact sums."""
    solved = params.model_copy(update={"train": params.train.model_copy(update={"solver": solver})})
    report = {"files": {"train-images": {"sha256": "00"}}, "scale": 255}
    found = [described(with_implementation(solved, name), report) for name in ("exact", "scratch")]
    assert found[0] == found[1]
    assert "model.implementation" not in found[0].params
    assert "train.device" in found[0].params


@pytest.mark.parametrize("implementation", ["exact", "scratch", "textbook", "library"])
def test_an_experiment_is_its_params_and_data(params: Params, implementation: str) -> None:
    """All training params under dotted keys, made data's settings too, but not how it was carried out.

    Nor the device, where the sums are exact: the bits are the same on every one.
    """
    params = with_implementation(params, implementation)
    report = {
        "files": {"train-images": {"sha256": "00"}},
        "scale": 255,
        "settings": {"download.make_classification.n_samples": 9},
    }
    experiment = described(params, report)
    sections = {name: getattr(params, name) for name in ("data", "model", "optimizer", "train")}
    wanted = {f"{name}.{key}" for name, section in sections.items() for key in type(section).model_fields}
    left_out = set(HOW) | ({"train.device"} if implementation == "exact" else set())
    assert set(experiment.params) == wanted - left_out | {"download.make_classification.n_samples"}
    assert experiment.params["download.make_classification.n_samples"] == 9
    assert experiment.params["train.seed"] == params.train.seed
    assert experiment.data == {"train-images": "00"}
    assert experiment.model == ""


def test_the_scales_of_packed_features_are_data(params: Params) -> None:
    """The same integers with other scales are other features, and so another experiment; pixels have no such entry."""
    files = {"train-images": {"sha256": "00"}}
    one, other, pixels = (
        described(params, {"files": files, "scale": scale}) for scale in ([1.0, 2.0], [1.0, 4.0], 255)
    )
    assert set(one.data) == set(other.data) == {"train-images", "scale"}
    assert one.key != other.key
    assert one.key == described(params, {"files": files, "scale": [1.0, 2.0]}).key
    assert pixels.data == {"train-images": "00"}


def test_exact_trainings_of_all_devices_are_one_experiment(params: Params) -> None:
    """The key of exact sums is the same for each device; that of sums in float32 is not."""
    keys: dict[str, set[str]] = {"exact": set(), "scratch": set()}
    for name, found in keys.items():
        for device in ("cpu", "cuda"):
            chosen = with_implementation(params, name)
            train = chosen.train.model_copy(update={"device": device})
            found.add(described(chosen.model_copy(update={"train": train}), {"files": {}, "scale": 1}).key)
    assert (len(keys["exact"]), len(keys["scratch"])) == (1, 2)


def test_no_or_broken_experiment_says_what_to_run(tmp_path: Path) -> None:
    """A missing or foreign file is one line with the command that makes it."""
    path = tmp_path / "experiment.json"
    with pytest.raises(FileNotFoundError, match="dvc repro train"):
        read_experiment(path)
    whole = json.loads(EXPERIMENT.to_json())
    damaged = [{"params": [1]}, {"data": None}, {"data": {"train-images": 1}}, {"model": 3}, {"code": "a"}]
    damaged += [{"params": PARAMS | {"optimizer.learning_rate": rate}} for rate in ("fast", None)]
    damaged += [{"params": {key: value for key, value in PARAMS.items() if key != "train.seed"}}]
    texts = ["", '{"other": 1}', "{", "[1]", "null", "[" * 10**5, '{"params": {}}']
    for text in (*texts, *(json.dumps(whole | change) for change in damaged)):
        path.write_text(text)
        message = r"experiment\.json is no experiment\.json: .*; run `dvc repro -f train`$"
        with pytest.raises(ValueError, match=message) as caught:
            read_experiment(path)
        assert "\n" not in str(caught.value)
    path.write_bytes(EXPERIMENT.to_json().encode("utf-16"))
    with pytest.raises(ValueError, match=r"experiment\.json is no UTF-8 text"):
        read_experiment(path)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "lr0.1_s0"),
        ({"data.name": "digits", "train.epochs": 3, "train.seed": 7}, "digits_lr0.1_e3_s7"),
        ({"optimizer.learning_rate": 5.0}, "lr5_s0"),
        ({"optimizer.learning_rate": 1e-5, "train.batch_size": 64}, "lr1e-05_b64_s0"),
        ({"optimizer.momentum": 0.9, "optimizer.nesterov": True}, "lr0.1_m0.9_nesterov_s0"),
        ({"optimizer.schedule": "step", "optimizer.step_factor": 0.5}, "lr0.1_step_by0.5_s0"),
        ({"data.resize": 14, "data.validation_size": 5000}, "size14_val5000_lr0.1_s0"),
        ({"model.init_std": 0.0, "model.bias": False}, "lr0.1_init0_nobias_s0"),
        ({"train.solver": "full_batch_numpy"}, "full_batch_numpy_lr0.1_s0"),
        ({"train.solver": "lbfgs", "train.epochs": 500}, "lbfgs_e500_s0"),
        ({"train.solver": "lbfgs", "optimizer.learning_rate": 0.2}, "lbfgs_lr0.2_s0"),
    ],
)
def test_names_say_what_departs_from_the_books_recipe(params: Params, changes: dict[str, Any], name: str) -> None:
    """The rate and the seed always, all else only where the book has another value; no word need be quoted."""
    experiment = described(params, {"files": {}, "scale": 255})
    assert experiment_name({**experiment.params, **changes}) == name
    assert shlex.quote(name) == name


def test_the_recipe_of_the_names_is_that_of_params_yaml(params: Params) -> None:
    """Of params.yaml as it is committed a name says nothing but rate and seed."""
    assert experiment_name(flatten(params)) == "lr0.1_s0"


def test_configurations_that_differ_have_different_names(params: Params) -> None:
    """Each param of an experiment, set to another value, makes another name; so does the last bit of a rate."""
    flat = {key: value for key, value in flatten(with_implementation(params, "scratch")).items() if key not in HOW}
    flat = {key: value for key, value in flat.items() if key.split(".")[0] in ("data", "model", "optimizer", "train")}
    others = {int: 12, float: 0.123, type(None): 28}
    changed: list[dict[str, Any]] = [
        {key: not value if isinstance(value, bool) else others.get(type(value), key)} for key, value in flat.items()
    ]
    changed += [{}, {"optimizer.learning_rate": 0.123 + 2**-56}]
    names = [experiment_name(flat | change) for change in changed]
    assert len(names) == len(set(names)) == len(flat) + 2, names


def test_standardised_features_are_data(params: Params) -> None:
    """The same integers, standardised in another way, stand for other features, and so make another experiment."""
    one, other = (
        described(params, {"files": {}, "scale": [1.0], "standardise": {"mean": [mean], "deviation": [1.0]}})
        for mean in (0.0, 1.0)
    )
    assert set(one.data) == {"scale", "standardise"}
    assert one.key != other.key


@pytest.mark.parametrize("name", ["scratch", "textbook", "library"])
def test_names_show_an_implementation_other_than_exact(params: Params, name: str) -> None:
    """Exact sums are not named; the others are, where they train: other solvers have none."""
    report: dict[str, Any] = {"files": {}, "scale": 255}
    chosen = with_implementation(params, name)
    assert experiment_name(described(chosen, report).params) == f"{name}_lr0.1_s0"
    solved = chosen.model_copy(update={"train": chosen.train.model_copy(update={"solver": "lbfgs"})})
    assert experiment_name(described(solved, report).params) == "lbfgs_s0"
