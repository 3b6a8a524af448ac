"""HTML blocks: nothing gets in unescaped, and pictures are inside."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from softmax_regression.comparing.markup import Markup, paragraphs, picture, pixels, table, text

NASTY = '<script>"&'
SAFE = "&lt;script&gt;&quot;&amp;"


def test_text_is_escaped_once() -> None:
    """Plain text is escaped, markup is left alone."""
    assert text(NASTY) == SAFE
    assert text(Markup("<b>")) == "<b>"


def test_a_table_escapes_all_that_it_is_given() -> None:
    """Caption, header, rows: five nasty texts and the caption in three places come out safe."""
    found = table(NASTY, [NASTY, ""], [[NASTY, NASTY], ["", NASTY]], "lr")
    assert NASTY not in found
    assert found.count(SAFE) == 3 + 4
    assert '<td class="number"></td></tr></thead>' in found  # an empty head is no header


def test_backticks_are_code_after_escaping() -> None:
    """What stands between backticks is code, and still escaped."""
    assert paragraphs(["run `a < b`, or `c`"]) == "<p>run <code>a &lt; b</code>, or <code>c</code></p>"
    assert paragraphs(["x", "y"], "muted") == '<p class="muted">x</p>\n<p class="muted">y</p>'


def test_pictures_are_inside_the_page() -> None:
    """An SVG file goes in whole, with its size and an escaped description."""
    found = picture(b"<svg/>", 4, 3, NASTY)
    encoded = base64.b64encode(b"<svg/>").decode()
    assert found == f'<img src="data:image/svg+xml;base64,{encoded}" width="4" height="3" alt="{SAFE}">'


def test_an_image_keeps_its_pixels() -> None:
    """The PNG file in the page holds the very pixels."""
    image = np.arange(30, dtype=np.uint8).reshape(6, 5)
    found = pixels(image, NASTY)
    assert f'alt="{SAFE}"' in found
    encoded = found.partition("base64,")[2].partition('"')[0]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded)))), image)
