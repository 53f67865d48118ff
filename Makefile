# make run, make test, make lint, make bench, make fuzz, make chaos: each sets up what it needs first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test lint bench fuzz chaos setup dev clean

run: $(VENV)/.run ui/node_modules/.done
	$(BIN)/foreshock up $(ARGS)

test: $(VENV)/.dev ui/node_modules/.done
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	$(BIN)/python -m bench $(ARGS)

# Faults on the whole deployment under load, minutes long: make chaos ARGS="--seed 7 --seconds 300"
chaos: $(VENV)/.dev
	$(BIN)/python -m tests.cluster.chaos $(ARGS)

$(VENV)/.venv:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.run: $(VENV)/.venv pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.dev: $(VENV)/.venv pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev,lstm]'
	touch $@ $(VENV)/.run

fuzz: $(VENV)/.dev
	$(BIN)/python -m bench.fuzz $(ARGS)

ui/node_modules/.done: ui/package.json ui/package-lock.json
	cd ui && npm ci --no-audit --no-fund --silent
	touch $@

clean:
	rm -rf $(VENV) ui/node_modules
