package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	tableRow = regexp.MustCompile(`(?m)^\| (.+) \|$`)
	testName = regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
	function = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9]+)\(`)
	eventOf  = regexp.MustCompile(`(?m)^\tevent\("([^"]+)"`)
	partOf   = regexp.MustCompile(`(?m)^\tt\.Run\("([^"]+)"`)
)

// TestReliabilityNamesTestsThatRun: what docs/reliability.md says is held has a test, and the command that the page names runs it.
func TestReliabilityNamesTestsThatRun(t *testing.T) {
	makefile := read(t, "hack/test.mk")
	runs := regexp.MustCompile(one(t, makefile, `(?m)^RELIABILITY := (.+)$`))
	packages := strings.Fields(one(t, makefile, `(?m)^RELIABILITY_PACKAGES := (.+)$`))
	inPackages := func(dir string) bool {
		return slices.ContainsFunc(packages, func(pattern string) bool {
			path, below := strings.CutSuffix(strings.TrimPrefix(pattern, "./"), "/...")
			return dir == path || below && strings.HasPrefix(dir, path+"/")
		})
	}
	where := testDirs(t)
	promises, _, _ := strings.Cut(read(t, "docs/reliability.md"), "\n## ")
	rows := tableRow.FindAllStringSubmatch(promises, -1)[1:]
	for _, row := range rows {
		what, _, _ := strings.Cut(row[1], " | ")
		names := testName.FindAllStringSubmatch(row[1], -1)
		if len(names) == 0 {
			t.Errorf("no test is named for %q", what)
		}
		for _, name := range names {
			dir := where[name[1]]
			switch {
			case dir == "":
				t.Errorf("%q: there is no %s", what, name[1])
			case strings.Contains(row[1], "`make e2e`"):
				if dir != "test/e2e" {
					t.Errorf("%q: %s is in %s, and make e2e does not run it", what, name[1], dir)
				}
			case !inPackages(dir) || !runs.MatchString(name[1]):
				t.Errorf("%q: make reliability does not run %s of %s", what, name[1], dir)
			}
		}
	}
	if len(rows) < 15 {
		t.Errorf("only %d rows were found", len(rows))
	}
}

// TestReliabilityShowsEveryEvent: the table of figures has a row for each event of the steady load, in its order, and that of the pods has no row of what is no part of its test.
func TestReliabilityShowsEveryEvent(t *testing.T) {
	rows := figures(t, "Under a steady load")
	events := eventOf.FindAllStringSubmatch(read(t, "test/replicas/steady_test.go"), -1)
	if len(events) < 5 || len(rows) != len(events)+1 {
		t.Fatalf("%d rows, one for each of %d events and one for all", len(rows), len(events))
	}
	for i, event := range events {
		if !strings.HasPrefix(rows[i], event[1]) {
			t.Errorf("the row %q is no row of %q", rows[i], event[1])
		}
	}
	parts := partOf.FindAllStringSubmatch(read(t, "test/e2e/load_test.go"), -1)
	rows = figures(t, "Under a steady load as pods")
	for _, row := range rows[:len(rows)-1] { // the last one is of the keys' own test
		if !slices.ContainsFunc(parts, func(part []string) bool { return strings.HasPrefix(row, part[1]) }) {
			t.Errorf("the row %q is no row of TestNoCheckFails", row)
		}
	}
}

// figures are the rows of the table in a section of the page.
func figures(t *testing.T, section string) (rows []string) {
	t.Helper()
	_, text, _ := strings.Cut(read(t, "docs/reliability.md"), "\n## "+section+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	for _, row := range tableRow.FindAllStringSubmatch(text, -1) {
		rows = append(rows, row[1])
	}
	if len(rows) < 5 {
		t.Fatalf("%q has only %d rows", section, len(rows))
	}
	return rows[1:]
}

// TestReliabilityPromisesWhatTestsDemand: the numbers of the page are those that tests fail without.
func TestReliabilityPromisesWhatTestsDemand(t *testing.T) {
	page := read(t, "docs/reliability.md")
	for _, c := range []struct{ promised, file, demanded string }{
		{`at least (\d+) that the API server refuses`, "test/controllers/invalid_test.go", `refusedAtLeast = (\d+)`},
		{`ready within (\d+) s of the promotion`, "test/replicas/failover_test.go", `failoverTime = (\d+) \* time.Second`},
		{`no check waits for more than (\d+) s`, "test/e2e/load_test.go", `stall = (\d+) \* time.Second`},
		{`no check waits for more than (\d+) s`, "test/replicas/load_test.go", `stall = (\d+) \* time.Second`},
	} {
		if promised, demanded := one(t, page, c.promised), one(t, read(t, c.file), c.demanded); promised != demanded {
			t.Errorf("the page promises %s, as in %q, and %s demands %s", promised, c.promised, c.file, demanded)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// one is the group of an expression that has to be there.
func one(t *testing.T, text, expression string) string {
	t.Helper()
	found := regexp.MustCompile(expression).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("nothing like %q is there any more", expression)
	}
	return found[1]
}

// testDirs is where each test is.
func testDirs(t *testing.T) map[string]string {
	t.Helper()
	out, err := exec.Command("git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard", "*_test.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	where := map[string]string{}
	for name := range strings.FieldsSeq(string(out)) {
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			continue // deleted and not yet committed
		}
		for _, found := range function.FindAllSubmatch(content, -1) {
			where[string(found[1])] = filepath.Dir(name)
		}
	}
	return where
}
