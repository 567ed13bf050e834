# Every command a developer or CI needs. `make help` lists them.
# All of them work from a fresh clone: what is missing is set up first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements-dev.lock
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(LOCK)
CHECKED := src tests tools bench examples
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup run board test slow check types lint fmt bench crowd steps bench-latency bench-growth bench-fanout conformance lock docs hooks clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.dev tests/js/node_modules/.package-lock.json ## create .venv with everything a developer needs

run: $(VENV)/.run ## start a server on port 28015, data in ./rethought_data (ARGS="--driver-port 28016")
	$(BIN)/rethought serve $(ARGS)

board: $(VENV)/.board ## a live board for the browser, with a server of its own (ARGS="--data notes")
	$(BIN)/python -m examples.board $(ARGS)

test: setup ## run the tests, a minute or two (ARGS="tests/store -k snapshot")
	$(BIN)/python -m pytest -n 2 -m "not slow" $(ARGS)

slow: setup ## run the tests marked slow: long fault injection, the example applications
	$(BIN)/python -m pytest -n 2 -m slow $(ARGS)

check: lint types ## format, lint and types, as CI runs them

lint: $(VENV)/.dev ## ruff: format and rules
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/ruff check $(CHECKED)

types: $(VENV)/.dev ## mypy, strict
	$(BIN)/mypy

fmt: $(VENV)/.dev ## format the code and mend what ruff can mend
	$(BIN)/ruff format $(CHECKED)
	$(BIN)/ruff check --fix $(CHECKED)

bench: $(VENV)/.dev ## measure a server of this tree (ARGS="--docs 20000", ARGS="--compare HEAD~1")
	$(BIN)/python -m bench $(ARGS)

bench-latency: $(VENV)/.dev ## how soon changes reach their subscribers (ARGS="--rate 500 --subscribers 10")
	$(BIN)/python -m bench.latency $(ARGS)

crowd: $(VENV)/.dev ## measure one client among 500 that run into their limits (ARGS="--clients 100")
	$(BIN)/python -m bench.crowd $(ARGS)

steps: $(VENV)/.dev ## measure how long large queries hold up everybody else (ARGS="--only group")
	$(BIN)/python -m bench.steps $(ARGS)

bench-growth: $(VENV)/.dev ## what a million documents cost, beside a hundred thousand (ARGS="--docs 5000000")
	$(BIN)/python -m bench.growth $(ARGS)

bench-fanout: $(VENV)/.dev ## what many subscribers cost (ARGS="--subscribers 200", ARGS="--idle 1000")
	$(BIN)/python -m bench.fanout $(ARGS)

conformance: $(VENV)/.dev ## replay recorded queries against a server of this tree (REPLAY=path/to/replay.py)
	$(BIN)/python -m tools.conformance $(if $(REPLAY),--replay $(REPLAY)) $(ARGS)

docs: $(VENV)/.dev ## write docs/terms.md from the table of terms
	$(BIN)/python -m tools.terms

lock: $(VENV)/.dev ## write the versions in .venv to requirements-dev.lock
	$(BIN)/python -m tools.lock $(LOCK)

hooks: $(VENV)/.dev ## run the quick checks before each git commit
	$(BIN)/pre-commit install

clean: ## remove what the commands above made, except the data
	rm -rf $(VENV) tests/js/node_modules examples/flights/node_modules .mypy_cache .ruff_cache .pytest_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml $(LOCK) | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(VENV)/.board: pyproject.toml $(LOCK) | $(BIN)/python
	$(PIP) --editable '.[examples]'
	@touch $@ $(VENV)/.run

$(VENV)/.dev: pyproject.toml $(LOCK) | $(BIN)/python
	$(PIP) --editable '.[dev,examples,js]'
	@touch $@ $(VENV)/.run $(VENV)/.board

# The JavaScript drivers are tested only where npm is at hand.
tests/js/node_modules/.package-lock.json: tests/js/package.json tests/js/package-lock.json
	@if command -v npm >/dev/null; then cd tests/js && npm ci --silent --no-audit --no-fund; \
	else echo "npm not found: the tests of the JavaScript drivers will be skipped"; fi
