"""The comparison page in a real browser: opened from disk, offline, wide and narrow, light and dark."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filled_project import RATE_01, RATE_05, RATE_09, filled_project

from softmax_regression.comparing.compare import compare
from softmax_regression.comparing.page import write_page
from softmax_regression.tracking.run_store import RunStore

pytestmark = pytest.mark.browser

REFS = [RATE_01, RATE_05, RATE_09, "small_lr0.1_b10_e3_s1"]
# Relative luminance and contrast as WCAG 2.2 defines them; every run of text against the nearest opaque ground.
LOWEST_CONTRAST = """() => {
    const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = e => {
        for (; e; e = e.parentElement) {
            const found = numbers(getComputedStyle(e).backgroundColor);
            if (found.length === 3 || found[3] > 0) return found;
        }
        return [255, 255, 255];
    };
    const ratios = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        if (!walker.currentNode.data.trim()) continue;
        const e = walker.currentNode.parentElement;
        const [a, b] = [light(numbers(getComputedStyle(e).color)), light(ground(e))];
        ratios.push((Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
    }
    return Math.min(...ratios);
}"""


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of four runs, with images, disagreements and a configuration of one seed."""
    root = filled_project(tmp_path_factory.mktemp("browser"))
    return write_page(compare(RunStore.open(root), root, REFS), root / "reports" / "compare.html")


@pytest.fixture(params=[(1280, "light"), (390, "light"), (1280, "dark"), (390, "dark")], ids=lambda p: f"{p[0]}-{p[1]}")
def opened(request: pytest.FixtureRequest, browser: Any, page_file: Path) -> Iterator[Any]:
    """The page, opened from disk without a network; whatever the console says fails the test."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
    page.goto(page_file.as_uri())
    yield page
    assert said == []
    context.close()


def test_the_page_shows_all_that_it_holds(opened: Any) -> None:
    """Every image has loaded, no part is wider than the window, and the verdicts can be seen."""
    images = opened.evaluate("[...document.images].map(image => image.complete && image.naturalWidth > 0)")
    assert len(images) > 20
    assert all(images)
    width = opened.viewport_size["width"]
    opened.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.get_by_text("Highest test accuracy: B (lr0.5 s0), 96.00%.").is_visible()


def test_text_can_be_read_in_light_and_dark(opened: Any) -> None:
    """Every text has a contrast of at least 4.5 to its ground, as WCAG asks (AA); light and dark differ."""
    opened.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    assert opened.evaluate(LOWEST_CONTRAST) >= 4.5
    dark = opened.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    ground = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground != "rgb(255, 255, 255)") == dark


def test_disagreements_open_without_a_script(opened: Any) -> None:
    """The second run's details are closed, and open by a click, or by the keyboard."""
    pictures = opened.get_by_alt_text("Share of each class that A (lr0.1 s0) and C (lr0.9 s0) have right", exact=False)
    assert not pictures.is_visible()
    opened.get_by_role("heading", name="C (lr0.9 s0) against A (lr0.1 s0)").click()
    assert pictures.is_visible()
    opened.keyboard.press("Enter")
    assert not pictures.is_visible()
