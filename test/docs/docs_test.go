// Package docs holds the documentation to what is there: links lead somewhere, make targets and commands exist, and manifests are such
// as the API server takes.
package docs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/offline"
	"sallyport.dev/sallyport/internal/saml"
)

const root = "../.."

// pages are the Markdown files of the repository.
func pages(t *testing.T) map[string]string {
	t.Helper()
	out, err := exec.Command("git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard", "*.md").Output()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for name := range strings.FieldsSeq(string(out)) {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			continue // deleted and not yet committed
		}
		all[name] = string(text)
	}
	if len(all) < 5 {
		t.Fatalf("only %d pages were found", len(all))
	}
	return all
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	code    = regexp.MustCompile("`[^`\n]*`")
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	fence   = regexp.MustCompile("(?s)```(yaml|sh)\n(.*?)```")
	heredoc = regexp.MustCompile(`(?s)<<'?YAML'?\n(.*?)\nYAML`)
	target  = regexp.MustCompile(`\bmake ([a-z][a-z0-9-]*)`)
	goal    = regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`)
)

func TestLinksLeadSomewhere(t *testing.T) {
	all := pages(t)
	for name, text := range all {
		// A regular expression in code is no link.
		for _, found := range link.FindAllStringSubmatch(code.ReplaceAllString(text, ""), -1) {
			path, fragment, _ := strings.Cut(found[1], "#")
			if strings.Contains(path, "://") || strings.HasPrefix(path, "mailto:") {
				continue
			}
			to := name
			if path != "" {
				to = filepath.Join(filepath.Dir(name), path)
				if _, err := os.Stat(filepath.Join(root, to)); err != nil {
					t.Errorf("%s links to %s, which is not there", name, found[1])
					continue
				}
			}
			if page, ok := all[to]; ok && fragment != "" && !hasAnchor(page, fragment) {
				t.Errorf("%s links to %s, and %s has no such heading", name, found[1], to)
			}
		}
	}
}

// hasAnchor tells whether a heading of the page has the anchor that GitHub gives it.
func hasAnchor(page, anchor string) bool {
	for _, h := range heading.FindAllStringSubmatch(page, -1) {
		id := strings.ToLower(strings.ReplaceAll(strings.TrimSpace(h[1]), "`", ""))
		id = regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(id, "")
		if strings.ReplaceAll(id, " ", "-") == anchor {
			return true
		}
	}
	return false
}

func TestMakeTargetsExist(t *testing.T) {
	out, err := exec.Command("bash", "-c", "cd "+root+" && cat Makefile hack/*.mk hack/*/*.mk").Output()
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{}
	for _, found := range goal.FindAllStringSubmatch(string(out), -1) {
		targets[found[1]] = true
	}
	for name, text := range pages(t) {
		for _, block := range fence.FindAllStringSubmatch(text, -1) {
			for _, found := range target.FindAllStringSubmatch(block[2], -1) {
				if block[1] == "sh" && !targets[found[1]] {
					t.Errorf("%s says `make %s`, which is no target", name, found[1])
				}
			}
		}
	}
}

// TestManifestsAreAccepted lints every complete object of our kinds in the documentation, as its reader would before applying it.
func TestManifestsAreAccepted(t *testing.T) {
	linted := 0
	for name, text := range pages(t) {
		for _, block := range fence.FindAllStringSubmatch(text, -1) {
			manifests := []string{block[2]}
			if block[1] == "sh" {
				manifests = nil
				for _, found := range heredoc.FindAllStringSubmatch(block[2], -1) {
					manifests = append(manifests, found[1])
				}
			}
			for _, manifest := range manifests {
				if !strings.Contains(manifest, "apiVersion: sso.sallyport.dev/") {
					continue
				}
				linted++
				lint(t, name, dedent(manifest))
			}
		}
	}
	if linted < 3 {
		t.Errorf("only %d manifests were found", linted)
	}
}

func lint(t *testing.T, page, manifest string) {
	t.Helper()
	documents, problems, err := offline.Load([]string{offline.Stdin}, bytes.NewBufferString(manifest))
	if err != nil {
		t.Fatalf("%s: %v\n%s", page, err, manifest)
	}
	result, err := offline.Check(t.Context(), documents, offline.Options{Namespace: "sso"})
	if err != nil {
		t.Fatalf("%s: %v\n%s", page, err, manifest)
	}
	for _, p := range append(problems, result.Problems...) {
		if offline.HasErrors([]offline.Problem{p}) {
			t.Errorf("%s: %s\n%s", page, p.Text(), manifest)
		}
	}
}

// dedent takes away what a list item indents its block by.
func dedent(text string) string {
	first := strings.TrimLeft(text, "\n")
	pad := first[:len(first)-len(strings.TrimLeft(first, " "))]
	if pad == "" {
		return text
	}
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString(strings.TrimPrefix(line, pad))
	}
	return out.String()
}

// TestTroubleshootingKnowsEveryReason holds the table of refusals to the closed list.
func TestTroubleshootingKnowsEveryReason(t *testing.T) {
	page := pages(t)["docs/troubleshooting.md"]
	for _, reason := range saml.Reasons() {
		if !strings.Contains(page, "\n| `"+string(reason)+"` |") {
			t.Errorf("docs/troubleshooting.md has no row for %s", reason)
		}
	}
}

// TestTheReferenceKnowsBytes: bytes are a string in base64 in a manifest, and not the numbers that they are in Go.
func TestTheReferenceKnowsBytes(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "config/crd/bases/*.yaml"))
	if err != nil || len(files) != 4 {
		t.Fatalf("%d kinds: %v", len(files), err)
	}
	page, found := pages(t)["docs/reference/crds.md"], 0
	for _, file := range files {
		kind, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, field := range regexp.MustCompile(`(?m)^ +(\w+):\n( +description:.*\n)? +format: byte$`).FindAllSubmatch(kind, -1) {
			found++
			if !strings.Contains(page, "| `"+string(field[1])+"` string in base64 |") {
				t.Errorf("the reference does not say of %s that it is base64", field[1])
			}
		}
	}
	if found == 0 {
		t.Error("no kind has bytes: this test looks at nothing")
	}
}
