"""DVC stage: fetch the data set, check every byte, and report what is in it."""

import sys
from pathlib import Path

from softmax_regression import entry
from softmax_regression.download.prepare import download
from softmax_regression.files import project_root
from softmax_regression.params import load_params


def main() -> None:
    """download.py DATA_FOLDER."""
    params = load_params()
    download(params.data.name, Path(sys.argv[1]), params.download, root=project_root())


if __name__ == "__main__":
    entry.run(main)
