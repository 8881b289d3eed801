# Two commands do everything on a fresh machine: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO_OUT ?= runs/demo

.PHONY: help install demo test lint reference format clean

help:
	@echo "make demo     install, then synthesise, export, sweep and report (needs Python >= 3.11)"
	@echo "make test     install, then run the test suite"
	@echo "make lint     install, then ruff and pyright"
	@echo "make install  create $(VENV) with everything needed"
	@echo "make reference  create .venv-reference, which has the published encoder code, and write tests/golden anew"
	@echo "make format   rewrite the code in the project's style"
	@echo "make clean    remove $(VENV) and caches; runs/ stays"

# torch goes first and pinned: a range would pull gigabytes of CUDA on machines that have no GPU.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[export,dev]"
	touch $(READY)

install: $(READY)

demo: install
	$(BIN)/python -m trainers.sweep --out $(DEMO_OUT) --trials 8 --max-epochs 40 --patience 8 --space.widths 256-128-64-32

test: install
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

reference:
	$(PYTHON) -m tests.oracles.build --venv .venv-reference
	.venv-reference/bin/python -m tests.oracles

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache build *.egg-info
