# Everything here works on a machine with Python 3.10+ (with venv and pip), make and git; `make help` lists the targets.

PYTHON ?= python3
# Airflow 2.11 and 3.0 end at Python 3.12; name another one here where PYTHON is newer.
COMPAT_PYTHON ?= $(PYTHON)
# Set to anything to leave the demo running until Ctrl-C.
KEEP ?=
# More arguments for pytest, as in: make test PYTEST_ARGS="-k upsert"
PYTEST_ARGS ?=
# Arguments for the benchmarks, as in: make bench BENCH_ARGS="--cases list,import --runs 1 --out /tmp/results.md"
BENCH_ARGS ?=
# Arguments for the sizing, as in: make sizing SIZING_ARGS="--small 16 --large 2 --waiting 16"
SIZING_ARGS ?=

AIRFLOW := 3.3.2
OLD_AIRFLOWS := 3.0.6 2.11.2

VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: venv
venv: $(VENV)/.installed ## make .venv: the package with its tests' needs and Airflow 3.3

.PHONY: demo
demo: $(VENV)/.installed ## run the example DAGs on a real Airflow against a simulated Zoho CRM (KEEP=1: leave it running)
	@$(BIN)/python -m tools.demo $(if $(KEEP),--keep)

.PHONY: test
test: $(VENV)/.installed ## run all tests, the last of them on a real Airflow
	$(BIN)/python -m pytest tests/unit tests/integration tests/security tests/faults tests/conformance tests/e2e \
		--ignore=tests/e2e/test_many_tasks.py $(PYTEST_ARGS)

.PHONY: test-compat
test-compat: $(OLD_AIRFLOWS:%=test-compat-%) ## run the unit, integration and security tests on Airflow 2.11 and 3.0, and fault matrix and examples on 2.11 (needs Python 3.10 to 3.12)

# The fault matrix and the examples are run on the newest and the oldest.
test-compat-%: $(VENV)-%/.installed
	$(VENV)-$*/bin/python -m pytest tests/unit tests/integration tests/security \
		$(if $(filter $*,$(firstword $(OLD_AIRFLOWS))),,tests/faults tests/airflow_2) $(PYTEST_ARGS)

.PHONY: e2e-postgres
e2e-postgres: $(VENV)-e2e/.installed ## run sixty mapped extracts on PostgreSQL and LocalExecutor (needs Debian's postgresql)
	$(VENV)-e2e/bin/python -m pytest tests/e2e/test_many_tasks.py --log-cli-level=INFO $(PYTEST_ARGS)

.PHONY: e2e-celery
e2e-celery: $(VENV)-e2e/.installed ## run them on CeleryExecutor, over machines that fail (needs postgresql and redis-server)
	$(VENV)-e2e/bin/python -m pytest tests/machines --log-cli-level=INFO $(PYTEST_ARGS)

.PHONY: sizing
sizing: $(VENV)-e2e/.installed ## measure what a Celery worker and a triggerer do in an hour (docs/many_machines.md)
	@$(VENV)-e2e/bin/python -m tools.sizing $(SIZING_ARGS)

.PHONY: lint
lint: $(VENV)/.installed ## check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: types
types: $(VENV)/.installed ## check types
	$(BIN)/mypy

.PHONY: ci
ci: ## lint, types, test, test-compat and demo, as CI runs them
	bash .ci/run

.PHONY: bench
bench: $(VENV)-bench/.installed ## measure ours and the peers, into benchmarks/results.md (BENCH_ARGS="--cases list": some)
	$(VENV)-bench/bin/python -m benchmarks $(BENCH_ARGS)

.PHONY: audit
audit: $(VENV)-audit/.installed ## look for known vulnerabilities in what the constraint files install
	$(VENV)-audit/bin/python tools/audit.py --scratch $(VENV)-audit constraints/*.txt

.PHONY: clean
clean: ## remove the virtual environments and all that was built or written
	rm -rf .venv .venv-* build dist demo_output .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A changed requirement gives a new environment: what pip left of the old one would hide a missing dependency.
$(VENV)/.installed: pyproject.toml constraints/airflow-$(AIRFLOW).txt
	@$(PYTHON) tools/check_python.py $(AIRFLOW)
	$(call install,$(VENV),$(PYTHON),$(AIRFLOW),dev)

$(VENV)-%/.installed: pyproject.toml constraints/airflow-%.txt
	@$(COMPAT_PYTHON) tools/check_python.py $*
	$(call install,$(VENV)-$*,$(COMPAT_PYTHON),$*,test)

$(VENV)-e2e/.installed: pyproject.toml constraints/airflow-$(AIRFLOW).txt
	@$(PYTHON) tools/check_python.py $(AIRFLOW)
	$(call install,$(VENV)-e2e,$(PYTHON),$(AIRFLOW),e2e)

$(VENV)-bench/.installed: pyproject.toml constraints/airflow-$(AIRFLOW).txt
	@$(PYTHON) tools/check_python.py $(AIRFLOW)
	$(call install,$(VENV)-bench,$(PYTHON),$(AIRFLOW),bench)

# Apart from what it looks at, which it would bring newer versions of.
$(VENV)-audit/.installed:
	@rm -rf $(VENV)-audit
	@$(PYTHON) -m venv $(VENV)-audit
	@$(VENV)-audit/bin/python -m pip install --quiet --disable-pip-version-check 'pip-audit>=2.7'
	@touch $@

# $(1) folder, $(2) Python, $(3) Airflow, $(4) extra
define install
	@echo "Installing Airflow $(3) and the package into $(1); this takes a minute or two."
	@rm -rf $(1)
	@$(2) -m venv $(1)
	@$(1)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints/airflow-$(3).txt -e '.[$(4)]'
	@touch $@
endef
