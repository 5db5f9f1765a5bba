package controllers

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/audit"
	"sallyport.dev/sallyport/internal/saml/samltest"
)

// playedHost is the name of the metadata server: one that httptest's certificate is for. Names lead to it through a proxy, as they do
// where the operator has HTTPS_PROXY, so that no address of this machine has to be let through.
const playedHost = "example.com"

// played is an IdP's https server for any number of connections, each at a path of its own, that does what it is told to.
type played struct {
	*httptest.Server
	t     testing.TB
	proxy *url.URL
	done  chan struct{}

	mutex sync.Mutex
	plays map[string]http.HandlerFunc
	asked map[string]int
}

func newPlayed(t testing.TB) *played {
	t.Helper()
	s := &played{t: t, done: make(chan struct{}), plays: map[string]http.HandlerFunc{}, asked: map[string]int{}}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.proxy = &url.URL{Scheme: "http", Host: listener.Addr().String()}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go s.tunnel(connection)
		}
	}()
	t.Cleanup(func() {
		close(s.done)
		listener.Close()
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func (s *played) serve(w http.ResponseWriter, r *http.Request) {
	name := strings.Split(r.URL.Path, "/")[1]
	s.mutex.Lock()
	s.asked[name]++
	play := s.plays[name]
	s.mutex.Unlock()
	if play == nil {
		http.NotFound(w, r)
		return
	}
	play(w, r)
}

// tunnel is a proxy that knows one server.
func (s *played) tunnel(from net.Conn) {
	defer from.Close()
	request, err := http.ReadRequest(bufio.NewReader(from))
	if err != nil || request.Method != http.MethodConnect {
		return
	}
	to, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		return
	}
	defer to.Close()
	_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
	go func() { _, _ = io.Copy(to, from); to.Close() }()
	_, _ = io.Copy(from, to)
}

// through is the proxy for a fetcher.
func (s *played) through(*url.URL) (*url.URL, error) { return s.proxy, nil }

func (s *played) url(name string) string { return "https://" + playedHost + "/" + name + "/metadata" }

func (s *played) play(name string, as http.HandlerFunc) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.plays[name] = as
}

func (s *played) times(name string) int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.asked[name]
}

// connection is an IdentityProvider whose metadata the server has, and the binding of its domain.
func (s *played) connection(ns, name string) (*v1alpha1.IdentityProvider, *v1alpha1.DomainBinding) {
	idp := identityProvider(ns, name, v1alpha1.MetadataSource{URL: v1alpha1.HTTPSURL(s.url(name)),
		CABundle: &v1alpha1.CABundleSource{ConfigMapRef: &v1alpha1.ConfigMapKeyReference{Name: "played-ca"}}})
	return idp, domainBinding(ns, name, domainOf(name), name)
}

func (s *played) ca(ns string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "played-ca"}, Data: map[string]string{"ca.crt": pemOf(s.Certificate().Raw)}}
}

// The plays. Each is what a server does instead of answering with good metadata.

func (s *played) hang(_ http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-s.done:
	}
}

// slow sends some bytes now and then, and never comes to an end.
func (s *played) slow(content string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ticker := time.NewTicker(200 * time.Millisecond)
		defer ticker.Stop()
		for i := 0; ; i++ {
			_, _ = io.WriteString(w, content[min(i, len(content)/2):min(i+1, len(content)/2)])
			w.(http.Flusher).Flush()
			select {
			case <-ticker.C:
			case <-r.Context().Done():
				return
			case <-s.done:
				return
			}
		}
	}
}

func statusOf(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "secret-in-body", code) }
}

func redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
}

const aggregateHead = `<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata">`

