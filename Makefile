# make study: set up and run the quickstart study.   make test: set up and run every check.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: study test install lint format quick wheel clean

study: install
	$(BIN)/tinyscale launch studies/quickstart.yaml

test: install lint
	$(BIN)/pytest -n 2 --no-loadscope-reorder --durations=30

install: $(VENV)/.installed

# The stamp is the last thing written, so an interrupted install is done again.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13) and "Python 3.11 or 3.12 is needed: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

quick: install
	$(BIN)/pytest -m 'not slow'

# What cluster.yaml copies to the machines.
wheel: install
	rm -rf dist build
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
