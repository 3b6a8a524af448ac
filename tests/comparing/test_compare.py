"""Runs are gathered with their seeds and judged; what cannot be compared is refused in one line."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from filled_project import (
    CLASS_NAMES,
    DATA,
    LABELS,
    NOT_EVALUATED,
    OTHER_DATA,
    OTHER_LABELS,
    RATE_01,
    RATE_05,
    RATE_09,
    WRONG,
    N,
    add_old_run,
    add_run,
    filled_project,
)

from softmax_regression.comparing.compare import compare, read_test_images
from softmax_regression.comparing.comparison import Comparison
from softmax_regression.data.datasets import FOLDER
from softmax_regression.statistics.intervals import wilson_interval
from softmax_regression.statistics.models import compare_models
from softmax_regression.tracking.run_store import RunStore

# Two ways to the same float64 figure differ by rounding only.
DIGITS = 1e-12


def correct(rate: float, seed: int) -> np.ndarray:
    """Return what this run has right, (N,) bool."""
    right = np.ones(N, bool)
    right[list(WRONG[rate, seed])] = False
    return right


def test_the_runs_are_in_the_order_in_which_they_were_named(two: Comparison) -> None:
    """A and B are the runs named, with accuracy and interval; hints are the words that their names do not share."""
    assert [(run.letter, run.record.name, run.name) for run in two.runs] == [
        ("A", RATE_01, "A (lr0.1)"),
        ("B", RATE_05, "B (lr0.5)"),
    ]
    assert [run.accuracy for run in two.runs] == [0.8, 0.96]
    assert two.runs[0].interval == wilson_interval(240, 300)
    assert (two.data, two.noun, two.class_names) == (DATA, "images", CLASS_NAMES)
    assert two.notes == ()


def test_the_trained_models_are_tested_on_their_common_images(two: Comparison) -> None:
    """A is wrong on 0-59, B on 54-65: B alone is right on 54 images, A alone on 6; McNemar by hand."""
    (test,) = two.models
    assert (test.only_a, test.only_b, test.n) == (6, 54, 300)
    assert test.difference == pytest.approx(48 / 300, abs=DIGITS)
    by_hand = 2 * sum(math.comb(60, k) for k in range(7)) / 2**60
    assert test.p_value == pytest.approx(by_hand, rel=1e-9)  # SciPy's tail of the binomial, to about ten digits
    assert test.verdict == "b better"


def test_the_configurations_are_judged_over_all_their_seeds(two: Comparison) -> None:
    """The other seeds come from the store; what both have is compared seed by seed, and three are too few."""
    first, second = two.configurations
    assert (first.name, first.seeds, second.name, second.seeds) == (
        "A (lr0.1)",
        ("0", "1", "2", "3"),
        "B (lr0.5)",
        ("0", "1", "2"),
    )
    assert first.correct.mean(axis=1).tolist() == [0.8, 0.79, 0.81, 0.7]
    assert first.accuracies.mean() == pytest.approx(0.775, abs=DIGITS)
    assert second.sd == pytest.approx(0.01, abs=DIGITS)
    (test,) = two.configuration_tests
    assert test.seeds == ("0", "1", "2")
    assert test.differences == pytest.approx([0.16, 0.16, 0.16], abs=DIGITS)
    assert test.these.verdict == "not answerable"
    groups = [{str(seed): correct(rate, seed) for seed in range(seeds)} for rate, seeds in ((0.1, 4), (0.5, 3))]
    assert [found.by_seed.keys() for found in two.configurations] == [group.keys() for group in groups]
    for found, group in zip(two.configurations, groups, strict=True):
        for seed, right in found.by_seed.items():
            np.testing.assert_array_equal(right, group[seed])


def test_six_common_seeds_give_a_verdict(six: Comparison) -> None:
    """Six of six won: p = 2/2^6, and the median of 8, 16, 16, 16, 20 and 24 points is 16; the models keep theirs."""
    (test,) = six.configuration_tests
    assert test.wins == (0, 6)
    assert test.median == pytest.approx(0.16, abs=DIGITS)
    assert test.these.p_value == pytest.approx(2 / 2**6, rel=DIGITS)
    assert test.these.interval == pytest.approx((0.08, 0.24), abs=DIGITS)
    assert (test.these.verdict, test.like_these.verdict) == ("b better", "b better")
    assert test.worst[0][0] == "5"
    assert test.worst[0][1] == pytest.approx(0.08, abs=DIGITS)


def test_pairs_with_a_verdict_are_counted(six_root: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How often test examples were judged on is noted; a pair with too few seeds, or a store that is shut, is not."""
    counted: list[tuple[object, list[list[str]]]] = []
    monkeypatch.setattr(RunStore, "count_comparisons", lambda _, data, pairs: counted.append((data, pairs)))
    compare(RunStore.open(root), root, [RATE_01, RATE_05])
    assert counted == []
    found = compare(RunStore.open(six_root), six_root, [RATE_01, RATE_05])
    assert counted == [
        (found.runs[0].experiment.data, [[one.experiment.configuration for one in found.configurations]]),
    ]

    def shut(*_: object) -> None:
        raise RuntimeError("read only")

    monkeypatch.setattr(RunStore, "count_comparisons", shut)
    assert compare(RunStore.open(six_root), six_root, [RATE_01, RATE_05]).configuration_tests[0].wins == (0, 6)


