"""Arrays in files: .npz, .safetensors, or .npy files in a folder, whose names say what each is.

Names are read word by word: X_train and y_train, features and labels, test_images and test_labels, data and target.
Arrays come as maps: what an archive holds is unpacked first. N examples.
"""

import math
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from softmax_regression.data import npy
from softmax_regression.data.datasets import Array
from softmax_regression.download.classes import Coder
from softmax_regression.download.finding import Found, part_of, some, words_of
from softmax_regression.download.raw import Piece, Reading
from softmax_regression.params import OwnData

FEATURES = {"x", "feature", "features", "image", "images", "data", "input", "inputs"}
LABELS = {"y", "label", "labels", "target", "targets", "class"}
_NUMPY_TYPE = re.compile(r"BOOL|[IU](8|16|32|64)|F(16|32|64)")  # of the types that a .safetensors file may hold
_HOW_TO_NAME = "name them X and y, features and labels, or X_train, y_train, X_test and y_test"


def read_arrays(found: Found, own: OwnData, folder: Path) -> Reading:
    """Return the arrays. Raises ValueError for names that do not say what is what, and for what is no numbers."""
    arrays = {name: array for path in found.files for name, array in _arrays(path, found, folder)}
    known: dict[str, set[str]] = {
        "features": FEATURES,
        "labels": {own.label} if own.label else LABELS,
        "groups": {own.group} if own.group else set(),
    }
    by_part: dict[str | None, dict[str, Array]] = {}
    unread = []
    for name, array in arrays.items():
        words = set(words_of(name))
        role = next((role for role, names in known.items() if name in names or (words & names)), None)
        if name in own.leave_out or role is None or (array is not None and array.ndim == 0) or "names" in words:
            unread.append(name)
        elif array is None:
            raise ValueError(f"{found.place}: {name} holds Python objects, which are not read; save {name}.astype(str)")
        elif by_part.setdefault(part_of(name), {}).setdefault(role, array) is not array:
            raise ValueError(f"{found.place}: two arrays may be the {role}, one of them {name}; {_HOW_TO_NAME}")
    wanted = {"features", "labels"} | ({"groups"} if own.group else set())
    if not by_part or any(taken.keys() != wanted for taken in by_part.values()):
        lacking = f", but no array {own.group}" if own.group else ""
        raise ValueError(f"{found.place} holds {some([*arrays]) or 'no arrays'}{lacking}; {_HOW_TO_NAME}")
    pieces = [_piece(str(found.place), part, taken, folder) for part, taken in by_part.items()]
    settings: dict[str, Any] = {"label": own.label, "leave_out": ", ".join(sorted(own.leave_out)), "group": own.group}
    notes = [f"not read: {some(unread)}"] if unread else []
    scale = None
    if all(piece.values.dtype == np.uint8 for piece in pieces):
        largest = max(int(block.max()) for piece in pieces for block in npy.blocks(piece.values))
        scale = 255 if largest > 127 else max(1, largest)  # a byte that no example here reaches may come later
    return Reading(pieces, settings, notes, scale=scale)


def _piece(where: str, part: str | None, arrays: Mapping[str, Array], folder: Path) -> Piece:
    features, columns = arrays["features"], {}
    for role, array in arrays.items():
        if array.dtype.kind not in ("biuf" if role == "features" else "biufSU"):
            raise ValueError(f"{where}: its {role} are of type {array.dtype}; save them as numbers")
        if len(array) == 0:
            raise ValueError(f"{where}: its {role} are empty; give examples")
        if len(array) != len(features):
            raise ValueError(f"{where}: {len(features):,} features but {len(array):,} {role}; give one each")
        if role != "features":
            if array.size != len(array):
                raise ValueError(f"{where}: {role} of shape {array.shape}; give one number or text an example")
            coder = Coder()
            for block in npy.blocks(array.reshape(-1)):
                coder.add_array(block)
            columns[role] = coder.column()
    examples = _as_examples(features, where)
    return Piece(_in_bytes(examples, folder / f"bytes-{part}.npy"), columns["labels"], columns.get("groups"), part)


def _as_examples(array: Array, where: str) -> Array:
    """Return vectors (N, D), grey pictures (N, H, W) or colour pictures (N, H, W, 3)."""
    if array.ndim == 1:
        return array[:, None]
    if array.ndim == 4:  # one channel is none; three come first in torch, last elsewhere
        array = array[:, 0] if array.shape[1] == 1 else array[..., 0] if array.shape[3] == 1 else array
        array = np.moveaxis(array, 1, 3) if array.shape[1] == 3 != array.shape[-1] and array.ndim == 4 else array
    if array.ndim > 4 or (array.ndim == 4 and array.shape[3] != 3):
        raise ValueError(f"{where}: features of shape {array.shape}; give (N, D), (N, H, W) or (N, H, W, 3)")
    return array


def _in_bytes(pictures: Array, path: Path) -> Array:
    """Return pictures of whole numbers from 0 to 255, of whatever type, as bytes; others, and vectors, as they are."""
    if pictures.ndim == 2 or pictures.dtype == np.uint8:
        return pictures
    if any(((block < 0) | (block > 255) | (block != np.rint(block))).any() for block in npy.blocks(pictures)):
        return pictures
    return npy.write_blocks(path, (block.astype(np.uint8) for block in npy.blocks(pictures)))


def _arrays(path: Path, found: Found, folder: Path) -> Iterator[tuple[str, Array | None]]:
    """Yield the arrays in a file with their names; None stands for one of Python objects."""
    try:
        if path.suffix.lower() == ".npz":
            yield from _unzipped(path, folder)
        elif path.suffix.lower() == ".safetensors":
            yield from _of_safetensors(path, folder)
        else:
            yield (
                path.relative_to(found.place.parent if path == found.place else found.place).with_suffix("").as_posix(),
                _read(path),
            )
    except (OSError, EOFError, RuntimeError, NotImplementedError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        said = " ".join(str(error).removeprefix(f"{path}: ").replace(f"{folder}/", "").split())[:300]
        raise ValueError(f"{path} cannot be read ({said}); give a whole {path.suffix.lower()} file") from None


def _unzipped(path: Path, folder: Path) -> Iterator[tuple[str, Array | None]]:
    with zipfile.ZipFile(path) as archive:
        for number, name in enumerate(archive.namelist()):
            unpacked = folder / f"{path.stem}-{number}.npy"
            with archive.open(name) as packed, unpacked.open("wb") as file:
                shutil.copyfileobj(packed, file, 2**20)
            yield name.removesuffix(".npy"), _read(unpacked)


def _of_safetensors(path: Path, folder: Path) -> Iterator[tuple[str, Array | None]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            for number, name in enumerate(file.keys()):
                part = file.get_slice(name)
                if not _NUMPY_TYPE.fullmatch(dtype := part.get_dtype()):
                    raise ValueError(f"{name} is of type {dtype}, which NumPy has not; save it as float32")
                if shape := part.get_shape():
                    rows = max(1, 2**20 // max(1, math.prod(shape[1:])))
                    blocks = (part[start : min(start + rows, shape[0])] for start in range(0, shape[0], rows))
                    yield name, npy.write_blocks(folder / f"{path.stem}-{number}.npy", blocks)
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def _read(path: Path) -> Array | None:
    try:
        return npy.read(path)
    except ValueError as error:
        if "Python objects" in str(error):
            return None
        raise
