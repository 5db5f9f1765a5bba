#!/usr/bin/env bash
# Runs test/e2e on a node of its own: starts it, installs the operator, tests, and stops it whatever happened.
set -euo pipefail
cd "$(dirname "$0")/.."

make cluster-down
trap 'make cluster-down' EXIT
make cluster-up
make image
.cluster/bin/cluster load .cluster/images/sallyport.tar
KUBECONFIG="$PWD/.cluster/kubeconfig" make deploy
go test -tags e2e -count=1 -timeout 15m -v ./test/e2e
