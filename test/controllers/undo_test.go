package controllers

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
)

// deletions are the details of what the service provider has recorded of deleted IdPs.
func (p *serving) deletions(t testing.TB) (found []audit.Deletion) {
	t.Helper()
	for line := range strings.Lines(p.log.String()) {
		var record struct {
			Type    string
			Details audit.Deletion
		}
		if !strings.Contains(line, `"saml_idp_deleted"`) {
			continue
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		found = append(found, record.Details)
	}
	return found
}

// okta is an IdP with a domain, and the only one; its mirrored values are scrubbed when it is deleted.
func okta(t testing.TB, ns string) (*v1alpha1.IdentityProvider, *v1alpha1.DomainBinding) {
	t.Helper()
	idp := connected(t, ns, "okta")
	idp.Spec.Deletion.MirroredAttributes = v1alpha1.MirroredAttributesScrub
	return idp, domainBinding(ns, "acme", "acme.example", "okta")
}

func TestADeletedIdPEndsItsSessionsAndIsScrubbed(t *testing.T) {
	ns := namespace(t)
	o := newOperator(t, ns)
	idp, binding := okta(t, ns)
	create(t, withPeople(ns), idp, binding)
	p := newServing(t, ns)
	await(t, binding, "Ready", isTrue, "Serving")
	alice := p.visitor(t)
	alice.signIn("alice@acme.example")
	before := p.user(t, "alice@acme.example")
	if profile, err := p.store.Profile(t.Context(), before.ID); err != nil || profile["department"].Value != "ML" {
		t.Fatalf("the profile is %+v, %v", profile, err)
	}

	remove(t, idp, binding)
	awaitGone(t, 2*time.Second, idp)
	deadline := time.Now().Add(2 * time.Second)
	for alice.signedIn() && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	if alice.signedIn() {
		t.Error("a session goes on after its IdP is gone")
	}
	eventually(t, "the deletion is recorded", func() bool { return len(p.deletions(t)) > 0 })
	if got := p.deletions(t); !slices.Equal(got, []audit.Deletion{{Scrubbed: true, Users: 1, Values: 1, Groups: 1, Sessions: 1}}) {
		t.Errorf("recorded were %+v", got)
	}
	user := p.user(t, "alice@acme.example")
	if user == nil || user.ID != before.ID || user.IdP.UID != "" {
		t.Fatalf("the user is %+v", user)
	}
	if profile, err := p.store.Profile(t.Context(), user.ID); err != nil || len(profile) != 0 {
		t.Errorf("the profile is %+v, %v", profile, err)
	}
	groups, err := p.store.Groups(t.Context(), user.ID)
	if err != nil || len(groups) != 1 || groups[0].Name != "dev" || groups[0].InvalidatedAt.IsZero() {
		t.Errorf("the groups are %+v, %v", groups, err)
	}
	eventually(t, "the ledger has forgotten it", func() bool { return !o.remembers(t, idp) })
	// Neither a restart nor time does it again.
	o.restart()
	o.atRest(t)
	if n := len(p.deletions(t)) + o.audit.about(audit.TypeSAMLIdPDeleted, idp); n != 1 {
		t.Errorf("the deletion was recorded %d times", n)
	}
}

// TestAServiceProviderThatDoesNotAnswerHoldsNothingUp: the IdP goes, and its sessions end when the service provider answers again, whatever happened
// to the operator meanwhile.
func TestAServiceProviderThatDoesNotAnswerHoldsNothingUp(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	o := newOperator(t, ns)
	idp, binding := okta(t, ns)
	create(t, withPeople(ns), idp, binding)
	p := newServing(t, ns)
	await(t, binding, "Ready", isTrue, "Serving")
	alice := p.visitor(t)
	alice.signIn("alice@acme.example")

	restore := p.cutOff()
	remove(t, idp, binding)
	awaitGone(t, patience, idp)
	o.restart()
	if !o.remembers(t, idp) || len(p.deletions(t)) != 0 {
		t.Error("what is left to do is forgotten, or was done without a way to the service provider")
	}
	restore()
	eventually(t, "the session has ended", func() bool { return !alice.signedIn() })
	eventually(t, "the deletion is recorded", func() bool { return len(p.deletions(t)) == 1 })
	eventually(t, "the ledger has forgotten it", func() bool { return !o.remembers(t, idp) })
}

// TestWhatNobodyHoldsIsUndoneToo: somebody takes the finalizer off by hand while the operator is down, and the IdP is gone before it is back.
func TestWhatNobodyHoldsIsUndoneToo(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	o := newOperator(t, ns)
	idp := connected(t, ns, "okta")
	idp.Spec.CatchAll = v1alpha1.StateEnabled
	create(t, withPeople(ns), idp)
	p := newServing(t, ns)
	await(t, idp, "Ready", isTrue, "Serving")
	alice := p.visitor(t)
	alice.signIn("alice@acme.example")
	o.stop()
	remove(t, idp)
	letGo(t, idp)
	awaitGone(t, patience, idp)
	o.restart()
	eventually(t, "the session has ended", func() bool { return !alice.signedIn() })
	eventually(t, "the deletion is recorded", func() bool { return len(p.deletions(t)) == 1 })
	if got := p.deletions(t)[0]; got.Scrubbed || got.Sessions != 1 {
		t.Errorf("recorded was %+v", got)
	}
}

// TestTheKeysOfAnIdPAreTheLastOfIt: as long as a session of it lives the IdP is there, and with it the keys, which the garbage collector takes after it. The clock
// stands still, so that no service provider is too slow to be waited for.
func TestTheKeysOfAnIdPAreTheLastOfIt(t *testing.T) {
	t.Parallel()
	for name, bound := range map[string]bool{"bound": true, "of no domain": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t)
			newOperator(t, ns, withClock(testingclock.NewFakeClock(time.Now())))
			idp, binding := okta(t, ns)
			idp.Spec.CatchAll = v1alpha1.StateEnabled
			create(t, withPeople(ns), idp)
			if bound {
				create(t, binding)
			}
			p := newServing(t, ns)
			await(t, idp, "Ready", isTrue, "Serving")
			alice := p.visitor(t)
			alice.signIn("alice@acme.example")
			keys := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "sallyport-keys-okta"}}
			if get(t, keys); len(keys.OwnerReferences) != 1 || keys.OwnerReferences[0].UID != idp.UID {
				t.Fatalf("the keys belong to %v", keys.OwnerReferences)
			}
			remove(t, idp)
			if bound {
				remove(t, binding)
			}
			eventually(t, "the IdP is gone", func() bool {
				there := exists(t, idp)
				if !there && alice.signedIn() {
					t.Fatal("the IdP is gone before its session")
				}
				return !there
			})
			if !exists(t, keys) {
				t.Error("the keys went before the IdP")
			}
		})
	}
}

// TestACrashAnywhereInADeletionEndsTheSame kills the operator after each of the writes that a deletion takes: an IdP with two domains is deleted, is blocked,
// loses its domains and goes. Every run ends as the first one, which is not disturbed.
func TestACrashAnywhereInADeletionEndsTheSame(t *testing.T) {
	t.Parallel()
	clean, _ := newNeighbours(t).deleteAndCrash(t, 0)
	writes := afterEachWrite(t, func(t *testing.T) func(*testing.T, int) bool {
		n := newNeighbours(t)
		return func(t *testing.T, k int) bool {
			told, died := n.deleteAndCrash(t, k)
			if !slices.Equal(told, clean) {
				t.Errorf("crash after write %d: recorded were\n%v, without a crash\n%v", k, told, clean)
			}
			return died
		}
	})
	if writes < 7 {
		t.Errorf("a deletion took %d writes: the test proves nothing", writes)
	}
	t.Logf("the operator was killed after each of %d writes", writes)
}

// neighbours are an IdP that stays, with somebody who is signed in through it, beside others that are deleted.
type neighbours struct {
	o       *operator
	p       *serving
	other   *v1alpha1.IdentityProvider
	bob     *visitor
	deleted int
}

func newNeighbours(t *testing.T) *neighbours {
	t.Helper()
	ns := namespace(t)
	n := &neighbours{o: newOperator(t, ns), other: connected(t, ns, "entra")}
	binding := domainBinding(ns, "other", "other.example", "entra")
	create(t, withPeople(ns), n.other, binding)
	n.p = newServing(t, ns)
	await(t, binding, "Ready", isTrue, "Serving")
	await(t, n.other, "Ready", isTrue, "Serving") // with its keys
	n.bob = n.p.visitor(t)
	n.bob.signIn("bob@other.example")
	return n
}

// deleteAndCrash deletes an IdP with two domains while the operator dies after its k-th write, and returns what was recorded of it.
func (n *neighbours) deleteAndCrash(t *testing.T, k int) (told []string, died bool) {
	t.Helper()
	o, p, ns := n.o, n.p, n.o.ns
	idp, first := okta(t, ns)
	second := domainBinding(ns, "acme-org", "acme.test", "okta")
	create(t, idp, first, second)
	await(t, first, "Ready", isTrue, "Serving")
	await(t, second, "Ready", isTrue, "Serving")
	alice := p.visitor(t)
	alice.signIn("alice@acme.example")

	crashed := o.wire.crash(k)
	remove(t, idp)
	o.orCrash("the deletion is blocked", crashed, &died, func() bool {
		get(t, idp)
		return slices.Contains(conditionTypes(idp.Status.Conditions), "DeletionBlocked")
	})
	remove(t, first, second)
	o.orCrash("it is gone and forgotten", crashed, &died, func() bool { return !exists(t, idp) && !exists(t, first) && !exists(t, second) && !o.remembers(t, idp) })
	o.orCrash("the session has ended", crashed, &died, func() bool { return !alice.signedIn() })
	o.orCrash("the deletion is recorded", crashed, &died, func() bool { return len(p.deletions(t)) == n.deleted+1 })
	// A pass between the two bindings ends the session already: nobody may assert its domain then.
	if got := p.deletions(t)[n.deleted]; got.Sessions > 1 || got != (audit.Deletion{Scrubbed: true, Users: 1, Values: 1, Groups: 1, Sessions: got.Sessions}) {
		t.Errorf("crash after write %d: recorded was %+v", k, got)
	}
	n.deleted++
	if !n.bob.signedIn() {
		t.Errorf("crash after write %d: somebody else's session has ended", k)
	}
	if s := served(t, ns); len(s.Connections) != 1 || len(s.Domains) != 1 || s.Connections[0].Name != "entra" {
		t.Errorf("crash after write %d: served are %+v", k, s.Domains)
	}
	told = o.audit.stories(idp, first, second)
	await(t, n.other, "Ready", isTrue, "Serving")
	o.wire.revive()
	return told, died
}

// TestACrashAnywhereInTheDeletionOfAnIdPWithoutDomainsEndsTheSame: its session ends, once recorded, and its keys are there as long as it is.
func TestACrashAnywhereInTheDeletionOfAnIdPWithoutDomainsEndsTheSame(t *testing.T) {
	t.Parallel()
	writes := afterEachWrite(t, func(t *testing.T) func(*testing.T, int) bool {
		ns := namespace(t)
		o := newOperator(t, ns)
		create(t, withPeople(ns))
		p := newServing(t, ns)
		deleted := 0
		return func(t *testing.T, k int) bool {
			deleted++
			return o.deleteFreeAndCrash(t, p, k, deleted)
		}
	})
	if writes < 3 {
		t.Errorf("a deletion took %d writes: the test proves nothing", writes)
	}
}

// deleteFreeAndCrash deletes an IdP of no domain while the operator dies after its k-th write. It is the n-th that the service provider hears of.
func (o *operator) deleteFreeAndCrash(t *testing.T, p *serving, k, n int) (died bool) {
	t.Helper()
	idp, _ := okta(t, o.ns)
	idp.Spec.CatchAll = v1alpha1.StateEnabled
	create(t, idp)
	await(t, idp, "Ready", isTrue, "Serving")
	alice := p.visitor(t)
	alice.signIn("alice@acme.example")
	keys := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: o.ns, Name: "sallyport-keys-okta"}}
	crashed := o.wire.crash(k)
	remove(t, idp)
	o.orCrash("it is gone and forgotten", crashed, &died, func() bool {
		there := exists(t, idp)
		if there && !exists(t, keys) {
			t.Fatalf("crash after write %d: the keys went before the IdP", k)
		}
		return !there && !o.remembers(t, idp)
	})
	eventually(t, "the session has ended", func() bool { return !alice.signedIn() })
	eventually(t, "the deletion is recorded", func() bool { return len(p.deletions(t)) >= n })
	if got := len(p.deletions(t)); got != n {
		t.Errorf("crash after write %d: %d deletions are recorded", k, got)
	}
	o.wire.revive()
	if err := k8s.Delete(t.Context(), keys); err != nil { // as the garbage collector does
		t.Fatal(err)
	}
	return died
}
