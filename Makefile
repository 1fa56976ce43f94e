# Everything a developer runs. `make` alone lists it.
#
# Needs git, make, Python 3.13 and a package registry; installs the rest under this folder, from
# requirement files with hashes, and only when those changed.

.DEFAULT_GOAL := help
.NOTPARALLEL:
SHELL := /bin/sh

PYTHON := .venv/bin/python
UV := .venv/bin/uv
PYTEST_ARGS ?=
LOCKS := bootstrap runtime dev sam ministack
# All or nothing: a package without its hash is not installed.
SYNC := $(UV) pip sync --quiet --strict --require-hashes

# The programs started from here (sam, a layer's Makefile) find this project's Python and uv first.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# uv brings certificates of its own; a registry behind a company's proxy is known to the system's.
export UV_SYSTEM_CERTS := true
export UV_CUSTOM_COMPILE_COMMAND := make lock
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export SAM_CLI_TELEMETRY := 0

# A stamp's name holds a hash of all that an environment is made of, this folder's path included
# (scripts in an environment name it): found means installed.
stamp = $(1)/.installed-$(shell { pwd; cat .python-version $(2); } | git hash-object --stdin)
DEV := $(call stamp,.venv,requirements/bootstrap.txt requirements/dev.txt pyproject.toml)
SAM := $(call stamp,.venv-sam,requirements/sam.txt)
MINISTACK := $(call stamp,.venv-ministack,requirements/ministack.txt)

.PHONY: help
help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: install
install: $(DEV) $(SAM) $(MINISTACK) ## Install all environments from the hashed requirement files
	@:

$(DEV):
	@python3.13 --version >/dev/null 2>&1 || \
	  { echo "Python 3.13 is needed: no python3.13 that runs was found in PATH." >&2; exit 1; }
	@echo "installing .venv"
	@if ! [ -x $(UV) ] || [ "$$(cat .venv/.folder 2>/dev/null)" != "$(CURDIR)" ]; then \
	  rm -rf .venv && python3.13 -m venv .venv && \
	  $(PYTHON) -m pip install --quiet --require-hashes -r requirements/bootstrap.txt && \
	  echo "$(CURDIR)" > .venv/.folder; \
	fi
	@$(SYNC) requirements/dev.txt
	@$(UV) pip install --quiet --no-deps --no-build-isolation --offline --editable .
	@rm -f $(@D)/.installed-* && touch $@

$(SAM): | $(DEV)
	@echo "installing .venv-sam"
	@$(UV) venv --quiet --clear --python $(PYTHON) .venv-sam
	@VIRTUAL_ENV=$(CURDIR)/.venv-sam $(SYNC) requirements/sam.txt
	@rm -f $(@D)/.installed-* && touch $@

$(MINISTACK): | $(DEV)
	@echo "installing .venv-ministack"
	@$(UV) venv --quiet --clear --python $(PYTHON) .venv-ministack
	@VIRTUAL_ENV=$(CURDIR)/.venv-ministack $(SYNC) requirements/ministack.txt
	@rm -f $(@D)/.installed-* && touch $@

.PHONY: lock
lock: $(DEV) ## Resolve requirements/*.in anew; UPGRADE=1 takes newer versions
	@for name in $(LOCKS); do \
	  echo "locking requirements/$$name.txt"; \
	  $(UV) pip compile --quiet --universal --python-version 3.13 --generate-hashes \
	    --no-emit-index-url $(if $(UPGRADE),--upgrade) \
	    requirements/$$name.in --output-file requirements/$$name.txt || exit 1; \
	done
	@cp requirements/runtime.txt layers/dependencies/requirements.txt

.PHONY: format
format: $(DEV) ## Format the code, and mend what ruff can mend
	@$(PYTHON) -m ruff check --quiet --fix-only .
	@$(PYTHON) -m ruff format .

.PHONY: lint
lint: $(DEV) ## Check format and style
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m ruff check .

.PHONY: types
types: $(DEV) ## Check types
	@$(PYTHON) -m mypy

.PHONY: template
template: $(DEV) ## Translate the template to CloudFormation and lint that
	@$(PYTHON) -m tests.template.lint

.PHONY: check
check: lint types template ## Everything that CI checks besides the tests

.PHONY: test
test: install ## Run all tests, in two processes; PYTEST_ARGS is passed on
	@$(PYTHON) -m pytest --numprocesses 2 --no-loadscope-reorder $(PYTEST_ARGS)

# `make test` draws a thousand requests.
.PHONY: fuzz
fuzz: $(DEV) ## Knock at the webhooks' door in twenty thousand ways
	@HYPOTHESIS_PROFILE=nightly $(PYTHON) -m pytest tests/unit/test_webhook_fuzz.py $(PYTEST_ARGS)

# Not a part of `make test`, which plays one short round only (tests/faults/test_campaign.py).
.PHONY: campaign
campaign: $(DEV) ## Play random rounds of faults and kills: CAMPAIGN_MINUTES=10 SEED=.. ROUND=..
	@$(PYTHON) -m tests.campaign --minutes $(or $(CAMPAIGN_MINUTES),10) \
	  $(if $(SEED),--seed $(SEED)) $(if $(ROUND),--round $(ROUND))

# Some minutes; `make test` lets two hundred come (tests/faults/test_flood.py).
.PHONY: flood
flood: $(DEV) ## Let messages come while Zoho's day is used up, for days: MESSAGES=10000
	@$(PYTHON) -m tests.campaign.flood --messages $(or $(MESSAGES),10000)

.PHONY: demo
demo: install ## Show the backfill from end to end, over two renewals, and four triggers
	@$(PYTHON) -m ops.demo

.PHONY: up
up: install ## Start the demo's stack, leave it running, and say what to try
	@$(PYTHON) -m ops.local_stack up

.PHONY: down
down: $(DEV) ## Stop what `make up` started
	@$(PYTHON) -m ops.local_stack down

.PHONY: build
build: install ## Build for AWS (arm64); `make deploy` deploys it
	@.venv-sam/bin/sam build

.PHONY: deploy
deploy: build ## Deploy to your AWS account, asking for the parameters
	@.venv-sam/bin/sam deploy --guided

.PHONY: bench
bench: install ## Measure, and write the figures to build/bench
	@$(PYTHON) -m ops.bench

.PHONY: clean
clean: ## Remove environments, builds and caches
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m ops.local_stack down; fi
	@rm -rf .venv .venv-sam .venv-ministack .aws-sam build .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find functions layers ops tests -name __pycache__ -type d -prune -exec rm -rf {} +
