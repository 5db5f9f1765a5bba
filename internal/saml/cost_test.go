package saml

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/saml/samltest"
	"sallyport.dev/sallyport/internal/saml/xmlenc"
	"sallyport.dev/sallyport/internal/snapshot"
)

// What one message may cost before it is authenticated.
const (
	maxCPU   = 100 * time.Millisecond
	maxBytes = 32 << 20
)

// hostile is a message that an attacker without any key makes as expensive as the limits allow. "Without any key" includes someone
// who holds an old signed response of the IdP, whose signature can be put anywhere.
type hostile struct {
	name string
	edit func(*samltest.Response)
}

// filler puts XML between the assertion's signature and its subject, where the digest has to read it.
func filler(xml string) func(*samltest.Response) {
	return sent(func(s string) string { return strings.Replace(s, "<saml:Subject>", xml+"<saml:Subject>", 1) })
}

// declared is an element that declares n prefixes and uses all of them.
func declared(n int, content string) string {
	var b strings.Builder
	b.WriteString("<n0:x")
	for i := range n {
		fmt.Fprintf(&b, ` xmlns:n%d="urn:example:namespace:%d"`, i, i)
	}
	b.WriteString(">" + content + "</n0:x>")
	return b.String()
}

// hostiles are as large as the limits for size times the default number of bytes allow.
func hostiles(size int) []hostile {
	used := ""
	for i := range 14 {
		used += fmt.Sprintf(` n%d:a="1"`, i)
	}
	return []hostile{
		{"elements", filler(strings.Repeat("<a/>", size*5900))},
		{"deep", filler(strings.Repeat(strings.Repeat("<a>", 58)+strings.Repeat("</a>", 58), size*100))},
		{"namespaces in scope of many elements", filler(declared(14, strings.Repeat("<a/>", size*5900)))},
		{"namespaces used by many elements", filler(declared(14, strings.Repeat("<a"+used+"/>", size*840)))},
		{"namespaces declared by many elements", filler(strings.Repeat(`<a xmlns:b="c"/>`, size*5900))},
		{"prefixes redeclared", filler(strings.Repeat(`<b:a xmlns:b="c" b:a=""/>`, size*5850))},
		{"attributes", filler(strings.Repeat("<a"+manyAttributes("", 60)+"/>", size*195))},
		{"comments", filler(strings.Repeat("<a/><!---->", 190) + "<a>" + strings.Repeat("x", size*180<<10) + "</a>")},
		{"CDATA sections", filler("<a>" + strings.Repeat("<![CDATA["+strings.Repeat("&", size*900)+"]]>", 190) + "</a>")},
		{"references", filler("<a>" + strings.Repeat("&lt;", size*45000) + "</a>")},
		{"attribute references", filler(`<a b="` + strings.Repeat("&#x41;", size*30000) + `"/>`)},
		{"carriage returns", filler("<a>" + strings.Repeat("\r", size*150<<10) + "</a>")},
		{"white space", filler(strings.Repeat(" \n", size*75<<10))},
		{"SignedInfo in many namespaces", sent(func(s string) string {
			s = strings.Replace(s, "alice@", "mallory@", 1)
			return strings.Replace(s, "<saml:Assertion ", "<saml:Assertion"+strings.TrimSuffix(strings.TrimPrefix(declared(12, ""), "<n0:x"), "></n0:x>")+" ", 1)
		})},
		{"PrefixList", sent(func(s string) string {
			return strings.Replace(s, `<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:CanonicalizationMethod>`,
				`<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"><e:InclusiveNamespaces xmlns:e="http://www.w3.org/2001/10/xml-exc-c14n#" PrefixList="`+
					strings.Repeat("a ", size*70000)+`"/></ds:CanonicalizationMethod>`, 1)
		})},
		{"KeyInfo with a large certificate", sent(func(s string) string {
			return replace(between(s, "<ds:X509Certificate>", "</ds:X509Certificate>"), "<ds:X509Certificate>"+strings.Repeat("MIIC", size*40<<10)+"</ds:X509Certificate>")(replace("alice", "mallory")(s))
		})},
		{"SignatureValue", sent(func(s string) string {
			return replace(between(s, "<ds:SignatureValue>", "</ds:SignatureValue>"), "<ds:SignatureValue>"+strings.Repeat("AAAA", size*40<<10)+"</ds:SignatureValue>")(s)
		})},
		{"attributes of a refused response are still shown", both(func(r *samltest.Response) { r.Attributes[1].Values = groups(size * 2000) }, sent(replace("alice@example.com", "mallory@example.com")))},
		{"encrypted to nobody, four keys", func(r *samltest.Response) {
			stranger := rsa3072().Public().(*rsa.PublicKey)
			r.EncryptTo = []*rsa.PublicKey{stranger, stranger, stranger, stranger}
		}},
		{"encrypted bomb", encryptedTwin(func(string, string) string {
			return `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">` + declared(14, strings.Repeat("<a/>", size*5900)) + `</saml:Assertion>`
		})},
		{"encrypted long text", encryptedTwin(func(string, string) string { return "<a>" + strings.Repeat("x", size*120<<10) + "</a>" })},
	}
}

