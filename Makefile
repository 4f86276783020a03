# Every target makes the environment first when it is missing or older than the lock; nothing is set up by hand.
PYTHON ?= python3
VENV   ?= .venv
RUN     = $(VENV)/bin/python
STAMP   = $(VENV)/.stamp
WORKERS ?= 2

# Compiled programs, the smallest too, are kept beside the environment: processes share them, and a second run starts
# with them. To read one takes a sixth of the time that it takes to compile it.
export JAX_COMPILATION_CACHE_DIR ?= $(abspath $(VENV))/compiled
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0

.PHONY: verify report docs site test mutations lint format figures bench wheel test-all-pythons lock extras clean .venv
.DEFAULT_GOAL := verify

.venv: $(STAMP)

# The stamp is written last, so that an installation that failed half-way is repeated.
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv --clear $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $(STAMP)

# Processes: two threads of one process took 423 s where these took 322 (two cores, other work beside both).
verify: .venv ## the main job: check every claim on digits and sphere data, write results/report.html
	$(RUN) -m verification run --preset quick --workers $(WORKERS)

# One core each: threads of linear algebra that wait for one spin, and small systems take six times as long. Files go in
# the order that tests/conftest.py gives them, so that neither process waits for the smoke run.
test: .venv ## the whole test suite, two processes
	OPENBLAS_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

mutations: .venv ## break one formula at a time and see that the tests notice, some minutes; outside the suite
	$(RUN) -m tests.mutations

lint: .venv ## style, then types
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: .venv
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

report: .venv ## the committed evidence as paper_checks.md, and with all rows as build/report.html
	$(RUN) -m verification report
	$(RUN) -m verification report --to build/report.html

docs: .venv ## the site, in build/site: tutorials executed, every link and public name checked, the report beside it
	$(RUN) -m sphinx -b html -W --keep-going docs build/site

site: docs

figures: .venv ## draw the figures, computing the runs that are missing
	$(RUN) -m figures --missing run

bench: .venv ## this project beside its peers, in one run
	$(RUN) -m benchmarks

# Installs the built wheel into an environment of its own and uses it away from the repository.
wheel: .venv
	rm -rf build/wheel && mkdir -p build/wheel
	$(RUN) -m build --wheel --outdir build/wheel .
	$(PYTHON) -m venv --clear build/wheel/venv
	build/wheel/venv/bin/python -m pip install --quiet --no-deps -r requirements.lock build/wheel/*.whl
	cd build/wheel && venv/bin/ntk-localsgd --version && venv/bin/python -m verification run K1 K2 --preset smoke --out results

# The suite on the other supported Pythons: make test-all-pythons PYTHONS="python3.12 /path/to/python3.13".
PYTHONS ?= python3.12 python3.13
test-all-pythons:
	for python in $(PYTHONS); do $(MAKE) test PYTHON=$$python VENV=.venv-$$(basename $$python) || exit 1; done

# Needs uv; TensorFlow and tf2jax stay out (see [tool.uv] in pyproject.toml). What the extras need besides has a lock of its own.
COMPILE = uv pip compile --universal --python-version 3.11 --no-emit-index-url --no-header --no-annotate --extra test --extra docs pyproject.toml
lock:
	$(COMPILE) -o requirements.lock
	$(COMPILE) --extra cluster --extra parquet -c requirements.lock | grep -vxFf requirements.lock > requirements-extras.lock

extras: .venv ## what --cluster and Parquet need, into the environment; tests that need it are skipped where it is not there
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-extras.lock

clean:
	rm -rf .venv .venv-* build dist results docs/generated .pytest_cache .mypy_cache .ruff_cache .hypothesis
