// Package crd carries the CustomResourceDefinitions of the four kinds, for programs that validate manifests without a cluster.
package crd

import "embed"

// Bases holds bases/*.yaml, one CustomResourceDefinition each, as `make manifests` wrote them.
//
//go:embed bases/*.yaml
var Bases embed.FS
