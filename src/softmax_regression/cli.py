"""The console script `softmax-regression`: parse, call, print. Each command imports what it needs and no more."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from softmax_regression import entry
from softmax_regression.provenance import project_root


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that `arguments` (default: the command line's) name."""
    options = _parser().parse_args(arguments)
    entry.run(lambda: options.command(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="softmax-regression", description="One experiment is one MLflow run.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, call: object, words: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.")
        added.set_defaults(command=call)
        return added

    command("run", _run, "run the pipeline (dvc repro) and print the result")
    ui = command("ui", _ui, "serve the MLflow UI of this project's store")
    ui.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    ui.add_argument("--port", type=int, default=5000)
    return parser


def _run(options: argparse.Namespace) -> None:
    from softmax_regression.workflow import run

    print(run(project_root()))


def _ui(options: argparse.Namespace) -> None:
    from softmax_regression.tracking import serve_ui

    serve_ui(project_root(), host=options.host, port=options.port)


if __name__ == "__main__":
    main()
