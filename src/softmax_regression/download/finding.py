"""A person's own data set in the folder datasets/: a file or a folder with its name, and which files are which part.

Training, validation and test parts are told by words in the names of files and folders, as Hugging Face's loaders do:
train-00000-of-00002.parquet, X_test.npy, valid/roses/1.jpg.
"""

import difflib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from softmax_regression.download.registry import DATA_SETS

KINDS = {
    "table": (".csv", ".tsv", ".parquet"),
    "arrays": (".npz", ".safetensors", ".npy"),
    "pictures": (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
}
_KIND_OF = {ending: kind for kind, endings in KINDS.items() for ending in endings}
# https://huggingface.co/docs/hub/datasets-file-names-and-splits
_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}


@dataclass(frozen=True)
class Found:
    """A data set as it lies there: `files` of one kind, sorted, below `place`, which is the file itself or a folder."""

    place: Path
    kind: str
    files: tuple[Path, ...]
    others: tuple[Path, ...] = ()  # of no kind that is read


def find(name: str, folder: Path) -> Found:
    """Return the data set `name` in `folder`. Raises ValueError for what is not there, is twice or of no known kind."""
    places, entries = named(name, folder), _entries(folder)
    if len(places) > 1:
        raise ValueError(f"data.name: {' and '.join(map(str, places))} have one name; rename one")
    if places:
        return _look_into(places[0])
    if odd := next((path for path in entries if _stem(path) == name), None):
        if odd.suffix == ".dvc":
            raise ValueError(f"data.name: {odd.with_suffix('')} is not here, only {odd}; run `dvc pull {odd}`")
        raise ValueError(f"data.name: {odd} is of no kind that is read: {', '.join(_KIND_OF)}, or a folder")
    own = sorted({_stem(path) for path in entries if _is_readable(path)})
    near = difflib.get_close_matches(name, [*own, *DATA_SETS], n=1)
    raise ValueError(
        f"data.name: unknown data set {name[:100]!r}; {f'did you mean {near[0]}? ' if near else ''}known are"
        f" {', '.join(DATA_SETS)}; in {folder}/ there {f'are {some(own)}' if own else 'is none'}"
    )


def named(name: str, folder: Path) -> list[Path]:
    """Return the files and folders in `folder` that may be the data set `name`."""
    return [path for path in _entries(folder) if _stem(path) == name and _is_readable(path)]


def words_of(*names: str) -> list[str]:
    """Return the words of names, in small letters: x and train of X_train."""
    return [word for name in names for word in re.findall(r"[^\W\d_]+", name.lower())]


def part_of(*names: str) -> str | None:
    """Return "train", "validation" or "test", as the first such word in `names` says; None where none does."""
    return next((_WORDS[word] for word in words_of(*names) if word in _WORDS), None)


def _entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _stem(path)) if folder.is_dir() else []


def _stem(path: Path) -> str:
    """Return the name up to the first dot; nothing for what is hidden, for a folder with a dot and for the README."""
    stem, dot, _ = path.name.partition(".")
    return "" if (dot and path.is_dir()) or path.name == "README.md" else stem


def _is_readable(path: Path) -> bool:
    return path.is_dir() or path.suffix.lower() in _KIND_OF


def _look_into(place: Path) -> Found:
    if place.is_file():
        return Found(place, _KIND_OF[place.suffix.lower()], (place,))
    files = sorted(
        Path(folder, name)
        for folder, _, names in os.walk(place, followlinks=True)
        for name in names
        if not any(part.startswith(".") for part in Path(folder, name).relative_to(place).parts)
    )
    if odd := [path for path in files if not path.is_file()]:
        raise ValueError(f"{odd[0]} is a pipe, a device or a broken link; take it out of {place}")
    by_kind: dict[str | None, list[Path]] = {}
    for path in files:
        by_kind.setdefault(_KIND_OF.get(path.suffix.lower()), []).append(path)
    others = by_kind.pop(None, [])
    if len(by_kind) != 1:
        found = " and ".join(f"{kind} ({paths[0].relative_to(place)})" for kind, paths in by_kind.items())
        raise ValueError(f"{place} holds {found or 'nothing that is read'}; keep files of one kind in it: {_listed()}")
    ((kind, paths),) = by_kind.items()
    assert kind
    if kind == "table" and (parts := [path for path in paths if part_of(*path.relative_to(place).parts)]):
        paths, others = parts, [*others, *(path for path in paths if path not in parts)]
    for path in paths:
        if shard := re.fullmatch(r"(.*)-\d{5}-of-(\d{5})", path.stem):
            count = sum(
                re.fullmatch(rf"{re.escape(shard[1])}-\d{{5}}-of-{shard[2]}", other.stem) is not None for other in paths
            )
            if count != int(shard[2]):
                raise ValueError(
                    f"{place} holds {count} of the {int(shard[2])} files that {path.name} counts; add the others"
                )
    return Found(place, kind, tuple(paths), tuple(others))


def _listed() -> str:
    return "; ".join(f"{kind}: {', '.join(endings)}" for kind, endings in KINDS.items())


def some(names: Sequence[str], most: int = 12) -> str:
    """Return names as a list to read, in one line, the first of them where they are many."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(" ".join(name.split()) for name in names[:most]) + more
