# make demo   the main job, on a model that is shipped (about 3 minutes on 2 cores)
# make test   installs both environments and runs all tests
# make docs   the docs as a site, in build/site
# make venv | venv-classic | test-lean | test-classic | lint | bench    the parts

PYTHON ?= python3
# torch 2.13 needs Python 3.10; the last for 3.9 is found by pip
TORCH := $(shell $(PYTHON) -c 'import sys; print("torch>=2.0" if sys.version_info < (3, 10) else "torch==2.13.0")')
# ParlAI's own pins (numpy 1.23) have no wheels for Python 3.12 and later
CLASSIC := $(shell $(PYTHON) -c 'import sys; print(int(sys.version_info < (3, 12)))')
PACKAGING := setup.py pyproject.toml parlai_cu.pth
# more torch threads than cores that are free make everything many times slower
export OMP_NUM_THREADS ?= 1
# tests side by side
JOBS ?= 2
PYTEST = -m pytest tests -n $(JOBS) --dist worksteal
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test test-lean test-classic venv venv-classic lint docs bench clean

demo: venv
	.venv/bin/python examples/demo.py

test: test-lean test-classic

# ParlAI without its pins, everything else current
test-lean: venv
	.venv/bin/python $(PYTEST)

# beside a ParlAI with all its own pins: what depends on the libraries around us
test-classic:
ifeq ($(CLASSIC),1)
	$(MAKE) venv-classic
	.venv-classic/bin/python $(PYTEST) -m "not slow"
else
	@echo "no classic environment on this Python: ParlAI's pins end at 3.11"
endif

venv: .venv/.installed
venv-classic: .venv-classic/.installed

.venv/.installed: $(PACKAGING)
	$(PYTHON) -m venv .venv
	.venv/bin/pip install -q "$(TORCH)"
	.venv/bin/pip install -q -e ".[test,browser,huggingface,dense,docs]"
	.venv/bin/pip install -q --no-deps parlai==1.7.2
	touch $@

.venv-classic/.installed: $(PACKAGING)
	$(PYTHON) -m venv .venv-classic
	.venv-classic/bin/pip install -q "$(TORCH)"
	.venv-classic/bin/pip install -q -e ".[classic,test]"
	touch $@

lint: venv
	.venv/bin/pip install -q ruff mypy
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# a link that leads nowhere fails it
docs: venv
	.venv/bin/mkdocs build --strict
	@echo "open build/site/index.html"

bench: venv
	.venv/bin/pip install -q matplotlib
	.venv/bin/python benchmarks/frozen_layer_sgd.py --updates update_1 --seeds 1 --jobs 2
	.venv/bin/python benchmarks/frozen_speed.py --models sgd_base_model --rounds 5
	.venv/bin/python benchmarks/distill_student.py --corpora telecom --seconds 40 --long 0 --seeds 1
	.venv/bin/python benchmarks/knowledge_tables.py --turns 20
	.venv/bin/python benchmarks/knowledge_telecom.py
	.venv/bin/python benchmarks/knowledge_merged.py --turns 20
	.venv/bin/python benchmarks/chat_service.py --users 1 32 --promotions 5 --soak 200
	.venv/bin/python benchmarks/continual.py --seeds 1 --epochs 1 --methods "full fine-tuning" "replay + LwF" --jobs 2

clean:
	rm -rf .venv .venv-classic demo build dist *.egg-info
