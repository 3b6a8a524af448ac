"""The long budget, by hand: `make torture MINUTES=30 STORE=sqlite SEED=0`, or `STORE=postgresql`.

Seed after seed, four sequences each, until the time is over. A broken promise is printed with the commands that led to
it, and the next seed begins. At the end it says how many operations of each kind were run. With EVERY_CALL=1 it first
kills each stage after each of its calls of the store, one after the other.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import hypothesis
from hypothesis.stateful import run_state_machine_as_test
from torture.forkserver import fork_server
from torture.machine import OneRunPerExperiment, budget, report
from torture.stores import Server, mlflow_server, why_no_postgresql
from torture.world import Violation, World, make_template

SEQUENCES, STEPS = 4, 25


def main() -> None:
    """Torture for some minutes."""
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--store", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shrink", action="store_true", help="look for a shorter sequence that fails: minutes each")
    parser.add_argument("--every-call", action="store_true", help="first kill each stage after each call of the store")
    options = parser.parse_args()
    if options.store == "postgresql" and (reason := why_no_postgresql()):
        sys.exit(reason)
    started, broken = time.monotonic(), 0
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="torture-")))
        programs = stack.enter_context(fork_server(folder / "fork"))
        template = make_template(programs, folder / "template")
        server = stack.enter_context(mlflow_server(programs, folder / "server")) if options.store != "sqlite" else None
        if options.every_call:
            broken += kill_at_every_call(programs, template, server, counts)
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


def kill_at_every_call(programs: Path, template: Path, server: Server | None, counts: Counter[str]) -> int:
    """Kill each stage after its first, second, ... call of the store; return how often a promise was broken."""
    broken = 0
    for program in ("train.py", "evaluate.py", "predict.py"):
        for call in itertools.count(1):
            world = World(programs, template, Path(tempfile.mkdtemp(prefix="torture-")), server, counts)
            try:
                counts[f"killed in {program}"] += 1
                if not world.killed_and_resumed(f"{program} kill-after {call}"):
                    print(f"{program} makes {call - 1} calls", flush=True)
                    break
            except Violation as violation:
                broken += 1
                print(f"\n{violation}\n", flush=True)
            finally:
                world.close()
    return broken


if __name__ == "__main__":
    main()
