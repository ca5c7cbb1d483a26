# Everything here makes the environment first if it is missing or out of date: `make help`.

PROFILE ?= default
NOTEBOOK ?= hw7
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
SOURCES = $(basename $(notdir $(wildcard notebooks/*.ipynb)))
READY := $(VENV)/.made-from-constraints

.DEFAULT_GOAL := help
.PHONY: help book site test run bench environment

help: ## show this list
	@echo "make TARGET, where TARGET is"
	@sed -n 's/^\([a-z]*\):.*## /  \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

book: $(READY) ## publish what is stale, build the site; PROFILE=quick: all small, PROFILE=full: all again
	$(BIN)/python tools/publish.py book --profile $(PROFILE)

site: $(READY) ## build the site from what is published, and run nothing
	$(BIN)/python tools/publish.py build

test: $(READY) ## run every test
	$(BIN)/python -m pytest

run: $(READY) ## run one notebook into build/run: NOTEBOOK=hw7 ARGS="-p steps 200"
	@test -f notebooks/$(NOTEBOOK).ipynb || \
	  { echo "NOTEBOOK=$(NOTEBOOK): no such notebook; there are: $(SOURCES)"; exit 1; }
	@mkdir -p build/run
	$(BIN)/papermill notebooks/$(NOTEBOOK).ipynb build/run/$(NOTEBOOK).ipynb $(ARGS)

bench: $(READY) ## run the benchmarks
	@for file in benchmarks/*.py; do echo "$$file"; $(BIN)/python "$$file" || exit 1; done

environment: $(READY) ## make the environment in .venv

# The mark is written last, so that an installation that was cut short is taken up again.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=python3.12 …"; exit 1; }
	@echo "Making the environment in $(VENV): about 5.5 GB, a few minutes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -e ".[book,test,teach]" -c constraints.txt
	@touch $(READY)
