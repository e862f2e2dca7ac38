# make help lists the targets. Everything lives in .venv, build and artifacts; a second run does only what changed.
PYTHON ?= python3
VENV ?= .venv
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

export PYTHON
# Commands that run Python would compile its modules again each time.
unexport PYTHONDONTWRITEBYTECODE
# Build isolation installs through the same versions (the second name is the one of newer pips).
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
INSTALL := $(PIP) install -q -c constraints.txt
STAMPS := $(VENV)/stamps
NATIVE_SOURCES := setup.py CMakeLists.txt $(shell find csrc cmake -type f 2>/dev/null)
CXX_SOURCES := $(shell find csrc tests -name third_party -prune -o \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) -print 2>/dev/null)
PYTEST := $(BIN)/python -m pytest

.PHONY: help setup demo emulator emulator-check kernel-budgets test test-newest test-full fuzz lint format bench gpu-check sheets docs docs-links sanitize api-snapshot type-stubs model-catalogue clean FORCE

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' Makefile

$(STAMPS)/venv:
	@sh tools/check_tools.sh
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/build-tools: constraints.txt $(STAMPS)/venv
	@$(INSTALL) cmake ninja numpy pybind11 setuptools typer wheel
	@touch $@

# The module is built again when it is not there, whatever the stamp says. CUDA kernels are of use where a GPU is; the demo
# runs on this CPU alone, so its module has one copy of the CPU's kernels, and gets the others where `package` is made.
INSTALL_PACKAGE = PYHARMONY_PROGRESS=/proc/$$$$/fd/2 CMAKE_ARGS="-DHM_CUDA=GPU $(2) $$CMAKE_ARGS" \
  $(INSTALL) --no-build-isolation -e '.$(1)'
$(STAMPS)/package $(STAMPS)/demo-package: pyproject.toml $(NATIVE_SOURCES) $(STAMPS)/build-tools \
  $(if $(wildcard pyharmony/_C.*.so),,FORCE)
	@sh tools/check_tools.sh
	@echo "building and installing pyharmony (editable)"
	@$(call INSTALL_PACKAGE,$(if $(findstring demo,$@),[segment]),$(if $(findstring demo,$@),-DHM_SIMD=NATIVE))
	@touch $@

$(STAMPS)/dev: pyproject.toml constraints.txt | $(STAMPS)/package
	@echo "installing what development needs"
	@$(if $(TORCH_INDEX),$(INSTALL) --index-url $(TORCH_INDEX) torch)
	@$(call INSTALL_PACKAGE,[dev])
	@touch $@

setup: $(STAMPS)/package $(STAMPS)/dev ## .venv with everything for development

DEMO_PACKAGE := $(or $(wildcard $(STAMPS)/package),$(STAMPS)/demo-package)
demo: $(DEMO_PACKAGE) ## blends real photographs into artifacts/demo, after all the set-up that needs
	@$(BIN)/python -m pyharmony demo -o artifacts/demo --overwrite
	@echo "the command is $(BIN)/pyharmony; $(BIN)/pyharmony --help shows what it does"

emulator: setup ## the module that runs the CUDA kernels on the CPU, for the tests
	@sh tools/build_emulator.sh emulator $(BIN)/python

emulator-check: setup ## the CUDA kernels under the checker of races, and without each of their barriers
	@sh tools/build_emulator.sh emulator_check $(BIN)/python
	@PYHARMONY_CHECK_SKIPS=1 $(PYTEST) tests/ops/test_emulator.py tests/ops/test_barriers.py

kernel-budgets: setup ## nvcc compiles the CUDA kernels: registers, spills and shared memory within csrc/kernel_budgets.txt
	@$(BIN)/python tools/check_kernels.py

