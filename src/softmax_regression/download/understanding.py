"""What is in a prepared data set, and what may be wrong with it: plain values for report.json, and lines to read."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from softmax_regression.data import npy
from softmax_regression.data.datasets import Array, Dataset, Examples
from softmax_regression.download.finding import some
from softmax_regression.numerics.randomness import permutation
from softmax_regression.progress import shown

_SAMPLE = 2**24  # values by which columns are tried one by one: two seconds
_FEWEST, _MOST = 256, 10_000  # examples in that sample
_CLASSES = 20  # so many of the largest classes
_GIVES_AWAY = 0.05  # of the errors of always answering the largest class
_SHOWN = 4  # classes of each end, where there are many


def describe(dataset: Dataset) -> dict[str, Any]:
    """Return what is in a data set, as plain values.

    class_counts: examples of each class, in label order; range: smallest and largest stored value.
    duplicates: how many examples of a part equal an earlier one of the same part in every value;
    test_examples_in_train: how many test examples equal a training example; conflicting_labels: how many different
    examples stand anywhere under more than one label.
    Of vectors, in the training part: constant_features, and giveaways, which alone tell the largest classes apart.
    """
    splits = {"train": dataset.train, "test": dataset.test}
    facts = {split: _survey(examples, split) for split, examples in splits.items()}
    seen = {split: fingerprints for split, (_, _, fingerprints) in facts.items()}
    low, high, _ = facts["train"]
    is_vector = len(dataset.example_shape) == 1
    suspects = {"constant_features": low == high, "giveaways": gives_away(dataset.train)} if is_vector else {}
    return {
        "name": dataset.name,
        "class_names": list(dataset.class_names),
        "example_shape": list(dataset.example_shape),
        "type": dataset.train.images.dtype.name,
        "scale": list(dataset.scale) if isinstance(dataset.scale, tuple) else dataset.scale,
        **{
            split: {
                "examples": len(examples),
                "class_counts": np.bincount(examples.labels, minlength=dataset.num_classes).tolist(),
                "range": [facts[split][0].min().item(), facts[split][1].max().item()],
                "duplicates": len(examples) - len(np.unique(seen[split])),
            }
            for split, examples in splits.items()
        },
        "test_examples_in_train": int(np.isin(seen["test"], seen["train"]).sum()),
        "conflicting_labels": _conflicting(seen.values(), (examples.labels for examples in splits.values())),
        **{
            fact: [
                dataset.feature_names[j] if dataset.feature_names else f"feature {j + 1}"
                for j in np.flatnonzero(columns)
            ]
            for fact, columns in suspects.items()
        },
    }


def understood(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the report says, in lines for a person."""
    read = report.get("read", {})
    names, train, test = report["class_names"], report["train"], report["test"]
    shape = " x ".join(map(str, report["example_shape"]))
    kind = "features" if len(report["example_shape"]) == 1 else "pixels"
    yield f"{report['name']}: {read.get('from', 'a known data set')}"
    split = f", split {read['split']}" if read else ""
    yield f"  examples:  {train['examples']:,} to train with, {test['examples']:,} to test with{split}"
    yield f"  {kind + ':':<10} {shape}{', standardised' if report.get('standardise') else ''}"
    counts = [a + b for a, b in zip(train["class_counts"], test["class_counts"], strict=True)]
    yield f"  classes:   {len(names):,}: {_classes(names, counts)}"
    for note in read.get("notes", []):
        yield f"  note:      {note}"
    yield from (f"  attention: {warning}" for warning in _warnings(report))


def _classes(names: Sequence[str], counts: Sequence[int]) -> str:
    said = [f"{name} ({count:,})" for name, count in zip(names, counts, strict=True)]
    if len(said) <= 2 * _SHOWN + 2:
        return ", ".join(said)
    order = sorted(range(len(counts)), key=lambda k: -counts[k])
    largest, smallest = (", ".join(said[k] for k in part) for part in (order[:_SHOWN], order[-_SHOWN:]))
    return f"the largest are {largest}; the smallest {smallest}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{' is' if number == 1 else 's are'}"


