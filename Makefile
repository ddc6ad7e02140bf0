# make run    sets everything up on a fresh machine and starts the program
# make test   sets everything up and runs every check and test
# Nothing is installed outside this folder, but for the browser, fonts, readers, Java and PostgreSQL server that `make test`
# asks Debian's package manager for, where it may.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?=
CONFIG ?= config.toml
KILLS ?= 1000
DAYS ?= 365
SOURCES ?= 200
FUZZ_SECONDS ?= 180
EXAMPLES ?= 2000
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input
export PYTHONUTF8 := 1

.PHONY: help
help:
	@echo "make run      set up and start: reads the sources, publishes, serves (Ctrl-C stops)"
	@echo "make test     set up and run every check and test"
	@echo "make bench    print the benchmarks' tables"
	@echo "make soak     kill the program a thousand times, and let a year of 200 sources pass, look for inputs"; \
	echo "              that break a law of any part: four hours, or, in a few minutes, a little of each with"; \
	echo "              KILLS=20 DAYS=10 SOURCES=20 FUZZ_SECONDS=5 EXAMPLES=20"
	@echo "make format   bring the code into its form"
	@echo "make lock     choose the newest allowed version of every dependency"
	@echo "make clean    remove what make, the tests and the caches left; keeps feeds/"

# --- set up ---

# The first Python on the path that is new enough; PYTHON=... chooses another.
$(BIN)/python:
	@for candidate in "$(PYTHON)" python3 python3.14 python3.13 python3.12 python3.11; do \
	  if [ -n "$$candidate" ] && "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    python=$$candidate; break; fi; done; \
	if [ -z "$${python:-}" ]; then \
	  echo "Python 3.11 or newer is needed; here is $$(python3 --version 2>/dev/null || echo none). Install one, or name it: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; exit 1; fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "$$python cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; fi; \
	echo "Setting up $(VENV) with $$("$$python" --version) ..."; \
	"$$python" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# Every package is pinned with its digest; the project itself is installed in place.
$(VENV)/.run: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing what the program needs ..."
	@$(PIP) install --require-hashes --requirement requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	@echo "Installing what the tests need ..."
	@$(PIP) install --require-hashes --requirement requirements-dev.lock
	@touch $@

# What looks for inputs that break a law is to be had for few machines; elsewhere, what it once found is tried all the same.
$(VENV)/.fuzz: requirements-fuzz.lock $(VENV)/.dev
	@$(PIP) install --require-hashes --only-binary :all: --requirement requirements-fuzz.lock 2> /dev/null \
	  || echo "atheris cannot be had here: no new inputs are looked for, those that were found before are tried."
	@touch $@

# --- use ---

.PHONY: run
run: $(VENV)/.run
	@exec $(BIN)/aggregator run --config $(CONFIG)

# --- check ---

.PHONY: test lint pytest tools
# The wheel and the oldest versions are tried beside each other, and the tests begin as soon as one of them is done.
test: lint
	@$(MAKE) --jobs=2 wheel-test lowest-test pytest

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# Much of what the tests do is waiting for processes, so a second one halves the time; more would disturb each other.
pytest: $(VENV)/.fuzz tools
	@$(BIN)/pytest --numprocesses 2 --dist loadfile

tools:
	@tests/install-tools

# What is shipped is tried, not the checkout: an environment that holds the wheel and what it declares, and nothing else.
# The oldest versions that pyproject.toml allows are tried as well as the newest: the quick tests of what leans on them.
LOWEST_TESTS := normalise words sources config flow hostile render serve migrations
.PHONY: lowest-test
lowest-test: $(VENV)/.dev
	@rm -rf build/lowest && mkdir -p build
	@$(BIN)/uv --quiet venv --python $(BIN)/python build/lowest
	@$(BIN)/uv --quiet pip install --python build/lowest/bin/python --resolution lowest-direct ".[postgresql]" --group lowest
	@build/lowest/bin/python -m pytest -q -p no:cacheprovider $(LOWEST_TESTS:%=tests/test_%.py)

.PHONY: wheel wheel-test
wheel: $(VENV)/.dev
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation --outdir dist . > build.log 2>&1 || { cat build.log; exit 1; }
	@rm -f build.log

wheel-test: wheel
	@rm -rf build/wheel && mkdir -p build
	@$(BIN)/python -m venv build/wheel
	@build/wheel/bin/python -m pip -qq --disable-pip-version-check --no-input install --require-hashes --requirement requirements.lock
	@build/wheel/bin/python -m pip -qq --disable-pip-version-check --no-input install --no-deps dist/*.whl
	@build/wheel/bin/python -m pip --disable-pip-version-check check
	@cd build && wheel/bin/aggregator --help > /dev/null && rm -rf new && wheel/bin/aggregator init new && wheel/bin/aggregator check --config new/config.toml
	@echo "The wheel holds all it needs."

.PHONY: bench
bench: $(VENV)/.dev
	@$(BIN)/python -m tests.benchmarks

.PHONY: soak
soak: $(VENV)/.fuzz
	@$(BIN)/python -m tests.soak.crashes --kills $(KILLS)
	@$(BIN)/python -m tests.soak.year --days $(DAYS) --sources $(SOURCES)
	@$(BIN)/python -m tests.soak.fuzz --seconds $(FUZZ_SECONDS)
	@HYPOTHESIS_PROFILE=search EXAMPLES=$(EXAMPLES) $(BIN)/pytest -m hypothesis $(shell grep -l hypothesis tests/test_*.py)
	@echo "Soaked: $(KILLS) kills, $(DAYS) days of $(SOURCES) sources, $(FUZZ_SECONDS) s of fuzzing each part: every promise held."

# --- care ---

.PHONY: format lock clean
format: $(VENV)/.dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# One resolution for every platform and every supported Python; run by hand, and the result committed.
lock: $(VENV)/.dev
	@$(BIN)/uv --quiet pip compile --universal --generate-hashes --upgrade --no-header --python-version 3.11 \
	  --group build pyproject.toml --output-file requirements.lock
	@$(BIN)/uv --quiet pip compile --universal --generate-hashes --no-header --python-version 3.11 \
	  --group build --extra postgresql --constraints requirements.lock pyproject.toml --output-file requirements-postgresql.lock
	@$(BIN)/uv --quiet pip compile --universal --generate-hashes --upgrade --no-header --python-version 3.11 \
	  --group build --group dev --extra dask --extra notify --extra postgresql --extra semantic --constraints requirements.lock pyproject.toml --output-file requirements-dev.lock
	@$(BIN)/uv --quiet pip compile --universal --generate-hashes --upgrade --no-header --python-version 3.11 \
	  --group pyproject.toml:fuzz --output-file requirements-fuzz.lock

clean:
	@rm -rf $(VENV) build dist build.log .mypy_cache .pytest_cache .ruff_cache .hypothesis .fuzz *.egg-info tests/node_modules
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
