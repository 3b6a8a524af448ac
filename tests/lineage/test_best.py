"""The best configuration is chosen by validation data and over all its seeds; its run can be compared."""

from __future__ import annotations

from dataclasses import replace

import pytest
from listed_store import Listed

from softmax_regression.lineage.best import best_run
from softmax_regression.tracking.record import RunRecord

TESTED, TRAINED = ("evaluate", "train"), ("train",)


def measured(
    name: str, seed: int = 0, *, live: str = "true", outputs: tuple[str, ...] = TESTED, **metrics: float
) -> RunRecord:
    """Return a finished run of the configuration `name` on the data d; '__' in metrics' names stands for '/'."""
    figures = {key.replace("__", "/"): value for key, value in metrics.items()}
    tags = {"experiment.live": live, "experiment.configuration": name} | {f"outputs.{key}": "1.dir" for key in outputs}
    params = {"data.name": "d", "train.seed": str(seed)}
    return RunRecord(f"{name}{seed}", f"{name} s{seed}", "FINISHED", 0, 0, params, figures, tags)


def validated(
    name: str, accuracies: dict[int, float], loss: float = 0.5, outputs: tuple[str, ...] = TESTED
) -> list[RunRecord]:
    """Return the runs of a configuration with these validation accuracies by seed."""
    return [
        measured(name, seed, outputs=outputs, final__validation_accuracy=value, final__validation_loss=loss)
        for seed, value in accuracies.items()
    ]


def test_best_goes_by_the_validation_data_where_there_are_any() -> None:
    """Validation accuracy decides among the runs that have it, whatever the test set or the training loss say."""
    runs = [
        measured("a", final__validation_accuracy=0.8, final__test_accuracy=0.7, final__train_loss=0.5),
        measured("b", final__validation_accuracy=0.9, final__test_accuracy=0.6, final__train_loss=0.6),
        measured("c", final__test_accuracy=0.95, final__train_loss=0.1),
        measured("d", live="false", final__validation_accuracy=0.99),
        measured("e", final__validation_accuracy=float("nan")),
    ]
    best, how = best_run(Listed(runs))
    assert best.name == "b s0"
    assert how == (
        "best is b s0: of the configurations that held validation data out, b has the highest validation accuracy, "
        "0.9000 (one seed); the test set was not used"
    )


def test_best_without_validation_data_goes_by_the_training_loss_and_says_so() -> None:
    """The test accuracy is not used even where there is nothing better; a loss that is no number cannot win."""
    runs = [
        measured("a", final__test_accuracy=0.9, final__train_loss=0.5),
        measured("b", 0, final__test_accuracy=0.7, final__train_loss=0.4),
        measured("b", 1, final__test_accuracy=0.7, final__train_loss=0.5),
        measured("c", final__train_loss=float("nan")),
    ]
    best, how = best_run(Listed(runs))
    assert best.name == "b s0"
    assert how.startswith(
        "best is b s0: of the configurations, none of which held validation data out, b has the lowest training "
        "loss, 0.4500 (mean of 2 seeds); the test set was not used. Training loss is a weak guide"
    )
    with pytest.raises(ValueError, match=r"best: no run on these data has finished; run `dvc repro`"):
        best_run(Listed([measured("d", live="false", final__train_loss=0.1)]))


def test_a_lucky_seed_does_not_win() -> None:
    """0.99 and 0.81 are 0.90 on average, less than 0.91 and 0.93; of these the first is named, not the luckiest."""
    best, how = best_run(Listed(validated("lucky", {0: 0.81, 1: 0.99}) + validated("steady", {1: 0.93, 0: 0.91})))
    assert best.name == "steady s0"
    assert "steady has the highest validation accuracy, 0.9200 (mean of 2 seeds)" in how


def test_a_configuration_with_a_seed_that_blew_up_does_not_win() -> None:
    """Its mean is no number, however well its other seeds did."""
    runs = validated("wild", {0: 0.99, 1: float("nan")}) + validated("tame", {0: 0.5})
    assert best_run(Listed(runs))[0].name == "tame s0"


def test_of_equal_accuracies_the_lower_validation_loss_wins() -> None:
    """Means of 0.9 both: the configuration that is surer of the held-out examples."""
    runs = validated("a", {0: 0.8, 1: 1.0}, loss=0.4) + validated("b", {0: 1.0, 1: 0.8}, loss=0.3)
    assert best_run(Listed(runs))[0].name == "b s0"


def test_of_two_runs_of_one_seed_the_first_counts() -> None:
    """Runs come newest first: an older one that came to other weights is no second draw."""
    runs = validated("a", {0: 0.7}) + validated("a", {0: 0.99}) + validated("b", {0: 0.8})
    assert best_run(Listed(runs))[0].name == "b s0"


def test_the_run_named_holds_predictions_where_one_does() -> None:
    """Seeds 0 and 1 come of a sweep, which does not test; seeds 2 and 10 were tested: the lower of these."""
    runs = validated("a", {10: 0.9, 2: 0.9}) + validated("a", {0: 0.9, 1: 0.9}, outputs=TRAINED)
    assert best_run(Listed(runs))[0].name == "a s2"
    assert best_run(Listed(runs), evaluable={"d"})[0].name == "a s2"


def test_after_a_sweep_best_is_a_run_that_can_be_evaluated() -> None:
    """Where no seed was tested, a run whose model and data are at hand can be; half a model cannot."""
    runs = validated("tested", {0: 0.8}) + validated("half", {0: 0.99}, outputs=())
    runs += validated("swept", {0: 0.9}, outputs=()) + validated("swept", {1: 0.9, 2: 0.9}, outputs=TRAINED)
    assert best_run(Listed(runs[2:]), evaluable={"d"})[0].name == "swept s1"
    best, how = best_run(Listed(runs), evaluable={"d"})
    assert best.name == "swept s1"
    assert how == (
        "best is swept s1: of the configurations that held validation data out, half has the highest validation "
        "accuracy, 0.9900 (one seed), but no run with test predictions, nor one that they can be computed with from "
        "the data at hand; the best that has one is swept, 0.9000 (mean of 3 seeds); the test set was not used"
    )
    assert best_run(Listed(runs), evaluable={"other"})[0].name == "tested s0"


def test_where_no_run_can_be_compared_the_best_is_named_all_the_same() -> None:
    """It can be shown, and asked for predictions."""
    runs = validated("a", {0: 0.9, 1: 0.9}, outputs=TRAINED) + validated("b", {0: 0.8}, outputs=TRAINED)
    best, how = best_run(Listed(runs))
    assert best.name == "a s0"
    assert "no run with" not in how


def test_best_is_sought_on_the_data_sets_named() -> None:
    """A better one on other data is none of the rivals; the sentence names the data."""
    runs = [*validated("a", {0: 0.8}), *validated("b", {0: 0.9})]
    runs[1] = replace(runs[1], params={**runs[1].params, "data.name": "e"})
    best, how = best_run(Listed(runs), ["d"])
    assert best.name == "a s0"
    assert how.startswith("best is a s0: of the configurations on d that held validation data out, a has")
    assert best_run(Listed(runs), ["d", "e"])[0].name == "b s0"
