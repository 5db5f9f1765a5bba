package xmldsig

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"sallyport.dev/sallyport/internal/saml/samltest/modcache"
	"sallyport.dev/sallyport/internal/saml/xmldoc"
)

// rsaKey is the same in every process of a fuzzing run.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	_, k, err := modcache.FuzzKeys()
	if err != nil {
		panic(err)
	}
	return k
})

func doc(t testing.TB, s string) *xmldoc.Node {
	t.Helper()
	n, err := xmldoc.Parse([]byte(s), xmldoc.DefaultLimits())
	if err != nil {
		t.Fatalf("%v: %s", err, s)
	}
	return n
}

const plain = `<m xmlns:p="urn:p" ID="_1"><p:a x="1">text</p:a> <b/></m>`

// signed puts a signature into plain.
func signed(t testing.TB, s *Signer) string {
	t.Helper()
	sig, err := s.Sign(doc(t, plain))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(plain, "<b/>", "<b/>"+string(sig), 1)
}

func policy(keys ...crypto.PublicKey) Policy {
	return Policy{Keys: keys, Limits: xmldoc.DefaultLimits()}
}

func kindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return 0
}

func TestSignAndVerify(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []crypto.Signer{rsaKey(), p384} {
		s := &Signer{Key: key}
		verified, err := Verify(doc(t, signed(t, s)), policy(rsaKey().Public(), p384.Public()))
		if err != nil {
			t.Fatal(err)
		}
		if want := `<m ID="_1"><p:a xmlns:p="urn:p" x="1">text</p:a> <b></b></m>`; string(verified) != want {
			t.Errorf("verified %s, want %s", verified, want)
		}
	}
}

// TestGoxmldsigAgrees: our signatures verify with goxmldsig, and its signatures verify here.
func TestGoxmldsigAgrees(t *testing.T) {
	cert := certificate(t, rsaKey())
	s := &Signer{Key: rsaKey(), Certificate: cert.Raw}
	theirs := etree.NewDocument()
	if err := theirs.ReadFromString(signed(t, s)); err != nil {
		t.Fatal(err)
	}
	ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{cert}})
	if _, err := ctx.Validate(theirs.Root()); err != nil {
		t.Errorf("goxmldsig refuses our signature: %v", err)
	}
	signer, err := dsig.NewSigningContext(rsaKey(), [][]byte{cert.Raw})
	if err != nil {
		t.Fatal(err)
	}
	signer.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	el := etree.NewDocument()
	if err := el.ReadFromString(plain); err != nil {
		t.Fatal(err)
	}
	out, err := signer.SignEnveloped(el.Root())
	if err != nil {
		t.Fatal(err)
	}
	text, err := etree.NewDocumentWithRoot(out).WriteToString()
	if err != nil {
		t.Fatal(err)
	}
	verified, err := Verify(doc(t, text), policy(rsaKey().Public()))
	if want := `<m ID="_1"><p:a xmlns:p="urn:p" x="1">text</p:a> <b></b></m>`; err != nil || string(verified) != want {
		t.Errorf("goxmldsig's signature verifies as %s, %v", verified, err)
	}
}

func certificate(t testing.TB, key crypto.Signer) *x509.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestWeakKeysVerifyNothing(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0")
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"RSA-1024": small, "P-224": p224} {
		if CheckKey(key.Public()) == nil {
			t.Errorf("%s is trusted", name)
		}
		digest := make([]byte, 32)
		sig, err := key.Sign(rand.Reader, digest, crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		if (method{hash: crypto.SHA256}).verify(key.Public(), digest, sig) || (method{hash: crypto.SHA256, ecdsa: true}).verify(key.Public(), digest, sig) {
			t.Errorf("%s verifies", name)
		}
	}
	if CheckKey("a string") == nil {
		t.Error("a string is a key")
	}
}

