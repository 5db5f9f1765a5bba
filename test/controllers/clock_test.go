package controllers

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	corev1 "k8s.io/api/core/v1"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/trust"
)

const day = 24 * time.Hour

// movable is a clock that goes on by itself, and can be set forward.
func movable(t testing.TB) *testclock.FakeClock {
	t.Helper()
	c := testclock.NewFakeClock(time.Now().Truncate(time.Second))
	const tick = 20 * time.Millisecond
	ticker, done := time.NewTicker(tick), make(chan struct{})
	go func() {
		for {
			select {
			case <-ticker.C:
				c.Step(tick)
			case <-done:
				return
			}
		}
	}()
	t.Cleanup(func() { ticker.Stop(); close(done) })
	return c
}

// valid is the IdP with a certificate for the same key that is valid so long.
func valid(t testing.TB, idp *samltest.IdP, from, to time.Time) *samltest.IdP {
	t.Helper()
	certificate, err := samltest.SelfSigned(idp.Key, idp.EntityID, from, to)
	if err != nil {
		t.Fatal(err)
	}
	renewed := *idp
	renewed.Certificate = certificate
	return &renewed
}

// samples calls see with every series of a metric that is about the connection.
func (o *operator) samples(t testing.TB, name, idp string, see func(labels map[string]string, metric *dto.Metric)) {
	t.Helper()
	families, err := o.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.Metric {
			labels := map[string]string{}
			for _, label := range metric.Label {
				labels[label.GetName()] = label.GetValue()
			}
			if labels["idp"] == idp && labels["namespace"] == o.ns {
				see(labels, metric)
			}
		}
	}
}

// ends returns the gauge of a connection's certificates, by side.
func (o *operator) ends(t testing.TB, idp string) map[string]time.Time {
	t.Helper()
	found := map[string]time.Time{}
	o.samples(t, "sso_certificate_not_after_timestamp_seconds", idp, func(labels map[string]string, metric *dto.Metric) {
		found[labels["side"]] = time.Unix(int64(math.Round(metric.GetGauge().GetValue())), 0)
	})
	return found
}

// refreshes counts the answers of metadata servers that were taken, whatever they were.
func (o *operator) refreshes(t testing.TB, idp string) (n int) {
	t.Helper()
	o.samples(t, "sso_metadata_refreshes_total", idp, func(_ map[string]string, metric *dto.Metric) { n += int(metric.GetCounter().GetValue()) })
	return n
}

// expiriesTold lists what was told of a certificate's end, by reason, in Events and in records.
func (o *operator) expiriesTold(t testing.TB, object client.Object, certificate string) (events, records []string) {
	t.Helper()
	for _, e := range told(t, object, "") {
		if strings.Contains(e.Note, certificate[:16]) && (e.Reason == "Expired" || strings.HasPrefix(e.Reason, "Expiring")) {
			events = append(events, e.Reason)
		}
	}
	for _, r := range o.audit.of(audit.TypeSAMLIdPCertificateExpiring, object.GetName()) {
		if strings.Contains(fmt.Sprintf("%+v", r.Details), certificate) {
			records = append(records, r.Reason)
		}
	}
	slices.Sort(events)
	return events, records
}

