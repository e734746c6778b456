# Holdfast: everything a developer or CI runs, by name. `make` alone lists it.

GO       ?= go
TAGS     ?= hashicorpmetrics
PKGS     ?= ./...
# SEED=7 repeats one run of the simulator, SEEDS=n tries so many from a random
# one; without either it runs what CI runs.
SEED     ?=
SEEDS    ?=
# How often each property is tried, and how long each fuzz target runs.
CHECKS   ?= 2000
FUZZTIME ?= 10s
BENCH    ?= .
# The benchmarks of make bench.
WHAT     ?= plan state apply write copy
COUNT    ?= 1
# The runs of make linear: how long, how many of each nemesis, and which; NODES
# empty takes 3 and 5 in turn.
DURATION ?= 60s
RUNS     ?= 20
NEMESIS  ?= none kill stop netns mixed
NODES    ?=

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
BINARY   := bin/holdfast
MODULE   := github.com/holdfast-cluster/holdfast

# The tools are pinned in a module of their own, so that their graphs stay out of ours.
TOOL     := $(GO) tool -modfile=tools/go.mod

# Without a goroutine there is nothing to race: the rules test forbids `go`
# statements in these packages, and the simulators have none by construction.
SINGLE_THREADED := placement|scheduler|scheduler/scorer|cluster/voters|testcluster/sim|internal/simulator|internal/tidy
RACE_PKGS = $(shell $(GO) list -tags $(TAGS) $(PKGS) | grep -Ev '^$(MODULE)/($(SINGLE_THREADED))$$')

# A package list of no package would make `go test` fall back on the root.
some = $(or $(strip $(1)),$(error no package has such tests))

# Test flags exist only in the packages whose tests define them, so the
# packages are found by what their tests say.
tests_with = $(shell grep -rlF --include='*_test.go' '$(1)' . | xargs -r -n1 dirname | sort -u)

# What lands must not hang on luck: the properties are drawn from one seed in
# `make test` and `make race`, and from a new one in each `make prop`. What that
# finds is committed as a file in testdata/rapid, and tried first from then on.
PROP_SEED ?= 1
ALL_PKGS  = $(shell $(GO) list -tags $(TAGS) $(PKGS))
PROP_PKGS = $(patsubst ./%,$(MODULE)/%,$(call tests_with,pgregory.net/rapid))

.DEFAULT_GOAL := help

.PHONY: help build dev test race sim prop e2e linear bench gobench fuzz golden tidy lint fmt fmt-check check clean

help: ## list the targets
	@echo "usage: make TARGET [VARIABLE=value]"
	@echo
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/holdfast
	$(GO) build -tags $(TAGS) -trimpath -ldflags '-X main.version=$(VERSION)' -o $(BINARY) ./cmd/holdfast

dev: build ## build, then run a cluster of three on this machine
	./$(BINARY) dev

test: ## run all tests: unit, bubble, simulator, rules of the house
	$(if $(filter-out $(PROP_PKGS),$(ALL_PKGS)),$(GO) test -tags $(TAGS) -timeout 10m $(filter-out $(PROP_PKGS),$(ALL_PKGS)))
	$(if $(filter $(PROP_PKGS),$(ALL_PKGS)),$(GO) test -tags $(TAGS) -timeout 10m $(filter $(PROP_PKGS),$(ALL_PKGS)) -rapid.seed=$(PROP_SEED))
	$(GO) test -tags $(TAGS),nextlevel -run NextLevel ./fsm

# What is single-threaded and long says so by -short: `make test` has all of it.
race: ## run the tests of everything concurrent under the race detector
	$(if $(filter-out $(PROP_PKGS),$(RACE_PKGS)),$(GO) test -tags $(TAGS) -race -short -p=2 -timeout 15m $(filter-out $(PROP_PKGS),$(RACE_PKGS)))
	$(if $(filter $(PROP_PKGS),$(RACE_PKGS)),$(GO) test -tags $(TAGS) -race -short -p=2 -timeout 15m $(filter $(PROP_PKGS),$(RACE_PKGS)) -rapid.seed=$(PROP_SEED))

