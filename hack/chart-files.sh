#!/usr/bin/env bash
# Copies into the Helm chart what it shares with config/: Helm reads nothing outside of a chart.
set -euo pipefail
cd "$(dirname "$0")/.."
files=charts/sallyport/files
rm -rf "$files"
mkdir -p "$files"/{crds,rbac,admission}
cp config/crd/bases/*.yaml "$files/crds/"
cp config/rbac/{operator-role,leader-election,user-roles}.yaml "$files/rbac/"
find config/admission -maxdepth 1 -name '*.yaml' ! -name kustomization.yaml -exec cp -t "$files/admission/" {} +
