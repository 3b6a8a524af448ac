"""A run becomes the champion where it is shown to be better, and otherwise the reason is said in one line."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from filled_project import DATA, LABELS, SHAPE, N, add_run
from small_data import ROOT, write_folder

from softmax_regression.artifacts.model import write_model
from softmax_regression.commands.predict import predict_files
from softmax_regression.commands.promote import promote, roll_back
from softmax_regression.commands.served import ASKED
from softmax_regression.data.datasets import FOLDER, load
from softmax_regression.lineage.naming import resolve, resolve_all
from softmax_regression.tracking import stage_logs
from softmax_regression.tracking.registry import Registry, Version
from softmax_regression.tracking.run_store import RunStore

NAME = "softmax-regression"
PASSED = {"outputs.evaluate": "1.dir", "checks.failed": "none", "reference.leak": "false"}
# Learning rate -> on how many examples each seed is wrong, after the first 100, which the served model is asked about.
WRONG = {
    0.1: [60, 61, 62, 63, 64, 65, 66, 67, 68, 69],
    0.5: [20, 21, 22, 23, 24, 25, 26, 27, 28, 110],  # better, but for the last seed
    0.2: [59, 62, 61, 64, 63, 66],  # now better than 0.1, now worse
    0.9: [5, 5],  # too few seeds
}


def name_of(rate: float, seed: int = 0) -> str:
    """Return the name of a run."""
    return f"{DATA}_lr{rate}_b10_e3_s{seed}"


FIRST, BETTER, ALIKE, FEW = map(name_of, WRONG)


def log_model(root: Path, store: RunStore, name: str, classes: Iterable[int] = (0, 1, 2)) -> str:
    """Log the MLflow model of a run, which tells the class by the brightest of three pixels; return the run's id."""
    weight = np.zeros((3, *SHAPE), np.float32)
    weight[list(classes), 0, [0, 1, 2]] = 1
    folder = root / "model" / name
    write_model(folder, {"weight": weight.reshape(3, -1)}, load(root / FOLDER, DATA))
    run_id = resolve(store, root, name).record.run_id
    run = store.continue_run(run_id)
    run.log_file(folder / "model.safetensors")
    run.log_file(folder / "model.json")
    stage_logs._log_model(run, folder)
    assert run.finish(), run.lost
    return run_id


