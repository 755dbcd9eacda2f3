# Everything here sets up its own environment; only Python 3.11+ and make are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Of the tests, each with servers of its own. They wait more than they work: more than two cores have.
PROCESSES ?= 3

.PHONY: env demo bench test lint format lock clean

env: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name one with 'make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)'" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: env  ## the main job, end to end, on real market data
	@$(BIN)/python -m demo

bench: env  ## every measurement, on servers of its own; writes docs/benchmarks.md (an hour or more; 35 GB of disk; BENCH="--scale 0.1 --repeats 1" for a short one)
	$(BIN)/python -m bench $(BENCH)

test: env
	$(BIN)/python -m pytest -n $(PROCESSES) --dist worksteal

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:  ## after changing pyproject.toml; needs uv
	uv pip compile --quiet --universal --python-version 3.11 --all-extras --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build *.egg-info
