"""DVC's plots work without internet: .dvc/config names a page that holds the libraries DVC would load from a server.

The confusion matrix has a template of its own, which draws it as ours is drawn.
"""

from __future__ import annotations

import configparser
import hashlib
import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from dvc_render.html import render_html  # type: ignore[import-untyped]  # DVC publishes no types
from dvc_render.vega import VegaRenderer  # type: ignore[import-untyped]  # nor here

from softmax_regression.files import read_yaml

DVC = Path(__file__).parents[1] / ".dvc"
TEMPLATE = DVC / "plots" / "offline.html"
SCRIPT = re.compile(r'<script data-library="(\S+)" data-sha256="(\w+)">\n(.*?)</script>', re.DOTALL)
LOADED = re.compile(r"""<\w[^>]*\b(?:src|href)\s*=\s*["']?(?:https?:|//)[^>]*>|\burl\(|@import""")


def loaded_by(plot_page: Path) -> list[str]:
    """Return the tags and styles that make a browser load something from a server; libraries' own text left out."""
    return LOADED.findall(SCRIPT.sub("", plot_page.read_text(encoding="utf-8")))


def rendered(folder: Path, template: Path | None) -> Path:
    """Write the page of one small plot as `dvc plots show` does and return its path."""
    plot = VegaRenderer([{"epoch": 1, "loss": 0.5, "rev": "workspace"}], "loss", x="epoch", y="loss")
    return Path(render_html([plot], folder / "index.html", html_template=template))


@pytest.fixture(scope="module")
def page() -> str:
    """Return the text of the template."""
    return TEMPLATE.read_text(encoding="utf-8")


def test_the_config_names_the_template_and_calls_no_one() -> None:
    """html_template is a file, by its path from .dvc/; usage reports and the search for new versions are off."""
    config = configparser.ConfigParser()
    config.read_string((DVC / "config").read_text())
    assert DVC / config["plots"]["html_template"] == TEMPLATE
    assert TEMPLATE.is_file()
    assert [config["core"].getboolean(key) for key in ("analytics", "check_update")] == [False, False]


def test_the_template_has_the_marks_that_dvc_fills(page: str) -> None:
    """Plots and the refresh tag have a place, once; the script tags, which load from a server, have none."""
    assert [page.count(mark) for mark in ("{plot_divs}", "{refresh_tag}", "{scripts}")] == [1, 1, 0]


def test_the_libraries_are_those_that_dvc_would_load(page: str) -> None:
    """The template holds the very versions that this DVC asks for, in its order."""
    wanted = re.findall(r"npm/(\S+?)\"", VegaRenderer.SCRIPTS)
    assert wanted
    assert [library for library, _, _ in SCRIPT.findall(page)] == wanted


def test_the_libraries_are_whole(page: str) -> None:
    """Each library has the digest that stands in its tag: that of the published file."""
    for library, digest, text in SCRIPT.findall(page):
        assert hashlib.sha256(text.encode()).hexdigest() == digest, library


def test_a_plot_in_the_template_loads_nothing(tmp_path: Path) -> None:
    """A page with a plot, as `dvc plots show` writes it, has the plot and asks no server for anything."""
    written = rendered(tmp_path, TEMPLATE)
    assert "vegaEmbed('#loss'" in written.read_text(encoding="utf-8")
    assert loaded_by(written) == []


def test_the_search_for_servers_can_fail(tmp_path: Path) -> None:
    """In DVC's own page the same search finds the three libraries."""
    assert len(loaded_by(rendered(tmp_path, None))) == 3


@pytest.mark.browser
def test_the_confusion_matrix_is_drawn_as_ours_is(browser: Any, tmp_path: Path) -> None:
    """Rows are actual classes, columns predicted ones, both in the order of the labels, not of the alphabet."""
    plots = read_yaml((DVC.parent / "dvc.yaml").read_text(), "dvc.yaml")["plots"]
    (settings,) = (plot["confusion"] for plot in plots if isinstance(plot, dict) and "confusion" in plot)
    (actual,) = settings["y"].values()
    template = DVC / "plots" / f"{settings['template']}.json"
    counts = zip(itertools.product(("dog", "cat"), repeat=2), "7310", strict=True)
    cells = [{"actual": a, "predicted": p, "examples": n, "rev": "workspace"} for (a, p), n in counts]
    plot = VegaRenderer(cells, "cm", template=str(template), x=settings["x"], y=actual)
    page = browser.new_page()
    page.goto(Path(render_html([plot], tmp_path / "index.html", html_template=TEMPLATE)).as_uri())
    draw = "async spec => { await vegaEmbed('body', spec, {renderer: 'svg', actions: false}) }"
    page.evaluate(draw, plot.get_filled_template())
    words = page.locator("svg text").all_text_contents()
    titles = {name: page.get_by_text(name, exact=True).bounding_box() for name in ("actual", "predicted")}
    page.close()
    assert [word for word in words if word in ("cat", "dog", *"7310")] == ["dog", "cat", "dog", "cat", *"7310"]
    assert titles["predicted"]["y"] > titles["actual"]["y"]  # below the columns
    assert titles["predicted"]["x"] > titles["actual"]["x"]
