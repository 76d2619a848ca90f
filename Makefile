# pgleap: "make help" lists what there is to make.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# The PostgreSQL versions that the tests cover; "make test PGLEAP_TEST_VERSIONS=13,15,17,18,19".
PGLEAP_TEST_VERSIONS ?= 15,17
export PGLEAP_TEST_VERSIONS

# What "make demo" upgrades from and to; KEEP=1 leaves the server up.
FROM ?= 15
TO ?= 17
KEEP ?= 0

# One set of flags for build, tests and linters, so that the embedded engine is compiled once: it takes
# minutes. Without cgo the binary runs on hosts with another C library.
export CGO_ENABLED := 0
export GOFLAGS := $(strip $(shell go env GOFLAGS) -trimpath -tags=disable_grpc_modules)

tool := go tool -modfile=tools/go.mod
comma := ,
versions = $(subst $(comma), ,$(PGLEAP_TEST_VERSIONS))
code = $(wildcard cmd internal bench test)

# The packages with tests beside the code. Packages are tested side by side in this order: those that take
# longest begin first.
packages := ./internal/work/onhost ./internal/switchover ./internal/precheck ./internal/... ./cmd/...

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: tools
tools: # what demo and tests need from the system
	@scripts/install-tools

.PHONY: setup
setup: tools ## install what the tests need: pgbouncer, patchelf, PostgreSQL $(PGLEAP_TEST_VERSIONS)
	@# 3: a version cannot be had; the tests that need it are skipped by name
	@scripts/install-postgres $(versions) || [ $$? -eq 3 ]

.PHONY: build
build: ## build bin/pgleap
	go build -ldflags '-s -w' -o bin/pgleap ./cmd/pgleap

# Nothing is vetted by "go test" here: "make lint" looks at the same and more, and vetting needs what all
# modules export, the embedded engine's too, which takes long where nothing is cached yet.
.PHONY: test
test: test-slow test-e2e ## run all tests

.PHONY: test-unit
test-unit: setup ## run the quick tests beside the code (they use real PostgreSQL clusters)
	go test -vet=off $(packages)

.PHONY: test-slow
test-slow: setup ## run all tests beside the code, those too that take long: whole upgrades, crashes at every step, the fence
	PGLEAP_SLOW_TESTS=1 go test -count=1 -vet=off -timeout 30m $(packages)

.PHONY: test-crash
test-crash: setup ## run the tests that take longest: deaths at every moment, every kind of standby, every complaint of pg_upgrade (takes some 30 minutes)
	PGLEAP_EXHAUSTIVE_TESTS=1 PGLEAP_SLOW_TESTS=1 go test -count=1 -timeout 90m ./internal/work/onhost -run \
		'TestInPlaceC|TestAgentDiesBeforeCommit|TestDiscardCloneAfterEachStep|TestStandbys|TestCloneFrom|TestMatrixSample|TestEveryComplaint|TestSchemaRehearsal'

.PHONY: test-matrix
test-matrix: PGLEAP_TEST_VERSIONS := 13,15,17,18,19
test-matrix: setup ## upgrade something of everything between nine pairs of versions, in place and blue-green (takes some 30 minutes)
	PGLEAP_MATRIX_TESTS=1 go test -count=1 -timeout 2h -v ./internal/work/onhost -run 'TestMatrix$$'

.PHONY: test-e2e
test-e2e: setup build ## run the end-to-end tests against the built binary
	PGLEAP_SLOW_TESTS=1 PGLEAP_BINARY=$(CURDIR)/bin/pgleap go test -count=1 -vet=off -timeout 35m ./test/...

.PHONY: test-systemd
test-systemd: PGLEAP_TEST_VERSIONS := 17
test-systemd: setup build ## upgrade what a real systemd runs, in a container (as root on Debian; takes some 10 minutes)
	@if scripts/systemd-container make build/systemd bin/pgleap; then \
		PGLEAP_SLOW_TESTS=1 PGLEAP_BINARY=$(CURDIR)/bin/pgleap PGLEAP_SYSTEMD_ROOT=$(CURDIR)/build/systemd \
			go test -count=1 -timeout 30m -v ./test -run TestUnderSystemd; \
	else [ $$? -eq 3 ] && echo "skipped"; fi # 3: this machine cannot do it, as was said

.PHONY: lint
lint: ## check formatting, golangci-lint with go vet's analyzers, and that workflows are deterministic
	@files=$$($(tool) gofumpt -l $(code)); \
		[ -z "$$files" ] || { echo "not formatted, run \"make format\":"; echo "$$files"; exit 1; }
	$(tool) golangci-lint run ./...
	$(tool) workflowcheck ./internal/upgrade/flow

.PHONY: format
format: ## format the code
	$(tool) gofumpt -w $(code)

.PHONY: bench-switchover
bench-switchover: setup ## measure the switchover against the naive recipe
	go run ./bench/switchover

.PHONY: bench-roundtrips
bench-roundtrips: setup build ## bring clients to the target and back a hundred times (takes some 20 minutes)
	go run ./bench/roundtrips -binary bin/pgleap

.PHONY: bench-inplace
bench-inplace: setup ## measure the outage of an in-place upgrade against pg_upgrade run by a script
	go run ./bench/inplace -tables 100
	go run ./bench/inplace

.PHONY: bench-precheck
bench-precheck: setup ## measure what a precheck of 10,000 tables in 20 databases takes beyond pg_upgrade --check
	go run ./bench/precheck

.PHONY: bench-idle
bench-idle: build ## measure start-up, memory and processor time of an idle server
	go run ./bench/idle -binary bin/pgleap

.PHONY: bench-verify
bench-verify: setup ## measure the comparison of source and target against COPY of both
	go run ./bench/verify

.PHONY: bench-catchup
bench-catchup: setup ## measure how much faster table groups apply a backlog than one subscription
	go run ./bench/catchup

.PHONY: bench-api
bench-api: setup ## measure the clouds' APIs on a million upgrades (takes some 20 minutes and 10 GB)
	go run ./bench/api

.PHONY: demo
demo: tools ## upgrade a PostgreSQL under load: FROM=15 TO=17, KEEP=1 leaves the server up
	@scripts/install-postgres $(FROM) $(TO)
	@$(MAKE) --no-print-directory build
	go run ./test/demo -from=$(FROM) -to=$(TO) -keep=$(if $(filter 1 yes true,$(KEEP)),true,false)

.PHONY: clean
clean: ## remove what was built
	rm -rf bin build
