# Everything needs only Python 3.11 and make; each target sets up what it needs.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# The tests of BigQuery run on a local server, which needs Python 3.13; it is kept between runs.
SERVER := .bigquery
PYTHON313 ?= $(firstword $(wildcard $(HOME)/.pyenv/versions/3.13*/bin/python3.13) $(shell command -v python3.13))

# On each core, four at most, the tests of one file together: they share what they trained.
PARALLEL := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-all coverage mutation fuzz fuzz-parsers bigquery lint format lesson clean

demo: $(VENV)/.demo
	$(BIN)/gatecast demo --overwrite

test: $(VENV)/.dev bigquery
	$(BIN)/pytest -m "not slow" $(PARALLEL)

test-all: $(VENV)/.dev bigquery
	$(BIN)/pytest $(PARALLEL)

# Lines and branches that tests run, those of the processes they start included; fails below 95 %.
coverage: $(VENV)/.dev bigquery
	$(BIN)/pytest -m "not slow" $(PARALLEL) --cov --cov-report term

# Texts, files and tables drawn at random, until stopped or for hours; what is found becomes an @example.
fuzz: $(VENV)/.dev
	$(BIN)/pytest tests/test_fuzz.py --hypothesis-profile fuzz

# The same, led by coverage: an hour for each of what reads texts.
fuzz-parsers: $(VENV)/.dev
	$(PIP) atheris
	set -e; for parser in frequency date zone url settings; do \
		$(BIN)/python tests/fuzz_parsers.py $$parser -max_total_time=3600; done

# Faults put in, one at a time, and how many of them the tests notice; fails below 85 %. Survivors: `mutmut results`.
mutation: $(VENV)/.dev
	$(PIP) mutmut
	$(BIN)/mutmut run
	$(BIN)/mutmut export-cicd-stats
	$(BIN)/python -c "import json; of = json.load(open('mutants/mutmut-cicd-stats.json')); \
		share = (of['killed'] + of['timeout']) / of['total']; \
		print(f'{share:.1%} of', of['total'], 'noticed'); exit(share < 0.85)"

ifeq ($(PYTHON313),)
bigquery:
	@echo "no Python 3.13 on the PATH or under ~/.pyenv/versions: the tests of BigQuery will be skipped" >&2
else
bigquery: $(SERVER)/.ready
endif

$(SERVER)/.ready: tests/bigquery_server.txt
	$(PYTHON313) -m venv $(SERVER)
	$(SERVER)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

lint: $(VENV)/.dev
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/ruff check --fix src tests benchmarks

$(VENV)/.demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[baselines]'
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) --editable '.[all,dev]'
	touch $@

lesson: $(VENV)/.demo
	$(BIN)/python examples/notebook.py examples/lesson.py

clean:
	rm -rf $(VENV) $(SERVER) gatecast-demo examples/lesson.ipynb dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis mutants .coverage
