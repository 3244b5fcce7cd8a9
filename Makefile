# Usher's commands. `make run` and `make test` do all set-up themselves on a bare Python 3.11 and make;
# `make help` lists every target.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Which Python makes the environment; when empty, tools/setup.sh looks for 3.11 or newer on PATH.
PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/stamp
# Test processes; one process a core is right for most machines.
WORKERS ?= 2
# What pytest is given besides, such as `make test ARGS="-k seats"`.
ARGS ?=
NAME ?= core
# Every top-level folder that holds code.
CODE := $(patsubst %/__init__.py,%,$(wildcard */__init__.py)) examples

# Each gate by itself is quick or uses every core; side by side they would only get in each other's way.
.NOTPARALLEL:

.PHONY: help
help: ## List every target
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---------------------------------------------------------------- set-up

# setup.cfg lists the packages, so a new one brings a new editable install.
$(STAMP): uv.lock.txt requirements.lock setup.cfg pyproject.toml tools/setup.sh
	@sh tools/setup.sh "$(PYTHON)" "$(VENV)"
	@touch $@

.PHONY: setup
setup: $(STAMP) ## Make .venv with every dependency at its locked version and hash

.PHONY: test-services
test-services:
	@sh tools/test_services.sh $(BIN)/python

# ---------------------------------------------------------------- use

.PHONY: run
run: setup ## Run Usher with sample data
	@$(BIN)/usher demo

.PHONY: run-ldap
run-ldap: setup ## Run Usher with sample data on a private OpenLDAP server
	@USHER_DATA=$${USHER_DATA:-var/ldap} $(BIN)/usher demo --ldap

.PHONY: bench
bench: setup ## Run a benchmark, such as `make bench NAME=core`
	@$(BIN)/python -m bench $(NAME)

# ---------------------------------------------------------------- gates, in their order

# Gates must say the same thing twice about the same code, so property tests repeat their cases here.
.PHONY: check
check: export HYPOTHESIS_PROFILE := gate
check: format-check lint types contracts test coverage wheel ## Run every gate

.PHONY: format
format: setup ## Lay out the code and mend what ruff can mend
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

.PHONY: format-check
format-check: setup ## Gate: the code is laid out by ruff
	$(BIN)/ruff format --check $(CODE)

.PHONY: lint
lint: setup ## Gate: ruff's rules
	$(BIN)/ruff check $(CODE)

.PHONY: types
types: setup ## Gate: mypy, strict, on code and tests
	$(BIN)/mypy

.PHONY: contracts
contracts: setup ## Gate: which package may import which
	$(BIN)/lint-imports --no-logo

.PHONY: test
test: setup test-services ## Run the whole test suite; it leaves coverage data for `make coverage`
	@rm -f .coverage .coverage.* .absent-servers
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --cov --cov-report= $(ARGS)

# The data is the last test run's. In `make check` that is the run just made.
.PHONY: coverage
coverage: setup $(if $(wildcard .coverage),,test) ## Gate: lines and branches covered by the last `make test`
	@$(BIN)/coverage json -q -o coverage.json
	@$(BIN)/python -m tools.coverage_gate coverage.json

.PHONY: migrations
migrations: setup test-services ## Gate: migrations on both databases (also part of `make test`)
	$(BIN)/pytest tests/migrations $(ARGS)

.PHONY: wheel
wheel: setup ## Gate: the built wheel runs in an empty environment
	@sh tools/wheel_gate.sh $(BIN)

# ---------------------------------------------------------------- upkeep

.PHONY: lock
lock: setup ## Lock the newest dependencies that setup.cfg allows
	@sh tools/lock.sh $(BIN)

.PHONY: clean
clean: ## Remove everything that make made
	rm -rf $(VENV) build dist *.egg-info coverage.json .coverage .coverage.* .absent-servers \
		.hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
