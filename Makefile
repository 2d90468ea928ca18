# Two commands do everything on a machine with python3 (3.11+), venv and make: `make demo` and `make test`.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SCALE ?= slice
DEMO_OPTIONS ?=
JOBS ?= 2
CLUSTER_OPTIONS ?=

help:            ## what can be made
	@grep -hE '^[a-z-]+: .*##|^[a-z-]+:  *##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 18

install: $(INSTALLED)  ## virtual environment with everything pinned in requirements-dev.txt

$(INSTALLED): requirements-dev.txt plugins/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11, 3.12 or 3.13 is needed, this is %d.%d" % sys.version_info[:2] if not (3, 11) <= sys.version_info[:2] < (3, 14) else 0)'
	@echo "Installing into $(VENV) (two to four minutes the first time) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e plugins
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null || true
	@touch $@

demo: install    ## the main job on real data, then the Airflow UI stays up (SCALE=full: all of it)
	@$(BIN)/python -m demo --scale $(SCALE) $(DEMO_OPTIONS)

demo-check: install  ## the same unattended: exit code 0 or 1, demo/report.json
	@$(BIN)/python -m demo --scale $(SCALE) --check $(DEMO_OPTIONS)

test: install    ## every test, on every core
	@$(BIN)/python -m pytest -n auto --dist loadfile

test-airflow: install  ## against Airflow's real scheduler: webhooks start flows, killed tasks are mailed once (minutes)
	@$(BIN)/python -m pytest -m slow tests/receiver tests/test_alerts_airflow.py

test-cluster: install  ## two Celery workers, PostgreSQL, Redis and S3 as local processes; a worker is killed
	@$(BIN)/python -m cluster $(CLUSTER_OPTIONS)

lint: install    ## ruff and mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy plugins

audit: install   ## licences, pins and hashes; then known weaknesses, which needs a network
	@$(BIN)/python -m pytest tests/security/test_dependencies.py
	@$(PYTHON) -m venv $(VENV)/audit && $(VENV)/audit/bin/pip install --quiet --disable-pip-version-check pip-audit
	@$(VENV)/audit/bin/pip-audit --progress-spinner off --strict --skip-editable --path $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

bench: install   ## side by side with peers, printed as ratios
	@$(BIN)/python -m benchmarks

prove-completeness: install  ## 10,000 random histories and 1,000 rounds of a saboteur against an oracle (hours)
	@$(BIN)/python -m proofs completeness --jobs $(JOBS)
	@$(BIN)/python -m proofs saboteur --jobs $(JOBS)

prove-mutations: install  ## known bugs put back one by one: which check notices
	@$(BIN)/python -m proofs mutations

prove-crashes: install  ## every flow killed or cut off at every HTTP call, file and ledger transaction (hours; or CRASH_OPTIONS="--sample 40")
	@$(BIN)/python -m proofs crashes --jobs $(JOBS) $(CRASH_OPTIONS)

prove-faults: install  ## every fault of the simulators in every flow that can meet it (an hour or two; all routes: FAULT_OPTIONS="--everywhere")
	@$(BIN)/python -m proofs faults --jobs $(JOBS) $(FAULT_OPTIONS)

lock:            ## pin requirements*.in again (needs uv)
	uv pip compile --quiet --universal --no-strip-extras --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command 'make lock' requirements-dev.in -o requirements-dev.txt
	uv pip compile --quiet --universal --no-strip-extras --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command 'make lock' -c requirements-dev.txt requirements.in -o requirements.txt
	@for file in requirements-dev.txt requirements.txt; do awk "$$BOTH_PINS" $$file > $$file.new && mv $$file.new $$file; done

# pip before 23.3 wants a pin for `name` beside the one for `name[extra]`, or it calls the other way `name` is asked for unpinned.
define BOTH_PINS
function flush() { if (extra) { bare = block; sub(/\[[^]]*\]==/, "==", bare); printf "%s", bare } printf "%s", block; block = "" }
/^[a-z0-9]/ { flush(); extra = ($$0 ~ /^[a-z0-9._-]+\[[^]]*\]==/) }
{ block = block $$0 "\n" }
END { flush() }
endef
export BOTH_PINS

clean:           ## remove the environment and everything the demo made
	rm -rf $(VENV) .demo demo/report.json

.PHONY: help install demo demo-check test test-airflow test-cluster lint audit bench prove-completeness prove-mutations prove-crashes prove-faults lock clean
