package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/saml/samltest"
)

// stream opens a request that goes on, and returns what finds the next line that holds a text.
func (w *world) stream(path string) (next func(holds string) map[string]any, close func()) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	r, err := http.NewRequestWithContext(ctx, "GET", w.process.management.URL+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		w.t.Fatalf("%s: %s", path, response.Status)
	}
	lines := bufio.NewScanner(response.Body)
	return func(holds string) map[string]any {
			w.t.Helper()
			for lines.Scan() {
				if strings.Contains(lines.Text(), holds) {
					var line map[string]any
					if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
						w.t.Fatal(err)
					}
					return line
				}
			}
			w.t.Fatalf("the stream ended before %q: %v", holds, lines.Err())
			return nil
		}, func() {
			cancel()
			response.Body.Close()
		}
}

func TestFollowingTheAuditLog(t *testing.T) {
	w := newWorld(t)
	w.browser().signIn("alice@acme.example")
	next, end := w.stream("/v1/audit/follow?type=user_signed_in_saml,email_domain_not_bound")
	w.browser().signIn("bob@acme.example")
	first := next("")
	if actor := first["actor"].(map[string]any)["email"]; actor != "bob@acme.example" {
		t.Errorf("the first record that came is %v's: what was there before must not come", actor)
	}
	end()
	// After a break, what came in between is not lost.
	w.browser().signIn("carol@acme.example")
	next, end = w.stream("/v1/audit/follow?type=user_signed_in_saml&cursor=" + first["id"].(string))
	defer end()
	next("carol@acme.example")
	w.browser().signIn("dave@acme.example")
	next("dave@acme.example")
	var recorded string
	if w.api("GET", "/v1/audit?type=audit_queried", "", &recorded); strings.Count(recorded, `"kind":"follow"`) != 2 {
		t.Errorf("who followed was not recorded: %s", recorded)
	}
	for path, want := range map[string]int{"/v1/audit/follow?newest=true": 400, "/v1/audit/follow?cursor=nonsense": 410, "/v1/audit/follow?type=nonsense": 400} {
		if code := w.api("GET", path, "", nil); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
}

func TestExportGoesOnFromAPosition(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"alice", "bob", "carol"} {
		w.browser().signIn(name + "@acme.example")
	}
	// More than one page of records of another kind, so that the stream has to turn pages.
	for range 3 {
		if err := w.process.store.WriteAudit(t.Context(), manyRecords(400)...); err != nil {
			t.Fatal(err)
		}
	}
	var all string
	w.api("GET", "/v1/audit/export?type=user_signed_in_saml,snapshot_programmed", "", &all)
	lines := strings.Split(strings.TrimSpace(all), "\n")
	if len(lines) != 1203 {
		t.Fatalf("%d records", len(lines))
	}
	var middle struct {
		ID, Writer string
		Sequence   uint64
	}
	if err := json.Unmarshal([]byte(lines[700]), &middle); err != nil {
		t.Fatal(err)
	}
	var rest string
	w.api("POST", "/v1/audit/export?type=user_signed_in_saml,snapshot_programmed", fmt.Sprintf(`{"after":{%q:%d}}`, middle.Writer, middle.Sequence), &rest)
	if strings.TrimSpace(rest) != strings.Join(lines[701:], "\n") {
		t.Error("the rest is not what follows the position")
	}
	for request, want := range map[string]int{"GET ?cursor=" + middle.ID: 400, "GET ?newest=true": 400, `POST {"after":{"w":-1}}`: 400, `POST {"cursor":"x"}`: 400, `POST {}`: 200} {
		method, what, _ := strings.Cut(request, " ")
		path, body := "/v1/audit/export", what
		if method == "GET" {
			path, body = path+what, ""
		}
		if code := w.api(method, path, body, nil); code != want {
			t.Errorf("%s: %d, want %d", request, code, want)
		}
	}
	var recorded string
	if w.api("GET", "/v1/audit?type=audit_queried", "", &recorded); strings.Count(recorded, `"kind":"export"`) != 3 || !strings.Contains(recorded, `"types":["user_signed_in_saml","snapshot_programmed"]`) {
		t.Errorf("the export was not recorded: %s", recorded)
	}
}

func manyRecords(n int) []audit.Record {
	all := make([]audit.Record, n)
	for i := range all {
		all[i] = audit.Record{Type: audit.TypeSnapshotProgrammed}
	}
	return all
}

