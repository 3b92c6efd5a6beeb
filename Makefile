# Targets for people and for CI. Running a target again does only what has changed.
#
#   make setup          build the extension into .venv (editable profile)
#   make demo           run the tunnel in three namespaces: a web page, then 1 GiB each way
#   make check          lint, Rust unit tests, Python tests without namespaces; under a minute
#   make test           all tests but the long ones; under ten minutes on two cores
#   make test-long      tests that are slow by nature, as many as BUDGET allows (default 10m)
#   make lint           rustfmt, clippy, ruff, mypy, stubtest, import rules, renamed definitions
#   make fmt            rustfmt and ruff
#   make bench          pyfw against its peers and the machine's floor, from a release wheel; five minutes
#   make bench-all      every measure on every network; 45 minutes
#   make bench-guard    instruction counts of the inner loops against the recorded ones (needs valgrind);
#                       UPDATE=1 records them
#   make wheel          build a release wheel into dist/
#   make interop-peers  build the foreign daemons that Debian does not package
#
# PYFW_NO_APT=1 keeps setup from installing Debian packages. PYTHON selects the interpreter of .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
# Most tests wait for daemons and timers, so more workers than cores keep the cores busy.
WORKERS ?= 4
BUDGET ?= 10m
BENCH := build/bench-venv
RESULTS := build/bench
GUARD := build/guard/bin
CARGO ?= cargo
export PIP_DISABLE_PIP_VERSION_CHECK = 1

# Foreign WireGuards, judges and tools of the tests; tests that miss one are skipped with a reason.
# Of names with a / between them the first that there is.
DEBIAN_PACKAGES := wireguard-tools wireguard-go iperf3 tshark tcpdump nginx-light lynx \
	iputils-ping nftables iproute2 libipsec-mb1/libipsec-mb2

