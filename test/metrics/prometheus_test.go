package metrics

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/test/internal/await"
	"sallyport.dev/sallyport/test/internal/loopback"
)

// quiet are the panels that show nothing while all is well.
var quiet = map[string]string{"operator.json: Certificates by end": "the certificates here are valid for longer than it looks ahead"}

// chosen is what a person chose in the dashboards' variables.
var chosen = strings.NewReplacer("$namespace", "sso", "$serviceprovider", "main", "$idp", ".*", "$__rate_interval", "1m")

// panels asks a Prometheus that scrapes both programs what every variable and panel of the dashboards asks.
func panels(t *testing.T, w *world) {
	server := prometheus(t, w)
	await.Until(t, "both programs are scraped", func() bool {
		return len(ask(t, server, "up == 1")) == 2 && len(ask(t, server, "sso_sign_ins_total")) > 0
	})
	if all := ask(t, server, "up"); len(all) != 2 {
		t.Errorf("scraped are %d ports, and there are two with metrics", len(all))
	}
	for _, labels := range []string{`namespace="sallyport-system", pod="sallyport-operator-0"`, `namespace="sso", pod="main-0", serviceprovider="main"`} {
		if len(ask(t, server, "up{"+labels+"}")) != 1 {
			t.Errorf("nothing is scraped under the labels %s", labels)
		}
	}
	// What happens a second has to happen between two scrapes.
	w.use()
	w.manifest["DisplayName"] = "Okta of Prometheus"
	apply(t, w.manifest)
	for name, b := range boards(t) {
		for _, v := range b.Templating.List {
			query, _ := v.Query.(map[string]any)
			text, _ := query["query"].(string)
			if found := values.FindStringSubmatch(text); found != nil {
				shows(t, server, name+": "+v.Name, fmt.Sprintf("count by (%s) (%s)", found[2], found[1]))
			}
		}
		for _, p := range b.Panels {
			where := name + ": " + p.Title
			for _, target := range p.Targets {
				if _, ok := quiet[where]; ok {
					ask(t, server, chosen.Replace(target.Expr))
					continue
				}
				shows(t, server, where, target.Expr)
			}
		}
	}
}

// shows waits until the expression has a value that is none of 0/0, which an operation has that nobody asked for meanwhile.
func shows(t *testing.T, server, where, expr string) {
	t.Helper()
	await.Until(t, where+" shows something: "+expr, func() bool {
		return slices.ContainsFunc(ask(t, server, chosen.Replace(expr)), func(value string) bool { return value != "NaN" })
	})
}

// ask returns the values that an expression has now.
func ask(t *testing.T, server, expr string) (all []string) {
	t.Helper()
	response, err := http.Get(server + "/api/v1/query?query=" + url.QueryEscape(expr)) //nolint:noctx // a test
	if err != nil {
		return nil // it starts
	}
	defer response.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct{ Result []struct{ Value [2]any } }
	}
	if response.StatusCode == http.StatusServiceUnavailable {
		return nil
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Status != "success" {
		t.Fatalf("Prometheus says to %s: %s (%v)", expr, answer.Error, err)
	}
	for _, one := range answer.Data.Result {
		all = append(all, fmt.Sprint(one.Value[1]))
	}
	return all
}

// prometheus starts one with the jobs of config/prometheus/scrape.yaml. What they would find in a cluster, they find in a list; which of it they scrape, and under
// which labels, is theirs to say.
func prometheus(t *testing.T, w *world) (server string) {
	t.Helper()
	dir, address, source := t.TempDir(), loopback.Free(t), filepath.Join(root, "config", "prometheus")
	var config map[string]any
	read(t, filepath.Join(source, "scrape.yaml"), &config)
	config["global"] = map[string]any{"scrape_interval": "1s", "scrape_timeout": "1s"}
	config["rule_files"] = []string{filepath.Join(absolute(t, source), "rules.yaml")}
	for _, job := range config["scrape_configs"].([]any) {
		delete(job.(map[string]any), "kubernetes_sd_configs")
		job.(map[string]any)["static_configs"] = discovered(t, w)
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command("prometheus", "--config.file="+filepath.Join(dir, "prometheus.yaml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatalf("Debian's package prometheus has it: %v", err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(os.Interrupt)
		_ = command.Wait()
		log.Close()
		if said, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("prometheus:\n%s", said[max(0, len(said)-4000):])
		}
	})
	return "http://" + address
}
