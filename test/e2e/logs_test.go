//go:build e2e

package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
)

// keepsQuiet reads everything that our pods wrote and looks for what must never be there: assertions, keys, cookies, and values of personal attributes.
// The audit record's own fields for who acted (address, IP) and on whom are what it is for; its details and everything else hold none.
func (w *world) keepsQuiet(cookies http.Header) {
	w.t.Helper()
	forbidden := map[string]string{
		"an assertion":              "<saml",
		"a Response in base64":      "PHNhbWxw",
		"a private key":             "PRIVATE KEY",
		"a first name":              "Alice",
		"a last name":               "Adams",
		"an asserted address":       "ceo@victim.example",
		"the address of a person":   "alice@acme.example",
		"the password at the IdP":   "alice-password",
		"the password of the store": "only-for-tests",
	}
	for _, part := range strings.Split(cookies.Get("Cookie"), "; ") {
		name, value, _ := strings.Cut(part, "=")
		if len(value) >= 16 {
			forbidden["the cookie "+name] = value
		}
	}
	logs := w.kubectl("logs", "-l", "app.kubernetes.io/name=sallyport", "--tail=-1", "--all-containers") +
		w.kubectl("-n", "sallyport-system", "logs", "-l", "app.kubernetes.io/name=sallyport", "--tail=-1", "--all-containers")
	audited := 0
	for line := range strings.Lines(logs) {
		line = strings.TrimSpace(line)
		var record map[string]any
		if json.Unmarshal([]byte(line), &record) != nil {
			record = map[string]any{}
		}
		if _, isAudit := record["previousHash"]; isAudit {
			audited++
			delete(record, "actor")
			delete(record, "target")
			stripped, err := json.Marshal(record)
			if err != nil {
				w.t.Fatal(err)
			}
			line = string(stripped)
		}
		for what, text := range forbidden {
			if strings.Contains(line, text) {
				w.t.Errorf("a log line holds %s:\n%s", what, line)
			}
		}
	}
	if audited == 0 {
		w.t.Errorf("the logs hold no audit record:\n%s", logs)
	}
}
