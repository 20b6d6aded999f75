# Everything a user or CI types. `make help` lists the targets.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Each process holds torch and TVM, and what it runs takes a core or two. Each begins with its part of the tests in their
# order, and one that is done takes half of what another has left; fixtures that take long are made once for all (`Once`
# in tests/conftest.py). There is one more than cores: a test that waits for a worker of its own, or for a device, leaves
# its core to the others. On two cores, three take seven eighths of the time that two take.
# The samplers' small matrices take no longer on one thread, and three times as long where threads outnumber the cores.
# Threads that wait for one another (PASSIVE) leave their core to the other processes.
WORKERS = $$(($$(getconf _NPROCESSORS_ONLN) + 1))
# Hundreds of processes import the explorer, which takes half the time where Python may keep what it has compiled.
PYTEST = PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help install quickstart test test-fast test-all check lint bench clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(INSTALLED) ## make .venv and install the explorer with its development tools

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

quickstart: install ## search 36 small stacks on the digits, about 2 minutes
	$(BIN)/dlas run search_spaces/quickstart.toml

test: install ## run the tests
	$(PYTEST) -m "not nightly"

test-fast: install ## run the tests that take seconds
	$(PYTEST) -m "not slow and not nightly"

test-all: install ## run every test, the nightly ones too, on twenty times as many drawn cases
	HYPOTHESIS_PROFILE=nightly $(PYTEST)

lint: install ## ruff, mypy and the order of packages
	$(BIN)/ruff check .
	$(BIN)/ruff check --preview --select PLW1514 explorer dlas_ops
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test ## what CI runs

bench: install ## compare with torch, ONNX Runtime and OpenVINO, and measure every layer; writes benchmarks/*.json
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	$(BIN)/python tests/benchmarks/networks.py --json benchmarks/networks.json
	$(BIN)/python tests/benchmarks/layers.py --json benchmarks/layers.json

clean: ## remove the environment and caches, never a workspace
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
