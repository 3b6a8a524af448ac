"""`promote RUN`: make a run's model the champion of MLflow's registry, if it is shown to be better than the one there.

What is asked, in this order, so that the test set is judged on last: do the closing checks hold, are the data those of
the champion, does the model as it is served answer as evaluate did, is the configuration better than the champion's on
images like these, and is the trained model itself not shown to be worse.
"""

import tempfile
from pathlib import Path

from softmax_regression.artifacts.experiment import Experiment
from softmax_regression.commands.served import check_served
from softmax_regression.comparing.compare import compare
from softmax_regression.comparing.run_files import RunFiles
from softmax_regression.lineage.naming import resolve
from softmax_regression.params import load_params
from softmax_regression.statistics.intervals import LEVEL
from softmax_regression.statistics.seeds import FEWEST_SEEDS
from softmax_regression.tracking.record import KEY, RunRecord
from softmax_regression.tracking.registry import CHAMPION, REPLACES, Registry
from softmax_regression.tracking.run_store import RunStore

_NONE = "none"
# The tags of a version that say what it was compared with.
_COMPARED = ("compared.run", "compared.key", "compared.comparisons", "verdict.p", "verdict.points", "verdict.seeds")
# A tag of an evaluated run -> why it is not promoted where that is true.
_FLAWS = {
    "reference.leak": "its test accuracy is too high to be true (a leak)",
    "worse_than_guessing": "it is worse than guessing",
}


def promote(root: Path, ref: str) -> str:
    """Make the model of the run that `ref` names (see naming.py) the champion; return what was done, as lines.

    Raises ValueError, with the reason and what to do, where it is refused; then nothing has changed but the number of
    comparisons that the test set has served. All that is recorded stands in the version before the alias moves: what
    ends this half-way leaves the old champion, and the next call completes it.
    """
    store = RunStore.open(root)
    registry = _registry(store, root)
    record, champion = resolve(store, root, ref).record, registry.champion()
    holder = resolve(store, root, CHAMPION).record if champion else None
    if champion and holder and holder.run_id == record.run_id:
        return f"{record} is the champion already: {registry.uri}, version {champion.number}"
    _check_evaluation(record)
    with tempfile.TemporaryDirectory() as folder:
        files = RunFiles(store, Path(folder))
        experiment = _experiment(files, record)
        if holder:
            _check_data(experiment, _experiment(files, holder), registry.name)
        check_served(store, root, record, experiment, files)
    tags = dict.fromkeys(_COMPARED, _NONE) | {REPLACES: _NONE, "verdict": "the first champion"}
    lines: tuple[str, ...] = ()
    if champion and holder:
        verdict, lines = _judge(store, root, holder, record)
        tags |= verdict | {REPLACES: champion.number}
        lines = (f"it replaces version {champion.number}, {holder}", *lines)
    if registry.champion() != champion:
        raise ValueError("another run has become the champion meanwhile; start again, to be compared with that one")
    version = registry.register(
        record.run_id, tags | {KEY: record.key, "data": str(experiment.params["data.name"]), "run": record.name}
    )
    registry.crown(version)
    return "\n".join([f"{record} is the champion now: {registry.uri}, version {version.number}", *lines])


def roll_back(root: Path) -> str:
    """Make the version that the champion replaced the champion again; return what was done, as a line.

    Raises ValueError where there is no champion, where it replaced none, and where that version was deleted.
    """
    registry = _registry(RunStore.open(root), root)
    champion, versions = registry.champion(), registry.versions()
    if champion is None:
        raise ValueError("there is no champion to take back; `softmax-regression promote RUN` makes one")
    number, now = champion.tags.get(REPLACES, _NONE), f"the champion, version {champion.number} of {registry.name},"
    if number == _NONE:
        raise ValueError(f"{now} replaced none; promote another run, or delete that version in MLflow")
    if number not in versions:
        raise ValueError(f"{now} replaced version {number}, which was deleted in MLflow; promote another run")
    before = versions[number]
    registry.crown(before)
    return f"{before.tags.get('run', before.run_id)} is the champion again: {registry.uri}, version {number}"


def _registry(store: RunStore, root: Path) -> Registry:
    return Registry(store, load_params(root / "params.yaml").registry.model)


