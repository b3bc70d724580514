# The verbs of the project; `make` alone prints them.
# `make test VENV=/elsewhere` works in a virtual environment outside the tree; PYTHON names the interpreter.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help install demo dev test lint formatted types arch unit integration contracts migrations e2e \
	chaos bench schema format docs docs/reference/settings.md docs/reference/metrics.md docs/reference/playbook.md clean

help: ## print these verbs
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(READY) ## make the virtual environment with everything the other verbs need

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(READY) ## start everything in a temporary folder, run the examples and show what the log holds
	$(BIN)/playlog demo

dev: $(READY) ## start everything here: PostgreSQL, NATS and all processes; data in .playlog
	$(BIN)/playlog dev

test: lint types arch ## check everything: lint, types, architecture, all tests and a sample of the chaos run
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --ignore tests/e2e
	$(BIN)/python -m pytest tests/e2e

lint: $(READY) formatted ## look for mistakes and for files that are not formatted
	$(BIN)/ruff check

formatted: $(READY)
	$(BIN)/ruff format --check

types: $(READY) ## check the types, strictly
	$(BIN)/mypy

arch: $(READY) ## check who imports whom
	$(BIN)/lint-imports --no-logo

unit: $(READY) ## run the tests that need nothing
	$(BIN)/python -m pytest tests/unit

integration: $(READY) ## run the tests against a real PostgreSQL and a real NATS
	$(BIN)/python -m pytest tests/integration

contracts: $(READY) ## run the tests of the wire contracts
	$(BIN)/python -m pytest tests/contracts

migrations: $(READY) ## run the tests of migrations, schema and statements
	$(BIN)/python -m pytest tests/migrations

e2e: $(READY) ## run the tests with real processes, a sample of the chaos run among them
	$(BIN)/python -m pytest tests/e2e

chaos: $(READY) ## run the whole chaos run: hours
	CHAOS=long $(BIN)/python -m pytest tests/unit/domain/test_random_playbooks.py tests/e2e/chaos \
		tests/e2e/test_two_appenders.py --timeout=0

bench: $(READY) ## run the benchmarks; ARGS=--quick for a minute
	$(BIN)/python -m bench $(ARGS)

schema: $(READY) ## write sql/schema.sql anew and put new migrations on record
	UPDATE_SCHEMA=1 $(BIN)/python -m pytest tests/migrations/test_schema.py

format: $(READY) ## format every file
	$(BIN)/ruff format

docs: docs/reference/settings.md docs/reference/metrics.md docs/reference/playbook.md ## write the reference pages anew

docs/reference/settings.md: $(READY)
	$(BIN)/python -m engine.runtime.settings_loading > $@

docs/reference/metrics.md: $(READY)
	$(BIN)/python -m engine.runtime.metrics > $@

docs/reference/playbook.md: $(READY)
	$(BIN)/python -m engine.language.reference > $@
	$(BIN)/playlog schema playbook > playbooks/playbook.schema.json

clean: ## remove what can be made again; the data of `make dev` in .playlog stays
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
