"""One experiment is one run: random sequences within a short budget, and in full the sequences that matter most.

Long: `make torture`.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis.stateful import run_state_machine_as_test
from torture.machine import OneRunPerExperiment, budget, report
from torture.stores import Server
from torture.world import COARSE, EVALUATION, FINE, MATHEMATICS, World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
# A test that names no store takes both.
on_sqlite = pytest.mark.parametrize("server", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("server", ["postgresql"], indirect=True)


def test_random_sequences(
    programs: Path, template: Path, server: Server | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same sequences each time; how many operations they were is printed."""
    counts: Counter[str] = Counter()
    settings = {"programs": programs, "template": template, "server": server, "counts": counts}
    machine = type("OneRunPerExperiment", (OneRunPerExperiment,), settings)
    started = time.monotonic()
    run_state_machine_as_test(machine, settings=budget(sequences=3, steps=5, derandomize=True))
    with capsys.disabled():
        print(f"\n{report(counts, time.monotonic() - started).splitlines()[-1]}", file=sys.stderr)
    assert sum(counts.values()) >= 8


# Calls of the store that a training makes: after the run's creation, its params, its first epoch, its files, the
# model's entry, the model's files, its end. `make torture EVERY_CALL=1` takes all.
@on_sqlite
@pytest.mark.parametrize("call", [4, 8, 22, 23, 28])
def test_a_training_killed_at_a_call_ends_in_one_complete_run(world: World, call: int) -> None:
    """The next `dvc repro` goes on with it and comes to the bits of an undisturbed one."""
    assert world.killed_and_resumed(f"train.py kill-after {call}")


@on_postgresql
def test_the_server_goes_down_during_evaluate(world: World) -> None:
    """`dvc repro` ends well with a line per stage, and `sync` completes the same run when the server is back."""
    assert world.server is not None
    world.type("dvc", "repro", "train")
    (run,) = world.live()
    process = world.start("dvc", "repro")
    assert process.stdout is not None
    for line in process.stdout:
        if "pipeline/evaluate.py" in line:
            break
    world.server.stop()
    rest, _ = process.communicate(timeout=120)
    world.server.start()
    assert process.returncode == 0, rest
    assert "Traceback" not in rest
    world.sync(doctor=True)
    assert [found.run_id for found in world.runs().values()] == [run.run_id]


@on_sqlite
@pytest.mark.parametrize("call", [1, 10, 31])
def test_a_store_that_is_lost_during_evaluate(world: World, call: int) -> None:
    """The same at a chosen call of the store."""
    world.type("dvc", "repro", fault=f"evaluate.py lose {call}")
    world.sync(doctor=True)
    assert len(world.runs()) == 1


@on_postgresql
def test_a_run_that_is_deleted_for_ever_is_rebuilt(world: World) -> None:
    """`mlflow gc` takes its files, too; `sync` makes another, complete."""
    world.repro()
    world.delete_run(world.live()[0], forever=True)
    world.sync(doctor=True)
    assert len(world.live()) == 1


@on_sqlite
def test_files_that_are_deleted_alone_come_back(world: World) -> None:
    """A database without mlruns/ is a store with holes: `sync` fills them."""
    world.repro()
    (before,) = world.live()
    world.wipe("files")
    world.sync(doctor=True)
    assert [run.run_id for run in world.live()] == [before.run_id]


@on_sqlite
def test_a_run_restored_after_sync_does_not_make_two(world: World) -> None:
    """Deleted, rebuilt by `sync`, restored by a person: one of the two is live, and it is complete."""
    world.repro()
    world.delete_run(world.live()[0], forever=False)
    world.sync()
    world.restore_run()
    world.sync(doctor=True)
    assert len(world.live()) == 1


@on_sqlite
def test_a_repetition_takes_the_place_of_a_deleted_run(world: World) -> None:
    """And keeps no tag that names the run that is gone."""
    world.repro()
    world.comment(MATHEMATICS)
    world.repro()
    world.delete_run(world.live()[0], forever=False)
    world.sync(doctor=True)
    assert len(world.live()) == 1


@on_sqlite
def test_an_evaluation_edited_and_undone_shows_its_first_figures(world: World) -> None:
    """DVC restores them from its cache and runs nothing; the run does not keep those in between."""
    world.repro()
    world.replace(EVALUATION, FINE, COARSE)
    world.repro()
    world.replace(EVALUATION, COARSE, FINE)
    world.repro()
    world.sync(doctor=True)


@on_postgresql
def test_every_world_is_made_anew(make_world: Callable[[], World]) -> None:
    """Two worlds share no run, on a server neither."""
    first, second = make_world(), make_world()
    first.repro()
    assert (len(first.runs()), len(second.runs())) == (1, 0)