# Two processes with one torch thread each: threads of torch wait busily, and those of two processes for each other.
# The folders of tests/ that `make test` runs: names, `reached` for those that the change can reach, or all.
WINGS = $(if $(filter reached,$(WING)),$(shell $(BIN)/python tools/wings.py),$(WING))
test: setup type-stubs emulator ## the short form of the tests, about 10 minutes on two cores; WING="blend cli" some folders, WING=reached: tools/wings.py
	@PYHARMONY_CHECK_SKIPS=1 OMP_NUM_THREADS=1 $(PYTEST) $(or $(addprefix tests/,$(WINGS)),tests) -n 2 --dist worksteal

test-newest: ## the tests with the newest NumPy, SciPy, Pillow, OpenCV and torch, a download of gigabytes
	@sh tools/test_newest.sh build/newest torch,train,onnx,io,segment,serve,heif,tfrecord,test tests -q -m 'not house and not full' -n 2

test-full: setup type-stubs emulator-check sanitize ## the long forms: 2,000 cases for each property, sanitizers, everything
	@PYHARMONY_CHECK_SKIPS=1 HYPOTHESIS_PROFILE=full $(PYTEST) tests -m ''

fuzz: setup ## a million hostile inputs of every kind, failures kept in artifacts/fuzz: INPUTS=N, SEED=N; ASAN=1 under AddressSanitizer
	@$(if $(ASAN),sh tools/sanitize.sh fuzz $(BIN)/python,$(BIN)/python -m tests.fuzz) \
	  --inputs $(or $(INPUTS),1000000) --seed $(or $(SEED),0) --jobs 2

lint: setup type-stubs ## style, types, import rules; for the web page too
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/clang-format --dry-run -Werror $(CXX_SOURCES)
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tools/check_page.py

format: setup ## writes what lint asks for
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .
	$(BIN)/clang-format -i $(CXX_SOURCES)

bench: setup ## speed and error beside the peers: table, JSON and plot in benchmarks/results
	@$(PYTEST) benchmarks/
	@$(BIN)/python benchmarks/report.py

gpu-check: ## the kernels on this machine's GPU, with its own Python: PART=build|test|first|sanitize|bench|profile|all, OUT=FOLDER
	@env -u PIP_CONSTRAINT -u PIP_BUILD_CONSTRAINT $(PYTHON) tools/gpu_check.py --part $(or $(PART),all) $(if $(OUT),--out $(OUT))

sheets: setup ## contact sheets of the shared photographs in artifacts/sheets
	@$(BIN)/python examples/sheets.py --out artifacts/sheets
	@$(BIN)/python examples/harmonize_sheets.py --out artifacts/sheets
	@$(BIN)/python examples/compose_sheets.py --out artifacts/sheets

docs: setup ## the documentation as a site in artifacts/site; a warning, a broken link or an undocumented name fails
	@$(BIN)/python -m sphinx -b html -c docs -d build/site -W --keep-going -q . artifacts/site
	@echo "artifacts/site/index.html"

docs-links: setup ## asks for every page of others that the documentation links to; not in CI, which needs no network for it
	@$(BIN)/python -m sphinx -b linkcheck -c docs -d build/site -q . artifacts/links

sanitize: setup ## the tests of the kernels under AddressSanitizer, UBSan, ThreadSanitizer; SHORT=1 for the short form
	@sh tools/sanitize.sh memory $(BIN)/python
	@sh tools/sanitize.sh threads $(BIN)/python

api-snapshot: setup ## writes the public names and signatures to tests/house/api_snapshot.txt
	@$(BIN)/python tests/house/test_api_snapshot.py

type-stubs: setup ## the overloads of functions that return the kind of image they get; setup, lint and test write them too
	@$(BIN)/python tools/type_stubs.py

model-catalogue: setup ## writes the list of the networks, which is there without torch
	@$(BIN)/python tools/model_catalogue.py

locks: setup ## writes what the container of the service installs, with the hashes of the packages
	@sh tools/locks.sh $(BIN)/python

clean: ## removes .venv, build, artifacts, the module and its stubs
	rm -rf $(VENV) build dist artifacts pyharmony_blend.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf .import_linter_cache pyharmony/_C.*.so pyharmony/*/__init__.pyi
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