@dataclass
class Project:
    """A project with runs, and its registered model."""

    root: Path
    store: RunStore

    @property
    def registry(self) -> Registry:
        """The registered model."""
        return Registry(self.store, NAME)

    def champion(self) -> Version:
        """Return the champion."""
        champion = self.registry.champion()
        assert champion is not None
        return champion

    def run_id(self, name: str) -> str:
        """Return the id of a run."""
        return resolve(self.store, self.root, name).record.run_id


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a project with test images, several seeds of four configurations and some of the models."""
    root = tmp_path_factory.mktemp("promote") / "root"
    images = np.random.default_rng(0).integers(0, 99, (N, *SHAPE)).astype(np.uint8)
    images[np.arange(N), 0, LABELS] = 255
    parts = {f"{part}-images": images for part in ("train", "test")}
    parts |= {f"{part}-labels": LABELS.astype(np.uint8) for part in ("train", "test")}
    report = write_folder(root / FOLDER, DATA, parts)
    shutil.copy(ROOT / "params.yaml", root)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
            patch.delenv(name, raising=False)
        store = RunStore.open(root)
    digest = report["files"]["test-images"]["sha256"]
    for rate, seeds in WRONG.items():
        for seed, number in enumerate(seeds):
            wrong = range(ASKED, ASKED + number)
            add_run(store, wrong, digest=digest, tags=PASSED, optimizer__learning_rate=rate, train__seed=seed)
    for name in (FIRST, BETTER):
        log_model(root, store, name)
    return root


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a copy of the project."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    root = Path(shutil.copytree(made, tmp_path / "root"))
    return Project(root, RunStore.open(root))


@pytest.fixture
def crowned(project: Project) -> Project:
    """Return a project whose champion is the first run."""
    promote(project.root, FIRST)
    return project


def test_the_first_champion_has_nobody_to_beat(project: Project) -> None:
    """It is version 1 of the model in params.yaml; its tags say which run it is, and that it replaces none."""
    said = promote(project.root, FIRST)
    champion = project.champion()
    assert said == f"{resolve(project.store, project.root, FIRST).record} is the champion now: " + (
        "models:/softmax-regression@champion, version 1"
    )
    assert (champion.number, champion.run_id) == ("1", project.run_id(FIRST))
    assert champion.tags["run"] == FIRST
    assert champion.tags["experiment.key"] == resolve(project.store, project.root, FIRST).record.key
    assert (champion.tags["replaces"], champion.tags["verdict"]) == ("none", "the first champion")


def test_a_better_configuration_replaces_it(crowned: Project) -> None:
    """Nine of ten seeds are better, by 40 of 300 images in the middle: the tags keep what was compared and found."""
    said = promote(crowned.root, BETTER).splitlines()
    champion = crowned.champion()
    assert (champion.number, champion.run_id) == ("2", crowned.run_id(BETTER))
    assert said[1] == f"it replaces version 1, {resolve(crowned.store, crowned.root, FIRST).record}"
    assert said[2].startswith("better: ahead with 9 of 10 seeds, typically by +13.33 points (median; 95% interval on")
    assert len(said) == 3
    assert {name: champion.tags[name] for name in ("replaces", "compared.run", "compared.comparisons")} == {
        "replaces": "1",
        "compared.run": crowned.run_id(FIRST),
        "compared.comparisons": "1",
    }
    assert champion.tags["verdict"] == said[2]
    assert champion.tags["verdict.points"].startswith("+13.33 (")
    assert 0.021 < float(champion.tags["verdict.p"]) < 0.05  # the sign test alone gives 2 (1 + 10) / 2^10 = 0.0215
    assert champion.tags["verdict.seeds"] == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"


def test_the_champion_is_a_word_for_its_run(crowned: Project) -> None:
    """It moves with the alias, can be compared, and its model answers about a person's own examples."""
    assert resolve(crowned.store, crowned.root, "champion").record.name == FIRST
    promote(crowned.root, BETTER)
    found = resolve_all(crowned.store, crowned.root, ["champion", FIRST])
    assert [named.record.name for named in found] == [BETTER, FIRST]
    assert found[0].how == f"champion is {BETTER}, version 2 of softmax-regression"
    np.save(crowned.root / "mine.npy", np.eye(30)[2:3].reshape(1, *SHAPE))  # the third of the three pixels
    lines = list(predict_files(crowned.root, [crowned.root / "mine.npy"], "champion", crowned.root / "out"))
    assert "kind 2" in lines[1]


def test_the_champion_again_is_no_news(crowned: Project) -> None:
    """Nothing is judged, and no version is made."""
    promote(crowned.root, BETTER)
    assert promote(crowned.root, BETTER).endswith(
        "is the champion already: models:/softmax-regression@champion, version 2"
    )
    assert promote(crowned.root, "champion").startswith(BETTER)
    assert [*crowned.registry.versions()] == ["2", "1"]


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"outputs.evaluate": "incomplete"}, "was not evaluated on the test set; `dvc repro` does it for this"),
        ({"checks.failed": "test accuracy 0.6"}, "is not promoted: its closing checks: test accuracy 0.6; promote one"),
        ({"reference.leak": "true"}, "its test accuracy is too high to be true"),
        ({"worse_than_guessing": "true"}, "it is worse than guessing"),
    ],
)
def test_a_run_that_is_not_sound_is_refused(project: Project, tags: dict[str, str], reason: str) -> None:
    """Whether or not there is a champion."""
    project.store.set_tags(project.run_id(FIRST), tags)
    refused(project, FIRST, reason)
    assert project.registry.versions() == {}