def _warnings(report: Mapping[str, Any]) -> Iterator[str]:
    names, train, test = report["class_names"], report["train"], report["test"]
    if overlap := report["test_examples_in_train"]:
        yield f"{_count(overlap, 'test example')} among the training examples, too: the test accuracy is too good"
    for part, facts in (("training", train), ("test", test)):
        if facts["duplicates"]:
            yield f"{_count(facts['duplicates'], f'{part} example')} the same as an earlier one"
    if conflicts := report["conflicting_labels"]:
        yield f"{_count(conflicts, 'example')} under more than one class"
    if report.get("constant_features"):
        yield f"features with one value alone, which say nothing: {some(report['constant_features'])}"
    if report.get("giveaways"):
        yield f"one feature alone tells the classes apart, as if the label were in it: {some(report['giveaways'])}"
    for part, facts, effect in (
        ("training", train, "they will always be answered wrong"),
        ("test", test, "nothing says how well they are answered"),
    ):
        if lacking := [name for name, count in zip(names, facts["class_counts"], strict=True) if not count]:
            yield f"classes without {part} examples, {effect}: {some(lacking)}"
    folded: dict[str, list[str]] = {}
    for name in names:
        folded.setdefault(name.casefold(), []).append(name)
    if alike := [" and ".join(group) for group in folded.values() if len(group) > 1]:
        yield f"classes that differ in small and capital letters alone: {some(alike)}"


def gives_away(train: Examples) -> npt.NDArray[np.bool_]:
    """Return for each feature (D,) whether it alone tells the largest classes apart.

    Half of a sample is answered by the other half's nearest in that one feature; so it is found whether the
    label itself is a feature, a code of it, or the number of a row in a sorted table. It gives the label away where
    fewer than a twentieth of the errors are left that the largest class makes as the answer to all.
    """
    counts = np.bincount(train.labels)
    largest = np.argsort(-counts, kind="stable")[:_CLASSES]
    members = np.flatnonzero(np.isin(train.labels, largest))
    size = min(len(members), max(_FEWEST, min(_MOST, _SAMPLE // train.images.shape[1])))
    rows = members[np.linspace(0, len(members) - 1, size).astype(np.int64)]
    features, labels = np.concatenate([*npy.blocks(train.images, rows)]), train.labels[rows]
    known, asked = np.array_split(permutation("columns one by one", size), 2)
    largest_class = (labels[asked] != np.bincount(labels[known]).argmax()).sum()
    found = np.zeros(features.shape[1], bool)
    for j, column in enumerate(np.ascontiguousarray(features.T)):
        order = np.argsort(column[known], kind="stable")
        values = column[known][order].astype(np.int64)
        after = np.searchsorted(values, column[asked]).clip(1, len(values) - 1)
        nearer = np.where(values[after] - column[asked] < column[asked] - values[after - 1], after, after - 1)
        errors = (labels[known][order][nearer] != labels[asked]).sum()
        found[j] = errors < _GIVES_AWAY * largest_class
    return found


def _survey(examples: Examples, part: str) -> tuple[Array, Array, npt.NDArray[np.uint64]]:
    """Return the smallest and largest stored value of each feature (D,), and a fingerprint of each example (N,).

    A fingerprint has 8 bytes, equal where all values are (two of a million others agree with chance 1e-8).
    """
    size = examples.images[0].size
    low, high = np.full(size, 2**15, np.int32), np.full(size, -(2**15), np.int32)
    digests = bytearray()
    for block in shown(npy.blocks(examples.images), f"comparing {part}", len(examples)):
        rows = np.ascontiguousarray(block).reshape(len(block), -1)
        np.minimum(low, rows.min(axis=0), out=low)
        np.maximum(high, rows.max(axis=0), out=high)
        for row in rows:
            digests += hashlib.blake2b(row.data, digest_size=8).digest()
    return low, high, np.frombuffer(digests, "<u8")


def _conflicting(fingerprints: Iterable[npt.NDArray[np.uint64]], labels: Iterable[Array]) -> int:
    """Return how many fingerprints stand under more than one label."""
    every, label = np.concatenate([*fingerprints]), np.concatenate([*labels])
    order = np.argsort(every, kind="stable")
    every, label = every[order], label[order]
    starts = np.flatnonzero(np.append(True, every[1:] != every[:-1]))
    return int((np.minimum.reduceat(label, starts) != np.maximum.reduceat(label, starts)).sum())
