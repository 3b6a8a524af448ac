"""What the pages of the documentation type, and a terminal that types it.

for line in typed_lines(page):
    answer, code = shell.type(line.command)
    assert shows(line.answer, answer)
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil
from servers import wait_for

# What differs from run to run and from machine to machine: seconds, rounding errors, ids (a digest of 64 does not).
_VARIES = re.compile(r"\b\d+(?:\.\d+)? s\b|\b\d\.\de-\d\d\b|\b(?:[0-9a-f]{8}|[0-9a-f]{32})\b")


class Typed(NamedTuple):
    """A line that somebody types, and what the page shows of the answer ('...' stands for anything)."""

    who: str
    command: str
    answer: str


def typed_lines(page: str) -> list[Typed]:
    """Return what the page's `console` blocks type, in order; a block may say who does.

    The lines of a command but its last end with a backslash, or it has a document that ends with END.
    """
    lines = []
    for who, block in re.findall(r"^```console ?(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        for text in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command = re.match(r".*<<'END'\n(?:.*\n)*?END\n|(?:.*\\\n)*.*", text)
            assert command
            lines.append(Typed(who, command[0], text[command.end() :].strip("\n")))
    return lines


def shows(shown: str, answer: str) -> bool:
    """Say whether a page that shows this, or nothing, shows `answer`, but for times, ids and rounding errors."""
    parts = re.split(r"^\.\.\.$\n?|\.\.\.", _VARIES.sub("(varies)", shown), flags=re.MULTILINE)
    pattern = ".*".join(map(re.escape, parts))
    return not shown or re.fullmatch(pattern, _VARIES.sub("(varies)", answer), re.DOTALL) is not None


class Shell:
    """A terminal: what is typed in it shares a folder and variables, and ends with this process, however that ends."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self._serving = folder, 0
        self._bash = subprocess.Popen(
            ["bash", "--norc"],
            cwd=folder,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.type("trap 'trap - TERM; kill 0' EXIT")  # also where nobody is left who types

    def type(self, command: str) -> tuple[str, int]:
        """Type a command; return what it prints and its exit code."""
        assert self._bash.stdin
        assert self._bash.stdout
        self._bash.stdin.write(f"{{ {command}\n}} < /dev/null\nprintf '\\nEND %s\\n' $?\n")
        self._bash.stdin.flush()
        lines: list[str] = []
        for line in self._bash.stdout:
            if end := re.fullmatch(r"END (\d+)\n", line):
                return "".join(lines).strip("\n"), int(end[1])
            lines.append(line)
        raise AssertionError(f"the shell ended at {command}: {''.join(lines)}")

    def serve(self, command: str, port: int) -> None:
        """Start a server, in place of one that runs, and wait until it answers; its words go to `server.log`."""
        self.interrupt()
        self._serving = int(self.type(f"{{ {command}\n}} >> {self.folder}/server.log 2>&1 &\necho $!")[0])
        wait_for(port, lambda: psutil.pid_exists(self._serving))

    def interrupt(self) -> None:
        """Press Ctrl-C where a server runs: it ends with all that it has started, in other sessions, too."""
        if self._serving:
            with suppress(psutil.NoSuchProcess):
                server = psutil.Process(self._serving)
                for process in [*server.children(recursive=True), server]:
                    with suppress(psutil.NoSuchProcess):
                        process.terminate()
            self.type(f"wait {self._serving}")
            self._serving = 0

    def close(self) -> None:
        """End it, and what it started."""
        with suppress(BrokenPipeError, AssertionError):  # it has ended before
            self.interrupt()
        assert self._bash.stdin
        assert self._bash.stdout
        self._bash.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._bash.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.wait()
        self._bash.stdout.close()