def refused(project: Project, name: str, reason: str) -> None:
    """Check that a run is refused in one line for this reason, and that the champion stays."""
    before = project.registry.champion()
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the text is checked next
        promote(project.root, name)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert project.registry.champion() == before


def test_runs_on_other_data_are_refused(crowned: Project) -> None:
    """Other images under the same name, or another data set, say nothing of the champion."""
    for seed, name in enumerate((DATA, "toys")):
        add_run(crowned.store, range(9), digest="other", tags=PASSED, train__seed=seed, data__name=name)
    refused(crowned, "toys_lr0.1_b10_e3_s1", "the run's data are not the champion's (toys, not small), so nothing says")
    (other,) = [run for run in crowned.store.runs() if run.name == FIRST and run.run_id != crowned.champion().run_id]
    refused(crowned, other.run_id, "(small with other test-images, train-images)")


def test_few_seeds_are_refused(crowned: Project) -> None:
    """Two seeds give no verdict, however good they look: the line says which command trains more."""
    run_id = log_model(crowned.root, crowned.store, FEW)
    command = f"`softmax-regression compare champion {run_id} --seeds 32`"
    refused(crowned, FEW, f"have 2 of the 6 seeds in common that a verdict takes; {command} trains them")
    assert comparisons(crowned) == 0


def test_no_difference_is_refused(crowned: Project) -> None:
    """Half of the seeds are better and half are worse; the judgement has used the test set all the same."""
    log_model(crowned.root, crowned.store, ALIKE)
    refused(crowned, ALIKE, "is not shown to be better than that of the champion")
    assert comparisons(crowned) == 1


def test_a_worse_configuration_is_refused(crowned: Project) -> None:
    """More seeds would not help it: it is said to be worse."""
    promote(crowned.root, BETTER)
    refused(crowned, FIRST, "is worse than that of the champion")


def comparisons(project: Project) -> int:
    """Return how many pairs of configurations have been judged."""
    tags = project.store.mlflow.get_experiment(project.store.experiment_id).tags
    return sum(tag.startswith("compared.") for tag in tags)


def test_a_luckier_seed_is_refused(crowned: Project) -> None:
    """Another seed of the champion's configuration is no better configuration."""
    name = name_of(0.1, seed=1)
    log_model(crowned.root, crowned.store, name)
    refused(crowned, name, "is of the champion's own configuration, so it is at most a luckier seed")


def test_a_seed_that_went_wrong_is_refused(crowned: Project) -> None:
    """Its configuration is better, but this trained model has 110 examples wrong, and the champion 60."""
    name = name_of(0.5, seed=9)
    log_model(crowned.root, crowned.store, name)
    refused(crowned, name, "but this trained model is worse: -16.67 points (McNemar p = 1.8e-15); promote another seed")


def test_a_model_that_answers_otherwise_is_refused(project: Project) -> None:
    """Two classes are exchanged in the logged model: two thirds of the first hundred answers are others."""
    name = name_of(0.1, seed=1)
    log_model(project.root, project.store, name, classes=(1, 0, 2))
    refused(project, name, "answers 67 of 100 test examples otherwise than evaluate did (example 0: class 1, not 0)")


def test_a_verdict_that_is_worn_out_is_a_warning(crowned: Project) -> None:
    """p is above 0.05 / 3: with two pairs that were judged on these images before, it does not hold."""
    data = {"test-images": load(crowned.root / FOLDER, DATA).report["files"]["test-images"]["sha256"]}
    for other in ("b", "c"):
        crowned.store.count_comparisons(data, [["a", other]])
    said = promote(crowned.root, BETTER).splitlines()
    assert said[-1].startswith("warning: corrected for the 3 comparisons that these test images have served, the")
    assert said[-1].endswith("; measure on new images")
    assert crowned.champion().tags["compared.comparisons"] == "3"