// largest is how many times the default number of bytes may be allowed.
const largest = MostMaxMessage / DefaultMaxMessage

func TestCostOfHostileResponses(t *testing.T) {
	t.Run("256 KiB", func(t *testing.T) { hostileCosts(t, 1) })
	// The largest limits that may be configured cost more in proportion, and not more than that.
	t.Run("2 MiB", func(t *testing.T) { hostileCosts(t, largest) })
}

func hostileCosts(t *testing.T, size int) {
	f := newFixture(t)
	maxMessage := size * DefaultMaxMessage
	f.limits = LimitsFor(maxMessage)
	f.conf.Keys = []snapshot.SPKey{bigKey(snapshot.KeyCurrent), bigKey(snapshot.KeyPrevious)}
	c := f.connection()
	for _, h := range hostiles(size) {
		t.Run(h.name, func(t *testing.T) {
			r := f.response()
			h.edit(&r)
			if size > 1 {
				// The rest of the room is filled with text that has to be canonicalized and digested.
				inner := r.EditSent
				r.EditSent = func(s string) string {
					if inner != nil {
						s = inner(s)
					}
					return strings.Replace(s, "<saml:Conditions ", "<a>"+strings.Repeat("x&gt;", max(0, maxMessage-len(s)-100)/5)+"</a><saml:Conditions ", 1)
				}
			}
			form := f.form(r)
			if len(form) > maxMessage*4/3+4 {
				t.Fatalf("the message has %d bytes: no form lets it through", len(form))
			}
			measure(t, size, func() {
				if a, r := c.Accept(t.Context(), form, f.pending, f.now); a != nil || r.Check == CheckPanic || r.Reason == ReasonLimitExceeded {
					t.Fatalf("accepted, panicked, or past the limits: %v", r)
				}
			})
		})
	}
}

// TestCostOfHostileLogoutMessages: what an attacker without a key can make of a logout message, in both bindings.
func TestCostOfHostileLogoutMessages(t *testing.T) {
	t.Run("256 KiB", func(t *testing.T) { hostileLogoutCosts(t, 1) })
	t.Run("2 MiB", func(t *testing.T) { hostileLogoutCosts(t, largest) })
}

