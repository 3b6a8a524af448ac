"""Progress is one line an epoch, or a few lines, where there is no terminal."""

import pytest

from softmax_regression import progress
from softmax_regression.progress import MAX_LINES, Progress, shown


def row(epoch: int) -> dict[str, float]:
    """Make the figures of an epoch."""
    return {"epoch": epoch, "train_loss": 0.5, "train_accuracy": 0.75}


def test_one_line_an_epoch_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Each line says the epoch of how many, and the figures."""
    with Progress(10) as progress:
        for epoch in range(1, 11):
            progress.show(row(epoch))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("epoch  1/10 train loss 0.5000 train accuracy 0.7500 (")


def test_words_follow_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    """What is said beside the figures stands in the same line."""
    with Progress(2) as progress:
        progress.show({"epoch": 1, "test_loss": 0.25}, "leads: momentum 0.9")
    assert capsys.readouterr().out.startswith("epoch 1/2 test loss 0.2500 leads: momentum 0.9 (")


def test_a_long_training_prints_no_flood(capsys: pytest.CaptureFixture[str]) -> None:
    """A thousand epochs print about fifty lines, the first and the last among them."""
    with Progress(1000) as progress:
        for epoch in range(1, 1001):
            progress.show(row(epoch))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= MAX_LINES + 1
    assert lines[0].startswith("epoch    1/1000")
    assert lines[-1].startswith("epoch 1000/1000")


def test_a_resumed_training_goes_on_with_its_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    """The first epoch that is shown may be a later one; whole numbers in floats are epochs, too."""
    with Progress(4) as progress:
        progress.show({"epoch": 3.0, "test_loss": 0.25})
    assert capsys.readouterr().out.startswith("epoch 3/4 test loss 0.2500 (")


def test_a_bar_in_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where stderr is a terminal a bar moves there and nothing is printed."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Progress(2) as progress:
        progress.show(row(1))
        progress.show(row(2))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "2/2" in captured.err


def test_what_is_quick_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Blocks pass through as they are, in silence."""
    assert list(shown(iter([[1], [2, 3]]), "reading", 3)) == [[1], [2, 3]]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("total", "said"), [(1000, "reading: 3 of 1,000 (3 s)"), (None, "reading: 3 (3 s)")])
def test_what_takes_long_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], total: int | None, said: str
) -> None:
    """At a second an example the first line comes after three, the next after twice the time, and so on."""
    seconds = iter(range(10_000))
    monkeypatch.setattr("time.monotonic", lambda: float(next(seconds)))
    list(shown(([0] for _ in range(1000)), "reading", total))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == said
    assert len(lines) == 8  # 3, 7, 15, ... 511


def test_a_bar_of_blocks_in_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where stderr is a terminal a bar moves there and nothing is printed."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    assert len(list(shown([[0]] * 3, "reading", 3))) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "reading" in captured.err
