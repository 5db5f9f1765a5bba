package controllers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"slices"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/compile"
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/trust"
)

// largeDirectory is a ServiceProvider with as many IdentityProviders and DomainBindings as one is made for, in the state in which passes have left them, and
// those steps of a pass that ask nobody: what each pass costs, whatever it is made for.
type largeDirectory struct {
	*Reconciler
	memory   *memory
	sp       v1alpha1.ServiceProvider
	idps     []v1alpha1.IdentityProvider
	bindings []v1alpha1.DomainBinding
	now      time.Time
}

func newLargeDirectory(t testing.TB, idps, bindings int) *largeDirectory {
	t.Helper()
	d := &largeDirectory{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	d.Reconciler = &Reconciler{Clock: clock.RealClock{}, Audit: audit.NewStdout(io.Discard, "test", clock.RealClock{}), Events: &events.FakeRecorder{}}
	d.refresher = trust.NewRefresher(trust.RefresherOptions{Clock: d.Clock})
	d.proofs = newProofs(func(context.Context, string) ([]string, bool, error) { return nil, false, nil }, func(types.NamespacedName) {}, d.Clock)
	d.removals = newRemovals(nil, nil, d.Clock)
	d.gauges = newGauges()
	d.memory = d.Reconciler.memory.of(d.key())
	d.memory.recalled, d.memory.ledger = true, newLedger(d.key())
	d.memory.ledger.exists = true
	d.sp = v1alpha1.ServiceProvider{ObjectMeta: metav1.ObjectMeta{Namespace: "sso", Name: "main", UID: "sp", Generation: 1}, Spec: v1alpha1.ServiceProviderSpec{URL: "https://sso.example.com"}}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	policy := trust.KeyPolicy{}
	for i := range idps {
		idp := v1alpha1.IdentityProvider{ObjectMeta: d.made("idp", i)}
		idp.Finalizers = []string{v1alpha1.FinalizerDomainBindings}
		idp.Spec.ServiceProviderRef.Name, idp.Spec.DisplayName = "main", "Benchmark"
		idp.Spec.SAML.Metadata.Inline = metadataOf(t, idp.Name, d.now)
		d.idps = append(d.idps, idp)
		set, err := trust.PlanKeys(trust.KeySet{}, policy, trust.KeyWish{}, d.now).Apply(func() (snapshot.SPKey, error) {
			return trust.CertifySPKey(rsaKey, d.now, compile.EntityID(string(d.sp.Spec.URL), idp.Name), trust.DefaultKeyLifetime, nil)
		})
		if err != nil {
			t.Fatal(err)
		}
		set.Keys[0].Served = d.now
		d.memory.idp(idp.UID).keys = set
	}
	for i := range bindings {
		b := v1alpha1.DomainBinding{ObjectMeta: d.made("domain", i)}
		b.Spec.Domain = fmt.Sprintf("d%05d.example.com", i)
		b.Spec.IdentityProviderRef.Name = v1alpha1.ObjectName(d.idps[i%idps].Name)
		d.bindings = append(d.bindings, b)
	}
	for range 3 {
		d.settle(t)
	}
	return d
}

func (d *largeDirectory) key() types.NamespacedName {
	return types.NamespacedName{Namespace: "sso", Name: "main"}
}

func (d *largeDirectory) made(kind string, i int) metav1.ObjectMeta {
	name := fmt.Sprintf("%s-%05d", kind, i)
	return metav1.ObjectMeta{Namespace: "sso", Name: name, UID: types.UID(fmt.Sprintf("%08x-0000-4000-8000-%s", i, name)), Generation: 1, ResourceVersion: "1",
		CreationTimestamp: metav1.NewTime(d.now.Add(time.Duration(i) * time.Millisecond).Truncate(time.Second))}
}

func metadataOf(t testing.TB, name string, now time.Time) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now, NotAfter: now.AddDate(2, 0, 0)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://%[1]s.example.com/idp">
  <IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
    <KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>%[2]s</X509Certificate></X509Data></KeyInfo></KeyDescriptor>
    <SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://%[1]s.example.com/sso"/>
  </IDPSSODescriptor>
</EntityDescriptor>`, name, base64.StdEncoding.EncodeToString(certificate))
}

// scope begins a pass, as collect does.
func (d *largeDirectory) scope() *scope {
	s := &scope{key: d.key(), now: d.now, memory: d.memory, contents: map[string]map[string][]byte{}, unheld: sets.New[types.UID]()}
	sp := d.sp
	s.serviceProvider = &sp
	s.idps, s.bindings = append(s.idps, d.idps...), append(s.bindings, d.bindings...)
	s.catchUp()
	d.letGo(s)
	return s
}

// pass is everything between reading the objects and writing statuses.
func (d *largeDirectory) pass(t testing.TB) (*scope, []subject) {
	t.Helper()
	s := d.scope()
	ctx := context.Background()
	acknowledge := func(_ context.Context, s *scope) error {
		s.programmed = programmed{wanted: 1, ready: 1, serving: 1, all: true}
		s.ready = []*corev1.Pod{}
		d.memory.published = &published{served: s.wanted, encoded: s.encoded, files: s.encoded.Files}
		d.memory.served = d.memory.published.served
		d.memory.waitsToBeServed(time.Now())
		return nil
	}
	err := s.run(ctx, []step{{"trust", d.resolve}, {"verify", d.verify}, {"compile", d.compile}, {"changes", d.tellChangesOnly}, {"acknowledge", acknowledge}, {"undo", d.undo}})
	if err != nil {
		t.Fatal(err)
	}
	all := d.subjects(s)
	d.gauges.set(s, all)
	return s, all
}

func (d *largeDirectory) tellChangesOnly(ctx context.Context, s *scope) error {
	return d.tellChanges(ctx, s)
}

// settle makes a pass and takes over the statuses that it would write.
func (d *largeDirectory) settle(t testing.TB) {
	t.Helper()
	_, all := d.pass(t)
	for _, o := range all {
		switch status := o.after.(type) {
		case v1alpha1.IdentityProviderStatus:
			d.idps[indexOf(d.idps, o.object.GetName())].Status = status
		case v1alpha1.DomainBindingStatus:
			d.bindings[indexOf(d.bindings, o.object.GetName())].Status = status
		case v1alpha1.ServiceProviderStatus:
			d.sp.Status = status
		}
	}
	l := d.memory.ledger
	l.Records, l.dirty, l.unsaved = nil, false, false
	clear(d.memory.told)
}

func indexOf[T any, P interface {
	*T
	metav1.Object
}](all []T, name string) int {
	for i := range all {
		if P(&all[i]).GetName() == name {
			return i
		}
	}
	return -1
}

// TestWhatChangesIsSeenAndNothingElse changes one thing after the other, and compares what a pass wants to write with a full comparison of every status.
func TestWhatChangesIsSeenAndNothingElse(t *testing.T) {
	d := newLargeDirectory(t, 20, 60)
	if changed := d.changed(t); len(changed) > 0 {
		t.Fatalf("at rest there is something to write: %v", changed)
	}
	later := metav1.NewTime(d.now.Add(time.Hour))
	for _, c := range []struct {
		what   string
		change func()
		wants  []string
	}{
		{"a binding has a new generation", func() { d.bindings[7].Generation++ }, []string{"domain-00007"}},
		{"a binding moves to another IdentityProvider", func() { d.bindings[7].Spec.IdentityProviderRef.Name = "idp-00008" }, []string{"idp-00007", "idp-00008"}},
		{"a domain is none", func() { d.bindings[9].Spec.Domain = "com" }, []string{"domain-00009", "main"}},
		{"an IdentityProvider is switched off", func() { d.idps[3].Spec.State, d.idps[3].Generation = v1alpha1.StateDisabled, 2 }, []string{"idp-00003"}},
		{"one is being deleted", func() { d.idps[4].DeletionTimestamp = &later }, []string{"idp-00004"}},
		{"one has other metadata", func() {
			d.idps[5].Spec.SAML.Metadata.Inline, d.idps[5].Generation = metadataOf(t, "idp-00005", d.now), 2
		}, []string{"idp-00005"}},
		{"somebody wrote into a status", func() { d.bindings[11].Status.Conditions[0].Message = "mine" }, []string{"domain-00011"}},
		{"somebody emptied a status", func() { d.idps[6].Status = v1alpha1.IdentityProviderStatus{} }, []string{"idp-00006"}},
		{"a certificate comes near its end", func() { d.now = d.idps[0].Status.Certificates[0].NotAfter.Add(-20 * 24 * time.Hour) }, nil},
	} {
		c.change()
		changed := d.changed(t)
		for _, want := range c.wants {
			if !slices.Contains(changed, want) {
				t.Errorf("%s: %s is not written, but %v", c.what, want, changed)
			}
		}
		if c.wants == nil && len(changed) < len(d.idps) || c.wants != nil && len(changed) > len(c.wants)+1 {
			t.Errorf("%s: written are %v", c.what, changed)
		}
		for range 3 {
			d.settle(t)
		}
		if changed := d.changed(t); len(changed) > 0 {
			t.Errorf("%s: it does not come to rest: %v", c.what, changed)
		}
	}
}

// changed are the names of the objects that a pass wants to write.
func (d *largeDirectory) changed(t testing.TB) (names []string) {
	t.Helper()
	s, all := d.pass(t)
	for _, o := range all {
		if same := apiequality.Semantic.DeepEqual(o.before, o.after); o.same() != same {
			t.Errorf("%s %s: same is %v, and comparing everything says %v", o.kind, o.object.GetName(), !same, same)
		}
	}
	for _, c := range s.changes(all) {
		names = append(names, c.object.GetName())
	}
	return names
}

func BenchmarkPassAtRest(b *testing.B) {
	d := newLargeDirectory(b, 1000, 5000)
	b.ReportAllocs()
	begin := cpu()
	defer func() { b.ReportMetric(float64(cpu()-begin)/1e6/float64(b.N), "cpu-ms/op") }()
	for b.Loop() {
		s, all := d.pass(b)
		if err := d.writeChanged(context.Background(), s, all); err != nil {
			b.Fatal(err)
		}
		if s.left || d.memory.ledger.dirty {
			b.Fatal("there is something to write at rest")
		}
	}
}

func BenchmarkLedger(b *testing.B) {
	d := newLargeDirectory(b, 1000, 5000)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		content, err := d.memory.ledger.encode()
		if err != nil {
			b.Fatal(err)
		}
		n = len(content)
	}
	b.ReportMetric(float64(n), "bytes")
}

func BenchmarkPublishOneMore(b *testing.B) {
	d := newLargeDirectory(b, 1000, 5000)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		next := *d.memory.published.snapshot
		next.Domains = append([]snapshot.Domain{{Domain: fmt.Sprintf("more%d.example.com", n)}}, next.Domains...)
		n++
		if _, err := snapshot.EncodeAfter(d.memory.published.encoded, next); err != nil {
			b.Fatal(err)
		}
	}
	e := d.memory.published.encoded
	b.ReportMetric(float64(len(e.Files[snapshot.IndexFile])), "bytes")
}

func cpu() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}
