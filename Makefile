# Targets: search, tensorboard, docs, lint, test, test-slow, test-torch, benchmark, clean. Each but the last sets up .venv
# from the pinned constraints first, with Python 3.11 if there is one (tensorflow-addons has no wheel for later ones);
# test-torch sets up .venv-torch, without TensorFlow.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
MODEL_DIR ?= runs/quickstart
VENV := .venv
TORCH_VENV := .venv-torch
INSTALLED := $(VENV)/installed
RUN := $(VENV)/bin/python
KERAS_3_ON_TENSORFLOW := $(addprefix backend_tests/, conversion_test.py compiled_layers_test.py mistakes_test.py \
  transforms_test.py)

export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: install search tensorboard docs lint test test-slow test-torch benchmark clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all]'
	touch $@

search: $(INSTALLED)
	$(RUN) -m search.run_search --gin_file=gin/search/quickstart.gin --model_dir=$(MODEL_DIR)

tensorboard: $(INSTALLED)
	$(VENV)/bin/tensorboard --logdir=$(MODEL_DIR)

# The documentation as a site, in site/.
docs: $(INSTALLED)
	$(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	$(RUN) -m mkdocs build

lint: $(INSTALLED)
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy

test: $(INSTALLED)
	$(RUN) -m pytest -q --numprocesses=2 --dist=worksteal
	KERAS_BACKEND=jax $(RUN) -m pytest -q --numprocesses=2 --dist=worksteal backend_tests
	KERAS_BACKEND=tensorflow $(RUN) -m pytest -q $(KERAS_3_ON_TENSORFLOW)

# File by file, two at a time: what has passed is not run again until a file changes, so that it may be interrupted.
test-slow: $(INSTALLED)
	XLA_FLAGS="$(XLA_FLAGS)" $(RUN) tools/slow_tests.py  # compiles as users do: tests/conftest.py
	KERAS_BACKEND=jax $(RUN) -m pytest -q -m slow backend_tests

# The layers in Keras 3 on PyTorch, beside which TensorFlow cannot be imported.
test-torch: $(TORCH_VENV)/installed
	KERAS_BACKEND=torch $(TORCH_VENV)/bin/python -m pytest -q -m '' backend_tests

$(TORCH_VENV)/installed: pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv $(TORCH_VENV)
	$(TORCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	  keras torch jax pytest sympy
	$(TORCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

benchmark: $(INSTALLED)
	$(RUN) -m benchmarks.layers
	$(RUN) -m benchmarks.models

clean:
	rm -rf $(VENV) $(TORCH_VENV) build site *.egg-info
