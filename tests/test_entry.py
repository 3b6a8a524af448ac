"""The way out of a program: one line for what a person can act on, a traceback for our own faults."""

import pytest

from softmax_regression import entry


def failing(error: BaseException) -> None:
    """Run a program that fails with `error`."""

    def main() -> None:
        raise error

    entry.run(main)


@pytest.mark.parametrize("error", [ValueError("a\n  b"), FileNotFoundError("a b"), RuntimeError("a b")])
def test_an_error_for_people_is_one_line(error: Exception) -> None:
    """The exit says `error: ...` on one line, whatever line breaks the message had; the code is not 0."""
    with pytest.raises(SystemExit) as caught:
        failing(error)
    assert caught.value.code == "error: a b"


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    """A KeyError is a bug, not a message."""
    with pytest.raises(KeyError):
        failing(KeyError("bug"))


def test_ctrl_c_is_130(capsys: pytest.CaptureFixture[str]) -> None:
    """An interrupted program ends with the shell's code for it and one word."""
    with pytest.raises(SystemExit) as caught:
        failing(KeyboardInterrupt())
    assert caught.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"
