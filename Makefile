# Everything that is done with this repository, by name. `make help` lists it.
#
# `make run` and `make test` need a Rust toolchain, a C linker and make. What also wants python3, grpcurl or docker is
# SKIPPED with the reason where those cannot be had; in CI (CI=true) a skip is a failure.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
# Words handed to the demo, as in: make run ARGS="--workers 4 --web 127.0.0.1:0"
ARGS ?=

# Where the suites write down what they skipped. They run in folders of their own, so it is an absolute path.
skips := $(abspath $(or $(CARGO_TARGET_DIR),target))/skipped-tests
section = @printf '\n== %s\n' "$(1)"

##@ Using it
.PHONY: run
run: ## Builds, runs the three sample jobs on a local cluster, and stays up
	@$(CARGO) run --quiet --release --locked -p plumb -- demo $(ARGS)

.PHONY: image
image: ## Builds the container image
	docker build -t plumbline .

##@ Checking it
.PHONY: test
test: ## Everything that must pass: format, lints, docs, tests, dependencies
test: format lint docs tests deny-if-there

.PHONY: format
format: ## Checks the format of the code
	$(call section,format)
	$(CARGO) fmt --all --check

.PHONY: lint
lint: ## Runs clippy over all targets; a warning is an error
	$(call section,lints)
	$(CARGO) clippy --workspace --all-targets --locked --quiet -- -D warnings

.PHONY: docs
docs: ## Builds the documentation of the code; a broken link is an error
	$(call section,docs)
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" $(CARGO) doc --workspace --no-deps --document-private-items --locked --quiet

# One profile, all targets: the binary that the suites drive is built here, and nothing is compiled twice.
.PHONY: build
build: ## Builds everything that the tests use
	$(call section,build)
	$(CARGO) build --workspace --all-targets --locked --quiet

.PHONY: tests
tests: build tools ## Runs all tests: units, properties, and suites on real processes
	$(call section,tests)
	@mkdir -p $(dir $(skips)) && rm -f $(skips)
	export SKIPS=$(skips); \
	if $(CARGO) nextest --version >/dev/null 2>&1; then \
	  $(CARGO) nextest run --workspace --locked; \
	else \
	  $(CARGO) test --workspace --locked --quiet -- --test-threads=2; \
	fi
	@if [ -s $(skips) ]; then printf '\n'; sort -u $(skips); fi

.PHONY: tools
tools: ## Looks for the tools that some suites want, and says which are missing
	$(call section,tools)
	@tests/tools/grpcurl.sh || { [ "$${CI:-}" != true ]; }

.PHONY: deny
deny: ## Checks licences, sources and advisories with cargo-deny (installing it takes minutes)
	$(call section,dependencies)
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) deny --locked check bans licenses sources

# The suites check licences, sources and the never rules on their own; cargo-deny knows more.
.PHONY: deny-if-there
deny-if-there:
	@if command -v cargo-deny >/dev/null; then $(MAKE) --no-print-directory deny; fi

.PHONY: test-kills
test-kills: ## Kills 100 coordinators and 100 workers under one run of 2,000 batches (KILLS=100 KILL_BATCHES=2000)
	$(call section,kills)
	@$(CARGO) build --quiet --locked -p plumb
	KILLS=$(or $(KILLS),100) KILL_BATCHES=$(or $(KILL_BATCHES),2000) RESTART_SUBMISSIONS=200 \
	  $(CARGO) test --quiet --locked -p tests --test many_kills --test coordinator_restart -- --test-threads=1

.PHONY: test-rate
test-rate: ## Begins an op 50 times a second on 8 workers, and judges each second of a minute (RATE_SECONDS=60)
	$(call section,rate)
	@$(CARGO) build --quiet --locked -p plumb
	RATE_SECONDS=$(or $(RATE_SECONDS),60) $(CARGO) test --quiet --locked -p tests --test rate -- --nocapture

.PHONY: test-data
test-data: ## Compiles the sample data again from its sources and compares (needs python3 and the network)
	$(call section,data)
	python3 data/compile.py --check

