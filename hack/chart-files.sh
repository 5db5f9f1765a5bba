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
cp config/admission/changed-by/changed-by.yaml "$files/admission/"

# Alerts: one source, as a rules file and as an object of the Prometheus operator; dashboards as they are.
{
	printf '%s\n' '# Made of rules.yaml by `make manifests`. Do not edit.' 'apiVersion: monitoring.coreos.com/v1' 'kind: PrometheusRule' 'metadata:' \
		'  name: sallyport' '  namespace: sallyport-system' 'spec:'
	grep -v '^#' config/prometheus/rules.yaml | sed 's/^/  /'
} >config/prometheus/prometheus-rule.yaml
mkdir -p "$files"/{prometheus,grafana}
grep -v '^#' config/prometheus/rules.yaml >"$files/prometheus/rules.yaml"
cp config/grafana/*.json "$files/grafana/"
