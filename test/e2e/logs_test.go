//go:build e2e

package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/audit"
)

// keepsQuiet reads everything that our pods have written since they began, of which at least so many are gone, the Events, and the status of our objects, and looks for what
// must never be there: assertions, keys, cookies, links, and values of personal attributes.
func (w *world) keepsQuiet(gone int) {
	w.t.Helper()
	w.noteSecrets()
	forbidden := w.seen.all()
	maps.Copy(forbidden, map[string]string{
		"<saml": "an assertion", "PHNhbWxw": "a Response in base64", "PRIVATE KEY": "a private key", "LS0tLS1CRUdJTiBQUklWQVRF": "a private key in base64", "eyJhbGciOi": "a signed header",
	})
	personal := w.personal()
	quiet := func(where, text string) {
		for secret, what := range forbidden {
			if strings.Contains(text, secret) {
				w.t.Errorf("%s holds %s:\n%s", where, what, text)
			}
		}
		if value := personal.FindString(text); value != "" {
			w.t.Errorf("%s holds %q, which is about a person:\n%s", where, value, text)
		}
	}
	ours, containers := w.logs.written()
	if now := len(strings.Fields(w.must("get", "pods", "-l", "app.kubernetes.io/name=sallyport", "-o", "name"))); containers < now+gone {
		w.t.Errorf("%d pods were read, of which %d are there", containers, now)
	}
	operator, _ := operators.written()
	named := 0
	for _, line := range slices.Concat(ours, operator) {
		rest, names := withoutNames(w.t, line)
		if names {
			named++
		}
		quiet("a log line", rest)
	}
	if named == 0 || len(operator) == 0 {
		w.t.Errorf("of %d lines of service providers %d name somebody, and there are %d of the operator: this looks at nothing", len(ours), named, len(operator))
	}
	for where, text := range w.shown() {
		quiet(where, text)
	}
}

// withoutNames is a line of a log without what an audit record has to say about people: its fields actor.email and, where it is about a person, target.name, and the names of
// groups that somebody has got or lost. Everything else in it, and in any other line, holds none. names tells that the record names somebody.
func withoutNames(t *testing.T, line string) (rest string, names bool) {
	var record map[string]any
	if json.Unmarshal([]byte(line), &record) != nil || record["previousHash"] == nil {
		return line, false
	}
	if actor, ok := record["actor"].(map[string]any); ok {
		names = actor["email"] != nil
		delete(actor, "email")
	}
	if target, ok := record["target"].(map[string]any); ok && target["kind"] == audit.KindUser {
		names = names || target["name"] != nil
		delete(target, "name")
	}
	if details, ok := record["details"].(map[string]any); ok && strings.HasPrefix(fmt.Sprint(record["type"]), "idp_group_") {
		delete(details, "groups")
	}
	stripped, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	return string(stripped), names
}

// personal finds, as whole words, what the IdP knows of everybody: names, addresses, groups, departments and passwords.
func (w *world) personal() *regexp.Regexp {
	values := map[string]bool{"mallory@acme.example": true} // what she types
	for _, user := range w.idp.Users {
		values[user.Password] = true
		for _, attribute := range user.Attributes {
			for _, value := range attribute {
				values[regexp.QuoteMeta(value)] = true
			}
		}
	}
	delete(values, "dev") // is the tag of an image too
	return regexp.MustCompile(`\b(` + strings.Join(slices.Collect(maps.Keys(values)), "|") + `)\b`)
}

// shown are the Events in the namespaces of the world and of the operator, and the status of each of our objects.
func (w *world) shown() map[string]string {
	w.t.Helper()
	all := map[string]string{}
	list := func(what, part string, arguments ...string) {
		var list struct {
			Items []map[string]any
		}
		if err := json.Unmarshal([]byte(w.must(append(arguments, "-o", "json")...)), &list); err != nil {
			w.t.Fatal(err)
		}
		if len(list.Items) == 0 {
			w.t.Errorf("there is no %s", what)
		}
		for _, item := range list.Items {
			text, err := json.Marshal(item[part])
			if err != nil {
				w.t.Fatal(err)
			}
			metadata, _ := item["metadata"].(map[string]any)
			all[fmt.Sprintf("%s %v/%v", what, item["kind"], metadata["name"])] = string(text)
		}
	}
	list("the Event", "note", "get", "events.events.k8s.io")
	list("the Event", "note", "get", "events.events.k8s.io", "-n", operatorNamespace)
	list("the status of", "status", "get", "sso")
	return all
}

// noteSecrets looks at the values in the Secrets of the namespace that only their owners may see. Of a PEM block it notes the beginning of its content.
func (w *world) noteSecrets() {
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
	found := map[string]bool{}
	note := func(name, text string) {
		found[name] = true
		w.seen.secret("the content of "+name, text)
	}
	for _, secret := range list.Items {
		for key, value := range secret.Data {
			name := secret.Metadata.Name + ", " + key
			block, _ := pem.Decode(value)
			switch {
			case block != nil && strings.HasSuffix(block.Type, "PRIVATE KEY"):
				note(name, base64.StdEncoding.EncodeToString(block.Bytes)[:64])
			case key == "password":
				note(name, string(value))
			case key == "token" || key == "keys":
				newest, _, _ := bytes.Cut(bytes.TrimSpace(value), []byte{'\n'})
				note(name, string(newest))
				note(name, base64.StdEncoding.EncodeToString(newest)[:len(newest)])
			}
		}
	}
	want := []string{"main-management, token", "main-second-factor, keys", "main-audit, key.pem", "main-signed-header, current.key"}
	if w.PostgresImage != "" {
		want = append(want, "postgres, password")
	}
	for _, name := range want {
		if !found[name] {
			w.t.Errorf("%s is not what is looked for in the logs", name)
		}
	}
}