func hostileLogoutCosts(t *testing.T, size int) {
	f := newFixture(t)
	f.limits = LimitsFor(size * DefaultMaxMessage)
	c := f.connection()
	used := ""
	for i := range 14 {
		used += fmt.Sprintf(` n%d:a="1"`, i)
	}
	for name, filling := range map[string]string{
		"elements": strings.Repeat("<a/>", size*5900), "namespaces": declared(14, strings.Repeat("<a"+used+"/>", size*840)), "attributes": strings.Repeat("<a"+manyAttributes("", 60)+"/>", size*195),
		"text": "<a>" + strings.Repeat("x&gt;", size*45000) + "</a>", "session indexes": strings.Repeat("<samlp:SessionIndex>1</samlp:SessionIndex>", size*5000),
	} {
		fill := func(s string) string { return strings.Replace(s, "</samlp:Logout", filling+"</samlp:Logout", 1) }
		l := samltest.Logout{Now: t0, ID: "_1", Destination: f.conf.SLOURL, InResponseTo: "_logout1"}
		for kind, document := range map[string]string{"request": f.idp.LogoutRequest(l), "response": f.idp.LogoutResponse(l)} {
			signed, err := f.idp.Post(document, l)
			if err != nil {
				t.Fatal(err)
			}
			// The query is signed by somebody else: what can be known before its signature is verified is right.
			query, err := shared().other.Query(fill(document), l)
			if err != nil {
				t.Fatal(err)
			}
			for _, in := range []Incoming{
				{Binding: snapshot.BindingPOST, Value: encodeEdit(signed, fill)},
				{Binding: snapshot.BindingRedirect, RawQuery: query},
			} {
				t.Run(name+"/"+kind+in.Binding[strings.LastIndexByte(in.Binding, '-'):], func(t *testing.T) {
					measure(t, size, func() {
						var r *Refusal
						if kind == "request" {
							_, r = c.AcceptLogoutRequest(in, t0)
						} else {
							_, r = c.AcceptLogoutResponse(in, "_logout1", t0)
						}
						if r == nil || r.Check != CheckSignature || r.Reason == ReasonLimitExceeded || r.Check == CheckPanic {
							t.Fatalf("refusal %v", r)
						}
					})
				})
			}
		}
	}
}

// bigKey is the largest key that people give to a service provider.
func bigKey(phase snapshot.KeyPhase) snapshot.SPKey {
	k, err := samltest.SPKeyFrom(phase, rsa4096(), "sp", t0)
	if err != nil {
		panic(err)
	}
	return k
}

var rsa4096 = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 4096)
	if err != nil {
		panic(err)
	}
	return k
})

// measure runs f a few times and judges the cheapest one, because the machine is shared. What is allowed is for a message of size times the default number of bytes.
func measure(t *testing.T, size int, f func()) {
	t.Helper()
	cpu, bytes := time.Hour, uint64(1<<60)
	for range runs(3) {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := cpuTime()
		f()
		cpu = min(cpu, cpuTime()-start)
		runtime.ReadMemStats(&after)
		bytes = min(bytes, after.TotalAlloc-before.TotalAlloc)
	}
	t.Logf("%v of CPU, %d KiB allocated", cpu, bytes>>10)
	mostCPU, mostBytes := time.Duration(size)*maxCPU, uint64(size)*maxBytes
	if !raceEnabled && (cpu > mostCPU || bytes > mostBytes) {
		t.Errorf("costs %v of CPU and %d KiB; %v and %d KiB are allowed", cpu, bytes>>10, mostCPU, mostBytes>>10)
	}
}

// runs is how often something is measured. The race detector's cost is not ours: under it, nothing is judged and once is enough.
func runs(n int) int {
	if raceEnabled {
		return 1
	}
	return n
}

// cpuTime is what the process has used, all threads together.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestCostOfManyGroups holds the promise to people: 2,000 values of the longest spelling are accepted in less than 50 ms, and as many more as
// the largest limits allow in as much more time.
func TestCostOfManyGroups(t *testing.T) {
	t.Run("256 KiB", func(t *testing.T) { manyGroups(t, 1) })
	t.Run("2 MiB", func(t *testing.T) { manyGroups(t, largest) })
}

