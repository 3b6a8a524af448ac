"""DVC stage: fetch the data set, or read a person's own; check every byte, and say what is in it."""

import sys
from pathlib import Path

from softmax_regression import entry
from softmax_regression.download.prepare import download
from softmax_regression.download.understanding import understood
from softmax_regression.files import project_root
from softmax_regression.params import load_params


def main() -> None:
    """download.py OWN_DATA_FOLDER DATA_FOLDER."""
    params = load_params()
    own, folder = map(Path, sys.argv[1:3])
    report = download(params.data.name, folder, params.download, datasets=own, root=project_root())
    print(*understood(report), sep="\n", flush=True)


if __name__ == "__main__":
    entry.run(main)
