# make demo: install, analyze and train LeNet-5 on real digits. make test: the suite. They need python3 (3.11+) and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# uv where it is there, else venv and pip
ifneq ($(shell command -v uv 2>/dev/null),)
MAKE_VENV = uv venv --quiet --python $(PYTHON) $(VENV)
INSTALL = uv pip install --quiet --python $(BIN)/python --torch-backend cpu
else
MAKE_VENV = $(PYTHON) -m venv $(VENV)
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.PHONY: demo test lint bench clean

demo: $(VENV)/.installed
	$(BIN)/netdsl analyze examples/zoo/lenet5.net
	$(BIN)/netdsl train examples/zoo/lenet5.net --set few=true --data digits --out runs/demo --overwrite
	$(BIN)/netdsl run examples/zoo/lenet5.net examples/digits/*.png --weights runs/demo/last.safetensors

test: $(VENV)/.dev
	$(BIN)/python -m pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/netdsl fmt --check examples netdsl/std

# each benchmark prints its own command line; see benchmarks/README.md
bench: $(VENV)/.dev
	$(BIN)/python benchmarks/analyze.py
	$(BIN)/python benchmarks/train_step.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis

$(VENV)/bin/python:
	$(MAKE_VENV)

$(VENV)/.installed: pyproject.toml hatch_build.py grammars/netdsl.lark | $(VENV)/bin/python
	$(INSTALL) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(INSTALL) --editable '.[dev]'
	@touch $@
