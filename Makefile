# make demo | test | check | lint-js | bench. Each makes .venv when needed and reuses it afterwards.

VENV := .venv
PY := $(VENV)/bin/python
PORT ?= 7860
HOST ?= 127.0.0.1
ARGS ?=
# Whole files of tests go to one of so many processes. ARGS='-n 0': one after the other.
WORKERS ?= 2
PYTEST := -m pytest -n $(WORKERS) --dist loadfile

# The first interpreter that is new enough; PYTHON=... overrides. Only asked when .venv has to be made.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

RUNTIME := $(VENV)/.runtime-installed
DEV := $(VENV)/.dev-installed

.PHONY: help demo test test-latest check lint-js bench chromium
.DEFAULT_GOAL := help

help:
	@echo "make demo    serve the app at http://$(HOST):$(PORT) (PORT=..., HOST=..., ARGS='--device cuda')"
	@echo "make test    all tests"
	@echo "make test-latest   all tests with the newest versions of everything, on the newest Python (or PYTHON=...)"
	@echo "make check   ruff, mypy (for Linux, Windows and macOS), import directions, eslint (with node) and all tests"
	@echo "make lint-js eslint alone"
	@echo "make bench   milliseconds per stage and memory on this machine"

demo: $(RUNTIME)
	$(PY) app.py --host $(HOST) --port $(PORT) $(ARGS)

test: $(DEV) chromium
	$(PY) $(PYTEST) $(ARGS)

# To be run now and then: it tells what the next major versions break before their bounds are lifted. On the newest
# interpreter, since packages leave the old ones: on 3.11 pip still takes av 18 and numpy 2.4 where 3.13 has av 19.
test-latest: PYTHON = $(shell for p in python3.13 python3.12 python3.11; do \
	$$p -c '' 2>/dev/null && echo $$p && break; done)
test-latest: chromium
	$(PYTHON) -m venv --clear $(VENV)-latest
	for name in requirements requirements-dev; do \
		sed -E '/attributee/!s/,<[^ ,]+//' $$name.txt > $(VENV)-latest/$$name.txt; done
	$(VENV)-latest/bin/pip install --quiet --upgrade -r $(VENV)-latest/requirements-dev.txt
	$(VENV)-latest/bin/pip install --quiet --no-deps -r requirements-crosscheck.txt
	$(VENV)-latest/bin/pip list --format=freeze
	$(VENV)-latest/bin/python $(PYTEST) $(ARGS)

check: $(DEV) chromium
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/mypy --platform win32 --cache-dir .mypy_cache/win32
	$(VENV)/bin/mypy --platform darwin --cache-dir .mypy_cache/darwin
	$(VENV)/bin/lint-imports --no-logo
	@sh scripts/lint_js.sh
	$(PY) $(PYTEST) $(ARGS)

lint-js:
	@sh scripts/lint_js.sh

bench: $(RUNTIME)
	$(PY) -m benchmarks.bench $(ARGS)

chromium:
	@sh scripts/need_chromium.sh

# The stamps are older than their requirements file when that has changed: then pip runs again.
$(RUNTIME): requirements.txt | $(PY)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(DEV): requirements-dev.txt requirements-crosscheck.txt $(RUNTIME)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-crosscheck.txt
	@touch $@

$(PY):
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and none was found; set PYTHON=/path/to/python3.11." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) could not make $(VENV); on Debian and Ubuntu install python3-venv." >&2; exit 1; }
