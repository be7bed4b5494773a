# `make demo` and `make test` do all of their own set-up in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: clients demo test check format clean images locks
.DEFAULT_GOAL := test

# Which torch to install: a plain `torch` brings the newest CUDA build on most indexes. Where this version is one
# too, name the CPU build: make demo TORCH="torch==2.13.0 --index-url ADDRESS"
TORCH ?= torch==2.13.0

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --editable ".[local,dev]"
	touch $(STAMP)

# The official SDK and the AWS CLI, for tests that run them against the local AWS: 1.2 GB, about two minutes.
CLIENTS := .venv-clients

$(CLIENTS)/.installed: tests/clients/requirements.txt
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m pip install --quiet --requirement tests/clients/requirements.txt
	touch $@

clients: $(CLIENTS)/.installed

demo: $(STAMP)
	env -u IFT_LOCAL_ROOT $(BIN)/python examples/101_first_run.py

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(STAMP) check
	$(BIN)/python -m pytest --cov --cov-report=term

# The images behind `train` and `serve`, for docker, podman or whatever takes their words. Without a registry see
# infra/container/base.sh, and name its image: make images ENGINE=podman BASE=localhost/ift-base:bookworm
ENGINE ?= docker
BASE ?= python:3.11-slim-bookworm
images: $(STAMP)
	$(BIN)/python infra/container/build.py --engine $(ENGINE) --base $(BASE) --torch "$(TORCH)"

# Needs uv, and in WHEELS torch's build for the processor, whose needs are those of every build but CUDA's own
LOCK := uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 --generate-hashes \
	--no-annotate --no-header --no-emit-index-url --no-emit-find-links --no-emit-package torch
locks:
	$(LOCK) --find-links $(WHEELS) infra/container/train.in --output-file infra/container/train.lock
	$(LOCK) --find-links $(WHEELS) infra/container/serve.in --output-file infra/container/serve.lock

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(CLIENTS) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