def test_seeds_of_older_versions_count(tmp_path: Path) -> None:
    """A run that recorded its code, too, is a seed of its configuration like any other."""
    copy = filled_project(tmp_path)
    store = RunStore.open(copy)
    add_old_run(store, range(66), train__seed=5)
    for seed, rate in ((0, 0.1), (4, 0.1), (0, 0.5)):
        add_run(
            store,
            range(60),
            optimizer__learning_rate=rate,
            train__seed=seed,
            download__make_classification__n_samples=1000,  # a param of the section data before
        )
    runs = {run.params["train.seed"]: run.run_id for run in store.runs()[:3] if "lr0.1" in run.name}
    (other,) = (run.run_id for run in store.runs()[:3] if "lr0.5" in run.name)
    found = compare(store, copy, [runs["0"], other]).configurations[0]
    assert (found.seeds, found.note) == (("0", "4", "5"), "")
    assert found.correct.mean(axis=1).tolist() == [0.8, 0.8, 0.78]


def test_a_seed_that_was_not_tested_on_these_examples_is_named(tmp_path: Path) -> None:
    """Seeds without predictions, or with those of other examples, do not count, and the note says which."""
    copy = filled_project(tmp_path)
    store = RunStore.open(copy)
    for seed in (11, 12, 13):
        add_run(store, range(9), train__seed=seed, evaluated=False)
    add_run(store, range(9), train__seed=7, labels=LABELS[::-1].copy())
    found = compare(store, copy, [RATE_01, RATE_05]).configurations[0]
    assert found.seeds == ("0", "1", "2", "3")
    assert found.note == "seeds 7, 11-13 not counted: no predictions on these test examples in the store"


def test_seeds_that_only_one_has_do_not_count(store: RunStore, root: Path) -> None:
    """Learning rate 0.9 has seed 0 alone: one common seed, no verdict; the trained models differ all the same."""
    found = compare(store, root, [RATE_01, RATE_09])
    (test,) = found.configuration_tests
    assert (test.these.verdict, test.these.p_value, test.seeds) == ("not answerable", None, ("0",))
    assert found.models[0].verdict == "b better"


@pytest.mark.parametrize("seeds", [0, 1001])
def test_a_number_of_seeds_that_makes_no_sense_is_refused(store: RunStore, root: Path, seeds: int) -> None:
    """None, or more than anyone means."""
    with pytest.raises(ValueError, match=f"--seeds must be 1 to 1000, found {seeds}"):
        compare(store, root, [RATE_01, RATE_05], seeds)


