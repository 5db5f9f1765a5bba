package controllers

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/controllers"
	"sallyport.dev/sallyport/internal/audit"
)

// proved is an operator with a domain whose TXT record is there.
func proved(t *testing.T) (s *nameServer, o *operator, clock *testingclock.FakeClock, ns string, binding *v1alpha1.DomainBinding) {
	t.Helper()
	s, o, clock, ns, binding = verified(t)
	await(t, binding, "Verified", isFalse, "RecordNotFound")
	record := binding.Status.Verification
	s.set(func(s *nameServer) { s.records[record.RecordName] = []string{record.RecordValue} })
	eventually(t, "the record is seen", func() bool { clock.Step(time.Minute); nudge(t, binding); return isReady(t, binding) })
	return s, o, clock, ns, binding
}

func domainKey(t *testing.T, ns string) *corev1.Secret {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "main-domain-verification"}}
	get(t, secret)
	return secret
}

// restored is a Secret as docs/backup.md brings it back.
func restored(saved *corev1.Secret, ns string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: saved.Name, Labels: saved.Labels}, Type: saved.Type, Data: saved.Data}
}

// formerValue is what a version before the key asked for.
func formerValue(sp *v1alpha1.ServiceProvider, domain string) string {
	sum := sha256.Sum256([]byte(string(sp.UID) + "\x00" + domain))
	return "sallyport-verification=" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:20]))
}

// TestTXTRecordsSurviveARestore: nobody has to ask the owner of a domain for another record because the objects are in another cluster, or were made again.
func TestTXTRecordsSurviveARestore(t *testing.T) {
	t.Parallel()
	_, o, _, ns, binding := proved(t)
	before, sp := *binding.Status.Verification, serviceProvider(ns)
	get(t, sp)
	saved, uid := domainKey(t, ns), sp.UID
	okta := identityProvider(ns, "okta", inline(t))
	remove(t, binding, okta, sp)
	awaitGone(t, patience, okta)
	o.stop()
	remove(t, saved)
	collectGarbage(t, ns)

	create(t, restored(saved, ns))
	sp, binding = serviceProvider(ns), domainBinding(ns, "acme", "acme.example", "okta")
	binding.Spec.Verification.Method = v1alpha1.VerificationDNS
	create(t, sp, identityProvider(ns, "okta", inline(t)), binding)
	if sp.UID == uid {
		t.Fatal("it is the same ServiceProvider: this test shows nothing")
	}
	o.restart()
	await(t, binding, "Verified", isTrue, "Verified")
	if after := *binding.Status.Verification; after != before {
		t.Errorf("the record was %+v, and is %+v after the restore", before, after)
	}
	if events := told(t, sp, "DomainKeyReplaced"); len(events) != 0 {
		t.Errorf("the key that came back is told as another one: %+v", events)
	}
	o.atRest(t)
}

