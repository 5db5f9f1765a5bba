package trust

import (
	"bufio"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"
)

// aggregate writes metadata of many entities, as federations publish it, without ever having it whole in memory.
type aggregate struct {
	entities int
	extra    int    // bytes of display names in each
	wanted   int    // the one that has the key
	key      string // base64 of its certificate
	filler   string // base64 of everybody else's
}

const aggregateHead = xmlHead + `<md:EntitiesDescriptor ` + names + ` ID="_root" Name="https://federation.example" validUntil="2026-06-15T00:00:00Z" cacheDuration="PT6H">` + "\n"

func (a aggregate) entityID(i int) string {
	return fmt.Sprintf("https://idp%d.example.com/metadata", i)
}

func (a aggregate) writeTo(w io.Writer) {
	text := bufio.NewWriterSize(w, 32<<10)
	defer text.Flush()
	_, _ = text.WriteString(aggregateHead)
	padding := strings.Repeat(`<md:OrganizationDisplayName xml:lang="en">Example University</md:OrganizationDisplayName>`, a.extra/88)
	for i := range a.entities {
		key := a.filler
		if i == a.wanted {
			key = a.key
		}
		_, _ = fmt.Fprintf(text, `<md:EntityDescriptor entityID="%s"><md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">%s%s</md:IDPSSODescriptor><md:Organization>%s</md:Organization></md:EntityDescriptor>`+"\n",
			a.entityID(i), keyDescriptor("", key), testSSO, padding)
	}
	_, _ = text.WriteString("</md:EntitiesDescriptor>\n")
}

// reader streams the aggregate, so that a measurement of memory sees the reader's own alone.
func (a aggregate) reader() io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		a.writeTo(w)
		_ = w.Close()
	}()
	return r
}

func federation(t testing.TB) aggregate {
	filler := certify(t, ecKey(t, "filler"), "filler", testNow, testNow.AddDate(9, 0, 0))
	return aggregate{entities: 5000, extra: 4000, wanted: 3210, key: signer(t, "old").base64(), filler: filler.base64()}
}

// memoryChild names the environment variable that makes TestAggregateMemory the process that is measured.
const memoryChild = "SALLYPORT_TEST_AGGREGATE"

