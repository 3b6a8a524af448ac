"""A comparison as one HTML page that stands alone: no network, no script, opened from disk; light and dark.

Curves, confusion matrices and class differences are pictures of figures.py; the test images are small PNG files with
their captions in text, so that they wrap on a telephone and can be read aloud. Longer than most files here: a section
of the page is a function, and they share no more than the comparison that they show.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from softmax_regression.comparing.comparison import Comparison, Disagreement
from softmax_regression.comparing.markup import Markup, paragraphs, picture, pixels, table, text
from softmax_regression.comparing.verdicts import (
    PAIR_HEADER,
    UNANSWERED_NOTE,
    Test,
    class_cells,
    class_verdict,
    configuration_verdicts,
    disagreement_words,
    model_verdicts,
    pair_cells,
    short_answer,
)
from softmax_regression.evaluation import metrics
from softmax_regression.files import write_atomically
from softmax_regression.plots import figures

DEFAULT_PATH = Path("reports", "compare.html")
SAME_IMAGES = 10
_FEW_PAIRS, _MANY_EXAMPLES, _FEW_EXAMPLES = 3, 6, 2  # examples of a class and kind, by how many pairs there are
_OPEN_CLASSES = 4  # whose examples are seen at once
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write_page(comparison: Comparison, path: Path) -> Path:
    """Write the page to `path`, whole or not at all; the same comparison gives the same bytes. Return `path`."""
    write_atomically(path, page(comparison))
    return path


def page(comparison: Comparison) -> str:
    """Return the page as HTML."""
    title = f"{len(comparison.runs)} runs on {comparison.data}"
    noun = comparison.noun
    sections = [
        ("runs", "The runs", _runs(comparison)),
        ("curves", "Curves", _curves(comparison)),
        ("params", "Params", _params(comparison)),
        ("same", f"The same {noun} in each run", _same(comparison)),
        ("confusion", "Confusion matrices", _confusions(comparison)),
        ("disagree", "Where they disagree", _disagreements(comparison)),
        ("statistics", "Statistics", _statistics(comparison)),
    ]
    links = "".join(f'<li><a href="#{key}">{text(heading)}</a></li>' for key, heading, _ in sections)
    body = "\n".join(
        f'<section id="{key}">\n<h2>{text(heading)}</h2>\n{content}\n</section>' for key, heading, content in sections
    )
    style = resources.files(__package__).joinpath("comparison_page.css").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{text(title)}</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
<header>
<h1>{text(title)}</h1>
<p class="muted">{len(comparison.labels):,} test {noun}. What is said of chance is at the 95% level.</p>
<nav aria-label="Sections"><ul>{links}</ul></nav>
</header>
<main>
<div class="verdicts">
{_verdict(f"Are these trained models different on {noun} like these?", model_verdicts(comparison), comparison.models)}
{_verdict("Is the configuration better?", configuration_verdicts(comparison), comparison.configuration_tests)}
</div>
{body}
</main>
</body>
</html>
"""


def _verdict(question: str, words: Sequence[str], tests: Sequence[Test]) -> str:
    found = {test.verdict for test in tests}
    look = "better" if found & {"a better", "b better"} else "open" if "not answerable" in found else "none"
    answer = f'<p class="answer">{text(short_answer(tests))}</p>\n' if len(tests) < 2 else ""
    return f'<section class="verdict {look}">\n<h2>{text(question)}</h2>\n{answer}{paragraphs(words)}\n</section>'


def _runs(comparison: Comparison) -> str:
    more = {"test loss": "final/test_loss", "calibration error": "final/test_ece", "training loss": "final/train_loss"}
    in_dvc = any(run.record.dvc_experiment for run in comparison.runs)
    rows = [
        [
            run.letter,
            run.record.name,
            Markup(f"<code>{text(run.record.run_id[:8])}</code>"),
            *([run.record.dvc_experiment or "-"] if in_dvc else []),
            f"{100 * run.accuracy:.2f}%",
            f"{100 * run.interval.low:.2f} to {100 * run.interval.high:.2f}",
            *(f"{run.record.metrics[key]:.4f}" if key in run.record.metrics else "-" for key in more.values()),
        ]
        for run in comparison.runs
    ]
    header = ["", "run", "id", *(["DVC experiment"] if in_dvc else []), "test accuracy", "95% interval", *more]
    notes = [f"{note}." for note in comparison.notes]
    align = "lwl" + "l" * in_dvc + "r" * (2 + len(more))
    return table("The runs", header, rows, align, look="plain") + paragraphs(notes, "muted")


