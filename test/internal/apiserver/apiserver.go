// Package apiserver knows the programs of a real API server that `make assets` builds, and how the tests run it with our kinds. What is in it is for each test to say.
package apiserver

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// Environment is a control plane, not started yet, that knows our kinds.
func Environment() *envtest.Environment {
	kinds := filepath.Join(Root(), "config", "crd", "bases")
	return &envtest.Environment{BinaryAssetsDirectory: Assets(), CRDDirectoryPaths: []string{kinds}, ErrorIfCRDPathMissing: true}
}

// Assets is the directory of the programs: KUBEBUILDER_ASSETS, or where `make assets` leaves them.
func Assets() string {
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" {
		return dir
	}
	return filepath.Join(Root(), ".cluster", "assets")
}

// Kubectl is the path of kubectl.
func Kubectl() string { return filepath.Join(Assets(), "kubectl") }

// Root is the folder of the repository: the one with our kinds, above the one that tests run in. A module of its own may lie between.
func Root() string {
	dir, err := os.Getwd()
	for ; err == nil && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "config", "crd")); err == nil {
			return dir
		}
	}
	return "."
}

// MonitoringKinds are the files of those kinds of the Prometheus operator that objects of ours are of, as its release has them.
func MonitoringKinds() ([]string, error) {
	download := exec.Command("go", "mod", "download", "-json")
	download.Dir = filepath.Join(Root(), "hack", "tools", "prometheusoperator")
	out, err := download.Output()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return nil, err
	}
	var files []string
	for _, kind := range []string{"podmonitors", "prometheusrules", "servicemonitors"} {
		files = append(files, filepath.Join(module.Dir, "example", "prometheus-operator-crd", "monitoring.coreos.com_"+kind+".yaml"))
	}
	return files, nil
}
