package web_test

import (
	"net/http"
	"net/url"
	"testing"
)

// TestRefusalsAreToldOnceByIdPAndReason: the operator makes Events of them, so they name no person.
func TestRefusalsAreToldOnceByIdPAndReason(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	a := b.begin("mallory@acme.example", appURL)
	told := make(chan map[string]int)
	ask := func(cursor string) (counts map[string]int, next string) {
		var answer struct {
			Items []struct {
				IdPUID, Reason string
				Count          int
			}
			Next string
		}
		if code := w.api("GET", "/v1/refusals?timeout=10s&after="+url.QueryEscape(cursor), "", &answer); code != http.StatusOK {
			t.Errorf("%d", code)
		}
		counts = map[string]int{}
		for _, item := range answer.Items {
			counts[item.IdPUID+" "+item.Reason] = item.Count
		}
		return counts, answer.Next
	}
	go func() { // it waits for something to tell
		counts, _ := ask("")
		told <- counts
	}()
	b.finish(a, w.respond(a, "ceo@victim.example"))
	if got := <-told; len(got) != 1 || got["uid-okta domain_not_bound"] != 1 {
		t.Errorf("told were %v", got)
	}
	b.finish(a, w.respond(a, "cfo@victim.example"))
	b.finish(a, url.Values{"SAMLResponse": {"%%%"}, "RelayState": {a.request.RelayState}})
	// Whoever has no cursor gets the last answer again.
	got, next := ask("")
	if len(got) != 2 || got["uid-okta domain_not_bound"] != 2 || got["uid-okta malformed"] != 1 {
		t.Errorf("told were %v", got)
	}
	b.finish(a, w.respond(a, "ceo@victim.example"))
	if got, _ := ask(next); len(got) != 1 || got["uid-okta domain_not_bound"] != 1 {
		t.Errorf("told were %v", got)
	}
	// It holds up no pod that stops.
	w.process.web.Drain()
	if code := w.api("GET", "/v1/refusals?timeout=30s&after="+url.QueryEscape(next), "", nil); code != http.StatusOK {
		t.Errorf("%d", code)
	}
	if code := w.api("GET", "/v1/refusals?timeout=soon", "", nil); code != http.StatusBadRequest {
		t.Errorf("%d", code)
	}
}