func huge(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, aggregateHead)
	chunk := bytes.Repeat([]byte(`<md:EntityDescriptor entityID="https://x.example.com"></md:EntityDescriptor>`), 1000)
	for range 1000 {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

func gzipBomb(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	_, _ = io.WriteString(z, aggregateHead)
	spaces := bytes.Repeat([]byte(" "), 1<<20)
	for range 1024 {
		if _, err := z.Write(spaces); err != nil {
			return
		}
	}
	_ = z.Close()
}

// tagged answers with an ETag, and with 304 to whoever has it.
func tagged(content string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		if r.Header.Get("If-None-Match") == `"1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = io.WriteString(w, content)
	}
}

// upstream is an IdP that signs, with keys of its own.
func upstream(t testing.TB, name string) *samltest.IdP {
	t.Helper()
	at := "https://" + name + ".idp.example"
	idp, err := samltest.NewIdP(at+"/metadata", at+"/sso", at+"/slo", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return idp
}

// withNewKey is the same IdP with another key.
func withNewKey(t testing.TB, old *samltest.IdP) *samltest.IdP {
	t.Helper()
	idp, err := samltest.NewIdP(old.EntityID, old.SSOURL, old.SLOURL, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return idp
}

// bothKeys is the metadata of an IdP in the middle of a rollover.
func bothKeys(first, second *samltest.IdP) string {
	const end = "</md:KeyDescriptor>"
	head, rest, _ := strings.Cut(string(first.Metadata()), end)
	return head + end + fmt.Sprintf(`<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>%s</ds:X509Certificate></ds:X509Data></ds:KeyInfo>%s`,
		base64.StdEncoding.EncodeToString(second.Certificate), end) + rest
}

// told are the Events about an object with the reason, oldest first.
func told(t testing.TB, object client.Object, reason string) []eventsv1.Event {
	t.Helper()
	var list eventsv1.EventList
	if err := k8s.List(t.Context(), &list, client.InNamespace(object.GetNamespace())); err != nil {
		t.Fatal(err)
	}
	var events []eventsv1.Event
	for _, e := range list.Items {
		if e.Regarding.UID == object.GetUID() && (reason == "" || e.Reason == reason) {
			events = append(events, e)
		}
	}
	return events
}

// ofTheOperator are all but those about people who were refused.
func ofTheOperator(t testing.TB, object client.Object) []eventsv1.Event {
	t.Helper()
	return slices.DeleteFunc(told(t, object, ""), func(e eventsv1.Event) bool { return e.Reason == "SignInRejected" })
}

// awaitEvent waits for the one Event with that reason, and holds its type and what it says.
func awaitEvent(t testing.TB, object client.Object, eventType, reason string, parts ...string) {
	t.Helper()
	var events []eventsv1.Event
	eventually(t, fmt.Sprintf("there is an Event %s about %s", reason, object.GetName()), func() bool {
		events = told(t, object, reason)
		return len(events) > 0
	})
	if len(events) > 1 || events[0].Series != nil || events[0].Type != eventType || events[0].Action == "" {
		t.Errorf("want one %s Event %s, got %+v", eventType, reason, events)
	}
	mustContain(t, events[0].Note, parts...)
}

// of returns the records of the type about the object.
func (l *auditLog) of(recordType audit.Type, name string) []audit.Record {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	var found []audit.Record
	for _, r := range l.records {
		if r.Type == recordType && r.Target.Name == name {
			found = append(found, r)
		}
	}
	return found
}

// everything counts what was recorded about the object.
func (l *auditLog) everything(name string) int {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	n := 0
	for _, r := range l.records {
		if r.Target.Name == name {
			n++
		}
	}
	return n
}

// awaitCertificates waits until status shows so many certificates of the IdP and the pods serve them.
func awaitCertificates(t testing.TB, idp *v1alpha1.IdentityProvider, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d certificates are served", n), func() bool {
		return k8s.Get(t.Context(), client.ObjectKeyFromObject(idp), idp) == nil && len(idp.Status.Certificates) == n
	})
	await(t, idp, "Ready", isTrue, "Serving")
}

func fingerprint(idp *samltest.IdP) string { return sha256Of(idp.Certificate) }

func sha256Of(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}
