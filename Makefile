# The commands people and CI share; `make` alone lists them. Nothing outside this folder is written.

VENV   ?= .venv
BIN    := $(VENV)/bin
PYTHON_BIN := $(BIN)/python
PIP    := $(PYTHON_BIN) -m pip --disable-pip-version-check --no-input --quiet
# Wheels only: building an sdist would fetch build tools that no hash holds.
LOCKED := $(PIP) install --no-compile --require-hashes --only-binary :all:
LOCK   := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
          --no-strip-extras --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)
# Parts that must be covered to the last branch: what judges and what forwards.
EXACT  := proxy/verdict.py,proxy/inspector.py,proxy/sse.py,proxy/elements.py,proxy/readers.py,proxy/terminals.py,proxy/headers.py,proxy/route.py,proxy/paths.py
# Tests of real processes mostly wait, so twice as many as there are cores.
WORKERS ?= $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2))))
# Another hash seed each time, the same in all workers of a run: they must collect the same tests. Shown, so repeatable.
SEED   ?= $(shell date +%s)

SOURCES := $(shell find config breaker healthapi proxy -name '*.py')
# What ships is measured, by a Python that sees it before the source; INTERPRETED=1 measures the source.
SHIPPED := $(if $(INTERPRETED),,$(VENV)/.compiled)
MEASURE := $(if $(INTERPRETED),$(PYTHON_BIN),PYTHONSAFEPATH=1 $(VENV)/compiled/bin/python) -m bench

# An environment that no longer runs, or that was made for another folder, is made anew.
ifneq ($(shell [ "$$(cat $(VENV)/.python 2>/dev/null)" = "$(CURDIR)" ] && $(PYTHON_BIN) -c '' 2>/dev/null && echo alive),alive)
$(shell rm -f $(VENV)/.python)
endif

.DEFAULT_GOAL := help
.NOTPARALLEL:
.SUFFIXES:
.PHONY: help setup run demo check audit test format compiled bench bench-full image lock clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

setup: $(VENV)/.dev $(VENV)/.project ## everything for working on it, in .venv

run: $(VENV)/.runtime $(VENV)/.project ## serve; ARGS='-c detour.yaml' for a file
	@exec $(BIN)/detour serve $(ARGS)

demo: $(VENV)/.runtime $(VENV)/.project ## see it work with no key and no network; ARGS='--seconds 20' to end by itself
	@exec $(BIN)/detour demo $(ARGS)

check: setup ## ruff, mypy --strict and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTHON_BIN) -m pytest -q tests/test_layering.py tests/test_packaging.py

audit: setup ## ask for advisories about what is shipped; a service out of reach is a note
	$(PYTHON_BIN) .ci/audit.py

ifdef TESTS
test: setup ## all tests with coverage; TESTS='tests/config -k units' for some, without
	@requirements/system curl redis-server prometheus
	@requirements/find-helm >/dev/null
	$(PYTHON_BIN) -m pytest -q --timeout 60 $(TESTS)
else
test: setup
	@requirements/system curl redis-server prometheus
	@requirements/find-helm >/dev/null
	@$(MAKE) --no-print-directory compiled || echo 'what ships is not tested: it cannot be compiled here' >&2
	$(PYTHON_BIN) -m coverage erase
	PYTHONHASHSEED=$(SEED) $(PYTHON_BIN) -m pytest -q -n $(WORKERS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder --timeout 60 --cov --cov-report term
	$(PYTHON_BIN) -m coverage report --include '$(EXACT)' --fail-under 100
endif

format: setup ## ruff's formatter and fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

compiled: $(VENV)/.compiled ## what ships, its hot path compiled (two minutes): build/wheel, installed in .venv/compiled

bench: $(VENV)/.runtime $(VENV)/.project $(VENV)/.bench $(SHIPPED) ## measure beside Envoy and others on this machine (ten minutes); INTERPRETED=1 for the source, ARGS='--only requests' for some, ARGS=stores for the stores
	$(MEASURE) $(ARGS)

bench-full: $(VENV)/.runtime $(VENV)/.project $(VENV)/.bench $(SHIPPED) ## measure everything (an hour and a half) and write docs/benchmarks.md
	$(MEASURE) --full $(ARGS)

image: setup ## the container image, with docker, podman or buildah, tried out; EXTRAS='email sentry' for more in it
	@PYTHON=$(PYTHON_BIN) image/build
	IMAGE_BUILT=build/image $(PYTHON_BIN) -m pytest -q --timeout 300 tests/image

lock: setup ## lock requirements anew after a change of an .in file; UPGRADE=1 for the newest releases
	$(LOCK) requirements/runtime.in -o requirements/runtime.txt
	$(LOCK) requirements/build.in -o requirements/build.txt
	$(LOCK) requirements/compile.in -c requirements/runtime.txt -c requirements/build.txt -o requirements/compile.txt
	$(LOCK) requirements/dev.in -c requirements/runtime.txt -c requirements/build.txt -c requirements/compile.txt -o requirements/dev.txt
	$(LOCK) requirements/email.in -c requirements/dev.txt -o requirements/email.txt
	$(LOCK) requirements/sentry.in -c requirements/dev.txt -o requirements/sentry.txt
	$(LOCK) bench/requirements.in -o bench/requirements.txt
	$(LOCK) bench/gateways/requirements.in -o bench/gateways/requirements.txt

clean: ## remove .venv and everything a run left behind
	rm -rf $(VENV) .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

$(VENV)/.python:
	@python=$$(requirements/find-python) && echo "$$python -m venv $(VENV)" && "$$python" -m venv --clear $(VENV)
	@printf '%s\n' '$(CURDIR)' > $@

$(VENV)/.runtime: requirements/runtime.txt requirements/build.txt | $(VENV)/.python
	$(LOCKED) -r requirements/runtime.txt -r requirements/build.txt
	@touch $@

# dev.txt holds the others (a test compares them).
$(VENV)/.dev: requirements/dev.txt | $(VENV)/.python
	$(LOCKED) -r requirements/dev.txt
	@touch $(VENV)/.runtime $(VENV)/.compiler $@

$(VENV)/.project: pyproject.toml | $(VENV)/.runtime
	$(PIP) install --no-deps --no-index --no-build-isolation --editable .
	@touch $@

$(VENV)/.compiler: requirements/compile.txt | $(VENV)/.runtime
	$(LOCKED) -r requirements/compile.txt
	@touch $@

# An environment of its own that sees what Detour needs, and then the source with its tests, in that of the source.
$(VENV)/.compiled: pyproject.toml hatch_build.py $(SOURCES) | $(VENV)/.compiler
	@requirements/find-compiler $(PYTHON_BIN) >/dev/null
	rm -rf build/wheel $(VENV)/compiled
	HATCH_BUILD_HOOK_ENABLE_CUSTOM=1 $(PIP) wheel --no-deps --no-index --no-build-isolation --wheel-dir build/wheel .
	$(PYTHON_BIN) -m venv --without-pip $(VENV)/compiled
	@$(PYTHON_BIN) -c 'import os, sysconfig; print(sysconfig.get_path("purelib"), os.getcwd(), sep="\n")' \
	    > "$$($(VENV)/compiled/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/beside.pth"
	$(PIP) --python $(VENV)/compiled install --no-deps --no-index build/wheel/*.whl
	@touch $@

$(VENV)/.bench: bench/requirements.txt | $(VENV)/.python
	$(LOCKED) -r bench/requirements.txt
	@touch $@
