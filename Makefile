# What people and CI call. A second run of anything does only what has changed.
#
#   make setup   environment in .venv, extension built in the editable profile
#   make demo    the tunnel, shown: three namespaces, a page, 1 GiB each way
#   make test    cargo test and pytest
#   make lint    rustfmt, clippy, ruff, mypy, stubtest, import rules
#   make fmt     rustfmt and ruff
#   make bench   pyfw, its peers and the machine's floor, judged; replay against its cipher; from a release
#                wheel; five minutes, and once some for installing peers
#   make bench-all  every measure, every network: three quarters of an hour
#   make bench-guard  instructions of the inner loops against what was recorded, whatever the machine does;
#                UPDATE=1 records them (needs valgrind)
#   make wheel   a release wheel in dist/
#   make interop-peers   foreign daemons that Debian has not, for the tests that meet them
#
# PYFW_NO_APT=1 keeps setup from installing Debian packages. PYTHON names the interpreter of .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
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

.PHONY: setup demo test test-rust test-python lint fmt bench bench-all bench-guard wheel interop-peers
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
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --quiet --locked --profile editable \
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

test: test-rust test-python

# The binding crate has no tests of its own; left out, so that pyo3 is not built twice.
test-rust:
	$(CARGO) test --locked --quiet --profile editable --workspace --exclude pyfw-native

test-python: setup
	$(BIN)/python -m pytest --durations=10 --durations-min=5

lint: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --quiet --workspace --all-targets -- -D warnings
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest --concise pyfw._native
	$(BIN)/lint-imports --no-cache

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
	@$(BIN)/maturin build --quiet --locked --release --out $(BENCH)/dist >$(BENCH)/build.log 2>&1 \
		|| { cat $(BENCH)/build.log >&2; exit 1; }
	@$(BENCH)/bin/pip install --quiet -c constraints.txt numpy scapy $(BENCH)/dist/*.whl
	@$(BENCH)/bin/pip install --quiet --no-deps --force-reinstall $(BENCH)/dist/*.whl
	@touch $@

wheel: $(VENV)/.packages
	$(BIN)/maturin build --locked --release --out dist

# Compiled for minutes by one quiet job; without them the tests that meet them are skipped.
interop-peers: $(VENV)/.packages
	@CARGO_BUILD_JOBS=1 nice $(BIN)/python -m bench.peers
