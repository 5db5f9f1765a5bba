package web_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	_ "modernc.org/sqlite" // the store's own driver

	"sallyport.dev/sallyport/internal/manageapi"
	"sallyport.dev/sallyport/internal/saml/samltest"
)

// These are what strangers send in TestAFloodFillsNoStore, and how many sign-ins in flight are kept meanwhile.
const (
	floodResponses  = 20_000
	floodBegun      = 5_000
	floodMaxPending = 1_000
)

// flood sends so many requests from several clients at once, and sends each again for which there was no room. halfway runs beside them, when half of them have been answered.
func (w *world) flood(n int, request func() *http.Request, want int, halfway func()) {
	w.t.Helper()
	var next, answered atomic.Int64
	var running sync.WaitGroup
	half, done := make(chan struct{}), make(chan struct{})
	for client := range 8 {
		b := w.browser()
		b.Jar = nil
		running.Go(func() {
			for next.Add(1) <= int64(n) {
				for status := http.StatusServiceUnavailable; status == http.StatusServiceUnavailable; {
					r := request()
					r.Header.Set("X-Forwarded-For", fmt.Sprintf("203.0.113.%d", client))
					response, err := b.Do(r)
					if err != nil {
						w.t.Error(err)
						return
					}
					io.Copy(io.Discard, response.Body) //nolint:errcheck
					response.Body.Close()
					if status = response.StatusCode; status != want && status != http.StatusServiceUnavailable {
						w.t.Errorf("a stranger got %d", status)
						return
					}
				}
				if answered.Add(1) == int64(n/2) {
					close(half)
				}
			}
		})
	}
	go func() { running.Wait(); close(done) }()
	select {
	case <-half:
		halfway()
	case <-done: // it has failed
	}
	<-done
}

// form is a request with a form, as a page of the given site sends it.
func form(t *testing.T, path, site, body string) *http.Request {
	r, err := http.NewRequest("POST", spURL+path, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return nil
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", site)
	return r
}

// rows answers a question of one number about the store's file.
func (w *world) rows(query string) (n int) {
	w.t.Helper()
	db, err := sql.Open("sqlite", "file:"+w.file+"?mode=ro")
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow(query).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// TestAFloodFillsNoStore sends very many bad responses and begins very many sign-ins. The store keeps few rows, every refusal is counted, what is refused for
// another reason or at another connection has a record of its own, and people sign in meanwhile.
func TestAFloodFillsNoStore(t *testing.T) {
	w := newWorld(t)
	w.maxPending = floodMaxPending
	if memory, err := os.MkdirTemp("/dev/shm", "sallyport"); err == nil { // a disk takes minutes for so many rows
		t.Cleanup(func() {
			w.process.stop()
			os.RemoveAll(memory) //nolint:errcheck
		})
		w.file = filepath.Join(memory, "store.db")
	}
	w.restart()

	begin := func() *http.Request {
		return form(t, "/signin", "same-origin", url.Values{"email": {"mallory@acme.example"}, "rd": {appURL}}.Encode())
	}
	w.flood(floodBegun, begin, http.StatusSeeOther, func() { w.browser().signIn("alice@acme.example") })
	if n := w.rows(`SELECT COUNT(*) FROM pending_requests`); n > floodMaxPending+500 {
		t.Errorf("%d sign-ins are in flight", n)
	}

	bad := func() *http.Request {
		return form(t, "/saml/okta/acs", "cross-site", url.Values{"SAMLResponse": {"%%%"}}.Encode())
	}
	w.flood(floodResponses, bad, http.StatusForbidden, func() {
		w.browser().signIn("bob@acme.example")
		b := w.browser()
		a := b.begin("mallory@acme.example", appURL)
		b.finish(a, w.respond(a, "ceo@victim.example"))
		b.finish(a, w.respond(a, "mallory@acme.example", func(r *samltest.Response) { r.Audience = "https://elsewhere.example" }))
		b.post("/saml/entra/acs", "cross-site", url.Values{"SAMLResponse": {"%%%"}})
		w.apiAs("no token", "GET", "/v1/users", "", nil)
	})

	var refused struct {
		Items []struct {
			IdPUID, Reason string
			Count          int
		}
	}
	if code := w.api("GET", "/v1/refusals", "", &refused); code != http.StatusOK {
		t.Errorf("%d", code)
	}
	told := map[string]int{}
	for _, item := range refused.Items {
		told[item.IdPUID+" "+item.Reason] = item.Count
	}
	if told["uid-okta malformed"] != floodResponses || told["uid-okta domain_not_bound"] != 1 || told["uid-okta audience_mismatch"] != 1 || told["uid-entra malformed"] != 1 {
		t.Errorf("the operator is told of %v", told)
	}

	if n := w.rows(`SELECT COUNT(*) FROM debug_entries`); n > 100+25 {
		t.Errorf("%d debug entries", n)
	}
	ended := w.process
	w.restart() // what was counted is written before the process ends
	single, counted, singles := 0, 0, map[string]int{}
	for line := range strings.Lines(ended.audit.String()) {
		var r struct {
			Type, Reason string
			Target       struct{ Name string }
			Details      struct {
				Type, IdP string
				Count     int
			}
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		switch {
		case r.Type == "refusals_counted" && r.Reason == "malformed" && r.Details.IdP == "okta" && r.Details.Type == "saml_assertion_failed":
			counted += r.Details.Count
		case r.Type == "saml_assertion_failed" && r.Target.Name == "okta" && r.Reason == "malformed":
			single++
		default:
			singles[r.Type]++
		}
	}
	if single+counted != floodResponses || single > 220 {
		t.Errorf("%d refusals are recorded one by one and %d counted, of %d", single, counted, floodResponses)
	}
	if singles["refusals_counted"] != 0 || singles["email_domain_not_bound"] != 1 || singles["saml_assertion_failed"] != 2 || singles["management_denied"] != 1 || singles["user_signed_in_saml"] != 2 {
		t.Errorf("recorded are %v", singles)
	}
	if n := w.rows(`SELECT COUNT(*) FROM audit_records`); n > 300 {
		t.Errorf("%d audit records", n)
	}
	var activity manageapi.ActivityReport
	w.api("GET", "/v1/activity?hours=2", "", &activity)
	sum := 0
	for _, a := range activity.Items {
		for _, n := range a.Failures {
			sum += n
		}
	}
	if sum != floodResponses+3 {
		t.Errorf("the chart shows %d refusals: %+v", sum, activity)
	}
	t.Logf("%d audit records, %d sign-ins in flight, %d pages of 4 KiB", w.rows(`SELECT COUNT(*) FROM audit_records`), w.rows(`SELECT COUNT(*) FROM pending_requests`), w.rows(`PRAGMA page_count`))
}
