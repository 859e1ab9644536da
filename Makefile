# `make help` lists the targets. Everything runs in .venv, which the first target creates.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DO_NOT_TRACK := 1
# If PYTHONDONTWRITEBYTECODE is set, every process recompiles its imports; importing MLflow then takes 4 s.
unexport PYTHONDONTWRITEBYTECODE

# Each worker runs whole files, so that what a file's tests share is made once; the longest files come first. A third
# worker on two cores makes the whole slower: the tests that train take twice as long.
PYTEST := $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder

.PHONY: help install weights repro plan check test unit e2e lowest lint format hooks golden ui serve app clean forget

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## (.*)/  make \1\t\2/' | expand -t 18

$(BIN)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "lipsmith needs Python 3.11, 3.12 or 3.13, this is " + sys.version.split()[0] + "; choose another interpreter: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

install: $(BIN)/.installed ## create .venv and install everything

weights: install ## fetch and check the Inception weights that FID needs
	$(BIN)/python -m pipeline weights fetch

repro: weights ## run the whole pipeline of params.yaml; the result is artifacts/compare/index.html
	$(BIN)/python -m flows.reproduce

plan: install ## print what `make repro` would run and why; run nothing
	$(BIN)/python -m flows.reproduce --plan

check: lint weights ## run lint, type checks and the fast tests (about a minute on two cores)
	$(PYTEST) -n 2 -m 'not slow and not e2e'

# One worker waits for the processes of the whole pipeline while the other one runs unit tests.
test: lint weights ## run lint, type checks, unit tests, and the whole pipeline at its smallest size
	$(PYTEST) -n 2

unit: weights
	$(PYTEST) -n 2 -m 'not e2e'

e2e: weights
	$(BIN)/python -m pytest -m e2e

lowest: weights ## test media and flows with the lowest allowed version of every dependency
	$(BIN)/python .ci/lowest_bounds

golden: install ## compute tests/golden/curves.txt and print what changed
	$(BIN)/python -m tests.golden.curves

lint: install ## run ruff, mypy, codespell and the file checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	SKIP=ruff-check,ruff-format,mypy $(BIN)/pre-commit run --all-files

hooks: install ## let git run the linters before every commit
	$(BIN)/pre-commit install

format: install ## rewrite the code in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

ui: install ## show the runs in MLflow's page, on http://127.0.0.1:5000
	$(BIN)/python -m pipeline.tracking

serve: install ## serve retraining every night and its Prefect server, from http://127.0.0.1:4200; Ctrl-C stops both
	$(BIN)/python -m flows.serve --with-server

app: install ## serve the web app of dubbing, on http://127.0.0.1:7860
	$(BIN)/python -c 'import importlib.util as u, sys; sys.exit(u.find_spec("gradio") is None)' || $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[app]'
	$(BIN)/python -m pipeline app

# Of data only what stages write: git ignores the folder, and a user's source clips may be in it.
clean: ## remove the outputs of stages and .scratch, not source clips; `make repro` restores unchanged outputs from DVC's cache
	rm -rf data/manifest.parquet data/shards data/clips data/raw/demo artifacts .scratch

# artifacts/promote has the clips of the champion's promotion, .scratch/mlflow-* the records of runs.
forget: ## remove all MLflow runs and the model registry, including the champion
	rm -rf mlruns mlflow.db* artifacts/promote .scratch/mlflow-spool .scratch/mlflow-set-aside
