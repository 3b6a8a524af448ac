# The few commands, the same on a laptop and in CI. `make help` lists them.
VENV ?= .venv
PYTHON3 ?= python3
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
PIP = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check
# uv resolves, and runs the tools that are not installed, without releases younger than this: one that was tampered
# with has mostly been found out by then.
export UV_EXCLUDE_NEWER := 7 days

.DEFAULT_GOAL := help
.PHONY: help setup run ui experiments test check torture check-arm bench pictures lock audit sbom clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' Makefile | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(VENV)/.complete  ## make .venv from the lock file (the other commands do it by themselves)

$(VENV)/.complete: requirements.lock pyproject.toml
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"error: Python 3.11 or newer is needed, found {sys.version.split()[0]}; give one: make PYTHON3=/path/to/python3.11")'
	@echo "Setting up $(VENV) from requirements.lock (some minutes, once) ..."
	@test -x $(VENV)/bin/python || $(PYTHON3) -m venv $(VENV)
	@# setuptools first, which builds the packages that come as source: pip would else fetch one whose hash nobody checks.
	@sed -n '/^setuptools==/,/[^\]$$/p' requirements.lock > $(VENV)/setuptools.lock
	@$(PIP) --require-hashes --requirement $(VENV)/setuptools.lock
	@$(PIP) --require-hashes --no-build-isolation --requirement requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@$(VENV)/bin/python -m compileall -q src pipeline
	@touch $@

run: setup  ## run the pipeline (dvc repro) and print the result
	@softmax-regression run

ui: setup  ## open the MLflow UI of this project's runs in a browser, on 127.0.0.1 (PORT=5000)
	@softmax-regression ui --port $(or $(PORT),5000)

experiments: setup  ## list DVC's experiments: the params that differ, the main figures
	@dvc exp show --no-pager --only-changed --drop '(Created|.*_low|.*_high|test_ece|src/|pipeline/|data/|artifacts/)'

test: setup  ## run the tests (no network)
	@python -m pytest -n 2 -m "not slow and not browser"

check: setup  ## lint, types and all tests: what CI runs
	ruff check .
	ruff format --check .
	mypy
	python -m pytest -n 2

torture: setup  ## type random commands, kill them, lose the store: is one experiment one run? (MINUTES, STORE, SEED)
	@PYTHONPATH=tests python -W ignore -m torture --minutes $(or $(MINUTES),30) --store $(or $(STORE),sqlite) \
		--seed $(or $(SEED),0) --every-call $(or $(EVERY_CALL),0)

check-arm: setup  ## train on an emulated ARM processor, with Debian's torch: the same digests? (needs apt, 1.2 GB)
	@.ci/check-arm

bench: setup  ## measure speed, as ratios (benchmarks/)
	@python -m benchmarks

pictures: setup  ## make the pictures of README and docs/ again (needs Fashion-MNIST in ../shared, Chromium; minutes)
	@PYTHONPATH=src:tests python -W ignore docs/pictures.py

.uv/bin/uv: Makefile
	@$(PYTHON3) -m venv .uv && .uv/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.9 && touch $@

lock: .uv/bin/uv  ## resolve pyproject.toml into requirements.lock for every platform, with the hash of every file
	@$< pip compile pyproject.toml --extra dev --extra team --universal --fork-strategy fewest --python-version 3.11 --generate-hashes \
		--no-annotate --no-header --no-emit-index-url --no-emit-find-links --quiet --output-file requirements.lock
	@{ echo '# Made by `make lock` from pyproject.toml, for every platform and Python 3.11 or newer.'; \
		cat requirements.lock; } > .uv/requirements.lock && mv .uv/requirements.lock requirements.lock

audit: .uv/bin/uv  ## look up what is known against the locked packages (needs a network)
	@UVX=.uv/bin/uvx .ci/audit

sbom: .uv/bin/uv  ## write what is locked, with hashes, as a CycloneDX file: dist/sbom.cdx.json
	@mkdir -p dist
	@PYTHONWARNINGS=ignore .uv/bin/uvx --from cyclonedx-bom==7.5.0 cyclonedx-py requirements requirements.lock \
		--pyproject pyproject.toml --output-reproducible --output-file dist/sbom.cdx.json

clean:  ## remove what the pipeline wrote: data, artifacts, DVC's cache (the MLflow store stays)
	@rm -rf data artifacts .dvc/cache .dvc/tmp