.PHONY: test-compose
test-compose: ## Runs the cluster of docker-compose.yml on a real engine and checks what must hold (needs docker)
	$(call section,containers)
	python3 tests/compose/run.py

.PHONY: test-image
test-image: ## The same, with the program compiled in its image (needs docker, and the crates to be reachable)
	$(call section,container image)
	python3 tests/compose/run.py --compile

.PHONY: test-browser
test-browser: ## Tests the pages in a headless Chromium (needs python3 and the network; root on Debian gets chromium)
	$(call section,browser)
	@$(CARGO) build --quiet --locked --workspace --bin plumb
	@$(CARGO) build --quiet --release --locked --workspace --example fixture_server
	tests/browser/run.sh $(ARGS)

.PHONY: simulate
simulate: ## Hunts for histories that break a promise of the scheduler or the agent (SEEDS=20000 FIRST=0)
	$(call section,simulation)
	@$(CARGO) run --quiet --locked -p simulator -- $(or $(SEEDS),20000) $(or $(FIRST),0)

.PHONY: simulate-wire
simulate-wire: ## The same for the real gRPC edges over a simulated network: fewer, and slower (SEEDS=500 FIRST=0)
	$(call section,simulation of the wire)
	WIRE_SEEDS=$(or $(SEEDS),500) WIRE_FIRST=$(or $(FIRST),0) \
	  $(CARGO) test --quiet --locked -p wire --test wire -- faults_of_network

##@ Measuring it
.PHONY: bench
bench: ## Measures the release build for BENCHMARKS.md (ARGS="w1 --batches 10000", PEERS=folders of peers)
	$(call section,benchmarks)
	@$(CARGO) build --quiet --release --locked -p plumb -p benches
	@"$${CARGO_TARGET_DIR:-target}/release/benches" $(ARGS)
	@if [ -z "$(ARGS)" ]; then $(MAKE) --no-print-directory bench-shard; fi

.PHONY: bench-shard
bench-shard: ## Measures how fast a source is cut into slices, on one core
	$(call section,sharding)
	@$(CARGO) run --quiet --release --locked -p coordinator --example shard_speed

.PHONY: bench-short
bench-short: ## Runs every benchmark at a small size: whether it works, not how fast
	$(call section,benchmarks at a small size)
	@$(CARGO) build --quiet --locked --workspace --bins
	@"$${CARGO_TARGET_DIR:-target}/debug/benches" --short

.PHONY: bench-web
bench-web: ## Measures the timeline and what pages ask for, over HTTP (ARGS="1000000 20": tasks, seconds)
	$(call section,timeline and pages)
	@$(CARGO) run --quiet --release --locked -p coordinator --example timeline_speed
	@$(CARGO) run --quiet --release --locked -p coordinator --example web_speed -- $(ARGS)

# Without what joins functions across crates, so that a profile can name them; and with system calls through libc, because
# valgrind shows programs no vDSO for rustix to look into.
.PHONY: profile
profile: ## Counts where instructions go: the coordinator's in W1, a worker's in W3 (needs valgrind; minutes)
	$(call section,profiles)
	@RUSTFLAGS="--cfg rustix_use_libc" CARGO_TARGET_DIR=target/profiled CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
	  $(CARGO) build --quiet --release --locked -p plumb -p benches
	@export PROFILED_PROGRAM=$(CURDIR)/target/profiled/release/plumb; \
	  tests/benches/profile.sh coordinator w4 --batches 20000 --crowds 0; \
	  tests/benches/profile.sh worker w3 --megabytes 100 --repeat 1

##@ Keeping it tidy
.PHONY: fix
fix: ## Formats the code and applies what clippy can repair
	$(CARGO) fmt --all
	$(CARGO) clippy --workspace --all-targets --fix --allow-dirty --allow-staged

.PHONY: clean
clean: ## Removes everything that was built
	$(CARGO) clean

.PHONY: help
help: ## Shows this
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
