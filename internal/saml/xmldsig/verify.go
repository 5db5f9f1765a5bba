// Package xmldsig verifies and makes the one shape of XML signature that SAML uses: enveloped, one Reference to the ID of the
// very element that carries it, exclusive canonicalization (saml-core 5.4).
//
// Verification yields bytes. What was verified is what those bytes say when they are parsed, and nothing else.
package xmldsig

import (
	"crypto"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"sallyport.dev/sallyport/internal/saml/xmldoc"
)

// Kind says in which way a signature is not acceptable.
type Kind uint8

const (
	// Missing: the element carries no signature.
	Missing Kind = iota + 1
	// Shape: the signature is not of the shape that SAML prescribes.
	Shape
	// Algorithm: an algorithm or transform is not allowed.
	Algorithm
	// Untrusted: no trusted key made the signature.
	Untrusted
	// Digest: the signature is genuine but the content was changed.
	Digest
)

// Error is why a signature was not accepted.
type Error struct {
	Kind Kind
	// What is a sentence without a full stop.
	What string
	// Algorithm is the URI that was refused, with Kind Algorithm.
	Algorithm string
	// Certificate is the DER that KeyInfo shows, with Kind Untrusted, for diagnosis only; nil when there is none.
	Certificate []byte
}

func (e *Error) Error() string { return "xmldsig: " + e.What }

func shape(what string) error { return &Error{Kind: Shape, What: what} }

func refused(what, uri string) error {
	return &Error{Kind: Algorithm, What: fmt.Sprintf("the %s %q is not allowed", what, clip(uri)), Algorithm: clip(uri)}
}

func clip(s string) string {
	if len(s) > 200 {
		return s[:200]
	}
	return s
}

// Policy is what a signature is verified against.
type Policy struct {
	// Keys are tried in order. KeyInfo is never consulted.
	Keys []crypto.PublicKey
	// AllowSHA1 lets rsa-sha1 and SHA-1 digests pass.
	AllowSHA1 bool
	// Limits bound the canonical SignedInfo when it is parsed again.
	Limits xmldoc.Limits
}

// maxSignedInfo is how many elements a SignedInfo has at most: the shape below has 9, InclusiveNamespaces of both canonicalizations adds 2.
const maxSignedInfo = 11

// Find returns the ds:Signature that is a direct child of the element, nil when there is none.
func Find(element *xmldoc.Node) (*xmldoc.Node, error) {
	sig, count := element.Child(Space, "Signature")
	if count > 1 {
		return nil, shape("the element carries more than one signature")
	}
	return sig, nil
}

// Verify checks the signature that the element carries and returns the element's canonical bytes without the signature: those
// were signed. Errors are *Error.
func Verify(element *xmldoc.Node, p Policy) ([]byte, error) {
	sig, err := Find(element)
	if err != nil {
		return nil, err
	}
	if sig == nil {
		return nil, &Error{Kind: Missing, What: "the element carries no signature"}
	}
	signed, err := VerifySignature(sig, p)
	if err != nil {
		return nil, err
	}
	if id, ok := element.Attr("ID"); !ok || id != signed.ID {
		return nil, errElsewhere()
	}
	canonical, err := element.Canonical(sig, signed.PrefixList)
	if err != nil {
		return nil, shape("the element has no canonical form")
	}
	h := signed.Hash.New()
	h.Write(canonical)
	if subtle.ConstantTimeCompare(h.Sum(nil), signed.Digest) != 1 {
		return nil, &Error{Kind: Digest, What: "the content was changed after it was signed: the digest differs"}
	}
	return canonical, nil
}

// parts are the pieces of a ds:Signature.
type parts struct {
	info, value, keyInfo *xmldoc.Node
}

// signatureParts accepts SignedInfo, SignatureValue and at most one KeyInfo, in that order, and nothing else: no Object.
func signatureParts(sig *xmldoc.Node) (parts, error) {
	var p parts
	p.info = sig.First
	if !p.info.Is(Space, "SignedInfo") {
		return p, shape("the signature does not start with SignedInfo")
	}
	p.value = p.info.Next
	if !p.value.Is(Space, "SignatureValue") || p.value.First != nil {
		return p, shape("the signature has no SignatureValue after SignedInfo")
	}
	p.keyInfo = p.value.Next
	if p.keyInfo != nil && (!p.keyInfo.Is(Space, "KeyInfo") || p.keyInfo.Next != nil) {
		return p, shape("the signature has other children than SignedInfo, SignatureValue and KeyInfo")
	}
	return p, nil
}

// verifySignedInfo checks SignatureValue over the canonical SignedInfo and returns what those bytes say.
func verifySignedInfo(s parts, p Policy) (*xmldoc.Node, error) {
	n := 0
	if !s.info.Walk(func(*xmldoc.Node) bool { n++; return n <= maxSignedInfo }) {
		return nil, shape("SignedInfo has more elements than one Reference needs")
	}
	m, prefixList, err := methods(s.info, p.AllowSHA1)
	if err != nil {
		return nil, err
	}
	value, err := decode(s.value)
	if err != nil {
		return nil, shape("SignatureValue is not base64")
	}
	canonical, err := s.info.Canonical(nil, prefixList)
	if err != nil {
		return nil, shape("SignedInfo has no canonical form")
	}
	h := m.hash.New()
	h.Write(canonical)
	digest := h.Sum(nil)
	trusted := false
	for _, key := range p.Keys {
		if m.verify(key, digest, value) {
			trusted = true
			break
		}
	}
	if !trusted {
		return nil, &Error{Kind: Untrusted, What: "no trusted key of the IdP made this signature", Certificate: shownCertificate(s.keyInfo)}
	}
	info, err := xmldoc.Parse(canonical, p.Limits)
	if err != nil {
		return nil, shape("SignedInfo has no canonical form")
	}
	// The signed bytes must name the method that was used; this can only fail if canonicalization changed their meaning.
	if again, _, err := methods(info, p.AllowSHA1); err != nil || again != m {
		return nil, shape("SignedInfo changes its meaning when it is canonicalized")
	}
	return info, nil
}

