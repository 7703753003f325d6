SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# The CPU build of torch is a tenth of the CUDA one. For CUDA, or anything else that the selector on
# pytorch.org names: make demo TORCH=torch==2.13.0 TORCH_INDEX=https://download.pytorch.org/whl/cu130
TORCH ?= torch==2.13.0$(if $(filter Linux,$(shell uname -s)),+cpu)
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

.PHONY: help demo test lint bench docs clean

help: ## say what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 8

# torch comes first, from whatever pip is set up with, else from PyTorch's own index
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt "$(TORCH)" 2>/dev/null \
	  || $(BIN)/python -m pip install --quiet --constraint constraints.txt \
	       --extra-index-url $(TORCH_INDEX) "$(TORCH)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(INSTALLED) ## train two networks on real data and draw how alike their layers are
	PATH="$(abspath $(BIN)):$$PATH" examples/quickstart.sh

test: $(INSTALLED) ## run the tests
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal

lint: $(INSTALLED) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED) ## measure speed against the floor and the peers
	for one in benchmarks/*.py; do $(BIN)/python $$one; done

docs: $(INSTALLED) ## write the generated parts of the pages anew
	$(BIN)/python docs/generate.py

clean: ## remove everything that can be made again
	rm -rf $(VENV) build dist demo *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
