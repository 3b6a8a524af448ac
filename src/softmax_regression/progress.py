"""Progress of a training, and of what reads all data: a bar in a terminal, lines elsewhere (`dvc repro` in CI)."""

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Never, Self, TypeVar

from tqdm import tqdm

MAX_LINES = 50  # a training of more epochs than this prints every n-th one
PATIENCE = 2.0  # seconds before anything is shown of what may be quick
Block = TypeVar("Block", bound=Sized)


class Progress:
    """Shows how far a training of `epochs` epochs is; a context manager, so that the bar is closed on errors.

    Epochs are counted from 1; the first that is shown may be a later one, where a killed training resumes. With `show`
    false nothing is shown, as of one training of many.
    """

    def __init__(self, epochs: int, *, show: bool = True) -> None:
        self.epochs = epochs
        self.is_shown = show
        self.every = -(-epochs // MAX_LINES)
        self.started = time.monotonic()
        self.bar: tqdm[Never] | None = None
        if show and sys.stderr.isatty():
            self.bar = tqdm(total=epochs, unit="epoch", desc="train", dynamic_ncols=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def show(self, row: Mapping[str, float], words: str = "") -> None:
        """Show that the epoch `row["epoch"]` is over, with its other figures, and `words` after them."""
        epoch = int(row["epoch"])
        figures = " ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in row.items() if name != "epoch")
        figures = f"{figures} {words}".rstrip()
        if self.bar is not None:
            self.bar.set_postfix_str(figures, refresh=False)
            self.bar.update(epoch - self.bar.n)
        elif self.is_shown and (epoch % self.every == 0 or epoch in (1, self.epochs)):
            seconds = time.monotonic() - self.started
            print(f"epoch {epoch:>{len(str(self.epochs))}}/{self.epochs} {figures} ({seconds:.1f} s)", flush=True)


def shown(blocks: Iterable[Block], what: str, total: int | None, unit: str = " examples") -> Iterator[Block]:
    """Yield `blocks`, of `total` examples (or what else `unit` says) in all if that is known, and show how far that is.

    Nothing is shown of what takes less than two seconds. A bar in a terminal; elsewhere a line, and the next one after
    twice the time.
    """
    started, patience, done = time.monotonic(), PATIENCE, 0
    with tqdm(total=total, unit=unit, desc=what, delay=PATIENCE, leave=False, disable=not sys.stderr.isatty()) as bar:
        for block in blocks:
            yield block
            done += len(block)
            bar.update(len(block))
            if bar.disable and (seconds := time.monotonic() - started) > patience:
                print(f"{what}: {done:,}{f' of {total:,}' if total else ''} ({seconds:.0f} s)", flush=True)
                patience = 2 * seconds
