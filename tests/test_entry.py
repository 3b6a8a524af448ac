"""The way out of a program: one line for what a person can act on, a traceback for our own faults."""

import errno

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


def test_a_full_disk_is_told_with_the_way_out() -> None:
    """Whatever wrote there, such as a temporary file: what to do stands behind the system's words."""
    with pytest.raises(SystemExit) as caught:
        failing(OSError(errno.ENOSPC, "No space left on device", "/tmp/x"))
    assert caught.value.code == (
        "error: [Errno 28] No space left on device: '/tmp/x'; make room on that disk, or set TMPDIR to a folder on "
        "another for temporary files"
    )


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
