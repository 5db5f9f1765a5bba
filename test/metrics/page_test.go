package metrics

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

// documented is one row of docs/metrics.md.
type documented struct {
	kind, help string
	labels     []string
}

var row = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (counter|gauge|histogram) \\| ([^|]*) \\| (.*) \\|$")

// page reads the section of docs/metrics.md below the heading.
func page(t *testing.T, heading string) map[string]documented {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("docs/metrics.md has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	all := map[string]documented{}
	for _, r := range row.FindAllStringSubmatch(section, -1) {
		d := documented{kind: r[2], help: r[4]}
		if r[3] != "" {
			d.labels = strings.Split(strings.ReplaceAll(r[3], "`", ""), ", ")
		}
		all[r[1]] = d
	}
	return all
}

// labelsOf are the names of the labels of a metric's series.
func labelsOf(f *dto.MetricFamily) []string {
	names := map[string]bool{}
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			names[l.GetName()] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// agrees holds the page to the answer of a program: neither has anything that the other lacks. ours selects the names that are compared.
func agrees(t *testing.T, want map[string]documented, got scraped, withHelp bool, ours func(name string) bool) {
	t.Helper()
	for name, d := range want {
		f := got[name]
		if f == nil {
			t.Errorf("docs/metrics.md has %s, and the program does not", name)
			continue
		}
		if kind := strings.ToLower(f.GetType().String()); kind != d.kind {
			t.Errorf("%s is a %s, and a %s in docs/metrics.md", name, kind, d.kind)
		}
		if labels := labelsOf(f); !slices.Equal(labels, d.labels) {
			t.Errorf("%s has the labels %v, and %v in docs/metrics.md", name, labels, d.labels)
		}
		if withHelp && f.GetHelp() != d.help {
			t.Errorf("%s says %q, and %q in docs/metrics.md", name, f.GetHelp(), d.help)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok && ours(name) {
			t.Errorf("the program has %s, and docs/metrics.md does not: %s", name, got[name].GetHelp())
		}
	}
}

func thePageIsTrue(t *testing.T, w *world) {
	own := func(name string) bool { return strings.HasPrefix(name, "sso_") }
	agrees(t, page(t, "The operator"), w.operator, true, own)
	agrees(t, page(t, "The service provider"), w.provider, true, own)
	agrees(t, page(t, "From the libraries"), w.operator, false, func(name string) bool {
		return !own(name) && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_")
	})
	for name := range w.provider {
		if !own(name) && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			t.Errorf("the service provider has %s, and docs/metrics.md says that it has none such", name)
		}
	}
}

var snakeCase = regexp.MustCompile("^[a-z]+(_[a-z]+)*$")

// conventions are Prometheus's for names: counters end in _total and nothing else does; what has a unit names the base unit, last; a time that something took is a
// duration, and a time at which something happens a timestamp. Values of labels of ours are words in snake_case.
func conventions(t *testing.T, w *world) {
	for _, families := range []scraped{w.operator, w.provider} {
		for name, f := range families {
			if !strings.HasPrefix(name, "sso_") {
				continue
			}
			if counter := f.GetType() == dto.MetricType_COUNTER; counter != strings.HasSuffix(name, "_total") {
				t.Errorf("%s is a %s", name, f.GetType())
			}
			if f.GetType() == dto.MetricType_HISTOGRAM && !strings.HasSuffix(name, "_duration_seconds") {
				t.Errorf("%s is a histogram of something else than durations", name)
			}
			for _, m := range f.GetMetric() {
				if past := m.GetGauge().GetValue() > 1e9; past != strings.HasSuffix(name, "_timestamp_seconds") {
					t.Errorf("%s is %v: a moment, or it is called one", name, m.GetGauge().GetValue())
				}
				for _, l := range m.GetLabel() {
					if l.GetName() == "operation" && !snakeCase.MatchString(l.GetValue()) {
						t.Errorf("%s has the operation %q", name, l.GetValue())
					}
				}
			}
			for _, unit := range []string{"milli", "_ms", "minutes", "hours", "days", "kilo", "mega"} {
				if strings.Contains(name, unit) {
					t.Errorf("%s is not in a base unit", name)
				}
			}
		}
	}
}

// nobody looks for the people who have signed in.
func nobody(t *testing.T, w *world) {
	for _, families := range []scraped{w.operator, w.provider} {
		for name, f := range families {
			if text := strings.ToLower(fmt.Sprint(f)); strings.Contains(text, "alice") || strings.Contains(text, "adams") || strings.Contains(text, "@") {
				t.Errorf("%s names a person: %s", name, text)
			}
		}
	}
}

func TestMetrics(t *testing.T) {
	w := newWorld(t)
	t.Run("the page says what the programs answer", func(t *testing.T) { thePageIsTrue(t, w) })
	t.Run("names follow the conventions", func(t *testing.T) { conventions(t, w) })
	t.Run("no label is about a person", func(t *testing.T) { nobody(t, w) })
	t.Run("values are those of what has happened", func(t *testing.T) { whatHappened(t, w) })
	t.Run("alerts and dashboards use what there is", func(t *testing.T) { expressions(t, w) })
	t.Run("every panel shows something", func(t *testing.T) { panels(t, w) })
}

func whatHappened(t *testing.T, w *world) {
	object := map[string]string{"namespace": "sso", "serviceprovider": "main"}
	with := func(pairs ...string) map[string]string {
		labels := maps.Clone(object)
		for i := 0; i < len(pairs); i += 2 {
			labels[pairs[i]] = pairs[i+1]
		}
		return labels
	}
	for _, want := range []struct {
		name   string
		labels map[string]string
	}{
		{"sso_object_unhealthy", with("kind", "IdentityProvider", "name", "missing", "condition", "Ready")},
		{"sso_conditions", with("kind", "IdentityProvider", "condition", "Ready", "status", "False")},
		{"sso_conditions", with("kind", "DomainBinding", "condition", "Ready", "status", "True")},
		{"sso_metadata_refreshes_total", with("idp", "entra", "result", "changed")},
		{"sso_certificate_not_after_timestamp_seconds", with("idp", "okta", "side", "idp")},
		{"sso_certificate_not_after_timestamp_seconds", with("idp", "okta", "side", "sp")},
		{"sso_header_key_not_after_timestamp_seconds", object},
	} {
		if !w.operator.has(want.name, want.labels) {
			t.Errorf("the operator has no %s%v: %v", want.name, want.labels, w.operator[want.name])
		}
	}
	if w.operator.has("sso_object_unhealthy", with("name", "okta")) {
		t.Errorf("a healthy object has a series: %v", w.operator["sso_object_unhealthy"])
	}
	revision := w.provider["sso_snapshot_info"].GetMetric()[0].GetLabel()[0].GetValue()
	for _, name := range []string{"sso_published_revision_info", "sso_acknowledged_revision_info"} {
		if !w.operator.has(name, with("revision", revision)) {
			t.Errorf("the pod serves %s, and the operator says %v", revision, w.operator[name])
		}
	}
	for _, want := range []struct {
		name   string
		labels map[string]string
	}{
		{"sso_sign_ins_total", map[string]string{"idp": "okta", "outcome": "success", "reason": ""}},
		{"sso_sign_ins_total", map[string]string{"idp": "okta", "outcome": "failure"}},
		{"sso_checks_total", map[string]string{"endpoint": "nginx", "result": "allowed"}},
		{"sso_store_operation_duration_seconds", map[string]string{"operation": "transaction"}},
		{"sso_audit_dead_letters_total", map[string]string{"sink": "siem"}},
	} {
		if !w.provider.has(want.name, want.labels) {
			t.Errorf("the service provider has no %s%v: %v", want.name, want.labels, w.provider[want.name])
		}
	}
}
