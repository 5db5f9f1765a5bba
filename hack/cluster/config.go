package main

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
)

//go:embed config
var configFS embed.FS

var configTemplates = template.Must(template.New("").Option("missingkey=error").ParseFS(configFS, "config/*"))

const (
	pauseImage = "sallyport.dev/cluster/pause:1"
	dnsImage   = "sallyport.dev/cluster/coredns:1.15.0"
	probeImage = "sallyport.dev/cluster/probe:1"
)

// settings is what the templates in config may use.
func settings(d dirs) map[string]string {
	return map[string]string{
		"State": d.state, "Run": d.run, "Bridge": bridge, "PodCIDR": podCIDR, "NodeName": nodeName,
		"ClusterDomain": clusterDomain, "DNSServiceIP": dnsServiceIP,
		"PauseImage": pauseImage, "DNSImage": dnsImage, "ProbeImage": probeImage,
	}
}

func renderConfig(name string, values map[string]string) ([]byte, error) {
	var out bytes.Buffer
	if err := configTemplates.ExecuteTemplate(&out, name, values); err != nil {
		return nil, fmt.Errorf("config/%s: %w", name, err)
	}
	return out.Bytes(), nil
}

// writeNodeConfig writes the files that the node's programs read at their start.
func writeNodeConfig(d dirs) error {
	for name, path := range map[string]string{
		"containerd.toml": d.in("containerd.toml"),
		"cni.conflist":    d.in("cni", "10-sallyport.conflist"),
		"kubelet.yaml":    d.in("kubelet.yaml"),
		"kube-proxy.yaml": d.in("kube-proxy.yaml"),
		"resolv.conf":     d.in("resolv.conf"),
	} {
		data, err := renderConfig(name, settings(d))
		if err != nil {
			return err
		}
		if err := writeIfChanged(path, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// writeIfChanged leaves a file that is right untouched: kube-proxy ends when its file is written.
func writeIfChanged(path string, data []byte, mode os.FileMode) error {
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, data) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, mode)
}
