package controllers

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit/sink"
)

// receiver is a webhook's server. It keeps what came, by the key of which the signature is.
type receiver struct {
	*httptest.Server
	keys  []string
	mutex sync.Mutex
	came  map[string]string
}

func newReceiver(t testing.TB, keys ...string) *receiver {
	t.Helper()
	r := &receiver{keys: keys, came: map[string]string{}}
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			t.Error(err)
		}
		key := r.signedWith(request.Header.Get(sink.SignatureHeader), body)
		r.mutex.Lock()
		defer r.mutex.Unlock()
		r.came[key] += string(body)
	}))
	t.Cleanup(r.Close)
	return r
}

// signedWith computes the signature anew, as the guide says, with each of the keys. Empty: it is none of theirs.
func (r *receiver) signedWith(signature string, body []byte) string {
	seconds, _, _ := strings.Cut(strings.TrimPrefix(signature, "t="), ",")
	at, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return ""
	}
	for _, key := range r.keys {
		if sink.Signature([]byte(key), time.Unix(at, 0), body) == signature {
			return key
		}
	}
	return ""
}

// has tells whether a record of the object, or of any for "", came under the signature of the key; the key "" is none of ours.
func (r *receiver) has(key, object string) bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if object == "" {
		return r.came[key] != ""
	}
	return strings.Contains(r.came[key], `"name":"`+object+`"`)
}

// servedSinkKey is what the one sink of the published snapshot signs with. Empty: there is no sink, or another snapshot is just being published.
func servedSinkKey(t testing.TB, ns string) string {
	t.Helper()
	s, err := tryServed(t, ns)
	if err != nil || len(s.ServiceProvider.AuditSinks) != 1 {
		return ""
	}
	return string(s.ServiceProvider.AuditSinks[0].Secret)
}

// TestAnAuditSinkFollowsItsSecret: what is missing shows on the ServiceProvider, and what is made, changed or taken away afterwards counts without any other change.
func TestAnAuditSinkFollowsItsSecret(t *testing.T) {
	t.Parallel()
	const first, second = "first-key-of-the-receiver", "second-key-of-the-receiver"
	ns := namespace(t)
	o, siem := newOperator(t, ns), newReceiver(t, first, second)
	sp := withPeople(ns)
	sp.Spec.Audit.Sinks = []v1alpha1.AuditSink{{Name: "siem", Webhook: &v1alpha1.WebhookSink{URL: v1alpha1.HTTPSURL(siem.URL + "/in"), KeySecretRef: v1alpha1.SecretKeyReference{Name: "siem"},
		CABundle: &v1alpha1.CABundleSource{ConfigMapRef: &v1alpha1.ConfigMapKeyReference{Name: "siem-ca"}}}}}
	create(t, sp)
	p := newServing(t, ns)
	t.Cleanup(o.stop)
	problem := func(reason, part string) {
		t.Helper()
		eventually(t, part, func() bool { return strings.Contains(await(t, sp, v1alpha1.ConditionAccepted, isFalse, reason), part) })
	}
	delivers := func(key, idp string) {
		t.Helper()
		await(t, sp, v1alpha1.ConditionAccepted, isTrue, v1alpha1.ReasonAccepted)
		eventually(t, "the snapshot to have "+key, func() bool { return servedSinkKey(t, ns) == key })
		await(t, sp, "Programmed", isTrue, "Programmed")
		create(t, identityProvider(ns, idp, inline(t)))
		eventually(t, "the record of "+idp+", signed with "+key, func() bool { return siem.has(key, idp) })
	}

	problem(v1alpha1.ReasonReferenceNotFound, "spec.audit.sinks[siem].webhook.keySecretRef: there is no Secret siem in this namespace: create it, or correct the name.")
	if s := served(t, ns); len(s.ServiceProvider.AuditSinks) != 0 {
		t.Errorf("served without its key: %+v", s.ServiceProvider.AuditSinks)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "siem"}, Data: map[string][]byte{"key": []byte(first)}}
	create(t, secret)
	problem(v1alpha1.ReasonReferenceNotFound, "spec.audit.sinks[siem].webhook.caBundle: there is no ConfigMap siem-ca in this namespace")
	ca := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "siem-ca"}, Data: map[string]string{"ca.crt": "nonsense"}}
	create(t, ca)
	problem(v1alpha1.ReasonInvalidCertificate, "spec.audit.sinks[siem].webhook.caBundle: ConfigMap siem-ca, key ca.crt")
	ca.Data["ca.crt"] = pemOf(siem.Certificate().Raw)
	update(t, ca)
	delivers(first, "okta")

	secret.Data["key"] = []byte(second)
	update(t, secret)
	delivers(second, "entra")

	secret.Data = map[string][]byte{"other": []byte(first)}
	update(t, secret)
	problem(v1alpha1.ReasonReferenceNotFound, "spec.audit.sinks[siem].webhook.keySecretRef: Secret siem has no key key: add it, or name another key.")
	remove(t, secret)
	problem(v1alpha1.ReasonReferenceNotFound, "spec.audit.sinks[siem].webhook.keySecretRef: there is no Secret siem")
	// What was served stays: the sink keeps its place, and goes on with the key that it had.
	create(t, identityProvider(ns, "ping", inline(t)))
	eventually(t, "a record after the Secret has gone", func() bool { return siem.has(second, "ping") })
	secret.ObjectMeta, secret.Data = metav1.ObjectMeta{Namespace: ns, Name: "siem"}, map[string][]byte{"key": []byte(first)}
	create(t, secret)
	delivers(first, "shibboleth")

	if sp.Generation != 1 {
		t.Errorf("the ServiceProvider was changed: generation %d", sp.Generation)
	}
	if siem.has("", "") {
		t.Error("records came with no signature of ours")
	}
	told := kubectl(t, "get", "sp/main", "-n", ns, "-o", "yaml") + kubectl(t, "get", "events", "-n", ns, "-o", "yaml") + p.log.String()
	for _, key := range []string{first, second} {
		if strings.Contains(told, key) {
			t.Errorf("%s is in the status, in an Event or in the log", key)
		}
	}
}
