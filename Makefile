# Two commands need nothing but Python 3.11+, git and make: `make train` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# Two for each of two processors: half of a test's time is waiting for another process.
WORKERS ?= 4

.PHONY: train test chaos torch check bench lock venv clean format
# A container that asks for no bytecode would have every program compile itself anew.
unexport PYTHONDONTWRITEBYTECODE

train: $(READY)            ## a whole training run on the local cloud
	@$(BIN)/inv train --epochs 3

test: $(READY)             ## every test that this machine can run
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

chaos: $(READY)            ## kills and outages at random moments: N=2000 stories, or SEED=71 alone
	CHAOS_SEEDS=$(N) CHAOS_SEED=$(SEED) $(BIN)/python -m pytest tests/chaos -n $(WORKERS)

torch: $(READY)            ## the second example's library, which the lock leaves out for its size
	@$(BIN)/python -m pip install -qq --disable-pip-version-check torch==2.13.0

check: $(READY)            ## style, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)           ## mend what `check` would complain about
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)            ## measure, and write benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks

lock: $(READY)             ## pin every package again, with hashes
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --quiet $(UPGRADE) --output-file requirements.lock

venv: $(READY)
# Marked ready last, so an interrupted install is done again and not believed.
$(READY): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked packages into $(VENV) (once) ..." >&2
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

clean:                     ## remove what was built; nothing that was trained
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache
