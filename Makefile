# On a fresh machine: `make reproduce`, then `make test`. Both set up .venv by themselves.
PYTHON ?= python3
BIN := .venv/bin
# Every installation is held to constraints.txt: without it pip would fetch a build of PyTorch of several gigabytes.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
REQUIREMENTS := pyproject.toml constraints.txt

.PHONY: reproduce test verify lint clean

reproduce: .venv/.installed-core
	$(BIN)/collapse reproduce --profile quick

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow" --cov --cov-report=term:skip-covered --nbmake tests notebooks

verify: .venv/.installed-dev
	$(BIN)/python -m pytest -m slow

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.venv/.created:
	$(PYTHON) -m venv .venv
	touch $@

.venv/.installed-core: .venv/.created $(REQUIREMENTS)
	$(PIP_INSTALL) -e ".[fast]"
	touch $@

.venv/.installed-dev: .venv/.installed-core $(REQUIREMENTS)
	$(PIP_INSTALL) -e ".[dev,notebooks,dask,fast,parquet,features,neighbours,transformers]"
	touch $@

clean:
	rm -rf .venv results figures/out
