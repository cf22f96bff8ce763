# Everything that is done with this project from a checkout. `make` alone lists it.

SHELL := /bin/sh
.DELETE_ON_ERROR:
.PHONY: help setup demo test real-vms lab bench fuzz chaos lint types format protos protos-check lock clean \
        packages-run packages-test packages-bench packages-lab

# The first Python of version 3.11 or later; `make PYTHON=/path/to/python3.12 ...` chooses another.
PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13 python3.14 /usr/bin/python3; do \
  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && exit; done; echo python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PROTO_FILES := lightagent/v1/verdict.proto lightagent/v1/guest.proto lightagent/v1/admin.proto lightagent/v1/events.proto lightagent/v1/exposure.proto lightagent/v1/scans.proto \
  lightagent/v1/enrolment.proto lightagent/v1/identity.proto lightagent/v1/hosts.proto lightagent/v1/images.proto

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## five guests scan a real tree through a real SVM; TREE=directory chooses another one
	@$(BIN)/python -m tests.demo $(if $(TREE),--tree $(TREE))

# Several processes, since tests mostly wait; those of a file share what its fixtures start.
test: $(READY) packages-test ## the whole test suite; ARGS=more for pytest
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile $(ARGS)

real-vms: $(READY) packages-test ## svm-host beside a real libvirt, and the story of an SVM and three guests, emulated; ALL=1 for all such tests, ARGS=more for pytest
	$(BIN)/python -m pytest tests/hosts tests/real_vms$(if $(ALL),,/test_story.py) $(ARGS)

lab: $(READY) packages-test packages-lab ## an SVM and two guests by Vagrant, and their story; LAB_TYPE=qemu without KVM
	@$(BIN)/python -m tests.lab

bench: $(READY) packages-test packages-bench ## the benchmarks; ONLY=name runs one, SHORT=1 shortens all
	$(BIN)/python -m tests.benchmarks $(if $(ONLY),--only $(ONLY)) $(if $(SHORT),--short)

# What fails is printed with a line that has it tried again, @reproduce_failure; it is kept in .hypothesis as well,
# from where the next round takes it first. What is mended stays in its test as an @example.
fuzz: $(READY) packages-test ## all fuzz targets and properties with other examples; ROUNDS=number or MINUTES=number
	@end=$$(( $$(date +%s) + 60 * $(or $(MINUTES),0) )); round=0; \
	while [ $$round -lt $(or $(ROUNDS),$(if $(MINUTES),999999,10)) ]; do \
	  $(BIN)/python -m pytest -q -m hypothesis --hypothesis-profile=other-examples $(ARGS) || exit; \
	  round=$$(( round + 1 )); \
	  if [ $(or $(MINUTES),0) != 0 ] && [ $$(date +%s) -ge $$end ]; then break; fi; \
	done; echo "$$round rounds, nothing found"

chaos: $(READY) packages-test ## an SVM is killed under load again and again, and looked at; ROUNDS=number, SEED=number
	@$(BIN)/python -m tests.chaos --rounds $(or $(ROUNDS),500) $(if $(SEED),--seed $(SEED))

setup: $(READY) packages-test packages-bench ## what all of the above need, without running any

lint: $(READY) ## ruff, the format, the one-way imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

types: $(READY) ## mypy --strict
	$(BIN)/mypy

format: $(READY) ## put the sources into the format that `make lint` wants
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# $(call generate,DIRECTORY): the Python modules of protos/ into DIRECTORY.
generate = $(BIN)/python -m grpc_tools.protoc -I protos --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
  --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
  --python_out=$(1) --grpc_python_out=$(1) --mypy_out=quiet:$(1) --mypy_grpc_out=quiet:$(1) $(PROTO_FILES)

protos: $(READY) ## generate the Python modules of protos/ anew
	$(call generate,protos)

protos-check: $(READY) ## fail when the generated modules are not those of protos/
	@made=$$(mktemp -d) && trap 'rm -rf "$$made"' EXIT && $(call generate,"$$made") && \
	for file in $$(cd "$$made" && find lightagent -type f); do \
	  cmp -s "$$made/$$file" "protos/$$file" || { echo "protos/$$file is not what its .proto says: run make protos" >&2; exit 1; }; \
	done

# Whole and by hash, for every extra; no index is named in it, so the machine's own settings of pip count.
lock: $(READY) ## write requirements.lock anew, with the newest versions that pyproject.toml allows
	$(BIN)/pip-compile --quiet --upgrade --no-build-isolation --all-extras --allow-unsafe --generate-hashes --strip-extras \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	  --output-file=requirements.lock pyproject.toml

clean: ## remove the virtual environment and the caches of tools
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info

packages-run:
	@.ci/debian-packages $(PYTHON) run

packages-test: packages-run
	@.ci/debian-packages $(PYTHON) test

packages-lab: packages-run
	@.ci/debian-packages $(PYTHON) lab

packages-bench: packages-run
	@.ci/debian-packages $(PYTHON) bench

# The second call of any target finds this file and starts at once. Without build isolation, since
# setuptools is in the lock, and goes first: libvirt-python is built from its source. Nothing is installed that has
# no hash there.
$(READY): requirements.lock pyproject.toml | packages-run
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; make PYTHON=/path/to/python3.11 chooses one.")'
	@echo "Setting up $(VENV): the packages of requirements.lock, each checked by its hash"
	@$(PYTHON) -m venv --clear $(VENV)
	@sed -n '/^setuptools==/,/^    # via/p' requirements.lock >$(VENV)/setuptools.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r $(VENV)/setuptools.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --no-build-isolation -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
