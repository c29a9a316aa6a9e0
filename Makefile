# `make demo` and `make test` do all the set-up on a fresh Debian or Ubuntu machine; both can be run twice.
PYTHON ?= python3
BIN := .venv/bin
# The programs that judge what was rendered are in the virtual environment too (scripts/judges.py).
PURE := tests --ignore=tests/lab --ignore=tests/faults --ignore=tests/e2e
# Not part of `make test`: a host with a kernel of its own, under emulation; a stack that builds its images on the host.
ENCRYPTION := tests/lab/test_data_encryption.py
ENTERPRISE := tests/lab/test_enterprise_llm.py tests/lab/test_enterprise_engines.py
CLOUD := $(wildcard tests/lab/test_cloud*.py)
LAB := tests/lab $(ENCRYPTION:%=--ignore=%) $(ENTERPRISE:%=--ignore=%) $(CLOUD:%=--ignore=%)
PYTEST := PATH="$(CURDIR)/.venv/bin:$$PATH" $(BIN)/pytest -q

.PHONY: help setup check test test-pure test-lab test-encryption test-enterprise test-cloud test-images test-ui demo bench picture faults e2e-real clean

help:  ## This list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: .venv/ready  ## The virtual environment, with all that the tests need

.venv/ready: pyproject.toml scripts/setup.sh
	@PYTHON=$(PYTHON) scripts/setup.sh

check: setup  ## Style, types, layers, shell
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/shellcheck scripts/*.sh .ci/run

test-pure: setup  ## The tests that need no host (minutes)
	$(PYTEST) -n 2 $(PURE)

test-ui:  ## The chat page and the portal: types, units, and a browser that walks through them
	@scripts/test-ui.sh

test-lab: setup  ## The tests on real hosts, in the lab
	@scripts/engine.sh
	$(PYTEST) $(LAB)

test-encryption: setup  ## The encrypted data volume, on a host with a kernel of its own (slow)
	@scripts/engine.sh
	$(PYTEST) $(ENCRYPTION)

test-enterprise: setup  ## The stack enterprise-llm on a real host: its images are built there
	@scripts/engine.sh
	$(PYTEST) $(ENTERPRISE)

test-cloud: setup  ## The stack cloudtolocalllm on a real host: its images are built there
	@scripts/engine.sh
	$(PYTEST) $(CLOUD)

test-images: setup  ## The tests of the services that this project writes itself, with a real Postgres and Redis (minutes)
	@scripts/test-images.sh

test: check  ## Everything but the slow suites (faults, e2e-real)
	@if scripts/engine.sh; then $(BIN)/python scripts/judges.py && $(PYTEST) -n 2 $(PURE) && $(PYTEST) $(LAB); \
	else echo "test: the lab suite is left out, no Docker engine can be had here" && $(PYTEST) -n 2 $(PURE); fi

demo: setup  ## A bare host becomes the lean-llm stack, on this machine
	@scripts/demo.sh

faults: setup  ## Connections cut, clients killed, disks full, power lost: docs/reliability.md (an hour)
	@scripts/engine.sh
	$(PYTEST) -n 2 --dist loadfile tests/faults; code=$$?; $(BIN)/python scripts/reliability.py; exit $$code

e2e-real: setup  ## The stack with the real n8n and Flowise from npm (slow)
	@scripts/engine.sh
	CTL_LAB_REAL=1 $(PYTEST) tests/e2e

bench: setup  ## Times against tar | ssh; beside it bench/startup.py and bench/sessions.py; nothing is asserted
	$(BIN)/python bench/wire.py

picture: setup  ## docs/deploy.svg, from a real plan and deploy
	@scripts/engine.sh
	$(BIN)/python scripts/picture.py docs/deploy.svg

clean:  ## Lab hosts, registry, images, the virtual environment
	-$(BIN)/ctl lab down --all --images
	rm -rf .venv build/ui node_modules