def test_promotions_are_taken_back(crowned: Project) -> None:
    """Once gives the champion before, which then can be replaced again by the same version; further back is nobody."""
    promote(crowned.root, BETTER)
    assert roll_back(crowned.root) == f"{FIRST} is the champion again: models:/softmax-regression@champion, version 1"
    assert crowned.champion().number == "1"
    with pytest.raises(ValueError, match=r"^the champion, version 1 of softmax-regression, replaced none; promote"):
        roll_back(crowned.root)
    promote(crowned.root, BETTER)
    assert crowned.champion().number == "2"
    assert len(crowned.registry.versions()) == 2


def test_nobody_is_taken_back(project: Project) -> None:
    """Where there is no champion, or the one before was deleted in MLflow, one line says so."""
    with pytest.raises(ValueError, match="there is no champion to take back"):
        roll_back(project.root)
    with pytest.raises(ValueError, match=r"there is no champion: models:/softmax-regression@champion names no version"):
        resolve(project.store, project.root, "champion")
    promote(project.root, FIRST)
    promote(project.root, BETTER)
    project.store.mlflow.delete_model_version(NAME, "1")
    with pytest.raises(ValueError, match=r"version 2 of .*, replaced version 1, which was deleted in MLflow; promote"):
        roll_back(project.root)


def test_a_champion_whose_run_is_deleted_is_one_line(crowned: Project) -> None:
    """The run is named; where the same experiment has been rebuilt, that run is the champion."""
    run_id = crowned.run_id(FIRST)
    crowned.store.mlflow.delete_run(run_id)
    refused(crowned, BETTER, f"the champion, version 1 of {NAME}, is the model of the run {run_id}, deleted or of")
    digest = load(crowned.root / FOLDER, DATA).report["files"]["test-images"]["sha256"]
    add_run(crowned.store, range(ASKED, ASKED + 60), digest=digest, tags=PASSED)
    assert resolve(crowned.store, crowned.root, "champion").record.name == FIRST
    assert promote(crowned.root, BETTER).splitlines()[0].endswith("version 2")


@pytest.mark.parametrize("step", ["create_model_version", "set_logged_model_tags", "set_registered_model_alias"])
def test_a_promotion_that_is_cut_off_leaves_the_champion(
    crowned: Project, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Whatever step it ends at, the next call completes it, with one version of the run."""

    def cut_off(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        store = RunStore.open(crowned.root)
        patch.setattr(store.mlflow, step, cut_off, raising=False)
        patch.setattr(RunStore, "open", lambda root: store)
        promote(crowned.root, BETTER)
    assert crowned.champion().number == "1"
    promote(crowned.root, BETTER)
    assert crowned.champion().number == "2"
    assert [*crowned.registry.versions()] == ["2", "1"]


def test_a_champion_that_changes_meanwhile_is_not_overrun(crowned: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was judged against a champion does not replace another one."""
    third = crowned.registry.register(log_model(crowned.root, crowned.store, ALIKE), {})
    judged = RunStore.count_comparisons

    def meanwhile(store: RunStore, *arguments: object) -> int:
        Registry(store, NAME).crown(third)
        return judged(store, *arguments)  # type: ignore[arg-type]  # passed on as they are

    monkeypatch.setattr(RunStore, "count_comparisons", meanwhile)
    with pytest.raises(ValueError, match="another run has become the champion meanwhile; start again"):
        promote(crowned.root, BETTER)
    assert crowned.champion() == third


def test_the_name_comes_from_params(project: Project) -> None:
    """registry.model names the model."""
    path = project.root / "params.yaml"
    path.write_text(path.read_text().replace("model: softmax-regression", "model: shop.clothes"))
    assert "models:/shop.clothes@champion, version 1" in promote(project.root, FIRST)
