package store_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/store"
	"sallyport.dev/sallyport/internal/store/storetest"
)

// authority signs certificates of servers.
type authority struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.key, a.pem = a.sign(template, template, nil)
	block, _ := pem.Decode(a.pem)
	var err error
	if a.cert, err = x509.ParseCertificate(block.Bytes); err != nil {
		t.Fatal(err)
	}
	return a
}

// sign makes a key and its certificate; without a signer it signs itself.
func (a *authority) sign(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if signer == nil {
		signer = key
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// certificate is for a name or an address.
func (a *authority) certificate(name string) (certificate, private []byte) {
	a.t.Helper()
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	key, certificate := a.sign(template, a.cert, a.key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return certificate, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func always(pem []byte) func() ([]byte, error) {
	return func() ([]byte, error) { return pem, nil }
}

func tlsURL(hosts, parameters string) string {
	return "postgres://postgres:hunter2@" + hosts + "/postgres?connect_timeout=5" + parameters
}

// refused opens the store, which must fail with all of the parts and without the password.
func refused(t *testing.T, storeURL string, bundle func() ([]byte, error), parts ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	d, err := store.Open(ctx, storeURL, store.Options{CABundle: bundle, AuditWriter: "test"})
	if err == nil {
		_ = d.Close()
		t.Errorf("%s was opened", storeURL)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %q is not in: %v", storeURL, part, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the password is in: %v", err)
	}
}

// encrypted tells whether every connection that the server has from a network has TLS; there must be one.
func encrypted(t *testing.T, d *store.DB) bool {
	t.Helper()
	var plain, all int
	err := store.Write(d).QueryRow(`SELECT COUNT(*) FILTER (WHERE NOT ssl), COUNT(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE client_addr IS NOT NULL`).Scan(&plain, &all)
	if err != nil || all == 0 {
		t.Fatalf("%d connections, %v", all, err)
	}
	return plain == 0
}

// TestABundleVerifiesTheServerWhateverTheURLSays: the server takes connections without TLS too, so that a mode which falls back would be seen.
func TestABundleVerifiesTheServerWhateverTheURLSays(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	s := storetest.TLSFor(t, nil, nil)
	modes := []string{"", "&sslmode=disable", "&sslmode=allow", "&sslmode=prefer", "&sslmode=require", "&sslmode=verify-ca", "&sslmode=verify-full", "&sslmode=disable&sslmode=verify-ca"}
	for _, mode := range modes {
		refused(t, tlsURL(s.At("localhost"), mode), always(ours.pem), "does not offer TLS", "spec.store.postgres.caBundle")
	}
	s.Stop()

	certificate, key := ours.certificate("localhost")
	s = storetest.TLSFor(t, certificate, key)
	for _, mode := range modes {
		d := storetest.Open(t, tlsURL(s.At("localhost"), mode), store.Options{CABundle: always(ours.pem)})
		if !encrypted(t, d) {
			t.Errorf("%q: there is a connection without TLS", mode)
		}
		_ = d.Close()
		refused(t, tlsURL(s.At("localhost"), mode), always(theirs.pem), "from an authority that is not known", "spec.store.postgres.caBundle")
	}
	// The system does not know the authority.
	refused(t, tlsURL(s.At("localhost"), "&sslmode=verify-full"), nil, "from an authority that is not known", "put the certificate of that authority into spec.store.postgres.caBundle")
	refused(t, tlsURL(s.At("localhost"), ""), always([]byte("nonsense")), "spec.store.postgres.caBundle", "has no certificate in it")
	for _, mode := range modes {
		storeURL := tlsURL(s.At("127.0.0.1"), mode)
		if mode != "&sslmode=verify-ca" {
			refused(t, storeURL, always(ours.pem), "is not for the host that the store's URL names", "sslmode=verify-ca")
			continue
		}
		if d := storetest.Open(t, storeURL, store.Options{CABundle: always(ours.pem)}); !encrypted(t, d) {
			t.Errorf("%q: there is a connection without TLS", mode)
		}
		refused(t, storeURL, always(theirs.pem), "from an authority that is not known")
	}
}

// TestEachHostIsVerifiedByItsOwnName: a server with the name of another one is passed over.
func TestEachHostIsVerifiedByItsOwnName(t *testing.T) {
	ours := newAuthority(t, "ours")
	named, key := ours.certificate("localhost")
	first := storetest.TLSFor(t, named, key)
	addressed, key := ours.certificate("127.0.0.1")
	second := storetest.TLSFor(t, addressed, key)
	both := func(one, other string) string { return tlsURL(first.At(one)+","+second.At(other), "") }
	refused(t, both("127.0.0.1", "localhost"), always(ours.pem), "is not for the host that the store's URL names")
	port := func(d *store.DB) (port int) {
		if err := store.Write(d).QueryRow("SELECT inet_server_port()").Scan(&port); err != nil {
			t.Fatal(err)
		}
		return port
	}
	passed, straight := port(storetest.Open(t, both("127.0.0.1", "127.0.0.1"), store.Options{CABundle: always(ours.pem)})), port(storetest.Open(t, both("localhost", "127.0.0.1"), store.Options{CABundle: always(ours.pem)}))
	if passed == straight {
		t.Errorf("both are served by port %d", passed)
	}
}

// TestARotatedAuthorityIsTakenUp by the next connection, and one that is no longer in the bundle is trusted no more.
func TestARotatedAuthorityIsTakenUp(t *testing.T) {
	before, after := newAuthority(t, "before"), newAuthority(t, "after")
	certificate, key := before.certificate("localhost")
	s := storetest.TLSFor(t, certificate, key)
	storeURL := tlsURL(s.At("localhost"), "")
	var bundle atomic.Value
	bundle.Store(before.pem)
	d := storetest.Open(t, storeURL, store.Options{CABundle: func() ([]byte, error) { return bundle.Load().([]byte), nil }})
	reconnect := func() error {
		if err := storetest.EndConnections(t.Context(), storeURL+"&sslmode=require"); err != nil {
			t.Fatal(err)
		}
		// A connection that was cut fails the one who gets it; the next one is new.
		var err error
		for range 20 {
			if err = d.Ping(t.Context()); err == nil || strings.Contains(err.Error(), "authority") {
				return err
			}
		}
		return err
	}
	certificate, key = after.certificate("localhost")
	if err := s.Certify(t.Context(), certificate, key); err != nil {
		t.Fatal(err)
	}
	if err := reconnect(); err == nil || !strings.Contains(err.Error(), "spec.store.postgres.caBundle") {
		t.Errorf("with the bundle of before: %v", err)
	}
	bundle.Store(bytes.Join([][]byte{before.pem, after.pem}, nil))
	if err := reconnect(); err != nil {
		t.Errorf("with both: %v", err)
	}
	bundle.Store(before.pem)
	if err := reconnect(); err == nil {
		t.Error("an authority that was taken out of the bundle is trusted")
	}
}
