// Package architecture holds the rules of the layout: imports point downwards only, and the pure rooms stay pure.
package architecture

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "sallyport.dev/sallyport/"

// layers, top to bottom. A package may import those of its own row and everything below. Every package of the product is in one.
var layers = [][]string{
	{"cmd/"},
	{"controllers", "internal/web", "internal/cli"},
	{"internal/offline"},
	{"internal/resolve"},
	{"internal/compile", "internal/render", "internal/trust", "internal/saml", "internal/identity", "internal/session"},
	{"internal/store"},
	{"internal/audit", "internal/manageapi", "internal/metric", "internal/snapshot", "internal/tracing", "internal/version"},
	{"api/", "config/"},
}

// pure packages compute and never talk: no client, no HTTP, no database.
var pure = map[string][]string{
	"internal/saml":      {"net/http", "database/sql", "k8s.io/", "sigs.k8s.io/", module + "internal/store", module + "internal/web"},
	"internal/compile":   {"net/http", "database/sql", "k8s.io/client-go/kubernetes", "k8s.io/client-go/rest", "sigs.k8s.io/controller-runtime"},
	"internal/resolve":   {"net/http", "database/sql", "k8s.io/client-go", "sigs.k8s.io/controller-runtime"},
	"internal/render":    {"net/http", "database/sql", "k8s.io/client-go/kubernetes", "k8s.io/client-go/rest", "sigs.k8s.io/controller-runtime"},
	"internal/snapshot":  {"net/http", "database/sql", "k8s.io/", "sigs.k8s.io/"},
	"internal/manageapi": {"net/http", "database/sql", "k8s.io/", "sigs.k8s.io/", module + "internal/"},
	"internal/identity":  {"net/http", "k8s.io/client-go", "sigs.k8s.io/controller-runtime"},
	// The data plane stays small.
	"cmd/serviceprovider": {"sigs.k8s.io/controller-runtime"},
	"internal/web":        {"sigs.k8s.io/controller-runtime"},
	// The plugin asks service providers over the wire; neither their code nor the operator's comes along.
	"internal/cli": {module + "internal/web", module + "internal/store", module + "controllers", "database/sql"},
	"api/":         {"sigs.k8s.io/controller-runtime", "k8s.io/client-go/kubernetes"},
}

// TestTheListOfRoomsIsWhole: CONTRIBUTING.md names every room of the layers, and no other.
func TestTheListOfRoomsIsWhole(t *testing.T) {
	page, err := os.ReadFile("../../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	var named, want []string
	for row := range strings.Lines(string(page)) {
		if where, isRow := strings.CutPrefix(row, "| `"); isRow {
			where, _, _ = strings.Cut(where, " |")
			named = append(named, strings.Split(strings.TrimSuffix(where, "`"), "`, `")...)
		}
	}
	for _, row := range layers {
		for _, room := range row {
			want = append(want, strings.TrimSuffix(room, "/"))
		}
	}
	slices.Sort(named)
	slices.Sort(want)
	if !slices.Equal(named, want) {
		t.Errorf("CONTRIBUTING.md names\n%q, and there are\n%q", named, want)
	}
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func TestImportsPointDownwards(t *testing.T) {
	packages := list(t)
	if len(packages) < 10 {
		t.Fatalf("go list found %d packages: the rules below would prove nothing", len(packages))
	}
	for _, p := range packages {
		if within(p.ImportPath, "hack") {
			continue // makes and runs the product; nothing of it is in one
		}
		from := layerOf(p.ImportPath)
		if from < 0 {
			t.Errorf("%s is in no layer", p.ImportPath)
		}
		for _, imported := range p.Imports {
			if to := layerOf(imported); strings.HasPrefix(imported, module) && to < from {
				t.Errorf("%s imports %s, which is above it or in no layer", p.ImportPath, imported)
			}
		}
	}
}

func TestPurePackagesStayPure(t *testing.T) {
	for _, p := range list(t) {
		for room, forbidden := range pure {
			if !within(p.ImportPath, room) {
				continue
			}
			for _, imported := range p.Imports {
				if slices.ContainsFunc(forbidden, func(prefix string) bool {
					return imported == prefix || strings.HasPrefix(imported, strings.TrimSuffix(prefix, "/")+"/")
				}) {
					t.Errorf("%s must not import %s", p.ImportPath, imported)
				}
			}
		}
	}
}

func layerOf(path string) int {
	return slices.IndexFunc(layers, func(row []string) bool {
		return slices.ContainsFunc(row, func(room string) bool { return within(path, room) })
	})
}

func within(path, room string) bool {
	full := module + strings.TrimSuffix(room, "/")
	return path == full || strings.HasPrefix(path, full+"/")
}

// list returns the packages of the product; helpers that only tests use (such as the in-process IdP) are held to nothing.
func list(t *testing.T) []goPackage {
	t.Helper()
	command := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...")
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(p.ImportPath, "test") && !strings.Contains(p.ImportPath, "/test/") {
			packages = append(packages, p)
		}
	}
}
