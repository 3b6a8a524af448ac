"""A word for a run means the same everywhere; best never looks at the test set; a wrong word is one clear error."""

from __future__ import annotations

import re
import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from filled_project import (
    NOT_EVALUATED,
    OTHER_DATA,
    RATE_01,
    RATE_05,
    RATE_09,
    add_old_run,
    add_run,
    filled_project,
)
from many_runs import SEEDS, counted
from scratch_project import ROOT, commit, git, write_lock

from softmax_regression.lineage.naming import find_record, resolve, resolve_all, state_named
from softmax_regression.lineage.states import State, at
from softmax_regression.params import load_params
from softmax_regression.tracking.client import View
from softmax_regression.tracking.record import LIVE, RunRecord
from softmax_regression.tracking.run_store import RunStore

SEED_1, SEED_2 = RATE_01.replace("s0", "s1"), RATE_01.replace("s0", "s2")


def use_outputs_of(root: Path, store: RunStore, name: str) -> None:
    """Let the workspace have the outputs of the run called `name`, as far as made-up runs have outputs."""
    record = next(record for record in store.runs() if record.name == name)
    shutil.rmtree(root / "artifacts", ignore_errors=True)
    store.download(record.run_id, "experiment.json", root / "artifacts" / "train")
    write_lock(root)


def keep_as_experiment(root: Path, name: str) -> None:
    """Make what is in the workspace an experiment of DVC's, with the commit before as its base."""
    base = git(root, "rev-parse", "HEAD")
    commit(root)
    git(root, "update-ref", f"refs/exps/{base[:2]}/{base[2:]}/{name}", "HEAD")
    git(root, "reset", "--quiet", "--hard", base)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with runs. Committed: seed 1. In the workspace: seed 2. DVC's experiments: `wavy-cats` and `bare-dogs`.

    The run of wavy-cats is tagged with that name, the run of bare-dogs with none, as where experiments share a run. The
    first is the champion's.
    """
    root = filled_project(tmp_path_factory.mktemp("naming"))
    store = RunStore.open(root)
    shutil.copy(ROOT / "params.yaml", root)
    model = load_params(root / "params.yaml").registry.model
    run_id = next(run.run_id for run in store.runs() if run.name == RATE_05)
    store.mlflow.create_registered_model(model)
    store.mlflow.create_model_version(model, "nowhere", run_id)
    store.mlflow.set_registered_model_alias(model, "champion", "1")
    commit(root)
    for name, run in {"wavy-cats": RATE_05, "bare-dogs": RATE_09}.items():
        use_outputs_of(root, store, run)
        keep_as_experiment(root, name)
    use_outputs_of(root, store, SEED_2)
    return root


@pytest.fixture(scope="module")
def store(root: Path) -> RunStore:
    """Its store."""
    return RunStore.open(root)


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> tuple[RunStore, Path]:
    """A copy of the project, for a test that adds runs, and its store."""
    shutil.copytree(root, tmp_path / "copy")
    return RunStore.open(tmp_path / "copy"), tmp_path / "copy"


def record(run_id: str, name: str = "", status: str = "FINISHED", **tags: str) -> RunRecord:
    """Return a record with these tags; underscores in their names stand for points."""
    dotted = {key.replace("_", "."): value for key, value in tags.items()}
    return RunRecord(run_id, name or run_id, status, 0, None, {}, {}, dotted)


WORDS = {
    "workspace": SEED_2,
    "HEAD": SEED_1,
    "main": SEED_1,
    "commit": SEED_1,
    "short commit": SEED_1,
    "best": RATE_09,
    "wavy-cats": RATE_05,
    "bare-dogs": RATE_09,
    "champion": RATE_05,
    RATE_05: RATE_05,
    "id": SEED_1,
    "short id": SEED_1,
    "key": SEED_1,
    "short key": SEED_1,
}


@pytest.mark.parametrize("word", WORDS)
def test_a_word_means_the_same_run_in_every_command(store: RunStore, root: Path, word: str) -> None:
    """What show, compare and predict take a word for is what sync looks at."""
    expected = next(run for run in store.runs() if run.name == WORDS[word])
    head = git(root, "rev-parse", "HEAD")
    written = {
        "commit": head,
        "short commit": head[:8],
        "id": expected.run_id,
        "short id": expected.run_id[:8],
        "key": expected.key,
        "short key": expected.key[:8],
    }
    ref = written.get(word, word)
    assert resolve(store, root, ref).record == expected
    assert state_named(store, root, ref).experiment.key == expected.key


def test_how_a_run_was_found_is_said_where_the_word_is_not_its_name(store: RunStore, root: Path) -> None:
    """A state and best are explained in a sentence; a name needs none."""
    found = resolve_all(store, root, ["workspace", "HEAD", "best", RATE_05])
    assert [run.record.name for run in found] == [SEED_2, SEED_1, RATE_09, RATE_05]
    assert resolve(store, root, "champion").how == f"champion is {RATE_05}, version 1 of softmax-regression"
    assert [run.how for run in found[:2]] == [f"workspace is {SEED_2}", f"HEAD is {SEED_1}"]
    assert found[2].how.startswith(f"best is {RATE_09}: ")
    assert found[3].how == ""


@pytest.mark.parametrize("ref", ["wavy-dogs", "", "bbb", "0" * 40, "--all"])
def test_an_unknown_word_is_one_clear_error(store: RunStore, root: Path, ref: str) -> None:
    """A word that names nothing is refused, in a line that says so, by every command."""
    with pytest.raises(ValueError, match=f"^{ref!r} names no run, DVC experiment or commit: the nearest") as caught:
        resolve(store, root, ref)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=f"^{ref!r} is neither a DVC experiment .* nor a commit$"):
        state_named(store, root, ref)


def test_the_nearest_names_come_with_the_error(store: RunStore, root: Path, tmp_path: Path) -> None:
    """Names of runs and of DVC's experiments are offered; a store without runs says that it has none."""
    with pytest.raises(ValueError, match=r"'wavy-dogs' names no .*: the nearest names are wavy-cats"):
        resolve(store, root, "wavy-dogs")
    with pytest.raises(ValueError, match=f"the nearest names are .*{OTHER_DATA}"):
        resolve(store, root, OTHER_DATA.replace("0.1", "0.15"))
    with pytest.raises(ValueError, match="the store holds no run yet"):
        resolve(RunStore.open(tmp_path), tmp_path, "bbbb3333")


