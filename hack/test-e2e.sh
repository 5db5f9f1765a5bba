#!/usr/bin/env bash
# Runs test/e2e on a node of its own: starts it, brings the demonstration up as its reader would, tests, stops it whatever happened, and looks
# for anything that was left.
set -euo pipefail
cd "$(dirname "$0")/.."

make cluster-down
down() {
  make cluster-down
  left=$(ip -o link show 2>/dev/null | grep sallyport || true; ls -d .cluster/state /run/sallyport 2>/dev/null || true; iptables-save 2>/dev/null | grep -i -e sallyport -e KUBE- || true)
  if [ -n "$left" ]; then
    echo "cluster-down left something behind: $left" >&2
    exit 1
  fi
}
trap down EXIT
make cluster-up
make demo
go test -tags e2e -count=1 -timeout 5m -v ./test/e2e/demo
go test -tags e2e -count=1 -timeout 25m -v ./test/e2e
