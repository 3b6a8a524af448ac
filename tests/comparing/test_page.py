"""The page of a comparison: whole, self-contained, escaped, and the same bytes for the same runs."""

import base64
import dataclasses
import io
import itertools
import re
import string
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filled_project import RATE_01, RATE_05, RATE_09
from PIL import Image

from softmax_regression.comparing.compare import compare
from softmax_regression.comparing.comparison import ComparedRun, Comparison, disagreement
from softmax_regression.comparing.page import page, page_name, write_page
from softmax_regression.comparing.run_files import Predictions
from softmax_regression.plots import quality
from softmax_regression.statistics.seeds import compare_all_configurations
from softmax_regression.tracking.run_store import RunStore

NASTY = '<script>"&'
VOID = {"meta", "link", "img", "br"}  # elements without an end


class Reader(HTMLParser):
    """Reads a page: every element has its end in the right place; keeps attributes, headings and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.headings: list[tuple[str, str]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the element."""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Check that it ends what is open."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep text that people see."""
        if "style" in self.open:
            return
        self.text += data
        for tag in self.open:
            if tag in ("h1", "h2", "h3", "h4"):
                self.headings.append((tag, data))

    def all(self, tag: str) -> list[dict[str, str]]:
        """Return the attributes of every element of this kind."""
        return [attributes for found, attributes in self.elements if found == tag]


@pytest.fixture(scope="module")
def html(two: Comparison) -> str:
    """Their page."""
    return page(two)


@pytest.fixture(scope="module")
def read(html: str) -> Reader:
    """The page, read."""
    return Reader(html)