// TestExpiryIsToldAtEachThresholdOnce sets the clock forward to the end of the IdP's certificate and beyond, then lets the IdP replace it.
func TestExpiryIsToldAtEachThresholdOnce(t *testing.T) {
	t.Parallel()
	ns, clock := namespace(t), movable(t)
	began := clock.Now()
	end := began.Add(100 * day).Truncate(time.Second)
	server := newPlayed(t)
	o := newOperator(t, ns, withClock(clock), withFetcher(trust.FetcherOptions{Proxy: server.through, Clock: clock}))
	object, binding := server.connection(ns, "okta")
	object.Spec.SAML.Keys = v1alpha1.KeySettings{CertificateLifetime: "26280h", RotationWindow: "2160h", Overlap: "720h"}
	idp := valid(t, upstream(t, "okta"), began.Add(-day), end)
	server.play("okta", answer(string(idp.Metadata())))
	create(t, server.ca(ns), signInProvider(ns), object, binding)
	door := newDoor(t, o)
	await(t, object, "Ready", isTrue, "Serving")
	await(t, object, "CertificatesValid", isTrue, "Valid")
	if got := o.ends(t, "okta"); !got["idp"].Equal(end) || got["sp"].IsZero() {
		t.Errorf("the gauge says %v, and the IdP's certificate ends %v", got, end)
	}
	var want []string
	for _, threshold := range []struct {
		before time.Duration
		reason string
		holds  bool
	}{{90 * day, "ExpiringWithin90Days", true}, {30 * day, "ExpiringWithin30Days", true}, {7 * day, "ExpiringWithin7Days", true}, {0, "Expired", false}} {
		clock.SetTime(end.Add(-threshold.before))
		status := isFalse
		if threshold.holds {
			status = isTrue
		}
		mustContain(t, await(t, object, "CertificatesValid", status, threshold.reason), fingerprint(idp)[:16], "ask the IdP's administrator")
		awaitEvent(t, object, "Warning", threshold.reason, fingerprint(idp)[:16], end.UTC().Format(time.DateOnly))
		want = append(want, threshold.reason)
		door.signsIn(t, threshold.reason, "okta", idp)
	}
	o.restart()
	refresh(t, object, "after the restart")
	await(t, object, "CertificatesValid", isFalse, "Expired")
	events, records := o.expiriesTold(t, object, fingerprint(idp))
	if !slices.Equal(records, want) || len(events) != len(want) {
		t.Errorf("told were Events %v and records %v, want each of %v once", events, records, want)
	}
	if got := object.Status.CertificateExpiry; got != end.UTC().Format(time.DateOnly) {
		t.Errorf("the column CERT-EXPIRY says %s", got)
	}

	// A re-issued certificate for the same key clears it all.
	renewed := valid(t, idp, end, clock.Now().AddDate(2, 0, 0))
	server.play("okta", answer(string(renewed.Metadata())))
	refresh(t, object, "renewed")
	await(t, object, "CertificatesValid", isTrue, "Valid")
	awaitEvent(t, object, "Normal", "Valid", "The first to expire is")
	eventually(t, "the gauge has the new certificate", func() bool { return o.ends(t, "okta")["idp"].Equal(parsed(t, renewed).NotAfter) })
	if object.Status.Certificates[0].Expiry != "" {
		t.Errorf("status still says %s", object.Status.Certificates[0].Expiry)
	}
	door.signsIn(t, "after it was renewed", "okta", renewed)
	remove(t, binding, object)
	awaitGone(t, patience, object)
	eventually(t, "the gauge is gone with its object", func() bool { return len(o.ends(t, "okta")) == 0 })
}

// TestTwoCertificatesAreEachToldOf has our own certificate, brought by the user, end while the IdP's has ended already.
func TestTwoCertificatesAreEachToldOf(t *testing.T) {
	t.Parallel()
	ns, clock := namespace(t), movable(t)
	began := clock.Now()
	idp := valid(t, upstream(t, "okta"), began.Add(-100*day), began.Add(-day))
	o := newOperator(t, ns, withClock(clock))
	object := identityProvider(ns, "okta", v1alpha1.MetadataSource{Inline: string(idp.Metadata())})
	object.Spec.SAML.Keys.SecretRef = &v1alpha1.KeyPairReference{Name: "own"}
	secret, own := keyPair(t, ns, "own", began, began.Add(20*day))
	create(t, secret, serviceProvider(ns), object)
	newPod(t, ns, "main")
	await(t, object, "CertificatesValid", isFalse, "Expired")
	awaitEvent(t, object, "Warning", "Expired", fingerprint(idp)[:16], "Sign-in still works: ask the IdP's administrator for a new certificate, and put it into spec.saml.metadata.")
	awaitEvent(t, object, "Warning", "ExpiringWithin30Days", own[:16], "put a new key pair into Secret own")
	clock.SetTime(began.Add(14 * day))
	awaitEvent(t, object, "Warning", "ExpiringWithin7Days", own[:16], "put a new key pair into Secret own")
	if _, records := o.expiriesTold(t, object, own); !slices.Equal(records, []string{"ExpiringWithin30Days", "ExpiringWithin7Days"}) {
		t.Errorf("of the SP certificate was recorded %v", records)
	}
	// Once its successor is published, it is nobody's business any more.
	next, _ := keyPair(t, ns, "own", began, began.AddDate(3, 0, 0))
	secret.Data = next.Data
	update(t, secret)
	eventually(t, "the gauge of the SP certificate is cleared", func() bool { _, still := o.ends(t, "okta")["sp"]; return !still })
}

