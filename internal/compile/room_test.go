package compile

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/snapshot"
)

// noise is n bytes that do not compress.
func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// words are n letters that compress to three quarters.
func words(r *rand.Rand, n int) string {
	return base64.StdEncoding.EncodeToString(noise(r, n))[:n]
}

// crowd is a ServiceProvider with one IdP, and domains that take more room the longer their names are; every next one is a minute younger.
type crowd struct {
	Input
	random *rand.Rand
}

func newCrowd() *crowd {
	return &crowd{random: rand.New(rand.NewPCG(7, 7)), Input: Input{Name: "main", Resolved: map[string]Resolved{}, ServiceProvider: &v1alpha1.ServiceProvider{
		ObjectMeta: metav1.ObjectMeta{Namespace: "sso", Name: "main"}, Spec: v1alpha1.ServiceProviderSpec{URL: "https://sso.example.com"}}}}
}

func (c *crowd) meta(name string, age int) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "sso", Name: name, UID: types.UID(fmt.Sprintf("%016x%016x", c.random.Uint64(), c.random.Uint64())), Generation: 1,
		CreationTimestamp: metav1.NewTime(time.Date(2026, 1, 1, 0, age, 0, 0, time.UTC))}
}

func (c *crowd) idp(name string, age int) {
	idp := v1alpha1.IdentityProvider{ObjectMeta: c.meta(name, age)}
	idp.Spec.ServiceProviderRef.Name = "main"
	c.IdentityProviders = append(c.IdentityProviders, idp)
	c.Resolved[name] = resolved(name, "")
}

func (c *crowd) domain(name, idp string, age int) {
	b := v1alpha1.DomainBinding{ObjectMeta: c.meta(name, age)}
	b.Spec.Domain = name
	b.Spec.IdentityProviderRef.Name = v1alpha1.ObjectName(idp)
	c.DomainBindings = append(c.DomainBindings, b)
}

// trust gives the IdP a certificate of so many bytes.
func (c *crowd) trust(idp string, size int) {
	r := c.Resolved[idp]
	larger := *r.Trust
	larger.SigningCertificates = [][]byte{noise(c.random, size)}
	r.Trust = &larger
	c.Resolved[idp] = r
}

// mapping gives the IdP a mapping, or the next generation of it, of so many letters.
func (c *crowd) mapping(idp string, size int) {
	name := "mapping-" + idp
	i := slices.IndexFunc(c.AttributeMappings, func(m v1alpha1.AttributeMapping) bool { return m.Name == name })
	if i < 0 {
		i = len(c.AttributeMappings)
		c.AttributeMappings = append(c.AttributeMappings, v1alpha1.AttributeMapping{ObjectMeta: c.meta(name, 0)})
	}
	m := &c.AttributeMappings[i]
	m.Generation++
	m.Spec.IdentityProviderRef.Name = v1alpha1.ObjectName(idp)
	m.Spec.Rules = nil
	for range size / 2_500 {
		rule := v1alpha1.GroupRule{When: "true"}
		for range 10 {
			rule.AddGroups = append(rule.AddGroups, v1alpha1.Group(words(c.random, 250)))
		}
		m.Spec.Rules = append(m.Spec.Rules, rule)
	}
}

// serve compiles, encodes, and serves that from now on.
func (c *crowd) serve(t *testing.T) (*Output, *snapshot.Encoded) {
	t.Helper()
	out := Compile(c.Input)
	encoded, err := out.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Previous = out.Snapshot
	return out, encoded
}

func domainsOf(s *snapshot.Snapshot) []string {
	found := names(s.Domains, func(d *snapshot.Domain) string { return d.Domain })
	slices.Sort(found)
	return found
}

func wantReason(t *testing.T, out *Output, kind, name, reason string, serving Serving) {
	t.Helper()
	f := out.Finding(kind, name)
	if accepted := f.Condition(v1alpha1.ConditionAccepted); accepted.Reason != reason || f.Serving != serving {
		t.Errorf("%s %s is %s and serves %s (%s), want %s and %s", kind, name, accepted.Reason, f.Serving, accepted.Message, reason, serving)
	}
}

