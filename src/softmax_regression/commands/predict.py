"""`predict FILE...`: what the trained model says about a person's own pictures, tables and arrays."""

import csv
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from softmax_regression.artifacts.model import Floats, Model, likeliest, read_model
from softmax_regression.commands.examples import ARRAYS, TABLES, read_examples
from softmax_regression.evaluation.pictures import Picture, read_picture
from softmax_regression.evaluation.prediction import answer_cells, answer_columns
from softmax_regression.files import atomic_path
from softmax_regression.lineage.naming import resolve
from softmax_regression.lineage.states import TRAIN, WORKSPACE
from softmax_regression.plots import images, look
from softmax_regression.tracking.run_store import RunStore

SHOWN_ROWS = 5  # of a table, as lines; its file has all


class Refusal(str):
    """A line that says why a file has no answer."""

    __slots__ = ()


def predict_files(root: Path, files: Sequence[Path], ref: str, output: Path) -> Iterator[str]:
    """Yield what the model says about each file, a few lines each; a `Refusal` for one that it cannot answer.

    Of a picture, what the model saw is drawn into the folder `output`; of a table or an array, all answers are written
    there, in the place of what an earlier call wrote of a file of that name. The model is that of the run that `ref`
    names (see naming.py); the workspace's needs no store. Raises FileNotFoundError or ValueError where there is no
    model, or it is damaged.
    """
    model = read_model(root / TRAIN) if ref == WORKSPACE else _model_of(root, ref)
    taken = {path.resolve() for path in files}  # no answer replaces a file that was asked about, or another answer
    for path in files:
        is_table = path.suffix.lower() in TABLES + ARRAYS
        place = _free_place(output / f"{path.stem}{'.csv' if is_table else '.png'}", taken)
        try:
            _check(path, model)
            yield from (_answer_rows if is_table else _answer_picture)(path, model, place)
        except (ValueError, OSError) as error:
            yield Refusal(f"error: {' '.join(str(error).split())}")


def _free_place(place: Path, taken: set[Path]) -> Path:
    """Return `place`, or the first of place-2, place-3, ... that is not taken, and take it."""
    stem, count = place.stem, 1
    while place.resolve() in taken:
        count += 1
        place = place.with_name(f"{stem}-{count}{place.suffix}")
    taken.add(place.resolve())
    return place


def _check(path: Path, model: Model) -> None:
    """Raise an error where there is no such file, or it is of a kind that the model does not take."""
    suffix = path.suffix.lower()
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "a pipe or a device"
        found = f"{path} is {kind}; give" if path.exists() else f"no such file: {path}; give the path of"
        raise FileNotFoundError(f"{found} a file")
    shape = " x ".join(map(str, model.example_shape))
    if model.is_of_images and suffix in TABLES:
        raise ValueError(f"{path} is a table; the model of {model.data} takes pictures: give PNG or JPEG files")
    if not model.is_of_images and suffix not in TABLES + ARRAYS:
        raise ValueError(
            f"{path} is no table; the model of {model.data} takes rows of {shape} features: give a"
            f" {', '.join(TABLES + ARRAYS)} file"
        )


def _answer_picture(path: Path, model: Model, place: Path) -> Iterator[str]:
    picture = read_picture(path, model.example_shape, framed=model.framed)
    if np.ndim(model.scale):
        stored: npt.NDArray[np.generic] = model.stored(picture.seen.reshape(1, -1))
    else:  # what is seen is always 0 to 255; the model's pixels are whole numbers up to its scale
        stored = np.rint(picture.seen[None] * (np.asarray(model.scale) / 255))
    probabilities = model.probabilities(stored)[0]
    drawn = np.sort(probabilities.argsort(kind="stable")[::-1][: look.CLASSES])
    names = [model.class_names[k] for k in drawn]
    figure = images.own_picture(picture.original, picture.seen, probabilities[drawn], names, size=picture.size)
    look.save(figure, place.with_suffix(""))
    yield f"{path} ({_sizes(picture)}): {_said(probabilities, model.class_names)}"
    if picture.notes:
        yield f"  {'; '.join(picture.notes)}"
    yield f"  what the model saw: {place}"


def _sizes(picture: Picture) -> str:
    """Return '1024 x 768, shrunk to 28 x 28'."""
    (width, height), (seen_height, seen_width) = picture.size, picture.seen.shape[:2]
    own, seen = f"{width} x {height}", f"{seen_width} x {seen_height}"
    change = "shrunk" if width * height > seen_width * seen_height else "enlarged"
    return own if own == seen else f"{own}, {change} to {seen}"


def _answer_rows(path: Path, model: Model, place: Path) -> Iterator[str]:
    examples, count = read_examples(path, model), 0
    with atomic_path(place) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["row", *answer_columns(model.class_names)])
        for block in examples.blocks:
            probabilities = model.probabilities(model.stored(block))
            if count == 0:
                yield f"{path}:"
                for row, of_row in enumerate(probabilities[:SHOWN_ROWS], start=1):
                    yield f"  row {row}: {_said(of_row, model.class_names)}"
            answers = answer_cells(probabilities, model.class_names)
            writer.writerows([row, *cells] for row, cells in enumerate(answers, start=count + 1))
            count += len(block)
    for note in examples.notes:
        yield f"  {note}"
    yield f"  {count:,} answer{'s' if count > 1 else ''}: {place}"


def _said(probabilities: Floats, class_names: Sequence[str]) -> str:
    """Return 'bright 97.0%, dark 3.0%': the best classes of one example."""
    return ", ".join(f"{class_names[k]} {probabilities[k]:.1%}" for k in likeliest(probabilities[None])[0])


def _model_of(root: Path, ref: str) -> Model:
    store = RunStore.open(root)
    record = resolve(store, root, ref).record
    with tempfile.TemporaryDirectory() as folder:
        for name in ("model.safetensors", "model.json"):
            store.download(record.run_id, name, Path(folder))
        try:
            return read_model(Path(folder))
        except ValueError as error:
            problem = str(error).replace(f"{folder}/", "").replace(folder, "it").rpartition("; ")[0]
            raise ValueError(
                f"the run {record}: {problem}; delete the run in MLflow, and run `softmax-regression sync`"
            ) from None