// TestMetadataIsRefreshedInItsIntervalAndExpires drives the schedule: the interval, a cacheDuration, the warning at a quarter of validUntil, and the end of it.
func TestMetadataIsRefreshedInItsIntervalAndExpires(t *testing.T) {
	t.Parallel()
	ns, clock := namespace(t), movable(t)
	server := newPlayed(t)
	o := newOperator(t, ns, withClock(clock), withFetcher(trust.FetcherOptions{Proxy: server.through, Clock: clock}))
	object, binding := server.connection(ns, "okta")
	object.Spec.SAML.Metadata.RefreshInterval = "4h"
	idp := upstream(t, "okta")
	server.play("okta", answer(string(idp.Metadata())))
	create(t, server.ca(ns), signInProvider(ns), object, binding)
	door := newDoor(t, o)
	await(t, object, "Ready", isTrue, "Serving")
	await(t, object, "MetadataFresh", isTrue, "Fresh")
	if n := server.times("okta"); n != 1 {
		t.Fatalf("the server was asked %d times at first", n)
	}
	// The next fetch is counted from when the answer was taken, and not from the question: the clock has to stand until then.
	asked := func(n int, when string) {
		t.Helper()
		eventually(t, fmt.Sprintf("%s the server was asked %d times", when, n), func() bool { return server.times("okta") == n && o.refreshes(t, "okta") == n })
	}
	// A tenth of the interval is left to chance.
	clock.Step(3*time.Hour + 30*time.Minute)
	clock.Step(time.Minute)
	if n := server.times("okta"); n != 1 {
		t.Errorf("after 3.5 of 4 hours the server was asked %d times", n)
	}
	clock.Step(30 * time.Minute)
	asked(2, "after four hours")

	until := clock.Now().Add(40 * day).UTC().Truncate(time.Second)
	server.play("okta", answer(strings.Replace(string(idp.Metadata()), "<md:EntityDescriptor",
		fmt.Sprintf(`<md:EntityDescriptor validUntil="%s" cacheDuration="PT1H"`, until.Format(time.RFC3339)), 1)))
	clock.Step(4 * time.Hour)
	asked(3, "after eight hours")
	eventually(t, "validUntil is shown", func() bool {
		return k8s.Get(t.Context(), client.ObjectKeyFromObject(object), object) == nil && object.Status.Metadata.ValidUntil != nil && object.Status.Metadata.ValidUntil.Time.Equal(until)
	})
	clock.Step(time.Hour)
	asked(4, "after the cacheDuration of an hour")

	// Then the publisher forgets it. It goes on being served, with a warning at a quarter, until it ends.
	clock.SetTime(until.Add(-9*day - 20*time.Hour))
	awaitEvent(t, object, "Warning", "MetadataExpiring", until.Format(time.DateOnly))
	await(t, object, "Ready", isTrue, "Serving")
	door.signsIn(t, "with a quarter left", "okta", idp)
	clock.SetTime(until.Add(time.Minute))
	await(t, object, "MetadataFresh", isFalse, "MetadataExpired")
	await(t, object, "TrustEstablished", isFalse, "MetadataExpired")
	awaitEvent(t, object, "Warning", "MetadataExpired", until.Format(time.DateOnly))
	if err := door.signIn("okta", "alice@"+domainOf("okta"), idp); err == nil {
		t.Error("people sign in with metadata that its publisher has let expire")
	}
	if n := o.audit.count(audit.TypeSAMLIdPMetadataStale, "okta"); n != 2 {
		t.Errorf("stale metadata was recorded %d times, want once at a quarter and once at the end", n)
	}
	server.play("okta", answer(string(idp.Metadata())))
	refresh(t, object, "published anew")
	await(t, object, "Ready", isTrue, "Serving")
	door.signsIn(t, "published anew", "okta", idp)
}

// keyPair is a TLS Secret of the user's, and the fingerprint of its certificate.
func keyPair(t testing.TB, ns, name string, from, to time.Time) (*corev1.Secret, string) {
	t.Helper()
	key, err := trust.NewRSAKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := trust.CertifySPKey(key, from, "https://sso.example.com/saml/"+name, to.Sub(from), nil)
	if err != nil {
		t.Fatal(err)
	}
	secret := &corev1.Secret{Type: corev1.SecretTypeTLS, Data: map[string][]byte{corev1.TLSCertKey: []byte(pemOf(pair.Certificate)), corev1.TLSPrivateKeyKey: privatePEM(pair.PrivateKey)}}
	secret.Namespace, secret.Name = ns, name
	return secret, fingerprint(&samltest.IdP{Certificate: pair.Certificate})
}

func privatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func parsed(t testing.TB, idp *samltest.IdP) *x509.Certificate {
	t.Helper()
	certificate, err := x509.ParseCertificate(idp.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}