// methods reads CanonicalizationMethod and SignatureMethod, the first two children of SignedInfo.
func methods(info *xmldoc.Node, allowSHA1 bool) (m method, prefixList string, err error) {
	c14n := info.First
	if !c14n.Is(Space, "CanonicalizationMethod") {
		return m, "", shape("SignedInfo does not start with CanonicalizationMethod")
	}
	if alg := c14n.Value("Algorithm"); alg != ExclusiveC14N {
		return m, "", refused("canonicalization", alg)
	}
	if prefixList, err = prefixes(c14n); err != nil {
		return m, "", err
	}
	sm := c14n.Next
	if !sm.Is(Space, "SignatureMethod") || sm.First != nil {
		return m, "", shape("SignedInfo has no plain SignatureMethod after CanonicalizationMethod")
	}
	uri := sm.Value("Algorithm")
	m, ok := signatureMethod(uri, allowSHA1)
	if !ok {
		return m, "", refused("signature method", uri)
	}
	return m, prefixList, nil
}

// prefixes reads the one child that an exclusive canonicalization may have.
func prefixes(alg *xmldoc.Node) (string, error) {
	inc := alg.First
	if inc == nil {
		return "", nil
	}
	if !inc.Is(ExclusiveC14N, "InclusiveNamespaces") || inc.Next != nil || inc.First != nil {
		return "", shape("a canonicalization has an unknown parameter")
	}
	// #default is how the list names the default namespace (xml-exc-c14n 2.2).
	list := strings.Fields(inc.Value("PrefixList"))
	if len(list) > 32 {
		return "", shape("a PrefixList has more than 32 prefixes")
	}
	return strings.Join(list, " "), nil
}

// referenceParts are what the one Reference says.
type referenceParts struct {
	uri, prefixList string
	hash            crypto.Hash
	digest          []byte
}

// reference reads the Reference of a verified SignedInfo: there is one, with exactly the two transforms that SAML allows.
func reference(info *xmldoc.Node, allowSHA1 bool) (r referenceParts, err error) {
	ref := info.First.Next.Next
	if !ref.Is(Space, "Reference") || ref.Next != nil {
		return r, shape("SignedInfo does not have exactly one Reference")
	}
	r.uri = ref.Value("URI")
	transforms := ref.First
	if !transforms.Is(Space, "Transforms") {
		return r, shape("the Reference has no Transforms")
	}
	var algs []*xmldoc.Node
	for t := transforms.First; t != nil; t = t.Next {
		if !t.Is(Space, "Transform") {
			return r, shape("the Reference has a malformed Transform")
		}
		if alg := t.Value("Algorithm"); alg != Enveloped && alg != ExclusiveC14N {
			return r, refused("transform", alg)
		}
		algs = append(algs, t)
	}
	if len(algs) != 2 || algs[0].Value("Algorithm") != Enveloped || algs[0].First != nil || algs[1].Value("Algorithm") != ExclusiveC14N {
		return r, shape("the Reference's transforms are not enveloped-signature, then exclusive canonicalization")
	}
	if r.prefixList, err = prefixes(algs[1]); err != nil {
		return r, err
	}
	dm := transforms.Next
	if !dm.Is(Space, "DigestMethod") || dm.First != nil {
		return r, shape("the Reference has no DigestMethod")
	}
	var ok bool
	if r.hash, ok = digestMethod(dm.Value("Algorithm"), allowSHA1); !ok {
		return r, refused("digest method", dm.Value("Algorithm"))
	}
	dv := dm.Next
	if !dv.Is(Space, "DigestValue") || dv.First != nil || dv.Next != nil {
		return r, shape("the Reference has no DigestValue at its end")
	}
	if r.digest, err = decode(dv); err != nil || len(r.digest) != r.hash.Size() {
		return r, shape("DigestValue has the wrong length")
	}
	return r, nil
}

// VerifyBytes checks a signature over bytes as they are, for the Redirect binding (saml-bindings 3.4.4.1).
func VerifyBytes(data []byte, uri string, value []byte, p Policy) error {
	m, ok := signatureMethod(uri, p.AllowSHA1)
	if !ok {
		return refused("signature method", uri)
	}
	h := m.hash.New()
	h.Write(data)
	digest := h.Sum(nil)
	for _, key := range p.Keys {
		if m.verify(key, digest, value) {
			return nil
		}
	}
	return &Error{Kind: Untrusted, What: "no trusted key of the IdP made this signature"}
}

// shownCertificate is the first X509Certificate of KeyInfo, to tell people which certificate was used.
func shownCertificate(keyInfo *xmldoc.Node) []byte {
	if keyInfo == nil {
		return nil
	}
	var der []byte
	keyInfo.Walk(func(n *xmldoc.Node) bool {
		if n.Is(Space, "X509Certificate") {
			der, _ = decode(n)
			return false
		}
		return true
	})
	return der
}

// decode reads base64 with white space in it, as XML Schema allows.
func decode(n *xmldoc.Node) ([]byte, error) {
	return base64.StdEncoding.Strict().DecodeString(strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == '\n' || r == '\r' {
			return -1
		}
		return r
	}, n.Text))
}
