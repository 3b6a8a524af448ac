"""The blocks of an HTML page: text, always escaped; tables that scroll by themselves; pictures inside the page."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


class Markup(str):
    """Text that is HTML already; everything else is escaped where it is put in."""


def text(words: str) -> str:
    """Return `words` as HTML text, escaped where they are not markup already."""
    return words if isinstance(words, Markup) else html.escape(words)


def table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]], align: str, *, look: str = "") -> Markup:
    """Return a table in a box that scrolls by itself; `align` has l, r or w (may be broken) for each column."""
    classes = [{"r": ' class="number"', "w": ' class="wide"'}.get(side, "") for side in align]
    head = "".join(
        f'<th scope="col"{c}>{text(words)}</th>' if words else f"<td{c}></td>"
        for words, c in zip(header, classes, strict=True)
    )
    body = "".join(
        f'<tr><th scope="row"{classes[0]}>{text(row[0])}</th>'
        + "".join(f"<td{c}>{text(words)}</td>" for words, c in zip(row[1:], classes[1:], strict=True))
        + "</tr>\n"
        for row in rows
    )
    label = html.escape(caption)
    shown = "" if look else f"<figcaption>{label}</figcaption>"
    return Markup(
        f'<figure class="table {look}">{shown}<div class="scroll" tabindex="0" role="region" aria-label="{label}">'
        f'<table aria-label="{label}"><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div></figure>'
    )


def paragraphs(words: Iterable[str], look: str = "") -> str:
    """Return paragraphs; what stands between `backticks` is code."""
    start = f'<p class="{look}">' if look else "<p>"
    return "\n".join(start + re.sub("`(.+?)`", r"<code>\1</code>", text(line)) + "</p>" for line in words)


def picture(svg: bytes, width: int, height: int, alt: str) -> Markup:
    """Return an SVG file as an <img> that holds it; `width` and `height` in pixels reserve its place."""
    source = base64.b64encode(svg).decode()
    return Markup(
        f'<img src="data:image/svg+xml;base64,{source}" width="{width}" height="{height}" alt="{html.escape(alt)}">'
    )


def pixels(image: npt.NDArray[Any], alt: str) -> Markup:
    """Return a grey image (H, W) uint8 as an <img> that holds it as PNG, shown pixel by pixel."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(file, "PNG", optimize=True)
    source = base64.b64encode(file.getvalue()).decode()
    return Markup(f'<img class="pixels" src="data:image/png;base64,{source}" alt="{html.escape(alt)}">')
