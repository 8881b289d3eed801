# Two commands do everything on a fresh machine: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO_OUT ?= runs/demo

.PHONY: help install demo test test-slow s3-emulator lint reference format clean

help:
	@echo "make demo     install, then synthesise, export, sweep and report (needs Python >= 3.11)"
	@echo "make test     install, then run the test suite"
	@echo "make test-slow  install, then run the tests that take long"
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
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[export,generate,dev]"
	touch $(READY)

install: $(READY)

demo: install
	$(BIN)/python -m trainers.sweep --out $(DEMO_OUT) --trials 8 --max-epochs 40 --patience 8 --space.widths 256-128-64-32

test: install
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m "not slow and not full_size"

test-slow: install s3-emulator
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m "slow and not full_size"

# In an environment of its own: moto asks for other versions than ours.
s3-emulator: $(VENV)/moto/.ready
$(VENV)/moto/.ready: | install
	$(PYTHON) -m venv $(VENV)/moto
	$(VENV)/moto/bin/python -m pip install --quiet "moto[server]==5.2.5"
	touch $(VENV)/moto/.ready

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
