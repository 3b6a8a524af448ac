"""A comparison as one HTML page that stands alone: no network, no script, opened from disk; light and dark.

page.html.jinja lays it out. Seeds, curves, confusion matrices and class differences are pictures of plots/; the test
images are small PNG files with their captions in text, so that they wrap on a telephone and can be read aloud.
"""

import base64
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt

from softmax_regression.artifacts.experiment import digest
from softmax_regression.comparing import rows, sentences, verdicts
from softmax_regression.comparing.comparison import ComparedRun, Comparison, Disagreement, most_differing
from softmax_regression.evaluation.confusion import confused_pairs, confusion
from softmax_regression.files import write_atomically
from softmax_regression.plots import curves, quality, seeds
from softmax_regression.plots.look import CLASSES, svg_bytes

FEW_PAIRS = 3  # up to so many pairs each is shown in full
_LONGEST = 120  # letters of the runs' names in a page's; file systems take 255


def page_name(runs: Sequence[ComparedRun]) -> str:
    """Return '<a>-vs-<b>-<digest>.html': letters, digits, '.', '_' and '-' of the runs' names, the digest of their ids.

    The same runs in the same order have the same name, others another one, however alike they are called.
    """
    names = (re.sub(r"[^\w.]+", "-", run.record.name, flags=re.ASCII).strip("-.") or run.letter for run in runs)
    return f"{'-vs-'.join(names)[:_LONGEST]}-{digest(' '.join(run.record.run_id for run in runs))[:8]}.html"


def write_page(comparison: Comparison, path: Path) -> Path:
    """Write the page to `path`, whole or not at all; the same comparison gives the same bytes. Return `path`."""
    write_atomically(path, page(comparison))
    return path


def page(comparison: Comparison) -> str:
    """Return the page as HTML; all that is put into it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("softmax_regression.comparing", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja").render(
        comparison=comparison,
        few_pairs=FEW_PAIRS,
        few_classes=CLASSES,
        rows=rows,
        sentences=sentences,
        verdicts=verdicts,
        seeds=_seeds(comparison),
        curves=_curves(comparison.runs),
        confusion=_confusion,
        class_differences=_class_differences,
        examples_by_class=_examples_by_class,
        png=_png,
    )


def _seeds(comparison: Comparison) -> dict[str, Any] | None:
    """Draw the pairs of configurations that have seeds in common, of many those with the first configuration."""
    tests, first = comparison.configuration_tests, comparison.configurations[0].name
    drawn = [test for test in tests if test.seeds and (len(tests) <= FEW_PAIRS or first in test.names)]
    if not drawn:
        return None
    intervals = np.array([test.these.interval or (np.nan, np.nan) for test in drawn])
    wins = (f"{a} {test.wins[0]}, {b} {test.wins[1]}" for test in drawn for a, b in [test.names])
    return _picture(
        seeds.seed_differences([test.names for test in drawn], [test.differences for test in drawn], intervals),
        f"Differences of test accuracy by seed, in order. Seeds on which each is better: {'; '.join(wins)}.",
    )


def _curves(runs: Sequence[ComparedRun]) -> dict[str, Any] | None:
    histories = {run.name: run.history for run in runs if run.history}
    if not histories:
        return None
    last = ", ".join(f"{name} {history.last.train_loss:.4f}" for name, history in histories.items())
    return _picture(
        curves.compare_curves({name: (history.held_out, history.columns()) for name, history in histories.items()}),
        f"Training loss and held-out accuracy by epoch, one line a run. Last training loss: {last}",
    )


def _confusion(run: ComparedRun, names: Sequence[str]) -> dict[str, Any]:
    answers = run.predictions.labels, run.predictions.predicted
    found = confusion(*answers, names, CLASSES)
    worst = confused_pairs(*answers)[:3]
    told = "; ".join(f"{names[i]} taken for {names[j]} {count:,} times" for i, j, count in worst)
    return _picture(
        quality.confusion_matrix(found.matrix, found.names, normalize=True, note=found.note),
        f"Confusion matrix of {run.name}. Most often: {told or 'no mistake'}.",
    )


def _class_differences(found: Disagreement, names: Sequence[str]) -> dict[str, Any]:
    """Draw the classes or, where these are too many, those on which most examples differ."""
    a, b = found.a, found.b
    drawn = most_differing([found], CLASSES)
    shares = np.array([[run.share_right(k) for k in drawn] for run in (a, b)], dtype=float)
    tests = [found.classes[k] for k in drawn]
    intervals = np.array([test.interval if test else (np.nan, np.nan) for test in tests])
    shown = a.hint or "A", (b.hint or "B") if b.letter == "B" else b.name
    return _picture(
        quality.class_differences(shares[0], shares[1], [names[k] for k in drawn], names=shown, intervals=intervals),
        f"Share of each class that {a.name} and {b.name} have right; the table below has the figures.",
    )


def _examples_by_class(found: Disagreement) -> list[tuple[int, dict[str, npt.NDArray[np.int64]]]]:
    """Return the classes on which two runs differ, the one with most first, with the test examples of each kind."""
    labels, counts = found.a.predictions.labels, found.by_class().sum(axis=1)
    words = (f"Only {found.a.letter} is right", f"Only {found.b.letter} is right", "Neither is right")
    kinds = dict(zip(words, found.kinds, strict=True))
    return [
        (k, {kind: indices[labels[indices] == k] for kind, indices in kinds.items()})
        for k in np.argsort(-counts, kind="stable")
        if counts[k]
    ]


def _picture(figure: Any, alt: str) -> dict[str, Any]:
    """Return a figure of plots/ as the template's picture."""
    width, height = (round(side * figure.dpi) for side in figure.get_size_inches())
    return {"source": _source("svg+xml", svg_bytes(figure)), "width": width, "height": height, "alt": alt}


def _png(image: npt.NDArray[np.uint8]) -> str:
    """Return an image (H, W), grey, or (H, W, 3), uint8 as the source of an <img>."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(file, "PNG", optimize=True)
    return _source("png", file.getvalue())


def _source(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
