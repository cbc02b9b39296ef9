# On a fresh machine: `make reproduce`, then `make test`. Both set up .venv by themselves.
PYTHON ?= python3
BIN := .venv/bin
# Every installation is held to constraints.txt: without it pip would fetch a build of PyTorch of several gigabytes.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
REQUIREMENTS := pyproject.toml constraints.txt
# Least share of lines that the tests run, in per cent.
COVERAGE := 90

.PHONY: reproduce test verify lint dist clean

reproduce: .venv/.installed-core
	$(BIN)/collapse reproduce --profile quick

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow" --doctest-modules --cov --cov-report=term:skip-covered --cov-fail-under=$(COVERAGE) --nbmake tests notebooks sim realdata figures

verify: .venv/.installed-dev
	$(BIN)/python -m pytest -m slow

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Wheel and sdist, each tried in an empty environment: the wheel trains, the sdist's own tests run from the unpacked archive.
dist: .venv/.installed-dev
	rm -rf dist build/try
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/python -m build --outdir dist .
	$(PYTHON) -m venv build/try
	build/try/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt dist/*.whl
	cd build/try && bin/collapse train --set steps=20 --set checkpoints=1 --out results
	mkdir build/try/unpacked && tar -xzf dist/*.tar.gz -C build/try/unpacked --strip-components=1
	cd build/try/unpacked && OMP_NUM_THREADS=1 $(CURDIR)/$(BIN)/python -m pytest -q -p no:cacheprovider tests/test_packaging.py tests/test_golden.py tests/sim/test_spec.py

.venv/.created:
	$(PYTHON) -m venv .venv
	touch $@

.venv/.installed-core: .venv/.created $(REQUIREMENTS)
	$(PIP_INSTALL) -e ".[fast]"
	$(BIN)/collapse compile
	touch $@

.venv/.installed-dev: .venv/.installed-core $(REQUIREMENTS)
	$(PIP_INSTALL) -e ".[dev,benchmarks,notebooks,dask,fast,parquet,features,neighbours,transformers]"
	touch $@

clean:
	rm -rf .venv build dist results figures/out
