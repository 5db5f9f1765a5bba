package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/identity/provision"
	"sallyport.dev/sallyport/internal/saml"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	code    = regexp.MustCompile("`[^`\n]*`")
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
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

// TestTroubleshootingKnowsEveryReason holds the table of refusals to the closed list.
func TestTroubleshootingKnowsEveryReason(t *testing.T) {
	page := pages(t)["docs/troubleshooting.md"]
	reasons := saml.Reasons()
	for _, reason := range provision.BreakGlassReasons() {
		reasons = append(reasons, saml.Reason(reason))
	}
	for _, reason := range reasons {
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
