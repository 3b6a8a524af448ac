"""The long budget, by hand: `make torture MINUTES=30 STORE=sqlite SEED=0`, or `STORE=postgresql`.

Seed after seed, four sequences each, until the time is over. A broken promise is printed with the commands that led to
it, and the next seed begins. At the end it says how many operations of each kind were run. With EVERY_CALL=1 each
change of a file and each call of the store fails first, one after the other (see every_failure.py); with 7 each 7th.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import hypothesis
from hypothesis.stateful import run_state_machine_as_test
from torture.every_failure import KINDS, SCENES, make_scenes, strike
from torture.forkserver import fork_server
from torture.machine import OneRunPerExperiment, budget, report
from torture.stores import Server, mlflow_server, why_no_postgresql
from torture.world import Violation, make_template

SEQUENCES, STEPS = 4, 25


def main() -> None:
    """Torture for some minutes."""
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--store", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shrink", action="store_true", help="look for a shorter sequence that fails: minutes each")
    parser.add_argument("--every-call", type=int, default=0, metavar="N", help="first fail every N-th change and call")
    options = parser.parse_args()
    if options.store == "postgresql" and (reason := why_no_postgresql()):
        sys.exit(reason)
    if options.every_call and shutil.which("cc") is None:
        sys.exit("no C compiler, which builds what fails a write (Debian: apt-get install gcc)")
    started, broken = time.monotonic(), 0
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="torture-")))
        programs = stack.enter_context(fork_server(folder / "fork"))
        template = make_template(programs, folder / "template")
        server = stack.enter_context(mlflow_server(programs, folder / "server")) if options.store != "sqlite" else None
        if options.every_call:
            broken += fail_every_one(programs, template, folder / "scenes", server, options.every_call)
        seed = options.seed
        while time.monotonic() - started < 60 * options.minutes:
            machine = type(
                "OneRunPerExperiment",
                (OneRunPerExperiment,),
                {"programs": programs, "template": template, "server": server, "counts": counts},
            )
            machine = hypothesis.seed(seed)(machine)
            try:
                run_state_machine_as_test(machine, settings=budget(SEQUENCES, STEPS, shrink=options.shrink))
            except Exception as error:  # a group of them where the sequence, repeated, went well: its timing was chance
                broken += 1
                for found in getattr(error, "exceptions", [error]):
                    where = "" if isinstance(found, Violation) else "".join(traceback.format_exception(found))
                    print(f"\nseed {seed}: {found}\n{where}", flush=True)
            seed += 1
            print(report(counts, time.monotonic() - started).splitlines()[-1], flush=True)
    print(
        f"\n{report(counts, time.monotonic() - started)}\nseeds {options.seed} to {seed - 1}: {broken} broken promises"
    )
    sys.exit(bool(broken))


def fail_every_one(programs: Path, template: Path, folder: Path, server: Server | None, step: int) -> int:
    """Let each change of a file and each call of the store fail, by each kind, every `step`-th; return what broke."""
    scenes, total = make_scenes(programs, template, folder), 0
    for kind, scene in itertools.product(KINDS, SCENES):
        started = time.monotonic()
        struck, broken = strike(programs, scenes, scene, kind, itertools.count(1, step), server)
        total += len(broken)
        print(f"{scene}: {struck} {kind}, {len(broken)} broken, {time.monotonic() - started:.0f} s", flush=True)
        print(*broken, sep="\n\n", end="\n" * bool(broken), flush=True)
    return total


if __name__ == "__main__":
    main()