def test_an_ambiguous_word_is_one_clear_error(copy: tuple[RunStore, Path]) -> None:
    """What names runs of two configurations is refused with both, by every command."""
    store, root = copy
    for number in (1, 2):
        tags = {"dvc.exp.name": "twice"}
        add_run(store, range(9), optimizer__learning_rate=(7 + number) / 10, tags=tags)
    for call in (resolve, state_named):
        with pytest.raises(ValueError, match=r"'twice' names 2 runs, give an id: small_lr0\.9_.*, small_lr0\.8_.*live"):
            call(store, root, "twice")


def test_workspace_without_outputs_or_run_says_what_to_do(store: RunStore, copy: tuple[RunStore, Path]) -> None:
    """A workspace that has not been trained names the command; one whose run the store lacks is to be synced."""
    _, root = copy
    path = root / "artifacts/train/experiment.json"
    path.write_text(path.read_text().replace('"model": "', '"model": "x'))
    write_lock(root)
    with pytest.raises(ValueError, match=r"workspace: the store has no run of .*; run `softmax-regression sync work"):
        resolve(store, root, "workspace")
    (root / "dvc.lock").unlink()
    for call in (resolve, lambda *where: state_named(*where).experiment):
        with pytest.raises(ValueError, match=r"workspace: its dvc\.lock has no training; run `dvc repro`"):
            call(store, root, "workspace")


def test_a_run_whose_outputs_dvc_lacks_has_no_state(store: RunStore, root: Path) -> None:
    """Its run can be shown, but there is nothing to sync it from."""
    assert resolve(store, root, RATE_01).record.name == RATE_01
    with pytest.raises(
        ValueError, match=rf"DVC has no outputs of the run {RATE_01} \(.*`softmax-regression show small"
    ):
        state_named(store, root, RATE_01)


