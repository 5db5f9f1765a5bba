package controllers

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/controllers"
	"sallyport.dev/sallyport/internal/audit"
)

// nameServer is a DNS server on loopback, over UDP and TCP, with TXT records that a test changes.
type nameServer struct {
	address string

	mutex   sync.Mutex
	records map[string][]string
	refuse  int // the code that every question is answered with; 0: none
	silent  bool
	asked   int
}

func newNameServer(t testing.TB) *nameServer {
	t.Helper()
	s := &nameServer{records: map[string][]string{}}
	packets, streams := bothOnOnePort(t)
	s.address = packets.LocalAddr().String()
	for _, server := range []*dns.Server{{PacketConn: packets, Handler: s}, {Listener: streams, Handler: s}} {
		done := make(chan error, 1)
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() { done <- server.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			_ = server.Shutdown()
			<-done
		})
	}
	return s
}

// bothOnOnePort listens for UDP and TCP. A port that is free for the one may be taken for the other, by another test or by a connection that has just ended:
// then another one is tried.
func bothOnOnePort(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	var err error
	for range 100 {
		var packets net.PacketConn
		if packets, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			continue
		}
		var streams net.Listener
		if streams, err = net.Listen("tcp", packets.LocalAddr().String()); err == nil {
			return packets, streams
		}
		packets.Close()
	}
	t.Fatalf("no port is free for UDP and TCP: %v", err)
	return nil, nil
}

// ServeDNS answers questions for TXT records. What does not fit into a packet is truncated there, and whole over TCP.
func (s *nameServer) ServeDNS(w dns.ResponseWriter, question *dns.Msg) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.asked++
	if s.silent {
		return
	}
	answer := new(dns.Msg).SetReply(question)
	name := strings.TrimSuffix(strings.ToLower(question.Question[0].Name), ".")
	values, known := s.records[name]
	switch {
	case s.refuse != 0:
		answer.Rcode = s.refuse
	case !known:
		answer.Rcode = dns.RcodeNameError
	}
	for _, value := range values {
		var parts []string // a string of a TXT record has at most 255 octets
		for ; len(value) > 30; value = value[30:] {
			parts = append(parts, value[:30])
		}
		answer.Answer = append(answer.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: question.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: append(parts, value)})
	}
	if _, udp := w.LocalAddr().(*net.UDPAddr); udp {
		answer.Truncate(512)
	}
	_ = w.WriteMsg(answer)
}

// set changes what the server knows and does.
func (s *nameServer) set(change func(*nameServer)) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	change(s)
}

// verified is an operator that asks the server, with a domain that asks for proof.
func verified(t *testing.T) (s *nameServer, o *operator, clock *testingclock.FakeClock, ns string, binding *v1alpha1.DomainBinding) {
	t.Helper()
	s = newNameServer(t)
	lookUp, err := controllers.ResolverOf([]string{s.address})
	if err != nil {
		t.Fatal(err)
	}
	ns, clock = namespace(t), testingclock.NewFakeClock(time.Now())
	o = newOperator(t, ns, withDNS(lookUp), withClock(clock))
	binding = domainBinding(ns, "acme", "acme.example", "okta")
	binding.Spec.Verification.Method = v1alpha1.VerificationDNS
	create(t, serviceProvider(ns), identityProvider(ns, "okta", inline(t)), binding)
	newPod(t, ns, "main")
	return s, o, clock, ns, binding
}

// heldDomain tells whether the domain is served for nobody: the catch-all may not have it either.
func heldDomain(t *testing.T, ns string) bool {
	t.Helper()
	domains := served(t, ns).Domains
	return len(domains) == 1 && domains[0].Domain == "acme.example" && domains[0].Connection == ""
}

func TestADomainIsProvedByItsTXTRecord(t *testing.T) {
	t.Parallel()
	s, o, clock, ns, binding := verified(t)
	message := await(t, binding, "Verified", isFalse, "RecordNotFound")
	await(t, binding, "Ready", isFalse, "RecordNotFound")
	record := binding.Status.Verification
	if record == nil || record.RecordName != "_sallyport-challenge.acme.example" || !strings.HasPrefix(record.RecordValue, "sallyport-verification=") {
		t.Fatalf("the record to write is %+v", record)
	}
	mustContain(t, message, record.RecordName, record.RecordValue)
	if !heldDomain(t, ns) {
		t.Errorf("not proved, and served: %+v", served(t, ns).Domains)
	}
	// Another value proves nothing.
	s.set(func(s *nameServer) {
		s.records[record.RecordName] = []string{"sallyport-verification=of-somebody-else", "v=spf1 -all"}
	})
	eventually(t, "the other value is seen", func() bool {
		clock.Step(time.Minute)
		nudge(t, binding)
		return strings.Contains(await(t, binding, "Verified", isFalse, "RecordNotFound"), "has TXT records, but none has the right value")
	})
	// Many records do not fit into a packet.
	s.set(func(s *nameServer) {
		for range 30 {
			s.records[record.RecordName] = append(s.records[record.RecordName], strings.Repeat("x", 60))
		}
		s.records[record.RecordName] = append(s.records[record.RecordName], record.RecordValue)
	})
	eventually(t, "the record is seen", func() bool { clock.Step(time.Minute); nudge(t, binding); return isReady(t, binding) })
	await(t, binding, "Verified", isTrue, "Verified")
	if heldDomain(t, ns) {
		t.Error("proved, and not served")
	}
	if n := o.audit.count(audit.TypeSAMLDomainVerified, "acme"); n != 1 {
		t.Errorf("the proof was recorded %d times", n)
	}

	// It is looked at again every hour, and a record that is gone is gone at once.
	s.set(func(s *nameServer) { delete(s.records, record.RecordName) })
	clock.Step(61 * time.Minute)
	nudge(t, binding)
	await(t, binding, "Verified", isFalse, "RecordNotFound")
	await(t, binding, "Ready", isFalse, "RecordNotFound")
	eventually(t, "the domain is served for nobody", func() bool { return heldDomain(t, ns) })
}

