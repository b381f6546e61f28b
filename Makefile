# Two commands need nothing but Python 3.11+, git and make: `make train` and `make test`.
SHELL  := bash
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# What each set of packages is marked with once it is installed: to train here, to develop, PyTorch.
BASE   := $(VENV)/.base
READY  := $(VENV)/.ready
TORCH  := $(VENV)/.torch
# Two for each of two processors: half of a test's time is waiting for another process.
WORKERS ?= 4

.PHONY: train test chaos torch check bench lock venv clean format
# A container that asks for no bytecode would make every program recompile itself.
unexport PYTHONDONTWRITEBYTECODE

train: $(BASE)             ## a whole training run on the local cloud
	@$(BIN)/inv train --epochs 3

test: $(READY)             ## every test that this machine can run
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

chaos: $(READY)            ## kills and outages at random moments: N=2000 stories, or SEED=71 alone
	CHAOS_SEEDS=$(N) CHAOS_SEED=$(SEED) $(BIN)/python -m pytest tests/chaos -n $(WORKERS)

torch: $(TORCH)            ## the second example's library, which the other locks leave out for its size

check: $(READY)            ## style, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)           ## fix what `check` would complain about
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)            ## measure, and write benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks

COMPILE = $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 \
	--generate-hashes --no-header --no-annotate --quiet $(UPGRADE)
RUNTIME = --extra local --extra examples

lock: $(READY)             ## pin every package again, with hashes: UPGRADE=--upgrade for newer ones
	$(COMPILE) $(RUNTIME) --group build --output-file requirements.lock
	$(COMPILE) $(RUNTIME) --group dev --constraints requirements.lock --output-file requirements-dev.lock
	$(COMPILE) --extra torch --constraints requirements-dev.lock --output-file requirements-torch.lock

venv: $(READY)

# Installs a lock: with uv where there is one, which shows its own progress, else with pip and a line per package.
# $(1) lock, $(2) what to say.
define install
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip --upgrade >/dev/null
	@echo "installing $(2) into $(VENV), once ..." >&2
	@set -o pipefail; uv=$$(command -v uv || command -v $(BIN)/uv); \
	if [ -n "$$uv" ]; then \
		"$$uv" pip install --python $(BIN)/python --require-hashes --requirements $(1); \
	else \
		$(BIN)/python -u -m pip install --disable-pip-version-check --progress-bar off --require-hashes -r $(1) \
		| awk -v all=$$(grep -c == $(1)) '/^(Collecting|Processing) / { sub(/.*\//, "", $$2); printf "  %d of about %d: %s\n", ++n, all, $$2 } \
			/^Installing collected/ { print "  all here; unpacking ..." } { fflush() }' >&2; \
	fi
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@cp $(BIN)/runctl $(BIN)/inv  # Invoke's own answers -h, --version and an early Ctrl-C before it has read tasks.py
endef

# Marked last, so an interrupted installation is done again and not believed.
$(BASE): requirements.lock pyproject.toml
	$(call install,$<,$(shell grep -c == requirements.lock) packages (1 GB: seconds with uv, 1 to 6 minutes with pip))
	@touch $@

$(READY): requirements-dev.lock requirements.lock pyproject.toml
	$(call install,$<,$(shell grep -c == requirements-dev.lock) packages (1.1 GB: seconds with uv, 1 to 6 minutes with pip))
	@touch $(BASE) $@

$(TORCH): requirements-torch.lock | $(READY)
	$(call install,$<,PyTorch (5 GB, about 2 minutes))
	@touch $@

clean:                     ## remove what was built; nothing that was trained
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache
