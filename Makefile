# Everything lives in .venv of this checkout. Needs Python 3.11+ and make, nothing else.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
export PYTHONDONTWRITEBYTECODE :=
# Threads that wait for work must not burn the core that does it.
export OMP_WAIT_POLICY := PASSIVE

.DEFAULT_GOAL := help
.PHONY: help setup demo flowers fraud test test-fast check format bench clean lock servers servers-start servers-stop

help:  ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## set up .venv and install Orrery with everything that one machine needs

$(STAMP): pyproject.toml requirements/dev.txt scripts/setup.sh
	@PYTHON="$(PYTHON)" sh scripts/setup.sh "$(VENV)"
	@touch $@

demo: setup  ## the whole loop on real handwritten digits: read, learn, serve, retrain, promote
	@cd examples/digits && ../../$(BIN)/python demo.py

flowers: setup  ## pictures in MongoDB, read in place by two workers, learnt, and shown with their probabilities
	@cd examples/flowers && ../../$(BIN)/python flow.py

fraud: setup  ## payments in Kafka, answered with what happened before each; drift, a canary, a better model
	@held=$$(test -f build/servers/kafka.env && echo yes); $(BIN)/python -m scripts.servers start kafka && \
	. build/servers/kafka.env && (cd examples/fraud && ../../$(BIN)/python demo.py $$KAFKA_BOOTSTRAP); \
	ended=$$?; test -n "$$held" || $(BIN)/python -m scripts.servers stop kafka; exit $$ended

test: setup  ## all tests; starts the servers they need, skips what this machine cannot have
	@$(BIN)/python -m pytest

test-fast: setup  ## the tests for daily work: without the slow ones
	@$(BIN)/python -m pytest -m "not slow"

check: setup  ## format, lint, types, layers, sizes
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python scripts/check_sizes.py

format: setup  ## format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: setup  ## every claim of speed beside its reference; one with ONLY=loop
	@$(BIN)/python -m benchmarks.harness $(ONLY)

servers: setup  ## fetch the servers that the tests start, ahead of time; some with ONLY="kafka s3"
	@$(BIN)/python -m scripts.servers fetch $(ONLY)

servers-start: setup  ## start them to play with; their addresses are in build/servers/NAME.env
	@$(BIN)/python -m scripts.servers start $(ONLY)

servers-stop:  ## stop them; nothing is left behind
	@$(BIN)/python -m scripts.servers stop $(ONLY)

clean:  ## remove what building and testing left, but not .venv
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

lock: setup  ## pin the newest versions that fit together (no addresses in the file)
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --extra dev --no-header --no-annotate --upgrade pyproject.toml -o requirements/dev.txt
