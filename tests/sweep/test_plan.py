"""From `key=values` to configurations and passes."""

from pathlib import Path

import pytest

from softmax_regression.params import Params, load_params, parse_params
from softmax_regression.sweep.plan import Axis, Trial, parse_axis, passes, patch, plan, rounded, rungs, with_seeds

ROOT = Path(__file__).parents[2]
VALIDATION = "data.validation_size=5000"


@pytest.fixture
def base() -> Params:
    """Return the project's own params."""
    return load_params(ROOT / "params.yaml")


def planned(base: Params, *axes: str, samples: int | None = None, seed: int = 0) -> list[Trial]:
    """Return the plan of axes as they are typed."""
    return plan(base, [parse_axis(axis) for axis in axes], samples, seed)


def test_values_are_read_as_numbers_words_and_truths() -> None:
    """A value is what DVC's YAML makes of it: 1e-4 is a number, yes is a word; one given twice counts once."""
    assert parse_axis("a.b=0,1e-4,true,cosine,null,1e-4") == Axis("a.b", (0, 0.0001, True, "cosine", None))
    assert parse_axis("a.b=010,1e-05,yes") == Axis("a.b", (10, 0.00001, "yes"))


@pytest.mark.parametrize("text", ["a.b=[0.1,0.2]", "a.b= [0.1, 0.2] ", "a.b=[0.1, 0.2, 0.1]"])
def test_a_list_may_stand_in_brackets(text: str) -> None:
    """As YAML writes it: the same axis as without them."""
    assert parse_axis(text) == Axis("a.b", (0.1, 0.2))