def test_an_experiment_whose_run_was_cut_off_is_still_a_state(copy: tuple[RunStore, Path]) -> None:
    """Where the store lost the end of the run of a DVC experiment, the experiment's name leads to its outputs."""
    store, root = copy
    run = store.start_run("small lr0.4", "c", {}, {"dvc.exp.name": "cut-off"})
    use_outputs_of(root, store, RATE_01)
    keep_as_experiment(root, "cut-off")
    assert resolve(store, root, "cut-off").record.run_id == run.run_id
    assert state_named(store, root, "cut-off").name == "cut-off"


def test_the_state_of_a_run_is_found_without_looking_into_others(
    copy: tuple[RunStore, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC's view of a state takes its time: it is opened where dvc.lock has the digest that the run recorded."""
    store, root = copy
    run = next(run for run in store.runs() if run.name == RATE_09)
    store.set_tags(run.run_id, {"outputs.train": at(root, "bare-dogs").outputs["artifacts/train"]})
    opened: list[str] = []
    files = State._files

    def noted(state: State) -> AbstractContextManager[Any]:
        opened.append(state.name)
        return files(state)

    monkeypatch.setattr(State, "_files", noted)
    assert state_named(store, root, RATE_09).name == "bare-dogs"
    assert opened == ["bare-dogs"]


def test_one_run_under_two_names_is_refused(store: RunStore, root: Path) -> None:
    """A run is not compared with itself, whichever words name it."""
    with pytest.raises(ValueError, match=r"'wavy-cats' and 'small_lr0.5_b10_e3_s0' are the same run, .*; name differ"):
        resolve_all(store, root, ["wavy-cats", RATE_05])
    with pytest.raises(ValueError, match="'wavy-cats' is given twice"):
        resolve_all(store, root, ["wavy-cats", "wavy-cats"])


def test_best_is_a_run_that_can_be_compared_here(copy: tuple[RunStore, Path]) -> None:
    """A run without predictions but with a model can be evaluated where the prepared data are its own, else not."""
    store, root = copy
    add_run(store, (), optimizer__learning_rate=0.95, evaluated=False, tags={"outputs.train": "1.dir"})
    assert resolve(store, root, "best").record.name == RATE_09.replace("0.9", "0.95")
    (root / "data/prepared/report.json").unlink()
    found = resolve_all(store, root, [RATE_01, "best"])[1]
    assert found.record.name == RATE_09
    assert "small_lr0.95_b10_e3 has the lowest training loss, 0.0500 (one seed), but no run with" in found.how


def test_best_is_sought_on_the_data_of_the_other_runs(store: RunStore, root: Path) -> None:
    """Beside a run of one data set, best is of that data set; here by training loss, so not the best on the test."""
    _, best = resolve_all(store, root, [RATE_01, "best"])
    assert best.record.name == RATE_09
    assert resolve_all(store, root, [OTHER_DATA, NOT_EVALUATED, "best"])[2].record.name == RATE_09
    with pytest.raises(ValueError, match="the same run"):
        resolve_all(store, root, [OTHER_DATA, "best"])


class Records(RunStore):
    """A store of these runs; a condition finds those of which its value is part, as LIKE may find too many."""

    def __init__(self, *records: RunRecord) -> None:
        self.records = records
        self.asked: list[str] = []

    def runs(self, condition: str = "", view: View = "active") -> list[RunRecord]:
        """Return the runs that may meet the condition."""
        self.asked.append(condition)
        value = condition.partition("'")[2].rstrip("%'")
        return [run for run in self.records if re.search(value.replace("_", "."), str([vars(run)]))]

    def family(self, run: RunRecord) -> list[RunRecord]:
        """Return all runs."""
        return list(self.records)


FIRST = record("aaaa1111", "digits lr0.1", experiment_key="feed01", experiment_config="c1", experiment_live="false")
SECOND = record("aaaa2222", "digits lr0.1 #2", experiment_key="feed01", experiment_config="c1", experiment_live="true")
OTHER = record("bbbb3333", "digits lr0.5", experiment_key="beef02", experiment_config="c2", dvc_exp_name="wavy-cats")


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("aaaa1111", FIRST),
        ("aaaa2", SECOND),
        ("digits lr0.1", FIRST),
        ("digits lr0.1 #2", SECOND),
        ("wavy-cats", OTHER),
        ("beef", OTHER),
        ("feed01", SECOND),  # two attempts: the live one
        ("bee", None),  # too short for a beginning
        ("", None),
        ("digits", None),
    ],
)
def test_a_run_is_found_by_each_of_its_names(ref: str, expected: RunRecord | None) -> None:
    """Ids, beginnings of ids and keys, names and DVC's names lead to the run, each by one query."""
    store = Records(FIRST, SECOND, OTHER)
    assert find_record(store, ref) is expected
    assert len(store.asked) <= 5


