# Two commands do everything on a fresh machine: `make run` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: install run test soak lint bench eval lock clean

run: install
	$(BIN)/parley serve

install: .venv/.installed

test: .venv/.installed-dev
	$(BIN)/python -m pytest

# Histories of clients, kills and drains for SOAK_SECONDS each; HISTORY_SEED repeats one.
soak: .venv/.installed-dev
	SOAK_SECONDS=$${SOAK_SECONDS:-1800} $(BIN)/python -m pytest tests/live/test_history.py -s

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.installed-dev
	$(BIN)/python -m benchmarks

# EVALS is a folder with sets of data; DATABASES, ONLY and LIMIT choose among what is measured.
eval: .venv/.installed-dev
	$(BIN)/python -m evals $(EVALS) $(if $(DATABASES),--databases $(DATABASES)) $(if $(ONLY),--only $(ONLY)) \
	  $(if $(LIMIT),--limit $(LIMIT))

# The three locks differ in reach only: the small image, running, developing.
lock: .venv/.installed-dev
	$(PIP_INSTALL) uv
	for set in "-slim:" ":--extra local --extra documents --extra build" "-dev:--all-extras"; do \
	  name=requirements$${set%%:*}.lock; \
	  $(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-header \
	    --python-version 3.11 $${set#*:} pyproject.toml --output-file $$name; done

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.installed: requirements.lock pyproject.toml | .venv/bin/python
	$(PIP_INSTALL) --require-hashes --no-deps -r requirements.lock
	$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.lock
	$(PIP_INSTALL) --require-hashes --no-deps -r requirements-dev.lock
	touch $@

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
