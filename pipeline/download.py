"""DVC stage: fetch the data set, check every byte, and report what is in it."""

import sys
from pathlib import Path

from softmax_regression import entry
from softmax_regression.download.prepare import download
from softmax_regression.lineage.provenance import project_root
from softmax_regression.params import load_params


def main() -> None:
    """download.py DATA_FOLDER."""
    params = load_params()
    download(
        params.data.name,
        Path(sys.argv[1]),
        sources=params.data.sources.get(params.data.name, []),
        root=project_root(),
        timeout=params.data.timeout,
        settings=params.data.make_classification.model_dump(),
    )


if __name__ == "__main__":
    entry.run(main)