func TestDebugShowsTheDiagnosisAndXMLOnRequestOnly(t *testing.T) {
	w := newWorld(t)
	before := time.Now().UTC()
	b := w.browser()
	bad := b.begin("bob@acme.example", appURL)
	type list struct{ Items []map[string]any }
	waited := make(chan list)
	go func() {
		var l list
		w.api("GET", "/v1/debug?wait=15s&after="+before.Format(time.RFC3339), "", &l)
		waited <- l
	}()
	refused := b.finish(bad, w.respond(bad, "bob@acme.example", func(r *samltest.Response) { r.Audience = "https://other.example" }))
	l := <-waited
	if len(l.Items) != 1 {
		t.Fatalf("%d entries", len(l.Items))
	}
	for _, hidden := range []string{"attributes", "nameID", "xml"} {
		if l.Items[0][hidden] != nil {
			t.Errorf("the list shows %s", hidden)
		}
	}
	var entry map[string]any
	w.api("GET", "/v1/debug/"+refused.reference(t), "", &entry)
	if sentence, _ := entry["sentence"].(string); !strings.Contains(sentence, "https://other.example") || strings.Contains(sentence, "\n") {
		t.Errorf("sentence: %q", sentence)
	}
	if advice, _ := entry["advice"].(string); !strings.Contains(advice, spURL) {
		t.Errorf("the advice does not name the value to set: %q", advice)
	}
	if entry["xml"] != nil || entry["attributes"] == nil || entry["verified"] != false || entry["requestID"] == nil {
		t.Errorf("%v", entry)
	}
	var recorded string
	w.api("GET", "/v1/audit?type=debug_entry_viewed", "", &recorded)
	if strings.Count(recorded, "\n") != 2 || strings.Contains(recorded, `"xml":true`) {
		t.Errorf("looks: %s", recorded)
	}
	w.api("GET", "/v1/debug/"+refused.reference(t)+"?xml=true", "", nil)
	if w.api("GET", "/v1/audit?type=debug_entry_viewed", "", &recorded); !strings.Contains(recorded, `"xml":true`) {
		t.Errorf("that the XML was shown is not recorded: %s", recorded)
	}
	// An empty answer shows nothing and records nothing.
	w.api("GET", "/v1/debug?idp=entra", "", &l)
	if w.api("GET", "/v1/audit?type=debug_entry_viewed", "", &recorded); strings.Count(recorded, "\n") != 3 {
		t.Errorf("%s", recorded)
	}
}

func TestTheOperatorsRecordsAreTakenOnce(t *testing.T) {
	w := newWorld(t)
	record := func(key, recordType string) string {
		return `{"records":[{"key":"` + key + `","time":"2026-11-23T10:00:00Z","type":"` + recordType + `","actor":{"kind":"kubernetes","id":"alice","manager":"kubectl"},
			"target":{"kind":"DomainBinding","namespace":"sso","name":"acme","uid":"u1","generation":3},"details":{"identityProvider":"okta","transition":"x"}}]}`
	}
	for i, want := range []int{1, 0, 0} {
		var answer struct{ Added int }
		if code := w.api("POST", "/v1/audit/records", record("0123456789abcdef", "saml_domain_bound"), &answer); code != 200 || answer.Added != want {
			t.Errorf("time %d: %d, %d added, want %d", i+1, code, answer.Added, want)
		}
	}
	var found string
	if w.api("GET", "/v1/audit?idp=okta&type=saml_domain_bound", "", &found); strings.Count(found, "\n") != 1 || !strings.Contains(found, `"manager":"kubectl"`) || !strings.Contains(found, `"time":"2026-11-23T10:00:00.000000Z"`) {
		t.Errorf("%s", found)
	}
	// Nobody signs in by a record.
	for key, recordType := range map[string]string{"0123456789abcdeg": "user_signed_in_saml", "short": "saml_domain_bound", "0123456789abcdeh": "nonsense"} {
		if code := w.api("POST", "/v1/audit/records", record(key, recordType), nil); code != http.StatusBadRequest {
			t.Errorf("%s %s: %d", key, recordType, code)
		}
	}
}

// TestSuccessesAreInTheDebugLogUntilATime: with verbose logging they are, and not when its time has passed.
func TestSuccessesAreInTheDebugLogUntilATime(t *testing.T) {
	w := newWorld(t)
	var list struct {
		Items []struct {
			Success, Verified bool
			Email             string
		}
	}
	for _, round := range []struct {
		until time.Duration
		want  int
	}{{-time.Second, 0}, {time.Hour, 1}, {-time.Minute, 1}} {
		w.connection("okta").VerboseUntil = time.Now().Add(round.until)
		w.apply(w.process)
		w.browser().signIn("alice@acme.example")
		w.api("GET", "/v1/debug?idp=okta", "", &list)
		if len(list.Items) != round.want {
			t.Fatalf("verbose until %v from now: %d entries, want %d", round.until, len(list.Items), round.want)
		}
	}
	if e := list.Items[0]; !e.Success || !e.Verified || e.Email != "alice@acme.example" {
		t.Errorf("%+v", e)
	}
}