// sharing returns names of IdPs that all lead to one Secret.
func sharing(n int) []string {
	var found []string
	for i := 0; len(found) < n; i++ {
		if name := fmt.Sprintf("idp-%d", i); snapshot.ShardOf(name) == 5 {
			found = append(found, name)
		}
	}
	return found
}

func TestDomainsThatCameLastWaitForRoom(t *testing.T) {
	c := newCrowd()
	c.idp("okta", 0)
	for i := range 8_000 {
		c.domain(fmt.Sprintf("first-%d.example", i), "okta", i)
	}
	out, _ := c.serve(t)
	first := domainsOf(out.Snapshot)
	// Names and ages lead into other orders.
	for i := range 40_000 {
		c.domain(fmt.Sprintf("%x.example", noise(c.random, 12)), "okta", 10_000+i)
	}
	youngest := c.DomainBindings[len(c.DomainBindings)-1].Name
	oldestNew := c.DomainBindings[8_000].Name

	out, encoded := c.serve(t)
	served := domainsOf(out.Snapshot)
	if !isIn(served, first...) {
		t.Error("domains that were served before are not any more")
	}
	if len(served) < 12_000 || len(encoded.Files[snapshot.IndexFile]) < snapshot.MaxFileBytes*9/10 {
		t.Errorf("%d domains in %d bytes leave room unused", len(served), len(encoded.Files[snapshot.IndexFile]))
	}
	if !isIn(served, oldestNew) || isIn(served, youngest) {
		t.Error("it is not the youngest that waits")
	}
	wantReason(t, out, v1alpha1.KindDomainBinding, oldestNew, v1alpha1.ReasonAccepted, ServingCurrent)
	wantReason(t, out, v1alpha1.KindDomainBinding, youngest, v1alpha1.ReasonSnapshotTooLarge, ServingNothing)
	wantReason(t, out, v1alpha1.KindIdentityProvider, "okta", v1alpha1.ReasonAccepted, ServingCurrent)

	again, same := c.serve(t)
	if same.Revision != encoded.Revision {
		t.Error("the next pass publishes something else")
	}
	wantReason(t, again, v1alpha1.KindDomainBinding, youngest, v1alpha1.ReasonSnapshotTooLarge, ServingNothing)

	// What goes makes room, also for the youngest.
	c.DomainBindings = slices.Delete(c.DomainBindings, 0, 40_000)
	out, _ = c.serve(t)
	wantReason(t, out, v1alpha1.KindDomainBinding, youngest, v1alpha1.ReasonAccepted, ServingCurrent)
}

func isIn(sorted []string, wanted ...string) bool {
	for _, name := range wanted {
		if _, found := slices.BinarySearch(sorted, name); !found {
			return false
		}
	}
	return true
}

func TestAnIdentityProviderThatCameLastWaitsForRoomAndOthersDoNot(t *testing.T) {
	c := newCrowd()
	shared := sharing(5)
	for i, name := range shared[:4] {
		c.idp(name, i)
		c.trust(name, 245_000)
	}
	out, _ := c.serve(t)
	wantReason(t, out, v1alpha1.KindIdentityProvider, shared[3], v1alpha1.ReasonAccepted, ServingCurrent)

	c.idp(shared[4], 10)
	c.trust(shared[4], 245_000)
	c.mapping(shared[4], 2_500)
	c.domain("late.example", shared[4], 10)
	c.idp("elsewhere", 11)
	c.domain("elsewhere.example", "elsewhere", 11)
	out, encoded := c.serve(t)
	wantReason(t, out, v1alpha1.KindIdentityProvider, shared[4], v1alpha1.ReasonSnapshotTooLarge, ServingNothing)
	wantReason(t, out, v1alpha1.KindAttributeMapping, "mapping-"+shared[4], v1alpha1.ReasonIdentityProviderNotAccepted, ServingNothing)
	wantReason(t, out, v1alpha1.KindDomainBinding, "late.example", v1alpha1.ReasonIdentityProviderNotAccepted, ServingNothing)
	for _, name := range append(shared[:4:4], "elsewhere") {
		wantReason(t, out, v1alpha1.KindIdentityProvider, name, v1alpha1.ReasonAccepted, ServingCurrent)
	}
	wantReason(t, out, v1alpha1.KindDomainBinding, "elsewhere.example", v1alpha1.ReasonAccepted, ServingCurrent)
	want := []snapshot.Domain{{Domain: "elsewhere.example", Connection: "elsewhere"}, {Domain: "late.example"}}
	for i, d := range out.Snapshot.Domains {
		if d.Domain != want[i].Domain || d.Connection != want[i].Connection {
			t.Errorf("%s leads to %q, want %q: nobody else may speak for a domain that waits", d.Domain, d.Connection, want[i].Connection)
		}
	}
	if _, same := c.serve(t); same.Revision != encoded.Revision {
		t.Error("the next pass publishes something else")
	}
}

func TestWhatGrowsBeyondTheRoomIsServedAsBefore(t *testing.T) {
	c := newCrowd()
	shared := sharing(4)
	for i, name := range shared {
		c.idp(name, i)
		c.trust(name, 245_000)
	}
	c.mapping(shared[1], 2_500)
	c.mapping(shared[2], 30_000)
	before, _ := c.serve(t)

	// One mapping grows too much; somebody switches that IdP off, and another one's mapping becomes another of the same size.
	c.mapping(shared[1], 120_000)
	c.IdentityProviders[1].Generation++
	c.IdentityProviders[1].Spec.State = v1alpha1.StateDisabled
	c.mapping(shared[2], 30_000)
	out, _ := c.serve(t)
	wantReason(t, out, v1alpha1.KindAttributeMapping, "mapping-"+shared[1], v1alpha1.ReasonSnapshotTooLarge, ServingLastGood)
	wantReason(t, out, v1alpha1.KindIdentityProvider, shared[1], v1alpha1.ReasonAccepted, ServingCurrent)
	wantReason(t, out, v1alpha1.KindAttributeMapping, "mapping-"+shared[2], v1alpha1.ReasonAccepted, ServingCurrent)
	is, was := connectionOf(out, shared[1]), connectionOf(before, shared[1])
	if is.Enabled || !cmp.Equal(is.Mapping, was.Mapping) {
		t.Errorf("enabled %v, want it switched off, with the mapping of before", is.Enabled)
	}
	if cmp.Equal(connectionOf(out, shared[2]).Mapping, connectionOf(before, shared[2]).Mapping) {
		t.Error("a mapping that has not grown is the one of before")
	}

	// Metadata grows too much, and the same edit switches the IdP off.
	c.trust(shared[0], 400_000)
	c.IdentityProviders[0].Spec.State = v1alpha1.StateDisabled
	out, _ = c.serve(t)
	wantReason(t, out, v1alpha1.KindIdentityProvider, shared[0], v1alpha1.ReasonSnapshotTooLarge, ServingLastGood)
	is, was = connectionOf(out, shared[0]), connectionOf(before, shared[0])
	if is.Enabled || !cmp.Equal(is.Trust, was.Trust) {
		t.Errorf("enabled %v, want it switched off, with the trust of before", is.Enabled)
	}
}

func connectionOf(out *Output, name string) *snapshot.Connection {
	i := slices.IndexFunc(out.Snapshot.Connections, func(c snapshot.Connection) bool { return c.Name == name })
	return &out.Snapshot.Connections[i]
}

func TestSettingsThatLeaveNoRoomAreSaid(t *testing.T) {
	c := newCrowd()
	for i := range 8_000 {
		c.domain(fmt.Sprintf("d%d.example", i), "okta", i)
	}
	c.idp("okta", 0)
	c.serve(t)
	c.ServiceProvider.Spec.Redirects = &v1alpha1.RedirectSettings{}
	for range 2_000 {
		c.ServiceProvider.Spec.Redirects.AllowedHosts = append(c.ServiceProvider.Spec.Redirects.AllowedHosts, v1alpha1.AllowedHost(words(c.random, 1000)))
	}
	if _, err := Compile(c.Input).Encode(nil); err == nil {
		t.Error("it fits")
	} else if _, ok := errors.AsType[*snapshot.TooLargeError](err); !ok {
		t.Error(err)
	}
}