def _curves(comparison: Comparison) -> str:
    histories = {run.name: run.history for run in comparison.runs if run.history}
    missing = [run.name for run in comparison.runs if not run.history]
    note = paragraphs([f"No curves in the store: {', '.join(missing)}."] if missing else [], "muted")
    if not histories:
        return note
    alt = "Training loss and held-out accuracy by epoch, one line a run. Last training loss: " + ", ".join(
        f"{name} {history['train_loss'][-1]:.4f}" for name, history in histories.items()
    )
    return f'<figure class="plot">{_plot(figures.compare_curves(histories), alt)}</figure>{note}'


def _params(comparison: Comparison) -> str:
    letters = [run.letter for run in comparison.runs]
    align = "l" + "r" * len(letters)
    rows = [[key, *values] for key, values in comparison.params.items()]
    same = [[key, value] for key, value in comparison.shared_params.items()]
    differ = table("Params that differ", ["param", *letters], rows, align) if rows else "<p>No param differs.</p>"
    shared = table("Params that all the runs share", ["param", "value"], same, "lw")
    return f"{differ}\n<details><summary>The {len(same)} params that all share</summary>\n{shared}</details>"


def _same(comparison: Comparison) -> str:
    count = min(SAME_IMAGES, len(comparison.labels))
    heads = []
    for i in range(count):
        name = comparison.class_names[comparison.labels[i]]
        heads.append(Markup(f"{_image(comparison, i, f'Test image {i}, {name}')}{text(name)}"))
    rows = []
    for run in comparison.runs:
        answers = (comparison.class_names[k] for k in run.predictions.predicted[:count])
        right = run.predictions.correct[:count]
        rows.append([run.name, *(_marked(words, bool(ok)) for words, ok in zip(answers, right, strict=True))])
    words = [f"The first {count} of the test set: the true class on top, then what each run says; ✗ is wrong."]
    answers_table = table(
        f"The first {count} test {comparison.noun}", ["", *heads], rows, "l" * (count + 1), look="same"
    )
    return paragraphs(words, "muted") + _no_images(comparison) + answers_table


def _confusions(comparison: Comparison) -> str:
    plots = []
    for run in comparison.runs:
        names, answers = comparison.class_names, run.predictions
        matrix = metrics.confusion_matrix(answers.labels, answers.predicted, len(names))
        wrong = matrix * (1 - np.eye(len(names), dtype=np.int64))
        worst = [divmod(int(cell), len(names)) for cell in np.argsort(-wrong, axis=None, kind="stable")[:3]]
        told = "; ".join(f"{names[i]} taken for {names[j]} {wrong[i, j]:,} times" for i, j in worst if wrong[i, j])
        alt = f"Confusion matrix of {run.name}. Most often: {told or 'no mistake'}."
        plot = _plot(figures.confusion_matrix(matrix, names, normalize=True), alt)
        plots.append(f"<figure><figcaption>{text(run.name)}</figcaption>{plot}</figure>")
    return f'<div class="plots">{"".join(plots)}</div>'


def _disagreements(comparison: Comparison) -> str:
    first = comparison.runs[0]
    words = [f"Each run against the first, {first.name}."] if len(comparison.runs) > 2 else []
    examples = _MANY_EXAMPLES if len(comparison.disagreements) <= _FEW_PAIRS else _FEW_EXAMPLES
    parts = []
    for i, found in enumerate(comparison.disagreements):
        content = "\n".join(
            [
                paragraphs([class_verdict(found, comparison.class_names)]),
                _class_figure(comparison, found),
                _class_table(comparison, found),
                _examples(comparison, found, examples),
            ]
        )
        heading = f"<h3>{text(f'{found.b.name} against {found.a.name}')}</h3>"
        said = f'<p class="muted">{text(disagreement_words(found, comparison.noun))}</p>'
        state = " open" if i == 0 else ""
        parts.append(f"<details{state}><summary>{heading}{said}</summary>\n{content}</details>")
    return paragraphs(words, "muted") + _no_images(comparison) + "\n".join(parts)


def _class_figure(comparison: Comparison, found: Disagreement) -> str:
    shares = [[run.share_right(k) for k in range(len(comparison.class_names))] for run in (found.a, found.b)]
    a, b = np.array(shares, dtype=float)
    intervals = [test.interval if test else (np.nan, np.nan) for test in found.classes]
    names = (found.a.hint or "A", (found.b.hint or "B") if found.b.letter == "B" else found.b.name)
    figure = figures.class_differences(a, b, comparison.class_names, names=names, intervals=np.array(intervals))
    alt = f"Share of each class that {found.a.name} and {found.b.name} have right; the table below has the figures."
    return f'<figure class="plot">{_plot(figure, alt)}</figure>'


