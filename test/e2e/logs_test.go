//go:build e2e

package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"strings"
)

// keepsQuiet reads everything that our pods wrote and looks for what must never be there: assertions, keys, cookies, and values of personal attributes.
// The audit record's own fields for who acted (address, IP) and on whom are what it is for; its details and everything else hold none.
func (w *world) keepsQuiet(cookies http.Header) {
	w.t.Helper()
	forbidden := map[string]string{
		"an assertion":            "<saml",
		"a Response in base64":    "PHNhbWxw",
		"a private key":           "PRIVATE KEY",
		"a private key in base64": "LS0tLS1CRUdJTiBQUklWQVRF",
		"a signed header":         "eyJhbGciOi",
		"a first name":            "Alice",
		"a last name":             "Adams",
		"an asserted address":     "ceo@victim.example",
		"the address of a person": "alice@acme.example",
		"the password at the IdP": "alice-password",
	}
	maps.Copy(forbidden, w.secrets())
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

// secrets are the values in the Secrets of the namespace that only their owners may see: text of each by what it is. That of a PEM block is the first line of its
// content.
func (w *world) secrets() map[string]string {
	w.t.Helper()
	var list struct {
		Items []struct {
			Metadata struct{ Name string }
			Data     map[string][]byte
		}
	}
	if err := json.Unmarshal([]byte(w.must("get", "secrets", "-o", "json")), &list); err != nil {
		w.t.Fatal(err)
	}
	found := map[string]string{}
	for _, secret := range list.Items {
		for key, value := range secret.Data {
			name := secret.Metadata.Name + ", " + key
			block, _ := pem.Decode(value)
			switch {
			case block != nil && strings.HasSuffix(block.Type, "PRIVATE KEY"):
				found["the content of "+name] = base64.StdEncoding.EncodeToString(block.Bytes)[:64]
			case key == "password":
				found["the content of "+name] = string(value)
			case key == "token" || key == "keys":
				newest, _, _ := bytes.Cut(bytes.TrimSpace(value), []byte{'\n'})
				found["the content of "+name] = string(newest)
				found["the content in base64 of "+name] = base64.StdEncoding.EncodeToString(newest)[:len(newest)]
			}
		}
	}
	want := []string{"main-management, token", "main-second-factor, keys", "main-audit, key.pem", "main-signed-header, current.key"}
	if w.PostgresImage != "" {
		want = append(want, "postgres, password")
	}
	for _, name := range want {
		if found["the content of "+name] == "" {
			w.t.Errorf("%s is not what is looked for in the logs", name)
		}
	}
	return found
}
