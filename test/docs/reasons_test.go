package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/audit"
)

// TestEveryReasonOfAConditionIsExplained: whoever reads a reason in a status finds it on the page for trouble, or on one of the two pages that it sends them to.
func TestEveryReasonOfAConditionIsExplained(t *testing.T) {
	all := pages(t)
	text := section(t, all["docs/troubleshooting.md"], "### Every reason of a condition") +
		section(t, all["docs/guides/metadata.md"], "## MetadataFresh: every reason, and what to do") +
		section(t, all["docs/guides/certificates.md"], "## CertificatesValid: 90, 30 and 7 days")
	reasons := reasonsOfConditions(t)
	if len(reasons) < 40 {
		t.Fatalf("only %d reasons were found", len(reasons))
	}
	for _, reason := range reasons {
		if !strings.Contains(text, "`"+reason+"`") {
			t.Errorf("docs/troubleshooting.md does not explain the reason %s", reason)
		}
	}
}

// reasonsOfConditions are the values of the constants of the API whose names begin with Reason.
func reasonsOfConditions(t *testing.T) (reasons []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "api/v1alpha1/conditions.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		reasons = append(reasons, value)
		return false
	})
	return reasons
}

// section is what a page says below a heading, up to the next one of its level or above.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	_, rest, found := strings.Cut(page, heading+"\n")
	if !found {
		t.Fatalf("there is no section %q", heading)
	}
	level := strings.Index(heading, " ")
	if next := regexp.MustCompile("(?m)^#{1," + strconv.Itoa(level) + "} ").FindStringIndex(rest); next != nil {
		rest = rest[:next[0]]
	}
	return rest
}

var (
	// eventReason is one that the operator gives an Event beside those of conditions: in a note, or handed to what makes one.
	eventReason = regexp.MustCompile(`(?:reason: |(?:add|certificate)\(audit\.\w+, \w+, |WithReason\(|EventTypeWarning, |Warn\([^"]*)"([A-Z]\w+)"`)
	rowNames    = regexp.MustCompile("(?m)^\\| (`.*?) \\|")
	quotedName  = regexp.MustCompile("`(\\w+)`")
)

// TestEveryEventIsExplained holds the table of Events to the operator's and the plugin's source, in both directions.
func TestEveryEventIsExplained(t *testing.T) {
	documented := map[string]bool{}
	for _, row := range rowNames.FindAllStringSubmatch(section(t, pages(t)["docs/troubleshooting.md"], "### Events that are no reason of a condition"), -1) {
		for _, name := range quotedName.FindAllStringSubmatch(row[1], -1) {
			documented[name[1]] = true
		}
	}
	written := eventsInSource(t)
	for name := range written {
		if !documented[name] {
			t.Errorf("docs/troubleshooting.md does not explain the Event %s", name)
		}
	}
	for name := range documented {
		if !written[name] {
			t.Errorf("docs/troubleshooting.md explains the Event %s, which nobody writes", name)
		}
	}
	if len(written) < 15 {
		t.Errorf("only %d Events were found", len(written))
	}
}

func eventsInSource(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "controllers/*.go"))
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]bool{}
	for _, file := range append(files, filepath.Join(root, "internal/cli/breakglass.go")) {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range eventReason.FindAllSubmatch(source, -1) {
			written[string(found[1])] = true
		}
	}
	return written
}

// TestTheAuditGuideKnowsEveryType: people search and alert by the types, so the guide lists them with their tiers.
func TestTheAuditGuideKnowsEveryType(t *testing.T) {
	table := section(t, pages(t)["docs/guides/audit.md"], "## Types")
	for _, typ := range audit.AllTypes() {
		if !strings.Contains(table, "\n| `"+typ.String()+"` | "+string(typ.Tier())+" |") {
			t.Errorf("docs/guides/audit.md has no row for %s of the tier %s", typ, typ.Tier())
		}
	}
	if rows := strings.Count(table, "\n| `"); rows != len(audit.AllTypes()) {
		t.Errorf("docs/guides/audit.md has %d types, and there are %d", rows, len(audit.AllTypes()))
	}
}
