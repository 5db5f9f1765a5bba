package controllers

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	eventsv1 "k8s.io/api/events/v1"

	"sallyport.dev/sallyport/internal/audit"
)

// TestARecordSaysWhichGenerationsItSpans: edits that the operator did not see one by one are one record, which says so; an edit that it saw alone has none of that.
func TestARecordSaysWhichGenerationsItSpans(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	o := newOperator(t, ns)
	idp := identityProvider(ns, "okta", inline(t))
	create(t, serviceProvider(ns), idp)
	newPod(t, ns, "main")
	await(t, idp, "Ready", isTrue, "Serving")
	rename := func(names ...string) {
		t.Helper()
		for _, name := range names {
			get(t, idp)
			idp.Spec.DisplayName = name
			update(t, idp)
		}
		await(t, idp, "Ready", isTrue, "Serving")
	}
	rename("one")
	o.stop()
	for _, name := range []string{"two", "three", "four"} {
		get(t, idp)
		idp.Spec.DisplayName = name
		update(t, idp)
	}
	o.start()
	await(t, idp, "Ready", isTrue, "Serving")
	rename("five")
	type change struct {
		Generations   string
		Before, After map[string]string
	}
	var records []string
	for _, r := range o.audit.all() {
		if r.Type != audit.TypeSAMLIdPUpdated && r.Type != audit.TypeSAMLIdPCreated {
			continue
		}
		text, err := json.Marshal(r.Details)
		var c change
		if err != nil || json.Unmarshal(text, &c) != nil {
			t.Fatalf("%s, %v", text, err)
		}
		records = append(records, r.Type.String()+" "+c.Generations+" "+c.Before["displayName"]+">"+c.After["displayName"])
	}
	if want := []string{"saml_idp_created  >", "saml_idp_updated  Acme>one", "saml_idp_updated 3-5 one>four", "saml_idp_updated  four>five"}; !slices.Equal(records, want) {
		t.Errorf("%q, want %q", records, want)
	}
	eventually(t, "the Event", func() bool {
		return slices.ContainsFunc(told(t, idp, "Updated"), func(e eventsv1.Event) bool {
			return strings.HasPrefix(e.Note, "Generations 3-5 observed together; changed: ")
		})
	})
}