def test_the_verdicts_come_first(read: Reader) -> None:
    """Both questions and their answers come before all sections; headings step down one level at a time."""
    headings = [words for tag, words in read.headings if tag == "h2"]
    assert headings[:2] == [
        "Are these trained models different on images like these?",
        "Is one configuration better, beyond the luck of the seed?",
    ]
    assert headings[2:] == [
        "The runs",
        "Seed by seed",
        "Curves",
        "Params",
        "The same images in each run",
        "Confusion matrices",
        "Where they disagree",
        "Statistics",
    ]
    assert read.text.index("Yes: B (lr0.5) is better.") < read.text.index(
        "test accuracy"
    )  # the head of the first table
    levels = [int(tag[1]) for tag, _ in read.headings]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_nothing_is_loaded_from_elsewhere(read: Reader, html: str) -> None:
    """Every source is inside the page, every link leads within it, there is no script, and the policy forbids more."""
    for _, attributes in read.elements:
        assert attributes.get("src", "data:").startswith("data:")
        assert attributes.get("href", "#").startswith(("#", "data:"))
    assert not read.all("script")
    assert "url(" not in html
    assert "@import" not in html
    policies = [meta["content"] for meta in read.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_seeds_are_drawn_with_who_wins_them(six: Comparison) -> None:
    """The picture of one pair, its words, and the verdict: yes, by six of six seeds."""
    read = Reader(page(six))
    assert "Yes: B (lr0.5) is better.\nB (lr0.5) beats A (lr0.1)" in read.text
    (alt,) = [image["alt"] for image in read.all("img") if "by seed" in image["alt"]]
    assert alt == (
        "Differences of test accuracy by seed, in order. Seeds on which each is better: A (lr0.1) 0, B (lr0.5) 6."
    )


def test_without_common_seeds_there_is_no_picture_of_them(two: Comparison) -> None:
    """One configuration, or seeds that only one has: no section, and no link to one."""
    (test,) = two.configuration_tests
    without = dataclasses.replace(test, seeds=(), differences=np.zeros(0))
    for tests in ((), (without,)):
        read = Reader(page(dataclasses.replace(two, configuration_tests=tests)))
        assert "Seed by seed" not in read.text
        assert not [link for link in read.all("a") if link["href"] == "#seeds"]


def test_of_many_configurations_those_with_the_first_are_drawn(two: Comparison) -> None:
    """Four configurations: three of their six pairs, and the page says which."""
    a, b = two.configurations
    more = [*two.configurations, *(dataclasses.replace(b, letters=letter) for letter in "CD")]
    tests = compare_all_configurations({found.name: found.by_seed for found in more})
    read = Reader(page(dataclasses.replace(two, configurations=tuple(more), configuration_tests=tests)))
    (alt,) = [image["alt"] for image in read.all("img") if "by seed" in image["alt"]]
    assert alt.count(f"{a.name} 0, ") == 3
    assert "Each configuration against the first." in read.text


def test_the_figures_of_many_classes_are_folded(two: Comparison) -> None:
    """The table of 21 classes is behind a line that says so; that of three is not."""
    read = Reader(page(two))
    assert "classes in figures" not in read.text
    names, (found,) = tuple(f"c{k}" for k in range(21)), two.disagreements
    classes = (*found.classes, *[None] * 18)
    many = dataclasses.replace(two, class_names=names, disagreements=(dataclasses.replace(found, classes=classes),))
    assert "The 21 classes in figures" in Reader(page(many)).text


def test_links_lead_to_sections(read: Reader) -> None:
    """Each link of the page has its target."""
    targets = {f"#{attributes['id']}" for _, attributes in read.elements if "id" in attributes}
    links = {attributes["href"] for attributes in read.all("a")}
    assert links
    assert links <= targets


def test_every_picture_has_words(read: Reader) -> None:
    """Each image has an alternative text; tables have names and their heads a scope; the language is told."""
    images = read.all("img")
    assert all(image["alt"] for image in images)
    # seeds, curves, two confusion matrices, class differences; 10 images; 3 classes x (2 only A, 6 of 18 only B)
    assert len(images) == 1 + 1 + 2 + 1 + 10 + 3 * (2 + 6)
    assert all(found["aria-label"] for found in read.all("table"))
    assert all(found["scope"] in ("col", "row") for found in read.all("th"))
    assert read.all("html") == [{"lang": "en"}]


def test_images_keep_their_pixels(two: Comparison, read: Reader) -> None:
    """The PNG files in the page hold the very pixels of the first test images."""
    sources = [image["src"] for image in read.all("img") if image.get("class") == "pixels"][:10]
    assert two.images is not None
    for source, image in zip(sources, two.images, strict=False):
        file = io.BytesIO(base64.b64decode(source.removeprefix("data:image/png;base64,")))
        np.testing.assert_array_equal(np.asarray(Image.open(file)), image)


def test_what_people_named_is_escaped(html: str, read: Reader) -> None:
    """A class called `owl & <co>` is text, not markup."""
    assert "<co>" not in html
    assert "owl & <co>" in read.text


def test_hostile_names_are_text_wherever_they_are_shown(two: Comparison) -> None:
    """Run, params, classes, notes, data: the page says what they are, as text, attributes included."""
    run = two.runs[0]
    experiment = dataclasses.replace(run.experiment, params={NASTY: NASTY})
    renamed = dataclasses.replace(
        run, hint=NASTY, record=dataclasses.replace(run.record, name=NASTY), experiment=experiment
    )
    html = page(
        dataclasses.replace(
            two,
            data=NASTY,
            runs=(renamed, two.runs[1]),
            class_names=(NASTY, "b", "c"),
            notes=(NASTY,),
            images=None,
            no_images=NASTY,
            disagreements=tuple(dataclasses.replace(found, a=renamed) for found in two.disagreements),
        )
    )
    assert "<script" not in html
    assert f"2 runs on {NASTY}" in Reader(html).text
    assert any(NASTY in image["alt"] for image in Reader(html).all("img"))


def test_commands_are_code(two: Comparison) -> None:
    """What is between backticks is code, and still escaped; one backtick alone is a backtick."""
    html = page(dataclasses.replace(two, notes=("run `a < b`, or `c`", "x ` <y>")))
    assert "run <code>a &lt; b</code>, or <code>c</code>." in html
    assert "x ` &lt;y&gt;." in html


def test_an_empty_head_is_no_header(html: str) -> None:
    """The column of letters has no heading, so its head is an empty cell."""
    assert "<td></td>" in html
    assert "></th>" not in html


def test_a_wrong_answer_is_marked_by_more_than_colour(read: Reader) -> None:
    """A is wrong on the first ten test images, B right: ten crosses and ten hidden words in the first table's row."""
    part = read.text[read.text.index("The first 10 of the test set") : read.text.index("Confusion matrices", 900)]
    row_a, row_b = part.partition("A (lr0.1)")[2].split("B (lr0.5)")
    assert row_a.count("✗wrong:") == 10
    assert "✗" not in row_b


def test_the_page_is_written_whole_and_the_same(two: Comparison, html: str, tmp_path: Path) -> None:
    """The folder is made, the same comparison gives the same bytes, and the page stays small."""
    path = write_page(two, tmp_path / "reports" / "compare.html")
    assert path.read_text(encoding="utf-8") == html
    assert page(two) == html
    assert [file.name for file in path.parent.iterdir()] == ["compare.html"]
    assert len(html) < 500_000


def named(two: Comparison, *names: str, ids: str = "ab") -> list[ComparedRun]:
    """Return runs of these names and ids."""
    run = two.runs[0]
    return [
        dataclasses.replace(run, record=dataclasses.replace(run.record, name=name, run_id=32 * letter))
        for name, letter in zip(names, ids, strict=False)
    ]


def test_each_comparison_has_a_page_of_its_own(two: Comparison) -> None:
    """Its name is safe whatever the runs are called, and not too long; the same runs in order have the same one."""
    name = page_name(named(two, "flowers lr0.1 s0", "../../etc/passwd <b>"))
    assert re.fullmatch(r"flowers-lr0\.1-s0-vs-etc-passwd-b-[0-9a-f]{8}\.html", name)
    assert name == page_name(named(two, "flowers lr0.1 s0", "../../etc/passwd <b>"))
    assert len(page_name(named(two, *["a long name " * 30] * 26, ids=string.ascii_letters))) < 200
    assert page_name(named(two, "…", "花")).startswith("A-vs-A-")
    others = [page_name(named(two, "one", "one", ids=ids)) for ids in ("ab", "ba", "ac", "abc")]
    assert len({*others, page_name(named(two, "one", "one", "one", ids="abc"))}) == 4


def test_without_images_the_page_says_why(two: Comparison) -> None:
    """Where the test images are not at hand the tables stay, and one sentence says what is missing."""
    without = Reader(page(dataclasses.replace(two, images=None, no_images="they are not here")))
    assert "Without images: they are not here." in without.text
    assert len(without.all("img")) == 5  # the drawn ones
    assert "only B on 54" in without.text


def test_without_curves_the_page_says_whose(two: Comparison) -> None:
    """Runs whose curves the store lost are named; without any there is no picture."""
    runs = [dataclasses.replace(run, history=None) for run in two.runs]
    one = Reader(page(dataclasses.replace(two, runs=(two.runs[0], runs[1]))))
    assert "No curves in the store: B (lr0.5)." in one.text
    assert sum("by epoch" in image["alt"] for image in one.all("img")) == 1
    none = Reader(page(dataclasses.replace(two, runs=tuple(runs))))
    assert "No curves in the store: A (lr0.1), B (lr0.5)." in none.text
    assert sum("by epoch" in image["alt"] for image in none.all("img")) == 0


def test_models_that_agree_have_no_disagreements(two: Comparison) -> None:
    """Two equal models, and a class without test examples: no figure is NaN, no example is shown."""
    answers = Predictions(np.array([0, 1, 0]), np.array([0, 1, 1]))
    a, b = (dataclasses.replace(run, predictions=answers) for run in two.runs)
    found = disagreement(a, b, 3, family=3)
    assert found.classes[2] is None
    read = Reader(page(dataclasses.replace(two, runs=(a, b), disagreements=(found,))))
    assert "A and B give the same answer on all of the 3 images." in read.text
    assert "Only" not in read.text
    assert "nan" not in read.text.lower()


def test_of_many_classes_the_pictures_show_some(two: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    """The most confused classes with a column for all others, and the classes on which most examples differ."""
    drawn: dict[str, list[str]] = {}

    def recorded(name: str) -> Callable[..., Any]:
        draw = getattr(quality, name)

        def record(*values: Any, **options: Any) -> Any:
            drawn[name] = next(list(value) for value in values if isinstance(value[0], str))
            return draw(*values, **options)

        return record

    for name in ("confusion_matrix", "class_differences"):
        monkeypatch.setattr(quality, name, recorded(name))
    monkeypatch.setattr("softmax_regression.comparing.page.CLASSES", 2)
    page(two)
    assert drawn == {"confusion_matrix": ["cat", "dog", "all others"], "class_differences": ["cat", "dog"]}


def test_many_runs_make_one_page(root: Path) -> None:
    """Seven runs: 21 pairs in the statistics, six disagreements of which one is open, fewer examples each."""
    refs = [RATE_01, RATE_05, RATE_09, *(f"small_lr{rate}_b10_e3_s{seed}" for rate in (0.1, 0.5) for seed in (1, 2))]
    found = compare(RunStore.open(root), root, refs)
    read = Reader(page(found))
    assert len(found.models) == 21
    assert "21 pairs tested together" in read.text
    assert "Each run against the first, A (lr0.1 s0)." in read.text
    assert len([1 for tag, _ in read.headings if tag == "h3"]) == 6
    assert sum("open" in details for details in read.all("details")) == 1
