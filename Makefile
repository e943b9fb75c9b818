# Two commands: `make book` and `make test`. Both make their own environment first.
PYTHON ?= python3.11
BIN := .venv/bin

# Processes that share the tests. A thread each: libraries that take every core would keep each other waiting.
JOBS ?= 2

# For `make fuzz`: for how long each reader is asked.
SECONDS ?= 20

.PHONY: help book test benchmarks faults fuzz audit lint vllm-cpu lab clean

help:
	@echo "make book        run the demo study and build its book (prints the path of the first page)"
	@echo "make test        run every test"
	@echo "make benchmarks  time the heavy parts beside other tools and physical limits (minutes; book page Measured)"
	@echo "make faults      kill, fill and damage whole studies, and count what is lost (half an hour; table in data/measured)"
	@echo "make fuzz        give every reader damaged input, SECONDS=20 each (minutes)"
	@echo "make audit       look the pinned packages up among known vulnerabilities (needs the network)"
	@echo "make lint        ruff and mypy"
	@echo "make lab         open the notebooks in JupyterLab"
	@echo "make vllm-cpu    make the environment of the vLLM tests (several minutes, 3 GB); make test makes it too"
	@echo "make clean       remove what runs made: tables, figures, books; studies, stored answers and environments stay"

book: .venv/.run
	@$(BIN)/recenter run demo
	@$(BIN)/recenter book demo

test: .venv/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder

benchmarks: .venv/.test
	@$(BIN)/python -m tests.benchmarks

faults: .venv/.test
	$(BIN)/python -m tests.faults

fuzz: .venv/.test
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz --seconds $(SECONDS) --jobs $(JOBS)

# In an environment of its own. Strict: a package that cannot be looked up counts as not audited, and not as sound.
audit:
	@test -x .venv-audit/bin/python || $(PYTHON) -m venv .venv-audit
	@.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	.venv-audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

vllm-cpu: .venv/.test
	$(BIN)/python tests/serving/environment.py

lab: .venv/.run
	$(BIN)/jupyter lab notebooks

clean:
	rm -rf data/*/tables data/*/runs data/*/.snakemake figures/* book/_build

.venv/.run: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing (a few minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

.venv/.test: .venv/.run
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch $@
