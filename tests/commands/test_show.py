"""What a run is, and how to get its state of the project back."""

from __future__ import annotations

import getpass
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from filled_project import LABELS, RATE_05, SEED_3, add_old_run, add_run, filled_project
from scratch_project import commit

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.commands.show import difference, show, way_back
from softmax_regression.comparing.compare import compare
from softmax_regression.comparing.leaderboard import leaderboard
from softmax_regression.tracking.record import RunRecord
from softmax_regression.tracking.run_store import RunStore

RECORD = RunRecord(
    run_id="ab" * 16,
    name="digits",
    status="FINISHED",
    start_time=0,
    end_time=1000,
    params={"train.seed": "0", "data.resize": "none", "optimizer.learning_rate": "0.1", "train.solver": "sgd"},
    metrics={},
    tags={},
)
PARAMS = "train: {seed: 0, solver: sgd}\ndata: {resize: null}\noptimizer: {learning_rate: 0.1}\n"


@pytest.fixture
def first(tmp_path: Path) -> str:
    """Commit a params.yaml, which is edited afterwards; return the commit."""
    (tmp_path / "params.yaml").write_text(PARAMS)
    first = commit(tmp_path)
    (tmp_path / "params.yaml").write_text("train: {seed: 5}\n")
    return first


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with runs."""
    return filled_project(tmp_path_factory.mktemp("show"))


def lines_of(text: str) -> list[str]:
    """Return the commands of a way back."""
    return [line.strip() for line in text.splitlines()[1:]]


def facts_of(text: str) -> dict[str, str]:
    """Return what `show` says of a run, by the first word of the line."""
    return {line[2:17].strip(): line[17:] for line in text.partition("\n\n")[0].splitlines()[1:]}


def test_a_plain_run_is_its_commit(tmp_path: Path, first: str) -> None:
    """With the commit's own params and code there is nothing to set and nothing to apply."""
    text = way_back(tmp_path, replace(RECORD, tags={"git.commit": first}), None, dirty=False)
    assert lines_of(text) == [f"git checkout {first}", "dvc repro"]


def test_only_params_that_differ_are_set(tmp_path: Path, first: str) -> None:
    """Numbers, null and words come as `-S` takes them; a dirty tree's difference is applied."""
    params = {**RECORD.params, "optimizer.learning_rate": "0.5", "train.seed": "7"}
    record = replace(RECORD, tags={"git.commit": first}, params=params)
    assert lines_of(way_back(tmp_path, record, None, dirty=True)) == [
        f"softmax-regression show {RECORD.run_id} --diff > code.diff",
        f"git checkout {first}",
        "git apply code.diff",
        "dvc exp run -S optimizer.learning_rate=0.5 -S train.seed=7",
    ]


def test_the_values_of_experiment_json_are_exact(tmp_path: Path, first: str) -> None:
    """They keep their types, which a run's params lose: 1e-05 is a number, and what params.yaml lacks is not set."""
    own = {"train.seed": 0, "data.resize": 14, "optimizer.learning_rate": 1e-05, "train.solver": "sgd", "new.key": 1}
    text = way_back(tmp_path, replace(RECORD, tags={"git.commit": first}), Experiment(own, {}), dirty=False)
    assert lines_of(text)[-1] == "dvc exp run -S data.resize=14 -S optimizer.learning_rate=1e-05"


def test_an_unknown_commit_is_said(tmp_path: Path, first: str) -> None:
    """Without a commit, or with one that this repository lacks, no command is made up."""
    assert "not known" in way_back(tmp_path, replace(RECORD, tags={"git.commit": "none"}), None, dirty=False)
    elsewhere = replace(RECORD, tags={"git.commit": "0" * 40})
    assert "git fetch" in way_back(tmp_path, elsewhere, None, dirty=False)


@pytest.mark.parametrize(
    "commit", ["--output={}", "HEAD", "$(touch {})", "{0} && touch {0}", "0123", "../{}", "", "a\nb"]
)
def test_a_tag_that_is_no_commit_reaches_neither_git_nor_a_command(tmp_path: Path, first: str, commit: str) -> None:
    """Tags are other people's: an option of git's, a word for a commit and a piece of shell are as good as nothing."""
    before = set(tmp_path.iterdir())
    record = replace(RECORD, tags={"git.commit": commit.format(tmp_path / "made")})
    assert way_back(tmp_path, record, None, dirty=False) == "The commit that it came of is not known."
    assert set(tmp_path.iterdir()) == before


HOSTILE = ("x; touch made", "$(touch made)", "`touch made`", "'; touch made; '", "a\ntouch made", "-rf", "{", "&x", "")


@pytest.mark.parametrize("value", HOSTILE)
def test_a_param_of_a_store_is_one_word_of_a_command(tmp_path: Path, first: str, value: str) -> None:
    """Whatever the value, a shell that is given the printed line reads it as one argument, and runs nothing."""
    record = replace(RECORD, tags={"git.commit": first}, params={**RECORD.params, "train.solver": value})
    command = way_back(tmp_path, record, None, dirty=False).partition(first)[2].strip()
    arguments = shlex.split(command)
    assert arguments[:3] == ["dvc", "exp", "run"]
    assert [word for word in arguments[3:] if word != "-S"] == [f"train.solver={value}"]


