// Package grafana holds the dashboards to Grafana's own schema, of which its Foundation SDK has a strict reader, and to what the schema does not say: panels lie
// beside each other on the grid, and every one says its unit and names its series.
package grafana

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// columns of Grafana's grid.
const columns = 24

// unitsOfMetrics are what Grafana calls the base units that our metrics are in, shares and rates of them, and plain numbers.
var unitsOfMetrics = []string{units.Seconds, units.PercentUnit, units.Short, units.RequestsPerSecond}

func dashboards(t *testing.T) map[string]dashboard.Dashboard {
	t.Helper()
	plugins.RegisterDefaultPlugins()
	files, err := filepath.Glob("../../../config/grafana/*.json")
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	all := map[string]dashboard.Dashboard{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// The strict reader returns an empty list of errors, which is not nil, and then no panels: it judges, and the other one reads.
		var strict, d dashboard.Dashboard
		if err := strict.UnmarshalJSONStrict(raw); err != nil && err.Error() != "" {
			t.Fatalf("%s: %v", file, err)
		}
		if err := json.Unmarshal(raw, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if err := d.Validate(); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		all[filepath.Base(file)] = d
	}
	return all
}

func TestDashboardsAreWhatGrafanaReads(t *testing.T) {
	uids := map[string]bool{}
	for name, d := range dashboards(t) {
		if d.Uid == nil || len(*d.Uid) > 40 || uids[*d.Uid] {
			t.Errorf("%s: links and upgrades go by a uid of at most 40 characters that nobody else has: %v", name, d.Uid)
			continue
		}
		uids[*d.Uid] = true
		ids := map[uint32]bool{}
		var placed []dashboard.GridPos
		for _, one := range d.Panels {
			p := one.Panel
			if p == nil || p.Title == nil || p.Id == nil || p.GridPos == nil {
				t.Errorf("%s: something is no panel, or has no title, number or place", name)
				continue
			}
			where := name + ", " + *p.Title
			if ids[*p.Id] {
				t.Errorf("%s: two panels have the number %d", where, *p.Id)
			}
			ids[*p.Id] = true
			placed = lies(t, where, *p.GridPos, placed)
			says(t, where, p)
		}
	}
}

// lies holds that a panel is inside the grid and on no other one.
func lies(t *testing.T, where string, g dashboard.GridPos, others []dashboard.GridPos) []dashboard.GridPos {
	t.Helper()
	if g.X+g.W > columns || g.W == 0 || g.H < 3 {
		t.Errorf("%s is %d wide and %d high at column %d", where, g.W, g.H, g.X)
	}
	for _, o := range others {
		if g.X < o.X+o.W && o.X < g.X+g.W && g.Y < o.Y+o.H && o.Y < g.Y+g.H {
			t.Errorf("%s lies on another panel: %+v, %+v", where, g, o)
		}
	}
	return append(others, g)
}

// says holds that the reader of a panel knows what is shown.
func says(t *testing.T, where string, p *dashboard.Panel) {
	t.Helper()
	if p.Description == nil || *p.Description == "" {
		t.Errorf("%s does not say what it shows", where)
	}
	if p.FieldConfig == nil || p.FieldConfig.Defaults.Unit == nil || !slices.Contains(unitsOfMetrics, *p.FieldConfig.Defaults.Unit) {
		t.Errorf("%s has no unit", where)
	}
	if len(p.Targets) == 0 {
		t.Errorf("%s asks for nothing", where)
	}
	refs := map[string]bool{}
	for _, target := range p.Targets {
		q, ok := target.(*prometheus.Dataquery)
		if !ok {
			var direct prometheus.Dataquery
			if direct, ok = target.(prometheus.Dataquery); !ok {
				t.Errorf("%s asks something else than Prometheus: %T", where, target)
				continue
			}
			q = &direct
		}
		if q.RefId == nil || refs[*q.RefId] {
			t.Errorf("%s: a query has no name, or that of another: %v", where, q.RefId)
		} else {
			refs[*q.RefId] = true
		}
		table := q.Format != nil && *q.Format == prometheus.PromQueryFormatTable
		if table != (p.Type == "table") {
			t.Errorf("%s: a table is filled by a query in the format table, and nothing else is", where)
		}
		if !table && (q.LegendFormat == nil || *q.LegendFormat == "") {
			t.Errorf("%s names its series by all of their labels", where)
		}
		if instant := q.Instant != nil && *q.Instant; instant != (p.Type == "stat" || table) {
			t.Errorf("%s: what shows one value asks for one, and what shows a course for many", where)
		}
	}
}

// TestVariablesAskTheChosenDataSource: a dashboard with a data source of its own shows nothing elsewhere.
func TestVariablesAskTheChosenDataSource(t *testing.T) {
	for name, d := range dashboards(t) {
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		for part := range strings.SplitSeq(string(text), `"datasource":{`) {
			if strings.HasPrefix(part, `"type":"prometheus"`) && !strings.HasPrefix(part, `"type":"prometheus","uid":"${datasource}"`) {
				t.Errorf("%s asks a data source of its own: %.80s", name, part)
			}
		}
	}
}
