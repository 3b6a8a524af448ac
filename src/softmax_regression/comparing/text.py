"""A comparison as text for a terminal: the verdicts first, then the tables that they rest on."""

import textwrap
from collections.abc import Iterable

from softmax_regression.comparing import rows, sentences, verdicts
from softmax_regression.comparing.comparison import Comparison, most_differing
from softmax_regression.tables import WIDTH, fits, text_table

_CLASSES = 20  # of more classes the tables show those on which the runs differ most


def compare_text(comparison: Comparison) -> str:
    """Return the comparison as lines of at most 100 columns, without colours."""
    noun, first = comparison.noun, comparison.disagreements[0]
    classes = most_differing(comparison.disagreements, _CLASSES)
    by_class = rows.share_table(comparison, comparison.runs).chosen(classes)
    one_pair = rows.class_table(comparison, first).chosen(classes) if len(comparison.runs) == 2 else None
    number = len(comparison.class_names)
    some = f" (the {_CLASSES} of {number:,} classes on which they differ most)" if number > _CLASSES else ""
    sections = {
        f"{len(comparison.runs)} runs on {comparison.data}, {len(comparison.labels):,} test {noun}": [
            *text_table(*rows.run_table(comparison).columns(0, 1, 2, 3, 4)),
            *_wrapped(f"{note}." for note in comparison.notes),
        ],
        verdicts.MODEL_QUESTION.format(noun=noun): [
            *_wrapped(verdicts.model_verdicts(comparison)),
            *_pairs(rows.model_table(comparison.models)),
        ],
        verdicts.CONFIGURATION_QUESTION: [
            *_wrapped(verdicts.configuration_verdicts(comparison)),
            *text_table(*rows.configuration_table(comparison)),
            *_pairs(rows.seeds_table(comparison.configuration_tests)),
        ],
        "Params that differ": _params(comparison),
        f"Right by class, in % of the {noun} of the class{some}": [
            *text_table(*(one_pair.columns(*range(6)) if one_pair else by_class)),
            *_wrapped(sentences.class_verdict(found, comparison.class_names) for found in comparison.disagreements),
        ],
        "Where they disagree": [
            *_wrapped(sentences.disagreement_words(found, noun) for found in comparison.disagreements),
            *(text_table(*one_pair.columns(0, 6, 7, 8)) if one_pair and first.by_class().any() else []),
        ],
    }
    return "\n\n".join("\n".join([heading, *lines]) for heading, lines in sections.items()) + "\n"


def _pairs(table: rows.Table) -> list[str]:
    return text_table(*table) if len(table.rows) > 1 else []


def _params(comparison: Comparison) -> list[str]:
    table = rows.param_table(comparison)
    if not table.rows:
        return ["  none"]
    if fits(table.header, table.rows):
        return text_table(*table)
    return _wrapped(
        f"{letter}: {', '.join(f'{row[0]} {row[i]}' for row in table.rows)}"
        for i, letter in enumerate(table.header[1:], start=1)
    )


def _wrapped(paragraphs: Iterable[str]) -> list[str]:
    return [
        line
        for words in paragraphs
        for line in textwrap.wrap(words, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
    ]
