package trust

import (
	"bytes"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
)

// FuzzMetadata: whatever comes is metadata that can be worked with, or an error of the closed list; never a panic. What is accepted is
// accepted again when it is cut in other places, and its digest is the same.
func FuzzMetadata(f *testing.F) {
	k, by := signer(f, "old"), signer(f, "federation")
	good := standalone("https://idp.example.com", goodRole(k))
	signed := signDocument(f, xmlHead+`<md:EntitiesDescriptor `+names+` ID="_r">`+entity("https://idp.example.com", "", goodRole(k))+`</md:EntitiesDescriptor>`, "_r", by)
	for _, seed := range []string{
		good, signed, signDocument(f, xmlHead+entity("https://idp.example.com", names+` ID="_e"`, goodRole(k)), "_e", by),
		"", "<", "<!", "<!--", "<?xml ?>", "<a>", "\xef\xbb\xbf<a/>", "<EntityDescriptor", "<EntityDescriptor/>", "<!DOCTYPE html><html>", "<EntitiesDescriptor><EntitiesDescriptor/>",
		"<EntityDescriptor><![CDATA[>]]></EntityDescriptor>", "<EntityDescriptor><!----></EntityDescriptor>", "<EntityDescriptor><!--></EntityDescriptor>",
		"<EntityDescriptor a='>' b=\"'/>\"/>", "<EntityDescriptor\x00/>", "<:EntityDescriptor/>", "<a:b:EntityDescriptor/>", "< EntityDescriptor/>", "</EntityDescriptor>",
		strings.Replace(good, "cacheDuration", "x", 1), strings.ReplaceAll(good, `"`, `'`),
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	kinds := []Kind{ // the closed list
		KindInvalidURL, KindDNS, KindConnection, KindTLS, KindTimeout, KindAddressRefused, KindRedirect, KindHTTPStatus, KindTooLarge,
		KindNotXML, KindDTD, KindWrongRoot, KindEntityNotFound, KindNoIDPSSODescriptor, KindNoSigningKey, KindBadCertificate,
		KindBadEndpoint, KindSignature, KindExpired, KindEntityIDChanged,
	}
	f.Fuzz(func(t *testing.T, document []byte, verify bool) {
		o := ParseOptions{Now: testNow, MaxBytes: 1 << 20}
		if verify {
			o.SignatureCertificates = []*x509.Certificate{by.certificate}
		}
		m, err := ParseMetadata(bytes.NewReader(document), o)
		if err != nil {
			if !slices.Contains(kinds, kindOf(err)) || err.Error() == "" {
				t.Fatalf("%q %v", kindOf(err), err)
			}
			return
		}
		if m.Trust.EntityID == "" || len(m.Trust.SSO) == 0 || len(m.Trust.SigningCertificates) == 0 || m.Digest != digest(m.Trust) {
			t.Fatalf("accepted with %+v", m.Trust)
		}
		again, err := ParseMetadata(&oneByte{document}, o)
		if err != nil || again.Digest != m.Digest {
			t.Fatalf("byte by byte: %v", err)
		}
		if _, err := unmarshalSaved((&saved{Version: savedVersion, Metadata: m}).marshal()); err != nil {
			t.Fatalf("cannot be kept: %v", err)
		}
	})
}

// oneByte hands out one byte at a time.
type oneByte struct{ rest []byte }

func (o *oneByte) Read(p []byte) (int, error) {
	return bytes.NewReader(o.take()).Read(p[:1])
}

func (o *oneByte) take() []byte {
	if len(o.rest) == 0 {
		return nil
	}
	first := o.rest[:1]
	o.rest = o.rest[1:]
	return first
}

func FuzzPEM(f *testing.F) {
	k := signer(f, "old")
	for _, seed := range []string{k.pem(), k.base64(), k.pem() + k.pem(), "", "-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", k.pem()[:300]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		certificates, err := ParsePEM(text)
		if (err == nil) != (len(certificates) > 0) {
			t.Fatalf("%d certificates and %v", len(certificates), err)
		}
		if _, err := ParseKeyPair([]byte(text), []byte(text)); err == nil && !strings.Contains(text, "PRIVATE KEY") {
			t.Fatal("a key pair without a private key")
		}
	})
}

func FuzzSaved(f *testing.F) {
	m := mustParse(f, standalone("https://idp.example.com", goodRole(signer(f, "old"))), ParseOptions{})
	f.Add((&saved{Version: savedVersion, Metadata: m}).marshal())
	f.Add([]byte("{}"))
	f.Add([]byte(`{"version":1,"metadata":{"trust":{"signingCertificates":["AA=="]}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := unmarshalSaved(data); err == nil && (s.Metadata.Trust.EntityID == "" || len(s.Metadata.Trust.SigningCertificates) == 0) {
			t.Fatalf("restored %+v", s.Metadata)
		}
	})
}

func FuzzDuration(f *testing.F) {
	for _, seed := range []string{"PT1H", "P1Y2M3DT4H5M6.7S", "-P1D", "P", "PT", "P99999999999Y"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := parseDuration(text); err == nil && (d < 0 || d > maxDuration) {
			t.Fatalf("%q is %v", text, d)
		}
	})
}