sim: ## run the simulator; SEED=n repeats one run, SEEDS=n tries that many new ones
	HOLDFAST_SEED=$(SEED) HOLDFAST_SEEDS=$(SEEDS) $(GO) test -tags $(TAGS) -count=$(COUNT) -timeout 12h -v -run 'Sim$$' ./testcluster/sim

prop: ## try each property CHECKS times (default 2000), with new seeds
	$(GO) test -tags $(TAGS) -count=$(COUNT) -timeout 30m $(call some,$(call tests_with,pgregory.net/rapid)) -rapid.checks=$(CHECKS)

e2e: build ## run the built binary through real failures (real sockets, real kills)
ifneq ($(wildcard e2e),)
	$(GO) build -tags $(TAGS),nextlevel -trimpath -o $(BINARY)-next ./cmd/holdfast
	HOLDFAST_BIN=$(CURDIR)/$(BINARY) HOLDFAST_NEXT_BIN=$(CURDIR)/$(BINARY)-next $(GO) test -tags $(TAGS),e2e -count=1 -timeout 15m ./e2e/...
else
	@echo "e2e: this tree has no end-to-end tests"
endif

linear: build ## check linearizability: RUNS of DURATION under each NEMESIS
	HOLDFAST_BIN=$(CURDIR)/$(BINARY) HOLDFAST_LINEAR=$(DURATION) HOLDFAST_LINEAR_RUNS=$(RUNS) HOLDFAST_LINEAR_NEMESIS="$(NEMESIS)" \
		HOLDFAST_LINEAR_NODES=$(NODES) HOLDFAST_LINEAR_SEED=$(SEED) $(GO) test -tags $(TAGS),e2e -count=1 -timeout 0 -v -run '^TestLinear$$' ./e2e

bench: build ## measure against the limits of the design; WHAT="plan copy" runs some
	@for what in $(WHAT); do echo "== holdfast bench $$what"; ./$(BINARY) bench $$what || exit 1; done

gobench: ## run the Go benchmarks; BENCH=regexp, PKGS=./fsm/...
	$(GO) test -tags $(TAGS) -run '^$$' -bench '$(BENCH)' -benchmem -count=$(COUNT) -timeout 30m $(PKGS)

fuzz: ## run each fuzz target for FUZZTIME (default 10s)
	@set -e; for pkg in $(call tests_with,*testing.F); do \
		for target in $$($(GO) test -tags $(TAGS) -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$target"; \
			$(GO) test -tags $(TAGS) -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg; \
		done; \
	done

golden: ## write the golden files anew; read the diff before you commit it
	@set -e; for pkg in $(call tests_with,flag.Bool("update")); do \
		$(GO) test -tags $(TAGS) -count=1 $$pkg -update; \
	done
	@set -e; for pkg in $(call tests_with,cockroachdb/datadriven); do \
		$(GO) test -tags $(TAGS) -count=1 $$pkg -rewrite; \
	done
	@git --no-pager diff --stat

tidy: ## check the rules of the house: imports, purity, budgets
	$(GO) test -tags $(TAGS) -count=1 ./internal/tidy

lint: ## run the linters of .golangci.yml
	$(TOOL) golangci-lint run ./...

fmt: ## format all Go files
	$(TOOL) gofumpt -modpath $(MODULE) -w .

fmt-check: ## say which Go files are not formatted
	@bad=$$($(TOOL) gofumpt -modpath $(MODULE) -l .) || exit 1; \
	if [ -n "$$bad" ]; then echo "not formatted (make fmt):"; echo "$$bad"; exit 1; fi

check: fmt-check lint tidy race e2e ## what CI runs

clean: ## remove what building and testing left behind
	rm -rf bin coverage .dev
