# make demo   the main job, on a model that is shipped (about 3 minutes on 2 cores)
# make test   installs both environments and runs all tests
# make docs   the docs as a site, in build/site
# make lint | package | coverage | bench | bench-full | venv | venv-classic | test-lean | test-classic

PYTHON ?= python3
TORCH := torch==2.13.0
# ParlAI's own pins (numpy 1.23) have no wheels for Python 3.12 and later
CLASSIC := $(shell $(PYTHON) -c 'import sys; print(int(sys.version_info < (3, 12)))')
PACKAGING := setup.py pyproject.toml parlai_cu.pth
# more torch threads than cores that are free make everything many times slower
export OMP_NUM_THREADS ?= 1
# tests side by side
JOBS ?= 2
PYTEST = -m pytest tests -n $(JOBS) --dist worksteal
# tests that only read our files, the same beside any libraries
READING = docstrings structure benchmarks
COVERAGE = build/coverage.txt
# % of our lines that the tests reach at least
FLOOR = 90
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# the tests start hundreds of processes, each of which would compile our modules again
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-lean test-classic venv venv-classic lint package docs bench bench-full
.PHONY: coverage clean

demo: venv
	.venv/bin/python examples/demo.py

# the lint while the second environment is installed; not both environments at once, as each builds
# in this folder
test: venv
	$(MAKE) -j2 $(if $(filter 1,$(CLASSIC)),venv-classic) lint
	$(MAKE) package coverage test-classic

# ParlAI without its pins, everything else current; the same, and how much of us they reach
test-lean: venv
	.venv/bin/python $(PYTEST)

coverage: venv
	$(call install,.venv,slipcover)
	mkdir -p build
	.venv/bin/python -m slipcover --source parlai_cu --fail-under $(FLOOR) --out $(COVERAGE) $(PYTEST)
	@echo "lines, not reached by the tests, reached in % (each file: $(COVERAGE)):"; tail -1 $(COVERAGE)

# beside a ParlAI with all its own pins: what depends on the libraries around us
test-classic:
ifeq ($(CLASSIC),1)
	$(MAKE) venv-classic
	.venv-classic/bin/python $(PYTEST) -m "not slow" $(READING:%=--ignore=tests/test_%.py)
else
	@echo "no classic environment on this Python: ParlAI's pins end at 3.11"
endif

venv: .venv/.installed
venv-classic: .venv-classic/.installed

# extras, as a function's arguments cannot hold a comma
LEAN = test,browser,huggingface,dense,docs
ALL_PINS = classic,test
# an environment with torch, which pip is told where to find a CPU's build of, and with uv
create = $(PYTHON) -m venv $(1) && $(1)/bin/pip install -q --no-compile "$(TORCH)" && \
	{ $(1)/bin/pip install -q uv || true; }
# into it: by uv, which takes seconds where pip takes minutes; by pip where uv cannot be had or does
# not reach pip's index
install = $(1)/bin/uv pip install -q --python $(1)/bin/python $(2) || $(1)/bin/pip install -q $(2)

.venv/.installed: $(PACKAGING)
	$(call create,.venv)
	$(call install,.venv,-e ".[$(LEAN)]")
	$(call install,.venv,--no-deps parlai==1.7.2)
	touch $@

.venv-classic/.installed: $(PACKAGING)
	$(call create,.venv-classic)
	$(call install,.venv-classic,-e ".[$(ALL_PINS)]")
	touch $@

# mypy's releases differ in what they find
LINT := ruff==0.17.6 mypy==2.4.1 docsig==0.97.0 codespell==2.4.3
.venv/.lint: .venv/.installed Makefile
	$(call install,.venv,$(LINT))
	touch $@

lint: .venv/.lint
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/docsig --no-ansi parlai_cu
	.venv/bin/lint-imports
	.venv/bin/codespell README.md CONTRIBUTING.md CHANGELOG.md docs

# what would be uploaded. W002: two of the models that are shipped have one dictionary
package: venv
	$(call install,.venv,build twine check-wheel-contents "setuptools>=77")
	rm -rf build/package
	.venv/bin/python -m build --no-isolation --outdir build/package . > /dev/null
	.venv/bin/twine check --strict build/package/*
	.venv/bin/check-wheel-contents --ignore W002 build/package/*.whl

# a link that leads nowhere fails it
docs: venv
	.venv/bin/mkdocs build --strict
	@echo "open build/site/index.html"

# with what is measured beside ours, and draws
PEERS = matplotlib tantivy bm25s sacremoses
bench: venv
	$(call install,.venv,$(PEERS))
	.venv/bin/python benchmarks/run_all.py --short

bench-full: venv
	$(call install,.venv,$(PEERS) avalanche-lib sacrebleu rouge-score)
	$(call install,.venv,--no-deps pycocoevalcap)
	.venv/bin/python benchmarks/run_all.py

clean:
	rm -rf .venv .venv-classic demo build dist *.egg-info