func TestOneEntityOfFiveThousandIsFound(t *testing.T) {
	a := federation(t)
	size := &counter{}
	a.writeTo(size)
	started := time.Now()
	m, err := ParseMetadata(a.reader(), ParseOptions{EntityID: a.entityID(a.wanted), Now: testNow})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("1 of %d entities in %.1f MB: %v", a.entities, float64(size.n)/1e6, time.Since(started).Round(time.Millisecond))
	if size.n < 24e6 {
		t.Errorf("the aggregate has %d bytes only", size.n)
	}
	if m.Trust.EntityID != a.entityID(a.wanted) || m.Certificates[0].Subject != "CN=old" {
		t.Errorf("found %s with %v", m.Trust.EntityID, m.Certificates)
	}
	if m.CacheDuration != 6*time.Hour || !m.ValidUntil.Equal(time.Date(2026, 6, 15, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("the aggregate's own validity is lost: %v, %v", m.CacheDuration, m.ValidUntil)
	}
}

type counter struct{ n int }

func (c *counter) Write(p []byte) (int, error) {
	c.n += len(p)
	return len(p), nil
}

// Peak memory is measured in a process of its own: the kernel's high-water mark never goes down.
func TestAggregateMemory(t *testing.T) {
	if os.Getenv(memoryChild) != "" {
		measureAggregate(t)
		return
	}
	key := signer(t, "federation")
	for _, kind := range []string{"unsigned", "signed"} {
		file := t.TempDir() + "/aggregate.xml"
		writeAggregate(t, file, kind == "signed", key)
		command := exec.Command(os.Args[0], "-test.run=^TestAggregateMemory$", "-test.v")
		command.Env = append(os.Environ(), memoryChild+"="+file, memoryChild+"_KEY="+map[bool]string{true: key.base64()}[kind == "signed"])
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		_, report, _ := strings.Cut(string(out), "report: ")
		report, _, _ = strings.Cut(report, "\n")
		fields := strings.Fields(report)
		if len(fields) != 2 {
			t.Fatalf("no report in\n%s", out)
		}
		peak, _ := strconv.Atoi(fields[0])
		t.Logf("%s aggregate of 5,000 entities: %s, peak resident memory of the whole process %.1f MiB", kind, fields[1], float64(peak)/1024)
		if peak > 64<<10 {
			t.Errorf("%d KiB, want at most 64 MiB", peak)
		}
	}
}

func writeAggregate(t *testing.T, file string, signed bool, key identity) {
	t.Helper()
	a := federation(t)
	var text strings.Builder
	a.writeTo(&text)
	document := text.String()
	if signed {
		document = signDocument(t, document, "_root", key)
	}
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
}

func measureAggregate(t *testing.T) {
	debug.SetGCPercent(100)
	file, err := os.Open(os.Getenv(memoryChild))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	o := ParseOptions{EntityID: aggregate{}.entityID(3210), Now: testNow}
	if key := os.Getenv(memoryChild + "_KEY"); key != "" {
		certificate, err := parseBase64(key)
		if err != nil {
			t.Fatal(err)
		}
		o.SignatureCertificates = []*x509.Certificate{certificate}
	}
	started := time.Now()
	if _, err := ParseMetadata(file, o); err != nil {
		t.Fatal(err)
	}
	took := time.Since(started).Round(time.Millisecond)
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	fmt.Printf("report: %s %s\n", strings.Fields(peak)[0], took)
}

func TestSelectionInAnAggregate(t *testing.T) {
	k := signer(t, "old")
	good := func(id string) string { return entity(id, "", goodRole(k)) }
	sp := `<md:EntityDescriptor entityID="https://sp.example.com"><md:SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><md:Extensions>IDPSSODescriptor</md:Extensions></md:SPSSODescriptor></md:EntityDescriptor>`
	wrap := func(content string) string {
		return xmlHead + `<md:EntitiesDescriptor ` + names + `>` + content + `</md:EntitiesDescriptor>`
	}
	cases := []struct {
		name, document, pin, found string
		kind                       Kind
	}{
		{"the only IdP among services", wrap(sp + good("https://a.example.com") + sp), "", "https://a.example.com", ""},
		{"two IdPs and no pin", wrap(good("https://a.example.com") + good("https://b.example.com")), "", "", KindEntityNotFound},
		{"pinned", wrap(good("https://a.example.com") + good("https://b.example.com")), "https://b.example.com", "https://b.example.com", ""},
		{"pinned and twice", wrap(good("https://a.example.com") + good("https://a.example.com")), "https://a.example.com", "", KindEntityNotFound},
		{"pinned and missing", wrap(good("https://a.example.com") + good("https://b.example.com")), "https://c.example.com", "", KindEntityNotFound},
		{"a prefix is not the entity", wrap(good("https://a.example.com/x")), "https://a.example.com", "", KindEntityNotFound},
		{"pinned to a service", wrap(sp + good("https://a.example.com")), "https://sp.example.com", "", KindNoIDPSSODescriptor},
		{"services only", wrap(sp + sp), "", "", KindNoIDPSSODescriptor},
		{"nested", wrap(sp + `<md:EntitiesDescriptor Name="inner">` + good("https://a.example.com") + `</md:EntitiesDescriptor>` + sp), "https://a.example.com", "https://a.example.com", ""},
		{"prefix bound inside", wrap(`<x:EntitiesDescriptor xmlns:x="urn:oasis:names:tc:SAML:2.0:metadata">` + good("https://a.example.com") + `</x:EntitiesDescriptor>`), "", "https://a.example.com", ""},
		{"nested in another namespace", wrap(`<x:EntitiesDescriptor xmlns:x="urn:x">` + good("https://a.example.com") + `</x:EntitiesDescriptor>`), "", "", KindWrongRoot},
		{"entity of another namespace", wrap(`<x:EntityDescriptor xmlns:x="urn:x" entityID="https://a.example.com"/>`), "https://a.example.com", "", KindEntityNotFound},
		{"hidden in an extension", wrap(`<md:Extensions>` + good("https://a.example.com") + `</md:Extensions>` + sp), "https://a.example.com", "", KindEntityNotFound},
		{"hidden in a comment", wrap(`<!--` + good("https://a.example.com") + `-->` + sp), "https://a.example.com", "", KindEntityNotFound},
		{"inner validity", wrap(`<md:EntitiesDescriptor validUntil="2020-01-01T00:00:00Z">` + good("https://a.example.com") + `</md:EntitiesDescriptor>`), "", "", KindExpired},
		{"truncated after the entity", strings.TrimSuffix(wrap(good("https://a.example.com")), "</md:EntitiesDescriptor>"), "", "", KindNotXML},
		{"end tag of another", strings.Replace(wrap(good("https://a.example.com")), "</md:EntitiesDescriptor>", "</md:EntityDescriptor>", 1), "", "", KindNotXML},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m, err := parseString(c.document, ParseOptions{EntityID: c.pin})
			if kindOf(err) != c.kind || err == nil && m.Trust.EntityID != c.found {
				t.Errorf("got %v %v, want %q %q", m, err, c.found, c.kind)
			}
		})
	}
}

func BenchmarkAggregateUnsigned(b *testing.B) { benchmarkAggregate(b, false) }
func BenchmarkAggregateSigned(b *testing.B)   { benchmarkAggregate(b, true) }

func benchmarkAggregate(b *testing.B, signed bool) {
	a := federation(b)
	var text strings.Builder
	a.writeTo(&text)
	document, key := text.String(), signer(b, "federation")
	o := ParseOptions{EntityID: a.entityID(a.wanted), Now: testNow}
	if signed {
		document = signDocument(b, document, "_root", key)
		o.SignatureCertificates = []*x509.Certificate{key.certificate}
	}
	b.SetBytes(int64(len(document)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseMetadata(strings.NewReader(document), o); err != nil {
			b.Fatal(err)
		}
	}
}
