package proxies

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestThePagesNameWhatTheyWereRunOn holds the versions that the pages name to those that are built.
func TestThePagesNameWhatTheyWereRunOn(t *testing.T) {
	for program, names := range map[string][2]string{"traefik": {"github.com/traefik/traefik/v3", "Traefik"}, "egctl": {"github.com/envoyproxy/gateway", "Envoy Gateway"}} {
		modules, err := os.ReadFile("../../hack/proxies/" + program + "/go.mod")
		if err != nil {
			t.Fatal(err)
		}
		version := regexp.MustCompile(regexp.QuoteMeta(names[0]) + ` v([0-9.]+)`).FindStringSubmatch(string(modules))
		if version == nil {
			t.Fatalf("%s is built from no version of %s", program, names[0])
		}
		for _, page := range []string{"README.md", "kubernetes.md"} {
			text, err := os.ReadFile("../../docs/proxies/" + page)
			if err != nil {
				t.Fatal(err)
			}
			if want := names[1] + " " + version[1]; !strings.Contains(string(text), want) {
				t.Errorf("docs/proxies/%s does not name %s", page, want)
			}
		}
	}
}
