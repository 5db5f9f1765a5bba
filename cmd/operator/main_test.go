package main

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport.dev/sallyport/internal/version"
)

func TestTheMetricsSayWhichBuildRuns(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(buildInfo())
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "sso_build_info" {
		t.Fatalf("got %v (%v)", families, err)
	}
	labels := map[string]string{}
	for _, pair := range families[0].GetMetric()[0].GetLabel() {
		labels[pair.GetName()] = pair.GetValue()
	}
	if labels["version"] != version.Version || labels["commit"] != version.Commit {
		t.Errorf("the labels are %v", labels)
	}
}