RUST_SOURCES := $(shell find rust_ext -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock \
	rust-toolchain.toml
PYTHON_SOURCES := $(shell find pyfw -name '*.py' -o -name '*.pyi')

.PHONY: setup demo check check-rust check-python test test-rust test-python test-long lint lint-rust \
	lint-python fmt bench bench-all bench-guard wheel interop-peers
.DELETE_ON_ERROR:

setup: $(VENV)/.native $(VENV)/.debian

$(VENV)/.packages: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("pyfw needs Python 3.11 or newer, %s is %s; set PYTHON" \
		% (sys.executable, sys.version.split()[0]) if sys.version_info < (3, 11) else 0)'
	@echo "setup: Python packages into $(VENV): $$(grep -v '^#' constraints.txt | tr '\n' ' ')"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet -r constraints.txt
	@touch $@

$(VENV)/.native: $(VENV)/.packages $(RUST_SOURCES) pyproject.toml
	@command -v $(CARGO) >/dev/null || { echo "setup: pyfw is built with Rust 1.85 or newer, and there \
	is no cargo here (Debian 13: apt install cargo; elsewhere: rustup)" >&2; exit 1; }
	@echo "setup: pyfw and its extension, editable profile"
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --quiet --locked --profile editable --features bench \
		>$(VENV)/native.log 2>&1 || { cat $(VENV)/native.log >&2; exit 1; }
	@touch $@

$(VENV)/.debian: Makefile | $(VENV)/.packages
	@if [ -n "$(PYFW_NO_APT)" ]; then \
		echo "setup: PYFW_NO_APT is set: no Debian packages"; \
	elif [ ! -e /etc/debian_version ] || ! command -v apt-get >/dev/null; then \
		echo "setup: not Debian: tests that need $(DEBIAN_PACKAGES) are skipped where one is missing"; \
	else \
		missing=; \
		for p in $(DEBIAN_PACKAGES); do \
			dpkg-query -W -f '$${db:Status-Status}\n' $$(echo $$p | tr / ' ') 2>/dev/null \
				| grep -qx installed || missing="$$missing $$p"; \
		done; \
		if [ -z "$$missing" ]; then :; \
		elif [ "$$(id -u)" != 0 ]; then \
			echo "setup: not root; for all tests install:$$missing"; \
		else \
			echo "setup: Debian packages for the tests:$$missing"; \
			apt-get update -qq || true; \
			for p in $$missing; do \
				for one in $$(echo $$p | tr / ' '); do \
					apt-cache show $$one >/dev/null 2>&1 && break; \
				done; \
				DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$one \
					>/dev/null || echo "setup: $$one could not be installed; its tests are skipped"; \
			done; \
		fi; \
	fi
	@touch $@

demo: setup
	@$(BIN)/pyfw demo

# The two halves share nothing, so they run side by side, each on a core.
check: setup
	@$(MAKE) --no-print-directory --output-sync=target -j2 check-rust check-python

check-rust: lint-rust test-rust

check-python: lint-python
	$(PYTEST) -m "not netns and not interop and not long and not alone" tests pcaps

test: test-rust test-python

# The binding crate has no tests of its own; without it, pyo3 is not built twice.
test-rust:
	$(CARGO) test --locked --quiet --profile editable --workspace --exclude pyfw-native

# Tests marked `alone` measure time or load the machine: they run last, one at a time.
test-python: setup
	$(PYTEST) -n $(WORKERS) -m "not long and not alone" --durations=10 --durations-min=5
	$(PYTEST) -m "alone and not long"

test-long: setup
	$(PYTEST) -m long --budget=$(BUDGET) --durations=10

lint: lint-rust lint-python

lint-rust:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --quiet --workspace --all-targets --all-features -- -D warnings

lint-python: setup
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest --concise pyfw._native
	$(BIN)/lint-imports --no-cache
	$(BIN)/python .ci/check_names.py

fmt: $(VENV)/.packages
	$(CARGO) fmt --all
	$(BIN)/ruff check --quiet --fix-only .
	$(BIN)/ruff format --quiet .

# Measured is what users install: the wheel, with fat LTO, in an environment of its own.
bench: $(BENCH)/.wheel $(VENV)/.debian
	@mkdir -p $(RESULTS)
	@$(BENCH)/bin/python -m bench.tunnel --quick --json $(RESULTS)/quick.json --html $(RESULTS)/quick.html; \
		tunnel=$$?; $(BENCH)/bin/python -m bench.replay && exit $$tunnel

bench-all: $(BENCH)/.wheel $(VENV)/.debian
	@mkdir -p $(RESULTS)
	@$(BENCH)/bin/python -m bench.tunnel --json $(RESULTS)/all.json --html $(RESULTS)/all.html; \
		tunnel=$$?; $(BENCH)/bin/python -m bench.stages --json $(RESULTS)/stages.json && exit $$tunnel

bench-guard: $(GUARD)/gungraun-runner
	@PATH="$(CURDIR)/$(GUARD):$$PATH" $(BIN)/python -m bench.guard $(if $(UPDATE),--update)

# Of the version of the library; where that did not change, cargo finds it installed.
$(GUARD)/gungraun-runner: Cargo.lock $(VENV)/.packages
	@echo "bench-guard: gungraun-runner into $(GUARD)"
	@mkdir -p $(GUARD)
	@$(CARGO) install --quiet --locked --jobs 1 --root $(dir $(GUARD)) gungraun-runner --version \
		"$$(sed -n '/^name = "gungraun-runner"$$/{n;s/version = "\(.*\)"/\1/p}' Cargo.lock)" \
		>$(GUARD)/install.log 2>&1 || { cat $(GUARD)/install.log >&2; exit 1; }
	@touch $@

$(BENCH)/.wheel: $(VENV)/.packages $(RUST_SOURCES) $(PYTHON_SOURCES) pyproject.toml
	@echo "bench: a release wheel into $(BENCH)"
	@test -x $(BENCH)/bin/python || $(BIN)/python -m venv $(BENCH)
	@rm -rf $(BENCH)/dist
	@$(BIN)/maturin build --quiet --locked --release --features bench --out $(BENCH)/dist \
		>$(BENCH)/build.log 2>&1 \
		|| { cat $(BENCH)/build.log >&2; exit 1; }
	@$(BENCH)/bin/pip install --quiet -c constraints.txt numpy scapy $(BENCH)/dist/*.whl
	@$(BENCH)/bin/pip install --quiet --no-deps --force-reinstall $(BENCH)/dist/*.whl
	@touch $@

wheel: $(VENV)/.packages
	$(BIN)/maturin build --locked --release --out dist

# Compiled for minutes by one quiet job; without them the tests that meet them are skipped.
interop-peers: $(VENV)/.packages
	@CARGO_BUILD_JOBS=1 nice $(BIN)/python -m bench.peers