func manyGroups(t *testing.T, size int) {
	f := newFixture(t)
	f.limits = LimitsFor(size * DefaultMaxMessage)
	// What the longest spelling of 2,000 values takes is more than the default number of bytes.
	f.limits.MaxMessage = 2 * size * DefaultMaxMessage
	for _, style := range []string{"plain", "with declarations on each value"} {
		t.Run(style, func(t *testing.T) {
			r := f.response()
			r.Attributes[1].Values = groups(size * 2000)
			if style != "plain" {
				r.EditAssertion = func(s string) string {
					return strings.ReplaceAll(s, `<saml:AttributeValue xsi:type`,
						`<saml:AttributeValue xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type`)
				}
			}
			form := f.form(r)
			c := f.connection()
			best := time.Hour
			for range runs(5) {
				start := cpuTime()
				a, refusal := c.Accept(t.Context(), form, f.pending, f.now)
				if refusal != nil {
					t.Fatal(refusal.Sentence)
				}
				best = min(best, cpuTime()-start)
				if len(a.Values()["groups"]) != size*2000 {
					t.Fatal("groups are missing")
				}
			}
			t.Logf("%v", best)
			if best > time.Duration(size)*50*time.Millisecond && !raceEnabled {
				t.Errorf("costs %v", best)
			}
		})
	}
}

// TestDeflateBombs sends 16 MiB of zeros and of XML on every path that inflates.
func TestDeflateBombs(t *testing.T) {
	f := newFixture(t)
	c := f.connection()
	for name, unit := range map[string]string{"zeros": "\x00", "spaces": " ", "elements": "<a/>"} {
		var b bytes.Buffer
		w, err := flate.NewWriter(&b, flate.BestCompression)
		if err != nil {
			t.Fatal(err)
		}
		chunk := []byte(strings.Repeat(unit, 1<<20/len(unit)))
		for range 16 {
			if _, err := w.Write(chunk); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		for _, field := range []string{"SAMLRequest", "SAMLResponse"} {
			in := Incoming{Binding: snapshot.BindingRedirect, RawQuery: field + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(b.Bytes()))}
			t.Run(name+" "+field, func(t *testing.T) {
				measure(t, 1, func() {
					var r *Refusal
					if field == "SAMLRequest" {
						_, r = c.AcceptLogoutRequest(in, f.now)
					} else {
						_, r = c.AcceptLogoutResponse(in, "_x", f.now)
					}
					if r == nil || r.Reason != ReasonLimitExceeded {
						t.Fatalf("refusal %v", r)
					}
				})
			})
		}
	}
}

// TestEncryptedKeyIsUniform: a wrapped key that is wrong in any way is refused like data that is wrong, after the same work.
func TestEncryptedKeyIsUniform(t *testing.T) {
	f := newFixture(t)
	c := f.connection()
	edits := map[string]func(*samltest.Response){
		"wrong key": cipherText(0, flip(3)), "wrong tag": cipherText(1, flip(-1)), "other recipient": func(r *samltest.Response) {
			r.EncryptTo = []*rsa.PublicKey{public(shared().next)}
		},
	}
	times := map[string]time.Duration{}
	sentences := map[string]bool{}
	for name, edit := range edits {
		r := f.response()
		both(encrypted(xmlenc.Options{}), edit)(&r)
		form := f.form(r)
		best := time.Hour
		for range runs(20) {
			start := cpuTime()
			_, refusal := c.Accept(t.Context(), form, f.pending, f.now)
			best = min(best, cpuTime()-start)
			sentences[refusal.Sentence+refusal.Advice+string(refusal.Check)+refusal.Expected+refusal.Actual] = true
		}
		times[name] = best
	}
	if len(sentences) != 1 {
		t.Errorf("the refusals differ: %v", sentences)
	}
	t.Logf("times: %v", times)
	for name, d := range times {
		if d > 2*times["wrong tag"]+time.Millisecond && !raceEnabled {
			t.Errorf("%s takes %v, a wrong tag %v", name, d, times["wrong tag"])
		}
	}
}
