package controllers

import (
	"strings"
	"testing"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/saml/samltest"
)

// read reads the objects again.
func read(t testing.TB, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			t.Fatal(err)
		}
	}
}

// noteOf waits for an Event with the reason about the object and returns what it says.
func noteOf(t testing.TB, about client.Object, reason string) string {
	t.Helper()
	note := ""
	eventually(t, "an Event "+reason, func() bool {
		var list eventsv1.EventList
		if err := k8s.List(t.Context(), &list, client.InNamespace(about.GetNamespace())); err != nil {
			t.Fatal(err)
		}
		for _, e := range list.Items {
			if e.Reason == reason && e.Regarding.UID == about.GetUID() {
				note = e.Note
			}
		}
		return note != ""
	})
	return note
}

// TestStatusCountsPeople: users, sessions, the last sign-in, and groups that an IdP left out, counted once a minute and not oftener.
func TestStatusCountsPeople(t *testing.T) {
	t.Parallel()
	ns, clock := namespace(t), testclock.NewFakeClock(time.Now())
	newOperator(t, ns, withClock(clock))
	sp, idp, other := withPeople(ns), connected(t, ns, "okta"), connected(t, ns, "entra")
	idp.Spec.CatchAll = v1alpha1.StateEnabled
	create(t, sp, idp, other)
	p := newServing(t, ns)
	await(t, idp, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonServing)
	counted := func(users, sessions int64) func() bool {
		return func() bool {
			read(t, sp, idp, other)
			return ptr.Deref(sp.Status.Users, -1) == users && ptr.Deref(sp.Status.ActiveSessions, -1) == sessions && ptr.Deref(idp.Status.Users, -1) == users && ptr.Deref(other.Status.Users, -1) == 0
		}
	}
	eventually(t, "nobody is counted", counted(0, 0))
	p.visitor(t).signIn("alice@acme.example")
	p.visitor(t).signIn("alice@acme.example")
	bob := p.visitor(t)
	through, request := bob.sent("bob@acme.example")
	overage := func(r *samltest.Response) {
		asserting("bob@acme.example")(r)
		r.Attributes[1] = samltest.Attribute{Name: "http://schemas.microsoft.com/claims/groups.link", Values: []string{"https://graph.windows.net/x"}}
	}
	if !bob.comeBack(through, request, overage) {
		t.Fatal("bob is not signed in")
	}
	// later lets time pass in small steps until something holds, and returns how much it was.
	later := func(what string, holds func() bool) (passed time.Duration) {
		t.Helper()
		eventually(t, what, func() bool {
			if holds() {
				return true
			}
			clock.Step(2 * time.Second)
			passed += 2 * time.Second
			return false
		})
		return passed
	}
	if passed := later("two people with three sessions", counted(2, 3)); passed < 50*time.Second {
		t.Errorf("counted again after %v", passed)
	}
	if last := idp.Status.LastSignIn; last == nil || time.Since(last.Time) > time.Minute {
		t.Errorf("last sign-in %v", last)
	}
	if other.Status.LastSignIn != nil {
		t.Errorf("nobody signed in through %s at %v", other.Name, other.Status.LastSignIn)
	}
	mustContain(t, await(t, idp, v1alpha1.ConditionGroupOverage, metav1.ConditionTrue, v1alpha1.ReasonTooManyGroups), "1 user", "they keep the groups they had", "Groups assigned to the application")

	p.visitor(t).signIn("bob@acme.example")
	later("Bob's groups have come", func() bool {
		return counted(2, 4)() && meta.FindStatusCondition(idp.Status.Conditions, v1alpha1.ConditionGroupOverage) == nil
	})
}

// TestDeletionIsToldWithItsResult: what became of people, in an Event on the ServiceProvider, because the IdentityProvider itself is gone.
func TestDeletionIsToldWithItsResult(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	newOperator(t, ns)
	sp, idp := withPeople(ns), connected(t, ns, "okta")
	idp.Spec.CatchAll, idp.Spec.Deletion.MirroredAttributes = v1alpha1.StateEnabled, v1alpha1.MirroredAttributesScrub
	create(t, sp, idp)
	p := newServing(t, ns)
	await(t, idp, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonServing)
	p.visitor(t).signIn("alice@acme.example")
	p.visitor(t).signIn("bob@acme.example")
	remove(t, idp)
	awaitGone(t, patience, idp)
	if got, want := noteOf(t, sp, "IdentityProviderRemoved"), "IdentityProvider okta was removed: 2 sessions ended, 1 group kept and marked invalid, 2 profile values of 2 users cleared."; got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
}

// TestStatusTellsThatTheStoreIsDown while the pod stays in its Service, for those who are signed in.
func TestStatusTellsThatTheStoreIsDown(t *testing.T) {
	t.Parallel()
	ns, clock := namespace(t), testclock.NewFakeClock(time.Now())
	newOperator(t, ns, withClock(clock))
	sp := serviceProvider(ns)
	create(t, sp)
	p := newPod(t, ns, "main")
	await(t, sp, v1alpha1.ConditionStoreReady, metav1.ConditionTrue, v1alpha1.ReasonStoreReady)
	later := func(status metav1.ConditionStatus) {
		t.Helper()
		eventually(t, "StoreReady is "+string(status), func() bool {
			clock.Step(2 * time.Second)
			read(t, sp)
			store, ready := meta.FindStatusCondition(sp.Status.Conditions, v1alpha1.ConditionStoreReady), meta.FindStatusCondition(sp.Status.Conditions, v1alpha1.ConditionReady)
			return store.Status == status && ready.Status == status
		})
	}
	p.setStore(false)
	later(metav1.ConditionFalse)
	mustContain(t, meta.FindStatusCondition(sp.Status.Conditions, v1alpha1.ConditionReady).Message, "The store does not answer.", "stay signed in for 15 minutes", "kubectl -n "+ns+" logs")
	for problem, says := range map[string]string{"UnknownAuthority": "put the certificate of that authority into spec.store.postgres.caBundle.", "OtherHost": "is not for the host", "NoTLS": "does not offer TLS"} {
		p.storeProblem.Store(problem)
		eventually(t, "StoreReady says what to do: "+says, func() bool {
			clock.Step(2 * time.Second)
			read(t, sp)
			return strings.Contains(meta.FindStatusCondition(sp.Status.Conditions, v1alpha1.ConditionStoreReady).Message, says)
		})
	}
	p.setStore(true)
	later(metav1.ConditionTrue)
}