def test_two_seeds_of_one_configuration_are_one_configuration(store: RunStore, root: Path) -> None:
    """There is nothing to prefer; what the two models differ in is the seed."""
    found = compare(store, root, [RATE_01, "small_lr0.1_b10_e3_s1"])
    assert [configuration.letters for configuration in found.configurations] == ["A=B"]
    assert found.configuration_tests == ()
    assert {key for key, values in found.params.items() if len(set(values)) > 1} == {"train.seed"}
    assert [run.hint for run in found.runs] == ["s0", "s1"]


def test_three_runs_are_tested_in_all_pairs_together(store: RunStore, root: Path) -> None:
    """Three models make three pairs, corrected as one family; the configurations have too few seeds in common."""
    found = compare(store, root, [RATE_01, RATE_05, RATE_09])
    assert [(test.names[0][0], test.names[1][0]) for test in found.models] == [("A", "B"), ("A", "C"), ("B", "C")]
    assert {test.family for test in found.models} == {3}
    assert [test.these.verdict for test in found.configuration_tests] == ["not answerable"] * 3
    assert [(d.a.letter, d.b.letter) for d in found.disagreements] == [("A", "B"), ("A", "C")]


def test_disagreements_are_found_by_who_is_right(two: Comparison) -> None:
    """Only A is right on 60-65, only B on 0-53; on 54-59 both are wrong, and say the same."""
    (found,) = two.disagreements
    assert [kind.tolist() for kind in found.kinds] == [list(range(60, 66)), list(range(54)), []]
    assert found.by_class().tolist() == [[2, 18, 0]] * 3


def test_classes_are_tested_together(two: Comparison) -> None:
    """Each class has 100 images, 18 right in B alone and 2 in A alone; three classes are one family."""
    for test in two.disagreements[0].classes:
        assert test is not None
        assert (test.n, test.only_a, test.only_b, test.family) == (100, 2, 18, 3)
        assert test.difference == pytest.approx(0.16, abs=DIGITS)
        a, b = np.ones(100, bool), np.ones(100, bool)
        a[:18], b[18:20] = False, False
        assert test.p_adjusted == pytest.approx(3 * compare_models(a, b).p_value, abs=DIGITS)


def test_params_are_told_as_params_yaml_writes_them(two: Comparison) -> None:
    """One param differs; the rest is shared."""
    assert [key for key, values in two.params.items() if len(set(values)) > 1] == ["optimizer.learning_rate"]
    assert two.params["optimizer.learning_rate"] == ("0.1", "0.5")
    assert two.params["data.resize"] == ("null", "null")
    assert two.params["optimizer.nesterov"] == ("false", "false")


def test_two_runs_of_one_seed_are_one_configuration(tmp_path: Path) -> None:
    """A second run of the same params that came to other weights is no configuration of its own, and no other seed."""
    copy = filled_project(tmp_path)
    store = RunStore.open(copy)
    add_run(store, range(30), weights="other")  # learning rate 0.1, seed 0 again
    first, second = (run for run in store.runs() if run.name.startswith(RATE_01))
    found = compare(store, copy, [first.run_id, second.run_id])
    assert [configuration.letters for configuration in found.configurations] == ["A=B"]
    assert found.configurations[0].seeds == ("0", "1", "2", "3")
    assert (found.configurations[0].correct[0] == found.runs[0].predictions.correct).all()
    assert all(len(set(values)) == 1 for values in found.params.values())


def test_test_images_come_from_the_data_folder(two: Comparison, root: Path) -> None:
    """Where the data are, the images are there; white is 255 whatever the stored scale."""
    assert two.images is not None
    assert (two.images.shape, two.no_images) == ((N, 6, 5), "")
    sixteen, reason = read_test_images(root / FOLDER, DATA, LABELS, scale=510.0)
    assert sixteen is not None
    assert sixteen.dtype == np.uint8
    assert reason == ""
    np.testing.assert_array_equal(sixteen, np.round(two.images / 2))


