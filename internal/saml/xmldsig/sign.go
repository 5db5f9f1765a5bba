package xmldsig

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"

	"sallyport.dev/sallyport/internal/saml/xmldoc"
)

// Signer makes signatures with one key.
type Signer struct {
	Key crypto.Signer
	// Method is a signature method; empty takes MethodFor the key.
	Method string
	// Digest is a digest method; empty takes SHA256.
	Digest string
	// Certificate is DER and goes into KeyInfo; nil leaves KeyInfo out.
	Certificate []byte
}

// method is what the signer signs with. SHA-1 is possible here because test identity providers need it; our own messages never set it.
func (s *Signer) method() (string, method, error) {
	uri := s.Method
	if uri == "" {
		var err error
		if uri, err = MethodFor(s.Key.Public()); err != nil {
			return "", method{}, err
		}
	}
	m, ok := signatureMethod(uri, true)
	if _, isECDSA := s.Key.Public().(*ecdsa.PublicKey); !ok || isECDSA != m.ecdsa {
		return "", method{}, fmt.Errorf("xmldsig: %s does not fit the key", uri)
	}
	return uri, m, nil
}

// SignBytes signs data as it is, for the Redirect binding (saml-bindings 3.4.4.1). It returns the method's URI too.
func (s *Signer) SignBytes(data func(method string) []byte) (uri string, value []byte, err error) {
	uri, m, err := s.method()
	if err != nil {
		return "", nil, err
	}
	value, err = s.sign(m, data(uri))
	return uri, value, err
}

func (s *Signer) sign(m method, data []byte) ([]byte, error) {
	h := m.hash.New()
	h.Write(data)
	sig, err := s.Key.Sign(rand.Reader, h.Sum(nil), m.hash)
	if err != nil {
		return nil, fmt.Errorf("xmldsig: sign: %w", err)
	}
	if !m.ecdsa {
		return sig, nil
	}
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(sig, &rs); err != nil {
		return nil, fmt.Errorf("xmldsig: sign: %w", err)
	}
	size := (s.Key.Public().(*ecdsa.PublicKey).Curve.Params().BitSize + 7) / 8
	return append(rs.R.FillBytes(make([]byte, size)), rs.S.FillBytes(make([]byte, size))...), nil
}

// Sign returns a ds:Signature element over the element with that ID in document, ready to be put in as the element's child.
// Its namespace is declared on itself with the prefix ds.
func (s *Signer) Sign(element *xmldoc.Node) ([]byte, error) {
	uri, m, err := s.method()
	if err != nil {
		return nil, err
	}
	digestURI := s.Digest
	if digestURI == "" {
		digestURI = SHA256
	}
	hash, ok := digestMethod(digestURI, true)
	id := element.Value("ID")
	if !ok || id == "" {
		return nil, fmt.Errorf("xmldsig: element %s without ID, or unknown digest %s", element.Local, digestURI)
	}
	canonical, err := element.Canonical(nil, "")
	if err != nil {
		return nil, fmt.Errorf("xmldsig: %w", err)
	}
	h := hash.New()
	h.Write(canonical)
	info := `<ds:SignedInfo xmlns:ds="` + Space + `"><ds:CanonicalizationMethod Algorithm="` + ExclusiveC14N + `"></ds:CanonicalizationMethod>` +
		`<ds:SignatureMethod Algorithm="` + uri + `"></ds:SignatureMethod><ds:Reference URI="#` + id + `"><ds:Transforms>` +
		`<ds:Transform Algorithm="` + Enveloped + `"></ds:Transform><ds:Transform Algorithm="` + ExclusiveC14N + `"></ds:Transform></ds:Transforms>` +
		`<ds:DigestMethod Algorithm="` + digestURI + `"></ds:DigestMethod><ds:DigestValue>` + base64.StdEncoding.EncodeToString(h.Sum(nil)) +
		`</ds:DigestValue></ds:Reference></ds:SignedInfo>`
	value, err := s.sign(m, []byte(info))
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString(`<ds:Signature xmlns:ds="` + Space + `">` + info + `<ds:SignatureValue>` + base64.StdEncoding.EncodeToString(value) + `</ds:SignatureValue>`)
	if s.Certificate != nil {
		b.WriteString(`<ds:KeyInfo><ds:X509Data><ds:X509Certificate>` + base64.StdEncoding.EncodeToString(s.Certificate) +
			`</ds:X509Certificate></ds:X509Data></ds:KeyInfo>`)
	}
	b.WriteString(`</ds:Signature>`)
	return []byte(b.String()), nil
}
