# Everything here makes the environment first if it is missing or out of date: `make help`. Where an
# environment is active (conda's or any other) that has all that is needed, it uses that one.

PROFILE ?= default
NOTEBOOK ?= hw7
PYTHON ?= python3
VENV := .venv
FOLDER := $(if $(filter Windows_NT,$(OS)),Scripts,bin)
# Two tests that need the same costly fixture run in the same process; the long ones begin first.
PYTEST := -m pytest --numprocesses logical --maxprocesses 4 --dist loadgroup --no-loadscope-reorder
SOURCES = $(basename $(notdir $(wildcard notebooks/*.ipynb)))

# Whoever names PYTHON asks for an environment of that Python.
ifeq ($(origin PYTHON),file)
ACTIVE := $(if $(CONDA_PREFIX)$(VIRTUAL_ENV),$(shell python tools/environment.py 2>/dev/null))
endif
ifneq ($(ACTIVE),)
RUN := python
READY := active
else
RUN := $(VENV)/$(FOLDER)/python
READY := $(VENV)/.made-from-constraints
endif

.DEFAULT_GOAL := help
.PHONY: help book site pdf test mutation run bench oldest newest environment active

help: ## show this list
	@echo "make TARGET, where TARGET is"
	@sed -n 's/^\([a-z]*\):.*## /  \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

book: $(READY) ## publish what is stale, build the site; PROFILE=quick: all small, PROFILE=full: all again
	$(RUN) tools/publish.py book --profile $(PROFILE)

site: $(READY) ## build the site from what is published, and run nothing
	$(RUN) tools/publish.py build

pdf: $(READY) ## set the whole book as a PDF, with LaTeX; the next `make site` offers it
	$(RUN) tools/paper.py

test: $(READY) ## run every test
	$(RUN) $(PYTEST)

mutation: $(READY) ## plant small faults and see if tests fail: MODULE=helpers/progress.py, or all modules
	$(RUN) -m pip install --quiet "mutmut>=3.8,<4" -c constraints.txt
	$(RUN) tools/mutate.py $(MODULE)

run: $(READY) ## run one notebook into build/run: NOTEBOOK=hw7 ARGS="-p steps 200"
	@test -f notebooks/$(NOTEBOOK).ipynb || \
	  { echo "NOTEBOOK=$(NOTEBOOK): no such notebook; there are: $(SOURCES)"; exit 1; }
	@mkdir -p build/run
	$(RUN) -m papermill notebooks/$(NOTEBOOK).ipynb build/run/$(NOTEBOOK).ipynb $(ARGS)

bench: $(READY) ## measure the code's speed, a quarter of an hour: ARGS="numpy_lenet --save"
	$(RUN) benchmarks/run.py $(ARGS)

environment: $(READY) ## make the environment in .venv, unless one is active that has all it needs

oldest: RESOLUTION := lowest-direct
oldest: build/oldest/.tested ## run every test with the oldest direct dependencies, in build/oldest
newest: RESOLUTION := highest
newest: build/newest/.tested ## run every test with the newest versions of all, in build/newest

# Every test: each notebook at its quick settings is among them. Nothing is pinned here. The oldest
# versions were made for Python 3.11 and 3.12: make oldest PYTHON=python3.11.
.PHONY: build/oldest/.tested build/newest/.tested
build/oldest/.tested build/newest/.tested:
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/$(FOLDER)/python -m pip install --quiet uv
	$(@D)/$(FOLDER)/uv pip install --quiet --python $(@D)/$(FOLDER)/python \
	  --resolution $(RESOLUTION) -e ".[book,test,teach]"
	$(@D)/$(FOLDER)/python $(PYTEST)

active:
	@echo "Using the active environment, $(ACTIVE): it has all that is needed."

# The mark is written last, so that an installation that was cut short is taken up again.
$(VENV)/.made-from-constraints: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=python3.12 …"; exit 1; }
	@$(if $(CONDA_PREFIX)$(VIRTUAL_ENV),python tools/environment.py >/dev/null || true)
	@echo "Making the environment in $(VENV): about 5.5 GB, a few minutes."
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet -e ".[book,test,teach]" -c constraints.txt
	@touch $@
