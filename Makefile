# Sallyport: single sign-on for Kubernetes. `make help` lists every target.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

ROOT       := $(CURDIR)
BIN        := $(ROOT)/bin
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT     ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
IMG        ?= sallyport.dev/sallyport:dev
LDFLAGS    := -s -w -X sallyport.dev/sallyport/internal/version.Version=$(VERSION) -X sallyport.dev/sallyport/internal/version.Commit=$(COMMIT)
GO_BUILD   := CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)'
export KUBEBUILDER_ASSETS := $(ROOT)/.cluster/assets
# As GO_BUILD has them, so that programs, tests and tools share what is compiled: with other flags every library would be compiled again.
export GOFLAGS     ?= -trimpath
export CGO_ENABLED ?= 0

##@ General
.PHONY: help
help: ## Show this help.
	@awk 'BEGIN {FS = ":.*##"; printf "Usage: make TARGET\n"} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-zA-Z0-9_-]+:.*##/ {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Build
.PHONY: build
build: ## Build bin/operator, bin/serviceprovider and bin/kubectl-sso.
	@mkdir -p $(BIN)
	$(GO_BUILD) -o $(BIN)/ ./cmd/operator ./cmd/serviceprovider ./cmd/kubectl-sso

include hack/generate.mk
include hack/supply.mk
include hack/cluster/cluster.mk
-include hack/demo/demo.mk
include hack/test.mk