def _class_table(comparison: Comparison, found: Disagreement) -> str:
    a, b = found.a.letter, found.b.letter
    rows = []
    for k, (name, only_a, only_b, neither) in enumerate(found.by_class(comparison.class_names)):
        shares = [run.share_right(k) for run in (found.a, found.b)]
        cells = ["-" if share is None else f"{100 * share:.1f}" for share in shares]
        parts = [f"{part:,}" for part in (only_a, only_b, neither)]
        rows.append([name, *cells, *class_cells(found.classes[k]), *parts])
    header = ["class", f"{a}, % right", f"{b}, % right", f"{b} − {a}", "95% interval"]
    header += [f"only {a} right", f"only {b} right", "neither right, differ"]
    family = next(test.family for test in found.classes if test)
    caption = (
        f"By class; differences in points, * where chance in the {comparison.noun} does not explain one "
        f"({family} comparisons together, Bonferroni)"
    )
    return table(caption, header, rows, "lrrrrrrr")


def _examples(comparison: Comparison, found: Disagreement, count: int) -> str:
    if comparison.images is None or not found.total:
        return ""
    counts = [sum(row[1:]) for row in found.by_class(comparison.class_names)]
    parts = []
    for k in sorted(range(len(counts)), key=lambda k: -counts[k]):
        kinds = ((f"Only {found.a.letter} is right", found.only_a), (f"Only {found.b.letter} is right", found.only_b))
        tiles = ""
        for words, indices in (*kinds, ("Neither is right", found.neither)):
            of_class = indices[comparison.labels[indices] == k]
            if len(of_class):
                shown = "".join(_tile(comparison, found, int(i)) for i in of_class[:count])
                of = f"{min(count, len(of_class))} of {len(of_class):,}"
                tiles += f'<div><p class="kind">{words}: {of}</p><ul class="tiles">{shown}</ul></div>'
        if tiles:
            parts.append(f'<h4>{text(comparison.class_names[k])}</h4><div class="kinds">{tiles}</div>')
    if rest := parts[_OPEN_CLASSES:]:
        parts[_OPEN_CLASSES:] = [f"<details><summary>{len(rest)} more classes</summary>{''.join(rest)}</details>"]
    return "\n".join(parts)


def _tile(comparison: Comparison, found: Disagreement, index: int) -> str:
    name = comparison.class_names[comparison.labels[index]]
    said = []
    for run in (found.a, found.b):
        answer, right = comparison.class_names[run.predictions.predicted[index]], run.predictions.correct[index]
        said.append(f"{text(run.letter)} {_marked(answer, bool(right))}")
    return f"<li>{_image(comparison, index, f'Test image {index}, {name}')}{'<br>'.join(said)}</li>"


def _statistics(comparison: Comparison) -> str:
    noun = comparison.noun
    rows = []
    for found in comparison.configurations:
        summary = found.summary
        sd = "-" if summary.sd is None else f"{100 * summary.sd:.2f}"
        rows.append([found.letters, found.hint or "-", ", ".join(found.seeds), f"{100 * summary.mean:.2f}%", sd])
    parts = [
        _pairs(f"Trained models, all pairs: McNemar's exact test, {noun} as chance", comparison.models),
        table(
            "Configurations: test accuracy over the seeds in the store; sd is its standard deviation, in points",
            ["", "configuration", "seeds", "mean", "sd"],
            rows,
            "llwrr",
        ),
    ]
    if comparison.configuration_tests:
        parts.append(_pairs(f"Configurations, all pairs: seeds and {noun} as chance", comparison.configuration_tests))
    words = [
        "Differences are in percentage points. Intervals hold for all the pairs of a table together (Bonferroni); "
        "p-values and verdicts are corrected by Holm's method, so 5% is the chance of any false verdict in a table.",
        "A trained model that is better says nothing yet about its configuration: another seed gives another model. "
        "The intervals of configurations are over seeds and images together, and need two seeds of each.",
    ]
    if any(test.p_adjusted is None for test in comparison.configuration_tests):
        words.append(UNANSWERED_NOTE.format(noun=noun))
    return "\n".join(parts) + paragraphs(words, "muted")


def _pairs(caption: str, tests: Sequence[Test]) -> str:
    return table(caption, PAIR_HEADER, [pair_cells(test) for test in tests], "llrrrl")


def _no_images(comparison: Comparison) -> str:
    if comparison.images is not None:
        return ""
    return f'<p class="muted">Without images: {text(comparison.no_images)}.</p>'


def _marked(words: str, right: bool) -> Markup:
    if right:
        return Markup(f'<span class="right">{text(words)}</span>')
    return Markup(
        f'<span class="wrong"><span aria-hidden="true">✗</span><span class="hidden">wrong:</span> {text(words)}</span>'
    )


def _plot(figure: Any, alt: str) -> str:
    """Return a figure of figures.py as a picture in the page."""
    width, height = (round(side * figure.dpi) for side in figure.get_size_inches())
    return picture(figures.svg_bytes(figure), width, height, alt)


def _image(comparison: Comparison, index: int, alt: str) -> str:
    """Return a test image; nothing where there are no images."""
    return "" if comparison.images is None else pixels(comparison.images[index], alt)
