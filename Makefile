# Each target makes .venv from requirements.lock when it is missing or older than the lock.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
export HF_HUB_OFFLINE := 1
export RAY_USAGE_STATS_ENABLED := 0

.PHONY: repro test test-faults bench lint clean

repro: .venv/installed
	dvc repro

test: .venv/installed
	pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not faults"

test-faults: .venv/installed
	pytest -n 2 --dist loadfile --no-loadscope-reorder -m faults

bench: .venv/installed
	for script in benchmarks/*.py; do echo "== $$script"; python -m benchmarks.$$(basename $$script .py) || exit 1; done

lint: .venv/installed
	ruff check .
	ruff format --check .
	mypy

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'synthetic-iqa needs Python 3.11 or later: make PYTHON=python3.11')"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	# numba's kernels, compiled once for all workers, stages and tests
	$(BIN)/python -c "from pipeline import sources; sources.compile_kernels()" & \
	$(BIN)/python -c "from pipeline import distortions; distortions.compile_kernels()" && wait
	$(BIN)/python -c "from pipeline.encoder import fused; fused.compile_kernels()"
	touch .venv/installed

clean:
	rm -rf data report metrics
