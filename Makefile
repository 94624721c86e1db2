# `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test lint cluster bench fuzz sanitize deny

# Seconds that each fuzz target runs in `make fuzz`.
FUZZ_SECONDS ?= 20

help: ## Lists the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

run: ## Builds Moongate and serves examples/quickstart: an ingress with Lua, without a cluster
	@scripts/install-build-deps
	cargo build --release --locked
	@scripts/quickstart

test: ## Runs every test; installs the servers and clients that they use
	@scripts/install-test-deps
	@scripts/install-cluster-deps && scripts/build-kube >/dev/null
	cargo build --workspace --bins --locked
	cargo test --workspace --locked --no-fail-fast

lint: ## Formatting and clippy, warnings refused
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

cluster: ## Runs a Kubernetes with Moongate in it until Ctrl-C (Linux, root); prints how to use it
	@scripts/install-build-deps
	@scripts/install-cluster-deps && scripts/build-kube >/dev/null
	cargo build --workspace --bins --locked
	@cargo run --package e2e --bin cluster --locked --quiet

bench: ## Measures Moongate beside nginx + Lua, HAProxy, Envoy, Traefik and Caddy (BENCH="--rounds 3 ...")
	@bench/install
	cargo build --release --locked
	bench/run $(BENCH)

fuzz: ## Runs each fuzz target for FUZZ_SECONDS
	@scripts/fuzz $(FUZZ_SECONDS)

sanitize: ## The VM's tests under AddressSanitizer (needs a nightly compiler)
	lua-vm/sanitize.sh

deny: ## Licences, bans and sources by cargo-deny (`cargo install cargo-deny`)
	cargo deny check bans licenses sources
