# vitreous: `make run` makes a report from nothing, `make test` runs every check. The environment is .venv.
PYTHON ?= python3
# A package index that offers CPU builds of torch, for machines without a GPU: make run TORCH_INDEX=URL
TORCH_INDEX ?=
CONFIG ?= config/minimal.yaml
BIN := .venv/bin

.PHONY: run test lint topaz config-docs setup clean
.DEFAULT_GOAL := run

setup: .venv/ready

.venv/ready: envs/lock.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
		{ echo "vitreous needs Python 3.11; say which: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(if $(TORCH_INDEX),PIP_EXTRA_INDEX_URL=$(TORCH_INDEX)) $(BIN)/python -m pip install --quiet --requirement envs/lock.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch .venv/ready

run: .venv/ready
	@$(BIN)/vitreous run $(CONFIG)

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/lint-imports
	$(BIN)/snakemake --lint

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

config-docs: .venv/ready
	$(BIN)/python -m vitreous.config.docs

topaz: .venv/ready
	$(BIN)/python -m pip install --quiet --no-deps --requirement envs/topaz.txt

clean:
	rm -rf .venv
