# Every target works on a fresh machine with Python 3.11 or newer; tools it lacks are named and skipped.
PYTHON ?= python3
BIN := .venv/bin
SIZE_ROOMS := krm api catalog planner engines resources targets checks function cli lookup

.PHONY: help install demo test test-fast check format lint types contracts goldens kind-smoke size bench accuracy clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: .venv/.installed  ## project-local environment in .venv

.venv/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "krm-fn needs Python 3.11 or newer; set PYTHON=python3.12, for instance")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: install  ## render examples/quickstart into build/demo and say why
	@$(BIN)/krm-fn render examples/quickstart/config.yaml -d build/demo
	@cd build/demo && find . -name '*.yaml' | sort

test: install  ## all tests; parts that need kustomize, kubectl, kpt, docker or a cluster say so
	$(BIN)/python -m pytest -q -n auto --ignore=tests/integration --ignore=tests/cluster
	$(BIN)/python -m pytest tests/integration tests/cluster

test-fast: install  ## the inner loop: no program, no slow test
	$(BIN)/python -m pytest -q -x -n auto -m 'not slow and not cluster' --ignore=tests/integration

check: format lint types contracts test  ## what CI runs; ends with goldens clean
	git diff --exit-code -- examples base overlays

format: install  ## format the code
	$(BIN)/ruff format krm_fn tests

lint: install  ## ruff, all rules
	$(BIN)/ruff check krm_fn tests

types: install  ## mypy, strict
	$(BIN)/mypy

contracts: install  ## rooms import downwards only
	$(BIN)/lint-imports

goldens: install  ## rewrite examples, base and overlays; read the diff before you commit
	$(BIN)/python -m pytest tests/test_examples.py --update

accuracy: install  ## the memory plan against what engines printed; OPTIONS=--update writes docs/accuracy.md
	@$(BIN)/python tests/accuracy.py $(OPTIONS)

bench: install  ## what the function costs beside Python, PyYAML, kustomize and Docker
	@$(BIN)/python tests/bench.py

kind-smoke:  ## the mock overlay in a kind cluster: create, apply, ask, delete
	tests/cluster/kind-smoke

size:  ## lines a room
	@for room in $(SIZE_ROOMS); do printf '%-10s %6d\n' $$room $$(cat krm_fn/$$room/*.py | wc -l); done

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache
