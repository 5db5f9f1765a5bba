package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
)

// recordedChange is what the log says of one transition.
type recordedChange struct {
	audit.Record
	Updated       []string          `json:"updated"`
	Before, After map[string]string `json:"-"`
	Certificate   string            `json:"certificate"`
}

func (c recordedChange) String() string {
	return fmt.Sprintf("%s %s %d %s %v %v %v", c.Type, c.Target.Name, c.Target.Generation, c.Reason, c.Updated, c.Before["displayName"], c.After["displayName"])
}

// inTheLog returns what the log says about the objects, in the order of time.
func inTheLog(t testing.TB, db *store.DB, about ...client.Object) []recordedChange {
	t.Helper()
	var lines []store.AuditLine
	for cursor, more := "", true; more; more = cursor != "" {
		page, next, err := db.Audit(context.Background(), store.AuditQuery{Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		lines, cursor = append(lines, page...), next
	}
	var all []recordedChange
	for _, l := range lines {
		r, err := audit.ParseLine(l.Line)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(about, func(o client.Object) bool { return string(o.GetUID()) == r.Target.UID }) {
			continue
		}
		text, err := json.Marshal(r.Details)
		if err != nil {
			t.Fatal(err)
		}
		c := recordedChange{}
		values := struct{ Before, After map[string]string }{}
		if json.Unmarshal(text, &c) != nil || json.Unmarshal(text, &values) != nil {
			t.Fatalf("details %s", text)
		}
		c.Record, c.Before, c.After = r, values.Before, values.After
		all = append(all, c)
	}
	slices.SortStableFunc(all, func(a, b recordedChange) int { return a.Time.Compare(b.Time) })
	return all
}

// recordingPod is a pod that keeps the operator's records in a store.
func recordingPod(t testing.TB, ns string) *store.DB {
	t.Helper()
	db := storetest.Open(t, storetest.SQLiteURL(t), store.Options{})
	p := newPod(t, ns, "main")
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.takes = func(records []audit.Incoming) error {
		keyed := make([]store.KeyedRecord, 0, len(records))
		for _, r := range records {
			keyed = append(keyed, store.KeyedRecord{Key: r.Key, Record: r.Record()})
		}
		_, err := db.WriteAuditOnce(context.Background(), keyed...)
		return err
	}
	return db
}

// orCrash waits until what holds, and starts the operator again when it has died meanwhile.
func (o *operator) orCrash(what string, crashed <-chan struct{}, died *bool, holds func() bool) {
	o.t.Helper()
	eventually(o.t, what, func() bool {
		select {
		case <-crashed:
			if !*died {
				*died = true
				o.restart()
			}
		default:
		}
		return holds()
	})
}

// ledgerIsEmpty tells whether nothing waits: neither a record, nor what is not published or written yet.
func (o *operator) ledgerIsEmpty(t testing.TB) bool {
	t.Helper()
	for _, l := range o.ledgers(t) {
		if len(l.Records)+len(l.Ahead)+len(l.Statuses) > 0 {
			return false
		}
	}
	return true
}

// TestACrashAfterAnyWriteLeavesTheRecordsOfACleanRun: an IdentityProvider is made, renamed, given other metadata and a domain, which puts a finalizer on it, and is
// switched off. The operator dies after each of the writes that this takes, and the log always says the same.
func TestACrashAfterAnyWriteLeavesTheRecordsOfACleanRun(t *testing.T) {
	t.Parallel()
	first, second := inline(t), inline(t)
	world := func(t *testing.T) func(t *testing.T, k int) (story []string, died bool) {
		ns := namespace(t)
		o := newOperator(t, ns)
		create(t, serviceProvider(ns))
		db := recordingPod(t, ns)
		return func(t *testing.T, k int) ([]string, bool) { return o.recordedLife(t, db, first, second, k) }
	}
	clean, _ := world(t)(t, 0)
	if len(clean) < 8 {
		t.Fatalf("a clean run told %v", clean)
	}
	writes := afterEachWrite(t, func(t *testing.T) func(*testing.T, int) bool {
		live := world(t)
		return func(t *testing.T, k int) bool {
			story, died := live(t, k)
			if !slices.Equal(story, clean) {
				t.Errorf("crash after write %d: the log says\n%v\nwithout a crash\n%v", k, story, clean)
			}
			return died
		}
	})
	if writes < 11 {
		t.Errorf("it took %d writes: the test proves nothing", writes)
	}
	t.Logf("killed after each of %d writes; each time the log has %d records", writes, len(clean))
}

// recordedLife is one life of an IdentityProvider, in which the operator dies after its k-th write, and what the log says of it.
func (o *operator) recordedLife(t *testing.T, db *store.DB, first, second v1alpha1.MetadataSource, k int) (story []string, died bool) {
	t.Helper()
	idp, binding := identityProvider(o.ns, "okta", first), domainBinding(o.ns, "acme", "acme.example", "okta")
	crashed := o.wire.crash(k)
	step := func(what string, object client.Object) {
		t.Helper()
		o.orCrash(what, crashed, &died, func() bool { return isReady(t, object) && observed(t, object) })
	}
	change := func(how func()) {
		t.Helper()
		get(t, idp)
		patch := client.MergeFrom(idp.DeepCopy())
		how()
		if err := k8s.Patch(t.Context(), idp, patch); err != nil {
			t.Fatal(err)
		}
	}
	create(t, idp)
	step("the IdentityProvider serves", idp)
	change(func() { idp.Spec.DisplayName = "Acme Inc." })
	step("the new name serves", idp)
	change(func() { idp.Spec.SAML.Metadata = second })
	step("the new metadata serve", idp)
	create(t, binding)
	step("the domain serves", binding)
	change(func() { idp.Spec.State, idp.Spec.DisplayName = v1alpha1.StateDisabled, "Acme" })
	o.orCrash("it is switched off", crashed, &died, func() bool { get(t, idp); return observed(t, idp) })
	o.orCrash("nothing waits", crashed, &died, func() bool { return o.ledgerIsEmpty(t) })
	o.wire.revive()
	for _, c := range inTheLog(t, db, idp, binding) {
		story = append(story, c.String())
	}
	slices.Sort(story)
	remove(t, binding, idp)
	awaitGone(t, patience, idp)
	return story, died
}

// observed tells whether the status is about the newest generation.
func observed(t testing.TB, object client.Object) bool {
	t.Helper()
	for _, c := range conditionsOf(t, object) {
		if c.ObservedGeneration != object.GetGeneration() {
			return false
		}
	}
	return true
}

// TestAnEditInTheMomentOfACrash: while the operator is dead somebody changes again what it was about to serve. Whatever it had told by then, the log is a history without
// gap, overlap or repetition: each change begins where the one before it has ended.
func TestAnEditInTheMomentOfACrash(t *testing.T) {
	t.Parallel()
	one, two := inline(t), inline(t)
	broken := v1alpha1.MetadataSource{Inline: "<EntityDescriptor/>"}
	for _, variant := range []struct {
		name         string
		during, last v1alpha1.MetadataSource
	}{{"another certificate and back", two, one}, {"broken and mended", broken, one}, {"good and broken", two, broken}} {
		t.Run(variant.name, func(t *testing.T) {
			t.Parallel()
			editedInCrashes(t, variant.name, one, variant.during, variant.last)
		})
	}
}

// editedInCrashes changes an IdentityProvider from one to during, and to last when the operator has died of it, after each of its writes.
func editedInCrashes(t *testing.T, variant string, one, during, last v1alpha1.MetadataSource) {
	t.Helper()
	ns := namespace(t)
	o := newOperator(t, ns)
	create(t, serviceProvider(ns))
	db := recordingPod(t, ns)
	idp := identityProvider(ns, "okta", one)
	create(t, idp)
	await(t, idp, "Ready", isTrue, "Serving")
	change := func(name string, source v1alpha1.MetadataSource) {
		t.Helper()
		get(t, idp)
		patch := client.MergeFrom(idp.DeepCopy())
		idp.Spec.DisplayName, idp.Spec.SAML.Metadata = name, source
		if err := k8s.Patch(t.Context(), idp, patch); err != nil {
			t.Fatal(err)
		}
	}
	settled := func() bool {
		get(t, idp)
		return observed(t, idp) && o.ledgerIsEmpty(t)
	}
	k := 1
	for ; ; k++ {
		crashed := o.wire.crash(k)
		change(fmt.Sprintf("during %d", k), during)
		died := false
		eventually(t, "a crash or the end", func() bool {
			select {
			case <-crashed:
				died = true
			default:
			}
			return died || settled()
		})
		if !died {
			o.wire.revive()
		}
		change(fmt.Sprintf("after %d", k), last)
		if died {
			o.restart()
		}
		eventually(t, "everything is told", settled)
		if !died {
			break
		}
		change(fmt.Sprintf("back %d", k), one)
		eventually(t, "everything is told", settled)
	}
	if k < 4 {
		t.Errorf("a change took %d writes: the test proves nothing", k)
	}
	checkHistory(t, variant, inTheLog(t, db, idp), idp)
	t.Logf("killed after each of %d writes", k-1)
}

// checkHistory follows the log from what was first to what is.
func checkHistory(t testing.TB, what string, all []recordedChange, idp *v1alpha1.IdentityProvider) {
	t.Helper()
	name, generation, trusted := "Acme", int64(0), false
	certificates := map[string]bool{}
	for _, c := range all {
		switch c.Type {
		case audit.TypeSAMLIdPUpdated:
			if c.Target.Generation <= generation {
				t.Errorf("%s: generation %d was told after %d", what, c.Target.Generation, generation)
			}
			if generation = c.Target.Generation; len(c.Updated) == 0 {
				continue // a generation that cannot be served changes nothing
			}
			if c.Before["displayName"] != name {
				t.Errorf("%s: generation %d begins with %q, and what was told before it has ended with %q", what, generation, c.Before["displayName"], name)
			}
			name = c.After["displayName"]
		case audit.TypeSAMLIdPTrustEstablished, audit.TypeSAMLIdPTrustFailed:
			if established := c.Type == audit.TypeSAMLIdPTrustEstablished; established == trusted {
				t.Errorf("%s: %s was told twice", what, c.Type)
			}
			trusted = !trusted
		case audit.TypeSAMLIdPCertificateAdded, audit.TypeSAMLIdPCertificateRemoved:
			came := c.Type == audit.TypeSAMLIdPCertificateAdded
			if before, known := certificates[c.Certificate]; known && before == came {
				t.Errorf("%s: %s %.8s was told twice", what, c.Type, c.Certificate)
			}
			certificates[c.Certificate] = came
		}
	}
	for _, c := range idp.Status.Certificates {
		if there, known := certificates[c.SHA256]; known && !there {
			t.Errorf("%s: certificate %.8s is trusted, and was told to be removed", what, c.SHA256)
		}
	}
	if generation != idp.Generation {
		t.Errorf("%s: the last generation that was told is %d, it is %d", what, generation, idp.Generation)
	}
	if wanted := meta.IsStatusConditionTrue(idp.Status.Conditions, v1alpha1.ConditionTrustEstablished); trusted != wanted {
		t.Errorf("%s: told is that trust is %v, it is %v", what, trusted, wanted)
	}
	if len(certificates) == 0 && what != "broken and mended" {
		t.Errorf("%s: no certificate was told", what)
	}
}
