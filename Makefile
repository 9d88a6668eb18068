# The two commands of the README: `make repro` and `make test`. Each makes the environment first if it is missing or stale.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.made-from-lock
# No telemetry, from any tool that has some.
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export NO_ALBUMENTATIONS_UPDATE := 1
# One worker per core, each on one thread; a file's tests stay together and the longest files start first (conftest.py).
IN_PARALLEL := -q -n auto --dist loadfile --no-loadscope-reorder

.PHONY: repro test test-fast check lock environment clean
repro: environment
	PATH="$(CURDIR)/$(BIN):$$PATH" dvc repro

test: environment check
	PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 python -m pytest $(IN_PARALLEL)

# The inner loop: unit tests only.
test-fast: environment
	PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 python -m pytest $(IN_PARALLEL) -m "not slow and not e2e" \
		--hypothesis-profile=fast

check: environment
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

environment: $(STAMP)

# --no-deps: the lock file holds every package already, and exactly one cv2.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "dr_pipeline needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

# Needs uv. The lock serves Linux, macOS and Windows, with and without an NVIDIA card, and names no index.
lock:
	uv pip compile --universal --generate-hashes --no-header --no-annotate \
	  --extra train --extra dev --python-version 3.11 pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV)
