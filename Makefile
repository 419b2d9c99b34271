# Front door: sets up .venv from the lock, then hands the target to Snakemake.
#   make results/table3.csv   (or any target of the Snakefile: make all, make results/figure1.svg)
#   make test                 make test-quick           make lint                 make lock
#   make appendix             the appendices' figures in the miniature
#   make reference            docs/config.md and the JSON schema, from the config's schema

PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.SUFFIXES:
.PHONY: test test-quick appendix lint reference lock FORCE

# Two processes, a module of tests at a time, the slowest first. One thread each.
PYTEST := OMP_NUM_THREADS=1 pytest -n 2 --dist loadscope --no-loadscope-reorder

test: .venv/installed
	$(PYTEST)

test-quick: .venv/installed
	$(PYTEST) -m "not slow"

appendix: .venv/installed
	snakemake appendix --configfile config/config.yaml config/overlays/appendix.yaml

lint: .venv/installed
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow/Snakefile rules
	mypy
	snakemake --lint

reference: .venv/installed
	python -m modelsoups.paper.schema

lock: .venv/installed
	uv pip compile pyproject.toml --extra workflow --extra dev --universal \
	  --python-version 3.11 --generate-hashes --no-header --upgrade --quiet -o requirements.lock
	@echo "Now bring the versions in envs/modelsoups.yaml in line (make test says which)."

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; say which with: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	touch $@

Makefile requirements.lock pyproject.toml: ;

%: .venv/installed FORCE
	snakemake $@

FORCE:
