"""Folders of pictures, one a class: roses/1.jpg, or train/roses/1.jpg and test/roses/2.jpg."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from softmax_regression.data import npy
from softmax_regression.download.classes import Coder
from softmax_regression.download.finding import Found, part_of
from softmax_regression.download.pictures import Pictures
from softmax_regression.download.raw import Piece, Reading
from softmax_regression.params import OwnData
from softmax_regression.progress import shown


def read_pictures(found: Found, own: OwnData, folder: Path) -> Reading:
    """Return the pictures, as arrays in `folder`. Raises ValueError for folders that say no class."""
    if own.group:
        raise ValueError(f"download.own.group: {found.place} holds pictures, which have no columns; set it to null")
    pictures, pieces = Pictures(own), []
    for part, members in _by_part(found).items():
        coder = Coder()
        coder.add_array(np.array([name for name, _ in members]))
        stored = npy.write_blocks(
            folder / f"{part}.npy",
            shown(
                (pictures.read(path, str(path)) for _, path in members), f"reading {part or 'pictures'}", len(members)
            ),
        )
        pieces.append(Piece(stored, coder.column(), None, part))
    return Reading(pieces, pictures.settings, pictures.notes, scale=255)


def _by_part(found: Found) -> dict[str | None, list[tuple[str, Path]]]:
    """Return the pictures of each part with their classes."""
    names = {path: path.relative_to(found.place).parts for path in found.files}
    while len({parts[0] for parts in names.values()}) == 1 and min(map(len, names.values())) > 2:
        names = {path: parts[1:] for path, parts in names.items()}  # a folder around all others says nothing
    depths = Counter(len(parts) for parts in names.values())
    if len(depths) > 1 or max(depths) not in (2, 3):
        raise _unclear(found, [next(path for path in names if len(names[path]) == depth) for depth in depths])
    by_part: dict[str | None, list[tuple[str, Path]]] = {}
    for path, (*above, name, _) in names.items():
        part = part_of(*above)
        if (above and part is None) or (not above and all(part_of(parts[0]) for parts in names.values())):
            raise _unclear(found, [path])
        by_part.setdefault(part, []).append((name, path))
    return by_part


def _unclear(found: Found, examples: Sequence[Path]) -> ValueError:
    return ValueError(
        f"{found.place}: {' and '.join(str(path.relative_to(found.place)) for path in examples[:2])} name no class;"
        " pictures lie as CLASS/FILE, or as train/CLASS/FILE and test/CLASS/FILE"
    )
