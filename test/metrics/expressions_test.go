package metrics

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// rule is an alert of config/prometheus/rules.yaml.
type rule struct {
	Alert, Expr         string
	Labels, Annotations map[string]string
}

func alerts(t *testing.T) (all []rule) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "config", "prometheus", "rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Groups []struct{ Rules []rule } }
	if err := yaml.UnmarshalStrict(content, &file, yaml.DisallowUnknownFields); err != nil && !strings.Contains(err.Error(), "unknown field") {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) < 10 {
		t.Fatalf("only %d alerts were found", len(all))
	}
	return all
}

// board is what is looked at of a dashboard.
type board struct {
	Templating struct {
		List []struct {
			Name  string
			Query any
		}
	}
	Panels []struct {
		Title   string
		Targets []struct{ Expr string }
	}
}

func boards(t *testing.T) map[string]board {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "config", "grafana", "*.json"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	all := map[string]board{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var b board
		if err := json.Unmarshal(content, &b); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[filepath.Base(file)] = b
	}
	return all
}

// targetLabels are those that config/prometheus/scrape.yaml and the monitors give to every series; up to Prometheus itself are job and instance.
var targetLabels = []string{"namespace", "pod", "serviceprovider", "job", "instance"}

var (
	selector = regexp.MustCompile(`\b([a-z][a-z0-9]*(?:_[a-z0-9]+)+)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`([a-z_0-9]+)\s*(?:=~|!~|!=|=)\s*"`)
	grouping = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	quoted   = regexp.MustCompile(`"[^"]*"`)
	values   = regexp.MustCompile(`label_values\((.*), *([a-z_]+)\)`)
	shown    = regexp.MustCompile(`\$labels\.([a-z_0-9]+)`)
)

// functions of PromQL that look like metrics.
var functions = []string{"histogram_quantile"}

// uses checks that an expression speaks of metrics and labels that exist, and returns the labels of its metrics.
func uses(t *testing.T, where, expr string, truth map[string][]string) {
	t.Helper()
	known := map[string]bool{"le": true}
	for _, l := range targetLabels {
		known[l] = true
	}
	groups := grouping.FindAllStringSubmatch(expr, -1)
	metrics := 0
	for _, found := range selector.FindAllStringSubmatch(grouping.ReplaceAllString(expr, " "), -1) {
		name, matchers := found[1], found[2]
		if slices.Contains(functions, name) || !strings.Contains(expr, name) {
			continue
		}
		if isLabelValue(expr, name) {
			continue
		}
		labels, ok := truth[name]
		if !ok {
			t.Errorf("%s uses %s, which neither program has", where, name)
			continue
		}
		metrics++
		for _, m := range matcher.FindAllStringSubmatch(matchers, -1) {
			if !slices.Contains(labels, m[1]) && !slices.Contains(targetLabels, m[1]) {
				t.Errorf("%s selects %s by %s, and its labels are %v", where, name, m[1], labels)
			}
		}
		for _, l := range labels {
			known[l] = true
		}
	}
	if metrics == 0 {
		t.Errorf("%s uses no metric: %s", where, expr)
	}
	for _, g := range groups {
		for label := range strings.SplitSeq(g[1], ",") {
			if label = strings.TrimSpace(label); label != "" && !known[label] {
				t.Errorf("%s groups by %s, which none of its metrics has: %v", where, label, slices.Sorted(maps.Keys(known)))
			}
		}
	}
}

// isLabelValue tells whether a name occurs between quotation marks only.
func isLabelValue(expr, name string) bool {
	return !strings.Contains(quoted.ReplaceAllString(expr, `""`), name)
}

// expressions holds alerts, dashboards and runbooks to what was scraped.
func expressions(t *testing.T, w *world) {
	truth := map[string][]string{}
	for _, families := range []scraped{w.operator, w.provider} {
		for name, f := range families {
			truth[name] = labelsOf(f)
			if f.GetType().String() == "HISTOGRAM" {
				for _, suffix := range []string{"_bucket", "_sum", "_count"} {
					truth[name+suffix] = labelsOf(f)
				}
			}
		}
	}
	for _, r := range alerts(t) {
		uses(t, "the alert "+r.Alert, r.Expr, truth)
		for _, found := range shown.FindAllStringSubmatch(r.Annotations["summary"]+r.Annotations["description"], -1) {
			if !strings.Contains(strings.Join(grouping.FindAllString(r.Expr, -1), " "), found[1]) {
				t.Errorf("the alert %s shows the label %s, which its expression drops", r.Alert, found[1])
			}
		}
	}
	for name, b := range boards(t) {
		for _, v := range b.Templating.List {
			query, _ := v.Query.(map[string]any)
			text, _ := query["query"].(string)
			if found := values.FindStringSubmatch(text); found != nil {
				uses(t, name+" variable "+v.Name, "max by ("+found[2]+") ("+found[1]+")", truth)
			} else if v.Name != "datasource" {
				t.Errorf("%s: the variable %s asks for nothing", name, v.Name)
			}
		}
		for _, p := range b.Panels {
			if len(p.Targets) == 0 {
				t.Errorf("%s: the panel %q shows nothing", name, p.Title)
			}
			for _, target := range p.Targets {
				uses(t, name+" panel "+p.Title, target.Expr, truth)
			}
		}
	}
}

// promtool runs Prometheus's own tool.
func promtool(t *testing.T, arguments ...string) string {
	t.Helper()
	out, err := exec.Command("promtool", arguments...).CombinedOutput()
	if err != nil {
		t.Errorf("promtool %v (Debian's package prometheus has it): %v\n%s", arguments, err, out)
	}
	return string(out)
}

func TestAlertsFireWhenTheyShould(t *testing.T) {
	rules, cases := filepath.Join(root, "config", "prometheus", "rules.yaml"), filepath.Join(root, "config", "prometheus", "rules_test.yaml")
	promtool(t, "check", "rules", rules)
	promtool(t, "test", "rules", cases)
	// Each alert is seen firing, and seen silent while all is well.
	content, err := os.ReadFile(cases)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Tests []struct {
			Name          string
			AlertRuleTest []struct {
				Alertname string
				ExpAlerts []any `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		}
	}
	if err := yaml.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		for _, c := range test.AlertRuleTest {
			fires[c.Alertname] = fires[c.Alertname] || len(c.ExpAlerts) > 0
			silent[c.Alertname] = silent[c.Alertname] || test.Name == "all is well" && len(c.ExpAlerts) == 0
		}
	}
	for _, r := range alerts(t) {
		if !fires[r.Alert] || !silent[r.Alert] {
			t.Errorf("rules_test.yaml does not show that %s fires, or that it is silent while all is well", r.Alert)
		}
	}
}

func TestEveryAlertHasItsRunbook(t *testing.T) {
	index, err := os.ReadFile(filepath.Join(root, "docs", "runbooks", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"README.md": true}
	for _, r := range alerts(t) {
		file := r.Alert + ".md"
		known[file] = true
		if severity := r.Labels["severity"]; severity != "critical" && severity != "warning" {
			t.Errorf("%s has the severity %q", r.Alert, severity)
		}
		if want := "https://sallyport.dev/docs/runbooks/" + file; r.Annotations["runbook_url"] != want {
			t.Errorf("%s points to %q, want %q", r.Alert, r.Annotations["runbook_url"], want)
		}
		text, err := os.ReadFile(filepath.Join(root, "docs", "runbooks", file))
		if err != nil {
			t.Errorf("%s has no runbook: %v", r.Alert, err)
			continue
		}
		for _, part := range []string{"Severity: " + r.Labels["severity"], "## What it means to people", "## Confirm", "## What to do", "## When it clears", "kubectl "} {
			if !strings.Contains(string(text), part) {
				t.Errorf("the runbook of %s has no %q", r.Alert, part)
			}
		}
		if !strings.Contains(string(index), "("+file+") | "+r.Labels["severity"]) {
			t.Errorf("the index does not list %s with its severity", r.Alert)
		}
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs", "runbooks", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages {
		if !known[filepath.Base(p)] {
			t.Errorf("%s is the runbook of no alert", p)
		}
	}
}

// TestPrometheusTakesEveryExpression has Prometheus parse what the dashboards ask, and the jobs of scrape.yaml.
func TestPrometheusTakesEveryExpression(t *testing.T) {
	dir := t.TempDir()
	type recording struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var all []recording
	for _, b := range boards(t) {
		for _, p := range b.Panels {
			for _, target := range p.Targets {
				all = append(all, recording{"panel", strings.ReplaceAll(target.Expr, "$__rate_interval", "5m")})
			}
		}
	}
	content, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "panels", "rules": all}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "panels.yaml")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", "--lint=none", file)

	// Debian's build knows no discovery by Kubernetes: what is left is checked.
	scrape, err := os.ReadFile(filepath.Join(root, "config", "prometheus", "scrape.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	static := strings.ReplaceAll(string(scrape), "kubernetes_sd_configs: [{role: pod}]", "static_configs: [{targets: [localhost]}]")
	static = strings.Replace(static, "rule_files: [rules.yaml]", "rule_files: []", 1)
	file = filepath.Join(dir, "scrape.yaml")
	if err := os.WriteFile(file, []byte(static), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "config", file)
}