def test_what_a_store_says_is_shown_on_its_own_line(tmp_path: Path) -> None:
    """A line end in a name or a tag makes no line that looks like one of ours."""
    root = filled_project(tmp_path)
    store = RunStore.open(root)
    run = store.start_run("odd\n  metrics   1.0", "c", {}, {"platform": "x\n  commit   0123", "git.commit": "-x\ny"})
    assert run.finish(key="k1")
    text = show(root, run.run_id)
    assert text.startswith(r"odd\n  metrics   1.0 (")
    assert facts_of(text)["machine"] == r"x\n  commit   0123"
    assert len(text.partition("\n\n")[0].splitlines()) == len(facts_of(text)) + 1


def test_a_run_is_described(root: Path) -> None:
    """Name and state, then a line a fact; nothing is said of what is not known."""
    text = show(root, RATE_05)
    run = next(run for run in RunStore.open(root).runs() if run.name == RATE_05)
    assert text.startswith(f"{RATE_05} ({run.run_id[:8]}, live)\n")
    facts = facts_of(text)
    assert facts["run"] == run.run_id
    assert facts["experiment"] == f"{run.key} (configuration {run.config_key}, attempt 1)"
    assert facts["DVC experiment"] == "wavy-cats"
    assert facts["data"] == "test-images d1, train-images d1"
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d UTC, \d+ s", facts["started"])
    assert facts["by"] == getpass.getuser()
    assert "test_accuracy 0.9600, " in facts["metrics"]
    assert facts["page"] == RunStore.open(root).run_link(run.run_id)
    assert {"reproduced", "repetition of", "restored", "machine", "model"}.isdisjoint(facts)
    assert text.endswith("The commit that it came of is not known.")


def test_the_workspaces_run_is_shown_where_none_is_named(root: Path) -> None:
    """Without a word the run of the outputs in the working folder is meant."""
    assert show(root).startswith("small_lr0.1_b10_e3_s1 (")
    assert show(root) == show(root, "workspace")


def test_repetitions_name_each_other(tmp_path: Path) -> None:
    """The first says how often it was reproduced, the repetition whose it is."""
    root = filled_project(tmp_path)
    store = RunStore.open(root)
    first = next(run for run in store.runs() if run.name == SEED_3)
    add_run(store, range(90), train__seed=3)
    assert facts_of(show(root, SEED_3))["reproduced"].startswith("1 time, last on 20")
    again = show(root, f"{SEED_3}#2")
    assert ", a repetition)\n" in again
    assert facts_of(again)["repetition of"] == first.run_id


def test_the_difference_of_the_code_is_printed_as_it_is(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 come back as they went; a run of clean code has no difference."""
    root = filled_project(tmp_path)
    store = RunStore.open(root)
    run = store.start_run("dirty", "c", {})
    run.log_bytes(b"+caf\xe9\n", "code.diff")
    assert run.finish(key="k1")
    assert difference(root, "dirty") == b"+caf\xe9\n"
    assert difference(root, RATE_05) == b""


@pytest.mark.parametrize("named_by", [lambda run: run.name, lambda run: run.run_id[:8], lambda run: run.key])
def test_a_run_of_version_0_1_is_shown(tmp_path: Path, named_by: Callable[[RunRecord], str]) -> None:
    """Its experiment.json has a mapping of code, its params keys that moved since: it is described like any other."""
    root = filled_project(tmp_path)
    key = add_old_run(RunStore.open(root), range(30), train__seed=7)
    run = next(run for run in RunStore.open(root).runs() if run.key == key)
    facts = facts_of(show(root, named_by(run)))
    assert facts["experiment"].startswith(f"{key} (configuration {run.config_key}, ")
    assert facts["data"] == "test-images d1, train-images d1"
    assert f"test_accuracy {1 - 30 / len(LABELS):.4f}" in facts["metrics"]


def test_seeds_of_version_0_1_stand_beside_new_ones(tmp_path: Path) -> None:
    """A seed that the code before recorded is another seed of the same configuration: shown, ranked and compared so."""
    root = filled_project(tmp_path)
    store = RunStore.open(root)
    samples = 1000  # a param that had another name then
    add_run(
        store, range(30), train__seed=4, optimizer__learning_rate=0.7, download__make_classification__n_samples=samples
    )
    key = add_old_run(store, range(60), train__seed=5, optimizer__learning_rate=0.7)
    old, new = (f"small_lr0.7_b10_e3_s{seed}" for seed in (5, 4))
    assert key in show(root, old)
    board = leaderboard(store, "final/test_accuracy", top=20)
    (row,) = [row for row in board.rankings["small"].rows if "lr0.7" in row.name]
    assert row.seeds == ("4", "5")
    assert row.mean == pytest.approx(0.85)  # 0.9 and 0.8
    found = compare(store, root, [new, RATE_05])
    assert found.configurations[0].seeds == ("4", "5")
    assert len(compare(store, root, [new, old]).configurations) == 1
