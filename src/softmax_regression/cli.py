"""The console script `softmax-regression`: parse, call, print. Each command imports what it needs and no more."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from softmax_regression import entry
from softmax_regression.files import project_root

REPORTS = "reports"
NAMES = "a run's name or id, a DVC experiment, a commit, HEAD, workspace, best or champion"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that `arguments` (default: the command line's) name."""
    options = _parser().parse_args(arguments)
    entry.run(lambda: options.command(project_root(), options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="softmax-regression", description="One experiment is one MLflow run.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, call: object, words: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.")
        added.set_defaults(command=call)
        return added

    command("run", _run, "run the pipeline (dvc repro) and print the result")
    ui = command("ui", _ui, "open the MLflow UI of this project's runs")
    ui.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    ui.add_argument("--port", type=int, default=5000)
    ui.add_argument("--insecure", action="store_true", help="let everybody in who reaches --host; there is no password")
    ui.add_argument("--no-browser", action="store_true", help="print the link, open no browser")
    sync = command("sync", _sync, "bring MLflow up to date with DVC: rebuild missing runs, complete unfinished ones")
    sync.add_argument("names", nargs="*", metavar="NAME", help=f"{NAMES} (default: all that DVC knows)")
    sync.add_argument("--all", action="store_true", help="settle every run, too, as after `mlflow gc`")
    show = command("show", _show, "describe a run, and print the commands that restore its state")
    show.add_argument("run", nargs="?", default="workspace", help=f"{NAMES} (default: workspace)")
    show.add_argument("--diff", action="store_true", help="print only the code changes since the commit, for git apply")
    command("doctor", _doctor, "check git, DVC, data and runs, and say how to fix what is wrong")
    sweep = command("sweep", _sweep, "train many configurations at once and choose one by validation data")
    sweep.add_argument(
        "axes",
        nargs="+",
        metavar="KEY=VALUES",
        help="a key of params.yaml and its values: optimizer.learning_rate=0.05,0.1 or, with --random, "
        "'optimizer.learning_rate=log(0.01,1)' or uniform(a,b); one value applies to all: train.epochs=20",
    )
    sweep.add_argument("--random", type=int, metavar="N", help="draw N configurations (default: the whole grid)")
    sweep.add_argument("--draw-seed", type=int, default=0, metavar="SEED", help="seed of what is drawn (default: 0)")
    sweep.add_argument("--seeds", type=int, default=1, metavar="N", help="train each with N seeds (default: 1)")
    study = sweep.add_argument_group(
        "a study",
        "Optuna proposes batch after batch; the same command, here or elsewhere, joins it or goes on with it.",
    )
    study.add_argument("--study", metavar="NAME", help="its name, by which workers find it")
    study.add_argument("--sampler", choices=["tpe", "random", "grid"], help="who proposes (default: tpe)")
    study.add_argument("--trials", type=int, metavar="N", help="of all workers together (default: the whole grid)")
    study.add_argument("--storage", metavar="URL", help="postgresql://user@host/database (default: a file in reports/)")
    study.add_argument(
        "--halving", action="store_true", help="at a quarter and a half of the epochs, stop the worse half"
    )
    compare = command("compare", _compare, "say whether runs really differ, as text and as a page")
    compare.add_argument("runs", nargs="+", metavar="RUN", help=NAMES)
    compare.add_argument(
        "--seeds",
        type=int,
        metavar="N",
        help="train and record what a configuration lacks of N seeds, then answer (default: from what is there)",
    )
    compare.add_argument(
        "--page", type=Path, help="file for the page (default: one of its own in reports/compare/ in the project)"
    )
    leaderboard = command("leaderboard", _leaderboard, "rank configurations by a metric, their seeds together")
    leaderboard.add_argument(
        "--metric",
        help="a figure of the runs, such as final/test_loss (default: final/validation_accuracy, or where no run on a "
        "data set has that, final/test_accuracy)",
    )
    leaderboard.add_argument("--top", type=int, default=20)
    predict = command("predict", _predict, "classify your own pictures (PNG, JPEG), tables (CSV, Parquet) and arrays")
    predict.add_argument("files", nargs="+", type=Path, metavar="FILE")
    predict.add_argument("--run", default="workspace", help=f"whose model answers: {NAMES} (default: workspace)")
    predict.add_argument(
        "--output",
        type=Path,
        help="folder for all answers about a table, and for what the model saw of a picture (default: "
        "reports/predictions in the project)",
    )
    promote = command("promote", _promote, "make a run's model the champion of MLflow's registry, if it is better")
    what = promote.add_mutually_exclusive_group(required=True)
    what.add_argument("run", nargs="?", metavar="RUN", help=NAMES)
    what.add_argument("--rollback", action="store_true", help="take the last promotion back")
    parity = command("parity", _parity, "compare the hand-coded training with the library's, epoch by epoch")
    parity.add_argument("--dtype", choices=["float32", "float64"], default="float64")
    parity.add_argument("--epochs", type=int, help="default: as in params.yaml")
    parity.add_argument("--log", action="store_true", help="record the table as an MLflow run")
    return parser


def _run(root: Path, options: argparse.Namespace) -> None:
    from softmax_regression.commands.run import run

    print(run(root))


def _ui(root: Path, options: argparse.Namespace) -> None:
    from softmax_regression.tracking.client import serve_ui

    browser = not options.no_browser
    serve_ui(root, host=options.host, port=options.port, insecure=options.insecure, browser=browser)


def _sync(root: Path, options: argparse.Namespace) -> None:
    from softmax_regression.lineage.sync import sync

    for line in sync(root, options.names, everything=options.all):
        print(line, flush=True)


def _show(root: Path, options: argparse.Namespace) -> None:
    from softmax_regression.commands.show import difference, show

    if options.diff and not sys.stdout.isatty():
        sys.stdout.buffer.write(difference(root, options.run))  # every byte, for git apply
    elif options.diff:
        print(difference(root, options.run).decode(errors="surrogateescape"), end="")
    else:
        print(show(root, options.run))


def _doctor(root: Path, options: argparse.Namespace) -> None:
    from softmax_regression.commands.doctor import doctor

    text, well = doctor(root)
    print(text, flush=True)
    if not well:
        sys.exit(1)


def _sweep(root: Path, options: argparse.Namespace) -> None:
    from softmax_regression.params import load_params
    from softmax_regression.sweep.plan import parse_axis, plan
    from softmax_regression.sweep.sweep import run_sweep

    axes, base = [parse_axis(text) for text in options.axes], load_params(root / "params.yaml")
    if options.study is not None:
        from softmax_regression.sweep.search import Search, run_search

        if options.random is not None or options.seeds != 1:
            raise ValueError("a study takes neither --random nor --seeds; write --sampler random, leave --seeds out")
        search = Search(
            options.study,
            options.sampler or "tpe",
            options.trials,
            options.draw_seed,
            options.halving,
            options.storage,
        )
        print(run_search(root, base, axes, search, root / REPORTS / "studies"))
        return
    if options.sampler or options.trials or options.storage or options.halving:
        raise ValueError("--sampler, --trials, --storage and --halving belong to a study; add --study NAME")
    configurations = plan(base, axes, options.random, options.draw_seed)
    print(run_sweep(root, configurations, options.seeds, root / REPORTS / "sweep"))


def _compare(root: Path, options: argparse.Namespace) -> None:
    from softmax_regression.comparing.compare import compare
    from softmax_regression.comparing.page import page_name, write_page
    from softmax_regression.comparing.text import compare_text
    from softmax_regression.tracking.run_store import RunStore

    found = compare(RunStore.open(root), root, options.runs, options.seeds)
    page = write_page(found, options.page or root / REPORTS / "compare" / page_name(found.runs))
    print(compare_text(found))
    print(f"the same with curves and images: {page}")


def _leaderboard(root: Path, options: argparse.Namespace) -> None:
    from softmax_regression.comparing.leaderboard import leaderboard, leaderboard_text
    from softmax_regression.tracking.run_store import RunStore

    print(leaderboard_text(leaderboard(RunStore.open(root), options.metric, top=options.top)), end="")


def _predict(root: Path, options: argparse.Namespace) -> None:
    from softmax_regression.commands.predict import Refusal, predict_files

    refused = False
    for line in predict_files(root, options.files, options.run, options.output or root / REPORTS / "predictions"):
        print(line, flush=True, file=sys.stderr if isinstance(line, Refusal) else sys.stdout)
        refused |= isinstance(line, Refusal)
    if refused:
        sys.exit(1)


def _promote(root: Path, options: argparse.Namespace) -> None:
    from softmax_regression.commands.promote import promote, roll_back

    print(roll_back(root) if options.rollback else promote(root, options.run))


def _parity(root: Path, options: argparse.Namespace) -> None:
    from softmax_regression.commands.parity import parity_report

    print(parity_report(root, options.dtype, options.epochs, options.log))


if __name__ == "__main__":
    main()