@pytest.mark.parametrize(
    ("folder", "data", "labels", "reason"),
    [
        ("nowhere", DATA, LABELS, "the test images are not in data/prepared; `dvc repro download` gets them"),
        ("data/prepared", "fashion", LABELS, f"data/prepared holds {DATA}, not fashion"),
        ("data/prepared", DATA, LABELS[::-1], "data/prepared holds other examples than these runs were tested on"),
        ("data/prepared", DATA, LABELS[:-1], "data/prepared holds other examples than these runs were tested on"),
    ],
)
def test_images_that_are_not_the_runs_own_are_not_shown(
    root: Path, folder: str, data: str, labels: np.ndarray, reason: str
) -> None:
    """Missing images, or those of other data, are left out with the reason."""
    assert read_test_images(root / folder, data, labels, 255.0) == (None, reason)


def test_damaged_images_are_not_shown(root: Path, tmp_path: Path) -> None:
    """A file that is no .npy file costs the images, not the comparison."""
    folder = shutil.copytree(root / FOLDER, tmp_path / "prepared")
    (folder / "test-images.npy").write_bytes(b"nothing")
    images, reason = read_test_images(folder, DATA, LABELS, 255.0)
    assert images is None
    assert reason.startswith("the test images cannot be read: ")


def test_data_without_images_are_compared_as_examples(tmp_path: Path) -> None:
    """Features have no pictures: they are called examples, and the page goes without images and says why."""
    copy = filled_project(tmp_path)
    store = RunStore.open(copy)
    for rate in (0.1, 0.5):
        wrong = WRONG[rate, 0]
        add_run(store, wrong, data__name="points", digest="d3", shape=(2,), optimizer__learning_rate=rate)
    found = compare(store, copy, ["points_lr0.1_b10_e3_s0", "points_lr0.5_b10_e3_s0"])
    assert (found.noun, found.images) == ("examples", None)
    assert found.no_images == "the examples of points are features, not images"


def test_best_says_how_it_was_chosen(store: RunStore, root: Path) -> None:
    """The sentence of the choice is part of the comparison."""
    found = compare(store, root, [RATE_01, "best"])
    assert found.runs[1].record.name == RATE_09
    assert found.notes[0].startswith(f"best is {RATE_09}: of the configurations on small, none of which held valid")


@pytest.mark.parametrize(
    ("refs", "message"),
    [
        ([RATE_01], "a comparison takes 2 to 26 runs, found 1; name them after `compare`"),
        (["x"] * 27, "a comparison takes 2 to 26 runs, found 27"),
        (
            [RATE_01, NOT_EVALUATED],
            f"the run {NOT_EVALUATED} .* holds no test predictions, .*`softmax-regression sync`",
        ),
        (
            [RATE_01, OTHER_DATA],
            f"the runs are of different data sets: {RATE_01} of small, {OTHER_DATA} of toys; compare runs of one",
        ),
        ([RATE_01, OTHER_LABELS], "were tested on different examples"),
    ],
)
def test_what_cannot_be_compared_is_refused(store: RunStore, root: Path, refs: list[str], message: str) -> None:
    """One line says what is wrong, with the run's name, and what to do."""
    with pytest.raises(ValueError, match=message) as error:
        compare(store, root, refs)
    assert "\n" not in str(error.value)


def test_damaged_predictions_are_named(store: RunStore, root: Path, tmp_path: Path) -> None:
    """A predictions.csv that is no table of all test examples is refused with the run and what to do."""
    copy = filled_project(tmp_path)
    (run,) = (run for run in RunStore.open(copy).runs() if run.name == RATE_05)
    (path,) = copy.glob(f"mlruns/*/{run.run_id}/artifacts/evaluation/predictions.csv")
    path.write_text("index,label,predicted\n1,0,0\n")
    with pytest.raises(ValueError, match=r"of the run small_lr0.5_.* cannot be read: its rows .*evaluate`"):
        compare(RunStore.open(copy), copy, [RATE_01, RATE_05])