// TestADNSThatDoesNotAnswerFailsClosed: what was never proved is not served, and what was is for six hours more.
func TestADNSThatDoesNotAnswerFailsClosed(t *testing.T) {
	t.Parallel()
	values := map[string]bool{}
	for name, broken := range map[string]func(*nameServer){
		"SERVFAIL": func(s *nameServer) { s.refuse = dns.RcodeServerFailure },
		"REFUSED":  func(s *nameServer) { s.refuse = dns.RcodeRefused },
	} {
		t.Run(name, func(t *testing.T) {
			s, o, clock, ns, binding := verified(t)
			s.set(broken)
			await(t, binding, "Verified", isFalse, "RecordNotFound")
			clock.Step(time.Minute)
			record := *binding.Status.Verification
			if values[record.RecordValue] {
				t.Error("two ServiceProviders ask for the same value: one could prove a domain for the other")
			}
			values[record.RecordValue] = true
			o.restart() // one that has never heard anything
			mustContain(t, await(t, binding, "Verified", isFalse, "LookupFailed"), "the DNS server answered "+name, record.RecordName, record.RecordValue)
			if !heldDomain(t, ns) {
				t.Error("never proved, and served")
			}
			s.set(func(s *nameServer) { s.refuse, s.records[record.RecordName] = 0, []string{record.RecordValue} })
			eventually(t, "the record is seen", func() bool { clock.Step(time.Minute); nudge(t, binding); return isReady(t, binding) })

			s.set(broken)
			before := s.questions()
			for range 5 {
				clock.Step(61 * time.Minute)
				nudge(t, binding)
				eventually(t, "the DNS is asked again", func() bool { return s.questions() > before })
				before = s.questions()
			}
			await(t, binding, "Verified", isTrue, "Verified")
			clock.Step(61 * time.Minute)
			nudge(t, binding)
			await(t, binding, "Verified", isFalse, "LookupFailed")
			eventually(t, "the domain is served for nobody", func() bool { return heldDomain(t, ns) })
		})
	}
}

// TestAProofIsForOneServiceProvider: a binding that moves takes the proof of the one along to no other, also while the DNS gives no answer.
func TestAProofIsForOneServiceProvider(t *testing.T) {
	t.Parallel()
	s, _, clock, ns, binding := verified(t)
	await(t, binding, "Verified", isFalse, "RecordNotFound")
	first := *binding.Status.Verification
	s.set(func(s *nameServer) { s.records[first.RecordName] = []string{first.RecordValue} })
	eventually(t, "the record is seen", func() bool { clock.Step(time.Minute); nudge(t, binding); return isReady(t, binding) })
	s.set(func(s *nameServer) { s.refuse = dns.RcodeServerFailure })
	other, entra := serviceProvider(ns), identityProvider(ns, "entra", inline(t))
	other.Name, other.Spec.URL, entra.Spec.ServiceProviderRef.Name = "other", "https://sso.example.org", "other"
	create(t, other, entra)
	newPod(t, ns, "other")
	get(t, binding)
	before := client.MergeFrom(binding.DeepCopy())
	binding.Spec.IdentityProviderRef.Name = "entra"
	if err := k8s.Patch(t.Context(), binding, before); err != nil {
		t.Fatal(err)
	}
	await(t, binding, "Verified", isFalse, "LookupFailed")
	if second := binding.Status.Verification; second.RecordValue == first.RecordValue {
		t.Error("both ask for the same value")
	}
}

// nudge brings a pass: the operator itself looks again by the real time.
func nudge(t *testing.T, binding *v1alpha1.DomainBinding) {
	t.Helper()
	intent := map[string]any{"apiVersion": v1alpha1.GroupVersion.String(), "kind": v1alpha1.KindDomainBinding,
		"metadata": map[string]any{"name": binding.Name, "namespace": binding.Namespace, "annotations": map[string]any{"example.com/nudge": time.Now().String()}}}
	err := k8s.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(&unstructured.Unstructured{Object: intent}), client.FieldOwner("test"), client.ForceOwnership)
	if err != nil {
		t.Fatal(err)
	}
}

// TestANameServerThatIsSilentIsNotTheOnlyOne: the next one is asked.
func TestANameServerThatIsSilentIsNotTheOnlyOne(t *testing.T) {
	t.Parallel()
	silent, good := newNameServer(t), newNameServer(t)
	silent.set(func(s *nameServer) { s.silent = true })
	good.set(func(s *nameServer) { s.records["_sallyport-challenge.acme.example"] = []string{"value"} })
	lookUp, err := controllers.ResolverOf([]string{silent.address, good.address})
	if err != nil {
		t.Fatal(err)
	}
	records, found, err := lookUp(t.Context(), "_sallyport-challenge.acme.example")
	if err != nil || !found || len(records) != 1 || records[0] != "value" || silent.questions() == 0 {
		t.Errorf("%v %v %v", records, found, err)
	}
}

func (s *nameServer) questions() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.asked
}
