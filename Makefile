# Two commands are enough: `make demo` and `make test`. `make help` lists the others.

# One configuration for everything, so that tests, demo and benchmarks share their products.
CONFIG := -c release -Xswiftc -enable-testing
BIN := .build/release

DEMO_ARGS ?=
BENCH_ARGS ?=
MINUTES ?= 10
MUTANTS ?=
FUZZ_FROM ?= $(shell date +%s)000
SEED ?=
FROM ?= 1
COUNT ?=
OPERATIONS ?= 100000
SECONDS_OF_CHAOS ?= 900
CHAOS_ARGS ?=
TEST_SECONDS ?= 900
BENCH_SECONDS ?= 300
ROUNDS ?= 5
PEERS_ARGS ?=

PEERS := .build/peers
PEERS_CC := cc -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror

.DEFAULT_GOAL := help
.PHONY: help setup setup-guard build demo test lint format bench bench-guard bench-peers sim \
	chaos chaos-disk soak mutants dialogues clean

help: ## lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: ## installs the system packages that are missing (apt), or says which
	@scripts/setup

setup-guard: setup
	@scripts/setup valgrind

build: setup ## builds everything, tests and benchmarks too
	swift build $(CONFIG) --build-tests

demo: setup ## three nodes lose their leader and no write; DEMO_ARGS="--nodes 5 --groups 64"
	swift build $(CONFIG) --product kraft-node
	@$(BIN)/kraft-node demo $(DEMO_ARGS)

test: setup-guard lint build ## lint, all tests, quick benchmark, guards; ends within bounded time
	@scripts/test $(BIN) $(TEST_SECONDS) $(BENCH_SECONDS) $(CONFIG)

lint: ## checks format, direction of imports, purity of the values, and that all mutants apply
	@scripts/lint --self-test
	@scripts/bench-guard --self-test
	@scripts/lint
	@scripts/mutate --check

format: ## formats the Swift sources in place
	@swift format -i --parallel --recursive Package.swift Sources Tests Benchmarks

bench: setup ## all targets, or BENCH_ARGS="writes --groups 48 --in-flight 16 --payload 16"
	swift build $(CONFIG) --product kraft-bench
	@$(BIN)/kraft-bench $(or $(BENCH_ARGS),targets)

bench-guard: setup-guard ## counts the hot paths' instructions, and compares with what is allowed
	swift build $(CONFIG) --product kraft-guard
	swift build $(CONFIG) --product kraft-bench
	@scripts/bench-guard $(BIN)

bench-peers: setup ## the same writes on ours, libraft and etcd: ROUNDS=5 PEERS_ARGS="--seconds 3"
	swift build $(CONFIG) --product kraft-bench
	@scripts/setup-peers
	-@$(MAKE) --no-print-directory --keep-going $(PEERS)/libraft-node $(PEERS)/etcd-load
	@Benchmarks/Peers/run --kraft-bench $(BIN)/kraft-bench --programs $(PEERS) \
		--rounds $(ROUNDS) $(PEERS_ARGS)

$(PEERS)/libraft-node: $(wildcard Benchmarks/Peers/common/*.[ch] Benchmarks/Peers/libraft/*.[ch])
	@mkdir -p $(@D)
	@$(PEERS_CC) $(filter %.c,$^) $$(pkg-config --cflags --libs raft libuv) -o $@

$(PEERS)/etcd-load: $(wildcard Benchmarks/Peers/common/*.[ch] Benchmarks/Peers/etcd/*.[ch])
	@mkdir -p $(@D)
	@$(PEERS_CC) $(filter %.c,$^) $$(pkg-config --cflags --libs libuv) -o $@

sim: setup ## replays one seed of the simulator, saying what happens: SEED=…
	@test -n "$(SEED)" || { echo "make sim SEED=…: which seed?" >&2; exit 64; }
	swift build $(CONFIG) --product kraft-sim
	@$(BIN)/kraft-sim $(SEED)

chaos: setup ## real nodes under kill, stop and partition, history checked: OPERATIONS=100000 SEED=…
	swift build $(CONFIG) --product kraft-node
	swift build $(CONFIG) --product kraft-chaos
	@$(BIN)/kraft-chaos --operations $(OPERATIONS) --seconds $(SECONDS_OF_CHAOS) \
		$(if $(SEED),--seed $(SEED)) $(CHAOS_ARGS)

chaos-disk: setup ## real nodes whose folders are spoilt while they are down
	swift build $(CONFIG) --product kraft-node
	swift build $(CONFIG) --product kraft-chaos
	@$(BIN)/kraft-chaos --disks --operations $(OPERATIONS) --seconds $(SECONDS_OF_CHAOS) \
		$(if $(SEED),--seed $(SEED)) $(CHAOS_ARGS)

soak: build ## new seeds of simulator and fuzzers for MINUTES=10, or simulated ones FROM=1 COUNT=…
	@$(BIN)/kraft-sim $(if $(COUNT),$(FROM) $(COUNT),--minutes $(MINUTES))
	KRAFT_FUZZ_FROM=$(FUZZ_FROM) KRAFT_FUZZ_FACTOR=$(MINUTES) \
		swift test $(CONFIG) --skip-build --filter 'Fuzz|CommandLayout'

mutants: setup ## breaks the core line by line: is each caught? MUTANTS="read- vote-" for some
	@scripts/mutate $(MUTANTS)

dialogues: build ## writes the traces that the dialogues expect anew; then look at what changed
	KRAFT_REWRITE_DIALOGUES=1 swift test $(CONFIG) --skip-build --filter DialogueTests
	@git diff --stat -- Tests/RaftCoreTests/Dialogues

clean: ## removes what was built
	rm -rf .build