// TestRecordsOfAnEarlierVersionStayGood: an upgrade finds no key and domains whose records are made from the UID. None of them may be held, also while the DNS gives no
// answer, and whoever looks learns what a restore will need.
func TestRecordsOfAnEarlierVersionStayGood(t *testing.T) {
	t.Parallel()
	s, o, clock, ns, binding := proved(t)
	sp := serviceProvider(ns)
	get(t, sp)
	former := formerValue(sp, "acme.example")
	o.stop()
	remove(t, domainKey(t, ns))
	if err := k8s.DeleteAllOf(t.Context(), &corev1.Secret{}, client.InNamespace(o.home)); err != nil { // the ledger
		t.Fatal(err)
	}
	since := metav1.NewTime(time.Now().Add(-48 * time.Hour).Truncate(time.Second))
	get(t, binding)
	binding.Status.Verification.RecordValue = former
	meta.FindStatusCondition(binding.Status.Conditions, "Verified").LastTransitionTime = since
	if err := k8s.Status().Update(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	name := binding.Status.Verification.RecordName
	s.set(func(s *nameServer) { s.records[name], s.refuse = []string{former}, dns.RcodeServerFailure })
	o.restart()
	says := await(t, binding, "Verified", isTrue, "FormerValue")
	record := *binding.Status.Verification
	mustContain(t, says, "new cluster", record.RecordName, record.RecordValue)
	if record.RecordValue == former {
		t.Error("status still shows the value that no restore brings back")
	}
	s.set(func(s *nameServer) { s.refuse = 0 })
	asked := s.questions()
	clock.Step(61 * time.Minute)
	nudge(t, binding)
	eventually(t, "the DNS is asked", func() bool { return s.questions() > asked })
	o.restart()
	o.atRest(t)
	await(t, binding, "Ready", isTrue, "Serving")
	if c := meta.FindStatusCondition(binding.Status.Conditions, "Verified"); c.Reason != "FormerValue" || !c.LastTransitionTime.Equal(&since) {
		t.Errorf("the domain was held for a while: %+v", c)
	}
	if heldDomain(t, ns) {
		t.Error("the domain is held")
	}
	awaitEvent(t, binding, corev1.EventTypeWarning, "FormerValue", record.RecordValue)

	s.set(func(s *nameServer) { s.records[name] = []string{former, record.RecordValue} })
	clock.Step(61 * time.Minute)
	nudge(t, binding)
	await(t, binding, "Verified", isTrue, "Verified")
	if n := o.audit.count(audit.TypeSAMLDomainVerified, "acme"); n != 1 {
		t.Errorf("the domain was proved once, and recorded %d times", n)
	}
}

// TestALostDomainKeyFailsClosed: with another key every value is another one, so every domain is held until somebody writes it or brings the key back. Both is told.
func TestALostDomainKeyFailsClosed(t *testing.T) {
	t.Parallel()
	_, o, clock, ns, binding := proved(t)
	sp, before, saved := serviceProvider(ns), *binding.Status.Verification, domainKey(t, ns)
	o.atRest(t)
	o.stop()
	remove(t, domainKey(t, ns))
	o.restart()
	await(t, binding, "Verified", isFalse, "RecordNotFound")
	if *binding.Status.Verification == before {
		t.Fatal("it is the same value: this test shows nothing")
	}
	if get(t, sp); len(told(t, sp, "DomainKeyReplaced")) == 0 {
		t.Fatal("nobody was told")
	}
	awaitEvent(t, sp, corev1.EventTypeWarning, "DomainKeyReplaced", "Secret main-domain-verification was deleted or replaced", "Restore the Secret from the backup", "status.verification")
	eventually(t, "the domain is held", func() bool { return heldDomain(t, ns) })
	o.atRest(t)

	// What is brought back counts at once, without a restart.
	lost := domainKey(t, ns)
	lost.Data = saved.Data
	update(t, lost)
	eventually(t, "the record of before to be good", func() bool {
		clock.Step(time.Minute)
		return isReady(t, binding) && *binding.Status.Verification == before
	})
	o.atRest(t)
}

// TestADamagedDomainKeyIsForAPersonToMend: while the operator runs, it knows the key; one that starts knows none, takes nothing for proved, and makes no other key.
func TestADamagedDomainKeyIsForAPersonToMend(t *testing.T) {
	t.Parallel()
	_, o, clock, ns, binding := proved(t)
	sp, before, saved := serviceProvider(ns), *binding.Status.Verification, domainKey(t, ns)

	remove(t, domainKey(t, ns))
	eventually(t, "the key is written again as it was", func() bool {
		again := restored(saved, ns)
		return exists(t, again) && bytes.Equal(again.Data["key"], saved.Data["key"])
	})
	damaged := domainKey(t, ns)
	damaged.Data["key"] = []byte("half")
	update(t, damaged)
	mustContain(t, await(t, sp, "Accepted", isFalse, "Invalid"), "Secret main-domain-verification, key key", "not 32 bytes in base64", "Restore it from the backup")
	await(t, binding, "Verified", isTrue, "Verified")
	o.atRest(t)

	o.restart()
	mustContain(t, await(t, binding, "Verified", isFalse, "Invalid"), "Secret main-domain-verification")
	eventually(t, "the domain is held", func() bool { return heldDomain(t, ns) })
	o.atRest(t)
	if string(domainKey(t, ns).Data["key"]) != "half" {
		t.Error("what somebody has put there was written over")
	}
	damaged = domainKey(t, ns)
	damaged.Data = saved.Data
	update(t, damaged)
	eventually(t, "the record of before to be good", func() bool {
		clock.Step(time.Minute)
		return isReady(t, binding) && *binding.Status.Verification == before
	})
	await(t, sp, "Accepted", isTrue, "Accepted")
}

// TestNobodysProofIsGoodElsewhere: whoever may write Secrets in one namespace cannot make the TXT records of another one theirs, neither with what everybody may know of
// it (the records, the UID of its ServiceProvider) nor with its key.
func TestNobodysProofIsGoodElsewhere(t *testing.T) {
	t.Parallel()
	s, _, _, theirs, binding := proved(t)
	sp, record := serviceProvider(theirs), *binding.Status.Verification
	get(t, sp)
	former := formerValue(sp, "acme.example")
	s.set(func(s *nameServer) { s.records[record.RecordName] = []string{record.RecordValue, former} })
	lookUp, err := controllers.ResolverOf([]string{s.address})
	if err != nil {
		t.Fatal(err)
	}
	uid := sha256.Sum256([]byte(sp.UID))
	for name, key := range map[string][]byte{
		"their key":              domainKey(t, theirs).Data["key"],
		"the value in their DNS": []byte(base64.StdEncoding.EncodeToString([]byte(record.RecordValue[len(record.RecordValue)-32:]))),
		"their UID":              []byte(base64.StdEncoding.EncodeToString(uid[:])),
	} {
		ns := namespace(t)
		copied := restored(domainKey(t, theirs), ns)
		copied.Data = map[string][]byte{"key": key, "uid": []byte(sp.UID), "identity": []byte(sp.UID)}
		mine := domainBinding(ns, "acme", "acme.example", "okta")
		mine.Spec.Verification.Method = v1alpha1.VerificationDNS
		create(t, copied, serviceProvider(ns), identityProvider(ns, "okta", inline(t)), mine)
		newOperator(t, ns, withDNS(lookUp))
		mustContain(t, await(t, mine, "Verified", isFalse, "RecordNotFound"), "has TXT records, but none has the right value")
		if got := mine.Status.Verification.RecordValue; got == record.RecordValue || got == former {
			t.Errorf("with %s: their value is asked for", name)
		}
	}
}
