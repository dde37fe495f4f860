# Everything needs only Python 3.11 and make; each target sets up what it needs.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-all lint format clean

demo: $(VENV)/.demo
	$(BIN)/gatecast demo --overwrite

test: $(VENV)/.dev
	$(BIN)/pytest -m "not slow"

test-all: $(VENV)/.dev
	$(BIN)/pytest

lint: $(VENV)/.dev
	$(BIN)/ruff format --check src tests
	$(BIN)/ruff check src tests
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format src tests
	$(BIN)/ruff check --fix src tests

$(VENV)/.demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[baselines]'
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) --editable '.[all,dev]'
	touch $@

clean:
	rm -rf $(VENV) gatecast-demo dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
