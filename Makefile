# Two commands do everything on a fresh machine: `make run` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: install run test soak fuzz lint bench eval lock clean

run: install
	$(BIN)/parley serve

install: .venv/.installed

test: .venv/.installed-dev
	$(BIN)/python -m pytest

# Histories of clients, kills and drains for SOAK_SECONDS each; HISTORY_SEED repeats one.
soak: .venv/.installed-dev
	SOAK_SECONDS=$${SOAK_SECONDS:-1800} $(BIN)/python -m pytest tests/live/test_history.py -s

# Requests generated from the OpenAPI document, against a real server: schemathesis.toml says which findings are none.
fuzz: .venv/.installed-dev
	-$(MAKE) --no-print-directory .venv-fuzz/.installed
	$(BIN)/python -m fuzz .venv-fuzz/bin/schemathesis

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

# The locks differ in reach only: the small image, running, developing, and what sends generated requests.
lock: .venv/.installed-dev
	$(PIP_INSTALL) uv
	for set in "-slim:pyproject.toml" ":--extra local --extra documents --extra build pyproject.toml" \
	  "-dev:--all-extras pyproject.toml" "-fuzz:--group fuzz"; do \
	  name=requirements$${set%%:*}.lock; \
	  $(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-header \
	    --python-version 3.11 $${set#*:} --output-file $$name; done

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.installed: requirements.lock pyproject.toml | .venv/bin/python
	$(PIP_INSTALL) --require-hashes --no-deps -r requirements.lock
	$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.lock
	$(PIP_INSTALL) --require-hashes --no-deps -r requirements-dev.lock
	touch $@

.venv-fuzz/.installed: requirements-fuzz.lock
	$(PYTHON) -m venv --clear .venv-fuzz
	.venv-fuzz/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-fuzz.lock
	touch $@

clean:
	rm -rf .venv .venv-fuzz .pytest_cache .mypy_cache .ruff_cache .hypothesis
