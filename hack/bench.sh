#!/usr/bin/env bash
# Runs the benchmarks. What needs a system in a cluster measures the demonstration: one that runs, or one that is started for this and removed after.
set -euo pipefail
cd "$(dirname "$0")/.."

# Peers that nothing else needs. Where they cannot be installed, their rows say so.
hack/apt.sh apache2-bin libapache2-mod-auth-mellon libapache2-mod-shib shibboleth-sp-utils || true

# The suite apply is the one that needs it.
if [ ! -e .cluster/kubeconfig ] && [[ "$*" != *-only* || "$*" == *apply* ]]; then
  trap 'make --no-print-directory demo-down' EXIT
  make --no-print-directory demo
fi
go run ./test/bench -o .bench/results.json "$@"
