"""The state of a training in one file, without pickle: tensors as safetensors, all else as JSON in its metadata."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from softmax_regression.files import atomic_path


def write_state(path: Path, state: Any) -> None:
    """Write dicts, lists, tuples, tensors of any device, numbers, texts and None, nested, to `path` in one step.

    Raises TypeError for any other value, OSError where there is no room, or the disk fails.
    """
    tensors: dict[str, Tensor] = {}
    rest = json.dumps(_without_tensors(state, tensors))
    metadata = {"rest": rest, "sha256": _digest(rest, tensors)}
    size = sum(tensor.nbytes for tensor in tensors.values()) + len(rest)
    with atomic_path(path, size) as temporary:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:
            raise OSError(f"{path} cannot be written: {error}; check the disk") from error


def read_state(path: Path) -> Any:
    """Return what `write_state` wrote, with every bit, its tensors on the CPU and its tuples as lists.

    Raises OSError where the file cannot be read, ValueError where it is damaged or no such file.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 (no dict)
    except SafetensorError as error:
        raise ValueError(f"it is damaged, or of another version: {error}") from None
    rest = metadata.get("rest", "")
    if metadata.get("sha256") != _digest(rest, tensors):
        raise ValueError("it is damaged: its digest is another")
    return _with_tensors(json.loads(rest), tensors)


def _without_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return `value` as JSON can hold it, keys that are numbers too, and move its tensors into `tensors`."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"items": [[key, _without_tensors(held, tensors)] for key, held in value.items()]}
    if isinstance(value, list | tuple):
        return [_without_tensors(held, tensors) for held in value]
    return value


def _with_tensors(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_with_tensors(held, tensors) for held in value]
    if isinstance(value, dict):
        if "tensor" in value:
            return tensors[value["tensor"]]
        return {key: _with_tensors(held, tensors) for key, held in value["items"]}
    return value


def _digest(rest: str, tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of all that a file holds; safetensors itself would not notice a changed bit."""
    digest = hashlib.sha256(rest.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
