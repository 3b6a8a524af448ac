"""The state of a training in a file: every bit comes back, no pickle is read, what is damaged is told."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from tiny_disk import fill, tiny_disk

from softmax_regression.training import checkpoints
from softmax_regression.training.checkpoints import read_state, write_state

STATE: dict[str, Any] = {
    "weight": torch.tensor([[1.0, -0.0], [torch.nan, torch.inf]], dtype=torch.float64),
    "by number": {0: torch.tensor(0.1), 7: {"rates": [0.1, 1e-300, float("nan")], "none": None}},
    "steps": torch.arange(6).reshape(2, 3).T,  # not as it lies in memory
    "empty": torch.zeros(0, 3),
    "texts": ["tensor", "items", "ü"],
    "yes": True,
}


def same(found: Any, wanted: Any) -> bool:
    """Say whether two nested values are of the same kinds and bits."""
    if isinstance(wanted, torch.Tensor):
        alike = found.dtype == wanted.dtype and found.shape == wanted.shape
        return alike and bool(found.numpy().tobytes() == wanted.numpy().tobytes())
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(same(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    return type(found) is type(wanted) and repr(found) == repr(wanted)


def test_every_bit_comes_back(tmp_path: Path) -> None:
    """Numbers, NaN, keys that are numbers, tensors of every shape; a tuple comes back as a list."""
    write_state(tmp_path / "new" / "state", STATE | {"pair": (1, 2)})
    assert same(read_state(tmp_path / "new" / "state"), STATE | {"pair": [1, 2]})


def test_what_was_read_is_no_longer_the_file(tmp_path: Path) -> None:
    """A tensor that is changed in place leaves the file as it was."""
    write_state(tmp_path / "state", STATE)
    before = (tmp_path / "state").read_bytes()
    read_state(tmp_path / "state")["weight"].fill_(1)
    assert (tmp_path / "state").read_bytes() == before


@pytest.mark.parametrize("value", [{1, 2}, object(), b"bytes"])
def test_what_has_no_place_in_the_file_is_refused(tmp_path: Path, value: object) -> None:
    """Nothing is written of a state that would not come back; the old file stays."""
    write_state(tmp_path / "state", {"a": 1})
    with pytest.raises(TypeError):
        write_state(tmp_path / "state", {"a": value})
    assert read_state(tmp_path / "state") == {"a": 1}


def test_every_changed_bit_and_every_cut_is_told(tmp_path: Path) -> None:
    """Whichever byte of a file is another, or missing, it is a ValueError of one line."""
    path = tmp_path / "state"
    write_state(path, {"weight": torch.arange(4.0), "epoch": 3})
    whole = path.read_bytes()
    for place in range(len(whole)):
        for damaged in (whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :], whole[:place]):
            path.write_bytes(damaged)
            with pytest.raises(ValueError, match=r"^it is damaged.*$"):
                read_state(path)


class Trap:
    """An object whose pickle makes a file where it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    """A file that torch.save or pickle wrote is of another kind; the code in it does not run."""
    (tmp_path / "pickle").write_bytes(pickle.dumps(Trap(tmp_path / "trapped")))
    torch.save({"trap": Trap(tmp_path / "trapped")}, tmp_path / "torch")
    for name in ("pickle", "torch"):
        with pytest.raises(ValueError, match="damaged, or of another version"):
            read_state(tmp_path / name)
    assert not (tmp_path / "trapped").exists()


def test_nothing_is_written_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is written beside its place: the folder for temporary files may be full, or not there."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    write_state(tmp_path / "state", STATE)
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_full_disk_is_told_with_what_is_needed(tmp_path: Path) -> None:
    """One line says how much the state needs and how much is free; the old file stays, and nothing else."""
    with tiny_disk(tmp_path / "disk", 2**17) as disk:
        write_state(disk / "state", {"a": 1})
        fill(disk, leave=8192)
        with pytest.raises(OSError, match=r"state cannot be written: it needs 80,0\d\d bytes, and the disk is full"):
            write_state(disk / "state", {"weight": torch.zeros(20_000)})
        assert read_state(disk / "state") == {"a": 1}
        assert sorted(path.name for path in disk.iterdir()) == ["filler", "state"]


def test_a_disk_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's own error is none that a person sees in one line: it becomes an OSError, and the old file stays."""
    write_state(tmp_path / "state", {"a": 1})

    def fail(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: Input/output error (os error 5)")

    monkeypatch.setattr(checkpoints, "save_file", fail)
    with pytest.raises(OSError, match=r"state cannot be written: .*Input/output error"):
        write_state(tmp_path / "state", {"a": 2})
    assert read_state(tmp_path / "state") == {"a": 1}
