"""`predict IMAGE...`: what the trained model says about a person's own pictures, and what it saw of them."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from softmax_regression.artifacts.model import Model, read_model
from softmax_regression.evaluation.pictures import read_picture
from softmax_regression.lineage.naming import resolve
from softmax_regression.lineage.states import TRAIN, WORKSPACE
from softmax_regression.plots import images, look
from softmax_regression.tracking.run_store import RunStore

SHOWN = 3  # classes a line names, the most probable first


def predict_pictures(root: Path, pictures: Sequence[Path], ref: str, output: Path) -> Iterator[str]:
    """Yield what the model says about each picture, a few lines each, and draw what it saw into `output`.

    The model is that of the run that `ref` names (see naming.py); the workspace's needs no store. Raises
    FileNotFoundError or ValueError for a picture that is missing or damaged.
    """
    model = read_model(root / TRAIN) if ref == WORKSPACE else _model_of(root, ref)
    for path in pictures:
        picture = read_picture(path, model.example_shape)
        # What is seen is always 0 to 255; the model's pixels are whole numbers up to its scale.
        probabilities = model.probabilities(np.rint(picture.seen[None] * (np.asarray(model.scale) / 255)))[0]
        best = probabilities.argsort()[::-1][:SHOWN]
        said = ", ".join(f"{model.class_names[k]} {probabilities[k]:.1%}" for k in best)
        stem = output / path.stem
        look.save(images.own_picture(picture.original, picture.seen, probabilities, model.class_names), stem)
        yield f"{path}: {said}"
        if picture.notes:
            yield f"  {'; '.join(picture.notes)}"
        yield f"  what the model saw: {stem}.png"


def _model_of(root: Path, ref: str) -> Model:
    store = RunStore.open(root)
    record = resolve(store, root, ref).record
    with tempfile.TemporaryDirectory() as folder:
        for name in ("model.safetensors", "model.json"):
            store.download(record.run_id, name, Path(folder))
        return read_model(Path(folder))
