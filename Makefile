# Everything here works on a fresh clone with nothing but Python (3.11 to 3.13), its venv module and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EXTRAS ?= dev,slurm
# A Linux machine without a GPU saves 3 GB with: make setup PIP_TORCH_ARGS="--index-url https://download.pytorch.org/whl/cpu"
PIP_TORCH_ARGS ?=
READY := $(VENV)/.ready-$(EXTRAS)
export UV_SYSTEM_CERTS ?= 1
# Python keeps what it has compiled: without, every command compiles Lightning and the others again
unexport PYTHONDONTWRITEBYTECODE

# two files of tests at a time, a thread each: most of their time is Python and models too small for more
WORKERS ?= 2
PYTEST := OMP_NUM_THREADS=$(or $(OMP_NUM_THREADS),1) $(BIN)/python -m pytest -q \
  -n $(WORKERS) --dist loadfile --no-loadscope-reorder
FAST := not slow and not long and not gpu

.DEFAULT_GOAL := help
.PHONY: help setup setup-tsfm setup-braindecode setup-docs train test test-all test-cluster check types test-fast bench docs docs-serve clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

train: setup  ## set up, then train the demo on simulated EEG (ARGS= replaces "experiment=demo")
	$(BIN)/python -m eegfm.train $(or $(ARGS),experiment=demo)

test: setup  ## set up, then run the tests but for those of minutes each; in twenty minutes on two cores (ARGS= is handed to pytest)
	$(PYTEST) -m "not long" $(ARGS)

test-all: setup  ## every test, each command by a new Python: before a release, more than an hour
	EEGFM_TEST_AFRESH=1 $(PYTEST) $(ARGS)

test-cluster: setup  ## a sweep through a real SLURM that is started here (wants root and Debian's slurm-wlm and munge)
	$(BIN)/python -m pytest -q -rs tests/cluster $(ARGS)

check: setup  ## format, lint, types, floors and the fast tests
	$(BIN)/ruff format --check src tests docs examples
	$(BIN)/ruff check src tests docs examples
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory -j2 types test-fast

types:
	$(BIN)/pyright src

test-fast:
	$(PYTEST) -m "$(FAST)" $(ARGS)

docs: setup-docs  ## build the documentation, without network, into docs/_build/html (a warning is an error)
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

docs-serve: docs  ## build the documentation and open it at http://localhost:8000
	$(BIN)/python -m webbrowser -n http://localhost:8000 >/dev/null 2>&1 & $(BIN)/python -m http.server -d docs/_build/html -b localhost 8000

bench: setup  ## measure speed and print the tables (ARGS= names one benchmark)
	$(BIN)/python -m tests.bench $(ARGS)

setup: $(READY)  ## make .venv with the tested versions (quick when nothing changed)

# torch by pip, so that an index or a local wheel given to pip is used; the rest by uv, with pip as the fallback
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || { \
	  echo "eegfm needs Python 3.11, 3.12 or 3.13; $(PYTHON) is $$($(PYTHON) -V 2>/dev/null || echo "not there"). Try: make $(firstword $(MAKECMDGOALS)) PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "$(PYTHON) has no venv module. On Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Setting up $(VENV) (once, about a minute) ..."
	@$(BIN)/python -m pip install -qq --no-compile -c constraints.txt $(PIP_TORCH_ARGS) torch
	@$(BIN)/python -m pip install -qq uv || echo "uv is not to be had; going on with pip"
	@$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -e '.[$(EXTRAS)]' \
	  || $(BIN)/python -m pip install -qq -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

# momentfm is what the tests hold encoder=moment against; nothing else needs it
setup-tsfm: setup  ## add what the pretrained encoders need (granite-tsfm without its version pins)
	@test -e $(VENV)/.ready-tsfm || { $(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -e '.[$(EXTRAS),tsfm]' \
	  || $(BIN)/python -m pip install -qq -c constraints.txt -e '.[$(EXTRAS),tsfm]'; }
	@test -e $(VENV)/.ready-tsfm || $(BIN)/python -m pip install -qq --no-deps granite-tsfm==0.3.11 momentfm==0.1.4
	@touch $(VENV)/.ready-tsfm

setup-braindecode: setup  ## add braindecode, whose classifiers model=braindecode wraps
	@test -e $(VENV)/.ready-braindecode || $(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt braindecode \
	  || $(BIN)/python -m pip install -qq -c constraints.txt braindecode
	@# its torchaudio is built for CUDA: beside a torch without it that library stops the import, and nothing here needs it
	@! $(BIN)/python -c "import sys, torch; sys.exit(torch.version.cuda is not None)" \
	  || rm -rf $(VENV)/lib/python3*/site-packages/torchaudio/lib
	@touch $(VENV)/.ready-braindecode

setup-docs: setup
	@test -e $(VENV)/.ready-docs || $(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -e '.[$(EXTRAS),docs]' \
	  || $(BIN)/python -m pip install -qq -c constraints.txt -e '.[$(EXTRAS),docs]'
	@touch $(VENV)/.ready-docs

clean:  ## remove .venv and what builds and tests leave (data and runs stay)
	rm -rf $(VENV) dist build docs/_build docs/_made .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