def _check_evaluation(record: RunRecord) -> None:
    if "evaluate" not in record.outputs:
        raise ValueError(
            f"the run {record} was not evaluated on the test set; `dvc repro` does it for this workspace's, and "
            f"`softmax-regression compare {record.run_id} OTHER` for any whose data set is here"
        )
    failed = record.tags.get("checks.failed", "not recorded")
    flaws = [f"its closing checks: {failed}"] if failed != _NONE else []
    flaws += [words for tag, words in _FLAWS.items() if record.tags.get(tag) == "true"]
    if flaws:
        raise ValueError(f"the run {record} is not promoted: {'; '.join(flaws)}; promote one that passes")


def _experiment(files: RunFiles, record: RunRecord) -> Experiment:
    experiment = files.experiment(record)
    if experiment is None:
        raise ValueError(f"the run {record} holds no experiment.json; run `softmax-regression sync`")
    return experiment


def _check_data(own: Experiment, champions: Experiment, model: str) -> None:
    names = [str(one.params.get("data.name")) for one in (own, champions)]
    parts = [part for part in sorted({*own.data, *champions.data}) if own.data.get(part) != champions.data.get(part)]
    if parts or names[0] != names[1]:
        what = f"{names[0]}, not {names[1]}" if names[0] != names[1] else f"{names[0]} with other {', '.join(parts)}"
        raise ValueError(
            f"the run's data are not the champion's ({what}), so nothing says which is better; name the model of these "
            f"data otherwise than {model} (registry.model in params.yaml)"
        )


def _judge(store: RunStore, root: Path, holder: RunRecord, record: RunRecord) -> tuple[dict[str, str], tuple[str, ...]]:
    """Compare a run with the champion's; return what goes into the version's tags, and lines for the person.

    Raises ValueError unless the configuration is shown to be better and the trained model is not shown to be worse.
    """
    found = compare(store, root, [holder.run_id, record.run_id])
    if not found.configuration_tests:
        raise ValueError(
            f"the run {record} is of the champion's own configuration, so it is at most a luckier seed; promote a run "
            "of a better configuration"
        )
    (test,), (models,), noun = found.configuration_tests, found.models, found.noun
    judged, typical = test.like_these, test.median
    more = f"`softmax-regression compare champion {record.run_id} --seeds"
    if judged.p_value is None or judged.interval is None or typical is None:
        raise ValueError(
            f"the run {record} and the champion {holder} have {len(test.seeds)} of the {FEWEST_SEEDS} seeds in common "
            f"that a verdict takes; {more} 32` trains them"
        )
    pair = [run.experiment.configuration for run in found.runs]
    count = store.count_comparisons(found.runs[1].experiment.data, [pair])
    low, high = (100 * end for end in judged.interval)
    figures = (
        f"ahead with {test.wins[1]} of {len(test.seeds)} seeds, typically by {100 * typical:+.2f} points (median; 95% "
        f"interval on {noun} like these {low:.2f} to {high:.2f}; p = {judged.p_value:.2g})"
    )
    if judged.verdict == "a better":
        raise ValueError(
            f"the configuration of the run {record} is worse than that of the champion {holder}: {figures}; promote "
            "a run of a better one"
        )
    if judged.verdict != "b better":
        raise ValueError(
            f"the configuration of the run {record} is not shown to be better than that of the champion {holder}: "
            f"{figures}; more seeds show smaller differences: {more} 64` trains them"
        )
    if models.verdict == "a better":
        raise ValueError(
            f"the configuration of the run {record} is better than the champion's, but this trained model is worse: "
            f"{100 * models.difference:+.2f} points (McNemar p = {models.p_value:.2g}); promote another seed of it"
        )
    tags = {
        "compared.run": holder.run_id,
        "compared.key": holder.key,
        "compared.comparisons": str(count),
        "verdict": f"better: {figures}",
        "verdict.p": f"{judged.p_value:.3g}",
        "verdict.points": f"{100 * typical:+.2f} ({low:.2f} to {high:.2f})",
        "verdict.seeds": ", ".join(test.seeds),
    }
    return tags, (tags["verdict"], *_wear(judged.p_value, count, noun))


def _wear(p_value: float, count: int, noun: str) -> list[str]:
    """Return what to say about a test set that `count` comparisons have used: it is worn out where p count >= LEVEL."""
    if p_value * count < LEVEL:
        return []
    return [
        f"warning: corrected for the {count} comparisons that these test {noun} have served, the verdict no longer "
        f"holds at {1 - LEVEL:.0%} (p = {min(1.0, p_value * count):.2g}); measure on new {noun}"
    ]