def test_a_range_is_read() -> None:
    """log(a,b) and uniform(a,b) are ranges, blanks or not."""
    assert parse_axis("a.b=log(1e-3, 1)") == Axis("a.b", range=("log", 0.001, 1.0))
    assert parse_axis("a.b=uniform(0,0.9)") == Axis("a.b", range=("uniform", 0.0, 0.9))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.b", "is no axis; write key=value"),
        ("=1", "is no axis; write key=value"),
        ("a.b=", "is no axis; write key=value"),
        ("a.b=log(0,1)", "a range has two numbers"),
        ("a.b=uniform(1,0)", "a range has two numbers"),
        ("a.b=log(x,1)", "a range has two numbers"),
        ("a.b=uniform(0,.inf)", "a range has two numbers"),
        (f"a.b=uniform(0,{10**400})", "a range has two numbers"),
        ("a.b=[1", "'[1' is not valid YAML"),
        ("a.b=[[1],[2]]", "a value is a number, a word, true, false or null; found [1]"),
        ("a.b={}", "a value is a number, a word, true, false or null; found {}"),
        ("a.b=2024-01-01", "a value is a number, a word, true, false or null; found datetime.date"),
        ("a.b=0.1,,0.2", "a value is missing beside a comma"),
        ("a.b=[]", "a value is missing beside a comma"),
        ("a.b=0.1,\n[", "is not valid YAML"),
    ],
)
def test_what_is_no_axis_is_refused(text: str, message: str) -> None:
    """An axis without key or values, with an impossible range or no plain values is a ValueError of one line."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the text is checked next, all of it
        parse_axis(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_more_trainings_than_can_be_meant_are_refused_at_once(base: Params) -> None:
    """A grid, a draw or seeds beyond 10,000: how many there are, the most, and what to do."""
    rates = "optimizer.learning_rate=" + ",".join(f"0.{n}" for n in range(100, 200))
    decays, momenta = (f"optimizer.{key}=" + rates.partition("=")[2] for key in ("weight_decay", "momentum"))
    with pytest.raises(ValueError, match=r"grid has 1,000,000 configurations, 10,000 are the most; .* add --random n$"):
        planned(base, VALIDATION, rates, decays, momenta)
    assert len(planned(base, VALIDATION, rates, decays, momenta, samples=3)) == 3
    with pytest.raises(ValueError, match="--random 1000000000: 10,000 configurations are the most; lower it"):
        planned(base, VALIDATION, rates, samples=10**9)
    with pytest.raises(ValueError, match=r"100 configurations with 101 seeds each are 10,100 .*lower --seeds$"):
        with_seeds(planned(base, VALIDATION, rates), 101)


def test_a_grid_is_the_product(base: Params) -> None:
    """Every combination occurs once, one value alone sets the key for all, the rest is as in params.yaml."""
    grid = planned(base, VALIDATION, "optimizer.learning_rate=0.1,0.2", "optimizer.momentum=0,0.5,0.9")
    pairs = [(one.params.optimizer.learning_rate, one.params.optimizer.momentum) for one in grid]
    assert pairs == [(0.1, 0), (0.1, 0.5), (0.1, 0.9), (0.2, 0), (0.2, 0.5), (0.2, 0.9)]
    assert {one.params.data.validation_size for one in grid} == {5000}
    assert {one.params.train for one in grid} == {base.train}


def test_random_draws_repeat_with_their_seed(base: Params) -> None:
    """The same seed draws the same, all different, inside the range and of three digits; another seed others."""
    axes = (VALIDATION, "optimizer.learning_rate=log(0.01,1)", "optimizer.weight_decay=0,1e-4")
    first, again, other = (planned(base, *axes, samples=20, seed=seed) for seed in (1, 1, 2))
    rates = [one.params.optimizer.learning_rate for one in first]
    assert first == again
    assert first != other
    assert len({repr(one.changes) for one in first}) == 20
    assert all(0.01 <= rate <= 1 and rate == float(f"{rate:.3g}") for rate in rates)
    assert {one.params.optimizer.weight_decay for one in first} == {0, 1e-4}
    fewer = planned(base, *axes[:2], samples=20, seed=1)
    assert [one.params.optimizer.learning_rate for one in fewer] == rates  # whatever is drawn beside them


@pytest.mark.parametrize(
    ("axes", "samples", "message"),
    [
        (["optimizer.learning_rate=0.1"], None, "add data.validation_size=5000"),
        ([VALIDATION, "optimizer.learning_rat=0.1"], None, "did you mean optimizer.learning_rate"),
        ([VALIDATION, "optimizer.learning_rate=-1"], None, "optimizer.learning_rate"),
        ([VALIDATION, "optimizer.learning_rate.x=1"], None, "learning_rate has no keys of its own"),
        ([VALIDATION, "optimizer.learning_rate=log(0.1,1)"], None, "add --random"),
        ([VALIDATION, "train.seed=1,2"], None, "--seeds"),
        ([VALIDATION, "data.name=mnist,kmnist"], None, "cannot vary"),
        ([VALIDATION, "train.epochs=1", "train.epochs=2"], None, "given twice"),
        ([VALIDATION, "model.implementation=scratch"], None, "model.implementation exact, found scratch; add"),
        ([VALIDATION, "train.solver=lbfgs"], None, "train.solver sgd, found lbfgs; add train.solver=sgd"),
        ([VALIDATION, "optimizer.momentum=0,0.9"], 3, "--random 3: found 2 distinct configurations"),
        ([VALIDATION, "optimizer.momentum=0,0.9"], 0, "ask for 1 to"),
    ],
)
def test_a_mistake_is_refused(base: Params, axes: list[str], samples: int | None, message: str) -> None:
    """A plan that cannot be trained or compared is a ValueError that says what to change."""
    with pytest.raises(ValueError, match=message):
        planned(base, *axes, samples=samples)


def test_passes_hold_what_shares_its_batches(base: Params) -> None:
    """Another batch size, epochs, seed or bias is another pass; rates, decays, momenta, schedules, scales share one."""
    shared = planned(
        base,
        VALIDATION,
        "optimizer.learning_rate=0.1,0.2",
        "optimizer.schedule=constant,cosine",
        "model.init_std=0,0.01",
    )
    assert [len(group) for group in passes(shared, 64)] == [8]
    assert [len(group) for group in passes(shared, 3)] == [3, 3, 2]
    for axis in ("train.batch_size=128,256", "train.epochs=5,10", "model.bias=true,false"):
        assert [len(group) for group in passes(planned(base, VALIDATION, axis, "optimizer.momentum=0,0.9"), 64)] == [
            2,
            2,
        ]
    assert [len(group) for group in passes(with_seeds(shared, 3), 64)] == [8, 8, 8]


def test_seeds_count_up_and_leave_the_changes(base: Params) -> None:
    """Seeds are params.yaml's and the next ones; a configuration's changes are those of its axes."""
    seeded = with_seeds(planned(base, VALIDATION, "optimizer.momentum=0,0.9"), 2)
    assert [one.params.train.seed for one in seeded] == [0, 0, 1, 1]
    assert {key for one in seeded for key in one.changes} == {"data.validation_size", "optimizer.momentum"}
    with pytest.raises(ValueError, match="--seeds"):
        with_seeds(seeded, 0)


def test_a_patch_is_nested_as_params_yaml(base: Params) -> None:
    """Dotted keys become sections, and params.yaml with them is what was trained."""
    (one,) = planned(base, VALIDATION, "optimizer.momentum=0.9", "train.epochs=3", "optimizer.nesterov=true")
    nested = patch(one.changes)
    assert nested == {
        "data": {"validation_size": 5000},
        "optimizer": {"momentum": 0.9, "nesterov": True},
        "train": {"epochs": 3},
    }
    assert parse_params(patch(one.changes, base.model_dump())) == one.params


def test_rungs_are_a_quarter_and_a_half() -> None:
    """Of 20 epochs after 5 and 10; where there are too few epochs, fewer."""
    assert [rungs(epochs) for epochs in (20, 7, 3, 2, 1)] == [[5, 10], [1, 3], [1], [1], []]


def test_drawn_numbers_have_three_digits() -> None:
    """By the digits that count, whatever the size."""
    assert [rounded(number) for number in (0.0123456, 123456.0, 0.5)] == [0.0123, 123000.0, 0.5]