// TestWrappingAtTheSignature checks what is left to this package when nobody looks at the document as a whole: the element that is
// asked about is the element that was signed, or nothing is verified.
func TestWrappingAtTheSignature(t *testing.T) {
	s := signed(t, &Signer{Key: rsaKey()})
	sig := s[strings.Index(s, "<ds:Signature") : strings.Index(s, "</ds:Signature>")+len("</ds:Signature>")]
	without := strings.Replace(s, sig, "", 1)
	evil := `<m xmlns:p="urn:p" ID="_2"><p:a x="1">evil</p:a></m>`
	for _, tc := range []struct {
		name, in string
		want     Kind
	}{
		{"no signature", without, Missing},
		{"signature in a child", strings.Replace(without, "<b/>", "<b>"+sig+"</b>", 1), Missing},
		{"signature around the document", `<m ID="_2"><x>` + s + `</x></m>`, Missing},
		{"evil with the signature", strings.Replace(evil, "</m>", sig+"</m>", 1), Shape},
		{"evil with signature and ID", strings.Replace(strings.Replace(evil, "</m>", sig+"</m>", 1), "_2", "_1", 1), Digest},
		{"evil that holds the original in the signature", strings.Replace(evil, "</m>", strings.Replace(sig, "</ds:Signature>", without+"</ds:Signature>", 1)+"</m>", 1), Shape},
		{"evil that holds the original beside the signature", strings.Replace(evil, "</m>", without+sig+"</m>", 1), Shape},
		{"two signatures", strings.Replace(s, sig, sig+sig, 1), Shape},
		{"signature of the same shape inside of an Object", strings.Replace(s, "</ds:Signature>", "<ds:Object>"+sig+"</ds:Object></ds:Signature>", 1), Shape},
		{"no ID", strings.Replace(s, ` ID="_1"`, "", 1), Shape},
		{"text changed", strings.Replace(s, ">text<", ">test<", 1), Digest},
		{"white space outside of the signature removed", strings.Replace(s, "</p:a> <b/>", "</p:a><b/>", 1), Digest},
		{"comment added where no text is", strings.Replace(s, "<b/>", "<b/><!-- x -->", 1), 0},
	} {
		got, err := Verify(doc(t, tc.in), policy(rsaKey().Public()))
		if kindOf(err) != tc.want {
			t.Errorf("%s: %v, want kind %d", tc.name, err, tc.want)
		}
		if (err == nil) != (got != nil) || strings.Contains(string(got), "evil") {
			t.Errorf("%s: verified %s", tc.name, got)
		}
	}
}

func TestSignerRefusesWhatDoesNotFit(t *testing.T) {
	for name, s := range map[string]*Signer{
		"an ECDSA method for an RSA key": {Key: rsaKey(), Method: ECDSASHA256},
		"an unknown method":              {Key: rsaKey(), Method: "urn:x"},
		"an unknown digest":              {Key: rsaKey(), Digest: "urn:x"},
	} {
		if _, err := s.Sign(doc(t, plain)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, err := (&Signer{Key: rsaKey()}).Sign(doc(t, `<m/>`)); err == nil {
		t.Error("an element without ID is signed")
	}
}

func TestVerifyBytes(t *testing.T) {
	s := &Signer{Key: rsaKey()}
	uri, value, err := s.SignBytes(func(method string) []byte { return []byte("data " + method) })
	if err != nil {
		t.Fatal(err)
	}
	p := policy(rsaKey().Public())
	if err := VerifyBytes([]byte("data "+uri), uri, value, p); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"other data":   VerifyBytes([]byte("data"), uri, value, p),
		"other method": VerifyBytes([]byte("data "+uri), RSASHA512, value, p),
		"no keys":      VerifyBytes([]byte("data "+uri), uri, value, policy()),
	} {
		if kindOf(err) != Untrusted {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := VerifyBytes([]byte("data"), RSASHA1, value, p); kindOf(err) != Algorithm {
		t.Errorf("SHA-1: %v", err)
	}
}

// FuzzVerify: nothing but what was signed verifies, and nothing panics.
func FuzzVerify(f *testing.F) {
	s := signed(f, &Signer{Key: rsaKey()})
	f.Add(s)
	f.Add(strings.Replace(s, "<b/>", "<b><!-- x --></b>", 1))
	f.Add(`<m ID="_1"><ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/></m>`)
	f.Add(`<m ID="_1"><ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo><ds:CanonicalizationMethod/></ds:SignedInfo><ds:SignatureValue/></ds:Signature></m>`)
	want := fmt.Sprintf("%q", `<m ID="_1"><p:a xmlns:p="urn:p" x="1">text</p:a> <b></b></m>`)
	f.Fuzz(func(t *testing.T, in string) {
		n, err := xmldoc.Parse([]byte(in), xmldoc.DefaultLimits())
		if err != nil {
			return
		}
		if got, err := Verify(n, policy(rsaKey().Public())); err == nil && fmt.Sprintf("%q", got) != want {
			t.Fatalf("%q verifies as %q", in, got)
		}
	})
}