def test_a_beginning_of_several_lists_the_candidates() -> None:
    """What names runs of two configurations is refused with both runs."""
    other = record("aaaa3333", "other", experiment_config="c3", experiment_live="true")
    with pytest.raises(ValueError, match=r"'aaaa' names 2 runs.*aaaa2222, live.*aaaa3333, live"):
        find_record(Records(SECOND, other), "aaaa")


def test_a_repetition_by_other_code_is_no_other_experiment() -> None:
    """An edit of code that left the weights gave a second run of the same name: the live one is meant."""
    same = {"experiment_key": "feed01", "dvc_exp_name": "wavy-cats"}
    first = record("aaaa1111", "digits", experiment_config="c1", experiment_live="true", **same)
    again = record("bbbb2222", "digits", experiment_config="c2", experiment_live="false", **same)
    for ref in ("digits", "feed01", "wavy-cats"):
        assert find_record(Records(again, first), ref) is first
    assert find_record(Records(again, first), "bbbb2222") is again


ODD = ["it's", 'a"b', """x'y"z""", "50% off", "50 of off", "a_b", "a\\b", "`c` -- d; e", "(x) AND y", "\u00fc\u4e2d"]


def test_a_name_is_text_to_the_store(copy: tuple[RunStore, Path]) -> None:
    """Quotes, wildcards and words of its query language find the run of that name, and no other."""
    store, _ = copy
    ids = {name: store.create_run(name, {}) for name in ODD}
    for name, run_id in ids.items():
        found = find_record(store, name)
        assert found is not None, name
        assert found.run_id == run_id
    for ref in ("%", "a%", "____", "%%%%", "' OR '1'='1", "A_B"):
        assert find_record(store, ref) is None


def test_a_word_is_looked_up_without_fetching_all(many: tuple[RunStore, RunStore]) -> None:
    """Among 100 runs and 1,000 the same ones are fetched: those of the configuration; for a wrong word, a page."""
    fetched = []
    for store in many:
        run = store.newest(f"tags.`{LIVE}` = 'true' AND params.`train.seed` = '3'")[0]
        with counted(store) as pages:
            for ref in (run.name, run.run_id, run.run_id[:8], run.key, run.key[:8]):
                assert find_record(store, ref) == run
            assert find_record(store, "nobody") is None
        fetched.append((len(pages), sum(pages) <= 10 * 2 * SEEDS))
    assert fetched[0] == fetched[1] == (fetched[0][0], True)


def test_a_run_of_version_0_1_is_named_like_any_other(copy: tuple[RunStore, Path]) -> None:
    """Its key, which contains its code, its id and its name lead to it; so do outputs that it left."""
    store, root = copy
    key = add_old_run(store, range(30), train__seed=7)
    run = next(run for run in store.settled(store.runs()) if run.key == key)
    assert run.name == "small_lr0.1_b10_e3_s7"
    for ref in (run.name, run.run_id, run.run_id[:8], key, key[:6]):
        assert resolve(store, root, ref).record == run
    use_outputs_of(root, store, run.name)
    assert resolve(store, root, "workspace").record == run
    assert state_named(store, root, "workspace").experiment.key == key
    assert state_named(store, root, run.name).name == "workspace"
