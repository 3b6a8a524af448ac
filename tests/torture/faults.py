"""What befalls a process at a chosen call of MLflow's client: a kill, alone or with its terminal, or a lost store.

    TORTURE="train.py kill-before 7"     the stage train is killed before its 7th call
    TORTURE="train.py kill-after 7"      after it
    TORTURE="train.py close-before 7"    and so are DVC and all else that was started from that terminal
    TORTURE="sync lose 7"                for `softmax-regression sync` that call and all later ones raise

Read by the fork server's children only; the project knows nothing of it.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

VARIABLE = "TORTURE"
KINDS = ("kill-before", "kill-after", "close-before", "close-after", "lose")


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
