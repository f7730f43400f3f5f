# Thin: the work is in the command line `prunebench`. `make leaderboard` and `make test` set up what they need.
PYTHON ?= python3
TORCH_INDEX ?=
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
TORCH = $(shell sed -n 's/^torch==//p' requirements.lock)

.PHONY: help leaderboard test lint lock wheel clean
help:
	@echo "make leaderboard   the main job: compare compression methods on the embedded model"
	@echo "make test          the tests"
	@echo "make lint          ruff, mypy and the rules of who imports whom"
	@echo "make lock          resolve the dependencies anew and write requirements.lock"
	@echo "make wheel         build a wheel into dist/"
	@echo "make clean         remove the environment and what was built; results in out/ stay"
	@echo "variables          ARGS=... for the command, PYTHON=python3.12, TORCH_INDEX=https://... for torch's index"

leaderboard: $(STAMP)
	@$(BIN)/prunebench leaderboard $(ARGS)

test: $(STAMP)
	@$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

wheel: $(STAMP)
	@rm -rf build # what a former build left there would go into this wheel
	$(BIN)/python -m build --wheel --no-isolation

# The stamp is written last, so an installation that was interrupted is taken up again.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@test -x $(BIN)/python || { echo "make: creating the environment $(VENV)"; $(PYTHON) -m venv $(VENV); }
ifneq ($(TORCH_INDEX),)
	@echo "make: installing torch $(TORCH) from $(TORCH_INDEX)"
	@$(PIP) install --no-deps --index-url "$(TORCH_INDEX)" "torch==$(TORCH)"
endif
	@echo "make: installing the locked packages into $(VENV) (2 minutes or more, 2.2 GB with torch for the CPU)"
	@$(PIP) install -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $(STAMP)

# The versions that a fresh environment gets, at the torch of the present lock (or `make lock TORCH=...`).
lock:
	@echo "make: resolving the dependencies of pyproject.toml in a throw-away environment"
	@set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	$(PYTHON) -m venv "$$folder/venv"; \
	"$$folder/venv/bin/python" -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	print(*p["dependencies"], *p["optional-dependencies"]["dev"], sep="\n")' > "$$folder/wanted"; \
	"$$folder/venv/bin/python" -m pip --disable-pip-version-check -q install "torch==$(TORCH)" -r "$$folder/wanted"; \
	sed '/^[^#]/d' requirements.lock > "$$folder/lock"; \
	"$$folder/venv/bin/python" -m pip freeze --all \
	  | grep -v -i -E '^(pip|wheel|triton|nvidia-[^=]*|cuda-[^=]*)==' | sed 's/+[a-z0-9.]*$$//' >> "$$folder/lock"; \
	cp "$$folder/lock" requirements.lock; \
	echo "make: wrote requirements.lock"

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
