"""The way out of a program: one line for what a person can act on, a traceback for our own faults."""

import errno
import subprocess
import sys

import pytest
from tqdm import tqdm

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


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_folder_that_may_only_be_read_is_told_with_the_way_out(number: int) -> None:
    """A disk that is mounted so, or another user's files."""
    with pytest.raises(SystemExit) as caught:
        failing(OSError(number, "no", "/x"))
    assert caught.value.code == f"error: [Errno {number}] no: '/x'; see who may use it, or work in a copy of yours"


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    """A KeyError is a bug, not a message."""
    with pytest.raises(KeyError):
        failing(KeyError("bug"))


@pytest.mark.parametrize("lines", [1, 10**5])
@pytest.mark.parametrize("flush", [False, True])
def test_a_reader_that_has_read_enough_ends_the_program_without_a_word(lines: int, flush: bool) -> None:
    """As in `leaderboard | head -1`, whether the line waits in a buffer or not: no error, the exit code of SIGPIPE."""
    code = (
        "import sys; from softmax_regression import entry; sys.stdin.read();"
        f"entry.run(lambda: [print('a line', flush={flush}) for _ in range({lines})])"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.close()
        program.stdin.close()
        assert program.stderr.read() == b""
    assert program.returncode == 141


def test_another_broken_pipe_is_told() -> None:
    """It is not stdout's reader that has left, so something is wrong, a server's connection say."""
    with pytest.raises(SystemExit) as caught:
        failing(BrokenPipeError(errno.EPIPE, "Broken pipe"))
    assert caught.value.code == "error: [Errno 32] Broken pipe"


def test_ctrl_c_is_130(capsys: pytest.CaptureFixture[str]) -> None:
    """An interrupted program ends with the shell's code for it and one word."""
    with pytest.raises(SystemExit) as caught:
        failing(KeyboardInterrupt())
    assert caught.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


HOSTILE = "run \x1b]0;title\x07 \x1b[2K\rok \x9b1m \u202egnp.exe \udcff"
SHOWN = r"run \x1b]0;title\x07 \x1b[2K\rok \x9b1m \u202egnp.exe \udcff"


def test_a_terminal_shows_what_comes_from_outside_and_obeys_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Escapes in printed text, on both streams and in the last error, are visible; line ends, tabs and letters stay."""

    def main() -> None:
        print(f"{HOSTILE}\n\tnext line é漢", HOSTILE, sep="|")
        print(HOSTILE, file=sys.stderr)
        raise ValueError(HOSTILE)

    with pytest.raises(SystemExit) as caught:
        entry.run(main)
    print(caught.value.code, file=sys.stderr)  # as the interpreter does
    printed = capsys.readouterr()
    assert printed.out == f"{SHOWN}\n\tnext line é漢|{SHOWN}\n"
    in_one_line = SHOWN.replace(r"\r", " ")
    assert printed.err == f"{SHOWN}\nerror: {in_one_line}\n"


def test_a_progress_bar_still_draws_over_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """A carriage return stays at the start of what is written, as tqdm's is, where nothing can be hidden by it."""
    entry.run(lambda: print("\r 50%\r", end="", file=sys.stderr))
    assert capsys.readouterr().err == "\r 50%\\r"
    entry.run(lambda: tqdm(total=2, leave=False).close())
    drawn = capsys.readouterr().err
    assert drawn.startswith("\r")
    assert "\\" not in drawn


def test_what_is_printed_holds_no_credential(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever prints it: a secret of the environment, a password in a URL."""
    monkeypatch.setenv("MIRROR_PASSWORD", "open-sesame")
    entry.run(lambda: print("open-sesame, https://ann:secret@host/x"))
    assert capsys.readouterr().out == "***, https://***@host/x\n"


def test_a_program_hides_its_last_words_too() -> None:
    """A real process: the error that ends it, and a traceback, pass through the same place."""
    code = "import sys; from softmax_regression import entry\ndef main(): raise {}(chr(27) + '[2K https://a:bcd@h')\n"
    for error in ("ValueError", "LookupError"):
        command = [sys.executable, "-c", f"{code.format(error)}entry.run(main)"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert r"\x1b[2K https://***@h" in done.stderr
        assert "\x1b" not in done.stderr
