# The one interface: people and continuous integration call the same verbs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Pins hold for what builds the package as well.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
STAMP := $(VENV)/.made-from-$(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)

.PHONY: help setup run test check format bench fuzz build clean

help: ## show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(STAMP) ## make .venv with everything pinned (Python 3.11 to 3.13; PYTHON=... chooses)
$(STAMP):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "zarrlink needs Python 3.11 or newer; name one with PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[local,test,check,browser]'
	@rm -f $(VENV)/.made-from-*; touch $@

run: setup ## serve a sample volume through a private link (RUN="--port 0" passes options on)
	@$(BIN)/python local/run.py $(RUN)

test: setup ## run the tests (TEST="-k name" passes options on)
	$(BIN)/python -m pytest -n auto $(TEST)

check: setup ## formatting, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## measure, and write benchmarks/results.md (needs nginx and wrk)
	$(BIN)/python -m pip install --quiet granian
	$(BIN)/python benchmarks/run.py

fuzz: setup ## fuzz the parsers of foreign bytes (FUZZ_SECONDS=60 each)
	$(BIN)/python -m pip install --quiet atheris
	$(BIN)/python tests/fuzz/run.py --seconds $(or $(FUZZ_SECONDS),60)

build: setup ## build the wheel into dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## remove what was built and made
	rm -rf $(VENV) build dist .zarrlink
