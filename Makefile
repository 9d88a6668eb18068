# The two commands of the README: `make repro` and `make test`. Each makes the environment first if it is missing or stale.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.made-from-lock
IN_GIT := $(shell git rev-parse --is-inside-work-tree 2>/dev/null)
# An environment holds its own absolute path and a link to its Python: made again where either is no longer there.
STALE := $(shell [ "$$(cat $(STAMP) 2>/dev/null)" = "$(CURDIR)" ] && $(BIN)/python -c "" 2>/dev/null || echo stale)
# No telemetry, from any tool that has some.
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export NO_ALBUMENTATIONS_UPDATE := 1
# One worker per core, each on one thread; a file's tests stay together and the longest files start first (conftest.py).
IN_PARALLEL := -q -n auto --dist loadfile --no-loadscope-reorder

.PHONY: repro test test-fast check lock environment clean preconditions stale
repro: environment
ifeq ($(IN_GIT),true)
	@! grep -qs no_scm .dvc/config.local || $(BIN)/dvc config --local --unset core.no_scm
else
	@echo "Without git: everything runs but dvc exp and dvc metrics diff. For them: git init && git add -A && git commit -m start"
	@$(BIN)/dvc config --local core.no_scm true
endif
	PATH="$(CURDIR)/$(BIN):$$PATH" dvc repro
	@changed=$$(git diff --name-only -- reports dvc.lock 2>/dev/null | wc -l); [ $$changed -eq 0 ] || \
	  echo "$$changed files of reports/ and dvc.lock now hold this machine's figures: times, and what follows from its" \
	    "rounding, differ from those committed. To keep the committed ones: git checkout -- reports dvc.lock"

test: environment check
	PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 PYTHONUTF8=1 python -m pytest $(IN_PARALLEL)

# The inner loop: unit tests only.
test-fast: environment
	PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 PYTHONUTF8=1 python -m pytest $(IN_PARALLEL) -m "not slow and not e2e" \
		--hypothesis-profile=fast

check: environment
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

environment: $(STAMP)

# Before anything is installed: Python, disk space, git; each problem is one sentence.
preconditions:
	@command -v $(PYTHON) >/dev/null || { echo "dr_pipeline: there is no $(PYTHON): install Python 3.11 or newer, or name one: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) tools/preconditions.py $(if $(STALE),,--installed) $(MAKECMDGOALS)

# Removed first, not cleared: it may be a link to the environment of another clone.
# --no-deps: the lock file holds every package already, and exactly one cv2.
$(STAMP): requirements.lock pyproject.toml $(STALE) | preconditions
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	echo "$(CURDIR)" > $@

# Needs uv. The lock serves Linux, macOS and Windows, with and without an NVIDIA card, and names no index. The second is
# the part of it that the container installs.
lock:
	uv pip compile --universal --generate-hashes --no-header --no-annotate \
	  --extra train --extra s3 --extra ray --extra clinic --extra weights --extra openvino --extra signing --extra serve --extra team --extra dev --python-version 3.11 pyproject.toml -o requirements.lock
	uv pip compile --universal --generate-hashes --no-header --no-annotate --constraint requirements.lock \
	  --extra serve --extra signing --python-version 3.11 pyproject.toml -o requirements-serve.lock

clean:
	rm -rf $(VENV)
