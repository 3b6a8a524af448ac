"""Settings for every test: one thread for each process, since `pytest -n 2` has both cores busy already."""

import os

for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
