"""What befalls a process at a chosen call of MLflow's client, or at a chosen change of a file.

    TORTURE="train.py kill-before 7"     the stage train is killed before its 7th call
    TORTURE="train.py kill-after 7"      after it
    TORTURE="train.py close-before 7"    and so are DVC and all else that was started from that terminal
    TORTURE="sync lose 7"                for `softmax-regression sync` that call and all later ones raise
    TORTURE="train.py kill-change 7"     the stage train is killed before it changes a file for the 7th time
    TORTURE="train.py fail-change 7"     that change fails (EIO), and no other
    TORTURE="train.py full-disk 7"       from that change on nothing has room any more (ENOSPC)
    TORTURE="train.py clock-back 3600"   its clock is an hour behind

Read by the fork server's children only; the project knows nothing of it. What struck is told on stderr.
"""

from __future__ import annotations

import ctypes
import functools
import inspect
import itertools
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

VARIABLE = "TORTURE"
KINDS = ("kill-before", "kill-after", "close-before", "close-after", "lose")
CHANGES = {"kill-change": 1, "fail-change": 2, "full-disk": 3}  # as failing.c numbers them
STRUCK = "struck: "


def install(arguments: list[str]) -> None:
    """Arrange for what TORTURE says, if it is about this program."""
    text = os.environ.get(VARIABLE)
    if not text:
        return
    program, kind, number = text.split()
    if program not in {Path(argument).name for argument in arguments if "/" in argument or " " not in argument}:
        return
    if arguments[:2] == ["-m", "dvc"]:
        return
    if kind in CHANGES:  # a kill leaves nothing of what lies in TMPDIR to anybody; an error there is one
        below = f"{Path.cwd()}/" if kind == "kill-change" else tempfile.gettempdir()
        ctypes.CDLL(None).failing_arm(CHANGES[kind], ctypes.c_long(int(number)), os.fsencode(below))
        return
    if kind == "clock-back":
        clock, clock_ns = time.time, time.time_ns
        time.time, time.time_ns = lambda: clock() - int(number), lambda: clock_ns() - int(number) * 10**9
        return
    from mlflow.tracking import MlflowClient

    numbers = itertools.count(1)
    for name, method in inspect.getmembers(MlflowClient, inspect.isfunction):
        if not name.startswith("_"):
            setattr(MlflowClient, name, _counted(method, numbers, kind, int(number)))


def _counted(method: Callable[..., Any], numbers: itertools.count[int], kind: str, chosen: int) -> Callable[..., Any]:
    """Return `method` as it is but for what befalls it at the chosen number; calls inside a call count, too."""

    @functools.wraps(method)
    def wrapper(*arguments: Any, **options: Any) -> Any:
        number = next(numbers)
        if number == chosen:
            print(f"{STRUCK}{method.__name__}", file=sys.stderr, flush=True)
        if kind == "lose" and number >= chosen:
            raise ConnectionError(111, "Connection refused")
        if number == chosen and kind.endswith("before"):
            _die(kind)
        result = method(*arguments, **options)
        if number == chosen and kind.endswith("after"):
            _die(kind)
        return result

    return wrapper


def _die(kind: str) -> None:
    if kind.startswith("close"):
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
