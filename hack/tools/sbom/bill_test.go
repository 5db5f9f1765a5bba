package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"
)

// write builds the tool itself, which has dependencies, and returns the program, the bill and its bytes.
func write(t *testing.T) (program string, document *spdx.Document, content []byte) {
	t.Helper()
	dir := t.TempDir()
	program = filepath.Join(dir, "sbom")
	if out, err := exec.Command("go", "build", "-trimpath", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	file := filepath.Join(dir, "out", "x.spdx.json")
	if err := run(&bill{version: "v1.2.3", commit: "0123abc"}, "2026-01-02T03:04:05+01:00", file, []string{program}); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	document = &spdx.Document{}
	if err := spdxjson.ReadInto(bytes.NewReader(content), document); err != nil {
		t.Fatal(err)
	}
	return program, document, content
}

// TestTheBillSaysWhatGoSays compares the bill with what `go version -m` finds in the same program.
func TestTheBillSaysWhatGoSays(t *testing.T) {
	program, document, _ := write(t)
	out, err := exec.Command("go", "version", "-m", program).Output()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, found := range regexp.MustCompile(`(?m)^\tdep\t(\S+)\t(\S+)`).FindAllStringSubmatch(string(out), -1) {
		want[found[1]+" "+found[2]] = true
	}
	if len(want) < 3 {
		t.Fatalf("the program has only %d dependencies", len(want))
	}
	toolchain := regexp.MustCompile(`: go(\S+)`).FindStringSubmatch(string(out))
	want["stdlib "+toolchain[1]] = true
	for _, p := range document.Packages {
		if p.PrimaryPackagePurpose == "APPLICATION" {
			continue
		}
		if !want[p.PackageName+" "+p.PackageVersion] {
			t.Errorf("%s %s is in the bill and not in the program", p.PackageName, p.PackageVersion)
		}
		delete(want, p.PackageName+" "+p.PackageVersion)
		if locator := p.PackageExternalReferences[0].Locator; !strings.HasPrefix(locator, "pkg:golang/") || !strings.HasSuffix(locator, "@"+strings.ReplaceAll(p.PackageVersion, "+", "%2B")) {
			t.Errorf("%s has the address %s", p.PackageName, locator)
		}
	}
	if len(want) > 0 {
		t.Errorf("the bill lacks %v", want)
	}
}

func TestTheBillNamesTheBytes(t *testing.T) {
	program, document, first := write(t)
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	own := document.Packages[0]
	if want := fmt.Sprintf("%x", sha256.Sum256(content)); own.PackageName != "sbom" || own.PackageVersion != "v1.2.3" || own.PackageChecksums[0].Value != want || !strings.Contains(own.PackageSourceInfo, "0123abc") {
		t.Errorf("the bill is about %s %s %v (%s), not %s", own.PackageName, own.PackageVersion, own.PackageChecksums, own.PackageSourceInfo, want)
	}
	if document.CreationInfo.Created != "2026-01-02T02:04:05Z" {
		t.Errorf("it was made %s", document.CreationInfo.Created)
	}
	// Every relationship ends at something that is there: tools refuse a document that dangles.
	known := map[string]bool{"DOCUMENT": true}
	for _, p := range document.Packages {
		known[string(p.PackageSPDXIdentifier)] = true
	}
	described := 0
	for _, r := range document.Relationships {
		if !known[string(r.RefA.ElementRefID)] || !known[string(r.RefB.ElementRefID)] {
			t.Errorf("%v %s %v dangles", r.RefA, r.Relationship, r.RefB)
		}
		if r.Relationship == "DESCRIBES" {
			described++
		}
	}
	if described != 1 || len(known) != len(document.Packages)+1 {
		t.Errorf("%d programs are described, %d identifiers for %d packages", described, len(known)-1, len(document.Packages))
	}
	if _, _, second := write(t); !bytes.Equal(first, second) {
		t.Error("two bills of the same program differ")
	}
}

func TestWhatIsNoProgramIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "notes")
	if err := os.WriteFile(file, []byte("not a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(&bill{}, "2026-01-02T03:04:05Z", file+".json", []string{file}); err == nil || !strings.Contains(err.Error(), "notes") {
		t.Errorf("got %v", err)
	}
	if err := run(&bill{}, "2026-01-02T03:04:05Z", file+".json", nil); err == nil {
		t.Error("a bill of nothing was written")
	}
}
